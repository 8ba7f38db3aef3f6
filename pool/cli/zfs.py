"""``uberblock zfs list`` and ``zfs get``, in the shape zfs users know."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .access import add_open_options, open_pool, search_path
from .main import Parser
from .output import add_format_options, print_json, print_table

if TYPE_CHECKING:
    from ..dsl.props import PropertyValue
    from ..pool import Dataset, Pool

TYPES = ("filesystem", "volume", "snapshot", "bookmark")
LIST_COLUMNS = "name,used,avail,refer,mountpoint"
GET_FIELDS = ("name", "property", "value", "received", "source")
SOURCES = ("local", "default", "inherited", "received", "temporary", "none")
#: Columns zfs list sets flush right: the numbers.
RIGHT = {
    "used", "available", "referenced", "compressratio", "refcompressratio", "quota", "refquota", "reservation",
    "refreservation", "volsize", "volblocksize", "usedbychildren", "usedbydataset", "usedbyrefreservation",
    "usedbysnapshots", "recordsize", "copies", "logicalused", "logicalreferenced", "written", "createtxg",
}  # fmt: skip
#: Short names of columns, as zfs(8) has them.
SHORT = {
    "avail": "available", "refer": "referenced", "refer.": "referenced", "ratio": "compressratio",
    "refratio": "refcompressratio", "compress": "compression", "recsize": "recordsize", "volblock": "volblocksize",
    "reserv": "reservation", "refreserv": "refreservation", "usedchild": "usedbychildren", "usedds": "usedbydataset",
    "usedsnap": "usedbysnapshots", "usedrefreserv": "usedbyrefreservation", "lused": "logicalused",
    "lrefer": "logicalreferenced", "rdonly": "readonly",
}  # fmt: skip
HEADERS = {
    "available": "AVAIL", "referenced": "REFER", "compressratio": "RATIO", "refcompressratio": "REFRATIO",
    "compression": "COMPRESS", "recordsize": "RECSIZE", "volblocksize": "VOLBLOCK", "reservation": "RESERV",
    "refreservation": "REFRESERV", "usedbychildren": "USEDCHILD", "usedbydataset": "USEDDS",
    "usedbysnapshots": "USEDSNAP", "usedbyrefreservation": "USEDREFRESERV", "logicalused": "LUSED",
    "logicalreferenced": "LREFER", "readonly": "RDONLY",
}  # fmt: skip
USAGE = """\
usage: uberblock zfs COMMAND [OPTION]... [DATASET]...

commands:
  list   datasets, one a line, with the columns asked for
  get    properties with their values and where these come from

