"""A file or a tree of a dataset as a tar stream in the PAX format.

It holds modes, owners, times to the nanosecond, links, extended attributes, devices and holes. Sockets have no place
in a tar archive; they are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from ..errors import CorruptError, PoolError
from ..vfs import Vfs
from ..zpl import directory
from ..zpl.batch import Pieces
from ..zpl.file import ZplFile
from ..zpl.znode import Znode
from . import pax
from .content import Copier, Progress, Told, ahead, check_name, no_progress
from .pax import Member

PERMISSIONS = 0o7777
SPARSE_FROM = 64 << 10  # bytes of holes that are worth a map
MAX_RANGES = 1 << 16  # in a map; with more of them the file is written whole

_KINDS = {"char": pax.CHAR, "block": pax.BLOCK_DEVICE, "fifo": pax.FIFO}


def tar_out(
    vfs: Vfs,
    path: str,
    stream: BinaryIO,
    *,
    progress: Progress | None = None,
    keep_going: bool = False,
    sparse: bool = True,
    follow: bool = False,
) -> Told:
    """Write a file, or a directory with everything below it, as a tar archive.

    Args:
        vfs: the dataset.
        path: in it; names in the archive are relative to it.
        stream: where to write; it is not closed.
        progress: called with the bytes of content done since the last call.
        keep_going: go on after what cannot be read: content becomes zeros, and is told in what is returned.
        sparse: leave out holes, as GNU tar, bsdtar and Python know it; else they are zeros.
        follow: of a symbolic link at the end of the path take the file it leads to (never a directory).

    Returns:
        A sentence for everything that is not in the archive as it is in the pool.

    Raises:
        NotFoundError ...: no such source; ChecksumError ...: it cannot be read; OSError: the stream cannot be written.
    """
    work = _Archive(vfs, stream, progress or no_progress, keep_going, sparse)
    source = vfs.znode(path, follow=follow)
    if source.is_dir and follow:
        source = vfs.znode(path)
    if source.is_dir:
        work.tree(path)
    else:
        name = path.rstrip("/").rpartition("/")[2]
        check_name(name)
        work.entry(name, source)
    stream.write(pax.END)
    return Told(work.failures, work.notes)


class _Archive:
    def __init__(self, vfs: Vfs, stream: BinaryIO, progress: Progress, keep_going: bool, sparse: bool) -> None:
        self.vfs = vfs
        self.stream = stream
        self.sparse = sparse
        self.keep_going = keep_going
        self.failures: list[str] = []
        self.notes: list[str] = []
        self.copier = Copier(keep_going, self.failures.append, progress)
        self.linked: dict[int, bytes] = {}

    def _damaged(self, path: str, error: PoolError) -> None:
        self.failures.append(f"{directory.printable(path)}: {error}")

    def tree(self, path: str) -> None:
        skipped: str | None = None
        for name, znode, content in ahead(self.vfs.tree(path, damaged=self._damaged if self.keep_going else None)):
            if skipped is not None and name.startswith(skipped):
                continue
            skipped = None
            try:
                if name != ".":
                    check_name(name.rpartition("/")[2])
                self.entry(name, znode, content)
            except PoolError as error:
                if not self.keep_going:
                    raise
                self._damaged(name, error)
                if znode.is_dir:
                    skipped = name + "/"

    def entry(self, name: str, znode: Znode, content: Pieces | None = None) -> None:
        """Write one entry; the content of a file may have been read already."""
        raw = directory.raw(name)
        member = Member(
            raw, mode=znode.mode & PERMISSIONS, uid=znode.uid, gid=znode.gid, mtime_ns=znode.mtime
        )
        first = self.linked.get(znode.object) if not znode.is_dir else None
        if first is not None:
            member.kind, member.link = pax.LINK, first
            self.stream.write(pax.header(member))
            return
        member.xattrs = self._xattrs(name, znode)
        if znode.type == "file":
            self._file(member, ZplFile(znode, name), content)
        elif znode.is_dir:
            member.kind, member.name = pax.FOLDER, raw + b"/"
            self.stream.write(pax.header(member))
        elif znode.type == "symlink":
            member.kind, member.link = pax.SYMLINK, znode.target()
            self.stream.write(pax.header(member))
        elif znode.type in _KINDS:
            member.kind, member.device = _KINDS[znode.type], znode.rdev or (0, 0)
            self.stream.write(pax.header(member))
        else:
            self.notes.append(f"{directory.printable(name)}: a {znode.type} has no place in a tar archive")
            return
        if znode.nlink > 1 and not znode.is_dir:
            self.linked[znode.object] = raw

    def _xattrs(self, name: str, znode: Znode) -> dict[str, bytes]:
        try:
            return self.vfs.xattrs_of(znode)
        except PoolError as error:
            if not self.keep_going:
                raise
            self._damaged(name, error)
            return {}

    def _file(self, member: Member, content: ZplFile, pieces: Pieces | None) -> None:
        if pieces is not None and content.size - sum(len(data) for _, data in pieces) < SPARSE_FROM:
            self._small(member, content.size, pieces)
            return
        ranges = list(islice(self.copier.ranges(content, content.name, self.sparse), MAX_RANGES + 1))
        stored = sum(length for _, length in ranges)
        if content.size - stored >= SPARSE_FROM and len(ranges) <= MAX_RANGES:
            text = pax.sparse(member, ranges, content.size)
            self.stream.write(pax.header(member) + text)
            self._write(content, ranges)
            self.stream.write(pax.padding(stored))
            return
        member.size = content.size
        self.stream.write(pax.header(member))
        self._write(content, [(0, content.size)] if content.size else [])
        self.stream.write(pax.padding(content.size))

    def _small(self, member: Member, size: int, pieces: Pieces) -> None:
        """A file whose content is at hand, with next to no holes."""
        member.size = size
        data = bytearray(size + -size % pax.BLOCK)
        for at, piece in pieces:
            data[at : at + len(piece)] = piece
        self.stream.write(pax.header(member))
        self.stream.write(data)
        self.copier.progress(size)

    def _write(self, content: ZplFile, ranges: list[tuple[int, int]]) -> None:
        """Content of an entry whose header is out: from here on it has to come in full."""
        for piece in self._pieces(content, ranges):
            self.stream.write(piece)

    def _pieces(self, content: ZplFile, ranges: list[tuple[int, int]]) -> Iterator[memoryview]:
        for start, length in ranges:
            at = start
            for offset, piece in self.copier.pieces(content, start, length, content.name):
                yield piece
                at = offset + len(piece)
            if at != start + length:
                raise CorruptError("a file ended too early", path=directory.printable(content.name), offset=at)
