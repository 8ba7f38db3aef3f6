"""``uberblock ls``, ``cat`` and ``cp``: files out of a pool (into one: ``copyin``)."""

from __future__ import annotations

import argparse
import shutil
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ..dsl.nicenum import nicenum
from ..errors import UsageError
from ..vfs import is_path
from .access import Pools, add_open_options, attempt
from .copyin import copy_in
from .main import Parser
from .output import print_json, print_table, visible
from .progress import progress

if TYPE_CHECKING:
    from ..extract import Told
    from ..pool import Pool
    from ..vfs import Stat, Vfs
    from .progress import Advance

COPY_BYTES = 4 << 20
PATH = "POOL/DATASET[@SNAPSHOT]:/PATH"


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``ls``, ``cat`` or ``cp``; gives the exit status."""
    return {"ls": _ls, "cat": _cat, "cp": _cp}[name](argv)


# --- ls -----------------------------------------------------------------------------------------------------------

LS_EPILOG = """\
examples:
  uberblock ls -d images/ tank/home:/                    what is in a file system's top directory
  uberblock ls -lR -d images/ tank/home@monday:/docs     in a snapshot, with everything below
Odd bytes and control characters in names are shown as \\x0a; -j gives names as they are.
"""


def _ls(argv: Sequence[str]) -> int:
    parser = Parser("ls", "Lists directories and files in a pool.", LS_EPILOG, short_help=False)
    add_open_options(parser)
    parser.add_argument("-l", dest="long", action="store_true", help="mode, links, owner, group, size, time")
    parser.add_argument("-R", dest="recursive", action="store_true", help="and everything below")
    parser.add_argument("-h", "--human", dest="human", action="store_true", help="with -l: sizes as 24K, 1.50M")
    parser.add_argument("-i", dest="inode", action="store_true", help="object numbers")
    parser.add_argument("-a", "-A", "-1", dest="all", action="store_true", help="accepted: always so")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("paths", nargs="+", metavar=PATH)
    args = parser.parse_args(argv)
    documents: list[dict[str, object]] = []
    status = 0
    with Pools(args) as pools:
        listing = _Listing(args, documents, titled=args.recursive or len(args.paths) > 1)

        def one(text: str) -> None:
            vfs, path = pools.of(text).resolve(text)
            title = text.removesuffix(path) if len(args.paths) > 1 else ""
            listing.add(vfs, path, title)

        for text in args.paths:
            status = max(status, attempt(lambda: one(text), bear=True))  # noqa: B023 (called at once)
    if args.json:
        print_json("uberblock ls", {"directories": documents})
    return max(status, listing.status)


class _Listing:
    """Prints directories one after another, and remembers whether something in them could not be read."""

    def __init__(self, args: argparse.Namespace, documents: list[dict[str, object]], *, titled: bool) -> None:
        self.args = args
        self.documents = documents
        self.titled = titled
        self.printed = 0
        self.status = 0

    def add(self, vfs: Vfs, path: str, title: str) -> None:
        """A file, or a directory and, with -R, what is below it."""
        top = vfs.stat(path)
        if stat.S_ISLNK(top.mode) and not self.args.long and vfs.is_dir(path):
            top = vfs.stat(path, follow=True)
        if not stat.S_ISDIR(top.mode):
            self._show(vfs, path, None, title)
        elif not self.args.recursive:
            self._show(vfs, path, sorted(vfs.listdir(path)), title)
        else:
            for folder, folders, files in vfs.walk(path):
                self._show(vfs, folder, sorted([*folders, *files]), title)

    def _show(self, vfs: Vfs, folder: str, names: list[str] | None, title: str) -> None:
        places = {folder: folder} if names is None else {name: _join(folder, name) for name in names}
        if self.args.json:
            entries = [_entry(vfs, name, path, st) for name, path, st in self._known(vfs, places)]
            self.documents.append({"path": title + folder, "entries": entries})
            return
        if self.titled and names is not None:
            print(f"{chr(10) if self.printed else ''}{visible(title + folder)}:")
        self.printed += 1
        if self.args.long:
            self._print_long(vfs, places)
        elif self.args.inode:
            for name, _, st in self._known(vfs, places):
                print(f"{st.object} {visible(name)}")
        else:
            for name in places:
                print(visible(name))

    def _known(self, vfs: Vfs, places: dict[str, str]) -> list[tuple[str, str, Stat]]:
        """Names, paths and attributes; an entry whose attributes cannot be read is told, and left out."""
        found = []

        def look(name: str, path: str) -> None:
            found.append((name, path, vfs.stat(path)))

        for name, path in places.items():
            self.status = max(self.status, attempt(lambda: look(name, path)))  # noqa: B023 (called at once)
        return found

    def _print_long(self, vfs: Vfs, places: dict[str, str]) -> None:
        rows = []
        for name, path, st in self._known(vfs, places):
            shown = visible(name)
            if stat.S_ISLNK(st.mode):
                shown += " -> " + visible(vfs.readlink(path))
            size = nicenum(st.size) if self.args.human else str(st.size)
            if st.rdev is not None:
                size = f"{st.rdev[0]}, {st.rdev[1]}"
            row = [stat.filemode(st.mode), str(st.nlink), str(st.uid), str(st.gid), size, _when(st.mtime_ns), shown]
            rows.append([str(st.object), *row] if self.args.inode else row)
        if rows:
            shift = len(rows[0]) - 7
            print_table(rows[0], rows[1:], right=(*range(shift), *(shift + n for n in (1, 2, 3, 4))), gap=1)


def _when(mtime_ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(mtime_ns // 10**9))
    except (OverflowError, ValueError, OSError):
        return f"@{mtime_ns // 10**9}"  # no calendar has it


def _join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _entry(vfs: Vfs, name: str, path: str, st: Stat) -> dict[str, object]:
    found: dict[str, object] = {
        "name": name, "type": st.type, "object": st.object, "mode": st.mode, "nlink": st.nlink, "uid": st.uid,
        "gid": st.gid, "size": st.size, "mtime_ns": st.mtime_ns,
    }  # fmt: skip
    if st.type == "symlink":
        found["target"] = vfs.readlink(path)
    if st.rdev is not None:
        found["rdev"] = list(st.rdev)
    return found


# --- cat ----------------------------------------------------------------------------------------------------------

CAT_EPILOG = """\
examples:
  uberblock cat -d images/ tank/etc:/hostname
  uberblock cat -d images/ tank/vm@clean > vm.img        a volume's snapshot
