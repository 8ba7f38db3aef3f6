"""``uberblock zpool``: import (what is there), status, list, get, history, in the shape zpool users know."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from .access import add_open_options, open_pool, search_path
from .main import Parser
from .output import add_format_options, print_json, print_table

if TYPE_CHECKING:
    import argparse

    from ..pool import Pool
    from ..spa.properties import PoolProperty
    from ..spa.status import Row, Status

USAGE = """\
usage: uberblock zpool COMMAND [OPTION]... [POOL]...

commands:
  import   the pools found here, with their states and what can be done; --txgs: what a pool can be opened at
  status   how a pool is, with every vdev
  list     sizes and health; -v: of every vdev
  get      pool properties
  history  what was done to a pool

'uberblock zpool COMMAND --help' tells more.
"""
FIELDS = ("name", "property", "value", "source")
#: Properties shown as sizes, as percents and as ratios.
SIZES = {
    "size", "allocated", "free", "freeing", "leaked", "checkpoint", "expandsize", "bclonesaved", "bcloneused",
    "dedup_table_size", "dedupcached",
}  # fmt: skip
PERCENTS = {"capacity", "fragmentation"}
RATIOS = {"dedupratio", "bcloneratio"}


def run(name: str, argv: Sequence[str]) -> int:
    """Run a ``zpool`` command; gives the exit status."""
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "import": _import, "status": _status, "list": _list, "get": _get, "history": _history,
    }  # fmt: skip
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if argv else 2
    command = commands.get(argv[0])
    if command is None:
        raise UsageError(f"there is no command 'zpool {argv[0]}'", "'uberblock zpool --help' lists them")
    return command(argv[1:])


def _import(argv: Sequence[str]) -> int:
    from .zpoolimport import run as run_import

    return run_import(argv)


def _list(argv: Sequence[str]) -> int:
    from .zpoollist import run as run_list

    return run_list(argv)


def pool_names(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """The pools that were named, or all that are found."""
    if names:
        return list(names)
    from .. import find_pools
    from ..ondisk.label import STATE_DESTROYED

    found = [c for c in find_pools(search_path(args.search)) if c.state != STATE_DESTROYED]
    twice = {c.name for c in found if sum(o.name == c.name for o in found) > 1}
    return sorted(str(c.guid) if c.name in twice else c.name for c in found)


def shown(prop: PoolProperty, exact: bool) -> str:
    """A property's value for people, or exact."""
    value = prop.value
    if exact or not value.replace(".", "").isdigit():
        return value
    if prop.name in SIZES:
        return nicenum(int(value))
    if prop.name in PERCENTS:
        return f"{value}%"
    if prop.name in RATIOS:
        return f"{value}x"
    return value


# --- status -------------------------------------------------------------------------------------------------------


def _status(argv: Sequence[str]) -> int:
    parser = Parser("zpool status", "Shows how pools are: state, what is wrong, what to do, and every vdev.")
    add_open_options(parser)
    add_format_options(parser, header=False, exact=False)
    parser.add_argument("-v", dest="verbose", action="store_true", help="name every damaged file the pool remembers")
    parser.add_argument("-x", dest="unhealthy", action="store_true", help="only pools with something wrong")
    parser.add_argument("pools", nargs="*", metavar="POOL")
    args = parser.parse_args(argv)
    documents: dict[str, Any] = {}
    printed = 0
    names = pool_names(args, args.pools)
    for name in names:
        with open_pool(args, name) as pool:
            status = pool.status()
            if args.unhealthy and status.healthy:
                continue
            if args.json:
                documents[pool.name] = _status_document(pool, status, args)
                continue
            print(("\n" if printed else "") + "\n".join(status.lines()))
            printed += 1
            if args.verbose and status.errors:
                print()
                for error in status.errors:
                    print(f"        {error}")
            for note in pool.notes:
                print(f"  note: {note}")
    if args.json:
        print_json("zpool status", {"pools": documents})
    elif not names:
        print("no pools available")
    elif args.unhealthy and not printed:
        print("all pools are healthy")
    return 0


def _status_document(pool: Pool, status: Status, args: argparse.Namespace) -> dict[str, Any]:
    def number(value: int) -> int | str:
        return value if args.json_int else str(value)

    document: dict[str, Any] = {
        "name": pool.name,
        "state": status.state,
        "pool_guid": number(pool.guid),
        "txg": number(pool.txg),
        "spa_version": number(pool.spa.version),
        "zpl_version": "5",
    }
    if status.condition is not None:
        document |= {"status": status.condition.status, "action": status.condition.action}
        if status.condition.message:
            document |= {"msgid": status.condition.message, "moreinfo": status.condition.see}
    document["vdevs"] = _nested(status.rows, number, section="")
    for section in ("dedup", "special", "logs", "cache", "spares"):
        rows = [row for row in status.rows if row.section == section and row.state]
        if rows:
            document["l2cache" if section == "cache" else section] = _nested(rows, number, section=section)
    document["error_count"] = number(len(status.errors))
    if args.verbose:
        document["errlist"] = [str(error) for error in status.errors]
    if pool.notes:
        document["notes"] = pool.notes
    return document


