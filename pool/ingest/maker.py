"""Making files in a dataset, many in one transaction, from wherever they come.

A batch is a transaction: it ends after so many files, so many bytes, or so long. Names are gathered and entered into
their directory together, with one change of its attributes. A directory's times are set when nothing more goes into
it.

Invariants: names that wait belong to the open batch; a directory that waits for its times has no waiting names.
"""

from __future__ import annotations

import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from ..dmu.mutable import PLACE_BYTES
from ..errors import CorruptError, ExistsError, IsADirectoryInPoolError, NotADirectoryInPoolError, PoolError
from ..extract.content import Progress, Told, no_progress
from ..ondisk import nvlist
from ..ondisk.nvlist import NVList, NvType
from ..ondisk.zplconst import rdev_of
from ..vfswrite import MutableVfs
from ..zpl import directory, filewrite, xattrwrite
from ..zpl.attributes import NewFile
from ..zpl.bulk import NewFiles, first_block_size
from ..zpl.directory import printable, text
from ..zpl.znode import Znode
from .records import whole_records

#: When a batch ends: files, bytes, seconds.
BATCH_FILES, BATCH_BYTES, BATCH_SECONDS = 256, 64 << 20, 2.0
#: Content up to so many bytes comes with its file in one go; larger content in pieces, over several batches.
WHOLE = PIECE = 8 << 20
#: Extended attributes up to so many bytes together are made with the file.
PACKED_MAX = 32 << 10

#: Owner and group that everything is given; None: those it has.
Owner = tuple[int, int] | None


