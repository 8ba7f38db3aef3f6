"""``uberblock zpool create``, ``destroy``, ``export``, ``labelclear`` and ``set``, in the shape zpool users know."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import NotFoundError, UsageError
from ..spa.poolnames import check_pool_name
from .access import add_cache_option, add_write_options, attempt, command_line, open_writable, search_path
from .known import forget, known_guid, known_names, remember
from .main import Parser
from .output import visible

if TYPE_CHECKING:
    from ..poolcreate import PoolPlan
    from ..spa.newvdevs import NewVdevs

CREATE_EPILOG = """\
VDEV is a file, a disk, or a group: mirror A B, raidz[1-3] A B C, draid[P][:Dd][:Cc][:Ss] A B C ...; behind the words
log, special, dedup, cache and spare come the devices for these. Files that do not exist are made with --size.

examples:
  uberblock zpool create --size 1G tank raidz2 a.img b.img c.img d.img
  uberblock zpool create -o ashift=13 -O compression=zstd -O mountpoint=none tank mirror /dev/sdx /dev/sdy
  uberblock zpool create -n --size 1G tank mirror a.img b.img special mirror c.img d.img     only show it
  uberblock zpool create -o compatibility=openzfs-2.1-linux --size 1G tank a.img             for older systems
"""


def _pairs(words: Sequence[str] | None, option: str) -> dict[str, str]:
    """``PROPERTY=VALUE`` words as a dictionary."""
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {word!r} is not of the form PROPERTY=VALUE", "for example compression=lz4")
        if name in found:
            raise UsageError(f"{option}: {name} is given twice")
        found[name] = value
    return found


def create(argv: Sequence[str]) -> int:
    """Run ``zpool create``; gives the exit status."""
    parser = Parser("zpool create", "Makes a pool from files and disks, with a file system of its name.", CREATE_EPILOG)
    parser.add_argument("-f", dest="force", action="store_true", help="use devices that look in use, mix redundancy")
    parser.add_argument("-n", dest="dry", action="store_true", help="check everything, show the layout, make nothing")
    parser.add_argument("-d", dest="none", action="store_true", help="enable no features that are not named with -o")
    parser.add_argument("-o", dest="options", action="append", metavar="PROPERTY=VALUE", help="of the pool")
    parser.add_argument("-O", dest="fs", action="append", metavar="PROPERTY=VALUE", help="of its file system")
    parser.add_argument("-m", dest="mountpoint", metavar="PATH", help="the same as -O mountpoint=PATH")
    parser.add_argument("-R", dest="root", metavar="PATH", help="the same as -o altroot=PATH -o cachefile=none")
    parser.add_argument("-t", dest="known_as", metavar="NAME", help="a passing name: the same as cachefile=none")
    parser.add_argument("--size", metavar="SIZE", help="make files that do not exist, of this size (1G)")
    add_cache_option(parser)
    parser.add_argument("pool", metavar="POOL")
    parser.add_argument("vdevs", nargs="+", metavar="VDEV")
    args = parser.parse_args(argv)
    from ..dsl.propset import parse_size
    from ..poolcreate import create_pool, plan_pool
    from ..spa import cachefile
    from ..spa.vdevspec import SpecError

    options, fs = _pairs(args.options, "-o"), _pairs(args.fs, "-O")
    if args.mountpoint is not None:
        fs["mountpoint"] = args.mountpoint
    size = parse_size(args.size, "--size") if args.size else None
    cache = _cache_of_new(args, options)
    cachefile.path_for(cache)
    check_pool_name(args.pool)
    plan = plan_pool(options, fs, none=args.none)
    for warning in plan.choice.warnings:
        print(f"uberblock: warning: {warning}", file=sys.stderr)
    try:
        if args.dry:
            _show(args, plan, size)
            return 0
        with create_pool(
            args.pool, args.vdevs, size=size, force=args.force, properties=options, dataset_properties=fs,
            no_features=args.none, command=command_line(["uberblock", "zpool", "create", *argv]), cache=args.cache,
        ) as pool:  # fmt: skip
            remember(pool, cache)
    except SpecError as error:
        for line in error.report(force=args.force).split("\n"):
            print(visible(line), file=sys.stderr)
        return error.exit_status
    return 0


def _cache_of_new(args: argparse.Namespace, options: dict[str, str]) -> str:
    """The cache file of a new pool; takes what is never on disk out of its properties."""
    if args.root is not None:
        if "altroot" in options:
            raise UsageError("zpool create: the alternate root is given twice", "give either -R or -o altroot")
        options["altroot"] = args.root
    passing = args.known_as is not None or "altroot" in options
    if not options.get("altroot", "/").startswith("/"):
        raise UsageError(f"invalid alternate root {options['altroot']!r}: must be an absolute path")
    if args.known_as is not None:
        check_pool_name(args.known_as)
    options.pop("altroot", None)
    return options.pop("cachefile", "none" if passing else "")


def _show(args: argparse.Namespace, plan: PoolPlan, size: int | None) -> None:
    """What would be made, with everything checked that can be."""
    from ..env import Env
    from ..spa.newvdevs import NewOptions, new_vdevs
    from ..spa.vdevspec import parse_for_create

    options = NewOptions(size=size, ashift=plan.ashift, force=args.force)
    vdevs = new_vdevs(parse_for_create(args.vdevs), Env.host(), options)
    try:
        print(f"would create '{args.pool}' with the following layout:\n")
        for line in _layout(args.pool, vdevs):
            print("\t" + visible(line))
    finally:
        vdevs.discard()


def _layout(name: str, vdevs: NewVdevs) -> list[str]:
    groups: dict[str, list[str]] = {"": [name]}
    for top in vdevs.tree.tops:
        group = "logs" if top.is_log else vdevs.biases.get(top.id, "")
        lines = groups.setdefault(group, [group])
        leaves = [leaf.path for leaf in top.leaves()]
        if top.type in ("file", "disk"):
            lines.append(f"  {leaves[0]}")
        else:
            lines += [f"  {top.name.rpartition('-')[0] or top.type}", *(f"    {path}" for path in leaves)]
    for group, found in (("cache", vdevs.cache), ("spares", vdevs.spares)):
        if found:
            groups[group] = [group, *(f"  {leaf.path or leaf.name}" for leaf in found)]
    order = ("", "dedup", "special", "logs", "cache", "spares")  # zpool's
    return [line for group in order for line in groups.get(group, ())]


# --- destroy, export ------------------------------------------------------------------------------------------------

DESTROY_EPILOG = """\
Nothing is overwritten: 'zpool import -D' finds the pool until its devices are used for something else.

