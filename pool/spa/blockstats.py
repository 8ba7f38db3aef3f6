"""Counting block pointers: by type and level, by size, by what is special about them.

Sizes are bytes: logical, physical (stored), allocated (all copies and parity; of a gang block with its headers).
Every reference counts, also further ones to a block that is shared.

Source: OpenZFS, zdb.c (its types beyond those of objects, its histograms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..alloc.bitmap import I64Array
from ..ondisk import blkptr, dmutypes
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import LAST_LEGACY, METADATA, NEW_TYPE

BoolArray = NDArray[np.bool_]

#: Rows beyond the object types: blocks that wait to be freed, an obsolete kind of dedup block, types numbered freely.
DEFERRED = LAST_LEGACY + 1
DITTO = DEFERRED + 1
OTHER = DITTO + 1
TYPES = OTHER + 1
LEVELS = 32
NAMES = (*(dmutypes.type_info(n).text for n in range(LAST_LEGACY + 1)), "deferred free", "dedup ditto", "other")
assert len(NAMES) == TYPES

#: Columns of the counts.
COUNT, LSIZE, PSIZE, ASIZE, GANGS, SAME_VDEV, SAME_METASLAB = range(7)
COLUMNS = 7
#: Blocks are told apart by stored sectors up to this many; larger ones are one bucket.
SECTORS = 257
#: log2 of the largest size histograms know.
LOG_MAX = 40
EMBEDDED_TYPES = 256


@dataclass(frozen=True, slots=True)
class Totals:
    """One line of the statistics."""

    count: int
    lsize: int
    psize: int
    asize: int
    gangs: int
    same_vdev: int
    same_metaslab: int


class BlockStats:
    """Sums over block pointers.

    Args:
        metaslab_shifts: of each top-level vdev log2 of its metaslabs' size, to tell copies that lie in one.
        sectors: also keep how many blocks of each stored size there are, by type and level.

    Attributes:
        sizes: arrays (3, 2, LOG_MAX + 1): physical, logical, allocated; count and bytes; by log2 of the size.
        embedded: blocks that lie in their pointers, by embedded type and stored length.
    """

    def __init__(self, metaslab_shifts: list[int], *, sectors: bool = False) -> None:
        self._shifts = np.array([*metaslab_shifts, 63], dtype=np.uint64)
        self._sums = np.zeros((LEVELS, TYPES, COLUMNS), dtype=np.int64)
        self._sectors: dict[int, int] | None = {} if sectors else None
        self.sizes = np.zeros((3, 2, LOG_MAX + 1), dtype=np.int64)
        self.embedded = np.zeros((EMBEDDED_TYPES, blkptr.EMBEDDED_MAX + 17), dtype=np.int64)

    def add(self, bps: BpArray, *, deferred: bool = False) -> None:
        """Count pointers, none of them a hole."""
        if not len(bps):
            return
        kind = blkptr.object_type(bps).astype(np.int64)
        kind[kind >= NEW_TYPE] = OTHER
        kind[kind > OTHER] = OTHER
        if deferred:
            kind[:] = DEFERRED
        level = np.minimum(blkptr.level(bps).astype(np.int64), LEVELS - 1)
        key = level * TYPES + kind
        embedded = blkptr.is_embedded(bps)
        asizes = np.where(embedded[:, None], np.uint64(0), blkptr.dva_asize(bps))
        asize = asizes.sum(axis=1).astype(np.int64)
        # A block in its pointer has nothing stored elsewhere.
        psize = np.where(embedded, np.uint64(0), blkptr.psize(bps)).astype(np.int64)
        lsize = blkptr.lsize(bps).astype(np.int64)
        there = asizes != 0
        gangs = ((bps["dva"][:, :, 1] >> np.uint64(63) != 0) & there).sum(axis=1)
        same_vdev, same_metaslab = self._dittos(bps, there)
        used, place = np.unique(key, return_inverse=True)
        rows = self._sums.reshape(-1, COLUMNS)
        for column, values in enumerate((None, lsize, psize, asize, gangs, same_vdev, same_metaslab)):
            rows[used, column] += _sums(place.reshape(-1), values, len(used))
        if self._sectors is not None:
            self._count_sectors(key, psize)
        self._histograms(bps, embedded, psize, lsize, asize)

    def _dittos(self, bps: BpArray, there: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Which blocks have copies on one vdev, and in one metaslab of it."""
        vdev = blkptr.dva_vdev(bps)
        shift = self._shifts[np.minimum(vdev, np.uint64(len(self._shifts) - 1)).astype(np.int64)]
        metaslab = blkptr.dva_offset(bps) >> shift
        same_vdev, same_metaslab = np.zeros(len(bps), dtype=bool), np.zeros(len(bps), dtype=bool)
        for one, other in ((0, 1), (0, 2), (1, 2)):
            both = there[:, one] & there[:, other] & (vdev[:, one] == vdev[:, other])
            same_vdev |= both
            same_metaslab |= both & (metaslab[:, one] == metaslab[:, other])
        return same_vdev, same_metaslab

    def _histograms(
        self, bps: BpArray, embedded: BoolArray, psize: I64Array, lsize: I64Array, asize: I64Array
    ) -> None:
        if embedded.any():
            etype = blkptr.checksum(bps[embedded]).astype(np.int64)
            np.add.at(self.embedded, (etype, blkptr.psize(bps[embedded]).astype(np.int64)), 1)
        stored = ~embedded
        for table, sizes in zip(self.sizes, (psize[stored], lsize[stored], asize[stored])):
            # The exponent of a float is exact for whole numbers of this size.
            bucket = np.clip(np.frexp(sizes.astype(np.float64))[1] - 1, 0, LOG_MAX)
            table[0] += _sums(bucket, None, LOG_MAX + 1)
            table[1] += _sums(bucket, sizes, LOG_MAX + 1)

    def _count_sectors(self, key: I64Array, psize: I64Array) -> None:
        assert self._sectors is not None
        sectors = np.minimum(psize >> 9, SECTORS)
        found, counts = np.unique(key * (SECTORS + 1) + sectors, return_counts=True)
        for place, count in zip(found.tolist(), counts.tolist()):
            self._sectors[place] = self._sectors.get(place, 0) + count

    # --- results ------------------------------------------------------------------------------------------------------

    @property
    def total(self) -> Totals:
        """All blocks."""
        return _totals(self._sums.sum(axis=(0, 1)))

    def of(self, kind: int, level: int | None = None) -> Totals:
        """Blocks of a type (or row beyond the types), on all levels or one."""
        return _totals(self._sums[:, kind].sum(axis=0) if level is None else self._sums[level, kind])

    def at_level(self, level: int) -> Totals:
        """Blocks of all types on one level."""
        return _totals(self._sums[level].sum(axis=0))

    def metadata(self) -> Totals:
        """Blocks of metadata types, and all above level 0; freely numbered types are left out."""
        legacy = self._sums[:, : LAST_LEGACY + 1]
        plain = METADATA[: LAST_LEGACY + 1]
        # Lines without a byte allocated are not shown, and so not summed up.
        shown = legacy * (legacy[:, :, ASIZE] > 0)[:, :, None]
        return _totals(shown[1:].sum(axis=(0, 1)) + shown[0, plain].sum(axis=0))

    def sectors(self, kind: int | None, level: int | None = None) -> list[int]:
        """How many blocks have 0, 1, 2 ... sectors stored; the last: more than that. Empty unless it was asked for."""
        result = [0] * (SECTORS + 1)
        for place, count in (self._sectors or {}).items():
            key, bucket = divmod(place, SECTORS + 1)
            row_level, row_kind = divmod(key, TYPES)
            if kind in (None, row_kind) and level in (None, row_level):
                result[bucket] += count
        return result if self._sectors is not None else []


def _sums(place: I64Array, values: I64Array | BoolArray | None, count: int) -> I64Array:
    """The sum of the values (or their number) at each place. A batch's sums are far below 2^53, where floats end."""
    result: I64Array = np.bincount(place, weights=values, minlength=count).astype(np.int64)
    return result


def _totals(row: I64Array) -> Totals:
    return Totals(*(int(value) for value in row))
