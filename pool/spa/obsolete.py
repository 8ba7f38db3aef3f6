"""Mappings of removed vdevs: how much of each entry nothing refers to any more, as counted and as found.

The pool counts obsolete bytes for each entry of a mapping: in an array that condensing keeps up to date, in a space map
of what became obsolete since, in the one that a condensing that runs works on, and in a list of blocks.

Source: OpenZFS, vdev_indirect.c, zdb.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..alloc.bitmap import I64Array
from ..dmu.bpobj import Bpobj
from ..dmu.objset import Objset
from ..errors import CorruptError
from ..ondisk import blkptr
from ..ondisk import spacemap as ondisk_spacemap
from ..vdev.indirect import IndirectVdev
from .metaslabs import VDEV_ZAP_TOP, map_batches, numbers_of_zap
from .mos import Directory
from .removal import mapping_header

U64Array = NDArray[np.uint64]

OBSOLETE_MAP = "com.delphix:indirect_obsolete_sm"
PRECISE = "com.delphix:obsolete_counts_are_precise"
CONDENSING = "com.delphix:condensing_indirect"
OBSOLETE_LIST = "com.delphix:obsolete_bpobj"
COUNT_SIZE = 4


@dataclass(frozen=True, slots=True)
class Mismatch:
    """An entry of a mapping whose obsolete bytes are counted wrongly: more are obsolete than counted, or fewer."""

    offset: int
    size: int
    found: int
    counted: int


class Mapped:
    """The mapping of one removed vdev."""

    def __init__(self, vdev: IndirectVdev) -> None:
        self.vdev = vdev
        self.starts, self.ends = vdev.mapped
        self.found = np.zeros(len(self.starts), dtype=np.int64)

    @property
    def size(self) -> int:
        """Bytes that are mapped."""
        return int((self.ends - self.starts).sum())

    def within(self, spans: list[tuple[int, int]]) -> tuple[U64Array, U64Array, NDArray[np.bool_]]:
        """What is mapped between the ends of the spans, in the form of changes to a space map."""
        low, high = min(span[0] for span in spans), max(span[1] for span in spans)
        rows = slice(int(np.searchsorted(self.ends, low, side="right")), int(np.searchsorted(self.starts, high)))
        starts, ends = self.starts[rows].astype(np.uint64), self.ends[rows].astype(np.uint64)
        return starts, ends, np.zeros(len(starts), dtype=bool)

    def unreferenced(self, start: I64Array, end: I64Array) -> None:
        """Take ranges that nothing refers to."""
        self._add(self.found, start, end)

    def _add(self, counts: I64Array, start: I64Array, end: I64Array) -> None:
        """Add the bytes of ranges to the counts of the entries they lie in."""
        first = np.searchsorted(self.ends, start, side="right")
        last = np.searchsorted(self.starts, end, side="left")
        number = np.maximum(last - first, 0)
        owner = np.repeat(np.arange(len(start)), number)
        entry = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        size = np.minimum(end[owner], self.ends[entry]) - np.maximum(start[owner], self.starts[entry])
        np.add.at(counts, entry, size)

    def counted(self, mos: Objset, directory: Directory) -> I64Array:
        """Obsolete bytes of each entry, as the pool counts them.

        Raises:
            CorruptError and others: what counts them cannot be read.
        """
        counts = self.array(mos)
        zap = self._zap(mos)
        maps = [zap.get(OBSOLETE_MAP, 0)]
        condensing = directory.words(CONDENSING)
        if len(condensing) >= 2 and condensing[0] == self.vdev.id:
            maps.append(condensing[1])
        for number in filter(None, maps):
            for entries in map_batches(mos, number):
                self._add(counts, *self._bounded(*ondisk_spacemap.ranges(entries)))
        number = directory.number(OBSOLETE_LIST, 0)
        if number:
            for bps in Bpobj(mos, number).batches():
                mine = bps[blkptr.dva_vdev(bps)[:, 0] == self.vdev.id]
                starts = blkptr.dva_offset(mine)[:, 0]
                self._add(counts, *self._bounded(starts, starts + blkptr.dva_asize(mine)[:, 0]))
        return counts

    def precise(self, mos: Objset) -> bool:
        """The counts are exact: nothing became obsolete before they began."""
        return bool(self._zap(mos).get(PRECISE, 0))

    def mismatches(self, counted: I64Array) -> Iterator[Mismatch]:
        """Entries of which more or less was found to be obsolete."""
        for at in np.flatnonzero(self.found != counted).tolist():
            start, end = int(self.starts[at]), int(self.ends[at])
            yield Mismatch(start, end - start, int(self.found[at]), int(counted[at]))

    def _zap(self, mos: Objset) -> dict[str, int]:
        number = self.vdev.config.get(VDEV_ZAP_TOP, 0)
        return numbers_of_zap(mos, number if isinstance(number, int) else 0, f"the ZAP of {self.vdev.name}")

    def array(self, mos: Objset) -> I64Array:
        """Obsolete bytes of each entry as of the last condensing.

        Raises:
            CorruptError: there are too few counts.
        """
        header = mapping_header(self.vdev, mos)
        result = np.zeros(len(self.starts), dtype=np.int64)
        if header is None or not header.counts_object:
            return result
        dnode = mos.dnode(header.counts_object)
        per_block = dnode.datablksz // COUNT_SIZE
        blocks = -(-len(result) // per_block)
        if blocks > dnode.maxblkid + 1:
            raise CorruptError("a removed vdev has fewer counts than its mapping has entries", object=dnode.number)
        at = 0
        for data, order in dnode.blocks(range(blocks)):
            part = np.frombuffer(data, dtype=order + "u4")[: len(result) - at]
            result[at : at + len(part)] = part
            at += len(part)
        return result

    def _bounded(self, starts: U64Array, ends: U64Array) -> tuple[I64Array, I64Array]:
        """Ranges without what lies beyond the vdev."""
        room = np.uint64(self.vdev.asize)
        return np.minimum(starts, room).astype(np.int64), np.minimum(ends, room).astype(np.int64)
