"""One object, open for writing: changes wait in memory until their txg is written.

Reading sees them. A changed block is held as a buffer of its own; ranges that were freed are held as ranges and come
before the buffers: a block that was freed and then written has both. Whatever changes inside a transaction notes how
it is undone, and then does it: an exception, or a ^C, may come between any two lines.

When a txg is closed its changes are set aside (``close``) and do not change any more, while those of the next txg
begin: so there are up to three layers, the open changes, the closed ones, and the tree on disk, and reading looks at
them in this order. ``treewrite.py`` writes the closed ones and publishes a new tree in one step, so that readers see
either the old one, whose blocks are still there, with what is closed, or the new one alone.

What we write is little-endian. A block on a pool of the other order is not changed: such pools are not opened for
writing.

Source: OpenZFS, dnode.c, dbuf.c, dnode_sync.c.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitError, NoSpaceError, NotFoundError, UsageError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..ondisk.dnode import FLAG_SPILL_BLKPTR, MAX_BLKID_BITS, DnodePhys
from .blocktree import BlockTree, DamagedTree
from .dnode import Damaged, Dnode

if TYPE_CHECKING:
    from .mutableobjset import MutableObjset

Block = NDArray[np.uint8]
#: Bytes an object may have: offsets are 64 bits, the last one is kept for "no end".
MAX_OFFSET = (1 << 63) - 1
SPILL_MAX = 128 << 10
#: Whole blocks at least so large, and writes of at least so much of them, are written at once rather than kept.
PLACE_BLOCK = 16 << 10
PLACE_BYTES = 256 << 10
#: So much at a time; where room is short so little: what the rest may take is judged by what this took, compressed.
PLACE_MOST, PLACE_SHORT = 32 << 20, 8 << 20
#: A write of at most this part of a block, 1/4, is made in the block that waits; others in a copy of it.
PATCH_SHARE = 4


@dataclass(slots=True)
class Changes:
    """What waits to be written of one object.

    ``placed``: blocks that were written at once, into space that nothing durable refers to, and wait for their parents;
    ``freed``: disjoint ranges [first, end) in order; ``spill``: new bytes; ``spill_changed``: they count (None: gone).
    """

    blocks: dict[int, Block] = field(default_factory=dict)
    placed: dict[int, BpArray] = field(default_factory=dict)
    freed: list[tuple[int, int]] = field(default_factory=list)
    spill: bytes | None = None
    spill_changed: bool = False

    def content(self, blkid: int) -> Block | BpArray | None:
        """A block's content: its bytes, or the pointer to them (one element). None: it is not here.

        Nobody's lock is held: a block that moves from one place to the other comes to the new one first, and only then
        leaves the old one. So whoever finds it in neither looks at the first once more.
        """
        found = self.blocks.get(blkid)
        if found is None:
            found = self.placed.get(blkid)
        return self.blocks.get(blkid) if found is None else found

    def holds(self, blkid: int) -> bool:
        """A block's content is said here, if only that it was freed."""
        return self.content(blkid) is not None or _covers(self.freed, blkid)

    def exists(self, blkid: int) -> bool:
        """A block that is held here is no hole."""
        found = self.content(blkid)
        return found is not None and (found.dtype == np.uint8 or not bool(blkptr.is_hole(found)[0]))


@dataclass(slots=True)
class Closed:
    """An object as it is to be written with a txg that is closed: its changes, and its dnode's fields by then.

    ``fresh``: nothing of it is on disk; ``gone``: it was freed.
    """

    dn: MutableDnode
    changes: Changes
    fresh: bool
    gone: bool
    type: int
    bonus: bytes
    bonustype: int
    datablksz: int
    maxblkid: int
    flags: int
    checksum: int
    compress: int


