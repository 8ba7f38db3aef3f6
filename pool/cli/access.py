"""How commands open pools: the options they share (-d, keys, txg), and the pool these name."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..pool import Pool


def search_path(given: list[str] | None) -> list[str]:
    """Where to look for pools: what -d named, else UBERBLOCK_PATH, else this machine's devices."""
    if given:
        return given
    if environment := os.environ.get("UBERBLOCK_PATH"):
        return [part for part in environment.split(os.pathsep) if part]
    from ..pool import DEFAULT_SEARCH

    return [folder for folder in DEFAULT_SEARCH if Path(folder).is_dir()]


def add_search_options(parser: argparse.ArgumentParser, *, short: str = "-d") -> None:
    """Add -d (zdb: -p), --search."""
    parser.add_argument(
        short, "--search", dest="search", action="append", metavar="DIR",
        help="folder, image or device to search for pools (repeatable)",
    )  # fmt: skip


def add_open_options(parser: argparse.ArgumentParser, *, short: str = "-d") -> None:
    """Add the options that say how a pool is opened: where to search, txg, rewind, missing devices, keys."""
    add_search_options(parser, short=short)
    group = parser.add_argument_group("opening the pool")
    group.add_argument("-T", "--txg", type=int, metavar="TXG", help="open the pool as it was at this txg")
    group.add_argument("-F", "--rewind", action="store_true", help="go back to an older txg if the newest is broken")
    group.add_argument("--checkpoint", action="store_true", help="open the pool's checkpoint")
    missing_log = ("-m", "--missing-log") if short == "-d" else ("--missing-log",)
    group.add_argument(*missing_log, dest="missing_log", action="store_true", help="open without a missing log device")
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


def open_pool(args: argparse.Namespace, name: str) -> Pool:
    """Open the pool that ``name`` (a pool, or anything inside it) belongs to, read-only."""
    from .. import import_pool

    pool = name.partition(":")[0].partition("/")[0].partition("@")[0]
    if not pool:
        raise UsageError(f"{name!r} names no pool", "write POOL, POOL/DATASET or POOL/DATASET@SNAPSHOT:/path")
    return import_pool(
        pool,
        search=search_path(args.search),
        txg=args.txg,
        rewind=args.rewind,
        checkpoint=args.checkpoint,
        missing_log=args.missing_log,
        missing_ok=args.missing_ok,
        keys=parse_keys(args.keys),
    )
