"""One object set, open for writing: allocating and freeing objects, and writing all that changed in a txg.

Objects that changed are kept until their txg is written; others come and go with whoever uses them, but there is never
more than one of a number, so that all see the same changes.

``close`` sets aside what changed in a txg, and ``sync`` writes that, while the next txg's changes may come already. It
writes the changed objects' trees, then the accounting of who owns how much, then the dnode blocks (which are
data of the metadnode), last the objset block: parents after children, as a pointer needs its block's checksum.

Object numbers: see ``slots.py``; a slot freed in a txg is given out again in a later one at the earliest.

Source: OpenZFS, dmu_object.c, dmu_objset.c.
"""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitError, NotFoundError, QuotaError, UsageError
from ..ondisk import blkptr
from ..ondisk import dnode as ondisk_dnode
from ..ondisk import objset as ondisk_objset
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import (
    BLOCK_SIZE,
    FIXED_SIZE,
    MAX_BLKPTR,
    SLOT_SIZE,
    SLOTS_PER_BLOCK,
    DnodeBlock,
    DnodePhys,
)
from ..ondisk.objset import GROUPUSED, METADNODE, PROJECTUSED, USERUSED, ObjsetPhys, ObjsetType
from .dnode import Dnode
from .mutable import Block, Closed, MutableDnode
from .objset import Objset, Unreadable
from .slots import Slots
from .treewrite import TreeWriter, dnodes_in
from .tx import TxManager
from .writepolicy import WriteSettings, policy_for

if TYPE_CHECKING:
    from ..zio.crypt import BlockKeys
    from ..zio.reader import Zio
    from ..zio.writer import WritePolicy, ZioWriter

#: Levels of the metadnode of a new object set: enough for 2^48 objects. Source: dmu_objset.c.
META_LEVELS = 6
INDIRECT_SHIFT = 17

#: Blocks that are not referred to any more: (pointers, which of them were overwritten in place).
Killed = Callable[[BpArray, "NDArray[np.bool_] | None"], None]


