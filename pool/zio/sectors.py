"""Which sectors of a block are wrong on disk, once its right bytes are known.

From the right bytes everything that ought to be on the devices follows: data columns, parity, and the zeros that pad a
draid's columns. What is there is compared with that, sector by sector. In a block without parity only the bytes of the
block itself count: what follows them in its last sector has no meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from uberblock.kernels import raidz

from ..errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..vdev.layout import Layout
    from ..vdev.tree import VdevTree


@dataclass(frozen=True, slots=True)
class WrongSectors:
    """A run of sectors of one column that do not hold what they should; ``padding``: all of them are its zeros."""

    number: int  # of the column in the layout
    offset: int  # bytes, on the device
    length: int
    padding: bool


def wrong_sectors(tree: VdevTree, layout: Layout, data: memoryview | bytes) -> Iterator[WrongSectors]:
    """Compare every column of one block with what it should hold; columns that cannot be read are passed over.

    Args:
        tree: the vdevs whose devices are read.
        layout: of the one block.
        data: its right stored bytes.
    """
    for first, ncols, nparity, height in layout.groups.tolist():
        columns = layout.columns[first : first + ncols].tolist()
        want = [_piece(data, where, length) for _, _, _, where, length, _ in columns[nparity:]]
        parity = [bytearray(height) for _ in range(nparity)]
        if nparity:
            want = [part.ljust(column[4], b"\0") for part, column in zip(want, columns[nparity:])]
            raidz.generate(want, parity, keep=True)
        for number, right in enumerate([*parity, *want], first):
            leaf, _, offset, _, length, stored = columns[number - first]
            if leaf < 0 or not stored:
                continue
            size = stored if nparity else len(right)
            found = _read(tree, leaf, offset, size)
            if found is None or found == right:
                continue
            sector = 1 << tree.leaves[leaf].top.ashift
            for start, end in _runs(found, bytes(right).ljust(size, b"\0"), sector):
                end = min(end, stored)
                yield WrongSectors(number, offset + start, end - start, number >= first + nparity and start >= length)


def _piece(data: memoryview | bytes, where: int, length: int) -> bytes:
    return bytes(data[where : where + length])


def _read(tree: VdevTree, leaf: int, offset: int, size: int) -> bytes | None:
    device = tree.leaves[leaf].device
    if device is None:
        return None
    try:
        return device.read(offset, size)
    except DeviceError:
        return None


def _runs(found: bytes, right: bytes, sector: int) -> Iterator[tuple[int, int]]:
    """Runs of sectors in which two buffers of one length differ: (start, end) in bytes."""
    unequal = np.frombuffer(found, np.uint8) != np.frombuffer(right, np.uint8)
    wrong = np.logical_or.reduceat(unequal, np.arange(0, len(unequal), sector))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wrong, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2).tolist():
        yield start * sector, end * sector