@dataclass(slots=True)
class Source:
    """What something is to be in the pool.

    Attributes:
        mode: type and permissions. uid, gid: owner. atime_ns, mtime_ns: times.
        target: of a symbolic link. device: major and minor number.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    atime_ns: int | None = None
    mtime_ns: int | None = None
    target: bytes | None = None
    device: tuple[int, int] | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)


#: Gives what something is to be in the pool, of what it is in its source.
Adapt = Callable[[Source], Source]


class Folder:
    """A directory that is being filled."""

    __slots__ = ("fresh", "object", "path", "waiting")

    def __init__(self, number: int, path: bytes, *, fresh: bool) -> None:
        self.object = number
        self.path = path
        self.fresh = fresh  # made here: what is in it came from here
        self.waiting: dict[bytes, tuple[int, int]] = {}


class Maker:
    """Makes files in a dataset. Use it in a ``with`` statement: leaving it well ends the last batch.

    Args:
        vfs: the dataset.
        owner: that everything gets; None: what its source says.
        progress: called with the bytes of content done since the last call.
        unique: no name comes twice in a directory that was made here.
        adapt: gives what something is to be in the pool, of what it is in its source.
        reproducible: batches, and blocks that are holes, follow from the source's content alone: neither from how long
            it takes nor from how a source keeps holes.
    """

    def __init__(
        self,
        vfs: MutableVfs,
        *,
        owner: Owner = None,
        progress: Progress | None = None,
        unique: bool = False,
        adapt: Adapt | None = None,
        reproducible: bool = False,
    ) -> None:
        self.vfs = vfs
        self.fs = vfs.filesystem
        self.owner = owner
        self.progress = progress or no_progress
        self.unique = unique
        self.adapt = adapt or (lambda source: source)
        self.reproducible = reproducible
        self.failures: list[str] = []
        self.lost: Counter[str] = Counter()
        self._stack: ExitStack | None = None
        self._files = self._bytes = 0
        self._began = 0.0
        self._dirty: dict[int, Folder] = {}
        self._files_made = NewFiles(self.fs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        elif self._stack is not None:
            stack, self._stack = self._stack, None
            stack.__exit__(kind, error, trace)

    def told(self) -> Told:
        """Everything that was not copied as it is."""
        return Told(self.failures, [f"{count} x {what}" for what, count in sorted(self.lost.items())])

    # --- batches ------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """A batch is open behind this: a new one if the last one has enough."""
        if self._stack is not None:
            full = self._files >= BATCH_FILES or self._bytes >= BATCH_BYTES
            if not full and (self.reproducible or time.monotonic() - self._began < BATCH_SECONDS):
                return
            self.flush()
        self._stack = ExitStack()
        self._stack.enter_context(self.fs.transaction())
        self.fs.log.gap()
        self._files = self._bytes = 0
        self._began = time.monotonic()

    def flush(self) -> None:
        """End the batch: everything made so far has its name, and is together in a txg."""
        if self._stack is None:
            return
        stack = self._stack
        with stack:
            self._stack = None
            for folder in self._dirty.values():
                self._enter(folder)
            self._dirty = {}

    def _enter(self, folder: Folder) -> None:
        if folder.waiting:
            self.fs.enter_all(self.fs.znode(folder.object), folder.waiting)
            folder.waiting = {}

    def _name(self, folder: Folder, name: bytes, number: int, mode: int) -> None:
        folder.waiting[name] = (number, mode)
        self._dirty[id(folder)] = folder
        self._files += 1

    # --- directories --------------------------------------------------------------------------------------------------

    def open(self, znode: Znode) -> Folder:
        """A directory that is there."""
        if not znode.is_dir:
            raise NotADirectoryInPoolError("not a directory", dataset=self.vfs.name, object=znode.object)
        return Folder(znode.object, b"", fresh=False)

    def find(self, folder: Folder, name: bytes) -> int | None:
        """The object of a name, also of one that waits."""
        waiting = folder.waiting.get(name)
        if waiting is not None:
            return waiting[0]
        return self.fs.find(self.fs.znode(folder.object), name)

    def folder(self, parent: Folder, name: bytes, source: Source) -> Folder:
        """Make a directory, or take the one that is there, which gets the attributes when it is left.

        Raises:
            ExistsError: something else has the name.
        """
        self._begin()
        source = self.adapt(source)
        path = parent.path + b"/" + name
        there = None if self.unique and parent.fresh else self.find(parent, name)
        if there is not None:
            znode = self.fs.znode(there)
            if not znode.is_dir:
                raise ExistsError("something else has the name of a directory", path=printable(text(path)))
            return Folder(there, path, fresh=False)
        number = self._make(parent, source)
        self._name(parent, name, number, source.mode)
        return Folder(number, path, fresh=True)

    def leave(self, folder: Folder, source: Source) -> None:
        """Nothing more goes into a directory: it gets its attributes and times."""
        self._begin()
        source = self.adapt(source)
        self._enter(folder)
        uid, gid = self._owner(source)
        znode = self.fs.znode(folder.object)
        if not folder.fresh:
            mode = stat.S_IMODE(source.mode)
            znode = self.fs.setattr(znode, mode=mode, uid=uid, gid=gid)
            self._xattrs_of(znode, source)
            znode = self.fs.znode(folder.object)
        times = {"ZPL_ATIME": source.atime_ns, "ZPL_MTIME": source.mtime_ns}
        self.fs.change(znode, {name: ns for name, ns in times.items() if ns is not None})
        self._files += 1

    # --- everything else ----------------------------------------------------------------------------------------------

    def _owner(self, source: Source) -> tuple[int, int]:
        return self.owner or (source.uid, source.gid)

    def _new(self, parent: Folder, source: Source, size: int = 0) -> NewFile:
        fs = self.fs
        uid, gid = self._owner(source)
        return NewFile(
            mode=source.mode,
            uid=uid,
            gid=gid,
            parent=parent.object,
            gen=fs.tx.txg,
            now_ns=fs.clock(),
            rdev=None if source.device is None else rdev_of(*source.device),
            target=source.target,
            projid=fs.new_projid,
            atime_ns=source.atime_ns,
            mtime_ns=source.mtime_ns,
            size=size,
        )

    def _make(self, parent: Folder, source: Source, size: int = 0) -> int:
        """A new object, which has no name yet."""
        fs = self.fs
        new = self._new(parent, source, size)
        if not source.xattrs:
            return fs.allocate(new).number
        usual = {name: value for name, value in source.xattrs.items() if self._usual(name, value)}
        total = sum(len(name) + len(value) for name, value in usual.items())
        if self.vfs.xattr_packed and total <= PACKED_MAX and len(usual) == len(source.xattrs):
            packed = NVList()
            for name, value in usual.items():
                packed.add(name, value, NvType.BYTE_ARRAY)
            return fs.allocate(new, {"ZPL_DXATTR": nvlist.encode(packed)}).number
        number = fs.allocate(new).number
        self._xattrs_of(fs.znode(number), source)
        return number

    def _usual(self, name: str, value: bytes) -> bool:
        return name.startswith(("user.", "trusted.", "security.", "system.")) and len(directory.raw(name)) < 256

    def _xattrs_of(self, znode: Znode, source: Source) -> None:
        for name, value in source.xattrs.items():
            try:
                xattrwrite.set_xattr(self.fs, self.fs.znode(znode.object), name, value, packed=self.vfs.xattr_packed)
            except PoolError as error:
                self.lost[f"an extended attribute was not kept: {error.what}"] += 1

    def _way(self, folder: Folder, name: bytes) -> None:
        """What has a name goes, unless it is a directory."""
        if self.unique and folder.fresh:
            return
        there = self.find(folder, name)
        if there is None:
            return
        if self.fs.znode(there).is_dir:
            raise IsADirectoryInPoolError("a directory has the name", path=printable(text(folder.path + b"/" + name)))
        self._enter(folder)
        self.fs.unlink(self.fs.znode(folder.object), name)

    def node(self, folder: Folder, name: bytes, source: Source) -> int:
        """Make a link, device, pipe or socket; gives its object."""
        self._begin()
        source = self.adapt(source)
        self._way(folder, name)
        number = self._make(folder, source)
        self._name(folder, name, number, source.mode)
        return number

    def link(self, folder: Folder, name: bytes, number: int) -> None:
        """Another name for an object that was made."""
        self._begin()
        znode = self.fs.znode(number)
        self._way(folder, name)
        self.fs.change(znode, {"ZPL_LINKS": znode.nlink + 1, "ZPL_PARENT": folder.object})
        self._name(folder, name, number, znode.mode)

    def file(
        self, folder: Folder, name: bytes, source: Source, size: int, pieces: Iterable[tuple[int, bytes | memoryview]]
    ) -> int:
        """Make a regular file; gives its object.

        Args:
            size: bytes of it; what no piece has is a hole.
            pieces: offset and content, in order; good until the next one is asked for.
        """
        self._begin()
        source = self.adapt(source)
        self._way(folder, name)
        whole = size <= WHOLE
        block_size = first_block_size(size, self.fs.recordsize)
        if size <= block_size and size < PLACE_BYTES and not source.xattrs:
            return self._small(folder, name, source, size, block_size, pieces)
        if source.xattrs:
            dn = self.fs.mutable(self._make(folder, source, size if whole else 0))
            filewrite.grow_block(dn, size, self.fs.recordsize)
        else:
            new = self._new(folder, source, size if whole else 0)
            dn = self._files_made.allocate(new, block_size)
        number = dn.number
        self._name(folder, name, number, source.mode)
        if self.reproducible:
            pieces = whole_records(pieces, size, dn.datablksz, PIECE)
        for offset, piece in pieces:
            if not whole:
                self._begin()
                dn = self.fs.mutable(number)
            dn.write(offset, piece)
            self._bytes += len(piece)
            self.progress(len(piece))
            if not whole:
                self.fs.change(self.fs.znode(number), {"ZPL_SIZE": offset + len(piece)})
        if not whole:
            self._begin()
            self.fs.change(self.fs.znode(number), {"ZPL_SIZE": size})
        return number

    def _small(
        self,
        folder: Folder,
        name: bytes,
        source: Source,
        size: int,
        block_size: int,
        pieces: Iterable[tuple[int, bytes | memoryview]],
    ) -> int:
        """Make a file of at most one block, in one step."""
        content: bytes | bytearray | None = None
        for offset, piece in pieces:
            if offset + len(piece) > size:
                raise CorruptError("a source has more bytes than it said", path=printable(text(name)), bytes=size)
            if content is None and not offset:
                content = bytes(piece)  # a view is good until the next piece is asked for
            else:
                grown = bytearray(content or b"").ljust(offset, b"\0")
                grown[offset : offset + len(piece)] = piece
                content = grown
            self._bytes += len(piece)
            self.progress(len(piece))
        if self.reproducible and content is not None and not any(content):
            content = None
        dn = self._files_made.allocate(self._new(folder, source, size), block_size, content)
        self._name(folder, name, dn.number, source.mode)
        return dn.number
