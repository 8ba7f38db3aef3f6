"""Walking a whole object set: every block pointer in it, in batches, without looking at objects one by one.

Starting at the objset block, blocks that hold pointers (indirect and dnode blocks) are read 64 at a time, and all the
pointers in them are gathered, judged and pruned as arrays. What remains to be read is kept on a stack, deepest first,
so memory stays bounded however large the object set is. Nothing is decrypted: no key is needed.

Subtrees older than a given txg are left out: a block is never younger than the block that points to it.
A tree in which a block of pointers or dnodes stands twice, or that needs more bytes of them than the pool has room for,
is forged: the walk goes on beside it, or ends.

Source: OpenZFS, dmu_traverse.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError, PoolError
from ..ondisk import blkptr, bpcheck, dnode
from ..ondisk import objset as ondisk_objset
from ..ondisk.blkptr import BLKPTR, BLKPTR_SIZE, BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import BLKPTR_SHIFT, MAX_BLKPTR, SLOT_SIZE, SLOTS_PER_BLOCK, DnodeArray
from ..zio.status import error_for
from .seen import SeenBlocks

if TYPE_CHECKING:
    from ..zio.reader import Zio

#: Blocks with pointers that are read in one batch.
CHUNK = 64
#: ``level`` of the objset block, and of a dnode that is itself damaged.
ROOT_LEVEL = -1
DNODE_LEVEL = -3
#: ``blkid`` of a spill block.
SPILL_BLKID = -1

_REWRITTEN = np.uint64(1 << 63)

I64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A place in a pool: object set, object, level, block id."""

    objset: int
    object: int
    level: int
    blkid: int

    def __str__(self) -> str:
        if self.level == ROOT_LEVEL:
            return f"object set {self.objset}"
        if self.level == DNODE_LEVEL:
            return f"object {self.object}"
        if self.blkid == SPILL_BLKID:
            return f"object {self.object} spill block"
        return f"object {self.object} level {self.level} block {self.blkid}"


@dataclass(frozen=True, slots=True)
class Visit:
    """A batch of block pointers, none of them a hole, and where each stands (arrays of the same length).

    ``object`` is negative for accounting objects, 0 for the metadnode; the objset block has level -1, a spill block
    has block id -1.
    """

    bps: BpArray
    object: I64Array
    level: NDArray[np.int8]
    blkid: I64Array

    def __len__(self) -> int:
        return len(self.bps)


Errors = Callable[[Bookmark, PoolError], None]


def walk(
    zio: Zio, bp: BpArray, *, objset_id: int, birth_after: int = 0, errors: Errors | None = None
) -> Iterator[Visit]:
    """Every block pointer of an object set.

    Args:
        zio: where blocks are read.
        bp: pointer to the objset block; of a hole nothing comes.
        objset_id: number for bookmarks.
        birth_after: leave out what was born in this txg or before.
        errors: told of each block with pointers that cannot be read, or pointer or dnode that makes no sense, and
            then the walk goes on beside it. None: raise the first.
    """
    return _Walk(zio, objset_id, birth_after, errors).run(np.ascontiguousarray(bp).reshape(1))


def _raise(place: Bookmark, error: PoolError) -> None:
    error.where = {"place": place, **error.where}
    raise error


@dataclass(slots=True)
class _Found:
    """Pointers with what is known of their places. ``size``: logical bytes of a data block, 0: any."""

    bps: BpArray
    object: I64Array
    level: I64Array
    blkid: I64Array
    shift: I64Array  # log2 of the object's indirect blocks
    size: I64Array

    def __len__(self) -> int:
        return len(self.bps)

    def pick(self, which: Any) -> _Found:
        return _Found(
            self.bps[which],
            self.object[which],
            self.level[which],
            self.blkid[which],
            self.shift[which],
            self.size[which],
        )

    def visit(self) -> Visit:
        return Visit(self.bps, self.object, self.level.astype(np.int8), self.blkid)


