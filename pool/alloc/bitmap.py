"""A bit for each unit of an address space: which are set, and what changes when ranges are set or cleared.

One word holds 64 units, the lowest bit the first. Ranges come and go as arrays of starts and ends (units); whatever
was not as a change expects it (set before, or not set before) is given back as ranges. Memory is one bit a unit,
however the ranges lie; pages of a large map that nothing touches are never taken from the system.

Invariants: bits beyond ``size`` are never set.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

WORD = 64
#: Words that are worked on at a time.
STEP = 1 << 17
#: A range over more words than this is done by itself, not spread out.
LONG = 1 << 12

I64Array = NDArray[np.int64]
U64Array = NDArray[np.uint64]
#: Starts and ends of ranges in units.
Ranges = tuple[I64Array, I64Array]

_ONES = np.uint64((1 << WORD) - 1)
_SIX, _LOW = np.int64(6), np.int64(WORD - 1)


def nothing() -> Ranges:
    """No ranges."""
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def joined(parts: list[Ranges]) -> Ranges:
    """Several arrays of ranges as one, in order, touching ones joined. They must not overlap."""
    if not parts:
        return nothing()
    starts = np.concatenate([part[0] for part in parts])
    ends = np.concatenate([part[1] for part in parts])
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    apart = starts[1:] != ends[:-1]
    return starts[np.concatenate(([True], apart))[: len(starts)]], ends[np.concatenate((apart, [True]))[: len(ends)]]


class BitMap:
    """Bits of ``size`` units, all clear at first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.words: U64Array = np.zeros(-(-size // WORD), dtype=np.uint64)

    def set(self, starts: I64Array, ends: I64Array) -> Ranges:
        """Set the units of disjoint ranges; gives those that were set already."""
        return self._change(starts, ends, True)

    def clear(self, starts: I64Array, ends: I64Array) -> Ranges:
        """Clear the units of disjoint ranges; gives those that were clear already."""
        return self._change(starts, ends, False)

    def take(self, starts: I64Array, ends: I64Array) -> Ranges:
        """Clear the units of ranges that may overlap: one bit each. Gives, in order, the ranges for which there was no
        bit; a unit wanted by several of them is given as often as there was none for it.
        """
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        if not len(starts):
            return nothing()
        reach = np.maximum.accumulate(ends)[:-1]
        over = np.flatnonzero(starts[1:] < reach)
        if not len(over):
            return self._change(starts, ends, False)
        # What lies within the reach of an earlier range has been taken by it.
        again = starts[over + 1], np.minimum(ends[over + 1], reach[over])
        starts[1:] = np.maximum(starts[1:], reach)
        left = starts < ends
        missing = self._change(starts[left], ends[left], False)
        return np.concatenate([missing[0], again[0]]), np.concatenate([missing[1], again[1]])

    def test_and_set(self, units: I64Array) -> NDArray[np.bool_]:
        """Set units; True for each that was set already, or occurs earlier in ``units``."""
        found, first = np.unique(units, return_index=True)
        result = np.ones(len(units), dtype=bool)
        if not len(found):
            return result
        place, bit = found >> _SIX, np.uint64(1) << (found & _LOW).astype(np.uint64)
        result[first] = (self.words[place] & bit) != 0
        begins = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
        self.words[place[begins]] |= np.bitwise_or.reduceat(bit, begins)
        return result

    def any(self) -> bool:
        """Any unit is set."""
        return any(bool(self.words[at : at + STEP].any()) for at in range(0, len(self.words), STEP))

    def runs(self) -> Iterator[Ranges]:
        """All runs of set units, in order, in batches."""
        carry, open_start = np.uint64(0), -1
        for at in range(0, len(self.words), STEP):
            words = self.words[at : at + STEP]
            edges, carry = _edges(words, carry)
            edges += at * WORD
            if open_start >= 0:
                edges = np.concatenate(([open_start], edges))
            open_start = -1
            if len(edges) % 2:
                open_start, edges = int(edges[-1]), edges[:-1]
            if len(edges):
                yield edges[0::2], edges[1::2]
        if open_start >= 0:
            yield np.array([open_start]), np.array([self.size])

    # --- changes ------------------------------------------------------------------------------------------------------

    def _change(self, starts: I64Array, ends: I64Array, value: bool) -> Ranges:
        """Give disjoint ranges a value; gives the units that had it."""
        counts = (np.maximum(ends, starts + 1) - 1 >> _SIX) - (starts >> _SIX) + 1
        long = counts > LONG
        wrong = [self._fill(a, b, value) for a, b in zip(starts[long].tolist(), ends[long].tolist())]
        short = np.flatnonzero(~long & (starts < ends))
        if len(short):
            total = np.cumsum(counts[short])
            for part in np.split(short, np.searchsorted(total, np.arange(STEP, int(total[-1]), STEP), side="right")):
                if len(part):
                    wrong.append(self._spread(starts[part], ends[part], value))
        return joined([part for part in wrong if len(part[0])])

    def _fill(self, start: int, end: int, value: bool) -> Ranges:
        """One long range."""
        head, tail = -(-start // WORD), end // WORD
        wrong = []
        for a, b in ((start, head * WORD), (tail * WORD, end)):
            if a < b:
                wrong.append(self._spread(np.array([a]), np.array([b]), value))
        for at in range(head, tail, STEP):
            words = self.words[at : min(at + STEP, tail)]
            had = words if value else ~words
            if had.any():
                edges, carry = _edges(had, np.uint64(0))
                if carry:
                    edges = np.concatenate((edges, [len(had) * WORD]))
                wrong.append((edges[0::2] + at * WORD, edges[1::2] + at * WORD))
            words[:] = _ONES if value else 0
        return joined(wrong)

    def _spread(self, starts: I64Array, ends: I64Array, value: bool) -> Ranges:
        """Many short ranges: a mask for each word they touch."""
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], ends[order]
        first, last = starts >> _SIX, ends - 1 >> _SIX
        counts = last - first + 1
        owner = np.repeat(np.arange(len(starts)), counts)
        place = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        mask = np.full(len(owner), _ONES)
        heads = np.cumsum(counts) - counts
        mask[heads] &= _ONES << (starts & _LOW).astype(np.uint64)
        mask[heads + counts - 1] &= _ONES >> (_LOW - (ends - 1 & _LOW)).astype(np.uint64)
        begins = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
        place, mask = place[begins], np.bitwise_or.reduceat(mask, begins)
        words = self.words[place]
        wrong = (words if value else ~words) & mask
        self.words[place] = words | mask if value else words & ~mask
        odd = np.flatnonzero(wrong)
        return nothing() if not len(odd) else _ranges(place[odd], wrong[odd])


def _edges(words: U64Array, carry: np.uint64) -> tuple[I64Array, np.uint64]:
    """Where runs of set bits begin and end, alternating.

    Args:
        words: a stretch of a map.
        carry: 1 if the bit before the first is set.

    Returns:
        the edges, counted from the first bit, and the last bit: 1 if a run goes on behind the last word.
    """
    if not len(words):
        return np.zeros(0, dtype=np.int64), carry
    before = np.empty_like(words)
    before[0] = carry
    before[1:] = words[:-1] >> np.uint64(WORD - 1)
    change = words ^ (words << np.uint64(1) | before)
    return _positions(np.flatnonzero(change), change[change != 0]), words[-1] >> np.uint64(WORD - 1)


def _positions(place: I64Array, words: U64Array) -> I64Array:
    """The units of the set bits of some words."""
    bits = np.unpackbits(words.astype("<u8").view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
    row, bit = np.nonzero(bits)
    return place[row] * WORD + bit


def _ranges(place: I64Array, words: U64Array) -> Ranges:
    """The runs of set bits of some words, whose places rise."""
    units = _positions(place, words)
    apart = np.diff(units) != 1
    return units[np.concatenate(([True], apart))], units[np.concatenate((apart, [True]))] + 1
