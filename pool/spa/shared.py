"""Blocks that may be referred to more than once, deduplicated and cloned ones, in the window that is open.

The tables say how often. Of a window only the entries whose first address lies in it are held; the others are read
past. What a block's first address decides (is it shared, was it met before, how often), only its own window knows.

Source: OpenZFS, zdb.c, ddt.c, brt.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..alloc.addresses import AddressSpace
from ..alloc.bitmap import I64Array
from ..dmu import brt, ddt
from ..dsl.mosobj import zap_of
from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.blkptr import BLKPTR, BpArray
from .extents import first_address
from .mos import OBJECT_DIRECTORY
from .references import Unreadable

if TYPE_CHECKING:
    from .spa import Spa

BoolArray = NDArray[np.bool_]

#: Entries of tables that are held at a time, about 100 bytes each.
ROWS_MAX = 1 << 20
#: Blocks counted wrongly that are kept by their places.
MISCOUNTS_KEPT = 1000

DEDUP, CLONE = 0, 1
_KEY_CRYPT = np.uint64(1 << 39)

_ROW = np.dtype(
    [
        ("key", "<i8"),  # 0   2 * unit of the first address, plus 1 for clones
        ("birth", "<u8"),  # 8   physical
        ("refs", "<i8"),  # 16  references there should be
        ("seen", "<i8"),  # 24  references there were
        ("flat", "<i8"),  # 32  1: the entry's addresses are the block's, whatever its pointer says
        ("dva", "<u8", (3, 2)),  # 40
    ]
)
assert _ROW.itemsize == 88


@dataclass(frozen=True, slots=True)
class Miscount:
    """A shared block with another number of references than its table says."""

    table: str
    vdev: int
    offset: int
    found: int
    counted: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a batch of pointers (arrays of the same length).

    Attributes:
        bps: the pointers, with all the addresses their blocks have.
        dedup, clone: further references to a block that was met before.
        loose: blocks that may be shared, so that another reference may have claimed their further ranges.
    """

    bps: BpArray
    dedup: BoolArray
    clone: BoolArray
    loose: BoolArray

    @property
    def again(self) -> BoolArray:
        """All further references."""
        return self.dedup | self.clone