class MutableDnode(Dnode):
    """An object that can be changed.

    Attributes:
        version: changes with every change, undone ones included: what was derived from the object holds as long as
            the version stays. block_version: the same for what is in its blocks.
        changes: what waits to be written with the open txg; None: nothing, not even the dnode itself.
        closed: what is being written with the txg before; None: nothing.
        fresh: allocated in the open txg, so that nothing is on disk. gone: freed.
    """

    objset: MutableObjset

    def __init__(self, objset: MutableObjset, number: int, phys: DnodePhys, *, fresh: bool = False) -> None:
        super().__init__(objset, number, phys)
        self.version = 0
        self.block_version = 0
        self.changes: Changes | None = None
        self.closed: Closed | None = None
        self.fresh = fresh
        self.gone = False
        self._bonus = bytes(phys.bonus)

    # --- the dnode itself -----------------------------------------------------------------------------------------

    @property
    def bonus(self) -> bytes:
        """The used bytes of the bonus area."""
        return self._bonus

    @property
    def bonus_capacity(self) -> int:
        """Bytes the bonus area can hold if there is no spill block."""
        return (self.extra_slots + 1) * 512 - 64 - 128 * self.nblkptr

    def dirty(self) -> Changes:
        """The changes, to which something is about to be added.

        Raises:
            UsageError: outside of a transaction, or the object was freed.
        """
        tx = self.objset.tx
        self.objset.check_there()
        if self.gone:
            raise UsageError("an object that was freed is changed", **self._where())
        if self.objset.alone:
            tx.wait()
        if tx.first((id(self), "dnode")):
            tx.note(self._restore(self._state()))
            self.objset.mark(self)
        elif tx.final:
            self.objset.mark(self)
        self.version += 1
        self._last = None
        if self.changes is None:
            self.changes = Changes()
        return self.changes

    def fill_new(self, bonus: bytes, content: Block | None) -> None:
        """Bonus and only block of an object that was just made; whoever does this notes how it is undone.

        Raises:
            LimitError: more than fits.
        """
        if len(bonus) > self.bonus_capacity:
            raise LimitError("a bonus does not fit", bytes=len(bonus), room=self.bonus_capacity, **self._where())
        self.changes = Changes()
        self._bonus, self.bonuslen = bonus, len(bonus)
        if content is not None:
            self.changes.blocks[0] = content
        self.objset.mark(self)

    def withdraw(self) -> None:
        """It was never made."""
        self.version += 1
        self.block_version += 1
        self.changes = None
        self.objset.unmark(self)

    def _state(self) -> tuple[Any, ...]:
        changes = self.changes
        kept = None if changes is None else (list(changes.freed), changes.spill, changes.spill_changed)
        return (
            self.type, self._bonus, self.bonustype, self.datablksz, self.maxblkid, self.flags, self.gone,
            self.checksum, self.compress, kept,
        )  # fmt: skip

    def _restore(self, state: tuple[Any, ...]) -> Any:
        def undo() -> None:
            (
                self.type, self._bonus, self.bonustype, self.datablksz, maxblkid, self.flags, self.gone,
                self.checksum, self.compress, kept,
            ) = state  # fmt: skip
            if kept is None or kept[0] != self.changes.freed or maxblkid != self.maxblkid:  # type: ignore[union-attr]
                self.block_version += 1
            self.maxblkid = maxblkid
            self.bonuslen = len(self._bonus)
            self.version += 1
            self._last = None
            if kept is None:
                self.changes = None
                self.objset.unmark(self)
            else:
                assert self.changes is not None
                self.changes.freed, self.changes.spill, self.changes.spill_changed = list(kept[0]), kept[1], kept[2]

        return undo

    def set_bonus(self, data: bytes, bonustype: int | None = None) -> None:
        """Replace the bonus.

        Raises:
            LimitError: more than fits.
        """
        spill = 128 if self.flags & FLAG_SPILL_BLKPTR else 0
        if len(data) > self.bonus_capacity - spill:
            raise LimitError("a bonus does not fit", bytes=len(data), room=self.bonus_capacity - spill, **self._where())
        self.dirty()
        self._bonus = bytes(data)
        self.bonuslen = len(data)
        if bonustype is not None:
            self.bonustype = bonustype

    def set_spill(self, data: bytes | None) -> None:
        """Replace the spill block (a multiple of 512 bytes), or let go of it.

        Raises:
            LimitError: too large, or the bonus leaves no room for its pointer.
        """
        if data is not None and (len(data) % 512 or not 0 < len(data) <= SPILL_MAX):
            raise LimitError("a spill block cannot have this size", bytes=len(data), **self._where())
        if data is not None and len(self.bonus) > self.bonus_capacity - 128:
            raise LimitError("the bonus leaves no room for a spill block", **self._where())
        changes = self.dirty()
        changes.spill = None if data is None else bytes(data)
        changes.spill_changed = True
        self.flags = self.flags & ~FLAG_SPILL_BLKPTR | (FLAG_SPILL_BLKPTR if data is not None else 0)

    def read_spill(self) -> tuple[bytes, str]:
        for changes in self._layers():
            if changes.spill_changed:
                if changes.spill is None:
                    raise NotFoundError("an object has no spill block", **self._where())
                return changes.spill, "<"
        return super().read_spill()

    @property
    def has_spill(self) -> bool:
        """There is a spill block, on disk or waiting."""
        return bool(self.flags & FLAG_SPILL_BLKPTR)

    def set_block_size(self, size: int) -> None:
        """Give an object of at most one block another block size; its content stays.

        Raises:
            UsageError: it has more blocks, or the size is no multiple of 512.
        """
        if size == self.datablksz:
            return
        if self.maxblkid or size <= 0 or size % 512 or size > blkptr.MAX_BLOCK:
            raise UsageError("an object's block size cannot be changed so", size=size, **self._where())
        old = np.frombuffer(self.block(0)[0], dtype=np.uint8)
        empty = not self._block_exists(0)
        self.dirty()
        keep = min(len(old), size)
        self.datablksz = size
        if empty:
            return
        data = np.zeros(size, dtype=np.uint8)
        data[:keep] = old[:keep]
        self._put(0, data)

    def _layers(self) -> list[Changes]:
        """What is not on disk yet, the newest first."""
        # In this order: closing makes open changes closed ones, publishing makes these the tree.
        changes, closed = self.changes, self.closed
        found = [] if changes is None else [changes]
        if closed is not None and closed.changes is not changes:
            found.append(closed.changes)
        return found

    def _block_exists(self, blkid: int) -> bool:
        for changes in self._layers():
            if changes.holds(blkid):
                return changes.exists(blkid)
        return not self.fresh and not bool(blkptr.is_hole(self.bps(blkid, 1)[0]))

    # --- blocks ---------------------------------------------------------------------------------------------------

    def dirty_block(self, blkid: int, *, whole: bool = False) -> Block:
        """A block to be written into, ``datablksz`` bytes; what is written to it is part of the transaction.

        Args:
            blkid: which; beyond the last one the object grows.
            whole: everything in it will be written: its content need not be read.

        Raises:
            LimitError: beyond what an object can have. NoSpaceError: the pool is full.
        """
        self._check_blkid(blkid)
        changes = self.dirty()
        self.block_version += 1
        held = changes.blocks.get(blkid)
        if held is None:
            inside = not whole and blkid <= self.maxblkid
            data = self._copy(blkid) if inside else np.zeros(self.datablksz, dtype=np.uint8)
            self._put(blkid, data)
            return data
        if self.objset.tx.first((id(self), blkid)):
            # The buffer of before stays as it is, for whoever holds it or takes the change back.
            held = _copied(held)
            self._replace(blkid, held)
        return held

    def _copy(self, blkid: int) -> Block:
        """A block's content, to be changed."""
        held = self.waiting(blkid)
        return _copied(super().block(blkid)[0] if held is None else held)

    def _check_blkid(self, blkid: int) -> None:
        if blkid < 0 or blkid >> MAX_BLKID_BITS or (blkid + 1) * self.datablksz > MAX_OFFSET:
            raise LimitError("an object cannot have so many blocks", block=blkid, **self._where())
        if blkid and self.datablksz & (self.datablksz - 1):
            raise UsageError("a block size that is no power of two allows one block only", **self._where())

    def _put(self, blkid: int, data: Block) -> None:
        """Take a buffer for a block; the object grows if need be."""
        tx = self.objset.tx
        assert self.changes is not None
        if blkid not in self.changes.blocks:
            self.objset.admit(len(data))
        tx.first((id(self), blkid))
        self._replace(blkid, data)
        self.maxblkid = max(self.maxblkid, blkid)

    def _replace(self, blkid: int, data: Block) -> None:
        tx, blocks = self.objset.tx, self.changes.blocks  # type: ignore[union-attr]
        before = blocks.get(blkid)
        more = len(data) - (0 if before is None else len(before))
        count = int(before is None)

        def undo() -> None:
            self.block_version += 1
            self.objset.waits(-more, -count)
            if before is None:
                blocks.pop(blkid, None)
            else:
                blocks[blkid] = before

        tx.note(undo)
        self.objset.waits(more, count)
        self.block_version += 1
        blocks[blkid] = data
        self._displace(blkid)

    def write(self, offset: int, data: Any) -> None:
        """Write bytes at any offset; whole blocks are taken in one go.

        Raises:
            LimitError: beyond what an object can have. NoSpaceError: the pool is full.
        """
        source = np.frombuffer(data, dtype=np.uint8)
        size, total = self.datablksz, len(source)
        if offset < 0:
            raise UsageError("an offset cannot be negative", offset=offset)
        if not total:
            return
        self._check_blkid((offset + total - 1) // size)
        done, most = 0, PLACE_MOST
        while done < total:
            blkid, skip = divmod(offset + done, size)
            take = min(size - skip, total - done)
            if take < size:
                self._write_part(blkid, skip, source.data[done : done + take])
            else:
                count = min((total - done) // size, max(most // size, 1))
                take = count * size
                rows = source[done : done + take].reshape(count, size)
                if size < PLACE_BLOCK or take < PLACE_BYTES or self.objset.tx.final:
                    self._take_whole(blkid, rows.copy())
                else:
                    try:
                        self._place(blkid, rows)
                    except NoSpaceError:
                        if take <= PLACE_SHORT:
                            raise
                        most = PLACE_SHORT
                        continue
            done += take

    def _write_part(self, blkid: int, skip: int, data: memoryview) -> None:
        """Bytes of one block. Of a large block that waits already only these are kept, should they be taken back."""
        changes, end = self.changes, skip + len(data)
        held = changes.blocks.get(blkid) if changes is not None else None
        if held is None or len(data) * PATCH_SHARE > len(held) or not held.flags.writeable:
            self.dirty_block(blkid).data[skip:end] = data
            return
        self.dirty()
        self.block_version += 1
        before = bytes(held.data[skip:end])

        def undo() -> None:
            self.block_version += 1
            held.data[skip:end] = before

        self.objset.tx.note(undo)
        # Whoever reads meanwhile sees all of it or nothing: the interpreter's lock is not let go.
        held.data[skip:end] = data

    def patch(self, held: Block, skip: int, data: memoryview, bonus: bytes) -> None:
        """Bytes of a block that waits with the open txg, and a bonus as long as before: a transaction of its own.

        There is nothing to take back, since nothing here fails. The caller holds the lock, no transaction is open, and
        nothing has changed the object since it was last written to.
        """
        self.version += 1
        self.block_version += 1
        self._last = None
        # Whoever reads meanwhile sees all of it or nothing: the interpreter's lock is not let go.
        held.data[skip : skip + len(data)], self._bonus = data, bonus

    def _take_whole(self, first: int, rows: Block) -> None:
        """Take new content for whole blocks."""
        self.dirty()
        for index in range(len(rows)):
            self._put(first + index, rows[index])

    def _place(self, first: int, rows: Block) -> None:
        """Write whole blocks at once, straight from the caller's memory: nothing is copied, and nothing waits but
        their pointers.

        They go where no durable tree reaches; until the txg's uberblock is written they are free space to it.
        """
        tx, objset = self.objset.tx, self.objset
        changes = self.dirty()
        self.block_version += 1
        objset.admit(rows.nbytes)
        blkids = range(first, first + len(rows))
        before = {blkid: changes.placed[blkid] for blkid in blkids if blkid in changes.placed}
        owned: list[BpArray] = []  # what is allocated ...
        counted: list[BpArray] = []  # ... and what waits, as far as this has come

        def undo() -> None:
            self.block_version += 1
            for blkid in blkids:
                if blkid in before:
                    changes.placed[blkid] = before[blkid]
                else:
                    changes.placed.pop(blkid, None)
            for old in reversed(before.values()):
                if tx.discarded and tx.discarded[-1] is old:
                    tx.discarded.pop()
            for bps in counted:
                objset.waits_placed(bps, rows.shape[1], -1)
            for bps in owned:
                objset.writer.free(bps, tx.txg)

        tx.note(undo)
        bps = objset.place(self, rows, owned)
        objset.waits_placed(bps, rows.shape[1])
        counted.append(bps)
        tx.discarded += before.values()
        changes.placed.update((blkid, bps[index : index + 1]) for index, blkid in enumerate(blkids))
        for blkid in blkids:
            if blkid in changes.blocks:
                self._drop(blkid)
        self.maxblkid = max(self.maxblkid, blkids[-1])

    def place_waiting(self, blkid: int) -> BpArray | None:
        """Write a block that waits, now rather than with its txg; gives its pointer, one element, in a transaction.

        None: it does not wait, or what waits is that it was freed.

        Raises:
            NoSpaceError, DeviceError: it cannot be written.
        """
        changes = self.changes
        if changes is None:
            return None
        if blkid not in changes.placed:
            held = changes.blocks.get(blkid)
            if held is None:
                return None
            self._place(blkid, held[np.newaxis])
        return changes.placed[blkid]

    def _displace(self, blkid: int) -> None:
        """A block that was written at once is held otherwise now: it will be freed with the txg."""
        tx, placed = self.objset.tx, self.changes.placed  # type: ignore[union-attr]
        before = placed.get(blkid)
        if before is None:
            return

        def undo() -> None:
            placed[blkid] = before
            if tx.discarded and tx.discarded[-1] is before:
                tx.discarded.pop()

        tx.note(undo)
        del placed[blkid]
        tx.discarded.append(before)

    def free_range(self, first: int, count: int) -> None:
        """Blocks ``first`` .. ``first + count - 1`` become holes; if none is left behind them, the object shrinks."""
        if first < 0 or count <= 0 or first > self.maxblkid:
            return
        changes = self.dirty()
        self.block_version += 1
        end = min(first + count, self.maxblkid + 1)
        if not self.fresh:
            # Before anything goes: nobody is to see what lies below.
            changes.freed = _merged([*changes.freed, (first, end)])
        waiting = changes.blocks
        few = end - first < len(waiting)
        inside = (b for b in range(first, end) if b in waiting) if few else (b for b in waiting if first <= b < end)
        for blkid in list(inside):
            self._drop(blkid)
        for blkid in [b for b in changes.placed if first <= b < end]:
            self._displace(blkid)
        if end == self.maxblkid + 1:
            self.maxblkid = max(first - 1, 0)

    def _drop(self, blkid: int) -> None:
        tx, blocks = self.objset.tx, self.changes.blocks  # type: ignore[union-attr]
        before = blocks[blkid]

        def undo() -> None:
            self.block_version += 1
            blocks[blkid] = before
            self.objset.waits(len(before), 1)

        tx.note(undo)
        self.objset.waits(-len(before), -1)
        tx.forget((id(self), blkid))
        del blocks[blkid]

    # --- reading through the changes --------------------------------------------------------------------------------

    def waiting(self, blkid: int) -> Block | None:
        """The changed content of a block, zeros if it was freed; None: as on disk."""
        for changes in self._layers():
            held = changes.content(blkid)
            if held is not None and held.dtype == np.uint8:
                return held
            if held is not None and not bool(blkptr.is_hole(held)[0]):
                what = f"object {self.number} block {blkid}"
                return np.frombuffer(self.objset.zio.read_one(held, self.objset.keys, what=what), dtype=np.uint8)
            if held is not None or _covers(changes.freed, blkid):
                return np.zeros(self.datablksz, dtype=np.uint8)
        return np.zeros(self.datablksz, dtype=np.uint8) if self.fresh else None

    def block(self, blkid: int) -> tuple[bytes, str]:
        held = self.waiting(blkid) if 0 <= blkid <= self.maxblkid else None
        return super().block(blkid) if held is None else (held.tobytes(), "<")

    def blocks(self, blkids: Sequence[int]) -> Iterator[tuple[bytes | memoryview, str]]:
        if not self._layers():
            yield from super().blocks(blkids)
        else:
            for blkid in blkids:
                yield self.block(blkid)

    def readinto(self, buf: Any, offset: int = 0, *, damaged: Damaged | None = None) -> int:
        self.objset.check_there()
        layers = [changes for changes in self._layers() if changes.blocks or changes.placed or changes.freed]
        if not layers and not self.fresh:
            return super().readinto(buf, offset, damaged=damaged)
        if offset < 0:
            raise UsageError("an offset cannot be negative", offset=offset)

        def changed(blkid: int) -> bool:
            return self.fresh or any(changes.holds(blkid) for changes in layers)

        out = np.frombuffer(buf, dtype=np.uint8)
        total = max(0, min(len(out), self.size - offset))
        done = 0
        while done < total:
            blkid, skip = divmod(offset + done, self.datablksz)
            take = min(self.datablksz - skip, total - done)
            held = self.waiting(blkid) if changed(blkid) else None
            if held is not None:
                out.data[done : done + take] = held.data[skip : skip + take]  # see ``_write_part``
            else:
                # Everything up to the next block that waits is read in one go.
                while done + take < total and not changed(blkid + 1):
                    blkid += 1
                    take = min(take + self.datablksz, total - done)
                super().readinto(out[done : done + take], offset + done, damaged=damaged)
            done += take
        return total

    def next_data_block(self, blkid: int, *, damaged: DamagedTree | None = None) -> int | None:
        layers = self._layers()
        if not layers:
            return super().next_data_block(blkid, damaged=damaged)
        held = {b for changes in layers for b in (*changes.blocks, *changes.placed) if b >= blkid}
        waiting = min((b for b in held if self._block_exists(b)), default=None)
        at = max(blkid, 0)
        found = None
        while not self.fresh and at <= self.phys.maxblkid:
            found = self._tree.next_block(at, hole=False, damaged=damaged)
            if found is None or not any(changes.holds(found) for changes in layers):
                break
            # What becomes of it the layers say; behind the range that covers it, if any does, the tree counts again.
            ends = [_end_of(changes.freed, found) for changes in layers]
            at, found = max(found + 1, *(end for end in ends if end is not None), 0), None
        candidates = [b for b in (waiting, found) if b is not None and b <= self.maxblkid]
        return min(candidates, default=None)

    def next_hole(self, offset: int) -> int:
        if not self._layers():
            return super().next_hole(offset)
        blkid = max(offset, 0) // self.datablksz
        while blkid <= self.maxblkid:
            if not self._block_exists(blkid):
                return max(offset, blkid * self.datablksz)
            blkid += 1
        return max(offset, self.size)

    # --- a txg ------------------------------------------------------------------------------------------------------

    def close(self) -> Closed:
        """Set the changes aside, to be written. What was closed before must have been published."""
        changes = self.changes
        assert changes is not None and self.closed is None
        closed = Closed(
            self, changes, self.fresh, self.gone, self.type, self._bonus, self.bonustype, self.datablksz, self.maxblkid,
            self.flags, self.checksum, self.compress,
        )  # fmt: skip
        # In this order: see ``_layers``.
        self.closed = closed
        self.changes = None
        self.fresh = False
        return closed

    def publish(self, phys: DnodePhys, tree: BlockTree) -> None:
        """What was closed has been written: this is on disk now."""
        # In this order: with the new tree in place the buffers are not needed.
        self._tree = tree
        self.phys = phys
        self.nlevels = phys.nlevels
        self.blkptr = phys.blkptr
        self.spill = phys.spill
        self.used_bytes = phys.used_bytes
        self.closed = None

    @property
    def tree(self) -> BlockTree:
        """The tree as it is on disk."""
        return self._tree


def _copied(held: Block | bytes) -> Block:
    """A copy to be changed. Unlike numpy's this one keeps the interpreter's lock: others that were let in for the
    few microseconds it takes would find the pool's lock taken, and go to sleep."""
    return np.frombuffer(bytearray(held), dtype=np.uint8)


def _covers(ranges: list[tuple[int, int]], blkid: int) -> bool:
    at = bisect_right(ranges, (blkid, MAX_OFFSET)) - 1
    return at >= 0 and blkid < ranges[at][1]


def _end_of(ranges: list[tuple[int, int]], blkid: int) -> int | None:
    """Where the range ends that covers a block; None: none does."""
    at = bisect_right(ranges, (blkid, MAX_OFFSET)) - 1
    return ranges[at][1] if at >= 0 and blkid < ranges[at][1] else None


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for first, end in sorted(ranges):
        if result and first <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((first, end))
    return result
