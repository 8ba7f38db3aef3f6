"""How fast raidz parity is made and columns are rebuilt, for every kernel of this machine, on one core.

    taskset -c 1 python -m bench.parity [--shapes 4+2,8+3] [--blocks 4096,131072] [--lost 3,5]
                                        [--kernels avx2,scalar] [--rounds 7]

Figures are GB/s (10^9) of data columns, best and median of short slices taken in turn, so that a machine
whose speed drifts does not favour anybody. ``cache``: one stripe again and again. ``stream``: stripes in turn
out of an arena that no cache holds; beside it the roofline, what memory gives if each data byte is read and
each result byte written once, by the speed of copying the arena.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import raidz

ARENA_BYTES = 256 << 20
SLICE_NS = 2_000_000
Stripe = list[NDArray[np.uint8]]


def stripes_of(arena: NDArray[np.uint8], columns: int, block: int, count: int) -> list[Stripe]:
    """Page-aligned columns one after the other, as a record is cut into them."""
    whole = arena[: count * columns * block].reshape(count, columns, block)
    return [list(stripe) for stripe in whole]


def slice_of(call: Callable[[Stripe], None], stripes: list[Stripe], start: int) -> tuple[float, int]:
    """Nanoseconds a call, over a slice that begins with stripe ``start``; and where it stopped."""
    calls, k, began = 0, start, time.perf_counter_ns()
    while True:
        call(stripes[k])
        calls += 1
        k = (k + 1) % len(stripes)
        spent = time.perf_counter_ns() - began
        if spent >= SLICE_NS:
            return spent / calls, k


def measure(
    kernels: list[str], call: Callable[[Stripe], None], stripes: list[Stripe], rounds: int
) -> dict[str, list[float]]:
    """Nanoseconds a call, for every kernel and round. A slice begins where the last one stopped: nobody finds
    in a cache what another has fetched."""
    times: dict[str, list[float]] = {name: [] for name in kernels}
    at = 0
    for _ in range(rounds):
        for name in kernels:
            raidz.select(name)
            spent, at = slice_of(call, stripes, at)
            times[name].append(spent)
    raidz.select()
    return times


def copy_speed(arena: NDArray[np.uint8]) -> float:
    """Bytes a nanosecond, read and written, of copying pieces of the arena, so large that the C library stores
    past the caches; the best of several."""
    piece, best = arena.size // 4, 0.0
    for at in (0, piece) * 4:
        began = time.perf_counter_ns()
        np.copyto(arena[at : at + piece], arena[2 * piece + at : 3 * piece + at])
        best = max(best, 2 * piece / (time.perf_counter_ns() - began))
    return best


def report(what: str, data_bytes: int, times: dict[str, list[float]], roof: float | None) -> None:
    cells = [
        f"{name} {data_bytes / min(spent):.1f}/{data_bytes / statistics.median(spent):.1f}"
        for name, spent in times.items()
    ]
    if roof is not None:
        cells.append(f"[roofline {roof:.1f}]")
    print(f"{what:30s}", "  ".join(cells), flush=True)


def run(options: argparse.Namespace) -> None:
    room = np.empty(ARENA_BYTES + 4096, np.uint8)
    arena = room[-room.ctypes.data % 4096 :][:ARENA_BYTES]
    arena.view(np.uint32)[:] = np.arange(ARENA_BYTES // 4, dtype=np.uint32)
    speed = copy_speed(arena)
    kernels = options.kernels.split(",") if options.kernels else list(raidz.implementations())
    print(f"default kernel {raidz.implementation()}; copying memory {speed:.1f} GB/s (read + written)")
    for shape in options.shapes.split(","):
        ndata, nparity = map(int, shape.split("+"))
        lost = [c for c in map(int, options.lost.split(",")) if c < ndata + nparity][:nparity]

        def make(stripe: Stripe, p: int = nparity) -> None:
            raidz.generate(stripe[p:], stripe[:p])

        def rebuild(stripe: Stripe, p: int = nparity, missing: tuple[int, ...] = tuple(lost)) -> None:
            raidz.reconstruct(stripe, p, missing)

        jobs = [("make", nparity, make), (f"lost {','.join(map(str, lost))}", len(lost), rebuild)]
        for block in map(int, options.blocks.split(",")):
            in_arena = max(1, ARENA_BYTES // ((ndata + nparity) * block))
            for what, written, call in jobs:
                for mode, count in (("cache", 1), ("stream", in_arena)):
                    stripes = stripes_of(arena, ndata + nparity, block, count)
                    times = measure(kernels, call, stripes, options.rounds)
                    roof = speed * ndata / (ndata + written) if mode == "stream" else None
                    report(f"{shape} {block >> 10}K {mode} {what}", ndata * block, times, roof)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.parity", description="Speed of raidz parity, GB/s of data.")
    parser.add_argument("--shapes", default="4+2,8+1,8+2,8+3,16+3")
    parser.add_argument("--blocks", default="4096,16384,131072,1048576", help="bytes of a column")
    parser.add_argument("--lost", default="4,5,6", help="missing columns, parity first; as many as can be")
    parser.add_argument("--kernels", default="", help="default: all that run here")
    parser.add_argument("--rounds", type=int, default=7)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
