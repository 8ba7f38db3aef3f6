"""``uberblock mkdir``, ``rm``, ``mv`` and ``ln``: names in a pool's file systems."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..errors import IsADirectoryInPoolError, NotFoundError, UsageError
from .access import add_write_options, attempt, open_writable, pool_of
from .main import Parser

if TYPE_CHECKING:
    import argparse

    from ..poolwrite import WritablePool
    from ..vfswrite import MutableVfs

PATH = "POOL/DATASET:/PATH"


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``mkdir``, ``rm``, ``mv`` or ``ln``; gives the exit status."""
    return {"mkdir": _mkdir, "rm": _rm, "mv": _mv, "ln": _ln}[name](argv)


class _Open:
    """The pools that paths lie in, open for writing, each opened once."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._stack = ExitStack()
        self._pools: dict[str, WritablePool] = {}

    def __enter__(self) -> _Open:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def place(self, text: str) -> tuple[MutableVfs, str]:
        """The dataset and path that a word names."""
        from ..vfs import is_path

        if not is_path(text):
            raise UsageError(f"{text!r} is no path in a pool", f"write {PATH}")
        name, _, path = text.partition(":/")
        key = pool_of(name)
        if key not in self._pools:
            self._pools[key] = self._stack.enter_context(open_writable(self._args, name))
        if "@" in name:
            raise UsageError(f"{name} is a snapshot and never changes")
        return self._pools[key].fs(name), "/" + path


def _mkdir(argv: Sequence[str]) -> int:
    parser = Parser("mkdir", "Makes directories in a pool.", "example:\n  uberblock mkdir -p tank/home:/a/b/c\n")
    add_write_options(parser)
    parser.add_argument("-p", dest="parents", action="store_true", help="make missing parents; fine if it is there")
    parser.add_argument("paths", nargs="+", metavar=PATH)
    args = parser.parse_args(argv)
    with _Open(args) as opened:

        def one(word: str) -> None:
            vfs, path = opened.place(word)
            if args.parents:
                vfs.makedirs(path, exist_ok=True)
            else:
                vfs.mkdir(path)

        return max(attempt(lambda: one(word), bear=True) for word in args.paths)  # noqa: B023 (called at once)


def _rm(argv: Sequence[str]) -> int:
    parser = Parser("rm", "Removes files from a pool.", "example:\n  uberblock rm -r tank/home:/old\n")
    add_write_options(parser)
    parser.add_argument("-r", "-R", dest="recursive", action="store_true", help="directories with all below")
    parser.add_argument("-f", dest="force", action="store_true", help="fine if it is not there")
    parser.add_argument("paths", nargs="+", metavar=PATH)
    args = parser.parse_args(argv)
    with _Open(args) as opened:

        def one(word: str) -> None:
            vfs, path = opened.place(word)
            try:
                found = vfs.stat(path)
            except NotFoundError:
                if args.force:
                    return
                raise
            if not stat.S_ISDIR(found.mode):
                vfs.unlink(path)
            elif args.recursive:
                vfs.rmtree(path)
            else:
                raise IsADirectoryInPoolError(f"{word} is a directory", "give -r to remove it with all below")

        return max(attempt(lambda: one(word), bear=True) for word in args.paths)  # noqa: B023 (called at once)


def _mv(argv: Sequence[str]) -> int:
    parser = Parser("mv", "Moves files within a file system of a pool.", "example:\n  uberblock mv tank:/a tank:/dir\n")
    add_write_options(parser)
    parser.add_argument("-n", dest="keep", action="store_true", help="replace nothing that is there")
    parser.add_argument("source", metavar=PATH)
    parser.add_argument("target", metavar=PATH)
    args = parser.parse_args(argv)
    with _Open(args) as opened:
        vfs, source = opened.place(args.source)
        other, target = opened.place(args.target)
        if vfs.filesystem is not other.filesystem:
            raise UsageError("files are moved within one file system", "copy them, then remove them")
        if vfs.is_dir(target):
            target = f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
        (vfs.rename_noreplace if args.keep else vfs.rename)(source, target)
    return 0


def _ln(argv: Sequence[str]) -> int:
    epilog = "examples:\n  uberblock ln tank:/a tank:/b     another name\n  uberblock ln -s ../a tank:/d/b   a link\n"
    parser = Parser("ln", "Makes links in a pool.", epilog)
    add_write_options(parser)
    parser.add_argument("-s", dest="symbolic", action="store_true", help="a symbolic link: TARGET is its text")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("path", metavar=PATH)
    args = parser.parse_args(argv)
    with _Open(args) as opened:
        vfs, path = opened.place(args.path)
        if args.symbolic:
            vfs.symlink(args.target, path)
            return 0
        other, target = opened.place(args.target)
        if vfs.filesystem is not other.filesystem:
            raise UsageError("a file has names in one file system only", "give -s for a symbolic link")
        vfs.link(target, path)
    return 0
