"""Which sectors of a window the space maps call allocated: their own entries, the logs', less the checkpoint's share.

Maps and logs are read in batches and turned into bits at once, so that memory depends on the window alone.

Source: OpenZFS, space_map.c, spa_log_spacemap.c, zdb.c (what it calls leaks).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..alloc import spacemap
from ..alloc.addresses import AddressSpace
from ..alloc.bitmap import BitMap
from ..alloc.logspacemap import SHIFT as LOG_SHIFT
from ..alloc.ranges import sweep
from ..errors import PoolError
from .findings import Segments
from .metaslabs import VdevMaps, log_objects, map_batches, read_header
from .obsolete import Mapped

if TYPE_CHECKING:
    from .spa import Spa

BoolArray = NDArray[np.bool_]
U64Array = NDArray[np.uint64]


class Complaints:
    """Where contradictions go: ranges, sentences, and what cannot be read."""

    def __init__(self, segments: Segments, note: Callable[[str], None], unreadable: Callable[[str, PoolError], None]):
        self.segments, self.note, self.unreadable = segments, note, unreadable


class AllocationMaps:
    """Space maps of some vdevs.

    Args:
        spa: the pool.
        space: their address spaces.
        maps: their space maps, by vdev id.
        mapped: removed vdevs, on which what is mapped counts as allocated.
    """

    def __init__(self, spa: Spa, space: AddressSpace, maps: dict[int, VdevMaps], mapped: dict[int, Mapped]) -> None:
        self._mos, self._directory = spa.mos, spa.directory
        self.space = space
        self.maps, self._mapped = maps, mapped

    def bits(self, units: int, complaints: Complaints | None) -> BitMap:
        """The bit map of the window that is open, of ``units`` units; without complaints nobody is told of faults."""
        result = BitMap(units)
        spans: dict[int, list[tuple[int, int]]] = {}
        for vdev, low, high in self.space.spans():
            spans.setdefault(vdev, []).append((low, high))
        for vdev, here in spans.items():
            if vdev in self._mapped:
                self._enter(result, vdev, *self._mapped[vdev].within(here), complaints)
                continue
            maps = self.maps[vdev]
            for index in sorted({low >> maps.geometry.shift for low, _ in here}):
                if maps.objects[index]:
                    self._metaslab(result, maps, index, complaints)
        self._logs(result, set(spans) & set(self.maps), complaints)
        for vdev in spans:
            if vdev in self.maps and self.maps[vdev].checkpoint_map:
                self._checkpoint(result, self.maps[vdev], complaints)
        return result

    def _metaslab(self, result: BitMap, maps: VdevMaps, index: int, complaints: Complaints | None) -> None:
        number = maps.objects[index]
        start, size = int(maps.geometry.starts[index]), int(maps.geometry.sizes[index])
        where = {"vdev": maps.top.name, "metaslab": index}
        total = 0
        try:
            for entries in map_batches(self._mos, number):
                found = spacemap.changes(entries, maps.top.ashift, start, size, **where)
                total += spacemap.net(found)
                self._enter(result, maps.top.id, *found, complaints)
            says = read_header(self._mos, number).alloc
        except PoolError as error:
            if complaints is not None:
                complaints.unreadable(f"space map {number} of {maps.top.name}", error)
            return
        if says != total and complaints is not None:
            complaints.note(
                f"metaslab {index} of {maps.top.name}: the header of its space map says that {says} bytes are "
                f"allocated, its entries {total}"
            )

    def _logs(self, result: BitMap, vdevs: set[int], complaints: Complaints | None) -> None:
        """Changes that are only in the logs."""
        vdevs = {vdev for vdev in vdevs if self.maps[vdev].unflushed is not None}
        if not vdevs:
            return
        for txg, number in log_objects(self._mos, self._directory):
            try:
                for entries in map_batches(self._mos, number):
                    for vdev in vdevs.intersection(np.unique(entries["vdev"]).tolist()):
                        self._log(result, self.maps[vdev], txg, entries[entries["vdev"] == vdev], complaints)
            except PoolError as error:
                if complaints is not None:
                    complaints.unreadable(f"log space map {number}", error)

    def _log(
        self, result: BitMap, maps: VdevMaps, txg: int, entries: NDArray[np.void], complaints: Complaints | None
    ) -> None:
        assert maps.unflushed is not None
        size = len(maps.geometry) << maps.geometry.shift
        starts, ends, frees = spacemap.changes(entries, LOG_SHIFT, 0, size, vdev=maps.top.name, txg=txg)
        use = maps.unflushed.counts(txg, starts)
        self._enter(result, maps.top.id, starts[use], ends[use], frees[use], complaints)

    def _checkpoint(self, result: BitMap, maps: VdevMaps, complaints: Complaints | None) -> None:
        """What only the checkpoint holds is not for the pool to refer to."""
        try:
            for entries in map_batches(self._mos, maps.checkpoint_map):
                found = spacemap.changes(entries, maps.top.ashift, 0, maps.top.asize, vdev=maps.top.name)
                self._enter(result, maps.top.id, *found, complaints)
        except PoolError as error:
            if complaints is not None:
                complaints.unreadable(f"the checkpoint's space map of {maps.top.name}", error)

    def _enter(
        self,
        result: BitMap,
        vdev: int,
        starts: U64Array,
        ends: U64Array,
        frees: BoolArray,
        complaints: Complaints | None,
    ) -> None:
        """Apply changes, in whatever order they are: of each sector's all but one at most cancel out."""
        edges, depths = sweep(starts, ends, np.where(frees, -1, 1))
        where = edges.astype(np.int64)
        for value in (True, False):
            which = np.flatnonzero(depths > 0 if value else depths < 0)
            cut = self.space.cut(np.full(len(which), vdev), where[which], where[which + 1])
            cut = cut.pick(self.space.in_window(cut.slot))
            units = self.space.units(cut)
            odd = [result.set(*units) if value else result.clear(*units)]
            more = (np.abs(depths[which]) > 1)[cut.row]
            if more.any():
                odd.append((units[0][more], units[1][more]))
            for part in odd:
                if complaints is not None and len(part[0]):
                    wrong = self.space.bytes(part)
                    complaints.segments.add(wrong.vdev, wrong.start, wrong.end)
