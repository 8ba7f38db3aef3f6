"""Lists of block pointers in the MOS: what was freed, what is dead in a snapshot, what lives in a clone.

A list is an array of block pointers, and other lists it has taken over whole. Sub-lists form a tree: a list met twice
is corruption, and so is a pointer that points nowhere.

Source: OpenZFS, bpobj.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptError, LimitError, NotFoundError
from ..ondisk import blkptr
from ..ondisk import bpobj as ondisk_bpobj
from ..ondisk.blkptr import BLKPTR_SIZE, BpArray
from ..ondisk.dmutypes import ObjectType

if TYPE_CHECKING:
    from .dnode import Dnode
    from .objset import Objset

#: Sub-lists held in memory at a time while a tree of lists is walked; each is one number.
MAX_LISTS = 1 << 24


class Bpobj:
    """A list of block pointers.

    Args:
        mos: the object set it lies in.
        number: its object number.

    Raises:
        NotFoundError: no such object. CorruptError: it is something else, or its header makes no sense.
    """

    def __init__(self, mos: Objset, number: int) -> None:
        self._mos = mos
        self.number = number
        dnode = mos.dnode(number)
        if dnode.bonustype != ObjectType.BPOBJ_HDR:
            raise CorruptError(
                "an object is not a list of block pointers", object=number, bonus_type=dnode.bonustype
            )
        self._dnode = dnode
        self.header = ondisk_bpobj.decode(dnode.bonus, dnode.order)
        _check_room(dnode, self.header.num_blkptrs, BLKPTR_SIZE)

    def __repr__(self) -> str:
        return f"<Bpobj {self.number}: {self.header}>"

    def own_batches(self) -> Iterator[BpArray]:
        """Its own block pointers, without those of its sub-lists, oldest first.

        Raises:
            CorruptError: an entry is empty.
        """
        left = self.header.num_blkptrs
        per_block = self._dnode.datablksz // BLKPTR_SIZE
        for data, order in self._dnode.blocks(range(-(-left // per_block))):
            bps = blkptr.from_bytes(data, order)[:left]
            if (bps["prop"] == 0).any():
                raise CorruptError("a list of block pointers has empty entries", object=self.number)
            left -= len(bps)
            yield bps

    def sublists(self) -> list[int]:
        """Object numbers of its sub-lists.

        Raises:
            CorruptError: their array is missing or too short.
        """
        count, number = self.header.num_subobjs, self.header.subobjs
        if not count or not number:
            return []
        try:
            dnode = self._mos.dnode(number)
        except NotFoundError:
            raise CorruptError("a list of block pointers lacks its sub-lists", object=self.number) from None
        if count > MAX_LISTS:
            raise LimitError("a list of block pointers has too many sub-lists", object=self.number, count=count)
        _check_room(dnode, count, 8)
        per_block = dnode.datablksz // 8
        result: list[int] = []
        for data, order in dnode.blocks(range(-(-count // per_block))):
            result += np.frombuffer(data, dtype=order + "u8").tolist()
        return result[:count]

    def lists(self) -> Iterator[Bpobj]:
        """This list and all below it, each once.

        Raises:
            CorruptError: a sub-list is missing, or stands in the tree twice.
        """
        seen = {self.number}
        pending: list[Bpobj | int] = [self]
        while pending:
            item = pending.pop()
            if isinstance(item, int):
                try:
                    item = Bpobj(self._mos, item)
                except NotFoundError:
                    raise CorruptError("a sub-list of block pointers is missing", object=item) from None
            yield item
            for number in reversed(item.sublists()):
                if number in seen:
                    raise CorruptError("a list of block pointers is part of two lists, or of itself", object=number)
                if len(seen) >= MAX_LISTS:
                    raise LimitError("too many lists of block pointers in one", object=self.number)
                seen.add(number)
                pending.append(number)

    def batches(self) -> Iterator[BpArray]:
        """All block pointers, those of sub-lists included, in batches.

        What is not needed to free a block is not kept in them: no fill counts, mostly no checksums, and of embedded
        ones no data.
        """
        for one in self.lists():
            yield from one.own_batches()


def _check_room(dnode: Dnode, count: int, size: int) -> None:
    if count * size > dnode.size:
        raise CorruptError(
            "a list is longer than the object that holds it", object=dnode.number, entries=count, bytes=dnode.size
        )
