"""Memory to measure in: aligned, on large pages where the system gives them, filled with random bytes."""

from __future__ import annotations

import mmap

import numpy as np
from numpy.typing import NDArray

HUGE = 2 << 20


def make(size: int) -> NDArray[np.uint8]:
    """``size`` random bytes (rounded up to 2 MiB), aligned to 2 MiB."""
    size += -size % HUGE
    room = mmap.mmap(-1, size + HUGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        room.madvise(mmap.MADV_HUGEPAGE)
    every = np.frombuffer(room, np.uint8)  # keeps the map alive
    arena = every[-every.ctypes.data % HUGE :][:size]
    rng = np.random.default_rng(1)
    for at in range(0, size, HUGE):
        arena[at : at + HUGE] = rng.integers(0, 256, HUGE, np.uint8)
    return arena
