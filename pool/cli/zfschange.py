"""``uberblock zfs create``, ``destroy``, ``set`` and ``inherit``, in the shape zfs users know."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import NotEmptyError, UsageError
from .access import add_write_options, attempt, command_line, open_writable
from .main import Parser
from .zpoolchange import _pairs

if TYPE_CHECKING:
    from ..poolwrite import WritablePool

CREATE_EPILOG = """\
examples:
  uberblock zfs create tank/home
  uberblock zfs create -p -o compression=zstd-3 -o recordsize=1M tank/data/images
  uberblock zfs create -s -V 10G -b 64K tank/vm            a volume, without reserving its space
"""


def create(argv: Sequence[str]) -> int:
    """Run ``zfs create``; gives the exit status."""
    parser = Parser("zfs create", "Makes a file system, or with -V a volume.", CREATE_EPILOG)
    add_write_options(parser)
    parser.add_argument("-p", dest="parents", action="store_true", help="make missing parents; fine if it is there")
    parser.add_argument("-u", dest="unmounted", action="store_true", help="accepted: nothing is ever mounted")
    parser.add_argument("-o", dest="options", action="append", metavar="PROPERTY=VALUE", help="set it (repeatable)")
    parser.add_argument("-V", dest="size", metavar="SIZE", help="make a volume of this size")
    parser.add_argument("-s", dest="sparse", action="store_true", help="with -V: reserve no space for it")
    parser.add_argument("-b", dest="block", metavar="SIZE", help="with -V: the same as -o volblocksize=SIZE")
    parser.add_argument("-n", dest="dry", action="store_true", help="try everything, make nothing")
    parser.add_argument("-v", dest="verbose", action="store_true", help="say what is (or would be) made")
    parser.add_argument("-P", dest="parsable", action="store_true", help="as -v, for scripts")
    parser.add_argument("name", metavar="DATASET")
    args = parser.parse_args(argv)
    from ..dsl.propset import parse_size

    options: dict[str, int | str] = dict(_pairs(args.options, "-o"))
    if args.size is None and (args.sparse or args.block):
        raise UsageError("zfs create: -s and -b are for volumes", "give -V SIZE too")
    if "/" not in args.name:
        raise UsageError(f"{args.name!r} is a pool", "'uberblock zpool create' makes pools")
    command = command_line(["uberblock", "zfs", "create", *argv])
    with open_writable(args, args.name) as pool:
        if args.parents and _there(pool, args.name):
            return 0
        with suppress(_DryRun), pool.transaction():
            if args.size is None:
                pool.create_filesystem(args.name, options, parents=args.parents)
            else:
                block = parse_size(str(options.pop("volblocksize", args.block or "16K")), "volblocksize")
                size = parse_size(args.size, "-V")
                if block > 0:
                    size = -(-size // block) * block  # as zfs does
                if not args.sparse:
                    options.setdefault("refreservation", "auto")
                pool.create_volume(args.name, size, options, volblocksize=block, parents=args.parents)
                options = {"volsize": size, "volblocksize": block, **options}
            if args.verbose or args.parsable:
                _tell(args, pool, options)
            if args.dry:
                raise _DryRun
            pool.record(command)
    return 0


class _DryRun(Exception):
    """Takes back what was tried."""


def _tell(args: argparse.Namespace, pool: WritablePool, options: dict[str, int | str]) -> None:
    """What is made, and what is set on it, in zfs's two forms."""
    would = "would " if args.dry else ""
    if args.parents:
        print(f"create_ancestors\t{args.name}" if args.parsable else f"{would}create ancestors of {args.name}")
    print(f"create\t{args.name}" if args.parsable else f"{would}create {args.name}")
    if options.get("refreservation") == "auto":
        options["refreservation"] = pool.dataset(args.name).get("refreservation").exact
    for prop, value in options.items():
        print(f"property\t{prop}\t{value}" if args.parsable else f"\t{prop}={value}")


def _there(pool: WritablePool, name: str) -> bool:
    return any(dataset.name == name for dataset in pool.datasets(types=("filesystem", "volume")))


# --- destroy ----------------------------------------------------------------------------------------------------------

DESTROY_EPILOG = """\
examples:
  uberblock zfs destroy tank/home
  uberblock zfs destroy -rnv tank/data         what would go with everything below
"""