'uberblock zfs COMMAND --help' tells more.
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``zfs list`` or ``zfs get``; gives the exit status."""
    commands = {"list": _list, "get": _get}
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
    parser.add_argument("--depth", type=int, metavar="N", help="everything below, N levels deep")
    parser.add_argument("-t", dest="types", metavar="TYPES", help="filesystem,snapshot,volume,bookmark,all")


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
    """The dataset named and, with -r, the ones below it, of the wanted types."""
    limit = args.depth if args.depth is not None else (None if args.recursive else 0)
    base = root.count("/") + root.count("@")
    if limit == 0:
        dataset = pool.dataset(root)
        named = args.types is None and dataset.type in ("snapshot", "bookmark")
        if dataset.type not in types and not named:
            return
        yield dataset
        return
    for dataset in pool.datasets(root, types=types):
        depth = dataset.name.count("/") + dataset.name.count("@") + dataset.name.count("#") - base
        if limit is None or depth <= limit:
            yield dataset


def _pools(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """What was named, or every pool that is found."""
    if names:
        return list(names)
    from .. import find_pools

    return sorted(candidate.name for candidate in find_pools(search_path(args.search)))


def _columns(words: str) -> list[str]:
    return [SHORT.get(word, word) for word in words.split(",") if word]


def _text(value: PropertyValue, exact: bool) -> str:
    return value.exact if exact else value.text


# --- list ---------------------------------------------------------------------------------------------------------


def _list(argv: Sequence[str]) -> int:
    parser = Parser("zfs list", "Lists datasets.")
    _common(parser)
    parser.add_argument("-o", dest="columns", default=LIST_COLUMNS, metavar="PROPERTY,...", help="columns to show")
    parser.add_argument("-s", dest="ascending", action="append", metavar="PROPERTY", help="sort by it (repeatable)")
    parser.add_argument("-S", dest="descending", action="append", metavar="PROPERTY", help="the same, largest first")
    parser.add_argument("datasets", nargs="*", metavar="DATASET")
    args = parser.parse_args(argv)
    columns = _columns(args.columns)
    types = _types(args.types, ("filesystem", "volume"))
    recursive_everything = not args.datasets and args.depth is None
    rows: list[list[str]] = []
    documents: dict[str, Any] = {}
    for name in _pools(args, args.datasets):
        if recursive_everything:
            args.recursive = True
        with open_pool(args, name) as pool:
            found = list(_select(pool, name, types, args))
            for key in reversed(args.ascending or []):
                found.sort(key=_sorter(key))
            for key in reversed(args.descending or []):
                found.sort(key=_sorter(key), reverse=True)
            for dataset in found:
                values = {column: dataset.get(column) for column in columns if column != "name"}
                rows.append([dataset.name if c == "name" else _text(values[c], args.exact) for c in columns])
                if args.json:
                    documents[dataset.name] = _document(pool, dataset, values, args)
    if args.json:
        print_json("zfs list", {"datasets": documents})
        return 0
    if not rows and not args.scripted:
        print("no datasets available")
        return 0
    header = [HEADERS.get(column, column.upper()) for column in columns]
    right = [i for i, column in enumerate(columns) if column in RIGHT]
    print_table(header, rows, scripted=args.scripted, right=right)
    return 0


def _sorter(key: str) -> Any:
    column = SHORT.get(key, key)

    def value(dataset: Dataset) -> tuple[bool, Any]:
        if column == "name":
            return (False, dataset.name)
        raw = dataset.get(column).raw
        return (not isinstance(raw, int), raw if isinstance(raw, int) else str(raw))

    return value


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
        shown = value.raw if str(value.raw) == value.exact else value.exact
    kind, _, origin = value.source.partition(" from ")
    source = {"-": "NONE"}.get(kind, kind.upper())
    return {"value": shown, "source": {"type": source, "data": origin or "-"}}


# --- get ----------------------------------------------------------------------------------------------------------


def _get(argv: Sequence[str]) -> int:
    parser = Parser("zfs get", "Shows properties of datasets with their values and sources.")
    _common(parser)
    parser.add_argument("-o", dest="fields", default="name,property,value,source", metavar="FIELD,...")
    parser.add_argument("-s", dest="sources", metavar="SOURCE,...", help=f"only values from {','.join(SOURCES)}")
    parser.add_argument("properties", metavar="all|PROPERTY,...")
    parser.add_argument("datasets", nargs="*", metavar="DATASET")
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
    for name in _pools(args, args.datasets):
        with open_pool(args, name) as pool:
            for dataset in _select(pool, name, types, args):
                values = [v for v in _wanted(dataset, args.properties) if _source_kind(v) in sources]
                rows += [_row(dataset, value, fields, args.exact) for value in values]
                if args.json:
                    documents[dataset.name] = _document(pool, dataset, {v.name: v for v in values}, args)
    if args.json:
        print_json("zfs get", {"datasets": documents})
    else:
        print_table([field.upper() for field in fields], rows, scripted=args.scripted)
    return 0


def _wanted(dataset: Dataset, words: str) -> list[PropertyValue]:
    if words == "all":
        return list(dataset.properties().values())
    return [dataset.get(SHORT.get(word, word)) for word in words.split(",") if word]


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
