"""``uberblock zpool``: import (what is there), status, list, get, history, in the shape zpool users know."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from .access import add_open_options, each_pool
from .main import Parser
from .output import (
    Numbers,
    add_format_options,
    add_json_pool_option,
    pool_document,
    pool_key,
    print_json,
    print_table,
    visible,
)

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.properties import PoolProperty

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
#: Short names of properties, as zpoolprops(7) has them.
SHORT = {
    "alloc": "allocated", "cap": "capacity", "frag": "fragmentation", "dedup": "dedupratio", "ckpoint": "checkpoint",
    "listsnaps": "listsnapshots", "expandsz": "expandsize", "rdonly": "readonly", "replace": "autoreplace",
    "expand": "autoexpand",
}  # fmt: skip


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


def _status(argv: Sequence[str]) -> int:
    from .zpoolstatus import run as run_status

    return run_status(argv)


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


# --- get ----------------------------------------------------------------------------------------------------------


GET_EPILOG = """\
examples:
  uberblock zpool get -d images/ all tank              every property, and the states of feature flags
  uberblock zpool get -Hp -o value -d images/ guid tank
"""


def _get(argv: Sequence[str]) -> int:
    parser = Parser("zpool get", "Shows pool properties with their values and where these come from.", GET_EPILOG)
    add_open_options(parser)
    add_format_options(parser)
    add_json_pool_option(parser)
    parser.add_argument("-o", dest="fields", default=",".join(FIELDS), metavar="FIELD,...", help="fields to show")
    parser.add_argument("properties", metavar="all|PROPERTY,...")
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    fields = list(FIELDS) if args.fields == "all" else args.fields.split(",")
    if unknown := [field for field in fields if field not in FIELDS]:
        raise UsageError(f"there is no field {unknown[0]!r}", f"fields are {', '.join(FIELDS)}")
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}

    def show(pool: Pool) -> None:
        if args.properties == "all":
            values = list(pool.properties().values())
        else:
            values = [pool.get(SHORT.get(word, word)) for word in args.properties.split(",") if word]
        for prop in values:
            value = shown(prop, args.exact)
            cells = {"name": pool.name, "property": prop.name, "value": value, "source": prop.source}
            rows.append([cells[field] for field in fields])
        described = {prop.name: json_property(prop, args) for prop in values}
        documents[pool_key(pool, args)] = pool_document(pool, args, kind="POOL") | {"properties": described}

    asked = each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool get", {"pools": documents})
    elif rows:
        print_table([field.upper() for field in fields], rows, scripted=args.scripted)
    return asked.status


def json_property(prop: PoolProperty, args: argparse.Namespace) -> dict[str, Any]:
    """A property as JSON has it."""
    value = Numbers(args).text(shown(prop, args.exact or args.json_int))
    return {"value": value, "source": {"type": {"-": "NONE"}.get(prop.source, prop.source.upper()), "data": "-"}}


# --- history ------------------------------------------------------------------------------------------------------

HISTORY_EPILOG = """\
examples:
  uberblock zpool history -d images/ tank          the commands that made the pool what it is
  uberblock zpool history -il -d images/ tank      with internal events, and who did it on which host
"""


def _history(argv: Sequence[str]) -> int:
    parser = Parser("zpool history", "Shows what was done to pools, oldest first.", HISTORY_EPILOG)
    add_open_options(parser)
    parser.add_argument("-i", dest="internal", action="store_true", help="internal events too")
    parser.add_argument("-l", dest="long", action="store_true", help="with user, host and zone")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    documents: dict[str, Any] = {}

    def show(pool: Pool) -> None:
        records = [r for r in pool.history() if args.internal or r.kind == "command"]
        if args.json:
            documents[pool.name] = [
                {"time": r.time, "kind": r.kind, "text": r.text, "txg": r.txg, "dataset": r.dataset, "who": r.who,
                 "hostname": r.hostname, "zone": r.zone}
                for r in records
            ]  # fmt: skip
            return
        print(f"History for '{pool.name}':")
        for record in records:
            suffix = ""
            if args.long and record.hostname:
                who = "" if record.who is None else f"user {record.who} "
                suffix = f" [{who}on {record.hostname}{':' + record.zone if record.zone else ''}]"
            print(visible(f"{record}{suffix}"))
        print()

    asked = each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool history", {"pools": documents})
    return asked.status
