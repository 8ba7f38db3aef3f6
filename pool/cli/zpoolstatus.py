"""``uberblock zpool status``: how pools are, for people and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicebytes
from ..errors import PoolError
from ..spa.leafwork import leaf_work
from ..spa.scanstate import date
from ..vdev.leaf import LeafVdev
from .access import add_open_options, each_pool
from .dedup import dedup_document, dedup_lines
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
    parser.add_argument("-s", dest="slow", action="store_true", help="a column for slow I/O")
    parser.add_argument("-i", dest="initialized", action="store_true", help="whether leaves were initialized")
    parser.add_argument("-t", dest="trimmed", action="store_true", help="whether leaves were trimmed")
    parser.add_argument("-D", dest="dedup", action="store_true", help="sizes and histogram of the dedup tables")
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
        rows = [_with_work(status, row, args) for row in _rows(status, args)]
        lines = status.lines(rows, files=args.verbose, exact=args.exact, slow=args.slow)
        for line in lines + (dedup_lines(pool.spa, args.exact) if args.dedup else []):
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


def _with_work(status: Status, row: Row, args: argparse.Namespace) -> Row:
    """A row with what was done to the leaf: always when it is going on, else if it was asked for."""
    leaf = status.spa.tree.by_guid.get(row.guid)
    if not isinstance(leaf, LeafVdev) or leaf.virtual or not leaf.readable:
        return row
    try:
        work = leaf_work(status.spa, leaf)
    except PoolError as error:
        # How the pool is can be told without it.
        return replace(row, note=f"{row.note}  (not known whether initialized or trimmed: {error.what})".lstrip())
    texts = (row.note, work["initialize"].text(args.initialized), work["trim"].text(args.trimmed))
    return replace(row, note="  ".join(filter(None, texts)))


def _work_document(status: Status, row: Row, args: argparse.Namespace, numbers: Numbers) -> dict[str, Any]:
    leaf = status.spa.tree.by_guid.get(row.guid)
    if not isinstance(leaf, LeafVdev) or leaf.virtual:
        return {}
    work = leaf_work(status.spa, leaf)
    found: dict[str, Any] = {}
    for asked, prefix, one in ((args.initialized, "init", work["initialize"]), (args.trimmed, "trim", work["trim"])):
        if asked:
            name = "VDEV_INITIALIZE" if prefix == "init" else "VDEV_TRIM"
            found[f"{prefix}_state"] = f"{name}_{one.state_text.upper()}"
            if one.state:
                found |= {f"{prefix}_percent": numbers.count(one.percent), f"{prefix}_time": numbers.count(one.time)}
    if args.slow:
        found["slow_ios"] = numbers.count(0)
    return found


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

    def make(row: Row) -> dict[str, Any]:
        return health(row, numbers, space) | _work_document(status, row, args, numbers)

    document |= nested(rows, make, flat=args.flat)
    if args.dedup:
        document["dedup_stats"] = dedup_document(pool.spa, numbers)
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
