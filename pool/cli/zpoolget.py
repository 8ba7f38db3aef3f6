"""``uberblock zpool get``: properties of pools and of vdevs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from .access import Asked, add_open_options, attempt, each_pool, open_pool
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

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.properties import PoolProperty
    from ..vdev.vdev import Vdev

FIELDS = ("name", "property", "value", "source")
#: Properties shown as sizes, as percents and as ratios.
SIZES = {
    "size", "allocated", "free", "freeing", "leaked", "checkpoint", "expandsize", "bclonesaved", "bcloneused",
    "dedup_table_size", "dedupcached", "asize", "psize",
}  # fmt: skip
PERCENTS = {"capacity", "fragmentation"}
RATIOS = {"dedupratio", "bcloneratio"}
#: Short names of properties, as zpoolprops(7) has them.
SHORT = {
    "alloc": "allocated", "cap": "capacity", "frag": "fragmentation", "dedup": "dedupratio", "ckpoint": "checkpoint",
    "listsnaps": "listsnapshots", "expandsz": "expandsize", "rdonly": "readonly", "replace": "autoreplace",
    "expand": "autoexpand",
}  # fmt: skip
EPILOG = """\
examples:
  uberblock zpool get -d images/ all tank              every property, and the states of feature flags
  uberblock zpool get -Hp -o value -d images/ guid tank
  uberblock zpool get -d images/ size,state tank mirror-0       properties of a vdev
  uberblock zpool get -d images/ all tank all-vdevs             of the root and all vdevs; root: of that alone
"""


def run(argv: Sequence[str]) -> int:
    """Run ``zpool get``; gives the exit status."""
    what = "Shows properties of pools, or of a pool's vdevs, with their values and where these come from."
    parser = Parser("zpool get", what, EPILOG)
    add_open_options(parser)
    add_format_options(parser)
    add_json_pool_option(parser)
    parser.add_argument("-o", dest="fields", default=",".join(FIELDS), metavar="FIELD,...", help="fields to show")
    parser.add_argument("properties", metavar="all|PROPERTY,...")
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL", help="a pool, or one and VDEV...")
    args = parser.parse_args(argv)
    fields = list(FIELDS) if args.fields == "all" else args.fields.split(",")
    if unknown := [field for field in fields if field not in FIELDS]:
        raise UsageError(f"there is no field {unknown[0]!r}", f"fields are {', '.join(FIELDS)}")
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}

    def add(name: str, values: list[PoolProperty]) -> dict[str, Any]:
        for prop in values:
            cells = {"name": name, "property": prop.name, "value": shown(prop, args.exact), "source": prop.source}
            rows.append([cells[field] for field in fields])
        return {"properties": {prop.name: json_property(prop, args) for prop in values}}

    def show(pool: Pool) -> None:
        if args.properties == "all":
            values = list(pool.properties().values())
        else:
            values = [pool.get(SHORT.get(word, word)) for word in args.properties.split(",") if word]
        documents[pool_key(pool, args)] = pool_document(pool, args, kind="POOL") | add(pool.name, values)

    def show_vdevs(pool: Pool, vdevs: list[Vdev]) -> None:
        found = {}
        numbers = Numbers(args)
        for vdev in vdevs:
            entry = {"name": _name(vdev), "vdev_type": vdev.type, "guid": numbers.count(vdev.guid)}
            found[_name(vdev)] = entry | {"state": vdev.state_text} | add(_name(vdev), _chosen(pool, vdev, args))
        documents[pool_key(pool, args)] = pool_document(pool, args, kind="POOL") | {"vdevs": found}

    asked = _vdevs_asked(args, show_vdevs) or each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool get", {"pools": documents})
    elif rows:
        print_table([field.upper() for field in fields], rows, scripted=args.scripted)
    return asked.status


def _vdevs_asked(args: argparse.Namespace, show: Any) -> Asked | None:
    """Show vdevs, if the words behind the first pool name some; None: they are to be pools."""
    from .. import find_pools
    from ..spa.vdevprops import ALL_VDEVS, find_vdevs
    from .access import search_path

    pool_word, words = args.pools[:1], args.pools[1:]
    if not words:
        return None
    found = find_pools(search_path(args.search))
    names = {name for candidate in found for name in (candidate.name, str(candidate.guid))}
    if names.issuperset(words) and ALL_VDEVS not in words:
        return None

    def work() -> None:
        with open_pool(args, pool_word[0], whole=True) as pool:
            show(pool, [vdev for word in words for vdev in find_vdevs(pool.spa, word)])

    return Asked(pool_word, attempt(work))


def _name(vdev: Vdev) -> str:
    from ..spa.vdevprops import vdev_name

    return vdev_name(vdev)


def _chosen(pool: Pool, vdev: Vdev, args: argparse.Namespace) -> list[PoolProperty]:
    """The properties of a vdev that were asked for."""
    from ..spa.properties import PoolProperty
    from ..spa.vdevprops import vdev_properties

    known = vdev_properties(pool.spa, vdev)
    if args.properties == "all":
        return list(known.values())
    wanted = [SHORT.get(word, word) for word in args.properties.split(",") if word]
    for name in wanted:
        if name not in known and ":" not in name:
            raise UsageError(f"no vdev property is called {name!r}", f"they are {', '.join(known)}")
    return [known.get(name) or PoolProperty(name, "-", "default") for name in wanted]


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


def json_property(prop: PoolProperty, args: argparse.Namespace) -> dict[str, Any]:
    """A property as JSON has it."""
    value = Numbers(args).text(shown(prop, args.exact or args.json_int))
    return {"value": value, "source": {"type": {"-": "NONE"}.get(prop.source, prop.source.upper()), "data": "-"}}