"""


def _cat(argv: Sequence[str]) -> int:
    parser = Parser("cat", f"Prints files ({PATH}) or volumes (POOL/VOLUME[@SNAPSHOT]).", CAT_EPILOG)
    add_open_options(parser)
    parser.add_argument("paths", nargs="+", metavar=PATH)
    args = parser.parse_args(argv)
    status = 0
    with Pools(args) as pools:

        def one(path: str) -> None:
            with _open(pools.of(path), path) as stream:
                shutil.copyfileobj(stream, sys.stdout.buffer, COPY_BYTES)

        for path in args.paths:
            status = max(status, attempt(lambda: one(path), bear=True))  # noqa: B023 (called at once)
    return status


def _open(pool: Pool, path: str) -> BinaryIO:
    if not is_path(path):
        return cast(BinaryIO, pool.volume(path).open())
    return cast(BinaryIO, pool.open(path))


# --- cp -----------------------------------------------------------------------------------------------------------

CP_EPILOG = """\
What a directory holds goes into TARGET, which is made. If TARGET is there already, it goes into a folder of the
directory's name in it, unless SOURCE ends in a slash (or is a dataset's top directory): then into TARGET itself.
A symbolic link is followed without -r, and copied as it is with -r.

examples:
  uberblock cp -d images/ tank/home:/notes.txt .                 one file
  uberblock cp -r -d images/ tank/home@monday:/ OUT              everything in a snapshot
  uberblock cp -r -d images/ tank/home@monday:/ - | tar -tv      as a tar stream
  uberblock cp -d images/ tank/vm@clean vm.img                   a volume
  uberblock cp -r DIR tank/home:/                                a folder into a pool
  uberblock cp -r --owner 0:0 DIR/ tank/home:/                   what is in it, as root's
  tar -c DIR | uberblock cp - tank/home:/                        a tar stream into a pool
