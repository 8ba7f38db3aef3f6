"""How commands open pools: the options they share (-d, keys, txg), and the pool these name."""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from ..device.cachemode import CACHE_MODES
from ..errors import PoolError, UsageError
from .limits import natural
from .output import visible

if TYPE_CHECKING:
    from ..pool import Pool
    from ..poolwrite import WritablePool


def search_path(given: list[str] | None, pool: str | None = None) -> list[str]:
    """Where to look for pools: what -d named, else UBERBLOCK_PATH, else where a pool is known to be, else /dev.

    Args:
        pool: name or guid of the one that is looked for; None: places of all known pools, or, if there are none, /dev.
            Empty: only what -d, UBERBLOCK_PATH and /dev have.
    """
    if given:
        return given
    if environment := os.environ.get("UBERBLOCK_PATH"):
        return [part for part in environment.split(os.pathsep) if part]
    if pool != "" and (known := known_places(pool)):
        return known
    from ..pool import DEFAULT_SEARCH

    return [folder for folder in DEFAULT_SEARCH if Path(folder).is_dir()]


def known_places(pool: str | None) -> list[str]:
    """Where the devices of a pool (None: of all pools) were when it was created or imported, if they are there."""
    from ..spa import cachefile

    entries = cachefile.read()
    wanted = [
        config for name, config in entries.items() if pool in (None, name, str(config.get("pool_guid")))
    ]  # fmt: skip
    return [place for config in wanted for place in cachefile.places(config) if Path(place).exists()]


def add_write_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how a pool is opened for writing."""
    add_search_options(parser)
    parser.add_argument(
        "-m", "--missing-log", dest="missing_log", action="store_true",
        help="open it without a missing log device: what was acknowledged last may be lost",
    )  # fmt: skip


def add_search_options(parser: argparse.ArgumentParser, *, short: str = "-d") -> None:
    """Add -d (zdb: -p), --search."""
    parser.add_argument(
        short, "--search", dest="search", action="append", metavar="DIR",
        help="folder, image or device to search for pools (repeatable); without it UBERBLOCK_PATH, "
        "the pools that were created or imported here, or /dev",
    )  # fmt: skip
    add_cache_option(parser)


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add --cache."""
    parser.add_argument(
        "--cache", default="writeback", choices=CACHE_MODES, metavar="MODE",
        help="how the host caches the pool's files and disks, in QEMU's words: writeback (default), none (direct I/O), "
        "writethrough, directsync, unsafe (flushes are ignored: a power cut may cost the pool)",
    )  # fmt: skip


def add_open_options(parser: argparse.ArgumentParser, *, short: str = "-d") -> None:
    """Add the options that say how a pool is opened: where to search, txg, rewind, missing devices, keys."""
    add_search_options(parser, short=short)
    group = parser.add_argument_group("opening the pool")
    group.add_argument("-T", "--txg", type=natural, metavar="TXG", help="open the pool as it was at this txg")
    group.add_argument("-F", "--rewind", action="store_true", help="go back to an older txg if the newest is broken")
    group.add_argument("-X", "--extreme", action="store_true", help="go back as far as it takes; verifies everything")
    group.add_argument("--checkpoint", action="store_true", help="open the pool's checkpoint")
    missing_log = ("-m", "--missing-log") if short == "-d" else ("--missing-log",)
    group.add_argument(*missing_log, dest="missing_log", action="store_true", help="open without a missing log device")
    group.add_argument(
        "--replay", action="store_true",
        help="show what intent logs promise, too: they are replayed in memory, and the devices stay as they are",
    )  # fmt: skip
    group.add_argument(
        "--missing-ok", action="store_true", help="open even if more devices are missing than redundancy allows"
    )
    group.add_argument(
        "--key",
        dest="keys",
        action="append",
        metavar="DATASET=FILE",
        help="key of an encryption root: a file with its passphrase, hex or raw key; '-' asks for it (repeatable)",
    )