example:
  uberblock zpool destroy -d images/ tank
"""


def destroy(argv: Sequence[str]) -> int:
    """Run ``zpool destroy``; gives the exit status."""
    parser = Parser("zpool destroy", "Marks a pool as destroyed: its devices are free for others.", DESTROY_EPILOG)
    add_write_options(parser)
    parser.add_argument("-f", dest="force", action="store_true", help="even if another machine has not exported it")
    parser.add_argument("pool", metavar="POOL")
    args = parser.parse_args(argv)
    pool = open_writable(args, args.pool, whole=True, force=args.force)
    guid = pool.guid
    pool.destroy_pool()
    forget(guid)
    return 0


EXPORT_EPILOG = """\
Every command closes the pool it has opened, so that nothing is left to be written. What is exported is not found
without -d any more.

example:
  uberblock zpool export tank
"""


def export(argv: Sequence[str]) -> int:
    """Run ``zpool export``; gives the exit status."""
    parser = Parser("zpool export", "Lets go of pools, so that other systems can import them.", EXPORT_EPILOG)
    add_write_options(parser)
    parser.add_argument("-a", dest="all", action="store_true", help="every pool that is known")
    parser.add_argument("-f", dest="force", action="store_true", help="even if another machine has not exported it")
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    if bool(args.pools) == args.all:
        raise UsageError("zpool export: give the pools, or -a for all that are known")
    status = 0
    for name in known_names() if args.all else args.pools:
        status = max(status, attempt(lambda: _export(args, name)))  # noqa: B023 (called at once)
    return status


def _export(args: argparse.Namespace, name: str) -> None:
    from .. import find_pools
    from ..ondisk.label import STATE_EXPORTED

    guid = known_guid(name)
    places = search_path(args.search, name)
    found = [one for one in find_pools(places) if name in (one.name, str(one.guid))]
    if not found and guid is None:
        raise NotFoundError(f"no pool {name!r} is known here", "'uberblock zpool import -d DIR' shows what is there")
    for one in found:
        if one.state != STATE_EXPORTED:
            open_writable(args, str(one.guid), force=args.force).close()
        forget(one.guid)
    if guid is not None:
        forget(guid)


# --- labelclear -------------------------------------------------------------------------------------------------------

CLEAR_EPILOG = """\
example:
  uberblock zpool labelclear -f old-disk.img
"""


def labelclear(argv: Sequence[str]) -> int:
    """Run ``zpool labelclear``; gives the exit status."""
    parser = Parser("zpool labelclear", "Makes a device forget the pool it belonged to.", CLEAR_EPILOG)
    parser.add_argument("-f", dest="force", action="store_true", help="also if the pool is exported, or may be in use")
    parser.add_argument("device", metavar="DEVICE")
    args = parser.parse_args(argv)
    from ..device.open import open_device
    from ..spa.labelclear import label_clear
    from ..spa.newvdevs import resolve

    device = open_device(resolve(args.device), False)
    try:
        label_clear(device, force=args.force)
    finally:
        device.close()
    return 0


# --- set --------------------------------------------------------------------------------------------------------------

SET_EPILOG = """\
feature@NAME=enabled enables a feature, and what it depends on; there is no way back.

examples:
  uberblock zpool set autotrim=on tank
  uberblock zpool set feature@zstd_compress=enabled tank
  uberblock zpool set org.example:owner=me tank
"""


def set_(argv: Sequence[str]) -> int:
    """Run ``zpool set``; gives the exit status."""
    parser = Parser("zpool set", "Sets properties of pools.", SET_EPILOG)
    add_write_options(parser)
    parser.add_argument("pair", metavar="PROPERTY=VALUE")
    parser.add_argument("pools", nargs="+", metavar="POOL")
    args = parser.parse_args(argv)
    ((prop, value),) = _pairs([args.pair], "zpool set").items()
    command = command_line(["uberblock", "zpool", "set", *argv])

    def one(name: str) -> None:
        with open_writable(args, name, whole=True) as pool:
            if prop == "cachefile":
                forget(pool.guid)
                remember(pool, value)
                return
            with pool.transaction():
                enabled = pool.set_pool(prop, value)
                pool.record(command)
        if more := [feature for feature in enabled if f"feature@{feature}" != prop]:
            print(f"enabled too, since {prop} needs it: {', '.join(more)}")

    status = 0
    for name in args.pools:
        status = max(status, attempt(lambda: one(name)))  # noqa: B023 (called at once)
    return status
