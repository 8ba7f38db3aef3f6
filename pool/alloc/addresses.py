"""The address spaces of all top-level vdevs in chunks, and a window onto some of them at a time.

What is to be known of every sector of a large pool does not fit into memory at once. So each vdev's address space is
cut into chunks, a window takes in as many of them as a bit map of bounded size can hold, and whoever wants to know
everything looks through one window after the other.

A chunk is a metaslab, or a part of one that is very large. Chunks that were never used take no place in any window.

Invariants: chunks do not overlap; every chunk in use is in exactly one window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import LimitError
from .bitmap import WORD, I64Array, Ranges

#: log2 of the most units a chunk may have: 4 MiB of bit map.
CHUNK_UNITS_SHIFT = 25
MAX_CHUNKS = 1 << 22
#: More windows would take longer than anyone waits.
MAX_WINDOWS = 1 << 12
#: A range in more chunks than this is none: a metaslab has at most so many, and a block lies in one metaslab.
MAX_PIECES = 1 << 10

AWAY = -1  # in another window
UNUSED = -2  # in no window: never used
#: ``slot`` of what lies on no vdev, or beyond its end.
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Room:
    """One vdev's address space.

    ``shift``: log2 of a metaslab's bytes; ``unit``: log2 of a sector's; ``used``: for each metaslab whether it holds
    anything.
    """

    shift: int
    unit: int
    used: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Extents:
    """Ranges of vdevs in bytes. ``row``: which of the caller's each belongs to; ``slot``: its chunk, or NOWHERE."""

    row: I64Array
    vdev: I64Array
    start: I64Array
    end: I64Array
    slot: I64Array

    def __len__(self) -> int:
        return len(self.row)

    def pick(self, which: NDArray[np.bool_] | I64Array) -> Extents:
        """Some of them: a mask or indices."""
        return Extents(self.row[which], self.vdev[which], self.start[which], self.end[which], self.slot[which])


