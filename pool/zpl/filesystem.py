"""A file system in an object set: its master node, its root, its tables, and the way from a path to a file.

Object 1 is the master node, a ZAP with the version, the root directory, the properties fixed at creation and the
objects of all tables.

Source: OpenZFS, zfs_vfsops.c, zfs_znode.c, zfs_quota.c.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Literal, TypeVar

from ..dmu.dnode import Dnode
from ..dmu.objset import Objset
from ..dmu.zap import Zap, ZapEntry
from ..errors import (
    CorruptError,
    FileLimitError,
    LimitError,
    NotADirectoryInPoolError,
    NotFoundError,
    PoolError,
    UnsupportedError,
    UsageError,
)
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import SLOTS_PER_BLOCK, DnodeBlock
from ..ondisk.fuid import MAX_TABLE_BYTES, decode_table
from ..ondisk.zplconst import MASTER_NODE_OBJECT, ZPL_VERSION_MAX, ZPL_VERSION_SA, Case
from . import directory
from .sa import SaTable
from .znode import Znode

OS_TYPE_ZFS = 2
MAX_DEPTH = 4096  # directories above one another
MAX_SYMLINKS = 40  # followed on the way of one path
BATCH = 64  # dnode blocks read at a time
TOUPPER = 0x2
DIRECTORIES_KEPT = 64  # in which names were looked up

Opened = TypeVar("Opened", bound=Zap)

#: Key of the quota ZAPs in the master node, and which accounting ZAP and key prefix belong to each.
Kind = Literal["user", "group", "project", "userobj", "groupobj", "projectobj"]
_FILE_BONUS = (ObjectType.SA, ObjectType.ZNODE)


class Filesystem:
    """The files of one object set.

    Args:
        objset: of a file system or a snapshot of one.

    Raises:
        UsageError: the object set holds something else; UnsupportedError: a later ZPL version;
        CorruptError: no proper master node.
    """

    def __init__(self, objset: Objset) -> None:
        if objset.phys.type != OS_TYPE_ZFS:
            raise UsageError(f"{objset.name} is not a file system", type=objset.phys.type)
        self.objset = objset
        self.name = objset.name
        node = objset.dnode(MASTER_NODE_OBJECT)
        if node.type != ObjectType.MASTER_NODE:
            raise CorruptError(f"{self.name} has no master node", type=node.type)
        #: Everything in the master node that is a number, by name.
        self.master: dict[str, int] = {
            entry.name.decode("utf-8", "surrogateescape"): entry.values[0]
            for entry in Zap(node).items()
            if len(entry.values) == 1
        }
        self.version = self._fixed("VERSION")
        if not 1 <= self.version <= ZPL_VERSION_MAX:
            raise UnsupportedError(f"{self.name} has ZPL version {self.version}", f"known are 1 to {ZPL_VERSION_MAX}")
        self.root_object = self._fixed("ROOT")
        self.normalization = self.master.get("normalization", 0)
        self.utf8only = bool(self.master.get("utf8only", 0))
        number = self.master.get("casesensitivity", 0)
        if number not in (Case.SENSITIVE, Case.INSENSITIVE, Case.MIXED):
            raise CorruptError(f"{self.name} has an impossible case sensitivity", value=number)
        self.case = Case(number)
        #: Directories in which names were looked up lately, by object number.
        self.open_directories: dict[int, Zap] = {}
        #: How names are normalized before they are hashed and compared.
        self.normflags = self.normalization | (TOUPPER if self.case != Case.SENSITIVE else 0)

    def entries_of(self, folder: Znode) -> Zap:
        """A directory's entries. Raises: NotADirectoryInPoolError; CorruptError."""
        found = self.open_directories.get(folder.object)
        return self._keep_open(folder.object, directory.open_zap(folder)) if found is None else found

    def listed(self, folder: Znode) -> Iterator[ZapEntry]:
        """All of a directory's entries. Raises: as ``directory.open_zap`` and ``Zap.items``."""
        return directory.open_zap(folder).items()

    def steady(self) -> AbstractContextManager[object]:
        """Inside of it no names are changed."""
        return nullcontext()

    def _keep_open(self, number: int, entries: Opened) -> Opened:
        """Keep a directory's entries for the next time; the oldest go."""
        while len(self.open_directories) >= DIRECTORIES_KEPT:
            self.open_directories.pop(next(iter(self.open_directories)), None)
        self.open_directories[number] = entries
        return entries

    def __repr__(self) -> str:
        return f"<Filesystem {self.name} ZPL {self.version}>"

    def _fixed(self, key: str) -> int:
        if key not in self.master:
            raise CorruptError(f"the master node of {self.name} lacks {key}")
        return self.master[key]

    # ---- files ----------------------------------------------------------------------------------------------------

    @cached_property
    def sa(self) -> SaTable:
        """Registry and layouts of system attributes.

        Raises:
            CorruptError: there are none, though a file has such attributes.
        """
        master = self.master.get("SA_ATTRS", 0)
        if self.version < ZPL_VERSION_SA or master == 0:
            raise CorruptError(f"{self.name} has no table of system attributes")
        return SaTable.load(self.objset, master)

    @property
    def root(self) -> Znode:
        """The root directory."""
        root = self.znode(self.root_object)
        if not root.is_dir:
            raise CorruptError(f"the root of {self.name} is not a directory", object=root.object)
        return root

    def znode(self, number: int) -> Znode:
        """The file that is object ``number``.

        Raises:
            NotFoundError: no such object; CorruptError: it is no file, or a damaged one.
        """
        return Znode(self, self.objset.dnode(number))

    def znodes(self) -> Iterator[Znode]:
        """Every object that is a file, in the order of numbers; hidden ones and unlinked ones too."""
        for dnode in self.objset.objects():
            if dnode.bonustype in _FILE_BONUS and dnode.bonus:
                yield Znode(self, dnode)

    def many(self, numbers: Sequence[int]) -> Iterator[tuple[int, Znode | PoolError]]:
        """Files by their object numbers, best in rising order: their dnodes are read in batches.

        What cannot be had comes as the error that ``znode`` would raise.
        """
        at = 0
        while at < len(numbers):
            blocks: dict[int, DnodeBlock | None] = {}
            end = at
            while end < len(numbers):
                block = numbers[end] // SLOTS_PER_BLOCK
                if block not in blocks and len(blocks) == BATCH:
                    break
                blocks[block] = None
                end += 1
            self._read_dnodes(blocks)
            for number in numbers[at:end]:
                yield number, self._one_of_many(number, blocks[number // SLOTS_PER_BLOCK])
            at = end

    def _read_dnodes(self, blocks: dict[int, DnodeBlock | None]) -> None:
        meta = self.objset.meta
        wanted = [block for block in blocks if 0 <= block <= meta.maxblkid]
        try:
            for block, (data, order) in zip(wanted, meta.blocks(wanted)):
                blocks[block] = DnodeBlock(bytes(data), order)
        except PoolError:
            # One by one, the good ones of them can be had.
            return

    def _one_of_many(self, number: int, block: DnodeBlock | None) -> Znode | PoolError:
        try:
            index = number % SLOTS_PER_BLOCK
            if block is None or index not in block or number <= 0:
                return self.znode(number)
            return Znode(self, Dnode(self.objset, number, block.dnode(index, dataset=self.name, object=number)))
        except PoolError as error:
            return error

    def child(self, parent: Znode, name: str) -> Znode:
        """The file of this name in a directory.

        Raises:
            NotFoundError: there is none; NotADirectoryInPoolError: ``parent`` is no directory.
        """
        found = directory.find(parent, directory.raw(name))
        if found is None:
            raise NotFoundError("no such file or directory", dataset=self.name, name=directory.printable(name))
        return self.znode(found)

    def lookup(self, path: str, *, follow: bool = True) -> Znode:
        """The file a path names.

        Args:
            path: components between slashes, from the root; ``.`` and ``..`` mean what they always do.
            follow: what a last symbolic link names, rather than the link. Links on the way are always followed;
                an absolute target begins at this file system's root.

        Raises:
            NotFoundError, NotADirectoryInPoolError; FileLimitError, LimitError: too many links or directories.
        """
        trail = [self.root]
        where = {"dataset": self.name, "path": directory.printable(path)}
        pending = path.split("/")[::-1]
        links = 0
        must_be_dir = path.endswith(("/", "/."))
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if not trail[-1].is_dir:
                raise NotADirectoryInPoolError("not a directory", **where)
            if part == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            found = directory.find(trail[-1], directory.raw(part))
            if found is None:
                raise NotFoundError("no such file or directory", **where)
            node = self.znode(found)
            last = not pending
            if stat.S_ISLNK(node.mode) and (follow or not last):
                links += 1
                if links > MAX_SYMLINKS:
                    raise FileLimitError("too many levels of symbolic links", errno.ELOOP, **where)
                target = directory.text(node.target())
                if target.startswith("/"):
                    del trail[1:]
                must_be_dir |= last and target.endswith(("/", "/."))
                pending += target.split("/")[::-1]
                continue
            trail.append(node)
            if len(trail) > MAX_DEPTH:
                raise LimitError(f"a path of more than {MAX_DEPTH} directories", dataset=self.name)
        if must_be_dir and not trail[-1].is_dir:
            raise NotADirectoryInPoolError("not a directory", **where)
        return trail[-1]

    def path_of(self, number: int) -> str:
        """A path of an object, by way of its parents: ``/docs/a.txt``.

        Raises:
            NotFoundError: it has no name any more; CorruptError: its parents do not lead to the root.
        """
        parts: list[str] = []
        node = self.znode(number)
        for _ in range(MAX_DEPTH):
            if node.object == self.root_object:
                return "/" + "/".join(reversed(parts))
            parent = self.znode(node.parent)
            if node.object == parent.xattr_object:
                # What belongs to a file's extended attributes is named after the file.
                parts.append("<xattrdir>")
            else:
                parts.append(self._name_in(parent, node.object))
            node = parent
        raise CorruptError("the parents of an object do not lead to the root", dataset=self.name, object=number)

    def _name_in(self, parent: Znode, number: int) -> str:
        for entry in directory.iterate(parent):
            if entry.object == number:
                return entry.name
        raise NotFoundError("an object without a name", dataset=self.name, object=number)

    # ---- tables ---------------------------------------------------------------------------------------------------

    def unlinked(self) -> list[int]:
        """Objects without a name that are yet to be freed, in order of their numbers."""
        number = self.master.get("DELETE_QUEUE", 0)
        if number == 0:
            return []
        return sorted(entry.values[0] for entry in Zap(self.objset.dnode(number)).items() if len(entry.values) == 1)

    @cached_property
    def domains(self) -> dict[int, str]:
        """Domains of FUIDs by index; empty where only POSIX ids are in use.

        Raises:
            CorruptError, LimitError: a damaged table.
        """
        number = self.master.get("FUID", 0)
        if number == 0:
            return {}
        dnode = self.objset.dnode(number)
        size = int.from_bytes(dnode.bonus[:8], "little" if dnode.order == "<" else "big")
        if size > MAX_TABLE_BYTES:
            raise LimitError("the FUID table is too large", dataset=self.name, bytes=size)
        return decode_table(dnode.read(0, size)) if size else {}

    def quotas(self, kind: Kind) -> dict[int, int]:
        """Quotas by id: bytes, or objects for the ``...obj`` kinds."""
        number = self.master.get(f"{kind}quota@", 0)
        return _by_id(self.objset.dnode(number), b"") if number else {}

    def default_quota(self, kind: Kind) -> int:
        """The quota of those who have none of their own; 0: none."""
        return self.master.get(f"default{kind}quota", 0)

    def used(self, kind: Kind) -> dict[int, int]:
        """Space used by id, in bytes, or objects for the ``...obj`` kinds; empty where it is not accounted."""
        holders = {"user": self.objset.userused, "group": self.objset.groupused, "project": self.objset.projectused}
        dnode = holders[kind.removesuffix("obj")]
        if dnode is None or dnode.type == ObjectType.NONE:
            return {}
        return _by_id(dnode, b"obj-" if kind.endswith("obj") else b"")


def _by_id(dnode: Dnode, prefix: bytes) -> dict[int, int]:
    """A ZAP whose keys are a prefix and an id in hex."""
    found: dict[int, int] = {}
    for entry in Zap(dnode).items():
        if len(entry.values) != 1 or entry.name.startswith(b"obj-") != bool(prefix):
            continue
        try:
            number = int(entry.name[len(prefix) :], 16)
        except ValueError:
            raise CorruptError("an id in a table of quotas is no number", name=repr(entry.name)) from None
        found[number] = entry.values[0]
    return found
