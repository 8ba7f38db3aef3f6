"""Contenders measured in turn, slice by slice, so that a machine whose speed drifts does not favour anybody.

A contender does pieces of work numbered 0 .. count-1, round and round. A slice begins with the piece after the one
where the last slice, somebody else's, stopped: nobody finds in a cache what another has fetched. Time is CPU time of
this thread, so that what else runs on a busy machine disturbs by its use of caches and memory only.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from . import native

WARM_NS = 50_000

#: From piece ``start``, for about ``slice_ns``: nanoseconds for each piece, and the next piece.
Run = Callable[[int, int], tuple[float, int]]


def nothing() -> None:
    """For contenders that need no preparation."""


@dataclass
class Contender:
    """Somebody who does the work, and how long each of its slices took, in nanoseconds a piece."""

    label: str
    run: Run
    ours: bool = False
    ready: Callable[[], object] = nothing  # called before each slice, for instance to select a kernel
    times: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.times)

    @property
    def median(self) -> float:
        return statistics.median(self.times)


def python(call: Callable[[int], object], count: int) -> Run:
    """A Python function of the number of the piece; for work of microseconds and more."""

    def run(start: int, slice_ns: int) -> tuple[float, int]:
        at, calls, began, spent = start % count, 0, time.thread_time_ns(), 0
        while spent < slice_ns:
            call(at)
            at = at + 1 if at + 1 < count else 0
            calls += 1
            spent = time.thread_time_ns() - began
        return spent / calls, at

    return run


def function(address: int, items: NDArray[np.uintp], keep: object = None) -> Run:
    """A C function at ``address``, called from C. ``items``: one row of six words for each piece, the arguments
    (integers or addresses; ones that the function does not have are ignored). ``keep``: what must stay alive."""
    if items.ndim != 2 or items.shape[1] != 6 or items.dtype != np.uintp or not items.flags.c_contiguous:
        raise ValueError("items: a C-contiguous array of rows of six words is wanted")
    rig = native.load("rig").rig_run
    rig.restype = ctypes.c_double
    count, held = len(items), (items, keep)

    def run(start: int, slice_ns: int) -> tuple[float, int]:
        at = ctypes.c_size_t(start)
        spent = rig(
            ctypes.c_void_p(address), ctypes.c_void_p(held[0].ctypes.data), ctypes.c_size_t(count), ctypes.byref(at),
            ctypes.c_int64(slice_ns),
        )  # fmt: skip
        return spent, at.value

    return run


def rows(count: int, *words: int | NDArray[np.uintp]) -> NDArray[np.uintp]:
    """Rows for ``function``: each word one number for all pieces, or an array of one for each."""
    items = np.zeros((count, 6), np.uintp)
    for i, word in enumerate(words):
        items[:, i] = word
    return items


def measure(contenders: Sequence[Contender], rounds: int, slice_ns: int = 2_000_000, warm: bool = False) -> None:
    """Give each contender ``rounds`` slices, in turn. ``warm``: what it works on is to be in the caches already, and
    others have been there; so it does a piece or two before its slice."""
    at = 0
    for _ in range(rounds):
        for each in contenders:
            each.ready()
            if warm:
                each.run(at, WARM_NS)
            spent, at = each.run(at, slice_ns)
            each.times.append(spent)
