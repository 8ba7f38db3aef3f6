"""Tables as zpool and zfs print them, scripts' form (-H, -p) and JSON (-j)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

#: What zpool and zfs put at the head of their JSON.
VERS_MAJOR, VERS_MINOR = 0, 1


def add_format_options(parser: argparse.ArgumentParser, *, header: bool = True, exact: bool = True) -> None:
    """Add -H, -p, -j and --json-int to a command."""
    if header:
        parser.add_argument("-H", dest="scripted", action="store_true", help="no header, fields split by one tab")
    if exact:
        parser.add_argument("-p", dest="exact", action="store_true", help="exact numbers")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("--json-int", action="store_true", help="with -j: numbers as numbers, not strings")


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    scripted: bool = False,
    right: Iterable[int] = (),
    stream: TextIO | None = None,
) -> None:
    """Print rows below a header, columns two blanks apart, the ones in ``right`` flush right.

    Scripted: no header, fields split by one tab.
    """
    out = stream or sys.stdout
    if scripted:
        for row in rows:
            out.write("\t".join(row) + "\n")
        return
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    flush_right = set(right)
    last = len(header) - 1
    for row in table:
        cells = [
            cell.rjust(widths[i]) if i in flush_right else cell if i == last else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        ]
        out.write("  ".join(cells).rstrip() + "\n")


def print_json(command: str, content: dict[str, Any]) -> None:
    """Print one JSON document with OpenZFS's version head."""
    document = {
        "output_version": {"command": command, "vers_major": VERS_MAJOR, "vers_minor": VERS_MINOR},
        **content,
    }
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def number(value: int, *, as_int: bool) -> int | str:
    """A number as OpenZFS's JSON has it: a string, unless --json-int was given."""
    return value if as_int else str(value)


def human(value: int) -> str:
    """A size as zpool and zfs print it: at most five characters, powers of 1024, 1.50K, 24K, 2.05M.

    Three significant digits below 100 of a unit, whole numbers where the value is exact in its unit.
    """
    if value < 1024:
        return str(value)
    index = min((value.bit_length() - 1) // 10, 6)
    unit = 1 << (10 * index)
    letter = "BKMGTPE"[index]
    if value % unit == 0:
        return f"{value // unit}{letter}"
    scaled = value / unit
    for digits in (2, 1, 0):
        text = f"{scaled:.{digits}f}{letter}"
        if len(text) <= 5:
            return text
    return text
