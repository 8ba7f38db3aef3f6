"""``uberblock ls``, ``cat`` and ``cp``: files out of a pool."""

from __future__ import annotations

import argparse
import shutil
import stat
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import UsageError
from .access import add_open_options, open_pool
from .main import Parser
from .output import human, print_json, print_table
from .progress import progress

if TYPE_CHECKING:
    from ..extract import Told
    from ..pool import Pool
    from ..vfs import Stat, Vfs

COPY_BYTES = 4 << 20


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``ls``, ``cat`` or ``cp``; gives the exit status."""
    return {"ls": _ls, "cat": _cat, "cp": _cp}[name](argv)


# --- ls -----------------------------------------------------------------------------------------------------------


def _ls(argv: Sequence[str]) -> int:
    parser = Parser("ls", "Lists a directory (or one file) in a pool.", short_help=False)
    add_open_options(parser)
    parser.add_argument("-l", dest="long", action="store_true", help="mode, links, owner, group, size, time")
    parser.add_argument("-R", dest="recursive", action="store_true", help="and everything below")
    parser.add_argument("-h", "--human", dest="human", action="store_true", help="with -l: sizes as 24K, 1.50M")
    parser.add_argument("-i", dest="inode", action="store_true", help="object numbers")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("path", metavar="POOL/DATASET[@SNAPSHOT]:/PATH")
    args = parser.parse_args(argv)
    with open_pool(args, args.path) as pool:
        vfs, path = pool.resolve(args.path)
        documents = []
        for index, (folder, names) in enumerate(_listing(vfs, path, args.recursive)):
            if names is None:
                found = [(folder, vfs.stat(folder))]
            else:
                found = [(name, vfs.stat(_join(folder, name))) for name in names]
            if args.json:
                documents.append({"path": folder, "entries": [_entry(n, s) for n, s in found]})
            else:
                if args.recursive:
                    print(f"{chr(10) if index else ''}{folder}:")
                _print_listing(vfs, folder, found, args)
        if args.json:
            print_json("uberblock ls", {"directories": documents})
    return 0


def _listing(vfs: Vfs, path: str, recursive: bool) -> list[tuple[str, list[str] | None]]:
    if not stat.S_ISDIR(vfs.stat(path).mode):
        return [(path, None)]
    if not recursive:
        return [(path, sorted(vfs.listdir(path)))]
    return [(folder, sorted([*folders, *files])) for folder, folders, files in vfs.walk(path)]


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _entry(name: str, st: Stat) -> dict[str, object]:
    return {
        "name": name, "object": st.object, "mode": st.mode, "nlink": st.nlink, "uid": st.uid, "gid": st.gid,
        "size": st.size, "mtime_ns": st.mtime_ns,
    }  # fmt: skip


def _printable(name: str) -> str:
    """A name as a terminal may see it: odd bytes and control characters escaped."""
    odd = (c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode("utf-8", "surrogateescape")) for c in name)
    return "".join(odd)


def _print_listing(vfs: Vfs, folder: str, found: list[tuple[str, Stat]], args: argparse.Namespace) -> None:
    if not args.long:
        for name, st in found:
            print(f"{st.object} {_printable(name)}" if args.inode else _printable(name))
        return
    rows = []
    for name, st in found:
        shown = _printable(name)
        if stat.S_ISLNK(st.mode):
            shown += " -> " + _printable(vfs.readlink(_join(folder, name) if name != folder else folder))
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(st.mtime_ns // 10**9))
        size = human(st.size) if args.human else str(st.size)
        row = [stat.filemode(st.mode), str(st.nlink), str(st.uid), str(st.gid), size, when, shown]
        rows.append([str(st.object), *row] if args.inode else row)
    if rows:
        width = len(rows[0])
        shift = width - 7
        table = [[str(cell) for cell in row] for row in rows]
        print_table(table[0], table[1:], right=(*range(shift), *(shift + n for n in (1, 2, 3, 4))))


# --- cat ----------------------------------------------------------------------------------------------------------


def _cat(argv: Sequence[str]) -> int:
    parser = Parser("cat", "Prints files (POOL/DATASET[@SNAPSHOT]:/path) or volumes (POOL/VOLUME[@SNAPSHOT]).")
    add_open_options(parser)
    parser.add_argument("path", nargs="+", metavar="POOL/DATASET[@SNAPSHOT]:/PATH")
    args = parser.parse_args(argv)
    for path in args.path:
        with open_pool(args, path) as pool, _open(pool, path) as stream:
            shutil.copyfileobj(stream, sys.stdout.buffer, COPY_BYTES)
    return 0


def _open(pool: Pool, path: str) -> BinaryIO:
    if ":" not in path:
        return cast(BinaryIO, pool.volume(path).open())
    return cast(BinaryIO, pool.open(path))


# --- cp -----------------------------------------------------------------------------------------------------------


def _cp(argv: Sequence[str]) -> int:
    parser = Parser(
        "cp",
        "Copies out of a pool: files, trees (-r) with modes, times, links, holes, xattrs (owners when root), volumes.",
        "With TARGET '-' a tar stream goes to standard output:\n"
        "  uberblock cp -r -d images/ tank/home@monday:/ - | tar -tv",
    )
    add_open_options(parser)
    parser.add_argument("-r", "-R", dest="recursive", action="store_true", help="copy directories with all below")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--keep-going", action="store_true", help="go on after a file that cannot be read; name it")
    parser.add_argument("source", metavar="POOL/DATASET[@SNAPSHOT]:/PATH")
    parser.add_argument("target", metavar="TARGET", help="file, folder, or '-' for a tar stream")
    args = parser.parse_args(argv)
    from ..extract import copy_out, copy_volume, tar_out

    with open_pool(args, args.source) as pool, progress("copying", None, quiet=args.quiet) as advance:
        if ":" not in args.source:
            told = copy_volume(pool.volume(args.source), args.target, progress=advance, keep_going=args.keep_going)
            return _tell(told)
        vfs, path = pool.resolve(args.source)
        if stat.S_ISDIR(vfs.stat(path).mode) and not args.recursive:
            raise UsageError(f"{args.source} is a directory", "give -r to copy it with all below")
        if args.target == "-":
            told = tar_out(vfs, path, sys.stdout.buffer, progress=advance, keep_going=args.keep_going)
        else:
            told = copy_out(vfs, path, args.target, progress=advance, keep_going=args.keep_going)
    return _tell(told)


def _tell(told: Told) -> int:
    """Say what was not copied as it is; only lost content makes the command fail."""
    for sentence in told:
        print(f"uberblock: {sentence}", file=sys.stderr)
    return 1 if told.damaged else 0
