"""The pool as a tree of datasets: the MOS's directory, and everything in it by name, by number, and in order.

Source: OpenZFS, dsl_pool.c; the order of ``zfs list`` from zfs_iter.c.

Invariants: one object number is one ``DslDir`` or one ``DslDataset`` for the life of this object; nothing on disk is
changed, so that what was read stays right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..dmu.bpobj import Bpobj
from ..dmu.bpsizes import Dsize, allocated_size
from ..dmu.objset import Objset
from ..errors import CorruptError, LimitError, NotFoundError
from ..ondisk import blkptr
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import decode_dataset, decode_dir
from ..zio.reader import Zio
from .accounting import PoolSpace
from .bookmark import Bookmark
from .crypto import Keystore
from .dataset import DslDataset
from .dir import DEPTH_MAX, HIDDEN, DslDir, property_value
from .mosobj import Damaged, attempt, bytes_of, entries, object_with_bonus, zap_of

OBJECT_DIRECTORY = 1
DEFERRED_FREES = "sync_bplist"
OS_TYPE_OFFSET = 704  # in an objset block
SPECIAL = ("$MOS", "$FREE", "$ORIGIN", "$LEAK")


class DslPool:
    """All datasets of a pool.

    Attributes:
        mos: the MOS.
        name: the pool's name, which the names of all datasets begin with.
        directory: the MOS's object directory.
        keys: keys that have been loaded.
        altroot: folder under which mountpoints are shown, or an empty string.
        space: figures for what is available, or how to work them out when first asked for; None where nobody has.
        dsize: how block pointers are charged (it depends on the vdevs).
    """

    def __init__(
        self,
        mos: Objset,
        name: str,
        *,
        altroot: str = "",
        space: PoolSpace | Callable[[], PoolSpace] | None = None,
        dsize: Dsize = allocated_size,
    ) -> None:
        self.mos = mos
        self.name = name
        self.altroot = altroot
        self._space = space
        self.dsize = dsize
        self.directory = zap_of(mos, OBJECT_DIRECTORY, "the object directory")
        self.keys = Keystore(self)
        self.unwritten: dict[int, int] = {}  # types of the object sets of datasets that are not on disk yet
        self._dirs: dict[int, DslDir] = {}
        self._datasets: dict[int, DslDataset] = {}
        if "root_dataset" not in self.directory:
            raise CorruptError("the pool has no root dataset", "import an earlier txg")
        self.root = self.open_dir(self.directory.get_int("root_dataset"), name, None)

    @property
    def space(self) -> PoolSpace | None:
        """Figures for what is available; None where nobody has worked them out."""
        if callable(self._space):
            self._space = self._space()
        return self._space

    @property
    def zio(self) -> Zio:
        """Where blocks are read."""
        return self.mos.zio

    # -- by number -----------------------------------------------------------------------------------------------

    def open_dir(self, number: int, name: str, parent: DslDir | None) -> DslDir:
        """The directory with that object number, which lies under ``parent``."""
        found = self._dirs.get(number)
        if found is None:
            # Two threads that come at the same time get the same one.
            found = self._dirs.setdefault(number, DslDir(self, number, name, parent))
        if found.parent is not parent or found.name != name:
            raise CorruptError(f"{name} and {found.name} are the same directory", object=number)
        return found

    def open_dataset(self, number: int, directory: DslDir) -> DslDataset:
        """The dataset with that object number, which belongs to ``directory``."""
        found = self._datasets.get(number)
        if found is None:
            found = self._datasets.setdefault(number, DslDataset(self, number, directory))
        if found.dir is not directory:
            raise CorruptError(f"dataset {number} belongs to {found.dir.name} and to {directory.name}")
        return found

    def dir_by_object(self, number: int) -> DslDir:
        """The directory with that object number, wherever it lies.

        Raises:
            CorruptError: it is not one, or not in the tree.
        """
        above: list[int] = []
        step = number
        while step not in self._dirs:
            if step == 0 or step in above:
                raise CorruptError(f"directory {number} is not in the tree", "the pool is damaged")
            if len(above) > DEPTH_MAX:
                raise LimitError(f"more than {DEPTH_MAX} datasets below each other", object=number)
            above.append(step)
            dnode = object_with_bonus(self.mos, step, ObjectType.DSL_DIR, "dataset directory")
            step = decode_dir(dnode.bonus, dnode.order).parent_obj
        found = self._dirs[step]
        for child in reversed(above):
            if child not in found.child_names:
                raise CorruptError(f"directory {child} is not a child of {found.name}", "the pool is damaged")
            found = found.child(found.child_names[child])
        return found

    def dataset_by_object(self, number: int) -> DslDataset:
        """The head or snapshot with that object number (``objsetid``).

        Raises:
            CorruptError: it is not one.
        """
        found = self._datasets.get(number)
        if found is not None:
            return found
        dnode = object_with_bonus(self.mos, number, ObjectType.DSL_DATASET, "dataset")
        directory = decode_dataset(dnode.bonus, dnode.order).dir_obj
        return self.open_dataset(number, self.dir_by_object(directory))

    # -- by name -------------------------------------------------------------------------------------------------

    def directory_of(self, name: str) -> DslDir:
        """The directory with that name, hidden ones included.

        Raises:
            NotFoundError: there is none.
        """
        first, *rest = name.split("/")
        if first != self.name:
            raise NotFoundError(
                f"dataset {name} does not exist", f"names in this pool begin with {self.name}"
            )
        found = self.root
        for part in rest:
            if part not in found.child_objects:
                raise NotFoundError(f"dataset {name} does not exist")
            found = found.child(part)
        return found

    def dataset(self, name: str) -> DslDataset:
        """A head or a snapshot by its full name.

        Raises:
            NotFoundError: there is none.
        """
        path, at, snapshot = name.partition("@")
        head = self.directory_of(path).head
        if head is None:
            raise NotFoundError(f"{path} holds no dataset")
        return head.snapshot(snapshot) if at else head

    def bookmark(self, name: str) -> Bookmark:
        """A bookmark by its full name, ``tank/docs#monday``.

        Raises:
            NotFoundError: there is none.
        """
        path, _, short_name = name.partition("#")
        return self.dataset(path).bookmark(short_name)

    def find(self, name: str) -> DslDataset | Bookmark:
        """A head, snapshot or bookmark by its full name.

        Raises:
            NotFoundError: there is none.
        """
        return self.bookmark(name) if "#" in name else self.dataset(name)

    # -- in order ------------------------------------------------------------------------------------------------

    def dirs(
        self, below: str | None = None, *, hidden: bool = False, damaged: Damaged | None = None
    ) -> list[DslDir]:
        """Directories in the order of ``zfs list``: by name, byte by byte.

        Args:
            below: only this one and what lies below it.
            hidden: also special ones and temporary clones, and what lies below them.
            damaged: if given, it is told of what cannot be read, and listing goes on; otherwise that is raised.
        """
        found: list[DslDir] = []
        todo = [self.root if below is None else self.directory_of(below)]
        while todo:
            step = todo.pop()
            found.append(step)
            names = attempt(damaged, step.name, _names_of, step) or []
            for name in names:
                if hidden or not name.startswith(HIDDEN):
                    child = attempt(damaged, f"{step.name}/{name}", step.child, name)
                    todo += [] if child is None else [child]
        return sorted(found, key=lambda item: bytes_of(item.name))

    def heads(
        self, below: str | None = None, *, hidden: bool = False, damaged: Damaged | None = None
    ) -> list[DslDataset]:
        """File systems and volumes in the order of ``zfs list``; arguments as for ``dirs``."""
        found = []
        for item in self.dirs(below, hidden=hidden, damaged=damaged):
            head = attempt(damaged, item.name, _head_of, item)
            if head is not None:
                found.append(head)
        self._learn_kinds(found)
        return found

    def _learn_kinds(self, heads: list[DslDataset]) -> None:
        """Read the objset blocks of many heads at once, to know which are volumes."""
        unknown = [head for head in heads if not head.kind_is_known and not head.is_empty]
        if len(unknown) < 2:
            return
        bps = np.concatenate([head.bp for head in unknown])
        order = np.where(blkptr.is_little(bps), "<", ">")
        blocks = self.zio.read(bps, raw=True, errors="collect")
        for place, head in enumerate(unknown):
            # One that cannot be read or decoded is left for whoever wants to know its kind: it is an error there.
            if not blocks.status[place] and len(blocks.block(place)) >= OS_TYPE_OFFSET + 8:
                word = blocks.block(place)[OS_TYPE_OFFSET : OS_TYPE_OFFSET + 8]
                head.learn_kind(int.from_bytes(word, "little" if order[place] == "<" else "big"))

    def datasets(
        self,
        below: str | None = None,
        *,
        snapshots: bool = True,
        hidden: bool = False,
        damaged: Damaged | None = None,
    ) -> Iterator[DslDataset]:
        """Heads and their snapshots in the order of ``zfs list``: each head, then its snapshots, oldest first.

        Arguments as for ``dirs``.
        """
        for head in self.heads(below, hidden=hidden, damaged=damaged):
            yield head
            if snapshots:
                yield from head.snapshots(damaged=damaged)

    def everything(
        self, below: str | None = None, *, damaged: Damaged | None = None
    ) -> Iterator[DslDataset | Bookmark]:
        """All heads, snapshots and bookmarks in the order of ``zfs list -t all``."""
        found: list[tuple[bytes, int, DslDataset | Bookmark]] = []
        for item in self.datasets(below, damaged=damaged):
            # A snapshot sorts as its dataset does, right after it, and by age.
            found.append((bytes_of(item.dir.name), len(found), item))
            if not item.is_snapshot:
                marks = attempt(damaged, item.name, item.bookmarks) or []
                found += [(bytes_of(mark.name), 0, mark) for mark in marks]
        yield from (item for _, _, item in sorted(found, key=lambda row: row[:2]))

    def special(self) -> dict[str, DslDir]:
        """The directories that account for the pool itself, as far as they are there."""
        return {name: self.root.child(name) for name in SPECIAL if name in self.root.child_objects}

    def temporary(self) -> list[DslDir]:
        """Clones that an interrupted receive or rollback has left behind."""
        return [item for item in self.dirs(hidden=True) if item.short_name.startswith("%")]

    # -- further -------------------------------------------------------------------------------------------------

    @property
    def deferred_bytes(self) -> int:
        """Bytes that the last txg has freed and the next one will make available."""
        if DEFERRED_FREES not in self.directory:
            return 0
        return Bpobj(self.mos, self.directory.get_int(DEFERRED_FREES)).header.bytes

    def read_properties(self, number: int, owner: str) -> dict[str, int | str]:
        """Everything in a properties ZAP; empty for object 0."""
        what = f"properties of {owner}"
        return {
            name: property_value(entry, f"{name} of {owner}")
            for name, entry in entries(self.mos, number, what)
        }


def _names_of(directory: DslDir) -> list[str]:
    return list(directory.child_objects)


def _head_of(directory: DslDir) -> DslDataset | None:
    return directory.head
