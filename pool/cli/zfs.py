"""``uberblock zfs``: what can be asked of datasets, and (``zfschange``) done to them, in the shape zfs users know."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..dsl.proptable import PROPERTIES, Kind, find
from ..errors import UsageError
from .access import Pools, add_open_options, attempt, pool_names, pool_of
from .limits import natural
from .main import Parser
from .output import Numbers, add_format_options, print_json, print_table

if TYPE_CHECKING:
    from ..dsl.props import PropertyValue
    from ..pool import Dataset, Pool

TYPES = ("filesystem", "volume", "snapshot", "bookmark")
LIST_COLUMNS = "name,used,avail,refer,mountpoint"
SPACE_COLUMNS = "name,avail,used,usedsnap,usedds,usedrefreserv,usedchild"
GET_FIELDS = ("name", "property", "value", "received", "source")
SOURCES = ("local", "default", "inherited", "received", "temporary", "none")
#: Numbers that zfs list sets flush left: dates.
DATES = ("creation", "snapshots_changed")
NUMBER_WIDTH = 5
USAGE = """\
usage: uberblock zfs COMMAND [OPTION]... [DATASET]...

commands:
  list      datasets, one a line, with the columns asked for
  get       properties with their values and where these come from
  create    make a file system or volume
  destroy   destroy one with all that is in it
  set       set properties
  inherit   take properties back

'uberblock zfs COMMAND --help' tells more.
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run a ``zfs`` command; gives the exit status."""
    from . import zfschange

    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "list": _list, "get": _get, "create": zfschange.create, "destroy": zfschange.destroy, "set": zfschange.set_,
        "inherit": zfschange.inherit,
    }  # fmt: skip
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if argv else 2
    command = commands.get(argv[0])
    if command is None:
        raise UsageError(f"there is no command 'zfs {argv[0]}'", "'uberblock zfs --help' lists them")
    return command(argv[1:])


def _common(parser: argparse.ArgumentParser) -> None:
    add_open_options(parser)
    add_format_options(parser)
    parser.add_argument("-r", dest="recursive", action="store_true", help="everything below too")
    parser.add_argument(
        "--depth", type=natural, metavar="N", help="everything below, N levels deep (zfs's -d, which names places here)"
    )
    parser.add_argument(
        "-t", dest="types", metavar="TYPE,...", help="only these: filesystem (fs), volume (vol), snapshot (snap), "
        "bookmark, or all; snapshots and bookmarks of a dataset that is named show without -r"
    )  # fmt: skip


def _types(words: str | None, default: Sequence[str]) -> set[str]:
    if words is None:
        return set(default)
    plain = {"fs": "filesystem", "snap": "snapshot", "vol": "volume"}
    wanted: set[str] = set()
    for word in words.split(","):
        full = plain.get(word, word)
        if full == "all":
            return set(TYPES)
        if full not in TYPES:
            raise UsageError(f"there is no dataset type {word!r}", f"give some of {', '.join(TYPES)}, all")
        wanted.add(full)
    return wanted


def _select(pool: Pool, root: str, types: set[str], args: argparse.Namespace) -> Iterator[Dataset]:
    """The dataset named and the ones below it, as far as was asked for, of the wanted types."""
    limit = args.depth if args.depth is not None else (None if args.recursive or not args.datasets else 0)
    if limit == 0 and args.types is not None and types & {"snapshot", "bookmark"}:
        limit = 1
    if limit == 0 or "@" in root or "#" in root:
        dataset = pool.dataset(root)
        if dataset.type in types or (args.types is None and dataset.type in ("snapshot", "bookmark")):
            yield dataset
        return
    base = root.count("/")
    for dataset in pool.datasets(root, types=types):
        depth = dataset.name.count("/") + dataset.name.count("@") + dataset.name.count("#") - base
        if limit is None or depth <= limit:
            yield dataset


def _each(args: argparse.Namespace, work: Callable[[Pool, str], None]) -> int:
    """Work on each dataset that was named, or each pool that is found; a pool is opened once for all of its names.

    What cannot be opened is told and does not keep the others from being shown. Gives the exit status.
    """
    with Pools(args) as pools:

        def one(name: str) -> None:
            if ":/" in name or name.endswith(":"):
                raise UsageError(f"{name!r} is a path in a dataset", f"give the dataset: {name.rpartition(':')[0]}")
            pool = pools.of(name)
            # A pool may have been called by its guid.
            work(pool, pool.name + name[len(pool_of(name)) :])

        status = 0
        for name in pool_names(args, args.datasets):
            status = max(status, attempt(lambda: one(name)))  # noqa: B023 (called at once)
        return status


def _columns(words: str) -> list[str]:
    """Columns by their whole names; all: every property."""
    found = []
    for word in words.split(","):
        if word == "all":
            found += ["name", *(prop.name for prop in PROPERTIES if prop.visible)]
        elif word:
            known = find(word)
            found.append(known.name if known else word)
    return found


def _text(value: PropertyValue, exact: bool) -> str:
    return value.exact if exact else value.text


# --- list ---------------------------------------------------------------------------------------------------------


LIST_EPILOG = """\
examples:
  uberblock zfs list -d images/                           file systems and volumes of every pool in this folder
  uberblock zfs list -d images/ -t snapshot tank/home     the snapshots of one
  uberblock zfs list -d images/ -rt all -o name,used,creation -s creation tank
  uberblock zfs list -d images/ -r -o space tank          what takes the space
