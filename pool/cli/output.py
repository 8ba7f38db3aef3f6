"""Tables as zpool and zfs print them, scripts' form (-H, -p) and JSON (-j)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum

if TYPE_CHECKING:
    from ..pool import Pool

#: What zpool and zfs put at the head of their JSON.
VERS_MAJOR, VERS_MINOR = 0, 1
ZPL_VERSION = 5  # the newest version of file systems that there is


def add_format_options(parser: argparse.ArgumentParser, *, header: bool = True, exact: bool = True) -> None:
    """Add -H, -p, -j and --json-int to a command."""
    if header:
        parser.add_argument("-H", dest="scripted", action="store_true", help="no header, fields split by one tab")
    if exact:
        parser.add_argument("-p", dest="exact", action="store_true", help="exact numbers")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("--json-int", action="store_true", help="with -j: numbers as numbers, not strings")


def visible(text: str) -> str:
    """Text from a pool as a terminal may see it: odd bytes and control characters as ``\\x1b``."""
    if text.isprintable():
        return text
    odd = (c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode("utf-8", "surrogateescape")) for c in text)
    return "".join(odd)


def print_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    scripted: bool = False,
    right: Iterable[int] = (),
    least: Mapping[int, int] | None = None,
    gap: int = 2,
) -> None:
    """Print rows below a header, columns ``gap`` blanks apart, the ones in ``right`` flush right.

    Scripted: no header, fields split by one tab. ``least``: columns that have a width even if nothing needs it.
    """
    out = sys.stdout
    if scripted:
        for row in rows:
            out.write("\t".join(row) + "\n")
        return
    table = [list(header), *([visible(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table if i < len(row)) for i in range(len(header))]
    for column, width in (least or {}).items():
        widths[column] = max(widths[column], width)
    flush_right = set(right)
    last = len(header) - 1
    for row in table:
        cells = [
            cell.rjust(widths[i]) if i in flush_right else cell if i == last else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        ]
        out.write((" " * gap).join(cells).rstrip() + "\n")


def print_json(command: str, content: dict[str, Any]) -> None:
    """Print one JSON document with OpenZFS's version head."""
    document = {
        "output_version": {"command": command, "vers_major": VERS_MAJOR, "vers_minor": VERS_MINOR},
        **content,
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    # Odd bytes in names, which are lone surrogates here: JSON has an escape for these.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


class Numbers:
    """Numbers as JSON has them: shortened strings, exact ones with -p, plain numbers with --json-int."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._as_int: bool = args.json_int
        self._exact: bool = args.exact or args.json_int

    def count(self, value: int) -> int | str:
        """A number that is never shortened: a guid, a txg, a time."""
        return value if self._as_int else str(value)

    def size(self, value: int) -> int | str:
        """A size or a count."""
        return self.count(value) if self._exact else nicenum(value)

    def text(self, shown: str) -> int | str:
        """A value at hand as text."""
        return int(shown) if self._as_int and shown.isdecimal() else shown


def add_json_pool_option(parser: argparse.ArgumentParser) -> None:
    """Add --json-pool-key-guid."""
    parser.add_argument(
        "--json-pool-key-guid", dest="key_guid", action="store_true", help="with -j: pools by guid, not by name"
    )


def pool_key(pool: Pool, args: argparse.Namespace) -> str:
    """What a pool is found by in a JSON document."""
    return str(pool.guid) if args.key_guid else pool.name


def pool_document(pool: Pool, args: argparse.Namespace, *, kind: str = "") -> dict[str, Any]:
    """What every JSON document says of a pool first."""
    numbers = Numbers(args)
    return {
        "name": pool.name,
        **({"type": kind} if kind else {}),
        "state": pool.health,
        "pool_guid": numbers.count(pool.guid),
        "txg": numbers.count(pool.txg),
        "spa_version": numbers.count(pool.spa.version),
        "zpl_version": numbers.count(ZPL_VERSION),
    }
