"""Sets of addresses as sorted, disjoint segments that never touch, changed in batches.

What space maps say is free, and what becomes of it, is kept in these: a million segments are no burden. A batch
happens as a whole or not at all; wrong use (adding what is there, removing what is not) is a ValueError that names the
first range at fault. Arrays are contiguous, of unsigned 64-bit integers in native order.

A set is not for two threads at a time: whoever comes second gets a RuntimeError. Everywhere MemoryError: no memory,
and nothing was changed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

# numpy declares its arrays as buffers from Python 3.12 on.
_Buffer = Buffer | NDArray[Any]

class RangeTree:
    def __init__(self, starts: _Buffer | None = None, ends: _Buffer | None = None) -> None:
        """A set of these ranges, or an empty one. ValueError: as ``add``."""

    @property
    def space(self) -> int:
        """Sum of the sizes of all segments."""

    @property
    def largest(self) -> int:
        """Size of the largest segment; 0: the set is empty."""

    def __len__(self) -> int:
        """Number of segments."""

    def __bool__(self) -> bool: ...
    def add(self, starts: _Buffer, ends: _Buffer) -> None:
        """Add ranges ``[start, end)``, in any order. ValueError: one is empty, or overlaps what is there."""

    def remove(self, starts: _Buffer, ends: _Buffer) -> None:
        """Remove ranges. ValueError: one is empty, or not in the set as a whole."""

    def allocate(self, sizes: _Buffer, *, align: int = 1, run: int = 1 << 20) -> NDArray[np.uint64]:
        """Find room for blocks of ``sizes`` bytes, in turn, and remove it from the set.

        Args:
            align: blocks begin at multiples of it.
            run: so many bytes of blocks get a segment that holds them all, if there is one; else the largest.

        Returns:
            offsets, in the order of sizes, up to the first block that there is no room for.

        Raises:
            ValueError: a size or the alignment is 0.
        """

    def contains(self, starts: _Buffer, ends: _Buffer) -> NDArray[np.bool_]:
        """For each range: is all of it in the set? (Of an empty one: no.)"""

    def overlaps(self, starts: _Buffer, ends: _Buffer) -> NDArray[np.bool_]:
        """For each range: is any of it in the set?"""

    def segments(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(starts, ends) of all segments, in order."""

    def histogram(self) -> NDArray[np.uint64]:
        """Numbers of segments by size: [i] of 2^i up to twice that, i below 64."""

    def count_of(self, power: int) -> int:
        """One of these numbers."""

    def clear(self) -> None:
        """Make the set empty."""

    def check_inside(self) -> None:
        """Look over the inside. AssertionError: it is broken."""
