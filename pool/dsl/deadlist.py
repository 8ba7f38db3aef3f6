"""Deadlists: the blocks a dataset's predecessor references and it does not, sorted by birth into ranges of txgs.

The newer form (pool version 26 on) is a ZAP: hexadecimal txg -> list of the dead blocks born after that txg and up to
the next key, whose sums the list's header keeps. The older form is a single list of blocks. A clone's livelist has
the newer form too.

Source: OpenZFS, dsl_deadlist.c.

Invariants: ranges come in the order of their txgs and do not overlap; ``total`` is the sum of all ranges.
"""

from __future__ import annotations

from functools import cached_property

from ..dmu.bpobj import Bpobj
from ..dmu.bpsizes import Dsize, Sizes, allocated_size, sizes_of
from ..dmu.objset import Objset
from ..errors import CorruptError, NotFoundError
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import decode_deadlist
from .mosobj import numbers, object_of

TXG_MAX = (1 << 64) - 1


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
    def total(self) -> Sizes:
        """Sums over all dead blocks."""
        if self.old_format:
            return self._sums(self.number)
        phys = decode_deadlist(self._dnode.bonus, self._dnode.order)
        return Sizes(phys.used, phys.comp, phys.uncomp)

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

    def space(self, low: int, high: int = TXG_MAX) -> Sizes:
        """Sums over the blocks born after txg ``low`` and up to ``high``.

        In the newer form whole ranges count: every range that begins at ``low`` or later and before ``high``.
        """
        if self.old_format:
            return self._space_by_block(low, high)
        total = Sizes()
        for mintxg, number in self.entries.items():
            if low <= mintxg < high:
                total += self._sums(number)
        return total

    def blocks(self) -> Bpobj:
        """The list of blocks, in the older form."""
        return Bpobj(self._mos, self.number)

    def _sums(self, number: int) -> Sizes:
        try:
            header = Bpobj(self._mos, number).header
        except NotFoundError:
            raise CorruptError("a deadlist names a list that is missing", object=number) from None
        return Sizes(header.bytes, header.comp, header.uncomp)

    def _space_by_block(self, low: int, high: int) -> Sizes:
        if low == 0 and high == TXG_MAX:
            return self.total
        total = Sizes()
        for batch in self.blocks().batches():
            births = batch["birth"]
            total += sizes_of(batch[(births > low) & (births <= high)], self._dsize)
        return total