"""


def _cp(argv: Sequence[str]) -> int:
    parser = Parser(
        "cp",
        "Copies out of a pool: files, trees (-r) with modes, times, links, holes, xattrs (owners when root), volumes;\n"
        "and into one: files, trees and tar streams, with owners as they are, or as --owner says.",
        CP_EPILOG,
    )
    add_open_options(parser)
    parser.add_argument("-r", "-R", "-a", dest="recursive", action="store_true", help="copy directories with all below")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--keep-going", action="store_true", help="go on after a file that cannot be read; name it")
    parser.add_argument("--owner", metavar="UID[:GID]", help="into a pool: everything belongs to these, by number")
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help=f"{PATH}, POOL/VOLUME[@SNAPSHOT], or, into a pool, a file, folder or '-' (a tar stream)",
    )  # fmt: skip
    parser.add_argument(
        "target", metavar="TARGET",
        help="file, folder, '-' for standard output (files: as tar), or POOL/DATASET:/PATH",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if is_path(args.target):
        return copy_in(args)
    if args.owner is not None:
        raise UsageError("--owner is for what is copied into a pool")
    if len(args.sources) > 1 and not Path(args.target).is_dir():
        raise UsageError(f"{args.target} is no folder", "several things can only be copied into a folder that is there")
    status = 0
    with Pools(args) as pools:

        def one(source: str) -> None:
            nonlocal status
            pool = pools.of(source)
            with progress("copying", None, quiet=args.quiet) as advance:
                told = _copy(pool, source, args, advance)
            for sentence in told:
                print(f"uberblock: {sentence}", file=sys.stderr)
            # What was not copied as it is has been said; only lost content makes the command fail.
            status = max(status, 1 if told.damaged else 0)

        for source in args.sources:
            status = max(status, attempt(lambda: one(source), bear=True))  # noqa: B023 (called at once)
    return status


def _copy(pool: Pool, source: str, args: argparse.Namespace, advance: Advance) -> Told:
    from ..extract import copy_out, copy_volume, tar_out

    target = Path(args.target)
    if not is_path(source):
        volume = pool.volume(source)
        advance(0, total=volume.size)
        if args.target != "-" and target.is_dir():
            target /= source.rpartition("/")[2]
        goal = args.target if args.target == "-" else target
        return copy_volume(volume, goal, progress=advance, keep_going=args.keep_going)
    vfs, path = pool.resolve(source)
    follow = not args.recursive
    found = vfs.stat(path, follow=follow)
    if stat.S_ISDIR(found.mode) and not args.recursive:
        raise UsageError(f"{source} is a directory", "give -r to copy it with all below")
    advance(0, total=_expected(pool, vfs, path, found))
    how = {"progress": advance, "keep_going": args.keep_going, "follow": follow}
    if args.target == "-":
        return tar_out(vfs, path, sys.stdout.buffer, **how)
    name = path.rpartition("/")[2]
    if stat.S_ISDIR(found.mode) and name not in ("", ".", "..") and target.is_dir():
        target /= name
    return copy_out(vfs, path, target, **how)


def _expected(pool: Pool, vfs: Vfs, path: str, found: Stat) -> int | None:
    """Bytes that there will be to copy, or about so many; None where nothing is known of it."""
    if not stat.S_ISDIR(found.mode):
        return found.size
    if path.strip("/"):
        return None
    referenced = pool.dataset(vfs.name).get("logicalreferenced").raw
    return referenced if isinstance(referenced, int) else None
