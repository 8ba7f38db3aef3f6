"""Deadlists: the blocks a dataset's predecessor references and it does not, sorted by birth into ranges of txgs.

The newer form (pool version 26 on) is a ZAP: hexadecimal txg -> list of the dead blocks born after that txg and up to
the next key, whose sums the list's header keeps. The older form is a single list of blocks. A clone's livelist has
the newer form too.

Source: OpenZFS, dsl_deadlist.c.

Invariants: ranges come in the order of their txgs and do not overlap; ``total`` is the sum of all ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..dmu.bpobj import Bpobj
from ..dmu.objset import Objset
from ..errors import CorruptError, NotFoundError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray, U64Array
from ..ondisk.dmutypes import METADATA, ObjectType
from ..ondisk.dsl import decode_deadlist
from .mosobj import numbers, object_of

TXG_MAX = (1 << 64) - 1

#: Bytes a batch of block pointers is charged with. The default is exact where no raidz or draid takes part.
Dsize = Callable[[BpArray], U64Array]


@dataclass(frozen=True, slots=True)
class Space:
    """Sums over blocks, in bytes: as charged, as stored, and as their content is long."""

    used: int = 0
    comp: int = 0
    uncomp: int = 0

    def __add__(self, other: Space) -> Space:
        return Space(self.used + other.used, self.comp + other.comp, self.uncomp + other.uncomp)


def allocated_size(bps: BpArray) -> U64Array:
    """Sum of the allocated sizes of all copies; 0 for embedded blocks."""
    total: U64Array = blkptr.dva_asize(bps).sum(axis=-1, dtype=np.uint64)
    return np.where(blkptr.is_embedded(bps), np.uint64(0), total)


def space_of(bps: BpArray, dsize: Dsize = allocated_size) -> Space:
    """Sums over a batch of block pointers.

    Metadata counts as long as it is stored. An embedded block takes no space and is not stored, but has a length.
    """
    if len(bps) == 0:
        return Space()
    embedded = blkptr.is_embedded(bps)
    metadata = (blkptr.level(bps) > 0) | METADATA[blkptr.object_type(bps).astype(np.intp)]
    stored = np.where(embedded, np.uint64(0), blkptr.psize(bps))
    length = np.where(metadata, stored, blkptr.lsize(bps))
    there = ~blkptr.is_hole(bps)
    sums = [int(part[there].sum(dtype=np.uint64)) for part in (dsize(bps), stored, length)]
    return Space(*sums)


class Deadlist:
    """A deadlist or livelist, read only."""

    def __init__(self, mos: Objset, number: int, dsize: Dsize = allocated_size) -> None:
        """Open the object ``number`` of the MOS.

        Raises:
            CorruptError: it is neither form of a deadlist.
        """
        self._mos = mos
        self._dsize = dsize
        self.number = number
        dnode = object_of(mos, number, "a deadlist")
        self.old_format = dnode.bonustype == ObjectType.BPOBJ_HDR
        if not self.old_format and dnode.bonustype != ObjectType.DEADLIST_HDR:
            raise CorruptError(
                f"object {number} of the MOS is not a deadlist",
                "the pool is damaged",
                bonus_type=dnode.bonustype,
            )
        self._dnode = dnode

    @cached_property
    def total(self) -> Space:
        """Sums over all dead blocks."""
        if self.old_format:
            return self._sums(self.number)
        phys = decode_deadlist(self._dnode.bonus, self._dnode.order)
        return Space(phys.used, phys.comp, phys.uncomp)

    @property
    def used(self) -> int:
        """Bytes all dead blocks are charged with."""
        return self.total.used

    @property
    def compressed(self) -> int:
        """Bytes stored in all dead blocks."""
        return self.total.comp

    @property
    def uncompressed(self) -> int:
        """Bytes the content of all dead blocks is long."""
        return self.total.uncomp

    @cached_property
    def entries(self) -> dict[int, int]:
        """Lists of blocks by the txg after which their blocks were born, rising. The older form has one, from 0.

        Raises:
            CorruptError: a key is not a hexadecimal number.
        """
        if self.old_format:
            return {0: self.number}
        found: dict[int, int] = {}
        for name, number in numbers(self._mos, self.number, "a deadlist").items():
            try:
                found[int(name, 16)] = number
            except ValueError:
                raise CorruptError(f"deadlist key {name!r} is not a txg", object=self.number) from None
        return dict(sorted(found.items()))

    def space(self, low: int, high: int = TXG_MAX) -> Space:
        """Sums over the blocks born after txg ``low`` and up to ``high``.

        In the newer form whole ranges count: every range that begins at ``low`` or later and before ``high``.
        """
        if self.old_format:
            return self._space_by_block(low, high)
        total = Space()
        for mintxg, number in self.entries.items():
            if low <= mintxg < high:
                total += self._sums(number)
        return total

    def blocks(self) -> Bpobj:
        """The list of blocks, in the older form."""
        return Bpobj(self._mos, self.number)

    def _sums(self, number: int) -> Space:
        try:
            header = Bpobj(self._mos, number).header
        except NotFoundError:
            raise CorruptError("a deadlist names a list that is missing", object=number) from None
        return Space(header.bytes, header.comp, header.uncomp)

    def _space_by_block(self, low: int, high: int) -> Space:
        if low == 0 and high == TXG_MAX:
            return self.total
        total = Space()
        for batch in self.blocks().batches():
            births = batch["birth"]
            total += space_of(batch[(births > low) & (births <= high)], self._dsize)
        return total
