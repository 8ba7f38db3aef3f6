"""What memory allows on this machine, measured: the roof under which the kernels work.

``read`` and ``copy`` are bytes a nanosecond (GB/s); a copy counts what it reads and what it writes. For memory
beyond the caches the best of two ways is taken: with and without prefetching for reads, through the caches and
past them for copies.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import native, turns

LINE = 256  # the loops take whole pieces of this size
SLICE_NS = 1_000_000


@dataclass(frozen=True)
class Roof:
    read: float
    copy: float

    def of(self, read_bytes: float, written_bytes: float) -> float:
        """GB/s of ``read_bytes``, at most, for work that reads these and writes those."""
        return min(self.read, self.copy * read_bytes / (read_bytes + written_bytes))


def address(name: str) -> int:
    value = ctypes.cast(getattr(native.load("rig"), name), ctypes.c_void_p).value
    assert value is not None
    return value


def measure(arena: NDArray[np.uint8], working_set: int, rounds: int = 9) -> Roof:
    """The roof for ``working_set`` bytes, used again and again; as large as the arena for memory."""
    size = min(working_set, arena.size) // (2 * LINE) * (2 * LINE)
    at, half = arena.ctypes.data, size // 2
    piece = min(half, 8 << 20) // LINE * LINE
    read_from = np.arange(at, at + size - piece + 1, piece, dtype=np.uintp)
    copy_from = np.arange(at, at + half - piece + 1, piece, dtype=np.uintp)
    readers, copiers = [], []
    for name in ("rig_read", "rig_read_near"):
        items = turns.rows(len(read_from), read_from, piece)
        readers.append(turns.Contender(name, turns.function(address(name), items)))
    for name in ("rig_copy", "rig_copy_past"):
        items = turns.rows(len(copy_from), copy_from + np.uintp(half), copy_from, piece)
        copiers.append(turns.Contender(name, turns.function(address(name), items)))
    turns.measure(readers + copiers, rounds, SLICE_NS)
    return Roof(piece / min(c.best for c in readers), 2 * piece / min(c.best for c in copiers))