class AddressSpace:
    """All address spaces of a pool.

    Args:
        rooms: by vdev id; vdevs that are not in it have no address space.
        vdevs: number of top-level vdevs.

    Raises:
        LimitError: impossibly large.
    """

    def __init__(self, rooms: dict[int, Room], vdevs: int) -> None:
        # One more row than vdevs, for those that do not exist.
        self._unit = np.zeros(vdevs + 1, dtype=np.int64)
        self._shift = np.full(vdevs + 1, 62, dtype=np.int64)
        self._count = np.zeros(vdevs + 1, dtype=np.int64)
        self._first = np.zeros(vdevs + 1, dtype=np.int64)
        parts, total = [], 0
        for vdev, room in sorted(rooms.items()):
            shift = min(room.shift, room.unit + CHUNK_UNITS_SHIFT)
            chunks = np.repeat(room.used, 1 << (room.shift - shift))
            self._unit[vdev], self._shift[vdev] = room.unit, shift
            self._count[vdev], self._first[vdev] = len(chunks), total
            parts.append(chunks)
            total += len(chunks)
            if total > MAX_CHUNKS:
                raise LimitError("the pool's vdevs have too many metaslabs to be looked at", chunks=total)
        used = np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
        self._owner = np.repeat(np.arange(vdevs + 1), self._count)
        self._base = np.where(used, np.int64(AWAY), np.int64(UNUSED))
        self._slots: I64Array = np.zeros(0, dtype=np.int64)
        self._bases: I64Array = np.zeros(1, dtype=np.int64)

    def __len__(self) -> int:
        """Number of chunks."""
        return len(self._base)

    # --- windows ------------------------------------------------------------------------------------------------------

    def windows(self, units_max: int, weights: I64Array | None = None, weight_max: int = 0) -> list[I64Array]:
        """Share all chunks in use out among windows: the chunks of each.

        Args:
            units_max: units a window may have; one chunk it has in any case.
            weights: for each chunk how much else has to be held in memory for it.
            weight_max: how much of that a window may have.

        Raises:
            LimitError: too many windows.
        """
        slots = np.flatnonzero(self._base != UNUSED)
        units = np.int64(1) << (self._shift - self._unit)[self._owner[slots]]
        loads = np.zeros(len(slots), dtype=np.int64) if weights is None else weights[slots]
        result, begin = [], 0
        unit_sums, load_sums = np.cumsum(units), np.cumsum(loads)
        while begin < len(slots):
            units_before = int(unit_sums[begin - 1]) if begin else 0
            load_before = int(load_sums[begin - 1]) if begin else 0
            end = int(np.searchsorted(unit_sums, units_before + units_max, side="right"))
            if weights is not None:
                end = min(end, int(np.searchsorted(load_sums, load_before + weight_max, side="right")))
            end = max(end, begin + 1)
            result.append(slots[begin:end])
            begin = end
        if len(result) > MAX_WINDOWS:
            raise LimitError("the pool is too large to be looked at", windows=len(result))
        return result or [slots]

    def open(self, slots: I64Array) -> int:
        """Look through a window from now on; gives the number of its units."""
        self._base[self._slots] = AWAY
        units = np.int64(1) << (self._shift - self._unit)[self._owner[slots]]
        # Chunks begin at whole words, so that no two share one.
        sizes = (units + WORD - 1) // WORD * WORD
        ends = np.cumsum(sizes)
        self._slots, self._bases = slots, np.concatenate(([0], ends))
        self._base[slots] = ends - sizes
        return int(self._bases[-1])

    def in_window(self, slot: I64Array) -> NDArray[np.bool_]:
        """Which chunks are in the window (NOWHERE is not)."""
        result: NDArray[np.bool_] = self._base_of(slot) >= 0
        return result

    def in_none(self, slot: I64Array) -> NDArray[np.bool_]:
        """Which chunks are in no window at all: never used, or nowhere."""
        result: NDArray[np.bool_] = self._base_of(slot) == UNUSED
        return result

    def _base_of(self, slot: I64Array) -> I64Array:
        if not len(self._base):
            return np.full(len(slot), UNUSED, dtype=np.int64)
        result: I64Array = np.where(slot == NOWHERE, UNUSED, self._base[slot])
        return result

    def spans(self) -> Iterator[tuple[int, int, int]]:
        """(vdev, first byte, end) of each chunk in the window."""
        for slot in self._slots.tolist():
            vdev = int(self._owner[slot])
            shift = int(self._shift[vdev])
            index = slot - int(self._first[vdev])
            yield vdev, index << shift, (index + 1) << shift

    # --- from bytes to units and back ---------------------------------------------------------------------------------

    def slots_of(self, vdev: I64Array, offset: I64Array) -> I64Array:
        """The chunk each address lies in."""
        row = self._row(vdev)
        index = offset >> self._shift[row]
        return np.where((index >= 0) & (index < self._count[row]), self._first[row] + index, NOWHERE)

    def cut(self, vdev: I64Array, start: I64Array, end: I64Array) -> Extents:
        """Ranges cut where chunks meet. What does not lie in chunks as a whole stays as it is, with slot NOWHERE."""
        row = self._row(vdev)
        shift = self._shift[row]
        first, last = start >> shift, np.maximum(end, start + 1) - 1 >> shift
        inside = (start >= 0) & (last < self._count[row]) & (last - first < MAX_PIECES)
        count = np.where(inside, last - first + 1, 1)
        owner = np.repeat(np.arange(len(vdev)), count)
        nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        here, chunk = inside[owner], first[owner] + nth
        low, high = chunk << shift[owner], (chunk + 1) << shift[owner]
        return Extents(
            owner,
            vdev[owner],
            np.where(here, np.maximum(start[owner], low), start[owner]),
            np.where(here, np.minimum(end[owner], high), end[owner]),
            np.where(here, self._first[row[owner]] + chunk, NOWHERE),
        )

    def units(self, extents: Extents) -> Ranges:
        """Cut ranges that are all in the window as units; parts of units count as whole ones."""
        row = self._row(extents.vdev)
        unit = self._unit[row]
        low = (extents.slot - self._first[row]) << self._shift[row]
        base = self._base[extents.slot] if len(extents) else extents.slot
        starts = base + (extents.start - low >> unit)
        ends = base + (extents.end - low + (np.int64(1) << unit) - 1 >> unit)
        return starts, ends

    def bytes(self, found: Ranges) -> Extents:
        """Units of the window as ranges of vdevs, cut where chunks meet."""
        starts, ends = found
        first = np.searchsorted(self._bases, starts, side="right") - 1
        last = np.searchsorted(self._bases, ends - 1, side="right") - 1
        count = last - first + 1
        owner = np.repeat(np.arange(len(starts)), count)
        place = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
        slot = self._slots[place]
        vdev = self._owner[slot]
        unit, base = self._unit[vdev], self._bases[place]
        low = (slot - self._first[vdev]) << self._shift[vdev]
        start = low + (np.maximum(starts[owner] - base, 0) << unit)
        end = low + (np.minimum(ends[owner], self._bases[place + 1]) - base << unit)
        return Extents(owner, vdev, start, end, slot)

    def _row(self, vdev: I64Array) -> I64Array:
        none = len(self._count) - 1
        return np.where((vdev >= 0) & (vdev < none), vdev, none)