def pool_names(args: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """The pools that were named, or all that are found (by guid where two have one name)."""
    if names:
        return list(names)
    from .. import find_pools
    from ..ondisk.label import STATE_DESTROYED

    found = [c for c in find_pools(search_path(args.search)) if c.state != STATE_DESTROYED]
    names_found = [c.name for c in found]
    return [str(c.guid) if names_found.count(c.name) > 1 else c.name for c in found]


@dataclass(frozen=True)
class Asked:
    """What became of going through pools: their names, and the exit status."""

    names: list[str]
    status: int


def each_pool(args: argparse.Namespace, names: Sequence[str], work: Callable[[Pool], None]) -> Asked:
    """Open the pools that were named, or all that are found, one after another, and work on them.

    As with zpool, one that cannot be opened does not keep the others from being shown: it is told at once, and the
    exit status is its error's.
    """
    chosen = pool_names(args, names)
    status = 0
    for name in chosen:
        status = max(status, attempt(lambda: _with_pool(args, name, work)))  # noqa: B023 (called at once)
    return Asked(chosen, status)


def _with_pool(args: argparse.Namespace, name: str, work: Callable[[Pool], None]) -> None:
    with open_pool(args, name, whole=True) as pool:
        work(pool)


class Pools:
    """The pools that a command's names lie in, each opened once and closed at the end."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._stack = ExitStack()
        self._open: dict[str, Pool] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def of(self, name: str) -> Pool:
        """The pool that a dataset or path is in. Raises: as ``import_pool``."""
        key = pool_of(name)
        if key not in self._open:
            self._open[key] = self._stack.enter_context(open_pool(self._args, name))
        return self._open[key]


def attempt(work: Callable[[], None], *, bear: bool = False) -> int:
    """Do something; an error of this package is told on stderr, and its exit status given.

    Args:
        work: what to do.
        bear: also bear with wrong use, where it is wrong for one of several things only.

    Raises:
        UsageError: what was asked for makes no sense, here or elsewhere.
    """
    try:
        work()
    except PoolError as error:
        if isinstance(error, UsageError) and not bear:
            raise
        # What was printed before comes first, whatever the streams lead to.
        sys.stdout.flush()
        print(f"uberblock: {visible(str(error))}", file=sys.stderr)
        return error.exit_status
    return 0


def _read_key(dataset: str, source: str) -> bytes:
    if source == "-":
        prompt = f"Enter passphrase or hex key for '{dataset}': "
        return (getpass.getpass(prompt) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")).encode()
    return Path(source).read_bytes()


def parse_keys(given: list[str] | None) -> dict[str, bytes]:
    """What --key named: dataset -> content of the key file."""
    keys = {}
    for word in given or ():
        dataset, equals, source = word.partition("=")
        if not equals or not dataset or not source:
            raise UsageError(f"--key {word!r} is not of the form DATASET=FILE", "for example --key tank/home=key.txt")
        keys[dataset] = _read_key(dataset, source)
    return keys


def pool_of(name: str) -> str:
    """The pool's part of the name of a dataset or path."""
    dataset = name.partition(":/")[0].removesuffix(":")
    return dataset.partition("/")[0].partition("@")[0].partition("#")[0]


def open_pool(args: argparse.Namespace, name: str, *, whole: bool = False) -> Pool:
    """Open the pool that ``name`` belongs to, read-only.

    Args:
        args: as ``add_open_options`` has made them.
        name: a pool, its guid, or anything inside it.
        whole: only a pool as such will do.
    """
    from .. import import_pool

    pool = pool_of(name)
    if not pool:
        raise UsageError(f"{name!r} names no pool", "write POOL, POOL/DATASET or POOL/DATASET@SNAPSHOT:/path")
    if whole and pool != name:
        raise UsageError(f"{name!r} is no pool but something in one", f"give the pool: {pool}")
    _check_places(args)
    return import_pool(
        pool,
        search=search_path(args.search, pool),
        txg=args.txg,
        rewind=args.rewind,
        extreme=args.extreme,
        checkpoint=args.checkpoint,
        missing_log=args.missing_log,
        missing_ok=args.missing_ok,
        replay=args.replay,
        keys=parse_keys(args.keys),
        cache=args.cache,
    )


def open_writable(
    args: argparse.Namespace, name: str, *, whole: bool = False, force: bool = False
) -> WritablePool:
    """Open the pool that ``name`` belongs to for writing.

    Args:
        args: as ``add_search_options`` has made them. name, whole: as for ``open_pool``.
        force: even if another machine has not exported the pool.
    """
    from .. import import_pool

    pool = pool_of(name)
    if not pool:
        raise UsageError(f"{name!r} names no pool", "write POOL, POOL/DATASET or POOL/DATASET:/path")
    if whole and pool != name:
        raise UsageError(f"{name!r} is no pool but something in one", f"give the pool: {pool}")
    _check_places(args)
    places = search_path(args.search, pool)
    opened = import_pool(
        pool, search=places, readonly=False, force=force, cache=args.cache, missing_log=args.missing_log
    )
    writable = cast("WritablePool", opened)
    for note in writable.notes:
        _say(note)
    writable.tell = _say
    return writable


def _say(note: str) -> None:
    print(f"uberblock: {visible(note)}", file=sys.stderr)


@contextmanager
def answering(pool: Pool) -> Iterator[None]:
    """While it is used, other commands (``zpool iostat``) can ask how busy the pool is.

    Where that cannot be, the work goes on without, and it is said.
    """
    from ..serve.control import ControlServer

    try:
        server = ControlServer(pool)
    except PoolError as error:
        print(f"uberblock: zpool iostat will not show what is done here: {visible(str(error))}", file=sys.stderr)
        yield
        return
    with server:
        yield


def _check_places(args: argparse.Namespace) -> None:
    for place in args.search or ():
        if place.isdecimal() and not Path(place).exists():
            raise UsageError(f"-d {place}: there is no such place to search", "levels are given with --depth N")


def command_line(words: Sequence[str]) -> str:
    """A command as the pool's history has it: without where the pool was searched, and how it was cached."""
    kept, skip = [], False
    for word in words:
        if skip or word in ("-d", "--search", "--cache"):
            skip = not skip
        elif not word.startswith(("--search=", "--cache=")):
            kept.append(word)
    return shlex.join(kept)
