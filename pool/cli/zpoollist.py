"""``uberblock zpool list``: sizes and health of pools and their vdevs."""

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
)
from .vdevrows import add_name_options, entry, named, nested
from .zpoolget import SHORT, json_property, shown

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.space import VdevSpace
    from ..spa.status import Row

COLUMNS = "name,size,allocated,free,checkpoint,expandsize,fragmentation,capacity,dedupratio,health,altroot"
HEADERS = {
    "allocated": "ALLOC", "checkpoint": "CKPOINT", "expandsize": "EXPANDSZ", "fragmentation": "FRAG",
    "capacity": "CAP", "dedupratio": "DEDUP",
}  # fmt: skip
#: Columns that are words, and stand flush left; all others are numbers, or HEALTH, which stands as they do.
LEFT = {
    "name", "altroot", "autoexpand", "autoreplace", "autotrim", "bootfs", "cachefile", "comment", "compatibility",
    "delegation", "failmode", "listsnapshots", "multihost", "readonly",
}  # fmt: skip
NUMBER_WIDTH, HEALTH_WIDTH = 5, 8
#: Columns that a vdev can have something in; the last ones of the table are left out in its row.
OF_VDEVS = ("size", "allocated", "free", "checkpoint", "expandsize", "fragmentation", "capacity")
EPILOG = """\
examples:
  uberblock zpool list -d images/                          every pool in this folder
  uberblock zpool list -v -d images/ tank                  with each vdev
  uberblock zpool list -Hp -o name,allocated -d images/    exact numbers, for scripts
"""


def run(argv: Sequence[str]) -> int:
    """Run ``zpool list``; gives the exit status."""
    parser = Parser("zpool list", "Lists pools with their sizes and health.", EPILOG)
    add_open_options(parser)
    add_format_options(parser)
    add_json_pool_option(parser)
    parser.add_argument("-v", dest="verbose", action="store_true", help="every vdev too")
    parser.add_argument("-o", dest="columns", default=COLUMNS, metavar="PROPERTY,...", help="columns to show")
    add_name_options(parser)
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    columns = [SHORT.get(word, word) for word in args.columns.split(",") if word]
    if args.verbose and columns[:1] != ["name"]:
        raise UsageError("-v needs 'name' as the first column", "leave out -o, or begin it with name")
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}

    def show(pool: Pool) -> None:
        values = {column: pool.get(column) for column in columns if column != "name"}
        if args.json:
            document = pool_document(pool, args, kind="POOL")
            document["properties"] = {name: json_property(value, args) for name, value in values.items()}
            if args.verbose:
                document |= _vdev_documents(pool, args)
            documents[pool_key(pool, args)] = document
            return
        rows.append([pool.name if c == "name" else shown(values[c], args.exact) for c in columns])
        if args.verbose:
            rows.extend(_vdev_rows(pool, columns, args))

    asked = each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool list", {"pools": documents})
    elif rows:
        header = [HEADERS.get(column, column.upper()) for column in columns]
        right = [i for i, column in enumerate(columns) if column not in LEFT]
        least = {i: HEALTH_WIDTH if columns[i] == "health" else NUMBER_WIDTH for i in right}
        print_table(header, rows, scripted=args.scripted, right=right, least=least)
    elif not asked.names and not args.scripted:
        print("no pools available")
    return asked.status


# --- vdevs --------------------------------------------------------------------------------------------------------


class _Figures:
    """Figures of vdevs: of top-level ones what is allocated, of leaves the size of the device."""

    def __init__(self, pool: Pool, text: Callable[[int], str], percent: str) -> None:
        self._tops: dict[int, VdevSpace] = {one.vdev.guid: one for one in pool.spa.space.vdevs}
        self._devices = {leaf.guid: leaf.device.size for leaf in pool.tree.leaves if leaf.device is not None}
        self._beside = {device.guid: device for device in (*pool.spa.l2cache, *pool.spa.spares)}
        self._text = text
        self._percent = percent

    def of(self, row: Row) -> dict[str, str]:
        """What there is to say of a vdev, by property."""
        found = dict.fromkeys(OF_VDEVS, "-")
        one, beside = self._tops.get(row.guid), self._beside.get(row.guid)
        if one is not None:
            for name in ("size", "allocated", "free"):
                found[name] = self._text(getattr(one, name))
            found["capacity"] = f"{100 * one.allocated / one.size:.2f}{self._percent}" if one.size else "-"
            if one.fragmentation is not None:
                found["fragmentation"] = f"{one.fragmentation}{self._percent}"
            if one.checkpoint:
                found["checkpoint"] = self._text(one.checkpoint)
        if size := self._devices.get(row.guid) or (beside.device_size if beside is not None else 0):
            found["size"] = self._text(size)
        return found


def _vdev_rows(pool: Pool, columns: list[str], args: argparse.Namespace) -> list[list[str]]:
    """One row a vdev; a heading has dashes."""
    figures = _Figures(pool, str if args.exact else nicenum, "" if args.exact else "%")
    rows = []
    for row in named(pool.status().rows[1:], args):
        cells = {"name": "  " * row.depth + ("spare" if row.name == "spares" and not row.state else row.name)}
        cells |= figures.of(row) | {"health": row.state or "-"}
        cells["altroot"] = "-" if args.scripted else ""
        rows.append([cells.get(column, "-") for column in columns])
    return rows


def _vdev_documents(pool: Pool, args: argparse.Namespace) -> dict[str, Any]:
    numbers = Numbers(args)
    exact = args.exact or args.json_int
    figures = _Figures(pool, str if exact else nicenum, "" if exact else "%")

    def make(row: Row) -> dict[str, Any]:
        properties = {
            name: {"value": numbers.text(value), "source": {"type": "NONE", "data": "-"}}
            for name, value in figures.of(row).items()
        }
        return entry(row, numbers) | {"properties": properties}

    return dict(nested(named(pool.status().rows[1:], args), make))