class MutableObjset(Objset):
    """An object set that can be changed.

    Args:
        tx: the pool's transactions.
        writer: where its blocks are written.
        settings: checksums, compression, copies and the like of its blocks.
        dsize: what blocks are charged.
        random_bytes: for the salts of its ZAPs.
        bp, keys, name: as for ``Objset``.

    Attributes:
        on_born, on_kill: told of blocks that came into being, or are not referred to any more.
        before_dnodes: called in ``sync`` when all objects are written, before their dnodes are.
        log_header: called in ``close`` with the txg: gives the header of the intent log that goes with it.
        alone: it is changed either between txgs or while one is written (the MOS).
        on_change: called when an outermost transaction that changed it has ended well; whether it changed others, too.
    """

    def __init__(
        self,
        zio: Zio,
        bp: BpArray,
        keys: BlockKeys | None = None,
        *,
        tx: TxManager,
        writer: ZioWriter,
        settings: WriteSettings,
        dsize: Callable[[BpArray], NDArray[np.uint64]],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        name: str = "",
    ) -> None:
        self.tx = tx
        self.writer = writer
        self.settings = settings
        self.dsize = dsize
        self.random_bytes = random_bytes
        self.on_born: Callable[[BpArray], None] = lambda bps: None
        self.on_kill: Killed = self._free_killed
        self.before_dnodes: Callable[[MutableObjset, list[Closed]], None] = lambda os, changed: None
        self.log_header: Callable[[int], bytes] = lambda txg: self.phys.zil_header
        self.on_change: Callable[[bool], None] = lambda joint: None
        #: Bytes that may still be written to it (a quota, a reservation of others); None: as the pool allows.
        self.room: Callable[[], int | None] = lambda: None
        self.alone = False
        self.destroyed = False  # with its dataset
        self.dirty_bytes = 0
        self.changed: dict[int, MutableDnode] = {}
        self._closed: dict[int, Closed] | None = None  # what ``sync`` is to write
        self._closed_bytes = 0
        self._header: bytes | None = None
        self._opening = Lock()  # so that an object is not opened twice
        self._live: WeakValueDictionary[int, MutableDnode] = WeakValueDictionary()
        self.large_dnodes = False  # a dnode of several slots was allocated
        self._slots = Slots(self)
        self._freed_slots: deque[tuple[int, int]] = deque()  # by txgs that are on disk
        super().__init__(zio, bp, keys, name=name)
        if self.order != "<":
            raise UsageError("object sets of big-endian pools cannot be changed", dataset=name or None)
        self.special: dict[int, MutableDnode] = {
            number: self._mutable(number, phys) for number, phys in self.phys.accounting().items()
        }

    @classmethod
    def create(
        cls,
        zio: Zio,
        kind: ObjsetType,
        *,
        tx: TxManager,
        writer: ZioWriter,
        settings: WriteSettings,
        dsize: Callable[[BpArray], NDArray[np.uint64]],
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        flags: int = 0,
        meta_levels: int = META_LEVELS,
        name: str = "",
    ) -> MutableObjset:
        """A new object set with no objects. It must be changed in the open txg, or nothing is ever written."""
        made = cls.__new__(cls)
        made._new = ObjsetPhys(
            type=kind,
            flags=flags,
            metadnode=DnodePhys(
                type=ObjectType.DNODE,
                indblkshift=INDIRECT_SHIFT,
                nlevels=meta_levels,
                datablksz=BLOCK_SIZE,
                blkptr=np.zeros(MAX_BLKPTR, dtype=BLKPTR),
            ),
            size=ondisk_objset.SIZE_V3,
        )
        made.__init__(  # type: ignore[misc]
            zio,
            np.zeros(1, dtype=BLKPTR),
            tx=tx,
            writer=writer,
            settings=settings,
            dsize=dsize,
            random_bytes=random_bytes,
            name=name,
        )
        made.meta.fresh = True
        return made

    _new: ObjsetPhys | None = None

    meta: MutableDnode

    def _open_meta(self) -> MutableDnode:
        return self._mutable(METADNODE, self.phys.metadnode)

    def _read_phys(self) -> ObjsetPhys:
        return super()._read_phys() if self._new is None else self._new

    def _mutable(self, number: int, phys: DnodePhys, *, fresh: bool = False) -> MutableDnode:
        return MutableDnode(self, number, phys, fresh=fresh)

    # --- what TreeWriter asks -------------------------------------------------------------------------------------

    def policy(self, kind: int, level: int, *, checksum: int = 0, compress: int = 0, size: int = 0) -> WritePolicy:
        """How blocks of this type and level are written."""
        return policy_for(self.settings, kind, level, checksum, compress, size)

    def born(self, bps: BpArray) -> None:
        """Blocks have come into being."""
        self.on_born(bps)

    def kill(self, bps: BpArray, *, placed_again: NDArray[np.bool_] | None = None) -> None:
        """Blocks are not referred to any more."""
        self.on_kill(bps, placed_again)

    def _free_killed(self, bps: BpArray, placed_again: NDArray[np.bool_] | None) -> None:
        """Without snapshots every block that is killed is free."""
        self.writer.free(bps if placed_again is None else bps[~placed_again], self.tx.txg)

    def waits(self, more: int, blocks: int = 0) -> None:
        """So many more bytes, and blocks, wait to be written (or fewer, negative)."""
        if not self.tx.final:
            self.dirty_bytes += more
            self.tx.waiting.dirty_bytes += more
            self.tx.waiting.dirty_blocks += blocks

    def waits_placed(self, bps: BpArray, size: int, sign: int = 1) -> None:
        """Blocks of this size were written and wait for their parents; ``sign`` -1: no longer."""
        waiting, stored = self.tx.waiting, bps[~blkptr.is_hole(bps) & ~blkptr.is_embedded(bps)]
        self.dirty_bytes += sign * int(self.dsize(stored).sum())
        waiting.placed_bytes += sign * len(bps) * size
        waiting.placed_blocks += sign * len(bps)
        waiting.placed_room += sign * int(blkptr.dva_asize(stored).sum())

    def place(self, dn: MutableDnode, rows: NDArray[np.uint8], owned: list[BpArray]) -> BpArray:
        """Write data blocks of an object now; gives their pointers. ``owned`` is told what must be freed if an
        exception comes between.

        Raises:
            NoSpaceError, DeviceError: they cannot be written.
        """
        size = rows.shape[1]
        policy = self.policy(dn.type, 0, checksum=dn.checksum, compress=dn.compress, size=size)
        return self.writer.write(rows, policy, self.tx.txg, lsize=size, fill=1, owned=owned)

    def admit(self, more: int) -> None:
        """Refuse more bytes than there is room for.

        Raises:
            NoSpaceError: the pool is full. QuotaError: the dataset has used up its quota.
        """
        tx = self.tx
        tx.admit(more)
        if tx.final or tx.freeing:
            return
        room = self.room()
        if room is not None and self._waiting_bytes + more > room and tx.writing:
            tx.wait()  # what is being written may count twice just now
            room = self.room()
        if room is not None and self._waiting_bytes + more > room:
            raise QuotaError(
                "the dataset may not grow: its quota is used up",
                "remove something, or raise the quota",
                dataset=self.name or None,
                free=max(room, 0),
                waiting=self._waiting_bytes,
            )

    def make_way(self) -> None:
        """Have the txg written, if what waits may take half of what a quota leaves: until then nobody knows what it
        does take, compressed. To be called before an outermost transaction."""
        with self.tx.lock:
            waiting = self._waiting_bytes
            room = self.room() if waiting and not self.tx.active else None
            if room is not None and 2 * waiting > room:
                self.tx.write()

    @property
    def _waiting_bytes(self) -> int:
        return self.dirty_bytes + self._closed_bytes

    # --- objects ----------------------------------------------------------------------------------------------------

    def mark(self, dn: MutableDnode) -> None:
        """An object has changed."""
        if dn.number > 0:  # the others are where ``sync`` finds them
            self.changed[dn.number] = dn
        if not self.tx.final:
            self.tx.dirty[id(self)] = self
            self.tx.touched[id(self)] = self

    def touch(self) -> None:
        """The objset block is written with this txg, even if no object changes: the log's header does."""
        self.tx.dirty[id(self)] = self

    def unmark(self, dn: MutableDnode) -> None:
        """Its change was taken back."""
        self.changed.pop(dn.number, None)

    def check_there(self) -> None:
        """Raises: NotFoundError: its dataset was destroyed."""
        if self.destroyed:
            raise NotFoundError("the dataset was destroyed", dataset=self.name or None)

    def dnode(self, number: int) -> MutableDnode:
        """Open an object; see ``Objset.dnode``."""
        self.check_there()
        if number <= 0:
            found = self.meta if number == METADNODE else self.special.get(number)
            if found is None:
                raise NotFoundError("no such object", dataset=self.name or None, object=number)
            return found
        live = self.changed.get(number) or self._live.get(number)
        if live is None:
            with self._opening:
                live = self._live.get(number)
                if live is None:
                    live = self._live[number] = self._mutable(number, self._stored(number))
        if live.gone:
            raise NotFoundError("no such object", dataset=self.name or None, object=number)
        return live

    def waits_for(self, number: int) -> MutableDnode | None:
        """An object that is not on disk as it is now; None: it is."""
        found, waiting = self.changed.get(number), self._closed  # which another thread may let go of
        if found is None and waiting:
            closed = waiting.get(number)
            found = None if closed is None else closed.dn
        return found

    def _stored(self, number: int) -> DnodePhys:
        """A dnode as it is on disk."""
        found: Dnode = Objset.dnode(self, number)
        return found.phys

    def _block(self, blkid: int) -> DnodeBlock | None:
        held = self.meta.waiting(blkid)
        return super()._block(blkid) if held is None else DnodeBlock(held.tobytes(), "<")

    def objects(self, start: int = 1, *, damaged: Unreadable | None = None) -> Iterator[Dnode]:
        """All objects, rising, with what is waiting to be written; see ``Objset.objects``."""
        changed, closed = self.changed, self._closed  # in this order: see ``close``
        waiting = {number: one.dn for number, one in (closed or {}).items()} | changed
        pending = sorted(number for number in waiting if number >= start)
        at = 0
        for dn in super().objects(start, damaged=damaged):
            while at < len(pending) and pending[at] < dn.number:
                fresh = waiting[pending[at]]
                at += 1
                if not fresh.gone:
                    yield fresh
            if at < len(pending) and pending[at] == dn.number:
                at += 1
            live = waiting.get(dn.number)
            if live is None or not live.gone:
                yield dn if live is None else live
        for number in pending[at:]:
            if not waiting[number].gone:
                yield waiting[number]

    def allocate(
        self,
        kind: int,
        *,
        block_size: int = 512,
        indirect_shift: int = INDIRECT_SHIFT,
        bonus_type: int = 0,
        bonus: bytes = b"",
        dnode_size: int = SLOT_SIZE,
        number: int | None = None,
        checksum: int = 0,
        compress: int = 0,
    ) -> MutableDnode:
        """A new object.

        Args:
            kind: its type. bonus_type, bonus: what its dnode holds beside the pointers.
            block_size: of data blocks, a multiple of 512. indirect_shift: log2 of an indirect block's size.
            dnode_size: 512 to 16384; more room for the bonus.
            number: a certain object number, which must be free; without it one is chosen.
            checksum, compress: algorithms of its data; 0: those of the object set.

        Raises:
            LimitError: sizes that do not exist, or no numbers left. UsageError: the number is taken.
        """
        slots = _slots_of(dnode_size, block_size)
        self._take_freed()
        if number is None:
            number = self._slots.find(slots)
        elif not self._slots.claim(number, slots):
            raise UsageError("an object number is taken", dataset=self.name or None, object=number)
        self.large_dnodes |= slots > 1
        nblkptr = pointers_for(bonus_type, len(bonus), slots)
        phys = DnodePhys(
            type=kind,
            indblkshift=indirect_shift,
            bonustype=bonus_type,
            checksum=checksum,
            compress=compress,
            datablksz=block_size,
            extra_slots=slots - 1,
            blkptr=np.zeros(nblkptr, dtype=BLKPTR),
        )
        dn = self._mutable(number, phys, fresh=True)
        self.tx.note(lambda: self._slots.release(number, slots))
        dn.dirty()
        if bonus:
            dn.set_bonus(bonus)
        return dn

    def allocate_filled(
        self, kind: int, content: Block | None, *, block_size: int, bonus_type: int, bonus: bytes, dnode_size: int
    ) -> MutableDnode:
        """A new object with all that is in it, one note in the transaction: for making many of them.

        Args:
            content: of its only block, ``block_size`` bytes that are its own from now on; None: there is none.
            kind, block_size, bonus_type, bonus, dnode_size: as for ``allocate``.

        Raises:
            as ``allocate``; NoSpaceError: the pool is full.
        """
        slots = _slots_of(dnode_size, block_size)
        weight = 0 if content is None else block_size
        if weight:
            self.admit(weight)
        self._take_freed()
        number = self._slots.find(slots)
        self.large_dnodes |= slots > 1
        nblkptr = pointers_for(bonus_type, len(bonus), slots)
        phys = DnodePhys(
            type=kind,
            indblkshift=INDIRECT_SHIFT,
            bonustype=bonus_type,
            datablksz=block_size,
            extra_slots=slots - 1,
            blkptr=np.zeros(nblkptr, dtype=BLKPTR),
        )
        dn = self._mutable(number, phys, fresh=True)

        def undo() -> None:
            dn.withdraw()
            self.waits(-weight, -1 if weight else 0)
            self._slots.release(number, slots)

        self.tx.note(undo)
        self.waits(weight, 1 if weight else 0)
        dn.fill_new(bonus, content)
        return dn

    def _take_freed(self) -> None:
        """Slots that were freed on disk can be given out."""
        while self._freed_slots:
            self._slots.release(*self._freed_slots.popleft())

    def create_special(self, number: int, kind: int) -> MutableDnode:
        """One of the accounting objects, which the objset block holds itself."""
        if number not in (USERUSED, GROUPUSED, PROJECTUSED) or number in self.special:
            raise UsageError("no accounting object, or there is one already", object=number)
        phys = DnodePhys(type=kind, blkptr=np.zeros(MAX_BLKPTR, dtype=BLKPTR))
        dn = self._mutable(number, phys, fresh=True)
        self.special[number] = dn
        dn.dirty()
        return dn

    def free(self, number: int) -> None:
        """Free an object with all its blocks.

        Raises:
            NotFoundError: there is none.
        """
        dn = self.dnode(number)
        changes = dn.dirty()
        if number > 0:
            self._slots.used(number // SLOTS_PER_BLOCK)  # known from here on: it stays taken until that is on disk
        for blkid in list(changes.blocks):
            dn._drop(blkid)
        for blkid in list(changes.placed):
            dn._displace(blkid)
        dn.gone = True

    # --- writing ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Set aside what changed in the open txg, for ``sync``. The lock is held, or nobody else changes anything."""
        self._header = self.log_header(self.tx.txg)
        self._closed_bytes, self.dirty_bytes = self.dirty_bytes, 0
        closed: dict[int, Closed] = {}
        for number, dn in self.changed.items():
            if not (dn.fresh and dn.gone):
                self._live[number] = dn
                closed[number] = dn.close()
            else:
                self._freed_slots.append((number, dn.extra_slots + 1))
        # In one step each, and in this order: others go over them, and are not to miss any.
        self._closed = closed
        self.changed = {}

    def sync(self, *, rewrite: bool = False) -> BpArray:
        """Write what was closed, or if nothing was, all that changed; gives the pointer to the new objset block.

        Args:
            rewrite: blocks written earlier in this txg may be overwritten in place.

        Raises:
            NoSpaceError, DeviceError: the txg cannot be written.
        """
        txg = self.tx.txg
        if self._closed is None:
            self.close()
        assert self._closed is not None
        trees = TreeWriter(self, self.writer, txg, rewrite=rewrite, hole_birth=self.settings.hole_birth)
        self.birth = max(self.birth, txg)
        objects = list(self._closed.values())
        self.before_trees(objects)
        trees.write(objects)
        self.before_dnodes(self, objects)
        trees.write([dn.close() for dn in self.special.values() if dn.changes is not None])
        self._put_dnodes(objects)
        if self.meta.changes is not None:
            trees.write([self.meta.close()], fill=lambda one, blkid, data: dnodes_in(data))
        self._cache = {}
        for one in objects:
            if one.gone:
                self._live.pop(one.dn.number, None)
                self._freed_slots.append((one.dn.number, one.dn.extra_slots + 1))
        self._closed = None
        return self._put_objset(txg, rewrite)

    def settled(self) -> None:
        """What was written counts as used from now on, no longer as waiting."""
        self._closed_bytes = 0

    def before_trees(self, objects: list[Closed]) -> None:
        """Called in ``sync`` with the objects that changed, before anything is written."""

    def _put_dnodes(self, objects: list[Closed]) -> None:
        """Changed dnodes into their dnode blocks."""
        blocks: dict[int, list[Closed]] = defaultdict(list)
        for one in objects:
            blocks[one.dn.number // SLOTS_PER_BLOCK].append(one)
        for blkid, some in blocks.items():
            block = self.meta.dirty_block(blkid).data.cast("B")
            for one in some:
                dn = one.dn
                at = dn.number % SLOTS_PER_BLOCK * SLOT_SIZE
                image = bytes((dn.extra_slots + 1) * SLOT_SIZE) if one.gone else ondisk_dnode.encode(dn.phys)
                block[at : at + len(image)] = image

    def _put_objset(self, txg: int, rewrite: bool) -> BpArray:
        self.phys.metadnode = self.meta.phys
        self.phys.userused = self.special[USERUSED].phys if USERUSED in self.special else None
        self.phys.groupused = self.special[GROUPUSED].phys if GROUPUSED in self.special else None
        self.phys.projectused = self.special[PROJECTUSED].phys if PROJECTUSED in self.special else None
        for name in ("userused", "groupused", "projectused"):
            setattr(self, name, self.special.get({"userused": USERUSED, "groupused": GROUPUSED}.get(name, PROJECTUSED)))
        self.phys.size = max(self.phys.size, self.settings.objset_size)
        assert self._header is not None
        self.phys.zil_header = self._header
        data = np.frombuffer(ondisk_objset.encode(self.phys), dtype=np.uint8)
        fill = int(self.meta.phys.blkptr["fill"].sum())
        old = np.zeros(1, dtype=BLKPTR)
        old[0] = self.bp
        there = ~blkptr.is_hole(old)
        again = there & (old["birth"] == np.uint64(txg)) if rewrite else np.zeros(1, dtype=bool)
        policy = self.policy(ObjectType.OBJSET, 0, size=len(data))
        new = self.writer.write(
            [data], policy, txg, lsize=len(data), fill=fill, rewrite=old if again[0] else None
        )
        self.born(new)
        if there[0]:
            self.kill(old, placed_again=again)
        self._new = None
        self.bp = new[0]
        return new


def _slots_of(dnode_size: int, block_size: int) -> int:
    """Slots of a new dnode. Raises: LimitError: sizes that do not exist."""
    slots = dnode_size // SLOT_SIZE
    if dnode_size % SLOT_SIZE or not 1 <= slots <= SLOTS_PER_BLOCK:
        raise LimitError("a dnode cannot have this size", bytes=dnode_size)
    if block_size % 512 or not 512 <= block_size <= blkptr.MAX_BLOCK:
        raise LimitError("blocks cannot have this size", bytes=block_size)
    return slots


def pointers_for(bonus_type: int, bonus_bytes: int, slots: int) -> int:
    """Block pointers a new dnode has. Source: dnode.c (``dnode_allocate``); verified on real pools."""
    if bonus_type == ObjectType.SA:
        return 1
    return min(MAX_BLKPTR, 1 + ((slots * SLOT_SIZE - FIXED_SIZE - 128 - bonus_bytes) >> 7))

