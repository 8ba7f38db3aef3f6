"""Results: cells of figures, shown as tables, kept as JSON.

A cell is one contender at one piece of work (``row``: what is done; ``column``: size and mode). Figures are GB/s
(10^9 bytes a second) of the bytes named by the benchmark. JSON: ``machine`` (name -> text), ``notes`` (name -> number
or text), ``cells`` (a list of the fields below).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .turns import Contender


@dataclass(frozen=True)
class Cell:
    row: str
    column: str
    who: str
    ours: bool
    best: float
    median: float
    limit: float | None = None  # the roofline, GB/s


def cells_of(
    contenders: Iterable[Contender], row: str, column: str, piece_bytes: float, limit: float | None = None
) -> list[Cell]:
    """Figures of contenders that have been measured; ``piece_bytes``: of one piece of their work."""
    return [
        Cell(row, column, c.label, c.ours, round(piece_bytes / c.best, 3), round(piece_bytes / c.median, 3),
             None if limit is None else round(limit, 2))
        for c in contenders
    ]  # fmt: skip


def unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def at(cells: Sequence[Cell], row: str, column: str) -> list[Cell]:
    return [c for c in cells if c.row == row and c.column == column]


def leader(cells: Sequence[Cell], ours: bool) -> Cell | None:
    """The fastest of ours, or of the others."""
    return max((c for c in cells if c.ours == ours), key=lambda c: c.best, default=None)


def ratio(cells: Sequence[Cell]) -> float | None:
    """Ours over the best peer, for the cells of one place; by the best slices."""
    mine, peer = leader(cells, True), leader(cells, False)
    return mine.best / peer.best if mine and peer else None


def geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], markdown: bool = False) -> str:
    """Text in columns; with ``markdown`` a table that a README can hold."""
    if markdown:
        rule = ["---"] + ["---:"] * (len(head) - 1)
        return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines])
    widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(w.rjust(n) for w, n in zip(line[1:], widths[1:], strict=True))])
        for line in [head, *lines]
    )


def figures(cells: Sequence[Cell], row: str, markdown: bool = False) -> str:
    """Everybody at one row: a line for each contender, best / median; the limit last."""
    columns = unique(c.column for c in cells if c.row == row)
    lines = []
    for who in unique(c.who for c in cells if c.row == row):
        found = [next((c for c in at(cells, row, column) if c.who == who), None) for column in columns]
        lines.append([who, *(f"{number(c.best)} / {number(c.median)}" if c else "" for c in found)])
    limits = [next((c.limit for c in at(cells, row, column) if c.limit), None) for column in columns]
    if any(limits):
        lines.append(["limit of memory", *(number(limit) if limit else "" for limit in limits)])
    return grid([row, *columns], lines, markdown)


def ratios(cells: Sequence[Cell], markdown: bool = False) -> str:
    """Ours over the best peer: ``ratio``, then GB/s of both, then the share of the limit."""
    columns = unique(c.column for c in cells)
    lines = []
    for row in unique(c.row for c in cells):
        line = [row]
        for column in columns:
            here = at(cells, row, column)
            mine, peer = leader(here, True), leader(here, False)
            text = f"{number(mine.best)}:{number(peer.best)} = {mine.best / peer.best:.2f}" if mine and peer else ""
            if mine and mine.limit:
                text += f" ({100 * mine.best / mine.limit:.0f} %)"
            line.append(text)
        lines.append(line)
    return grid(["ours : best peer", *columns], lines, markdown)


def save(
    path: Path, cells: Sequence[Cell], machine: Mapping[str, str], notes: Mapping[str, object] | None = None
) -> None:
    content = {"machine": dict(machine), "notes": dict(notes or {}), "cells": [asdict(c) for c in cells]}
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> tuple[list[Cell], dict[str, str], dict[str, object]]:
    content = json.loads(path.read_text())
    return [Cell(**c) for c in content["cells"]], content["machine"], content["notes"]
