"""All the uberblocks of a pool: reading every ring, choosing the best, listing what can be gone back to.

Source: OpenZFS, vdev_label.c (``vdev_uberblock_load``).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..device.base import Device
from ..errors import DeviceError
from ..ondisk import label, uberblock
from ..ondisk.uberblock import Uberblock
from .members import Member


@dataclass(frozen=True, slots=True)
class FoundUberblock:
    """A verified uberblock and one place where it is."""

    uberblock: Uberblock
    member: Member = field(repr=False)
    label: int  # 0..3
    offset: int  # on the device

    @property
    def txg(self) -> int:
        """Txg it closed."""
        return self.uberblock.txg


class Rings:
    """The uberblock rings of all devices of a pool; checksums are looked at only when a slot is asked for."""

    def __init__(self) -> None:
        self._rings: list[tuple[Member, int, int, memoryview]] = []  # member, label, label's offset, ring
        self._order: NDArray[np.int64] | None = None
        self._ring: NDArray[np.int64] = np.zeros(0, np.int64)
        self._position: NDArray[np.int64] = np.zeros(0, np.int64)
        self.unreadable: list[tuple[Member, int, str]] = []  # member, label, reason

    def read(self, member: Member, device: Device) -> None:
        """Read the four rings of one device."""
        self.add(member, fetch(member.size, device))

    def add(self, member: Member, rings: list[memoryview | str]) -> None:
        """Take in what ``fetch`` gave for one device."""
        for index, ring in enumerate(rings):
            if isinstance(ring, str):
                self.unreadable.append((member, index, ring))
            else:
                self._rings.append((member, index, label.offset(member.size, index), ring))
        self._order = None

    def _sort(self) -> NDArray[np.int64]:
        """Rank of every slot, best first, whether or not its checksum is right."""
        if self._order is not None:
            return self._order
        positions, records, rings = [], [], []
        for number, (_, _, _, ring) in enumerate(self._rings):
            at, found = uberblock.peek(ring)
            positions.append(at)
            records.append(found)
            rings.append(np.full(len(at), number, dtype=np.int64))
        if not records:
            self._order = np.zeros(0, np.int64)
            return self._order
        self._position, self._ring = np.concatenate(positions), np.concatenate(rings)
        every = np.concatenate(records)
        config = every["mmp_config"]
        beats = (every["mmp_magic"] == uberblock.MMP_MAGIC) & (config & np.uint64(2) != 0)
        sequence = np.where(beats, config >> np.uint64(32) & np.uint64(0xFFFF), np.uint64(0))
        # lexsort takes the last key first; ~ turns the order round without overflow, and ties stay as read.
        self._order = np.lexsort((~sequence, ~every["timestamp"], ~every["txg"]))
        self._txgs = every["txg"]
        return self._order

    def newest_first(self, max_txg: int | None = None) -> Iterator[FoundUberblock]:
        """Every verified uberblock with a txg not beyond ``max_txg``, best first."""
        for index in self._sort():
            txg = int(self._txgs[index])
            if txg == 0 or (max_txg is not None and txg > max_txg):
                continue  # txg 0: the template in the label of a device being added
            member, number, label_at, ring = self._rings[int(self._ring[index])]
            slot = uberblock.slot_at(ring, label_at, int(self._position[index]))
            if slot.verified():
                yield FoundUberblock(slot.uberblock, member, number, slot.offset)

    def best(self, max_txg: int | None = None) -> FoundUberblock | None:
        """The newest verified uberblock with a txg not beyond ``max_txg``; None: there is none."""
        return next(self.newest_first(max_txg), None)

    def distinct(self) -> list[tuple[FoundUberblock, int]]:
        """The newest uberblock of each txg and the number of places that have it, newest first."""
        result: list[tuple[FoundUberblock, int]] = []
        for found in self.newest_first():
            if result and result[-1][0].txg == found.txg:
                first, count = result[-1]
                result[-1] = (first, count + (found.uberblock == first.uberblock))
            else:
                result.append((found, 1))
        return result


def fetch(size: int, device: Device) -> list[memoryview | str]:
    """The rings of a device's four labels; in place of one that cannot be read, why.

    Args:
        size: of the device, as its labels lie.
    """
    offsets = [label.offset(size, index) + label.RING_OFFSET for index in range(label.LABELS)]
    view = memoryview(bytearray(label.LABELS * label.RING_SIZE))
    dest = [index * label.RING_SIZE for index in range(label.LABELS)]
    try:
        status = device.readv(offsets, [label.RING_SIZE] * label.LABELS, view, dest)
    except DeviceError as error:
        return [error.what] * label.LABELS
    return [os.strerror(int(code)) if code else view[at : at + label.RING_SIZE] for at, code in zip(dest, status)]


def read_rings(devices: Iterable[tuple[Member, Device]]) -> Rings:
    """The rings of these devices."""
    rings = Rings()
    for member, device in devices:
        rings.read(member, device)
    return rings
