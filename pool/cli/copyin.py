"""The half of ``uberblock cp`` that copies into a pool: files, folders, tar streams."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NotADirectoryInPoolError, UsageError
from ..vfs import is_path
from .access import answering, attempt, open_writable
from .progress import progress

if TYPE_CHECKING:
    from ..extract import Told
    from ..ingest import Owner
    from ..poolwrite import WritablePool
    from ..vfswrite import MutableVfs
    from .progress import Advance


def copy_in(args: argparse.Namespace) -> int:
    """Copy what is named into the pool that the target names; gives the exit status."""
    owner = parse_owner(args.owner)
    if inside := [source for source in args.sources if is_path(source)]:
        raise UsageError(f"{inside[0]} and {args.target} are both in pools", "copy it out, then in")
    name, _, rest = args.target.partition(":/")
    path = "/" + rest
    status = 0
    with open_writable(args, name) as pool, answering(pool):
        vfs = _dataset(pool, name)
        _check_apart(pool, args.sources)
        if len(args.sources) > 1 and not vfs.is_dir(path):
            raise NotADirectoryInPoolError(
                f"{args.target} is no directory", "several things can only be copied into a directory that is there"
            )

        def one(source: str) -> None:
            nonlocal status
            with progress("copying", None, quiet=args.quiet) as advance:
                told = _one(vfs, source, path, args, owner, advance)
            for sentence in told:
                print(f"uberblock: {sentence}", file=sys.stderr)
            status = max(status, 1 if told.damaged else 0)

        for source in args.sources:
            status = max(status, attempt(lambda: one(source), bear=True))  # noqa: B023 (called at once)
    return status


def _dataset(pool: WritablePool, name: str) -> MutableVfs:
    if "@" in name:
        raise UsageError(f"{name} is a snapshot and never changes", "copy into the file system")
    return pool.fs(name)


def _check_apart(pool: WritablePool, sources: list[str]) -> None:
    """Raises: UsageError: the pool lies in what is to be copied into it."""
    roots = [Path(source).resolve() for source in sources if source != "-"]
    for leaf in pool.tree.leaves:
        place = Path(leaf.device.name if leaf.device is not None else leaf.path).resolve()
        if any(root == place or root in place.parents for root in roots):
            raise UsageError(f"the pool's own device {place} lies in what is to be copied", "keep it elsewhere")


def parse_owner(text: str | None) -> Owner:
    """What --owner says: UID or UID:GID, by number.

    Raises:
        UsageError: it is none.
    """
    if text is None:
        return None
    uid, colon, gid = text.partition(":")
    if not uid.isdecimal() or (colon and not gid.isdecimal()):
        raise UsageError(f"--owner {text!r} is not of the form UID:GID", "by number, for example --owner 0:0")
    found = (int(uid), int(gid if colon else uid))
    if max(found) >= 1 << 32:
        raise UsageError("--owner: numbers of users and groups have 32 bits", value=text)
    return found


def _one(
    vfs: MutableVfs, source: str, path: str, args: argparse.Namespace, owner: Owner, advance: Advance
) -> Told:
    from ..ingest import copy_in as copy_tree
    from ..ingest import tar_in

    if source == "-":
        return tar_in(vfs, sys.stdin.buffer, path, owner=owner, progress=advance)
    place = Path(source)
    status = place.lstat()
    if stat.S_ISLNK(status.st_mode) and (not args.recursive or source.endswith("/")):
        place = place.resolve()
        status = place.lstat()
    if stat.S_ISDIR(status.st_mode):
        if not args.recursive:
            raise UsageError(f"{source} is a directory", "give -r to copy it with all below")
        name = os.path.basename(os.path.abspath(source))  # noqa: PTH100, PTH119 (a link's own name)
        if not source.endswith(("/", "/.")) and source not in (".", "..") and vfs.is_dir(path):
            path = f"{path.rstrip('/')}/{name}"
    if sys.stderr.isatty() and not args.quiet:
        advance(0, total=_size(os.fspath(place), status))
    return copy_tree(vfs, place, path, owner=owner, progress=advance, keep_going=args.keep_going)


def _size(path: str, status: os.stat_result) -> int:
    """Bytes of content in a file, or in all files below a folder, for knowing how much there is to do."""
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    total, todo = 0, [path]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # the copy itself will tell
    return total
