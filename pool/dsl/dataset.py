"""Datasets: the head of a file system or volume, and its snapshots.

A head and its snapshots form a chain from newer to older; the oldest's predecessor is the snapshot that all was cloned
from (for what is no clone, a hidden empty one). Names of snapshots are in a ZAP of the head.

Source: OpenZFS, dsl_dataset.c.

Invariants: going to the predecessor, txgs strictly fall, so that every walk ends.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ..dmu.objset import Objset
from ..dmu.zap import Zap, ZapEntry
from ..errors import CorruptError, NotFoundError
from ..ondisk import blkptr
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import (
    DATASET_BOOKMARKS,
    DATASET_IVSET_GUID,
    DATASET_REDACTED,
    BookmarkPhys,
    DatasetFlags,
    DatasetPhys,
    decode_dataset,
)
from .bookmark import Bookmark, bookmarks_of
from .deadlist import Deadlist
from .mosobj import (
    Damaged,
    attempt,
    entries,
    is_zap,
    numbers,
    object_of,
    object_with_bonus,
    one_number,
    text_of,
)
from .resume import ResumeState, resume_state

if TYPE_CHECKING:
    from .dir import DslDir
    from .pool import DslPool

HeadKind = Literal["filesystem", "volume"]
DatasetKind = Literal["filesystem", "volume", "snapshot"]
OS_TYPE_ZFS = 2
OS_TYPE_ZVOL = 3
RECEIVING = "%recv"
MASTER_NODE = 1  # object of a file system
ZVOL_DATA, ZVOL_PROPERTIES = 1, 2  # objects of a volume


class DslDataset:
    """A head dataset or a snapshot."""

    def __init__(self, pool: DslPool, number: int, directory: DslDir) -> None:
        """Read the dataset that is object ``number`` of the MOS.

        Raises:
            CorruptError: it is not a dataset, or belongs to another directory.
        """
        self.pool = pool
        self.obj = number
        self.dir = directory
        self._kind: HeadKind | None = None
        dnode = object_with_bonus(pool.mos, number, ObjectType.DSL_DATASET, "dataset")
        self.zapified = is_zap(dnode)
        self.phys: DatasetPhys = decode_dataset(dnode.bonus, dnode.order)
        if self.phys.dir_obj != directory.obj:
            raise CorruptError(
                f"dataset {number} belongs to directory {self.phys.dir_obj}, not to {directory.name}",
                "the pool is damaged",
            )

    def __repr__(self) -> str:
        return f"<DslDataset {self.obj} of {self.dir.name}>"

    # -- names and kind ------------------------------------------------------------------------------------------

    @property
    def is_snapshot(self) -> bool:
        """A snapshot, as opposed to a head."""
        return self.phys.num_children != 0

    @cached_property
    def short_name(self) -> str | None:
        """A snapshot's name behind the at sign; None for a head.

        Raises:
            CorruptError: the head does not know this snapshot.
        """
        if not self.is_snapshot:
            return None
        head = self.dir.head
        names = {} if head is None else head.snapshot_names
        if self.obj not in names:
            raise CorruptError(f"snapshot {self.obj} of {self.dir.name} has no name", "the pool is damaged")
        return names[self.obj]

    @property
    def name(self) -> str:
        """Full name: ``tank/docs`` or ``tank/docs@monday``."""
        return self.dir.name if self.short_name is None else f"{self.dir.name}@{self.short_name}"

    @property
    def kind(self) -> DatasetKind:
        """What ``zfs list`` calls it."""
        return "snapshot" if self.is_snapshot else self.head_kind

    @property
    def head_kind(self) -> HeadKind:
        """File system or volume; of a snapshot: what its head is."""
        head = self.dir.head
        if self.is_snapshot and head is not None:
            return head.head_kind
        if self._kind is None:
            waiting = self.pool.unwritten.get(self.obj, OS_TYPE_ZFS)
            self.learn_kind(waiting if self.is_empty else self.objset(raw=True).type)
        return self._kind or "filesystem"

    @property
    def kind_is_known(self) -> bool:
        """Whether this is a volume can be told without reading."""
        return self._kind is not None

    def learn_kind(self, objset_type: int) -> None:
        """Take note of the type of the objset."""
        self._kind = "volume" if objset_type == OS_TYPE_ZVOL else "filesystem"

    # -- content -------------------------------------------------------------------------------------------------

    @property
    def bp(self) -> blkptr.BpArray:
        """Pointer to the objset block, an array of one."""
        return self.phys.blkptr

    @property
    def is_empty(self) -> bool:
        """Nothing was ever written: there is no objset."""
        return bool(blkptr.is_hole(self.bp)[0])

    def objset(self, *, raw: bool = False) -> Objset:
        """The dataset's objects.

        Args:
            raw: do not decrypt; what is stored in clear is readable without a key.

        Raises:
            KeyUnavailableError: the dataset is encrypted and its key is not loaded.
            NotFoundError: the dataset is empty.
        """
        if self.is_empty:
            raise NotFoundError(f"{self.name} has no content yet")
        if raw and self.encrypted:
            return Objset(self.pool.zio, self.bp, raw=True, name=self.name)
        keys = self.pool.keys.block_keys(self.dir) if self.encrypted else None
        return Objset(self.pool.zio, self.bp, keys, name=self.name)

    @cached_property
    def created_with(self) -> dict[str, int]:
        """What is stored in a file system's master node, or in a volume's properties (and its ``volblocksize``).

        Readable without a key. Empty for a dataset that holds no objects or is neither (OpenZFS's test program, which
        has no file systems, makes such).

        Raises:
            CorruptError: the object is not what it has to be, or lacks what it has to have.
        """
        if self.is_empty:
            return {}
        objset = self.objset(raw=True)
        if objset.type not in (OS_TYPE_ZFS, OS_TYPE_ZVOL) or not objset.object_count:
            return {}
        volume = self.head_kind == "volume"
        number, wanted = (
            (ZVOL_PROPERTIES, ObjectType.ZVOL_PROP) if volume else (MASTER_NODE, ObjectType.MASTER_NODE)
        )
        node = object_of(objset, number, f"settings of {self.name}")
        if node.type != wanted:
            raise CorruptError(f"object {number} of {self.name} has type {node.type}, not {wanted.value}")
        found = {
            text_of(entry.name): entry.values[0] for entry in Zap(node).items() if len(entry.values) == 1
        }
        if volume:
            found["volblocksize"] = object_of(objset, ZVOL_DATA, f"data of {self.name}").datablksz
        required = "size" if volume else "VERSION"
        if required not in found:
            raise CorruptError(f"{self.name} has no {required}", object=number)
        return found

    @property
    def encrypted(self) -> bool:
        """Its blocks are encrypted or authenticated."""
        return self.dir.crypto_key_obj is not None

    @property
    def encryption_root(self) -> DslDir | None:
        """The directory whose key has to be loaded; None for what is not encrypted."""
        return self.pool.keys.root_of(self.dir)

    # -- history -------------------------------------------------------------------------------------------------

    @cached_property
    def prev(self) -> DslDataset | None:
        """The previous snapshot; for the first of a clone its origin; for others the hidden empty one.

        Raises:
            CorruptError: the chain is broken.
        """
        if self.phys.prev_snap_obj == 0:
            return None
        previous = self.pool.dataset_by_object(self.phys.prev_snap_obj)
        own, other = self.phys, previous.phys
        if not previous.is_snapshot or other.creation_txg != own.prev_snap_txg:
            raise CorruptError(
                f"the predecessor of dataset {self.obj} of {self.dir.name} is not what it says"
            )
        if other.prev_snap_txg >= own.prev_snap_txg:
            raise CorruptError(f"snapshots of {self.dir.name} are not in the order of their txgs")
        return previous

    @cached_property
    def prev_snapshot(self) -> DslDataset | None:
        """The previous snapshot a user can see; None where there is none."""
        previous = self.prev
        return None if previous is None or previous.dir.hidden else previous

    @cached_property
    def snapshot_objects(self) -> dict[str, int]:
        """Short name -> object number of a head's snapshots."""
        found = numbers(self.pool.mos, self.phys.snapnames_zapobj, f"snapshots of {self.dir.name}")
        if len(set(found.values())) != len(found):
            raise CorruptError(f"a snapshot of {self.dir.name} has two names", "the pool is damaged")
        return found

    @cached_property
    def snapshot_names(self) -> dict[int, str]:
        """Object number -> short name of a head's snapshots."""
        return {number: name for name, number in self.snapshot_objects.items()}

    def snapshots(self, *, damaged: Damaged | None = None) -> list[DslDataset]:
        """A head's snapshots, oldest first.

        Args:
            damaged: if given, it is told of what is wrong, and whatever can be opened by name is given.

        Raises:
            CorruptError: the chain and the names disagree.
        """
        chain = attempt(damaged, self.dir.name, self._chain)
        if chain is not None:
            return chain
        names = attempt(damaged, self.dir.name, self._names) or []
        opened = [attempt(damaged, f"{self.dir.name}@{name}", self.snapshot, name) for name in names]
        return sorted((item for item in opened if item is not None), key=lambda item: item.phys.creation_txg)

    def _names(self) -> list[str]:
        return list(self.snapshot_objects)

    def _chain(self) -> list[DslDataset]:
        chain: list[DslDataset] = []
        step = self.prev
        while step is not None and step.dir is self.dir:
            chain.append(step)
            step = step.prev
        if {item.obj for item in chain} != set(self.snapshot_names):
            raise CorruptError(
                f"{self.dir.name} has {len(chain)} snapshots in its chain and {len(self.snapshot_names)} by name",
                "open snapshots by name, or import an earlier txg",
            )
        return chain[::-1]

    def snapshot(self, short_name: str) -> DslDataset:
        """A head's snapshot by name.

        Raises:
            NotFoundError: there is none.
        """
        names = self.snapshot_objects
        number = names.get(short_name)
        if number is None and self.phys.flags & DatasetFlags.CI_DATASET:
            folded = {name.casefold(): found for name, found in names.items()}
            number = folded.get(short_name.casefold())
        if number is None:
            raise NotFoundError(f"snapshot {self.dir.name}@{short_name} does not exist")
        snapshot = self.pool.open_dataset(number, self.dir)
        if not snapshot.is_snapshot:
            raise CorruptError(f"{self.dir.name}@{short_name} is not a snapshot", object=number)
        return snapshot

    def clones(self) -> list[DslDataset]:
        """Heads of the clones whose history branches off at this snapshot, by name.

        Empty where the list on disk is known to be incomplete (a fault of very old writers).
        """
        found = numbers(self.pool.mos, self.phys.next_clones_obj, f"clones of {self.dir.name}")
        if len(found) != self.phys.num_children - 1:
            return []
        branches = (self.pool.dataset_by_object(number) for number in found.values())
        heads = {branch.dir.name: branch.dir.head for branch in branches}
        return [head for _, head in sorted(heads.items()) if head is not None]

    @cached_property
    def deadlist(self) -> Deadlist:
        """Blocks the predecessor references and this dataset does not."""
        return Deadlist(self.pool.mos, self.phys.deadlist_obj, self.pool.dsize)

    def as_bookmark(self) -> BookmarkPhys:
        """This snapshot's figures in the form of a bookmark."""
        phys = self.phys
        return BookmarkPhys(
            guid=phys.guid,
            creation_txg=phys.creation_txg,
            creation_time=phys.creation_time,
            referenced_bytes=phys.referenced_bytes,
            compressed_bytes=phys.compressed_bytes,
            uncompressed_bytes=phys.uncompressed_bytes,
        )

    # -- further entries -----------------------------------------------------------------------------------------

    @cached_property
    def fields(self) -> dict[str, ZapEntry]:
        """Further entries, of datasets that have become ZAPs: per-dataset features, bookmarks, receive state."""
        if not self.zapified:
            return {}
        return dict(entries(self.pool.mos, self.obj, f"entries of {self.name}"))

    def number(self, name: str) -> int | None:
        """The number a further entry holds; None without such an entry."""
        entry = self.fields.get(name)
        return None if entry is None else one_number(entry, f"{name} of {self.name}")

    def bookmarks(self) -> list[Bookmark]:
        """A head's bookmarks, oldest first."""
        number = self.number(DATASET_BOOKMARKS)
        return [] if number is None else bookmarks_of(self, number)

    def bookmark(self, short_name: str) -> Bookmark:
        """A head's bookmark by name.

        Raises:
            NotFoundError: there is none.
        """
        for mark in self.bookmarks():
            if mark.short_name == short_name:
                return mark
        raise NotFoundError(f"bookmark {self.dir.name}#{short_name} does not exist")

    def holds(self) -> dict[str, int]:
        """A snapshot's holds: tag -> when it was put there, seconds since 1970."""
        return numbers(self.pool.mos, self.phys.userrefs_obj, f"holds of {self.name}")

    @cached_property
    def stored_properties(self) -> dict[str, int | str]:
        """Properties set on a snapshot itself, names with their suffixes."""
        return self.pool.read_properties(self.phys.props_obj, self.name)

    @property
    def inconsistent(self) -> bool:
        """In the middle of being received or destroyed: not to be mounted."""
        return bool(self.phys.flags & DatasetFlags.INCONSISTENT)

    @property
    def defer_destroy(self) -> bool:
        """Goes when its last clone and hold go."""
        return bool(self.phys.flags & DatasetFlags.DEFER_DESTROY)

    @property
    def ivset_guid(self) -> int | None:
        """Of an encrypted snapshot: identifies the IVs its blocks were written with."""
        return self.number(DATASET_IVSET_GUID)

    @property
    def redaction_snapshots(self) -> tuple[int, ...] | None:
        """Guids of the snapshots a redacted dataset was redacted with; None for what is not redacted."""
        entry = self.fields.get(DATASET_REDACTED)
        return None if entry is None else entry.values

    @cached_property
    def resume(self) -> ResumeState | None:
        """Where an interrupted receive into this head stands, of itself or of its temporary clone."""
        own = resume_state(self.fields)
        if own is not None or RECEIVING not in self.dir.child_objects:
            return own
        receiving = self.dir.child(RECEIVING).head
        return None if receiving is None else resume_state(receiving.fields)
