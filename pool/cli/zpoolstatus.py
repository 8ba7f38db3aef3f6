"""``uberblock zpool status``: how pools are, for people and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicebytes
from ..spa.scanstate import date
from .access import add_open_options, each_pool
from .main import Parser
from .output import Numbers, add_format_options, add_json_pool_option, pool_document, pool_key, print_json, visible
from .vdevrows import Space, add_name_options, health, named, nested

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.scanstate import ScanState
    from ..spa.status import Row, Status

#: Conditions that -x does not count as trouble.
HARMLESS = ("old version", "features disabled")
EPILOG = """\
examples:
  uberblock zpool status -d images/               every pool in this folder
  uberblock zpool status -v -d images/ tank       with the names of damaged files
  uberblock zpool status -x -d images/            only pools with something wrong
"""


def run(argv: Sequence[str]) -> int:
    """Run ``zpool status``; gives the exit status."""
    parser = Parser("zpool status", "Shows how pools are: state, what is wrong, what to do, and every vdev.", EPILOG)
    add_open_options(parser)
    add_format_options(parser, header=False)
    add_json_pool_option(parser)
    parser.add_argument("--json-flat-vdevs", dest="flat", action="store_true", help="with -j: vdevs in one level")
    parser.add_argument("-v", dest="verbose", action="store_true", help="name every damaged file the pool remembers")
    parser.add_argument("-x", dest="unhealthy", action="store_true", help="only pools with something wrong")
    parser.add_argument("-e", dest="troubled", action="store_true", help="only vdevs with something wrong")
    add_name_options(parser)
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    documents: dict[str, Any] = {}
    printed = 0

    def show(pool: Pool) -> None:
        nonlocal printed
        status = pool.status()
        if args.unhealthy and (status.condition is None or status.condition.name in HARMLESS):
            if args.pools and not args.json:
                print(f"pool '{pool.name}' is healthy")
            return
        if args.json:
            documents[pool_key(pool, args)] = _document(pool, status, args)
            return
        if printed:
            print()
        for line in status.lines(_rows(status, args), files=args.verbose, exact=args.exact):
            text = line.removeprefix("\t")
            print(("" if text == line else "\t") + visible(text))
        for note in pool.notes:
            print(f"  note: {visible(note)}")
        printed += 1

    asked = each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool status", {"pools": documents})
    elif not asked.names:
        print("no pools available")
    elif args.unhealthy and not args.pools and not printed and not asked.status:
        print("all pools are healthy")
    return asked.status


def _rows(status: Status, args: argparse.Namespace) -> list[Row]:
    rows = named(status.rows, args)
    if not args.troubled:
        return rows
    kept = {row.section for row in rows if row.troubled}
    return [row for row in rows if row.troubled or row.depth == 0 or (not row.state and row.section in kept)]


def _document(pool: Pool, status: Status, args: argparse.Namespace) -> dict[str, Any]:
    numbers = Numbers(args)
    document = pool_document(pool, args)
    if status.condition is None:
        document["status"] = "OK"
    else:
        document |= {"status": status.condition.status, "action": status.condition.action}
        if status.condition.message:
            document |= {"msgid": status.condition.message, "moreinfo": status.condition.see}
    if status.scan is not None:
        document["scan_stats"] = _scan(status.scan, numbers, args)
    space = Space(pool)
    rows = _rows(status, args)
    document |= nested(rows, lambda row: health(row, numbers, space), flat=args.flat)
    document["error_count"] = numbers.count(len(status.errors))
    if args.verbose and status.errors:
        document["errlist"] = status.error_paths()
    if pool.notes:
        document["notes"] = pool.notes
    return document


def _scan(scan: ScanState, numbers: Numbers, args: argparse.Namespace) -> dict[str, Any]:
    functions, states = ("NONE", "SCRUB", "RESILVER", "ERRORSCRUB"), ("NONE", "SCANNING", "FINISHED", "CANCELED")

    def word(names: tuple[str, ...], value: int) -> str:
        return names[value] if value < len(names) else str(value)

    def when(seconds: int) -> int | str:
        return numbers.count(seconds) if args.exact or args.json_int else date(seconds)

    def size(value: int) -> int | str:
        return numbers.count(value) if args.exact or args.json_int else nicebytes(value)

    return {
        "function": word(functions, scan.func),
        "state": word(states, scan.state),
        "start_time": when(scan.start_time),
        "end_time": when(scan.end_time),
        "to_examine": size(scan.to_examine),
        "examined": size(scan.examined),
        "skipped": size(scan.skipped),
        "processed": size(scan.processed),
        "errors": numbers.count(scan.errors),
    }
