"""A file system that can be changed: making, linking, renaming and removing names, and attributes of files.

Every public method is one transaction: it is done as a whole or not at all. What a method is given as a ``Znode`` is
read again where it matters, so that a file that changed since is not written with old attributes.

A file without a name is put into the unlinked set and freed when nobody has it open any more; what a crash leaves in
the set is freed when the file system is next opened for writing.

Source: OpenZFS, zfs_vnops.c, zfs_dir.c, zfs_znode.c.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ..dmu.mutable import MutableDnode
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..dmu.tx import TxManager
from ..dmu.zap import ZapEntry
from ..dmu.zapbulk import add_many
from ..errors import (
    ExistsError,
    FileLimitError,
    FileUsageError,
    IsADirectoryInPoolError,
    NotADirectoryInPoolError,
    NotEmptyError,
    NotFoundError,
    PoolError,
    ReadOnlyError,
    UnsupportedError,
    UsageError,
)
from ..ondisk import zilencode
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import SLOTS_PER_BLOCK, DnodeBlock
from ..ondisk.zilrecord import TxType
from ..ondisk.zplconst import DIRENT_TYPE_SHIFT, MAX_NAME, ZPL_VERSION_SA, Case, PFlags
from . import directory
from .aclwrite import trivial_acl
from .attributes import NewFile, no_execs_denied, pack
from .directory import printable, text
from .filesystem import Filesystem, Kind
from .oplog import NoLog, OpLog
from .sawrite import MutableSaTable
from .znode import Znode

#: Links a file can have. Source: zfs_dir.c.
OBJSET_PROJECTQUOTA = 4
LINK_MAX = (1 << 31) - 1
#: Bytes of a name without the feature ``longname``.
NAME_MAX = 255
SYMLINK_MAX = 4095
#: What an intent log calls attributes that can be set: mode, owner, group, times of last read and last change.
_SETATTR_BITS = (zilencode.MODE, zilencode.UID, zilencode.GID, zilencode.ATIME, zilencode.MTIME)
_MAKING = {stat.S_IFDIR: TxType.MKDIR, stat.S_IFLNK: TxType.SYMLINK}


class _Transaction:
    """See ``MutableFilesystem.transaction``."""

    __slots__ = ("_inner", "fs")

    def __init__(self, fs: MutableFilesystem) -> None:
        self.fs = fs
        self._inner = fs.tx.transaction()

    def __enter__(self) -> TxManager:
        self.fs._check_writable()
        if self.fs.objset.dirty_bytes:
            self.fs.objset.make_way()
        return self._inner.__enter__()

    def __exit__(self, *how: Any) -> None:
        self._inner.__exit__(*how)
        fs = self.fs
        if how[0] is None and not fs.tx.active:
            fs.relieve()
            fs.log.settle()


class MutableFilesystem(Filesystem):
    """The files of one head file system, to be changed.

    Args:
        objset: its object set.
        clock: gives the time in nanoseconds since 1970.
        recordsize: of new files. dnodesize: of new files' dnodes, in bytes.
        longnames: names may have up to 1023 bytes. atime: reading changes the time of last read.
        relatime: only if the file changed since, or a day has passed.
        relieve: called after each transaction: the pool may write a txg then.

    Attributes:
        log: told of every change.
    """

    objset: MutableObjset

    def __init__(
        self,
        objset: MutableObjset,
        *,
        clock: Callable[[], int],
        recordsize: int = 128 << 10,
        dnodesize: int = 512,
        longnames: bool = False,
        atime: bool = True,
        relatime: bool = True,
        relieve: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(objset)
        if self.version < ZPL_VERSION_SA:
            raise UnsupportedError(f"a file system of ZPL version {self.version} is not written", dataset=self.name)
        self.clock = clock
        self.recordsize = recordsize
        self.dnodesize = dnodesize
        self.longnames = longnames
        self.atime = atime
        self.relatime = relatime
        self.relieve = relieve
        self.log: OpLog = NoLog()
        self.readonly = False  # property of this name: files are not changed
        self.attributes = MutableSaTable(objset, self._fixed("SA_ATTRS"), objset.random_bytes)
        #: Objects that somebody has open: how often.
        self.held: dict[int, int] = {}
        self._orphans: set[int] = set()  # may be in the unlinked set
        #: Project of new files; None where projects are not counted.
        self.new_projid = 0 if objset.phys.flags & OBJSET_PROJECTQUOTA else None

    @property
    def sa(self) -> MutableSaTable:
        """Registry and layouts of attributes."""
        return self.attributes

    @property
    def tx(self) -> TxManager:
        """The pool's transactions."""
        return self.objset.tx

    def transaction(self) -> AbstractContextManager[TxManager]:
        """Changes made inside are made together or not at all.

        Raises:
            ReadOnlyError: the property ``readonly`` forbids changes.
        """
        return _Transaction(self)

    @contextmanager
    def giving_back(self) -> Iterator[TxManager]:
        """A transaction that gives space back in the end. Raises: as ``transaction``."""
        self._check_writable()
        with self.tx.giving_back() as tx:
            yield tx
        if not tx.active:
            self.log.settle()

    def _check_writable(self) -> None:
        if self.readonly:
            raise ReadOnlyError(f"{self.name} is set read-only", "zfs set readonly=off, or copy elsewhere")

    def mutable(self, number: int) -> MutableDnode:
        """An object to be changed."""
        return self.objset.dnode(number)

    # --- attributes -------------------------------------------------------------------------------------------------

    def _read_dnodes(self, blocks: dict[int, DnodeBlock | None]) -> None:
        # A block that is being written may be read too early, and what is in it be on disk before it is looked at.
        settled: dict[int, DnodeBlock | None] = {}
        for block in blocks:
            first = block * SLOTS_PER_BLOCK
            if not any(self.objset.waits_for(number) for number in range(first, first + SLOTS_PER_BLOCK)):
                settled[block] = None
        super()._read_dnodes(settled)
        blocks.update(settled)

    def _one_of_many(self, number: int, block: DnodeBlock | None) -> Znode | PoolError:
        # What has changed is not on disk yet.
        return super()._one_of_many(number, None if self.objset.waits_for(number) is not None else block)

    def used(self, kind: Kind) -> dict[int, int]:
        with self._counted():
            return super().used(kind)

    def quotas(self, kind: Kind) -> dict[int, int]:
        with self._counted():
            return super().quotas(kind)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """What is counted by owner changes while a txg is written, and without the lock."""
        with self.tx.lock:
            self.tx.wait()
            yield

    def change(self, znode: Znode, values: Mapping[str, int | bytes | None]) -> Znode:
        """Set attributes of a file (``None`` takes one away); gives the file as it is then.

        Args:
            values: by name; numbers, times in nanoseconds, or bytes as stored.
        """
        packed = {name: None if value is None else pack(name, value) for name, value in values.items()}
        self.attributes.change(self.mutable(znode.object), packed)
        return self.znode(znode.object)

    def setattr(
        self,
        znode: Znode,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
        flags: int | None = None,
        projid: int | None = None,
    ) -> Znode:
        """Change permissions, owner, times or flags, and the time of change with them."""
        values: dict[str, int | bytes | None] = {"ZPL_CTIME": self.clock()}
        with self.transaction():
            znode = self.znode(znode.object)
            new_flags = int(znode.flags) if flags is None else flags
            if mode is not None:
                mode = stat.S_IFMT(znode.mode) | stat.S_IMODE(mode)
                count, aces = trivial_acl(mode)
                values |= {"ZPL_MODE": mode, "ZPL_DACL_COUNT": count, "ZPL_DACL_ACES": aces}
                new_flags = new_flags & ~PFlags.NO_EXECS_DENIED | no_execs_denied(mode) | PFlags.ACL_TRIVIAL
            for name, value in (
                ("ZPL_UID", uid), ("ZPL_GID", gid), ("ZPL_ATIME", atime_ns), ("ZPL_MTIME", mtime_ns),
                ("ZPL_PROJID", projid),
            ):  # fmt: skip
                if value is not None:
                    values[name] = value
            if new_flags != int(znode.flags):
                values["ZPL_FLAGS"] = new_flags
            if flags is not None:
                self.log.gap()
            asked = zip((mode, uid, gid, atime_ns, mtime_ns), _SETATTR_BITS)
            mask = sum((bit for value, bit in asked if value is not None), zilencode.CTIME)
            self.log.note_file(
                znode.object, zilencode.setattr_, znode.object, mask, mode or 0, uid or 0, gid or 0, 0,
                atime_ns or 0, mtime_ns or 0, projid,
            )  # fmt: skip
            return self.change(znode, values)

    # --- names ------------------------------------------------------------------------------------------------------

    def check_name(self, name: bytes) -> bytes:
        """A name that a file can have here.

        Raises:
            UsageError: it is empty, ``.``, ``..``, or has a slash, a NUL or, where that matters, is not UTF-8.
            FileLimitError: it is too long.
        """
        if len(name) > (MAX_NAME if self.longnames else NAME_MAX):
            raise FileLimitError(
                "a name is too long", errno.ENAMETOOLONG, dataset=self.name, name=printable(text(name[:80])),
                bytes=len(name),
            )  # fmt: skip
        if not directory.is_name(name):
            raise UsageError("no file can have this name", dataset=self.name, name=printable(text(name)))
        if self.utf8only:
            try:
                name.decode("utf-8")
            except UnicodeDecodeError:
                raise UsageError("names here must be UTF-8", dataset=self.name, name=printable(text(name))) from None
        return name

    def entries_of(self, folder: Znode) -> MutableZap:
        """A directory's entries, to be changed."""
        if not folder.is_dir:
            raise NotADirectoryInPoolError("not a directory", dataset=self.name, object=folder.object)
        found = self.open_directories.get(folder.object)
        dn = self.mutable(folder.object)
        if isinstance(found, MutableZap) and found.dnode is dn:
            return found
        # What is kept may also be of another object, which had this number before.
        return self._keep_open(folder.object, MutableZap(dn, long_names=self.longnames))

    def steady(self) -> AbstractContextManager[object]:
        return self.tx.steady()

    def listed(self, folder: Znode) -> Iterator[ZapEntry]:
        """All of a directory's entries, as they are at one moment, however long it takes to go over them."""
        found: list[ZapEntry] = []
        damage: PoolError | None = None
        with self.steady():
            try:
                found.extend(super().listed(self.znode(folder.object)))
            except PoolError as error:
                damage = error
        yield from found
        if damage is not None:
            raise damage

    def find(self, folder: Znode, name: bytes) -> int | None:
        """The object a name stands for; None: there is no such name."""
        return directory.find(folder, name)

    def make(self, parent: Znode, name: bytes, new: NewFile) -> Znode:
        """A new file, directory, link or device under a name.

        Raises:
            ExistsError: the name is taken. NotADirectoryInPoolError, UsageError, FileLimitError, NoSpaceError.
        """
        self.check_name(name)
        if new.target == b"":
            raise NotFoundError("a symbolic link cannot lead to the empty path", dataset=self.name)
        if new.target is not None and len(new.target) > SYMLINK_MAX:
            raise FileLimitError("a symbolic link's target is too long", errno.ENAMETOOLONG, bytes=len(new.target))
        with self.transaction():
            entries = self.entries_of(parent)
            dn = self.allocate(new)
            self._enter(entries, name, dn.number, new.mode)
            self._count(parent, +1, stat.S_ISDIR(new.mode))
            self.note_made(parent.object, name, dn, new)
            return self.znode(dn.number)

    def note_made(
        self, directory: int, name: bytes, dn: MutableDnode, new: NewFile, kind: TxType | None = None
    ) -> None:
        """Tell the log of something new.

        Args:
            directory: the object it has its name in. kind: of record, if it does not follow from the mode.
        """
        kind = kind or _MAKING.get(stat.S_IFMT(new.mode), TxType.CREATE)
        self.log.note(
            zilencode.create, kind, directory, dn.number, dn.extra_slots + 1, new.mode, new.uid, new.gid, new.gen,
            new.now_ns, new.rdev or 0, name, new.target,
        )  # fmt: skip
        if new.acl is not None or new.ctime_ns is not None or new.crtime_ns is not None:
            self.log.gap()
        if new.atime_ns is not None or new.mtime_ns is not None:
            mask = zilencode.ATIME if new.atime_ns is not None else 0
            mask |= zilencode.MTIME if new.mtime_ns is not None else 0
            self.log.note_file(
                dn.number, zilencode.setattr_, dn.number, mask, 0, 0, 0, 0, new.atime_ns or 0, new.mtime_ns or 0
            )

    def allocate(self, new: NewFile, further: Mapping[str, bytes] | None = None) -> MutableDnode:
        """A new object with these attributes and no name, in a transaction; ``further``: more of them, as stored."""
        dnode_size = new.dnode_size or self.dnodesize
        if stat.S_ISDIR(new.mode):
            zap = create_zap(
                self.objset,
                ObjectType.DIRECTORY_CONTENTS,
                self.objset.random_bytes,
                bonus_type=ObjectType.SA,
                dnode_size=dnode_size,
                normflags=self.normflags,
                number=new.number,
            )
            dn: MutableDnode = zap.dnode
        else:
            dn = self.objset.allocate(
                ObjectType.PLAIN_FILE_CONTENTS, bonus_type=ObjectType.SA, dnode_size=dnode_size, number=new.number
            )
        self.attributes.store(dn, {**new.attributes(), **further} if further else new.attributes())
        return dn

    def enter(self, folder: Znode, name: bytes, number: int, mode: int) -> None:
        """Give an object a name, in a transaction. Raises: as ``enter_all``."""
        self._enter(self.entries_of(folder), self.check_name(name), number, mode)
        self._count(folder, +1, stat.S_ISDIR(mode))

    def enter_all(self, folder: Znode, names: Mapping[bytes, tuple[int, int]]) -> None:
        """Give many objects names in one directory: one change of the directory's attributes for all.

        Args:
            names: name -> object and mode.

        Raises:
            ExistsError: a name is taken. UsageError, FileLimitError: no file can have it.
        """
        with self.transaction():
            self.log.gap()
            entries = self.entries_of(folder)
            if self.normflags:
                for name, (number, mode) in names.items():
                    self._enter(entries, self.check_name(name), number, mode)
            else:
                found = {self.check_name(name): entry_of(number, mode) for name, (number, mode) in names.items()}
                try:
                    add_many(entries, found)
                except ExistsError as error:
                    taken = error.where.get("name")
                    raise ExistsError("the name is taken", dataset=self.name, name=taken) from None
            folders = sum(stat.S_ISDIR(mode) for _, mode in names.values())
            self._count(folder, len(names), False, links=folders)

    def _enter(self, entries: MutableZap, name: bytes, number: int, mode: int) -> None:
        """Put a name into a directory."""
        if self.normflags and entries.find(name, fold=True, match_case=self.case == Case.MIXED) is not None:
            raise ExistsError("the name is taken", dataset=self.name, name=printable(text(name)))
        try:
            entries.add(name, entry_of(number, mode))
        except ExistsError:
            raise ExistsError("the name is taken", dataset=self.name, name=printable(text(name))) from None

    def _count(self, folder: Znode, entries: int, subfolder: bool, *, links: int | None = None) -> None:
        """A directory has more or fewer entries, and with subdirectories more or fewer links."""
        folder = self.znode(folder.object)
        now = self.clock()
        values: dict[str, int | bytes | None] = {
            "ZPL_SIZE": folder.size + entries,
            "ZPL_MTIME": now,
            "ZPL_CTIME": now,
        }
        more = (entries if subfolder else 0) if links is None else links
        if more:
            values["ZPL_LINKS"] = self._linkable(folder, more)
        self.change(folder, values)

    def _linkable(self, znode: Znode, more: int) -> int:
        links = znode.nlink + more
        if links > LINK_MAX:
            raise FileLimitError("a file cannot have more links", errno.EMLINK, dataset=self.name, object=znode.object)
        return links

    def link(self, znode: Znode, parent: Znode, name: bytes) -> Znode:
        """Another name for a file.

        Raises:
            IsADirectoryInPoolError: directories have one name. ExistsError: the name is taken.
        """
        self.check_name(name)
        with self.transaction():
            znode = self.znode(znode.object)
            if znode.is_dir:
                raise FileUsageError("a directory cannot have a second name", errno.EPERM, dataset=self.name)
            if not znode.nlink:
                raise NotFoundError("a file without a name cannot get one", dataset=self.name, object=znode.object)
            self._enter(self.entries_of(parent), name, znode.object, znode.mode)
            self._count(parent, +1, False)
            self.log.note(zilencode.link, parent.object, znode.object, name)
            values = {"ZPL_LINKS": self._linkable(znode, 1), "ZPL_PARENT": parent.object, "ZPL_CTIME": self.clock()}
            return self.change(znode, values)

    def unlink(self, parent: Znode, name: bytes) -> None:
        """Take a name away; with its last name the file goes.

        Raises:
            NotFoundError: no such name. IsADirectoryInPoolError: it is a directory's.
        """
        with self.giving_back():
            self._unlink(parent, name)
            self.log.note(zilencode.remove, TxType.REMOVE, parent.object, name)

    def _unlink(self, parent: Znode, name: bytes) -> None:
        znode = self._named(parent, name)
        if znode.is_dir:
            raise IsADirectoryInPoolError("is a directory", dataset=self.name, name=printable(text(name)))
        self._leave(parent, name)
        self._count(parent, -1, False)
        self._unlink_one(znode)

    def rmdir(self, parent: Znode, name: bytes) -> None:
        """Remove an empty directory.

        Raises:
            NotFoundError, NotADirectoryInPoolError; NotEmptyError: there is something in it.
        """
        with self.giving_back():
            self._rmdir(parent, name)
            self.log.note(zilencode.remove, TxType.RMDIR, parent.object, name)

    def _rmdir(self, parent: Znode, name: bytes) -> None:
        znode = self._named(parent, name)
        self._check_empty(znode, name)
        self._leave(parent, name)
        self._count(parent, -1, True)
        self.change(znode, {"ZPL_LINKS": 0, "ZPL_CTIME": self.clock()})
        self._orphan(znode)

    def _check_empty(self, znode: Znode, name: bytes) -> None:
        if not znode.is_dir:
            raise NotADirectoryInPoolError("not a directory", dataset=self.name, name=printable(text(name)))
        if len(self.entries_of(znode)):
            raise NotEmptyError("the directory is not empty", dataset=self.name, name=printable(text(name)))

    def _named(self, parent: Znode, name: bytes) -> Znode:
        number = self.find(parent, name)
        if number is None:
            raise NotFoundError("no such file or directory", dataset=self.name, name=printable(text(name)))
        return self.znode(number)

    def _leave(self, parent: Znode, name: bytes) -> None:
        self.entries_of(parent).remove(name, fold=bool(self.normflags), match_case=self.case == Case.MIXED)

    def _unlink_one(self, znode: Znode) -> None:
        links = znode.nlink - 1
        self.change(znode, {"ZPL_LINKS": links, "ZPL_CTIME": self.clock()})
        if links <= 0:
            self._orphan(znode)

    # --- files without a name -----------------------------------------------------------------------------------------

    @property
    def _unlinked(self) -> MutableZap:
        return MutableZap(self.mutable(self.master["DELETE_QUEUE"]))

    def _orphan(self, znode: Znode) -> None:
        """A file has lost its last name: it is freed now, or when nobody has it open any more."""
        if self.held.get(znode.object):
            self._unlinked.add(f"{znode.object:x}", znode.object)
            self._orphans.add(znode.object)
            return
        self._destroy(znode)

    def _destroy(self, znode: Znode) -> None:
        """Free a file with what hangs on it."""
        if znode.xattr_object:
            hidden = self.znode(znode.xattr_object)
            for entry in directory.entries(hidden):
                self.objset.free(entry.object)
            self.objset.free(hidden.object)
        self.open_directories.pop(znode.object, None)
        self.objset.free(znode.object)

    def hold(self, number: int) -> None:
        """Somebody has a file open: it outlives its names."""
        with self.tx.lock:
            self.held[number] = self.held.get(number, 0) + 1

    def release(self, number: int) -> None:
        """Somebody has closed it."""
        with self.tx.lock:
            left = self.held.get(number, 1) - 1
            if left:
                self.held[number] = left
                return
            self.held.pop(number, None)
            if number not in self._orphans or self.objset.destroyed:
                return
            self._orphans.discard(number)
            if f"{number:x}" not in self._unlinked:
                return  # the removal was taken back
        with self.tx.giving_back() as tx:
            tx.note(lambda: self._orphans.add(number))
            self.log.ignore()
            self._unlinked.remove(f"{number:x}")
            self._destroy(self.znode(number))

    def drain_unlinked(self) -> int:
        """Free what a crash left without a name; gives how many files."""
        numbers = self.unlinked()
        for number in numbers:
            with self.tx.giving_back():
                self.log.ignore()
                self._unlinked.remove(f"{number:x}")
                self._destroy(self.znode(number))
        return len(numbers)

    # --- renaming -------------------------------------------------------------------------------------------------

    def rename(
        self, parent: Znode, name: bytes, new_parent: Znode, new_name: bytes, *, replace: bool = True
    ) -> None:
        """Move a file or directory to another name, in the same directory or another one.

        Args:
            replace: what has that name already goes, if it is of the same kind (and empty).

        Raises:
            NotFoundError; ExistsError: the name is taken and ``replace`` is false. UsageError: a directory would come
            to lie in itself. NotEmptyError, IsADirectoryInPoolError, NotADirectoryInPoolError: what has the name
            cannot be replaced.
        """
        self.check_name(new_name)
        with self.transaction():
            znode = self._named(parent, name)
            if znode.is_dir and new_parent.object != parent.object:
                self._check_not_below(znode, new_parent)
            there = self.find(new_parent, new_name)
            if there == znode.object and (replace or self.normflags):
                self._rename_onto_itself(znode, parent, name, new_parent, new_name)
                return
            self.log.note(zilencode.rename, TxType.RENAME, parent.object, new_parent.object, name, new_name)
            if there is not None:
                if not replace:
                    raise ExistsError("the name is taken", dataset=self.name, name=printable(text(new_name)))
                self._make_way(znode, new_parent, new_name, self.znode(there))
            self._leave(parent, name)
            self._enter(self.entries_of(new_parent), new_name, znode.object, znode.mode)
            self._count(parent, -1, znode.is_dir)
            self._count(new_parent, +1, znode.is_dir)
            self.change(znode, {"ZPL_PARENT": new_parent.object, "ZPL_CTIME": self.clock()})

    def _rename_onto_itself(
        self, znode: Znode, parent: Znode, name: bytes, new_parent: Znode, new_name: bytes
    ) -> None:
        """Two names of one file stay as they are; a name that only changes its case is written anew."""
        if parent.object == new_parent.object and name != new_name and self.normflags:
            self.log.note(zilencode.rename, TxType.RENAME, parent.object, new_parent.object, name, new_name)
            self._leave(parent, name)
            self.entries_of(parent).add(new_name, entry_of(znode.object, znode.mode))
            self.change(znode, {"ZPL_CTIME": self.clock()})

    def _make_way(self, znode: Znode, parent: Znode, name: bytes, there: Znode) -> None:
        """What has a name goes, so that another can take it."""
        if znode.is_dir:
            self._check_empty(there, name)
            self._rmdir(parent, name)
        elif there.is_dir:
            raise IsADirectoryInPoolError("is a directory", dataset=self.name, name=printable(text(name)))
        else:
            self._unlink(parent, name)

    def _check_not_below(self, znode: Znode, folder: Znode) -> None:
        """Raises: UsageError: ``folder`` lies in ``znode``."""
        seen = set()
        while folder.object != self.root_object:
            if folder.object == znode.object or folder.object in seen:
                raise FileUsageError("a directory cannot be moved into itself", errno.EINVAL, dataset=self.name)
            seen.add(folder.object)
            folder = self.znode(folder.parent)

    def exchange(self, parent: Znode, name: bytes, other: Znode, other_name: bytes) -> None:
        """Two names change places."""
        with self.transaction():
            first, second = self._named(parent, name), self._named(other, other_name)
            if first.object == second.object:
                return
            for moved, target in ((first, other), (second, parent)):
                if moved.is_dir and parent.object != other.object:
                    self._check_not_below(moved, target)
            kind = TxType.RENAME_EXCHANGE
            self.log.note(zilencode.rename, kind, parent.object, other.object, name, other_name)
            for folder, key, znode in ((parent, name, second), (other, other_name, first)):
                self.entries_of(folder).update(key, entry_of(znode.object, znode.mode))
            if parent.object != other.object:
                change = int(second.is_dir) - int(first.is_dir)
                self._count(parent, 0, False, links=change)
                self._count(other, 0, False, links=-change)
            self.change(first, {"ZPL_PARENT": other.object, "ZPL_CTIME": self.clock()})
            self.change(second, {"ZPL_PARENT": parent.object, "ZPL_CTIME": self.clock()})


def entry_of(number: int, mode: int) -> int:
    """A directory's entry for an object: its number and, above it, its type."""
    return number | stat.S_IFMT(mode) >> 12 << DIRENT_TYPE_SHIFT
