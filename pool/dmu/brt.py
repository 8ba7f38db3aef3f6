"""Block reference tables, open for reading: which blocks have clones, and how many.

Source: OpenZFS, brt.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from ..ondisk import brt as ondisk_brt
from .zap import Zap

if TYPE_CHECKING:
    from .objset import Objset

DIRECTORY_PREFIX = b"com.fudosecurity:brt:vdev:"

U64Array = NDArray[np.uint64]


class BrtVdev:
    """The table of one top-level vdev.

    Raises:
        CorruptError: its header or its object makes no sense.
    """

    def __init__(self, mos: Objset, vdev: int, number: int) -> None:
        self.vdev = vdev
        self._mos = mos
        self._dnode = mos.dnode(number)
        self.header = ondisk_brt.decode_header(self._dnode.bonus, self._dnode.order)
        if self.header.ranges * ondisk_brt.COUNT_SIZE > self._dnode.size:
            raise CorruptError("a block reference table is shorter than its header says", object=number)

    def counts(self) -> NDArray[np.uint16]:
        """Number of entries in each range of ``header.range_size`` bytes of the vdev."""
        length = self.header.ranges * ondisk_brt.COUNT_SIZE
        return ondisk_brt.decode_counts(self._dnode.read(0, length), self.header.order)

    def batches(self) -> Iterator[tuple[U64Array, U64Array]]:
        """(byte offsets of blocks on the vdev, references beyond the first), in batches.

        Raises:
            CorruptError: the table's ZAP or an entry in it makes no sense.
        """
        if not self.header.entries:
            return
        zap = Zap(self._mos.dnode(self.header.entries))
        if not zap.word_keys:
            raise CorruptError("a block reference table is not a table of numbers", object=self.header.entries)
        for raw in zap.raw_batches():
            yield ondisk_brt.decode_entries(raw.names, raw.values, raw.sizes, self.header.order)


def tables(mos: Objset, directory: Zap) -> Iterator[BrtVdev]:
    """All tables of a pool.

    Args:
        mos: the MOS.
        directory: its object directory.

    Raises:
        CorruptError: an entry of the directory makes no sense.
    """
    for entry in directory.items():
        if entry.name.startswith(DIRECTORY_PREFIX):
            tail = entry.name[len(DIRECTORY_PREFIX) :]
            if not tail.isdigit() or len(tail) > 8 or len(entry.values) != 1:
                raise CorruptError("the object directory names an impossible block reference table", name=entry.name)
            yield BrtVdev(mos, int(tail), entry.value)