def destroy(argv: Sequence[str]) -> int:
    """Run ``zfs destroy``; gives the exit status."""
    parser = Parser("zfs destroy", "Destroys a file system or volume with all that is in it.", DESTROY_EPILOG)
    add_write_options(parser)
    parser.add_argument("-r", "-R", dest="recursive", action="store_true", help="and every dataset below it")
    parser.add_argument("-f", dest="force", action="store_true", help="accepted: nothing is ever mounted")
    parser.add_argument("-n", dest="dry", action="store_true", help="destroy nothing")
    parser.add_argument("-v", dest="verbose", action="store_true", help="say what is (or would be) destroyed")
    parser.add_argument("-p", dest="parsable", action="store_true", help="as -v, for scripts")
    parser.add_argument("name", metavar="DATASET")
    args = parser.parse_args(argv)
    if "@" in args.name or "#" in args.name:
        raise UsageError("snapshots and bookmarks are not destroyed yet", "give a file system or volume")
    command = command_line(["uberblock", "zfs", "destroy", *argv])
    with open_writable(args, args.name) as pool:
        pool.dataset(args.name)
        names = [one.name for one in pool.datasets(args.name, types=("filesystem", "volume"))]
        if pool.name == args.name:
            if not args.recursive:
                raise UsageError(
                    f"{args.name} is a pool", f"-r destroys all datasets in it, 'zpool destroy {args.name}' the pool"
                )
            names.remove(args.name)  # the root dataset stays, as with zfs
        elif len(names) > 1 and not args.recursive:
            raise NotEmptyError(f"{args.name} has datasets below it", f"give -r to destroy them too: {names[1]} ...")
        for name in sorted(names, key=lambda name: (-name.count("/"), name)):
            if args.parsable:
                print(f"destroy\t{name}")
            elif args.verbose:
                print(f"{'would' if args.dry else 'will'} destroy {name}")
            if not args.dry:
                pool.destroy(name)
        if not args.dry:
            pool.record(command)
    return 0


# --- set, inherit -----------------------------------------------------------------------------------------------------

SET_EPILOG = """\
examples:
  uberblock zfs set compression=zstd-3 tank/home
  uberblock zfs set quota=10G reservation=1G tank/home tank/data
  uberblock zfs set volsize=20G tank/vm                        a larger volume
  uberblock zfs set org.example:backup=daily tank              a property of your own
"""


def set_(argv: Sequence[str]) -> int:
    """Run ``zfs set``; gives the exit status."""
    parser = Parser("zfs set", "Sets properties of file systems and volumes, all or none of them.", SET_EPILOG)
    add_write_options(parser)
    parser.add_argument("-u", dest="unmounted", action="store_true", help="accepted: nothing is ever mounted")
    parser.add_argument("words", nargs="+", metavar="PROPERTY=VALUE... DATASET")
    args = parser.parse_args(argv)
    count = next((place for place, word in enumerate(args.words) if "=" not in word), len(args.words))
    pairs, names = _pairs(args.words[:count], "zfs set"), args.words[count:]
    if not pairs or not names:
        raise UsageError("zfs set: give PROPERTY=VALUE and a dataset", "'uberblock zfs set --help' tells more")
    command = command_line(["uberblock", "zfs", "set", *argv])

    def one(name: str) -> None:
        with open_writable(args, name) as pool, pool.transaction():
            for prop, value in pairs.items():
                pool.set(name, prop, value)
            pool.record(command)

    status = 0
    for name in names:
        status = max(status, attempt(lambda: one(name)))  # noqa: B023 (called at once)
    return status


INHERIT_EPILOG = """\
examples:
  uberblock zfs inherit compression tank/home
  uberblock zfs inherit -r org.example:backup tank
"""


def inherit(argv: Sequence[str]) -> int:
    """Run ``zfs inherit``; gives the exit status."""
    parser = Parser("zfs inherit", "Takes back properties that were set: they are inherited again.", INHERIT_EPILOG)
    add_write_options(parser)
    parser.add_argument("-r", dest="recursive", action="store_true", help="and of every dataset below")
    parser.add_argument("-S", dest="received", action="store_true", help="back to what came with a stream, if it did")
    parser.add_argument("prop", metavar="PROPERTY")
    parser.add_argument("names", nargs="+", metavar="DATASET")
    args = parser.parse_args(argv)
    command = command_line(["uberblock", "zfs", "inherit", *argv])

    def one(name: str) -> None:
        with open_writable(args, name) as pool, pool.transaction():
            below = [dataset.name for dataset in pool.datasets(name, types=("filesystem", "volume"))]
            for dataset in below if args.recursive else [name]:
                pool.inherit(dataset, args.prop, received=args.received)
            pool.record(command)

    status = 0
    for name in args.names:
        status = max(status, attempt(lambda: one(name)))  # noqa: B023 (called at once)
    return status
