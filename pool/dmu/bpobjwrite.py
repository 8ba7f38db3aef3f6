"""Lists of block pointers, open for writing: pointers are appended in batches and taken back from the end.

What is not needed to free a block is not stored, so that the list compresses well: no fill counts, no checksums
(except of blocks in a dedup table, which are found by them), and of embedded blocks no data.

A list takes over another one whole: a short one is copied, a long one becomes a sub-list. The sums of a list include
those of its sub-lists. A list without anything that is shared by many (feature empty_bpobj) is its users' business: it
must never be appended to.

Layout: ondisk/bpobj.py. Source: OpenZFS, bpobj.c.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, UnsupportedError, UsageError
from ..ondisk import blkptr
from ..ondisk import bpobj as ondisk_bpobj
from ..ondisk.blkptr import BLKPTR, BLKPTR_SIZE, BpArray
from ..ondisk.bpobj import SIZE_V2, SIZE_V3, BpobjHeader
from ..ondisk.dmutypes import ObjectType
from .bpobj import Bpobj
from .bpsizes import Sizes, sizes_of

if TYPE_CHECKING:
    from .mutable import MutableDnode
    from .mutableobjset import MutableObjset

BLOCK_SIZE = 128 << 10
#: Pointers read at a time when they are taken back.
BATCH = 1 << 16



def stored_form(bps: BpArray, freed: NDArray[np.bool_] | None = None) -> BpArray:
    """Block pointers as lists keep them."""
    kept = np.array(bps, dtype=BLKPTR, copy=True)
    embedded = blkptr.is_embedded(bps)
    bare = np.zeros(int(embedded.sum()), dtype=BLKPTR)
    bare["prop"], bare["birth"] = kept["prop"][embedded], kept["birth"][embedded]
    kept["cksum"][~blkptr.is_dedup(bps)] = 0
    kept["fill"] = 0
    kept[embedded] = bare
    if freed is not None:
        kept["fill"] = freed
    return kept


class MutableBpobj(Bpobj):
    """A list of block pointers that can be changed, inside of transactions.

    Args:
        mos: the object set it lies in. number: its object.

    Raises:
        as ``Bpobj``.
    """

    _mos: MutableObjset
    _dnode: MutableDnode

    def __init__(self, mos: MutableObjset, number: int) -> None:
        super().__init__(mos, number)
        self._version = self._dnode.version

    def refresh(self) -> BpobjHeader:
        """The header as it is now, whoever changed it."""
        if self._version != self._dnode.version:
            super().__init__(self._mos, self.number)
            self._version = self._dnode.version
        return self.header

    def _set(self, header: BpobjHeader) -> None:
        self._dnode.set_bonus(ondisk_bpobj.encode(header, len(self._dnode.bonus)))
        self.header, self._version = header, self._dnode.version

    @property
    def is_empty(self) -> bool:
        """No pointers, no sub-lists."""
        header = self.refresh()
        return not header.num_blkptrs and not (header.num_subobjs and header.subobjs)

    @property
    def _size(self) -> int:
        return len(self._dnode.bonus)

    # --- appending ------------------------------------------------------------------------------------------------

    def append(self, bps: BpArray, freed: NDArray[np.bool_] | None = None) -> Sizes:
        """Append block pointers.

        Args:
            bps: any number; no holes.
            freed: in a list of live blocks: those that are FREE records.

        Returns:
            What they add to the list's sums.

        Raises:
            UsageError: a hole, or FREE records in a list that cannot have any.
        """
        header = self.refresh()
        if not len(bps):
            return Sizes()
        if (bps["prop"] == 0).any() or blkptr.is_hole(bps).any():
            raise UsageError("a hole cannot be put on a list of block pointers", object=self.number)
        count = 0 if freed is None else int(freed.sum())
        if count and self._size < SIZE_V3:
            raise UsageError("this list of block pointers has no FREE records", object=self.number)
        sums = sizes_of(bps, self._mos.dsize, freed)
        self._dnode.write(header.num_blkptrs * BLKPTR_SIZE, blkptr.to_bytes(stored_form(bps, freed)))
        self._add(header, sums, pointers=len(bps), freed=count)
        return sums

    def _add(
        self, header: BpobjHeader, sums: Sizes, *, pointers: int = 0, freed: int = 0, lists: int = 0, subobjs: int = 0
    ) -> None:
        """Change the header's figures; without room for sums they are left out."""
        has_sums = header.has_sums
        changed = replace(
            header,
            num_blkptrs=header.num_blkptrs + pointers,
            bytes=self._sum(header.bytes, sums.used),
            comp=self._sum(header.comp, sums.comp) if has_sums else 0,
            uncomp=self._sum(header.uncomp, sums.uncomp) if has_sums else 0,
            subobjs=subobjs or header.subobjs,
            num_subobjs=header.num_subobjs + lists,
            num_freed=header.num_freed + freed,
        )
        self._set(changed)

    def _sum(self, before: int, change: int) -> int:
        after = before + change
        # Sizes of lists of live blocks may be negative for a while: they are 64 bits, in two's complement.
        if after < 0 and self._size < SIZE_V3:
            raise CorruptError("a list of block pointers holds more than it says", object=self.number, sum=before)
        return after & 0xFFFFFFFFFFFFFFFF

    def take_over(self, number: int) -> bool:
        """Append all that another list holds; that one is no list of its own any more.

        Args:
            number: its object, which must not be shared with anyone.

        Returns:
            Whether its object is gone: it was empty, or short enough to be copied.

        Raises:
            UnsupportedError: this list is of a pool too old for sub-lists.
        """
        header = self.refresh()
        other = MutableBpobj(self._mos, number)
        if other.number == self.number:
            raise UsageError("a list of block pointers cannot take over itself", object=self.number)
        if other.is_empty:
            other.free()
            return True
        if self._size < SIZE_V2:
            raise UnsupportedError("lists of block pointers of this pool version have no sub-lists", object=self.number)
        theirs = other.header
        sums = Sizes(theirs.bytes, theirs.comp, theirs.uncomp)
        lists, copied = [number], 0
        if self._is_short(other):
            lists, copied = other.sublists(), theirs.num_blkptrs
        if lists:
            self._append_lists(lists)
            header = self.header
        if copied:
            bps = np.concatenate(list(other.own_batches()))
            self._dnode.write(header.num_blkptrs * BLKPTR_SIZE, blkptr.to_bytes(bps))
        absorbed = lists != [number]
        self._add(header, sums, pointers=copied, freed=theirs.num_freed if absorbed else 0)
        if absorbed:
            if theirs.subobjs:
                self._mos.free(theirs.subobjs)
            self._mos.free(number)
        return absorbed

    def _is_short(self, other: MutableBpobj) -> bool:
        """Its pointers and its sub-lists fit into one block each. Lists with FREE records are only copied into such."""
        theirs = other.header
        if theirs.num_freed and self._size < SIZE_V3:
            return False
        lists = theirs.num_subobjs if theirs.subobjs else 0
        return theirs.num_blkptrs * BLKPTR_SIZE <= other._dnode.datablksz and lists * 8 <= BLOCK_SIZE

    def _append_lists(self, numbers: list[int]) -> None:
        header = self.header
        subobjs = header.subobjs
        count = header.num_subobjs if subobjs else 0
        if not subobjs:
            subobjs = self._mos.allocate(ObjectType.BPOBJ_SUBOBJ, block_size=BLOCK_SIZE).number
        self._mos.dnode(subobjs).write(8 * count, np.array(numbers, dtype="<u8").tobytes())
        self._set(replace(header, subobjs=subobjs, num_subobjs=count + len(numbers)))

    # --- taking back ----------------------------------------------------------------------------------------------

    def take(self, limit: int) -> BpArray:
        """Remove up to ``limit`` block pointers from the end and give them: first its own, then those of its last
        sub-list, and so on. Sub-lists that have become empty are freed. Fewer than ``limit``: the list is empty now.

        Raises:
            CorruptError: the list and its sub-lists do not fit together.
        """
        path: list[MutableBpobj] = [self]
        taken: list[BpArray] = []
        left = limit
        while left > 0:
            here = path[-1]
            header = here.refresh()
            if header.num_blkptrs:
                bps = here._cut(min(left, header.num_blkptrs, BATCH), path[:-1])
                taken.append(bps)
                left -= len(bps)
            elif header.num_subobjs and header.subobjs:
                path.append(here._open_last({one.number for one in path}))
            elif len(path) == 1:
                break
            else:
                path.pop()
                path[-1]._drop_last()
                self._mos.free(here.number)
        return np.concatenate(taken) if taken else np.zeros(0, dtype=BLKPTR)

    def _cut(self, count: int, above: list[MutableBpobj]) -> BpArray:
        """Cut off the last ``count`` of its own pointers; its figures and those of the lists above go down."""
        dnode, header = self._dnode, self.header
        first = header.num_blkptrs - count
        per_block = dnode.datablksz // BLKPTR_SIZE
        blkids = range(first // per_block, -(-header.num_blkptrs // per_block))
        data = b"".join(bytes(block) for block, _ in self._little(blkids))
        at = (first - blkids.start * per_block) * BLKPTR_SIZE
        bps = np.frombuffer(data, dtype=BLKPTR, count=count, offset=at).copy()
        if (bps["prop"] == 0).any():
            raise CorruptError("a list of block pointers has empty entries", object=self.number)
        freed = bps["fill"] & np.uint64(1) != 0 if header.num_freed else None
        gone = 0 if freed is None else int(freed.sum())
        less = -sizes_of(bps, self._mos.dsize, freed)
        self._add(header, less, pointers=-count, freed=-gone)
        for one in above:
            one._add(one.refresh(), less)
        keep = -(-first // per_block)
        if keep <= dnode.maxblkid:
            dnode.free_range(keep, dnode.maxblkid + 1 - keep)
        return bps

    def _little(self, blkids: range) -> list[tuple[bytes | memoryview, str]]:
        blocks = list(self._dnode.blocks(blkids))
        if any(order != "<" for _, order in blocks):
            raise UnsupportedError("a list written by a big-endian host cannot be changed", object=self.number)
        return blocks

    def _open_last(self, above: set[int]) -> MutableBpobj:
        number = self.sublists()[-1]
        if number in above:
            raise CorruptError("a list of block pointers is part of two lists, or of itself", object=number)
        return MutableBpobj(self._mos, number)

    def _drop_last(self) -> None:
        """The last sub-list is gone."""
        header = self.refresh()
        left = header.num_subobjs - 1
        if not left:
            self._mos.free(header.subobjs)
        self._set(replace(header, num_subobjs=left, subobjs=header.subobjs if left else 0))

    def free(self) -> None:
        """Free this list and all below it, whatever they hold."""
        doomed = []
        for one in self.lists():
            doomed.append(one.number)
            if one.header.subobjs:
                doomed.append(one.header.subobjs)
        for number in doomed:
            self._mos.free(number)


def create_bpobj(
    mos: MutableObjset, *, block_size: int = BLOCK_SIZE, bonus_size: int = SIZE_V2, compress: int = 0
) -> MutableBpobj:
    """A new, empty list.

    Args:
        mos: where it will lie.
        block_size: of its data.
        bonus_size: of its header, one of the SIZE constants of ondisk/bpobj.py: V3 for lists of live blocks, less for
            pools too old for sub-lists (V1) or for sums (V0).
        compress: of its blocks; 0: as the object set says.
    """
    bonus = ondisk_bpobj.encode(BpobjHeader(0, 0), bonus_size)
    dnode = mos.allocate(
        ObjectType.BPOBJ, block_size=block_size, bonus_type=ObjectType.BPOBJ_HDR, bonus=bonus, compress=compress
    )
    return MutableBpobj(mos, dnode.number)