class SharedBlocks:
    """The tables of a pool.

    Attributes:
        miscounts: blocks found to have more references than counted (``over``) or fewer (``under``).
    """

    def __init__(self, spa: Spa, unreadable: Unreadable) -> None:
        self._unreadable = unreadable
        self._dedup: list[ddt.DedupTable] = []
        self._clones: list[brt.BrtVdev] = []
        self._ranges: dict[int, tuple[BoolArray, int]] = {}
        try:
            directory = zap_of(spa.mos, OBJECT_DIRECTORY, "the object directory")
            self._dedup = ddt.tables(spa.mos, directory)
            self._clones = list(brt.tables(spa.mos, directory))
            self._ranges = {one.vdev: (one.counts() != 0, one.header.range_size) for one in self._clones}
        except PoolError as error:
            unreadable("tables of shared blocks", error)
        self.over: list[Miscount] = []
        self.under: list[Miscount] = []
        self.over_count = self.under_count = 0
        self._rows = np.zeros(0, dtype=_ROW)
        self._space: AddressSpace | None = None

    @property
    def any(self) -> bool:
        """There are such tables."""
        return bool(self._dedup or self._clones)

    def weights(self, space: AddressSpace) -> I64Array:
        """How many entries each chunk of the address space has."""
        result = np.zeros(len(space), dtype=np.int64)
        for rows, vdev, offset in self._read():
            slots = space.slots_of(vdev, offset)
            np.add.at(result, slots[slots >= 0], 1)
            del rows
        return result

    # --- a window -----------------------------------------------------------------------------------------------------

    def open(self, space: AddressSpace) -> Iterator[BpArray]:
        """Hold the entries of the window that is open.

        Gives pointers whose addresses but the first their entries vouch for: whoever refers to such a block may not
        know all of them. Has to be exhausted.
        """
        self._space = space
        parts = [np.zeros(0, dtype=_ROW)]
        for rows, vdev, offset in self._read():
            slots = space.slots_of(vdev, offset)
            here = space.in_window(slots)
            cut = space.cut(vdev[here], offset[here], offset[here] + 1)
            mine = rows[here]
            mine["key"] += 2 * space.units(cut)[0]
            parts.append(mine)
            more = rows["dva"][:, 1, 0] != 0
            if more.any():
                yield _pointers(rows[(rows["flat"] != 0) & more])
        rows = np.concatenate(parts)
        self._rows = rows[np.argsort(rows["key"], kind="stable")]

    def close(self) -> None:
        """Compare what was counted in the window."""
        wrong = np.flatnonzero(self._rows["seen"] != self._rows["refs"])
        rows = self._rows[wrong]
        over = rows["seen"] > rows["refs"]
        self.over_count += int(over.sum())
        self.under_count += int((~over).sum())
        for kept, which in ((self.over, over), (self.under, ~over)):
            kept += [_miscount(row) for row in rows[which][: MISCOUNTS_KEPT - len(kept)]]
        self._rows = np.zeros(0, dtype=_ROW)

    def judge(self, bps: BpArray, counted_only: bool = False) -> Verdict:
        """Count references, and tell which of them are further ones to blocks met before.

        Args:
            bps: the pointers.
            counted_only: these references have no block of their own; they are counted, and that is all.
        """
        none = np.zeros(len(bps), dtype=bool)
        if not self.any or not len(bps):
            return Verdict(bps, none, none, none)
        assert self._space is not None
        vdev, offset = first_address(bps)
        dedup = blkptr.is_dedup(bps) & (vdev >= 0)
        maybe = dedup | self._may_be_cloned(vdev, offset)
        which = np.flatnonzero(maybe)
        if not len(which):
            return Verdict(bps, none, none, none)
        slots = self._space.slots_of(vdev[which], offset[which])
        here = self._space.in_window(slots)
        loose = none.copy()
        loose[which[~here & (slots >= 0)]] = True
        which = which[here]
        row, known = self._find(bps[which], vdev[which], offset[which], dedup[which])
        which, row = which[known], row[known]
        loose[which] = True
        again = none.copy()
        if len(which):
            met = self._rows["seen"][row] > 0
            _, first = np.unique(row, return_index=True)
            repeated = np.ones(len(row), dtype=bool)
            repeated[first] = False
            np.add.at(self._rows["seen"], row, 1)
            again[which] = met | repeated
            if counted_only:
                return Verdict(bps, none, none, none)
            bps = self._complete(bps, which, row)
        return Verdict(bps, again & dedup, again & ~dedup, loose)

    def _find(
        self, bps: BpArray, vdev: I64Array, offset: I64Array, dedup: BoolArray
    ) -> tuple[I64Array, BoolArray]:
        """The row of each pointer, and whether it has one. What a dedup table no longer has may be cloned."""
        assert self._space is not None
        cut = self._space.cut(vdev, offset, offset + 1)
        units = self._space.units(cut)[0]
        row = np.zeros(len(bps), dtype=np.int64)
        known = np.zeros(len(bps), dtype=bool)
        if not len(self._rows):
            return row, known
        for kind in (DEDUP, CLONE):
            key = 2 * units + kind
            at = np.minimum(np.searchsorted(self._rows["key"], key), len(self._rows) - 1)
            hit = (self._rows["key"][at] == key) & ~known
            if kind == DEDUP:
                hit &= dedup & (self._rows["birth"][at] == blkptr.physical_birth(bps))
            row[hit] = at[hit]
            known |= hit
        return row, known

    def _complete(self, bps: BpArray, which: I64Array, row: I64Array) -> BpArray:
        """Pointers with the addresses of their entries, where these have more."""
        flat = self._rows["flat"][row] != 0
        which, dva = which[flat], self._rows["dva"][row[flat]]
        if not len(which):
            return bps
        sealed = blkptr.is_sealed(bps[which])
        dva[sealed, 2] = bps["dva"][which[sealed], 2]
        result = bps.copy()
        result["dva"][which] = dva
        return result

    def _may_be_cloned(self, vdev: I64Array, offset: I64Array) -> BoolArray:
        result = np.zeros(len(vdev), dtype=bool)
        for number, (used, size) in self._ranges.items():
            here = np.flatnonzero(vdev == number)
            index = offset[here] // size
            inside = index < len(used)
            result[here[inside]] = used[index[inside]]
        return result

    # --- tables -------------------------------------------------------------------------------------------------------

    def _read(self) -> Iterator[tuple[np.ndarray, I64Array, I64Array]]:
        """(rows, vdev, offset of the first address) of all entries, in batches."""
        for table in self._dedup:
            try:
                for entries in table.batches():
                    rows = np.zeros(len(entries), dtype=_ROW)
                    for name, column in (("birth", "birth"), ("refs", "refcount"), ("dva", "dva")):
                        rows[name] = entries[column]
                    # Of an encrypted block the third address is none.
                    rows["dva"][entries["key"]["prop"] & _KEY_CRYPT != 0, 2] = 0
                    rows["flat"] = table.flat
                    yield rows, *first_address(_pointers(rows))
            except PoolError as error:
                self._unreadable(f"dedup table of {table.checksum}", error)
        for clones in self._clones:
            try:
                for offsets, further in clones.batches():
                    rows = np.zeros(len(offsets), dtype=_ROW)
                    rows["key"] = CLONE
                    rows["refs"] = np.minimum(further, np.uint64(1 << 62)).astype(np.int64) + 1
                    rows["dva"][:, 0, 0] = np.uint64(clones.vdev) << np.uint64(32)
                    rows["dva"][:, 0, 1] = offsets >> np.uint64(9)
                    offset = np.minimum(offsets, np.uint64(1 << 62)).astype(np.int64)
                    yield rows, np.full(len(rows), clones.vdev, dtype=np.int64), offset
            except PoolError as error:
                self._unreadable(f"block reference table of vdev {clones.vdev}", error)


def _pointers(rows: np.ndarray) -> BpArray:
    """Block pointers with the addresses and births of rows, and nothing else."""
    result = np.zeros(len(rows), dtype=BLKPTR)
    result["dva"] = rows["dva"]
    result["birth"] = rows["birth"]
    return result


def _miscount(row: np.void) -> Miscount:
    pointer = _pointers(np.array([row], dtype=_ROW))
    vdev, offset = first_address(pointer)
    table = "clones" if int(row["key"]) & 1 else "dedup"
    return Miscount(table, int(vdev[0]), int(offset[0]), int(row["seen"]), int(row["refs"]))