def _nested(rows: Sequence[Row], number: Callable[[int], int | str], *, section: str) -> dict[str, Any]:
    """Rows of the table as a tree: each vdev by its name, its children inside."""
    top: dict[str, Any] = {}
    stack: list[tuple[int, dict[str, Any]]] = []
    for row in rows:
        if row.section != section or not row.state:
            continue
        entry: dict[str, Any] = {"name": row.name, "guid": number(row.guid), "state": row.state}
        if row.read is not None and row.write is not None and row.checksum is not None:
            entry |= {
                "read_errors": number(row.read),
                "write_errors": number(row.write),
                "checksum_errors": number(row.checksum),
            }
        if row.note:
            entry["note"] = row.note
        while stack and stack[-1][0] >= row.depth:
            stack.pop()
        (stack[-1][1].setdefault("vdevs", {}) if stack else top)[row.name] = entry
        stack.append((row.depth, entry))
    return top


# --- get ----------------------------------------------------------------------------------------------------------


def _get(argv: Sequence[str]) -> int:
    parser = Parser("zpool get", "Shows pool properties.")
    add_open_options(parser)
    add_format_options(parser)
    parser.add_argument("-o", dest="fields", default=",".join(FIELDS), metavar="FIELD,...", help="fields to show")
    parser.add_argument("properties", metavar="all|PROPERTY,...")
    parser.add_argument("pools", nargs="*", metavar="POOL")
    args = parser.parse_args(argv)
    fields = list(FIELDS) if args.fields == "all" else args.fields.split(",")
    if unknown := [field for field in fields if field not in FIELDS]:
        raise UsageError(f"there is no field {unknown[0]!r}", f"fields are {', '.join(FIELDS)}")
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}
    for name in pool_names(args, args.pools):
        with open_pool(args, name) as pool:
            if args.properties == "all":
                values = list(pool.properties().values())
            else:
                values = [pool.get(word) for word in args.properties.split(",") if word]
            for prop in values:
                value = shown(prop, args.exact)
                cells = {"name": pool.name, "property": prop.name, "value": value, "source": prop.source}
                rows.append([cells[field] for field in fields])
            if args.json:
                documents[pool.name] = {
                    "name": pool.name, "type": "POOL", "state": pool.health,
                    "pool_guid": pool.guid if args.json_int else str(pool.guid),
                    "txg": pool.txg if args.json_int else str(pool.txg),
                    "properties": {p.name: _property(p, args) for p in values},
                }  # fmt: skip
    if args.json:
        print_json("zpool get", {"pools": documents})
    else:
        print_table([field.upper() for field in fields], rows, scripted=args.scripted)
    return 0


def _property(prop: PoolProperty, args: argparse.Namespace) -> dict[str, Any]:
    value: str | int = shown(prop, args.exact or args.json_int)
    if args.json_int and str(value).isdigit():
        value = int(value)
    return {"value": value, "source": {"type": {"-": "NONE"}.get(prop.source, prop.source.upper()), "data": "-"}}


# --- history ------------------------------------------------------------------------------------------------------


def _history(argv: Sequence[str]) -> int:
    parser = Parser("zpool history", "Shows what was done to pools.")
    add_open_options(parser)
    parser.add_argument("-i", dest="internal", action="store_true", help="internal events too")
    parser.add_argument("-l", dest="long", action="store_true", help="with user, host and zone")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("pools", nargs="*", metavar="POOL")
    args = parser.parse_args(argv)
    documents: dict[str, Any] = {}
    for name in pool_names(args, args.pools):
        with open_pool(args, name) as pool:
            records = [r for r in pool.history() if args.internal or r.kind == "command"]
            if args.json:
                documents[pool.name] = [
                    {"time": r.time, "kind": r.kind, "text": r.text, "txg": r.txg, "dataset": r.dataset, "who": r.who,
                     "hostname": r.hostname, "zone": r.zone}
                    for r in records
                ]  # fmt: skip
                continue
            print(f"History for '{pool.name}':")
            for record in records:
                suffix = ""
                if args.long and record.hostname:
                    who = "" if record.who is None else f"user {record.who} "
                    suffix = f" [{who}on {record.hostname}{':' + record.zone if record.zone else ''}]"
                print(f"{record}{suffix}")
            print()
    if args.json:
        print_json("zpool history", {"pools": documents})
    sys.stdout.flush()
    return 0
