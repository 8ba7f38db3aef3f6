"""What is allocated on each top-level vdev, range by range: metaslabs' space maps and the logs, read and replayed.

Figures alone need less (see ``space``); this is for finding leaks, for free space, for a map of a disk.

Source: OpenZFS, vdev.c (``vdev_metaslab_init``), metaslab.c, spa_log_spacemap.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..alloc import spacemap
from ..alloc.logspacemap import Unflushed
from ..alloc.metaslab import Geometry, Metaslab, geometry
from ..alloc.ranges import RangeSet
from ..dmu.objset import Objset
from ..dsl.mosobj import entries, numbers
from ..errors import CorruptError, LimitError
from ..ondisk import spacemap as ondisk_spacemap
from ..ondisk.spacemap import SpaceMapHeader
from ..vdev.vdev import Vdev
from . import mos as metadata
from .mos import Directory

VDEV_ZAP_TOP = "com.delphix:vdev_zap_top"
UNFLUSHED_TXGS = "com.delphix:ms_unflushed_phys_txgs"
CHECKPOINT_MAP = "com.delphix:pool_checkpoint_sm"

#: In all log space maps; OpenZFS writes them back to the metaslabs' own long before.
MAX_LOG_WORDS = 1 << 28
#: Words of a space map that ``map_batches`` reads at a time.
BATCH_WORDS = 1 << 15


@dataclass(frozen=True, slots=True)
class VdevAllocation:
    """Metaslabs of one top-level vdev.

    ``checkpoint`` holds ranges that are free again but for the pool's checkpoint; they count as allocated.
    """

    vdev: Vdev
    metaslabs: list[Metaslab]
    checkpoint: RangeSet

    @property
    def allocated(self) -> RangeSet:
        """All allocated ranges."""
        starts = [one.allocated.starts for one in self.metaslabs]
        ends = [one.allocated.ends for one in self.metaslabs]
        return RangeSet(np.concatenate(starts), np.concatenate(ends)) if starts else RangeSet()

    @property
    def allocated_bytes(self) -> int:
        """Bytes in use."""
        return sum(one.allocated_bytes for one in self.metaslabs)

    @property
    def size(self) -> int:
        """Bytes that can be used."""
        return sum(one.size for one in self.metaslabs)


def read_map(mos: Objset, number: int) -> tuple[SpaceMapHeader, NDArray[Any]]:
    """A space map object: its header, and its entries (dtype ``ondisk.spacemap.ENTRY``).

    Raises:
        CorruptError: it makes no sense. LimitError: it is longer than its object.
    """
    dnode = mos.dnode(number)
    header = ondisk_spacemap.decode_header(dnode.bonus, dnode.order)
    words = metadata.words(dnode, header.length // ondisk_spacemap.WORD)
    return header, ondisk_spacemap.decode(words.astype("<u8").tobytes())


def read_header(mos: Objset, number: int) -> SpaceMapHeader:
    """The header of a space map object.

    Raises:
        CorruptError: it makes no sense.
    """
    dnode = mos.dnode(number)
    return ondisk_spacemap.decode_header(dnode.bonus, dnode.order)


def map_batches(mos: Objset, number: int) -> Iterator[NDArray[Any]]:
    """The entries of a space map object as ``read_map`` gives them, some blocks at a time, so that memory does not
    grow with the map. (No entry lies in two blocks. Their ``txg`` is not known where a batch begins.)

    Raises: as ``read_map``.
    """
    dnode = mos.dnode(number)
    header = read_header(mos, number)
    count, per_block = header.length // ondisk_spacemap.WORD, dnode.datablksz // ondisk_spacemap.WORD
    step = max(1, BATCH_WORDS // per_block) * per_block
    for first in range(0, count, step):
        words = metadata.words(dnode, min(step, count - first), first)
        yield ondisk_spacemap.decode(words.astype("<u8").tobytes())


def allocations(mos: Objset, directory: Directory, tops: list[Vdev]) -> list[VdevAllocation]:
    """What is allocated on every top-level vdev that holds data.

    Args:
        mos: the MOS.
        directory: its object directory.
        tops: the top-level vdevs of the pool.

    Raises:
        CorruptError: a space map or a log makes no sense, or they contradict each other; and what reading raises.
    """
    used = [top for top in tops if holds_data(top)]
    work = {top.id: VdevMaps(mos, top) for top in used}
    for txg, found in logs(mos, directory):
        for vdev in np.unique(found["vdev"]).tolist():
            # Entries of vdevs that were removed since are of no interest.
            if vdev in work:
                work[vdev].add_log(txg, found[found["vdev"] == vdev])
    return [one.result() for one in work.values()]


def holds_data(top: Vdev) -> bool:
    """A top-level vdev has space maps: something can be allocated on it."""
    return top.type not in ("hole", "missing", "indirect") and bool(_number(top, "metaslab_array"))


def log_objects(mos: Objset, directory: Directory) -> list[tuple[int, int]]:
    """(txg, object number) of every log space map, in the order of txgs.

    Raises:
        CorruptError: a log is not named after a txg.
    """
    number = directory.number(metadata.LOG_SPACEMAP_ZAP, 0)
    found = {}
    for name, obj in numbers(mos, number, "the log space maps").items():
        try:
            found[int(name, 16)] = obj
        except ValueError:
            raise CorruptError("a log space map's name is no txg", name=name) from None
    return sorted(found.items())


def log_batches(mos: Objset, directory: Directory) -> Iterator[tuple[int, NDArray[Any]]]:
    """(txg, entries) of all log space maps, in the order of txgs, some blocks at a time.

    Raises:
        CorruptError: a log is not named after a txg, or makes no sense. LimitError: more than any pool has.
    """
    total = 0
    for txg, number in log_objects(mos, directory):
        total += read_header(mos, number).length // ondisk_spacemap.WORD
        if total > MAX_LOG_WORDS:
            raise LimitError("the log space maps are too long", words=total)
        for found in map_batches(mos, number):
            yield txg, found


def logs(mos: Objset, directory: Directory) -> Iterator[tuple[int, NDArray[Any]]]:
    """(txg, entries) of every log space map, in the order of txgs.

    Raises:
        CorruptError: a log is not named after a txg, or makes no sense.
    """
    for txg, number in log_objects(mos, directory):
        yield txg, read_map(mos, number)[1]


def _number(top: Vdev, name: str) -> int:
    value = top.config.get(name, 0)
    return value if isinstance(value, int) else 0


class VdevMaps:
    """Where the space maps of one top-level vdev are, and what they say.

    Attributes:
        geometry: of its metaslabs; objects: the number of each one's space map, 0 for one that was never used.
        checkpoint_map: object number of the map of what only the checkpoint holds; 0: there is none.
        unflushed: takes entries of logs; None where the pool never had any.
    """

    def __init__(self, mos: Objset, top: Vdev) -> None:
        self.mos, self.top = mos, top
        stripe = top.stripe() if top.type == "draid" else 1
        self.geometry: Geometry = geometry(top.asize, _number(top, "metaslab_shift"), stripe, vdev=top.name)
        self.objects = self._array(_number(top, "metaslab_array")).tolist()
        zap = numbers_of_zap(mos, _number(top, VDEV_ZAP_TOP), f"the ZAP of {top.name}")
        self.checkpoint_map = zap.get(CHECKPOINT_MAP, 0)
        self.unflushed: Unflushed | None = None
        if zap.get(UNFLUSHED_TXGS):
            self.unflushed = Unflushed(self.geometry, self._array(zap[UNFLUSHED_TXGS]))

    @property
    def in_use(self) -> NDArray[np.bool_]:
        """Which metaslabs anything was ever allocated in."""
        result: NDArray[np.bool_] = np.array(self.objects, dtype=np.uint64) != 0
        if self.unflushed is not None:
            result |= self.unflushed.txgs != 0
        return result

    def _array(self, number: int) -> NDArray[np.uint64]:
        """An object with one word for each metaslab; words it does not have are 0."""
        dnode = self.mos.dnode(number)
        result = np.zeros(len(self.geometry), dtype=np.uint64)
        have = min(len(result), dnode.size // 8)
        result[:have] = metadata.words(dnode, have)
        return result

    def add_log(self, txg: int, entries: NDArray[Any]) -> None:
        """Take the entries of one log that are about this vdev."""
        if self.unflushed is not None:
            self.unflushed.add(txg, entries, vdev=self.top.name)

    def result(self) -> VdevAllocation:
        logged = self.unflushed.by_metaslab() if self.unflushed is not None else {}
        metaslabs = [self._metaslab(index, logged.get(index)) for index in range(len(self.geometry))]
        return VdevAllocation(self.top, metaslabs, self._checkpoint())

    def _metaslab(self, index: int, logged: spacemap.Changes | None) -> Metaslab:
        start, size = int(self.geometry.starts[index]), int(self.geometry.sizes[index])
        number = self.objects[index]
        txg = int(self.unflushed.txgs[index]) if self.unflushed is not None else 0
        where: dict[str, Any] = {"vdev": self.top.name, "metaslab": index}
        parts = [logged] if logged is not None else []
        if number:
            header, entries = read_map(self.mos, number)
            own = spacemap.changes(entries, self.top.ashift, start, size, **where)
            if spacemap.net(own) != header.alloc:
                raise CorruptError(
                    "a space map's header says something else than its entries",
                    header=header.alloc,
                    entries=spacemap.net(own),
                    **where,
                )
            parts.insert(0, own)
        return Metaslab(index, start, size, number, txg, spacemap.replay(spacemap.joined(parts), **where))

    def _checkpoint(self) -> RangeSet:
        if not self.checkpoint_map:
            return RangeSet()
        _, entries = read_map(self.mos, self.checkpoint_map)
        starts, ends, frees = spacemap.changes(entries, self.top.ashift, 0, self.top.asize, vdev=self.top.name)
        if not frees.all():
            raise CorruptError("a checkpoint's space map has something other than frees", vdev=self.top.name)
        return RangeSet(starts, ends)


def numbers_of_zap(mos: Objset, number: int, what: str) -> dict[str, int]:
    """The entries of a vdev's ZAP that are one number each; nothing for object 0."""
    found = {}
    for name, entry in entries(mos, number, what):
        if entry.integer_size == 8 and len(entry.values) == 1:
            found[name] = entry.values[0]
    return found
