"""Passes over the data that do two things at once, beside the two passes; and what a call from Python costs.

Part of ``python -m bench.checksums``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import checksum, fused, raidz

from . import table, turns

COLUMNS, PARITIES = 8, 2
SALT = bytes(range(32))
CALLS, REPEATS = 4000, 30


def copying(arena: NDArray[np.uint8], size: int, count: int) -> list[turns.Contender]:
    """A block copied to one place, as a writer fills its buffer, and summed."""
    target = np.zeros(size, np.uint8)
    blocks = [arena[i * size : (i + 1) * size] for i in range(count)]

    def both(i: int) -> None:
        np.copyto(target, blocks[i])
        checksum.fletcher4(target)

    return [
        turns.Contender("ours, one pass", turns.python(lambda i: fused.copy_fletcher4(blocks[i], target), count), True),
        turns.Contender("copy, then sum", turns.python(both, count)),
    ]


def parity(arena: NDArray[np.uint8], size: int, count: int) -> list[turns.Contender]:
    """Parity for a block of ``size`` bytes, and its sum."""
    height = size // COLUMNS
    made = [np.zeros(height, np.uint8) for _ in range(PARITIES)]
    blocks = [arena[i * size : (i + 1) * size] for i in range(count)]
    columns = [[block[c * height : (c + 1) * height] for c in range(COLUMNS)] for block in blocks]

    def fuse(i: int) -> None:
        fused.generate_fletcher4(columns[i], made)

    def both(i: int) -> None:
        raidz.generate(columns[i], made)
        checksum.fletcher4(blocks[i])

    return [
        turns.Contender("ours, one walk", turns.python(fuse, count), True),
        turns.Contender("parity, then sum", turns.python(both, count)),
    ]


def cells(arena: NDArray[np.uint8], sizes: list[int], rounds: int, slice_ns: int) -> list[table.Cell]:
    """Rows for blocks of these sizes and, as that is where it matters, of 16 MiB."""
    found = []
    for label, make in (("copy + fletcher4", copying), (f"parity {COLUMNS}+{PARITIES} + fletcher4", parity)):
        for size in [*(size for size in sizes if size >= 65536), 16 << 20]:
            for stream in (False, True):
                runners = make(arena, size, arena.size // size if stream else 1)
                turns.measure(runners, rounds, slice_ns)
                column = f"{size >> 10} KiB {'stream' if stream else 'cache'}"
                found += table.cells_of(runners, label, column, size)
    return found


def cost(call: Callable[[], object]) -> float:
    """Nanoseconds of a call, the best of several times many."""
    best = float("inf")
    for _ in range(REPEATS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.thread_time_ns() - began) / CALLS)
    return best


def calls() -> dict[str, float]:
    """What a call costs besides the work: the whole, less the work of one block in a batch of many."""
    block, small = np.zeros(4096, np.uint8), bytes(64)
    one, batch = np.zeros((1, 4), np.uint64), np.zeros((256, 4), np.uint64)
    zeros, sizes = np.zeros(256, np.int64), np.full(256, 4096, np.int64)
    began, work = time.thread_time_ns(), float("inf")
    for _ in range(200):
        began = time.thread_time_ns()
        checksum.many_at("fletcher4", block, zeros, sizes, batch)
        work = min(work, (time.thread_time_ns() - began) / 256)
    at, size = zeros[:1], sizes[:1]
    found = {
        "fletcher4(block of 4 KiB)": cost(lambda: checksum.fletcher4(block)) - work,
        "many(fletcher4, [block of 4 KiB])": cost(lambda: checksum.many("fletcher4", [block], one)) - work,
        "many_at(fletcher4, one of 4 KiB)": cost(lambda: checksum.many_at("fletcher4", block, at, size, one)) - work,
    }
    for name in checksum.IDS:
        salt = (SALT,) if name in checksum.SALTED else ()
        found[f"{name}(64 bytes), with their work"] = cost(partial(getattr(checksum, name), small, *salt))
    return {name: round(value, 1) for name, value in found.items()}
