"""Figures as a picture, by matplotlib where it is installed (it is no dependency): SVG, PNG or PDF by the name.

    python -m bench.plot RESULTS.json PICTURE.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import table
from .table import Cell


def draw(cells: Sequence[Cell], path: Path, title: str, columns: int = 3) -> None:
    """One panel for each row of the results: a line of GB/s over the columns for each contender, ours bold, and
    the limit dashed. RuntimeError: matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RuntimeError("a plot needs matplotlib, which is not installed: pip install matplotlib") from None
    rows = table.unique(c.row for c in cells)
    columns = min(columns, len(rows))
    height = -(-len(rows) // columns)
    figure = Figure(figsize=(5.4 * columns, 3.4 * height), layout="constrained")
    grid = figure.subplots(height, columns, squeeze=False)
    people = table.unique(c.who for c in cells)
    for panel, row in zip(grid.flat, rows, strict=False):
        ticks = table.unique(c.column for c in cells if c.row == row)
        for i, who in enumerate(people):
            mine = {c.column: c for c in cells if c.row == row and c.who == who}
            if mine:
                ours = next(iter(mine.values())).ours
                x = [ticks.index(name) for name in mine]
                style = {"linewidth": 2.4, "marker": "o"} if ours else {"linewidth": 1.1, "marker": "."}
                panel.plot(x, [c.best for c in mine.values()], label=who, color=f"C{i % 10}", **style)
        limits = {c.column: c.limit for c in cells if c.row == row and c.limit}
        if limits:
            panel.plot([ticks.index(n) for n in limits], list(limits.values()), "k--", linewidth=0.8, label="limit")
        panel.set_title(row, fontsize=10)
        panel.set_yscale("log")
        panel.set_ylabel("GB/s", fontsize=8)
        panel.set_xticks(range(len(ticks)), ticks, fontsize=7, rotation=30)
        panel.tick_params(axis="y", labelsize=7)
        panel.grid(True, which="both", alpha=0.2)
        panel.legend(fontsize=6)
    for panel in list(grid.flat)[len(rows) :]:
        panel.set_axis_off()
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.plot", description="Draw the JSON of a benchmark.")
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    cells, machine, _ = table.read(options.results)
    draw(cells, options.picture, machine["processor"])


if __name__ == "__main__":
    main()