class _Walk:
    def __init__(self, zio: Zio, objset_id: int, birth_after: int, errors: Errors | None) -> None:
        self._zio = zio
        self._objset = objset_id
        self._birth_after = np.uint64(birth_after)
        self._errors = errors or _raise
        self._birth = 0
        self._budget = sum(top.asize for top in zio.tree.tops)
        self._seen = SeenBlocks()

    def run(self, root: BpArray) -> Iterator[Visit]:
        if blkptr.is_hole(root)[0] or not self._born(root)[0]:
            return
        place = Bookmark(self._objset, 0, ROOT_LEVEL, 0)
        code = int(bpcheck.problems(root, level=0)[0])
        if code or blkptr.object_type(root)[0] != ObjectType.OBJSET:
            text = bpcheck.TEXT[code] if code else "it does not point to an object set"
            self._errors(place, CorruptError(f"an object set's pointer is not valid: {text}"))
            return
        self._birth = int(root["birth"][0])
        zero = np.zeros(1, dtype=np.int64)
        yield Visit(root, zero, np.full(1, ROOT_LEVEL, dtype=np.int8), zero)
        blocks = self._zio.read(root, raw=True, errors="collect")
        if blocks.status[0]:
            self._errors(place, error_for(int(blocks.status[0]), root[0], "object set"))
            return
        found = self._objset_block(blocks.block(0), bool(blkptr.is_little(root)[0]), place)
        stack: list[_Found] = []
        while True:
            if len(found):
                yield found.visit()
                # Dnode blocks are the level-0 blocks of the metadnode.
                deeper = (found.level > 0) | ((found.object == 0) & (found.blkid != SPILL_BLKID))
                if deeper.any():
                    stack.append(found.pick(deeper))
            if not stack:
                return
            rows = stack.pop()
            if len(rows) > CHUNK:
                stack.append(rows.pick(slice(CHUNK, None)))
                rows = rows.pick(slice(0, CHUNK))
            rows = self._once(rows)
            self._budget -= int(blkptr.psize(rows.bps).sum())
            if self._budget < 0:
                self._errors(place, LimitError("an object set's metadata is larger than the pool"))
                return
            found = self._expand(rows)

    def _once(self, rows: _Found) -> _Found:
        """Blocks that were not met before: those of pointers and of dnodes have one place each."""
        again = self._seen.add(rows.bps)
        if not again.any():
            return rows
        at = int(np.flatnonzero(again)[0])
        place = Bookmark(self._objset, int(rows.object[at]), int(rows.level[at]), int(rows.blkid[at]))
        text = f"a block pointer does not belong where it stands: {bpcheck.TEXT[bpcheck.REPEATED]}"
        self._errors(place, CorruptError(text, count=int(again.sum())))
        return rows.pick(np.flatnonzero(~again))

    # --- from blocks to pointers ------------------------------------------------------------------------------------

    def _objset_block(self, data: memoryview, little: bool, place: Bookmark) -> _Found:
        if len(data) not in ondisk_objset.SIZES:
            self._errors(place, CorruptError("an objset block has a size that does not exist", size=len(data)))
            return _nothing()
        dnodes = ondisk_objset.dnodes_of(data, "<" if little else ">")
        numbers = np.array(list(dnodes), dtype=np.int64)
        if not len(numbers):
            return _nothing()
        slots = np.concatenate(list(dnodes.values()))
        return self._sift(self._dnodes(slots, np.arange(len(slots)), numbers, np.ones(len(slots), dtype=np.int64)))

    def _expand(self, rows: _Found) -> _Found:
        """Read blocks of pointers or dnodes, and give the pointers in them that are to be visited."""
        blocks = self._zio.read(rows.bps, raw=True, errors="collect")
        ok = blocks.status == 0
        sizes = np.diff(blocks.start)
        # A forged encrypted dnode block may be stored in another length than it has.
        expected = np.where(rows.level > 0, np.int64(1) << rows.shift, rows.size)
        for at in np.flatnonzero(~ok | (sizes != expected)).tolist():
            place = Bookmark(self._objset, int(rows.object[at]), int(rows.level[at]), int(rows.blkid[at]))
            if ok[at]:
                self._errors(place, CorruptError("a block of pointers has a wrong length", size=int(sizes[at])))
                ok[at] = False
            else:
                self._errors(place, error_for(int(blocks.status[at]), rows.bps[at], str(place)))
        orders = np.where(blkptr.is_little(rows.bps), "<", ">").tolist()
        parts = []
        which = np.flatnonzero(ok & (rows.level > 0))
        if len(which):
            data = [blkptr.from_bytes(blocks.block(i), orders[i]) for i in which.tolist()]
            parts.append(self._sift(self._children(rows, which, data)))
        which = np.flatnonzero(ok & (rows.level == 0))
        if len(which):
            slots = np.concatenate([dnode.slots_of(blocks.block(i), orders[i]) for i in which.tolist()])
            first = dnode.starts(slots)
            numbers = rows.blkid[which][first // SLOTS_PER_BLOCK] * SLOTS_PER_BLOCK + first % SLOTS_PER_BLOCK
            room = SLOTS_PER_BLOCK - first % SLOTS_PER_BLOCK
            parts.append(self._sift(self._dnodes(slots, first, numbers, room)))
        return parts[0] if len(parts) == 1 else _join(parts)

    @staticmethod
    def _children(rows: _Found, which: I64Array, data: list[BpArray]) -> _Found:
        """All pointers in indirect blocks ``which`` of ``rows``, holes left out."""
        counts = np.array([len(bps) for bps in data], dtype=np.int64)
        bps = np.concatenate(data)
        parent = np.repeat(which, counts)
        inside = np.arange(len(bps)) - np.repeat(np.cumsum(counts) - counts, counts)
        live = np.flatnonzero(~blkptr.is_hole(bps))
        parent, inside = parent[live], inside[live]
        shift = rows.shift[parent]
        blkid = (rows.blkid[parent] << (shift - BLKPTR_SHIFT)) + inside
        return _Found(bps[live], rows.object[parent], rows.level[parent] - 1, blkid, shift, rows.size[parent])

    def _dnodes(self, slots: DnodeArray, first: I64Array, numbers: I64Array, room: I64Array) -> _Found:
        """All pointers in the dnodes that begin at ``first``, holes left out."""
        heads = slots[first]
        codes = dnode.problems(heads, room)
        if codes.any():
            for at in np.flatnonzero(codes).tolist():
                place = Bookmark(self._objset, int(numbers[at]), DNODE_LEVEL, DNODE_LEVEL)
                self._errors(place, CorruptError(f"a dnode is not valid: {dnode.TEXT[codes[at]]}"))
            good = codes == 0
            heads, first, numbers = heads[good], first[good], numbers[good]
        levels = heads["nlevels"].astype(np.int64) - 1
        shifts = heads["indblkshift"].astype(np.int64)
        sizes = heads["datablkszsec"].astype(np.int64) << 9
        parts = []
        for index in range(MAX_BLKPTR):
            bps = heads["blkptr"][:, index]
            has = np.flatnonzero((heads["nblkptr"] > index) & ~blkptr.is_hole(bps))
            blkid = np.full(len(has), index, dtype=np.int64)
            parts.append(_Found(bps[has], numbers[has], levels[has], blkid, shifts[has], sizes[has]))
        has = np.flatnonzero(heads["flags"] & dnode.FLAG_SPILL_BLKPTR)
        if len(has):
            last = first[has] + heads["extra_slots"][has]
            tails = slots.view(np.uint8).reshape(-1, SLOT_SIZE)[last, SLOT_SIZE - BLKPTR_SIZE :]
            bps = np.ascontiguousarray(tails).reshape(-1).view(BLKPTR)
            zeros = np.zeros(len(has), dtype=np.int64)
            spills = _Found(bps, numbers[has], zeros, zeros + SPILL_BLKID, shifts[has], zeros)
            parts.append(spills.pick(np.flatnonzero(~blkptr.is_hole(bps))))
        found = _join(parts)
        return found.pick(np.argsort(found.object, kind="stable"))

    # --- judging ------------------------------------------------------------------------------------------------------

    def _born(self, bps: BpArray) -> NDArray[np.bool_]:
        """Which blocks are young enough. Of a rewritten block the physical birth tells who owns it."""
        rewritten = ((bps["pad"][:, 0] & _REWRITTEN) != 0) & ~blkptr.is_embedded(bps)
        result: NDArray[np.bool_] = np.where(rewritten, bps["phys_birth"], bps["birth"]) > self._birth_after
        return result

    def _sift(self, found: _Found) -> _Found:
        """The pointers that are to be visited; those without sense are reported, once for an object and level."""
        found = found.pick(np.flatnonzero(self._born(found.bps)))
        lsize = np.where(found.level > 0, np.int64(1) << found.shift, found.size)
        codes = bpcheck.problems(found.bps, level=found.level, lsize=lsize, max_birth=self._birth)
        if not codes.any():
            return found
        wrong = np.flatnonzero(codes)
        groups, first, counts = np.unique(
            np.stack([found.object[wrong], found.level[wrong]]), axis=1, return_index=True, return_counts=True
        )
        for (number, level), at, count in zip(groups.T.tolist(), wrong[first].tolist(), counts.tolist()):
            text = f"a block pointer does not belong where it stands: {bpcheck.TEXT[codes[at]]}"
            error = CorruptError(text, count=count if count > 1 else None)
            self._errors(Bookmark(self._objset, number, level, int(found.blkid[at])), error)
        return found.pick(np.flatnonzero(codes == 0))


def _nothing() -> _Found:
    zero = np.zeros(0, dtype=np.int64)
    return _Found(np.zeros(0, dtype=BLKPTR), zero, zero, zero, zero, zero)


def _join(parts: list[_Found]) -> _Found:
    if not parts:
        return _nothing()
    return _Found(
        np.concatenate([p.bps for p in parts]),
        np.concatenate([p.object for p in parts]),
        np.concatenate([p.level for p in parts]),
        np.concatenate([p.blkid for p in parts]),
        np.concatenate([p.shift for p in parts]),
        np.concatenate([p.size for p in parts]),
    )
