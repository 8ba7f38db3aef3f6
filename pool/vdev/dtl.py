"""Dirty time logs: the txgs whose data a leaf lacks.

A DTL is a sorted list of disjoint, non-empty ranges [start, end) of txgs. Source: OpenZFS, vdev.c
(DTL_MISSING and how parents' follow from children's); on disk a DTL is a space map, which a floor above
reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CorruptError
from .layout import U64, Bools


class Dtl:
    """An immutable set of txgs, in ranges.

    Args:
        starts, ends: one range each, in any order; overlapping and adjacent ones are joined, empty ones
        dropped.

    Raises:
        CorruptError: a range that ends before it starts.
    """

    __slots__ = ("_edges",)

    def __init__(self, starts: ArrayLike = (), ends: ArrayLike = ()) -> None:
        first, last = np.asarray(starts, np.uint64), np.asarray(ends, np.uint64)
        if first.shape != last.shape or first.ndim != 1:
            raise ValueError("starts and ends differ in number")
        if bool((first > last).any()):
            raise CorruptError("a range of txgs ends before it starts", "the DTL is damaged")
        # start, end, start, end ...: whether a txg is inside follows from the number of edges up to it
        self._edges: U64 = _covered([(first, last)], 1)

    def __bool__(self) -> bool:
        return len(self._edges) > 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dtl) and bool(np.array_equal(self._edges, other._edges))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Dtl({', '.join(f'{start}..{end - 1}' for start, end in self.ranges())})"

    @property
    def starts(self) -> U64:
        """First txg of each range."""
        return self._edges[0::2]

    @property
    def ends(self) -> U64:
        """First txg after each range."""
        return self._edges[1::2]

    def ranges(self) -> list[tuple[int, int]]:
        """(start, end) of each range, ascending."""
        return list(zip(self.starts.tolist(), self.ends.tolist()))

    def contains(self, txgs: NDArray[Any]) -> Bools:
        """For each txg, whether it is in the set."""
        result: Bools = np.searchsorted(self._edges, txgs, side="right") % 2 == 1
        return result

    def __contains__(self, txg: int) -> bool:
        return int(np.searchsorted(self._edges, np.uint64(txg), side="right")) % 2 == 1

    def __or__(self, other: Dtl) -> Dtl:
        return in_more_than([self, other], 0)

    def __and__(self, other: Dtl) -> Dtl:
        return in_more_than([self, other], 1)


def in_more_than(dtls: Sequence[Dtl], count: int) -> Dtl:
    """The txgs in more than ``count`` of the sets: what a parent lacks that can spare ``count`` children."""
    result = Dtl()
    result._edges = _covered([(dtl.starts, dtl.ends) for dtl in dtls], count + 1)
    return result


def everything() -> Dtl:
    """All txgs: what a leaf lacks that cannot be read."""
    return Dtl([0], [(1 << 64) - 1])


_NONE: U64 = np.zeros(0, np.uint64)


def _covered(ranges: Iterable[tuple[U64, U64]], depth: int) -> U64:
    """Edges of what at least ``depth`` of the ranges cover."""
    parts = list(ranges)
    points = np.concatenate([_NONE, *(first for first, _ in parts), *(last for _, last in parts)])
    starts = sum(len(first) for first, _ in parts)
    steps = np.ones(len(points), np.int64)
    steps[starts:] = -1
    order = np.argsort(points, kind="stable")
    points, level = points[order], np.cumsum(steps[order])
    # What counts is the level after all edges at one txg.
    final = np.ones(len(points), bool)
    final[:-1] = points[1:] != points[:-1]
    points, inside = points[final], level[final] >= depth
    change = np.ones(len(points), bool)
    change[1:] = inside[1:] != inside[:-1]
    if len(inside):
        change[0] = inside[0]
    result: U64 = points[change]
    return result



