"""Sets of byte ranges: what of an address space is allocated, free, or reachable.

A set is a pair of arrays, starts and ends, sorted, disjoint and not even touching. Every operation is a sweep over the
edges of all ranges at once: an edge adds or takes away depth, and the running sum tells how deep each stretch lies.

Source: OpenZFS, range_tree.c (what a set has to be able to do).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CorruptError

U64Array = NDArray[np.uint64]
I64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def sweep(starts: U64Array, ends: U64Array, weights: ArrayLike = 1) -> tuple[U64Array, I64Array]:
    """How deep every stretch of the address space lies.

    Args:
        starts, ends: ranges, in any order, overlapping as they like.
        weights: what each range adds to the depth, one number for all or one for each.

    Returns:
        (edges, depths): ``depths[i]`` holds from ``edges[i]`` up to ``edges[i + 1]``; the last depth is 0. Edges rise;
        neighbours may have the same depth.
    """
    weight = np.broadcast_to(np.asarray(weights, dtype=np.int64), starts.shape)
    where = np.concatenate([starts, ends])
    steps = np.concatenate([weight, -weight])
    edges, place = np.unique(where, return_inverse=True)
    change = np.zeros(len(edges), dtype=np.int64)
    np.add.at(change, place.reshape(-1), steps)
    return edges, np.cumsum(change)


class RangeSet:
    """An immutable set of addresses, kept as ranges.

    Args:
        starts, ends: ranges ``[start, end)`` in any order; overlapping and touching ones are joined, empty
            ones dropped.

    Raises:
        CorruptError: a range ends before it starts.
    """

    __slots__ = ("ends", "starts")

    def __init__(self, starts: ArrayLike = (), ends: ArrayLike = ()) -> None:
        first, last = np.asarray(starts, dtype=np.uint64), np.asarray(ends, dtype=np.uint64)
        if first.shape != last.shape or first.ndim != 1:
            raise ValueError("starts and ends differ in number")
        if (last < first).any():
            raise CorruptError("a range ends before it starts")
        filled = first < last
        edges, depths = sweep(first[filled], last[filled])
        self.starts, self.ends = _stretches(edges, depths > 0)

    @classmethod
    def _of(cls, edges: U64Array, inside: BoolArray) -> RangeSet:
        result = cls.__new__(cls)
        result.starts, result.ends = _stretches(edges, inside)
        return result

    def __len__(self) -> int:
        """Number of ranges."""
        return len(self.starts)

    def __bool__(self) -> bool:
        return len(self.starts) > 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RangeSet)
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.ends, other.ends)
        )

    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(start, end) of each range."""
        return zip(self.starts.tolist(), self.ends.tolist())

    def __repr__(self) -> str:
        shown = ", ".join(f"{start:#x}..{end:#x}" for start, end in list(self)[:8])
        return f"RangeSet({shown}{', ...' if len(self) > 8 else ''})"

    @property
    def sizes(self) -> U64Array:
        """Length of each range."""
        return self.ends - self.starts

    @property
    def total(self) -> int:
        """Sum of all lengths."""
        return int(self.sizes.sum()) if len(self) else 0

    # --- sets from sets -----------------------------------------------------------------------------------------------

    def _with(self, other: RangeSet, weight: int, wanted: Any) -> RangeSet:
        weights = np.concatenate([np.ones(len(self), dtype=np.int64), np.full(len(other), weight, dtype=np.int64)])
        starts = np.concatenate([self.starts, other.starts])
        edges, depths = sweep(starts, np.concatenate([self.ends, other.ends]), weights)
        return RangeSet._of(edges, np.isin(depths, wanted))

    def __or__(self, other: RangeSet) -> RangeSet:
        return self._with(other, 2, (1, 2, 3))

    def __and__(self, other: RangeSet) -> RangeSet:
        return self._with(other, 2, (3,))

    def __sub__(self, other: RangeSet) -> RangeSet:
        return self._with(other, 2, (1,))

    def gaps(self, start: int, end: int) -> RangeSet:
        """What the set lacks between two addresses: with allocated space, the free space."""
        return RangeSet([start], [end]) - self

    def clip(self, start: int, end: int) -> RangeSet:
        """The part between two addresses."""
        return self & RangeSet([start], [end])

    def shift(self, by: int) -> RangeSet:
        """The same ranges, moved up by ``by``.

        Raises:
            CorruptError: beyond 2^64.
        """
        if len(self) and int(self.ends[-1]) + by >= 1 << 64:
            raise CorruptError("a range lies beyond the end of any address space")
        return RangeSet(self.starts + np.uint64(by), self.ends + np.uint64(by))

    # --- questions ----------------------------------------------------------------------------------------------------

    def contains(self, starts: ArrayLike, ends: ArrayLike) -> BoolArray:
        """For each range asked for: does it lie in the set as a whole? Empty ones do."""
        first, last = np.asarray(starts, dtype=np.uint64), np.asarray(ends, dtype=np.uint64)
        place = np.searchsorted(self.starts, first, side="right") - 1
        known = np.append(self.ends, np.uint64(0))  # place -1: before the first range
        result: BoolArray = (last <= known[place]) | (last <= first)
        return result

    def overlaps(self, starts: ArrayLike, ends: ArrayLike) -> BoolArray:
        """For each range asked for: does any of it lie in the set?"""
        first, last = np.asarray(starts, dtype=np.uint64), np.asarray(ends, dtype=np.uint64)
        place = np.searchsorted(self.ends, first, side="right")
        known = np.append(self.starts, np.uint64((1 << 64) - 1))
        result: BoolArray = (known[place] < last) & (first < last)
        return result


def _stretches(edges: U64Array, inside: BoolArray) -> tuple[U64Array, U64Array]:
    """(starts, ends) of the runs of stretches that are inside."""
    if not len(edges):
        empty = np.zeros(0, dtype=np.uint64)
        return empty, empty
    before = np.concatenate(([False], inside[:-1]))
    return edges[inside & ~before], edges[~inside & before]
