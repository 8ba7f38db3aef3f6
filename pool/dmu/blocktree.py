"""The block tree of one object: from block ids to block pointers, reading the indirect blocks that are needed.

The pointer to block ``i`` of level L is entry ``i mod 2^epbs`` of block ``i >> epbs`` of level L+1; at the top it is
in the dnode. An absent pointer (a hole) stands for a subtree of zeros. Every pointer is checked against its place
before it is followed, so that no wrong level can come up; and an indirect block has one place only, or else a tree of a
few blocks could go through more of them than there are atoms.

Source: OpenZFS, dnode.c (``dnode_next_offset``), dbuf.c.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, PoolError, UsageError
from ..ondisk import blkptr, bpcheck
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dnode import BLKPTR_SHIFT, DnodePhys
from ..zio.status import error_for

if TYPE_CHECKING:
    from .objset import Objset

#: Pointers given at once: 128 MiB of them.
MAX_POINTERS = 1 << 20
#: Indirect blocks read in one batch.
BATCH = 64
#: Indirect blocks kept for each object.
CACHE_BLOCKS = 8
#: Indirect blocks of an object whose addresses are remembered.
MET_BLOCKS = 1 << 16
#: Subtrees a search may enter in vain before the tree is called corrupt: fill counts name the right one at once.
MAX_MISSES = 4096

#: Told of a range of level-0 blocks that is out of reach: (first, count, error).
DamagedTree = Callable[[int, int, PoolError], None]


class _Pointers(NamedTuple):
    """Pointers of one block, and what is wrong with each (see ``ondisk.bpcheck``); None: nothing with any."""

    bps: BpArray
    codes: NDArray[np.uint8] | None


class BlockTree:
    """Pointers of one object.

    Args:
        objset: where blocks are read and what they may be (newest birth, keys).
        number: object number, for messages.
        phys: the dnode.
    """

    def __init__(self, objset: Objset, number: int, phys: DnodePhys) -> None:
        self._objset = objset
        self._number = number
        self._phys = phys
        self._epbs = phys.indblkshift - BLKPTR_SHIFT
        self._cache: dict[tuple[int, int], _Pointers] = {}
        self._met: dict[bytes, tuple[int, int]] = {}
        self._top_pointers: _Pointers | None = None
        self._lock = Lock()

    def pointers(self, level: int, first: int, count: int) -> BpArray:
        """Pointers to blocks ``first`` .. ``first + count - 1`` of a level; holes, and what lies beyond, as zeros.

        Raises:
            CorruptError: a pointer does not belong where it stands; others as reading blocks raises them.
        """
        if count > MAX_POINTERS or first < 0 or count < 0:
            raise UsageError("too many block pointers asked for at once", first=first, count=count)
        if level >= self._phys.nlevels - 1:
            return self._slice(self._top, level, first, first, count)
        if not count:
            return np.zeros(0, dtype=BLKPTR)
        start, stop = first >> self._epbs, ((first + count - 1) >> self._epbs) + 1
        if stop - start == 1:
            block = self._cache.get((level + 1, start))
            if block is None:
                parent = self.pointers(level + 1, start, 1)
                if blkptr.is_hole(parent[0]):
                    return np.zeros(count, dtype=BLKPTR)
                block = self.load(level + 1, start, parent[0])
            return self._slice(block, level, first, first - (start << self._epbs), count)
        return self._many(level, first, count, start, stop)

    def _many(self, level: int, first: int, count: int, start: int, stop: int) -> BpArray:
        """Pointers out of several indirect blocks, read in batches."""
        found = np.zeros((stop - start) << self._epbs, dtype=BLKPTR)
        parents = self.pointers(level + 1, start, stop - start)
        present = np.flatnonzero(~blkptr.is_hole(parents)).tolist()
        for at in range(0, len(present), BATCH):
            some = present[at : at + BATCH]
            for index, block in zip(some, self._load_many(level + 1, start, parents, some)):
                base = (start + index) << self._epbs
                low, high = max(first, base), min(first + count, base + len(block.bps))
                piece = self._slice(block, level, low, low - base, high - low)
                found[low - (start << self._epbs) :][: high - low] = piece
        inside = first - (start << self._epbs)
        return found[inside : inside + count]

    def _slice(self, block: _Pointers, level: int, first: int, inside: int, count: int) -> BpArray:
        """``count`` pointers of a block from index ``inside`` on, checked; zeros beyond its end."""
        if block.codes is not None and block.codes[inside : inside + count].any():
            at = int(np.flatnonzero(block.codes[inside : inside + count])[0])
            raise self._misplaced(int(block.codes[inside + at]), level, first + at)
        piece = block.bps[inside : inside + count]
        if len(piece) == count:
            return piece
        found = np.zeros(count, dtype=BLKPTR)
        found[: len(piece)] = piece
        return found

    def _misplaced(self, code: int, level: int, blkid: int) -> CorruptError:
        return CorruptError(
            f"a block pointer does not belong where it stands: {bpcheck.TEXT[code]}",
            dataset=self._objset.name or None,
            object=self._number,
            level=level,
            block=blkid,
        )

    def _judged(self, bps: BpArray, level: int) -> _Pointers:
        """Pointers to blocks of a level, with what is wrong with each."""
        size = self._phys.datablksz if level == 0 else 1 << self._phys.indblkshift
        codes = bpcheck.problems(bps, level=level, lsize=size, max_birth=self._objset.birth)
        if level:
            codes[bpcheck.repeated(bps) & (codes == 0)] = bpcheck.REPEATED
        return _Pointers(bps, codes if codes.any() else None)

    def _meet(self, level: int, blkid: int, bp: BpArray) -> None:
        """Make sure that an indirect block was not met in another place.

        Raises:
            CorruptError: it was.
        """
        address = bp["dva"][0].tobytes()
        if self._met.setdefault(address, (level, blkid)) != (level, blkid):
            raise self._misplaced(bpcheck.REPEATED, level, blkid)
        if len(self._met) > MET_BLOCKS:
            with self._lock:
                self._met.pop(next(iter(self._met)), None)

    @property
    def _top(self) -> _Pointers:
        """The pointers in the dnode."""
        if self._top_pointers is None:
            self._top_pointers = self._judged(self._phys.blkptr, self._phys.nlevels - 1)
        return self._top_pointers

    # --- indirect blocks --------------------------------------------------------------------------------------------

    def load(self, level: int, blkid: int, bp: BpArray) -> _Pointers:
        """The pointers in one indirect block, whose (checked) pointer is ``bp``; the last few blocks are kept."""
        found = self._cache.get((level, blkid))
        if found is None:
            self._meet(level, blkid, bp)
            what = f"object {self._number} level {level} block {blkid}"
            data = self._objset.zio.read_one(bp, self._objset.keys, raw=self._objset.raw, what=what)
            found = self._decode(data, bp, level)
            self._keep(level, blkid, found)
        return found

    def _load_many(self, level: int, start: int, parents: BpArray, indices: list[int]) -> list[_Pointers]:
        """The same for blocks ``start + index`` of a level, read as one batch."""
        result: dict[int, _Pointers] = {}
        for index in indices:
            cached = self._cache.get((level, start + index))
            if cached is not None:
                result[index] = cached
        missing = [index for index in indices if index not in result]
        if len(missing) == 1:
            result[missing[0]] = self.load(level, start + missing[0], parents[missing[0]])
        elif missing:
            bps = parents[missing]
            for at, index in enumerate(missing):
                self._meet(level, start + index, bps[at])
            blocks = self._objset.zio.read(bps, self._objset.keys, raw=self._objset.raw, errors="collect")
            for at, index in enumerate(missing):
                if blocks.status[at]:
                    what = f"object {self._number} level {level} block {start + index}"
                    raise error_for(int(blocks.status[at]), bps[at], what)
                result[index] = self._decode(blocks.block(at), bps[at], level)
            # The last one is where a sequential reader goes on; a copy, so as not to keep the whole batch.
            last = result[missing[-1]]
            self._keep(level, start + missing[-1], _Pointers(last.bps.copy(), last.codes))
        return [result[index] for index in indices]

    def _decode(self, data: bytes | memoryview, bp: BpArray, level: int) -> _Pointers:
        return self._judged(blkptr.from_bytes(data, "<" if bool(blkptr.is_little(bp)) else ">"), level - 1)

    def preload(self, blocks: dict[tuple[int, int], BpArray]) -> None:
        """Keep indirect blocks that were just written: (level, id) -> their pointers."""
        for (level, blkid), bps in list(blocks.items())[-CACHE_BLOCKS:]:
            self._keep(level, blkid, _Pointers(bps, None))

    def _keep(self, level: int, blkid: int, pointers: _Pointers) -> None:
        with self._lock:
            self._cache[level, blkid] = pointers
            while len(self._cache) > CACHE_BLOCKS:
                del self._cache[next(iter(self._cache))]

    # --- searching ------------------------------------------------------------------------------------------------

    def next_block(self, start: int, *, hole: bool, damaged: DamagedTree | None = None) -> int | None:
        """The first level-0 block at or after ``start`` that is a hole, or that is not; None if there is none.

        Blocks behind the last one that the tree can hold are not looked at.

        Args:
            start: level-0 block id.
            hole: what is looked for.
            damaged: if given, told of indirect blocks that cannot be read, and the search goes on behind them.

        Raises:
            CorruptError: the tree's fill counts lead to nothing, again and again.
        """
        misses = 0

        def descend(level: int, block: _Pointers, base: int) -> int | None:
            nonlocal misses
            bps = block.bps
            span = self._epbs * level
            skip = max((start >> span) - base, 0)
            holes = blkptr.is_hole(bps)
            if level == 0:
                match = holes == hole
            elif hole:
                match = holes | (bps["fill"] != np.uint64(1) << np.uint64(min(span, 63)))
            else:
                match = ~holes & (bps["fill"] != 0)
            for index in (np.flatnonzero(match[skip:]) + skip).tolist():
                blkid = base + index
                if level == 0:
                    return blkid
                if holes[index]:
                    return max(start, blkid << span)
                try:
                    below = self.load(level, blkid, self._slice(block, level, blkid, index, 1)[0])
                except PoolError as error:
                    if damaged is None:
                        raise
                    damaged(blkid << span, 1 << span, error)
                    continue
                found = descend(level - 1, below, blkid << self._epbs)
                if found is not None:
                    return found
                misses += blkid << span >= start
                if misses > MAX_MISSES:
                    raise CorruptError(
                        "the fill counts of an object's block tree are wrong",
                        dataset=self._objset.name or None,
                        object=self._number,
                    )
            return None

        return descend(self._phys.nlevels - 1, self._top, 0)
