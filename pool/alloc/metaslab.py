"""Metaslabs: the pieces that a top-level vdev's address space is cut into, each with its own space map.

Source: OpenZFS, metaslab.c, vdev.c, vdev_draid.c (``vdev_draid_metaslab_init``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError
from .ranges import RangeSet

MIN_SHIFT, MAX_SHIFT = 17, 44  # the smallest: a block of 128 KiB, in pools of 2006
MAX_METASLABS = 1 << 18  # OpenZFS makes no more than half as many

#: Choosing a size for a new vdev: about 200 metaslabs of 512 MiB, within these bounds.
DEFAULT_SHIFT = 29
FEWEST, MOST = 16, 200
SMALLEST_SHIFT, LARGEST_SHIFT = 24, 34
UPPER_LIMIT = 1 << 17

U64Array = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the metaslabs of one vdev lie (bytes).

    ``starts`` and ``sizes`` are of the usable part of each: where blocks have to begin at multiples of a whole row
    (draid), what lies before the first row and behind the last is not used.
    """

    shift: int
    starts: U64Array
    sizes: U64Array

    def __len__(self) -> int:
        return len(self.starts)


def geometry(asize: int, shift: int, stripe: int = 1, **where: Any) -> Geometry:
    """Cut an address space.

    Args:
        asize: its bytes.
        shift: log2 of a metaslab's size, from the configuration.
        stripe: bytes that blocks are aligned to, if that is more than a sector; else 1.

    Raises:
        CorruptError: an impossible shift. LimitError: too many metaslabs.
    """
    if not MIN_SHIFT <= shift <= MAX_SHIFT:
        raise CorruptError("a vdev's metaslabs have an impossible size", shift=shift, **where)
    count = asize >> shift
    if count > MAX_METASLABS:
        raise LimitError("a vdev has too many metaslabs", count=count, **where)
    begins = np.arange(count, dtype=np.uint64) << np.uint64(shift)
    row = np.uint64(max(stripe, 1))
    starts = (begins + row - np.uint64(1)) // row * row
    ends = begins + np.uint64(1 << shift)
    sizes = np.where(starts < ends, (ends - starts) // row * row, np.uint64(0))
    return Geometry(shift, starts, sizes)


def choose_shift(asize: int) -> int:
    """log2 of the metaslab size for a new vdev of ``asize`` bytes, as OpenZFS chooses it."""
    count = asize >> DEFAULT_SHIFT
    if count < FEWEST:
        shift = (asize // FEWEST).bit_length()
    elif count > MOST:
        shift = (asize // MOST).bit_length()
    else:
        shift = DEFAULT_SHIFT
    if shift < SMALLEST_SHIFT:
        return SMALLEST_SHIFT
    if shift > LARGEST_SHIFT:
        many = asize >> LARGEST_SHIFT > UPPER_LIMIT
        return (asize // UPPER_LIMIT).bit_length() if many else LARGEST_SHIFT
    return shift


@dataclass(frozen=True, slots=True)
class Metaslab:
    """One metaslab as it is on disk, its log entries included."""

    index: int
    start: int
    size: int
    object: int  # of its space map; 0: never used
    unflushed_txg: int  # first txg whose changes are only in the logs; 0: none are
    allocated: RangeSet

    @property
    def allocated_bytes(self) -> int:
        """Bytes in use."""
        return self.allocated.total

    @property
    def free_bytes(self) -> int:
        """Bytes not in use."""
        return self.size - self.allocated.total

    def free(self) -> RangeSet:
        """Ranges not in use."""
        return self.allocated.gaps(self.start, self.start + self.size)
