"""Writing what changed of many objects at once: data first, then indirect blocks, level by level, up to the dnodes.

The blocks of one level that share size and policy go to the writer as one batch, whatever objects they belong to: a
hundred thousand small files cost a few calls, not a hundred thousand. A pointer is put into its parent only when its
block has been placed and summed, so parents come last.

A block that was there before is *killed*: the object set's owner decides whether that frees it or a snapshot keeps it.
A block written earlier in this very txg may be overwritten where it lies (``rewrite``): no uberblock refers to it yet,
and it makes the passes over the pool's own metadata come to an end.

Invariants, for every object: ``used`` is the charged size of all its blocks; an indirect block's fill is the sum of its
children's; levels only grow; a block whose pointers are all holes is a hole itself.

Source: OpenZFS, dnode_sync.c, dbuf.c, dmu_objset.c.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..ondisk import blkptr
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import BLKPTR_SHIFT, EXTRA_SLOTS_AT, FLAG_SPILL_BLKPTR, FLAG_USED_BYTES, SLOT_SIZE, DnodePhys
from .blocktree import BlockTree
from .treesmall import free_small, is_small, is_small_and_gone, write_small

if TYPE_CHECKING:
    from ..zio.writer import WritePolicy, ZioWriter
    from .mutable import Closed

I64 = NDArray[np.int64]
#: Blocks of a freed range that are looked up at a time.
FREE_STEP = 1 << 16


class TreeOwner(Protocol):
    """The object set, as seen from here. ``birth``: no block of it can be newer."""

    birth: int

    def policy(self, kind: int, level: int, *, checksum: int = 0, compress: int = 0, size: int = 0) -> WritePolicy:
        """How blocks of this type and level are written."""

    def born(self, bps: BpArray) -> None:
        """Blocks have come into being."""

    def kill(self, bps: BpArray, *, placed_again: NDArray[np.bool_] | None = None) -> None:
        """Blocks are not referred to any more; those that were overwritten where they lie are not to be freed."""

    def dsize(self, bps: BpArray) -> NDArray[np.uint64]:
        """What blocks are charged."""


@dataclass(slots=True)
class _Level:
    """Pointers that change, of one level of one object: ids in rising order, and their new pointers."""

    ids: I64
    bps: BpArray


@dataclass(slots=True)
class _Work:
    """One object being written."""

    dn: Closed
    old_levels: int  # 0: nothing on disk
    levels: int
    changed: _Level | None = None
    tree: dict[tuple[int, int], BpArray] = field(default_factory=dict)  # new indirect blocks
    used: int = 0

    @property
    def old(self) -> BlockTree:
        return self.dn.dn.tree

    def pointers(self, level: int, first: int, count: int) -> BpArray:
        """Old pointers of any level; zeros where there were none."""
        if not self.old_levels or level >= self.old_levels:
            return np.zeros(count, dtype=BLKPTR)
        return self.old.pointers(level, first, count)


@dataclass(slots=True)
class _Batch:
    """Blocks for one call of the writer: content, the pointers they replace, and where the new ones go."""

    data: list[Any] = field(default_factory=list)
    fill: list[int] = field(default_factory=list)
    old: list[BpArray] = field(default_factory=list)
    place: list[tuple[BpArray, int]] = field(default_factory=list)
    work: list[_Work] = field(default_factory=list)


def levels_for(maxblkid: int, nblkptr: int, epbs: int) -> int:
    """Levels an object needs so that block ``maxblkid`` has a place. Source: dnode.c."""
    levels, room = 1, nblkptr
    while room <= maxblkid:
        levels += 1
        room <<= epbs
    return levels


class TreeWriter:
    """Writes the trees of objects of one object set.

    Args:
        owner: the object set.
        writer: where blocks go.
        txg: that is being written.
        rewrite: blocks born in this txg may be overwritten in place.
        hole_birth: holes remember when they came into being.
    """

    def __init__(self, owner: TreeOwner, writer: ZioWriter, txg: int, *, rewrite: bool, hole_birth: bool) -> None:
        self.owner = owner
        self.writer = writer
        self.txg = txg
        self.rewrite = rewrite
        self.hole_birth = hole_birth

    def write(
        self, dnodes: Sequence[Closed], fill: Callable[[Closed, int, Any], int] | None = None
    ) -> None:
        """Write all changes of these objects and publish their new dnodes.

        Args:
            dnodes: objects, closed; freed ones (``gone``) lose all blocks.
            fill: gives the fill of a data block (object, block id, content); without it 1.

        Raises:
            NoSpaceError, DeviceError: the txg cannot be written.
        """
        small: list[Closed] = []
        gone: list[Closed] = []
        other: list[Closed] = []
        for dn in dnodes:
            if fill is None and is_small(dn):
                small.append(dn)
            elif fill is None and is_small_and_gone(dn):
                gone.append(dn)
            else:
                other.append(dn)
        write_small(self.owner, self.writer, self.txg, small)
        other += free_small(self.owner, gone)  # what is wrong with those left is told when they are read
        works = [self._begin(dn) for dn in other]
        self._data(works, fill)
        top = max((work.levels for work in works), default=0)
        for level in range(1, top):
            self._indirect([work for work in works if work.levels > level], level)
        self._spills(works)
        for work in works:
            self._finish(work)

    # --- level 0 --------------------------------------------------------------------------------------------------

    def _begin(self, closed: Closed) -> _Work:
        dn = closed.dn
        old_levels = 0 if closed.fresh else dn.phys.nlevels
        levels = max(dn.phys.nlevels, levels_for(closed.maxblkid, dn.nblkptr, dn.indblkshift - BLKPTR_SHIFT))
        return _Work(closed, old_levels, levels, used=0 if closed.fresh else dn.phys.used_bytes)

    def _data(self, works: list[_Work], fill: Callable[[Closed, int, Any], int] | None) -> None:
        batches: dict[tuple[int, WritePolicy], _Batch] = defaultdict(_Batch)
        for work in works:
            dn, changes = work.dn, work.dn.changes
            written = {} if dn.gone else changes.blocks
            placed = {} if dn.gone else changes.placed
            holes = self._freed(work, {*written, *placed})
            if not written and not placed and not len(holes):
                continue
            ids = np.array(sorted(written), dtype=np.int64)
            every = ids
            if placed or len(holes):
                every = np.union1d(np.union1d(ids, sorted(placed)).astype(np.int64), holes)
            level = work.changed = _Level(every, np.zeros(len(every), dtype=BLKPTR))
            if len(holes):
                self._make_holes(work, holes)
            if placed:
                self._take_placed(work, level, placed)
            if not len(ids):
                continue
            old = self._old_of(work, 0, ids)
            policy = self.owner.policy(dn.type, 0, checksum=dn.checksum, compress=dn.compress, size=dn.datablksz)
            batch = batches[dn.datablksz, policy]
            where = np.searchsorted(every, ids).tolist()
            for index, blkid in enumerate(ids.tolist()):
                data = written[blkid]
                batch.data.append(data)
                batch.fill.append(1 if fill is None else fill(dn, blkid, data))
                batch.place.append((level.bps, where[index]))
                batch.work.append(work)
            batch.old.append(old)
        for (size, policy), batch in batches.items():
            self._write(batch, size, policy)

    def _take_placed(self, work: _Work, level: _Level, placed: dict[int, BpArray]) -> None:
        """Blocks that were written before: their pointers take the places of the old ones."""
        ids = np.array(sorted(placed), dtype=np.int64)
        new = np.concatenate([placed[blkid] for blkid in ids.tolist()])
        old = self._old_of(work, 0, ids)
        new[blkptr.is_hole(new) & (old["birth"] == 0)] = np.zeros(1, dtype=BLKPTR)[0]
        level.bps[np.searchsorted(level.ids, ids)] = new
        self._account([work] * len(ids), new, old, None)

    def _freed(self, work: _Work, written: set[int]) -> I64:
        """Blocks that become holes and were none."""
        if not work.old_levels:
            return np.zeros(0, dtype=np.int64)
        last = work.dn.dn.phys.maxblkid
        ranges = [(0, last + 1)] if work.dn.gone else work.dn.changes.freed
        found = []
        for first, end in ranges:
            end = min(end, last + 1)
            if end - first <= len(written) and written.issuperset(range(first, end)):
                continue  # as where a small file is written anew
            while first < end:
                start = work.old.next_block(first, hole=False)
                if start is None or start >= end:
                    break
                count = min(FREE_STEP, end - start)
                some = work.pointers(0, start, count)
                found.append(np.flatnonzero(~blkptr.is_hole(some)) + start)
                first = start + count
        if not found:
            return np.zeros(0, dtype=np.int64)
        result = np.concatenate(found).astype(np.int64)
        if written:
            result = result[~np.isin(result, np.fromiter(written, dtype=np.int64, count=len(written)))]
        return result

    def _make_holes(self, work: _Work, ids: I64) -> None:
        assert work.changed is not None
        old = self._old_of(work, 0, ids)
        self._dead(work, old, None)
        if not work.dn.gone:
            work.changed.bps[np.searchsorted(work.changed.ids, ids)] = self._holes(old)

    def _holes(self, old: BpArray) -> BpArray:
        """What stands for freed blocks: holes that know size, type, level and when they came to be."""
        new = np.zeros(len(old), dtype=BLKPTR)
        if self.hole_birth:
            new["prop"] = hole_prop(blkptr.lsize(old), blkptr.object_type(old), blkptr.level(old))
            new["birth"] = self.txg
        return new

    def _old_of(self, work: _Work, level: int, ids: I64) -> BpArray:
        """The pointers that were at these ids, gathered in runs."""
        if not work.old_levels or level >= work.old_levels:
            return np.zeros(len(ids), dtype=BLKPTR)
        if len(ids) == 1:
            return work.pointers(level, int(ids[0]), 1)
        edges = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
        parts = [work.pointers(level, int(ids[a]), b - a) for a, b in pairwise(edges)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    # --- levels above ---------------------------------------------------------------------------------------------

    def _indirect(self, works: list[_Work], level: int) -> None:
        """Write the changed indirect blocks of one level."""
        batches: dict[tuple[int, WritePolicy], _Batch] = defaultdict(_Batch)
        for work in works:
            dn, below = work.dn, work.changed
            grown = work.old_levels and level >= work.old_levels
            if below is None and not (grown and level < work.levels):
                continue
            shift = dn.dn.indblkshift
            epbs = shift - BLKPTR_SHIFT
            ids = np.zeros(0, dtype=np.int64) if below is None else np.unique(below.ids >> epbs)
            if grown and (not len(ids) or ids[0] != 0):
                ids = np.concatenate(([0], ids)).astype(np.int64)  # the old top moves under the first new block
            new = work.changed = _Level(ids, np.zeros(len(ids), dtype=BLKPTR))
            old = self._old_of(work, level, ids)
            policy = self.owner.policy(dn.type, level)
            batch = batches[1 << shift, policy]
            for index, number in enumerate(ids.tolist()):
                content = self._children(work, level, number, below, epbs)
                work.tree[level, number] = content
                holes = blkptr.is_hole(content)
                if holes.all():
                    born = bool(content["birth"].any())
                    self._vanish(work, new, index, old[index : index + 1], 1 << shift, level, born)
                    continue
                batch.data.append(content.view(np.uint8))
                batch.fill.append(int(fills(content[~holes]).sum()))
                batch.place.append((new.bps, index))
                batch.work.append(work)
                batch.old.append(old[index : index + 1])
        for (size, policy), batch in batches.items():
            self._write(batch, size, policy)

    def _children(self, work: _Work, level: int, number: int, below: _Level | None, epbs: int) -> BpArray:
        """The content of an indirect block: old pointers, with the changed ones in their places."""
        first = number << epbs
        content = np.ascontiguousarray(work.pointers(level - 1, first, 1 << epbs)).copy()
        if below is not None:
            low, high = np.searchsorted(below.ids, [first, first + (1 << epbs)])
            content[below.ids[low:high] - first] = below.bps[low:high]
        return content

    def _vanish(
        self, work: _Work, new: _Level, index: int, old: BpArray, size: int, level: int, born: bool
    ) -> None:
        """An indirect block with nothing below it becomes a hole. ``born``: there was something, perhaps before the
        object had this level: an incremental send has to be told that it went."""
        if int(old["birth"][0]) == 0 and not born:
            return
        if not bool(blkptr.is_hole(old)[0]):
            self._dead(work, old, None)
        if self.hole_birth and not work.dn.gone:
            new.bps["prop"][index] = hole_prop(np.uint64(size), np.uint64(work.dn.type), np.uint64(level))
            new.bps["birth"][index] = self.txg

    def _spills(self, works: list[_Work]) -> None:
        batches: dict[tuple[int, WritePolicy], _Batch] = defaultdict(_Batch)
        for work in works:
            dn, changes, before = work.dn, work.dn.changes, work.dn.dn.phys.spill
            if not (changes.spill_changed or dn.gone):
                continue
            old = np.zeros(1, dtype=BLKPTR) if before is None else np.atleast_1d(before).copy()
            if dn.gone or changes.spill is None:
                self._dead(work, old[~blkptr.is_hole(old)], None)
                continue
            size, new = len(changes.spill), np.zeros(1, dtype=BLKPTR)
            batch = batches[size, self.owner.policy(dn.bonustype, 0, size=size)]
            batch.data.append(np.frombuffer(changes.spill, dtype=np.uint8))
            batch.fill.append(1)
            batch.old.append(old)
            batch.place.append((new, 0))
            batch.work.append(work)
            work.tree[-1, 0] = new
        for (size, policy), batch in batches.items():
            self._write(batch, size, policy)

    # --- a batch ----------------------------------------------------------------------------------------------------

    def _write(self, batch: _Batch, size: int, policy: WritePolicy) -> None:
        """One call of the writer, and what follows from its pointers."""
        if not batch.data:
            return
        old = batch.old[0] if len(batch.old) == 1 else np.concatenate(batch.old)
        again = None
        if self.rewrite:
            again = (old["birth"] == np.uint64(self.txg)) & ~blkptr.is_hole(old) & ~blkptr.is_embedded(old)
        fill = np.array(batch.fill, dtype=np.uint64)
        before = None
        if again is not None and again.any():
            before = old.copy()
            before[~again] = np.zeros(1, dtype=BLKPTR)[0]
        new = self.writer.write(batch.data, policy, self.txg, lsize=size, fill=fill, rewrite=before)
        holes = blkptr.is_hole(new)
        # A hole over what was never written is nothing at all.
        new[holes & (old["birth"] == 0)] = np.zeros(1, dtype=BLKPTR)[0]
        for index, (where, at) in enumerate(batch.place):
            where[at] = new[index]
        self._account(batch.work, new, old, again)

    def _account(self, works: list[_Work], new: BpArray, old: BpArray, again: NDArray[np.bool_] | None) -> None:
        owner = self.owner
        there, gone = ~blkptr.is_hole(new), ~blkptr.is_hole(old)
        gained = np.zeros(len(new), dtype=np.int64)
        if there.any():
            gained[there] = owner.dsize(new[there]).astype(np.int64)
            owner.born(new[there])
        if gone.any():
            gained[gone] -= owner.dsize(old[gone]).astype(np.int64)
            owner.kill(old[gone], placed_again=None if again is None else again[gone])
        for work, bytes_more in zip(works, gained.tolist()):
            work.used += bytes_more

    def _dead(self, work: _Work, old: BpArray, again: NDArray[np.bool_] | None) -> None:
        if len(old):
            work.used -= int(self.owner.dsize(old).astype(np.int64).sum())
            self.owner.kill(old, placed_again=again)

    # --- the dnode ------------------------------------------------------------------------------------------------

    def _finish(self, work: _Work) -> None:
        """Put the new dnode together and publish it."""
        closed, dn = work.dn, work.dn.dn
        if closed.gone:
            dn.closed = None
            return
        top = work.levels - 1
        if work.old_levels and work.levels > work.old_levels:
            pointers = np.zeros(dn.nblkptr, dtype=BLKPTR)
        else:
            pointers = np.array(dn.phys.blkptr, dtype=BLKPTR)
        if work.changed is not None:
            pointers[work.changed.ids] = work.changed.bps
        spill = dn.phys.spill
        if closed.changes.spill_changed:
            spill = work.tree[-1, 0][0] if closed.changes.spill is not None else None
        flags = closed.flags & ~FLAG_SPILL_BLKPTR | FLAG_USED_BYTES
        phys = DnodePhys(
            type=closed.type,
            bonustype=closed.bonustype,
            indblkshift=dn.indblkshift,
            nlevels=top + 1,
            checksum=closed.checksum,
            compress=closed.compress,
            flags=flags | (FLAG_SPILL_BLKPTR if spill is not None else 0),
            datablksz=closed.datablksz,
            extra_slots=dn.extra_slots,
            maxblkid=closed.maxblkid,
            used=work.used,
            bonus=closed.bonus,
            blkptr=pointers,
            spill=spill,
        )
        tree = BlockTree(dn.objset, dn.number, phys)
        tree.preload({key: bps for key, bps in work.tree.items() if key[0] > 0})
        dn.publish(phys, tree)


def fills(bps: BpArray) -> NDArray[np.uint64]:
    """Fill counts of pointers that are no holes; embedded ones have no such field and count 1."""
    result: NDArray[np.uint64] = np.where(blkptr.is_embedded(bps), np.uint64(1), bps["fill"])
    return result


def hole_prop(lsize: Any, kind: Any, level: Any) -> Any:
    """The property word of a hole that remembers its birth. Source: spa.h (``BP_SET_LSIZE`` and its kin)."""
    sectors = (np.asarray(lsize, dtype=np.uint64) >> np.uint64(9)) - np.uint64(1)
    kinds, levels = np.asarray(kind, dtype=np.uint64), np.asarray(level, dtype=np.uint64)
    return sectors | kinds << np.uint64(48) | levels << np.uint64(56)


def dnodes_in(block: Any) -> int:
    """Allocated dnodes in a dnode block: its fill."""
    kinds = np.frombuffer(block, dtype=np.uint8).reshape(-1, SLOT_SIZE)
    if not kinds[:, EXTRA_SLOTS_AT].any():
        return int(np.count_nonzero(kinds[:, 0]))
    count, at = 0, 0
    while at < len(kinds):
        if kinds[at, 0] != ObjectType.NONE:
            count += 1
            at += int(kinds[at, EXTRA_SLOTS_AT])
        at += 1
    return count