"""


def _list(argv: Sequence[str]) -> int:
    parser = Parser("zfs list", "Lists datasets, one a line, with the columns asked for.", LIST_EPILOG)
    _common(parser)
    parser.add_argument(
        "-o", dest="columns", default=LIST_COLUMNS, metavar="PROPERTY,...", help="columns to show; also: space, all"
    )
    parser.add_argument("-s", dest="order", action=_Order, metavar="PROPERTY", help="sort by it (repeatable)")
    parser.add_argument("-S", dest="order", action=_Order, metavar="PROPERTY", help="the same, largest first")
    parser.add_argument("datasets", nargs="*", default=[], metavar="DATASET")
    args = parser.parse_args(argv)
    columns = _columns(SPACE_COLUMNS if args.columns == "space" else args.columns)
    chosen = _types(args.types, ("filesystem", "volume"))
    found: list[Dataset] = []
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}

    def collect(pool: Pool, name: str) -> None:
        types = chosen
        if args.types is None and args.columns != "space" and pool.get("listsnapshots").value == "on":
            types = chosen | {"snapshot"}
        found[:] = _select(pool, name, types, args)
        for key, largest_first in reversed(args.order or []):
            _sort(found, key, largest_first)
        for dataset in found:
            values = {column: dataset.get(column) for column in columns if column != "name"}
            rows.append([dataset.name if c == "name" else _text(values[c], args.exact) for c in columns])
            if args.json:
                documents[dataset.name] = _document(pool, dataset, values, args)

    status = _each(args, collect)
    if args.json:
        print_json("zfs list", {"datasets": documents})
    elif rows:
        _print_list(columns, rows, args)
    elif not args.scripted and not status:
        print("no datasets available", file=sys.stderr)
    return status


def _print_list(columns: list[str], rows: list[list[str]], args: argparse.Namespace) -> None:
    known = [find(column) for column in columns]
    header = [prop.column if prop and prop.column else column.upper() for prop, column in zip(known, columns)]
    right = [
        i for i, prop in enumerate(known) if prop and prop.kind is Kind.NUMBER and prop.name not in DATES
    ]  # fmt: skip
    print_table(header, rows, scripted=args.scripted, right=right, least=dict.fromkeys(right, NUMBER_WIDTH))


class _Order(argparse.Action):
    """Collects -s and -S in the order they were given: (property, largest first)."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: str | None = None) -> None:
        namespace.order = [*(namespace.order or []), (values, option == "-S")]


def _sort(found: list[Dataset], key: str, largest_first: bool) -> None:
    """Sort by a property; datasets that have none of it come last, either way."""
    if key == "name":
        found.sort(key=lambda dataset: dataset.name, reverse=largest_first)
        return
    values = {dataset.name: dataset.get(key).raw for dataset in found}

    def order(dataset: Dataset) -> tuple[int, str]:
        value = values[dataset.name]
        return (value, "") if isinstance(value, int) else (0, str(value))

    found.sort(key=order, reverse=largest_first)
    found.sort(key=lambda dataset: values[dataset.name] is None)


def _document(
    pool: Pool, dataset: Dataset, values: dict[str, PropertyValue], args: argparse.Namespace
) -> dict[str, Any]:
    plain = dataset.name.partition("@")[0].partition("#")[0]
    document: dict[str, Any] = {
        "name": dataset.name,
        "type": dataset.type.upper(),
        "pool": pool.name,
        "createtxg": dataset.createtxg if args.json_int else str(dataset.createtxg),
    }
    if dataset.type in ("snapshot", "bookmark"):
        document |= {"dataset": plain, f"{dataset.type}_name": dataset.name[len(plain) + 1 :]}
    document["properties"] = {name: _property(value, args) for name, value in values.items()}
    return document


