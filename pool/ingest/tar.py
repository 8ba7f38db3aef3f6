"""A tar stream into a dataset: every kind of entry, PAX attributes and times, GNU's sparse files.

The stream is read once, from beginning to end. Names lead nowhere but below the target: a leading slash is taken off,
a name with ``..`` is refused, and what was a link in the way is no directory. Of two entries of one name the later one
counts.

Source: POSIX.1-2017, pax; GNU tar's manual, "Storing Sparse Files"; star's SCHILY.xattr records.
"""

from __future__ import annotations

import io
import stat
import tarfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import IO, Any, BinaryIO

from ..errors import CorruptError, NotADirectoryInPoolError, NotFoundError, UsageError
from ..extract.content import Progress, Told
from ..vfswrite import MutableVfs
from ..zpl import directory
from ..zpl.directory import printable
from .maker import PIECE, Adapt, Folder, Maker, Owner, Source

XATTR = "SCHILY.xattr."
_KINDS = {
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
NS = 10**9
#: Permissions of directories that the stream does not name.
IMPLIED = stat.S_IFDIR | 0o755


def tar_in(
    vfs: MutableVfs,
    stream: IO[bytes] | BinaryIO,
    path: str,
    *,
    owner: Owner = None,
    progress: Progress | None = None,
    adapt: Adapt | None = None,
    reproducible: bool = False,
) -> Told:
    """Unpack a tar stream, also a compressed one, into a directory.

    Args:
        vfs: the dataset.
        stream: is read to its end, and need not be seekable.
        path: a directory in the dataset, which is made if need be.
        owner: uid and gid that everything gets; None: the numbers in the stream.
        progress: called with the bytes of content done since the last call.
        adapt, reproducible: as for ``Maker``.

    Returns:
        A sentence for everything that could not be copied as it is.

    Raises:
        CorruptError: it is no tar stream, or is cut off. UsageError: an entry leads out of the target.
        NoSpaceError: the pool is full.
    """
    with Maker(vfs, owner=owner, progress=progress, adapt=adapt, reproducible=reproducible) as maker:
        try:
            with tarfile.open(fileobj=stream, mode="r|*", encoding="utf-8", errors="surrogateescape") as archive:
                # Now that it is known to be an archive.
                if not vfs.exists(path):
                    vfs.mkdir(path)
                work = _Unpacking(maker, maker.open(vfs.znode(path, follow=True)))
                for member in archive:
                    work.entry(archive, member)
                    archive.members = []  # type: ignore[attr-defined]  # which would grow with every entry
        except (tarfile.TarError, EOFError) as error:
            raise CorruptError(f"the stream is no whole tar archive: {error}") from error
        work.finish()
    return maker.told()


class _Unpacking:
    """The directories seen so far, and the attributes they get when everything is in them."""

    def __init__(self, maker: Maker, top: Folder) -> None:
        self.maker = maker
        self.folders: dict[tuple[bytes, ...], Folder] = {(): top}
        self.sources: dict[tuple[bytes, ...], Source] = {}

    def finish(self) -> None:
        """Give directories their attributes and times, inner ones first."""
        for parts in sorted(self.sources, key=len, reverse=True):
            self.maker.leave(self.folders[parts], self.sources[parts])

    # --- places -------------------------------------------------------------------------------------------------------

    def _parts(self, name: str) -> tuple[bytes, ...]:
        parts = tuple(part for part in directory.raw(name).split(b"/") if part not in (b"", b"."))
        if b".." in parts:
            raise UsageError("an entry leads out of the archive", "unpack it elsewhere", path=printable(name))
        return parts

    def _folder(self, parts: tuple[bytes, ...]) -> Folder:
        """A directory, made if the stream has not named it."""
        found = self.folders.get(parts)
        if found is None:
            parent = self._folder(parts[:-1])
            found = self.folders[parts] = self.maker.folder(parent, parts[-1], Source(IMPLIED))
        return found

    def _object(self, name: str) -> int:
        """The object an earlier entry made.

        Raises:
            NotFoundError: there is none of this name.
        """
        parts = self._parts(name)
        folder = self.folders.get(parts[:-1])
        number = self.maker.find(folder, parts[-1]) if folder is not None and parts else None
        if number is None:
            raise NotFoundError("a link leads to a file that is not in the archive", path=printable(name))
        return number

    # --- entries ------------------------------------------------------------------------------------------------------

    def entry(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Make what an entry tells of."""
        parts = self._parts(member.name)
        if member.isdir():
            self._directory(parts, member)
            return
        if not parts:
            raise UsageError("an entry has no name", kind=member.type)
        if parts in self.folders:
            raise NotADirectoryInPoolError("a directory has the name of a later file", path=printable(member.name))
        folder, name = self._folder(parts[:-1]), parts[-1]
        if member.islnk():
            self.maker.link(folder, name, self._object(member.linkname))
        elif member.issym():
            source = _source(member, stat.S_IFLNK)
            source.mode = stat.S_IFLNK | 0o777
            source.target = directory.raw(member.linkname)
            self.maker.node(folder, name, source)
        elif member.type in _KINDS:
            source = _source(member, _KINDS[member.type])
            if member.type != tarfile.FIFOTYPE:
                source.device = (member.devmajor, member.devminor)
            self.maker.node(folder, name, source)
        elif member.isreg() or member.sparse is not None:
            content = archive.extractfile(member)
            assert content is not None
            pieces = _pieces(content, member)
            self.maker.file(folder, name, _source(member, stat.S_IFREG), member.size, pieces)
        else:
            self.maker.lost[f"an entry of type {member.type!r} was left out"] += 1

    def _directory(self, parts: tuple[bytes, ...], member: tarfile.TarInfo) -> None:
        source = _source(member, stat.S_IFDIR)
        if parts not in self.folders:
            self.folders[parts] = self.maker.folder(self._folder(parts[:-1]), parts[-1], source)
        else:
            self.folders[parts].fresh = False  # it has other attributes so far
        self.sources[parts] = source


def _source(member: tarfile.TarInfo, kind: int) -> Source:
    headers = member.pax_headers
    mtime = _time(headers.get("mtime"))
    atime = _time(headers.get("atime"))
    if mtime is None:
        mtime = int(member.mtime) * NS
    xattrs = {
        key[len(XATTR) :]: value.encode("utf-8", "surrogateescape")
        for key, value in headers.items()
        if key.startswith(XATTR)
    }
    return Source(
        mode=kind | stat.S_IMODE(member.mode),
        uid=member.uid,
        gid=member.gid,
        atime_ns=mtime if atime is None else atime,
        mtime_ns=mtime,
        xattrs=xattrs,
    )


def _time(text: str | None) -> int | None:
    """Nanoseconds, exact. None: none is given."""
    if text is None:
        return None
    try:
        return int(Decimal(text) * NS)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise CorruptError("an entry has a time that is none", time=printable(text[:40])) from error


def _pieces(content: IO[bytes], member: tarfile.TarInfo) -> Iterator[tuple[int, bytes | memoryview]]:
    """The content of an entry; of a sparse one, what is no hole."""
    # Beneath the buffer is what can skip holes of an entry whose stream cannot be rewound.
    raw: Any = content.raw if isinstance(content, io.BufferedReader) else content
    for start, length in data_of(member):
        at, end = start, start + length
        if at >= end:
            continue
        raw.seek(at)
        while at < end:
            piece = raw.read(min(PIECE, end - at))
            if not piece:
                raise CorruptError("the archive ends within a file", path=printable(member.name))
            yield at, piece
            at += len(piece)


def data_of(member: tarfile.TarInfo) -> list[tuple[int, int]]:
    """Offset and length of what is no hole of an entry."""
    sparse: Any = member.sparse
    return [(0, member.size)] if sparse is None else [(int(start), int(length)) for start, length in sparse]
