"""Allocated space against what refers to it, one window of the pool's address space at a time.

When a window is opened, its bit map has a bit for each sector that the space maps and their logs call allocated (what
only a checkpoint holds left out), and on removed vdevs for each that is mapped. Every block takes the bits of its
ranges away. A bit that is not there when it is wanted: two blocks have that sector, or it is free. Bits that are left
when the window is closed: nothing refers to that space, which is a leak; on removed vdevs, an obsolete mapping.

A range of a removed vdev also takes the ranges it is mapped to, on whatever vdev these are.

Source: OpenZFS, zdb.c (what it calls leaks), metaslab.c (``metaslab_claim``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..alloc.addresses import AddressSpace, Extents, Room
from ..alloc.bitmap import BitMap, I64Array, Ranges
from ..alloc.metaslab import MAX_SHIFT, MIN_SHIFT
from ..alloc.ranges import RangeSet
from ..errors import PoolError
from ..vdev.indirect import MAX_CHAIN, IndirectVdev
from ..vdev.vdev import Vdev
from .allocation import AllocationMaps, Complaints
from .findings import Fault, Segments
from .metaslabs import VdevMaps, holds_data, read_header
from .obsolete import Mapped
from .references import Unreadable
from .removal import STATE_SCANNING, load_mapping, mapping_header

if TYPE_CHECKING:
    from .spa import Spa

BoolArray = NDArray[np.bool_]

#: Ranges that were wanted and not there, of one window; beyond it only the first ones count.
MISSING_MAX = 1 << 17
#: Units of the window onto a vdev that is being removed, which is looked through beside the other.
REMOVING_UNITS = 1 << 27


class Ledger:
    """The books of one pool.

    Attributes:
        space: the address spaces, in windows.
        faults: what is wrong, by kind.
        notes: contradictions that are no ranges.
        checkpoint_bytes: what only a checkpoint holds. removing_bytes: what a removal that runs has copied.
        mapped: removed vdevs, and what of their mappings is referred to.
        unknown: vdevs of which nothing can be said, since their space maps cannot be read.
    """

    def __init__(self, spa: Spa, unreadable: Unreadable) -> None:
        self._spa = spa
        self.notes: list[str] = []
        self.faults = {fault: Segments(fault) for fault in Fault}
        self._complaints = Complaints(self.faults[Fault.MAP], self.notes.append, unreadable)
        self.mapped = {top.id: Mapped(top) for top in spa.tree.tops if isinstance(top, IndirectVdev)}
        maps: dict[int, VdevMaps] = {}
        for top in spa.tree.tops:
            if holds_data(top):
                try:
                    maps[top.id] = VdevMaps(spa.mos, top)
                except PoolError as error:
                    unreadable(f"space maps of {top.name}", error)
        rooms = {number: Room(one.geometry.shift, one.top.ashift, one.in_use) for number, one in maps.items()}
        rooms.update({number: _mapped_room(one.vdev) for number, one in self.mapped.items()})
        self.unknown = sorted(top.id for top in spa.tree.tops if top.id not in rooms and top.asize)
        self.space = AddressSpace(rooms, len(spa.tree.tops))
        self._allocation = AllocationMaps(spa, self.space, maps, self.mapped)
        self.checkpoint_bytes = sum(self._checkpoint_bytes(one) for one in maps.values())
        self.removing_bytes = 0
        self._removing = self._find_removing(maps)
        self._first = True
        self._units = 0
        self._bits = BitMap(0)
        self._begun: BitMap | None = None
        self._missing = RangeSet()

    def _checkpoint_bytes(self, maps: VdevMaps) -> int:
        if not maps.checkpoint_map:
            return 0
        try:
            return -read_header(self._spa.mos, maps.checkpoint_map).alloc
        except PoolError as error:
            self._complaints.unreadable(f"the checkpoint's space map of {maps.top.name}", error)
            return 0

    # --- a window -----------------------------------------------------------------------------------------------------

    def open(self, slots: I64Array) -> None:
        """Look through a window, and note what is allocated there."""
        self._units = self.space.open(slots)
        self._bits = self._allocation.bits(self._units, self._complaints)
        self._begun, self._missing = None, RangeSet()
        if self._removing is not None:
            self._claim_copies(*self._removing)

    def close(self) -> None:
        """Judge what is left, and what was missing."""
        removed = list(self.mapped)
        for found in self._bits.runs():
            left = self.space.bytes(found)
            leaked = left.pick(~np.isin(left.vdev, removed))
            self.faults[Fault.LEAKED].add(leaked.vdev, leaked.start, leaked.end)
            for vdev, mapped in self.mapped.items():
                here = left.pick(left.vdev == vdev)
                mapped.unreferenced(here.start, here.end)
        self._bits, self._begun = BitMap(0), None  # two maps at a time would be too much
        if self._missing:
            # Were they ever allocated?
            again = self._allocation.bits(self._units, None)
            free = RangeSet(*again.clear(*_signed(self._missing)))
            self._found(Fault.FREE, free)
            self._found(Fault.SHARED, self._missing - free)
        self._first = False

    def _found(self, fault: Fault, units: RangeSet) -> None:
        where = self.space.bytes(_signed(units))
        self.faults[fault].add(where.vdev, where.start, where.end)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def claim(self, vdev: I64Array, start: I64Array, end: I64Array, shared: BoolArray | None = None) -> None:
        """Take ranges for blocks.

        Args:
            vdev, start, end: the ranges, in bytes.
            shared: which of them another reference to the same block may have taken already: of these only one is
                taken for each place they begin at.
        """
        loose = np.zeros(len(vdev), dtype=bool) if shared is None else shared
        removed = list(self.mapped)
        for _ in range(MAX_CHAIN):
            cut = self.space.cut(vdev, start, end)
            if self._first:
                self._elsewhere(cut)
            inside = self.space.in_window(cut.slot)
            self._take(cut.pick(inside), loose[cut.row[inside]])
            onward = np.flatnonzero(np.isin(vdev, removed))
            if not len(onward):
                return
            vdev, start, end, loose = self._follow(vdev[onward], start[onward], end[onward], loose[onward])

    def _elsewhere(self, cut: Extents) -> None:
        """Ranges that no window will show."""
        lost = self.space.in_none(cut.slot) & ~np.isin(cut.vdev, self.unknown)
        if lost.any():
            for fault, which in ((Fault.FREE, cut.slot >= 0), (Fault.NOWHERE, cut.slot < 0)):
                here = cut.pick(lost & which)
                self.faults[fault].add(here.vdev, here.start, here.end)

    def _take(self, extents: Extents, loose: BoolArray) -> None:
        starts, ends = self.space.units(extents)
        if loose.any():
            if self._begun is None:
                self._begun = BitMap(self._units)
            which = np.flatnonzero(loose)
            keep = np.ones(len(starts), dtype=bool)
            keep[which[self._begun.test_and_set(starts[which])]] = False
            starts, ends = starts[keep], ends[keep]
        missing = self._bits.take(starts, ends)
        if len(missing[0]):
            if len(self._missing) < MISSING_MAX:
                self._missing |= RangeSet(*missing)
            elif not self.notes or self.notes[-1] != _TOO_MANY:
                self.notes.append(_TOO_MANY)

    def _follow(
        self, vdev: I64Array, start: I64Array, end: I64Array, loose: BoolArray
    ) -> tuple[I64Array, I64Array, I64Array, BoolArray]:
        """Ranges of removed vdevs by these vdevs' mappings."""
        parts = []
        for number in np.unique(vdev).tolist():
            here = np.flatnonzero((vdev == number) & (start >= 0) & (end <= self.mapped[number].vdev.asize))
            moved = _moved(self.mapped[number].vdev, start[here], end[here])
            parts.append((*moved[:3], loose[here][moved[3]]))
        vdevs, starts, ends, loosely = (np.concatenate(column) for column in zip(*parts))
        return vdevs, starts, ends, loosely

    # --- a removal that runs ------------------------------------------------------------------------------------------

    def _find_removing(self, maps: dict[int, VdevMaps]) -> tuple[VdevMaps, IndirectVdev, int] | None:
        """The vdev that is being removed: its maps, what it will be, and up to where it has been copied."""
        removal = self._spa.removal
        if removal is None or removal.state != STATE_SCANNING or removal.vdev not in maps:
            return None
        top = maps[removal.vdev].top
        try:
            header = mapping_header(top, self._spa.mos)
            if header is None:
                return None
            future = IndirectVdev(self._spa.tree, top.config, top.parent, top.id)
            future.inherit()
            load_mapping(future, self._spa.mos)
            return maps[top.id], future, header.max_offset
        except PoolError as error:
            self._complaints.unreadable(f"the mapping of {top.name}, which is being removed", error)
            return None

    def _claim_copies(self, maps: VdevMaps, future: IndirectVdev, copied: int) -> None:
        """Claim the copies: nothing refers to them yet."""
        top = maps.top
        space = AddressSpace({top.id: Room(maps.geometry.shift, top.ashift, maps.in_use)}, len(self._spa.tree.tops))
        allocation = AllocationMaps(self._spa, space, {top.id: maps}, {})
        for slots in space.windows(REMOVING_UNITS):
            units = space.open(slots)
            for found in allocation.bits(units, None).runs():
                here = space.bytes(found)
                end = np.minimum(here.end, copied)
                keep = here.start < end
                moved = _moved(future, here.start[keep], end[keep])
                self.claim(*moved[:3])
                if self._first:
                    self.removing_bytes += int((end - here.start)[keep].sum())


_TOO_MANY = "more sectors are used twice, or used while free, than are listed here"


def _signed(units: RangeSet) -> Ranges:
    return units.starts.astype(np.int64), units.ends.astype(np.int64)


def _moved(vdev: IndirectVdev, start: I64Array, end: I64Array) -> tuple[I64Array, I64Array, I64Array, I64Array]:
    """(vdev, start, end, row) of what ranges of a removed vdev are mapped to."""
    pieces = vdev.step(start.astype(np.uint64), (end - start).astype(np.uint64))
    return pieces.top, pieces.offset, pieces.offset + pieces.length, pieces.block


def _mapped_room(top: Vdev) -> Room:
    shift = top.config.get("metaslab_shift")
    if not isinstance(shift, int) or not MIN_SHIFT <= shift <= MAX_SHIFT:
        shift = MAX_SHIFT
    return Room(shift, top.ashift, np.ones(-(-top.asize >> shift), dtype=bool))
