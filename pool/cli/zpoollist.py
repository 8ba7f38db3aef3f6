"""``uberblock zpool list``: sizes and health of pools and their vdevs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from .access import add_open_options, open_pool
from .main import Parser
from .output import add_format_options, print_json, print_table
from .zpool import pool_names, shown

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.space import VdevSpace

COLUMNS = "name,size,allocated,free,checkpoint,expandsize,fragmentation,capacity,dedupratio,health,altroot"
HEADERS = {
    "allocated": "ALLOC", "checkpoint": "CKPOINT", "expandsize": "EXPANDSZ", "fragmentation": "FRAG",
    "capacity": "CAP", "dedupratio": "DEDUP",
}  # fmt: skip
SHORT = {
    "alloc": "allocated", "cap": "capacity", "frag": "fragmentation", "dedup": "dedupratio", "ckpoint": "checkpoint",
}  # fmt: skip
LEFT = {"name"}


def run(argv: Sequence[str]) -> int:
    """Run ``zpool list``; gives the exit status."""
    parser = Parser("zpool list", "Lists pools with their sizes and health.")
    add_open_options(parser)
    add_format_options(parser)
    parser.add_argument("-v", dest="verbose", action="store_true", help="every vdev too")
    parser.add_argument("-o", dest="columns", default=COLUMNS, metavar="PROPERTY,...", help="columns to show")
    parser.add_argument("pools", nargs="*", metavar="POOL")
    args = parser.parse_args(argv)
    columns = [SHORT.get(word, word) for word in args.columns.split(",") if word]
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}
    names = pool_names(args, args.pools)
    for name in names:
        with open_pool(args, name) as pool:
            values = {column: _value(pool, column, args.exact or args.json) for column in columns}
            rows.append(list(values.values()))
            if args.verbose:
                rows += _vdev_rows(pool, columns, args.exact)
            if args.json:
                documents[pool.name] = _document(pool, values, args)
    if args.json:
        print_json("zpool list", {"pools": documents})
        return 0
    if not names and not args.scripted:
        print("no pools available")
        return 0
    header = [HEADERS.get(column, column.upper()) for column in columns]
    right = [i for i, column in enumerate(columns) if column not in LEFT]
    print_table(header, rows, scripted=args.scripted, right=right)
    return 0


def _value(pool: Pool, column: str, exact: bool) -> str:
    if column == "name":
        return pool.name
    if column == "expandsize":
        return "-"
    return shown(pool.get(column), exact)


def _document(pool: Pool, values: dict[str, str], args: argparse.Namespace) -> dict[str, Any]:
    def number(text: str) -> str | int:
        return int(text) if args.json_int and text.isdigit() else text

    return {
        "name": pool.name,
        "type": "POOL",
        "state": pool.health,
        "pool_guid": number(str(pool.guid)),
        "txg": number(str(pool.txg)),
        "spa_version": number(str(pool.spa.version)),
        "zpl_version": "5",
        "properties": {
            name: {"value": number(value), "source": {"type": "NONE", "data": "-"}}
            for name, value in values.items()
            if name != "name"
        },
    }


def _vdev_rows(pool: Pool, columns: list[str], exact: bool) -> list[list[str]]:
    """One row a vdev: figures for top-level vdevs, sizes for leaves."""
    if columns[0] != "name":
        raise UsageError("-v needs 'name' as the first column", "leave out -o, or begin it with name")
    space = {one.vdev.guid: one for one in pool.spa.space.vdevs}
    sizes = {leaf.guid: leaf.device.size for leaf in pool.tree.leaves if leaf.device is not None}
    rows = []
    for row in pool.status().rows[1:]:
        cells = dict.fromkeys(columns, "-")
        cells["name"] = "  " * row.depth + row.name
        if row.state:
            cells |= _figures(space.get(row.guid), sizes.get(row.guid), exact, columns)
            if "health" in cells:
                cells["health"] = row.state
        rows.append(list(cells.values()))
    return rows


def _figures(one: VdevSpace | None, size: int | None, exact: bool, columns: list[str]) -> dict[str, str]:
    def text(value: int) -> str:
        return str(value) if exact else nicenum(value)

    found: dict[str, str] = {}
    if one is not None:
        found = {"size": text(one.size), "allocated": text(one.allocated), "free": text(one.free)}
        if one.fragmentation is not None:
            found["fragmentation"] = str(one.fragmentation) if exact else f"{one.fragmentation}%"
        if one.size:
            found["capacity"] = f"{100 * one.allocated / one.size:.2f}" + ("" if exact else "%")
    elif size:
        found = {"size": text(size)}
    return {name: value for name, value in found.items() if name in columns}
