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
PIECE = 1 << 20
READERS = ("rig_read", "rig_read_near")
COPIERS = ("rig_copy", "rig_copy_past")


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


def contenders(arena: NDArray[np.uint8], working_set: int) -> tuple[list[turns.Contender], int]:
    """Two readers and two copiers of ``working_set`` bytes, used again and again (as large as the arena for memory),
    to take turns with others; and the bytes of a piece of their work."""
    size = min(working_set, arena.size) // (2 * LINE) * (2 * LINE)
    at, half = arena.ctypes.data, size // 2
    piece = min(half, PIECE) // LINE * LINE
    read_from = np.arange(at, at + size - piece + 1, piece, dtype=np.uintp)
    copy_from = np.arange(at, at + half - piece + 1, piece, dtype=np.uintp)
    found = []
    for name in READERS:
        found.append(turns.Contender(name, turns.function(address(name), turns.rows(len(read_from), read_from, piece))))
    for name in COPIERS:
        items = turns.rows(len(copy_from), copy_from + np.uintp(half), copy_from, piece)
        found.append(turns.Contender(name, turns.function(address(name), items)))
    return found, piece


def of(measured: list[turns.Contender], piece: int) -> Roof:
    """The roof that ``contenders`` found."""
    read = min(c.best for c in measured if c.label in READERS)
    copy = min(c.best for c in measured if c.label in COPIERS)
    return Roof(piece / read, 2 * piece / copy)


def measure(arena: NDArray[np.uint8], working_set: int, rounds: int = 9) -> Roof:
    """The roof for ``working_set`` bytes, measured alone."""
    found, piece = contenders(arena, working_set)
    turns.measure(found, rounds, SLICE_NS)
    return of(found, piece)