def _property(value: PropertyValue, args: argparse.Namespace) -> dict[str, Any]:
    shown: str | int = _text(value, args.exact or args.json_int)
    if args.json_int and isinstance(value.raw, int):
        shown = Numbers(args).text(value.exact)
    kind, _, origin = value.source.partition(" from ")
    source = {"-": "NONE"}.get(kind, kind.upper())
    return {"value": shown, "source": {"type": source, "data": origin or "-"}}


# --- get ----------------------------------------------------------------------------------------------------------

GET_EPILOG = """\
Besides zfsprops(7)'s properties: written@SNAPSHOT, and userused@USER, userquota@USER, userobjused@USER ... (also for
group and project) by number.

examples:
  uberblock zfs get -d images/ all tank/home
  uberblock zfs get -d images/ -r -s local all tank          what was set anywhere
  uberblock zfs get -Hp -o value -d images/ used tank/home   for scripts
"""


def _get(argv: Sequence[str]) -> int:
    parser = Parser("zfs get", "Shows properties of datasets with their values and sources.", GET_EPILOG)
    _common(parser)
    parser.add_argument(
        "-o", dest="fields", default="name,property,value,source", metavar="FIELD,...",
        help=f"fields to show, of {','.join(GET_FIELDS)}, or all",
    )  # fmt: skip
    parser.add_argument("-s", dest="sources", metavar="SOURCE,...", help=f"only values from {','.join(SOURCES)}")
    parser.add_argument("properties", metavar="all|PROPERTY,...")
    parser.add_argument("datasets", nargs="*", default=[], metavar="DATASET")
    args = parser.parse_args(argv)
    fields = list(GET_FIELDS) if args.fields == "all" else args.fields.split(",")
    if unknown := [f for f in fields if f not in GET_FIELDS]:
        raise UsageError(f"there is no field {unknown[0]!r}", f"fields are {', '.join(GET_FIELDS)}")
    sources = set(args.sources.split(",")) if args.sources else set(SOURCES)
    if strange := sources - set(SOURCES):
        raise UsageError(f"there is no source {min(strange)!r}", f"sources are {', '.join(SOURCES)}")
    types = _types(args.types, TYPES)
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}

    def collect(pool: Pool, name: str) -> None:
        for dataset in _select(pool, name, types, args):
            values = [v for v in _wanted(dataset, args.properties) if _source_kind(v) in sources]
            rows.extend(_row(dataset, value, fields, args.exact) for value in values)
            if args.json:
                documents[dataset.name] = _document(pool, dataset, {v.name: v for v in values}, args)

    status = _each(args, collect)
    if args.json:
        print_json("zfs get", {"datasets": documents})
    elif rows:
        print_table([field.upper() for field in fields], rows, scripted=args.scripted)
    return status


def _wanted(dataset: Dataset, words: str) -> list[PropertyValue]:
    if words == "all":
        return list(dataset.properties().values())
    found = []
    for word in words.split(","):
        match = _BY_ID.fullmatch(word)
        if match:
            found.append(_of_holder(dataset, word, match))
        elif word:
            found.append(dataset.get(word))
    return found


_BY_ID = re.compile("(user|group|project)(obj)?(used|quota)@(.*)")


def _of_holder(dataset: Dataset, word: str, match: re.Match[str]) -> PropertyValue:
    """What a user, group or project takes or may take."""
    from ..dsl.nicenum import nicebytes, nicenum
    from ..dsl.props import Origin, PropertyValue

    who, objects, what, number = match.groups()
    if not number.isdecimal():
        raise UsageError(f"{word!r} does not name a {who} by number", f"for example {who}{what}@0")
    if dataset.type not in ("filesystem", "snapshot") or (what == "quota" and dataset.type == "snapshot"):
        return PropertyValue(word, None, "-", "-")
    filesystem = dataset.fs().filesystem
    kind: Any = who + (objects or "")
    if what == "used":
        value = filesystem.used(kind).get(int(number), 0)
    else:
        value = filesystem.quotas(kind).get(int(number), 0) or filesystem.default_quota(kind)
    text = (nicenum if objects else nicebytes)(value)
    none = what == "quota" and not value
    return PropertyValue(word, value, "none" if none else text, str(value), Origin.LOCAL)


def _source_kind(value: PropertyValue) -> str:
    return "none" if value.source == "-" else value.source.partition(" ")[0]


def _row(dataset: Dataset, value: PropertyValue, fields: Sequence[str], exact: bool) -> list[str]:
    cells = {
        "name": dataset.name,
        "property": value.name,
        "value": _text(value, exact),
        "received": value.received or "-",
        "source": value.source,
    }
    return [cells[field] for field in fields]
