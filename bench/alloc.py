"""How fast room for blocks is found, and how long the runs are that they come to lie in.

    taskset -c 1 python -m bench.alloc [--sizes 4096,131072] [--batches 1,64,8192] [--pieces 1000000] [--rounds 5]

Pools exist in memory only. ``empty``: nothing is allocated. ``pieces``: free space is in a million pieces of 4 to 64
KiB, all in metaslabs of 16 GiB: what a pool looks like that was full for years. Figures are of CPU time of one thread,
best and median of rounds: microseconds a block (all its copies), blocks a second, and GB/s (10^9) of data that could be
written at that speed. ``run``: mean MiB that lie in a row on one vdev. Before each round what the last one took is
given back, which is not measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels.rangetree import RangeTree
from uberblock.pool.alloc.allocator import Allocator
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.vdev.state import VdevState
from uberblock.pool.vdev.tree import VdevTree, build

MIB = 1 << 20
SHIFT = 34
U64 = NDArray[np.uint64]
#: Most that one round places, and most blocks of it.
ROUND_BYTES, ROUND_BLOCKS = 1 << 30, 32768


def tree_of(vdevs: int, raidz: bool) -> VdevTree:
    """Single disks, or raidz2 of eight disks, of 64 TiB each."""
    tops: list[dict[str, Any]] = []
    guids = iter(range(2, 1 << 20))
    for number in range(vdevs):
        top: dict[str, Any] = {"type": "file", "guid": next(guids), "id": number, "ashift": 12, "asize": 1 << 46}
        top["metaslab_shift"] = SHIFT
        if raidz:
            leaves = [{"type": "file", "guid": next(guids), "id": n} for n in range(8)]
            top |= {"type": "raidz", "nparity": 2, "children": leaves}
        tops.append(top)
    tree = build({"type": "root", "guid": 1, "id": 0, "children": tops}, {})
    for leaf in tree.leaves:
        leaf.device = MemoryDevice(512)  # never looked at
        leaf.set_state(VdevState.HEALTHY)
    tree.propagate_states()
    return tree


class Pieces:
    """Space maps of a pool whose free space is in pieces; the first metaslabs of each vdev have some, the rest none."""

    def __init__(self, tree: VdevTree, pieces: int) -> None:
        rng = np.random.default_rng(1)
        self.room = (1 << SHIFT) >> 17  # in one metaslab: one for every 128 KiB
        self.sizes = rng.integers(1, 17, self.room).astype(np.uint64) << np.uint64(12)
        self.full = -(-pieces // (self.room * len(tree.tops)))
        used = np.full((1 << 46) >> SHIFT, 1 << SHIFT, np.int64)
        used[: self.full] -= int(self.sizes.sum())
        self.allocated = {top.id: used for top in tree.tops}

    def load(self, vdev: int, metaslab: int) -> tuple[U64, U64]:
        begin = np.uint64(metaslab << SHIFT)
        if metaslab >= self.full:
            return np.array([begin]), np.array([begin + np.uint64(1 << SHIFT)])
        grid = begin + np.arange(self.room, dtype=np.uint64) * np.uint64(1 << 17)
        return grid + self.sizes, grid + np.uint64(1 << 17)


@dataclass
class Pool:
    title: str
    make: Callable[[], Allocator]


def pools(pieces: int) -> list[Pool]:
    found = []
    for vdevs, raidz in ((1, False), (4, False), (2, True)):
        tree = tree_of(vdevs, raidz)
        layout = f"{vdevs} x {'raidz2 of 8' if raidz else 'disk'}"
        found.append(Pool(f"empty, {layout}", lambda tree=tree: Allocator(tree)))  # type: ignore[misc]
        if not raidz:
            maps = Pieces(tree, pieces)
            found.append(
                Pool(
                    f"pieces, {layout}",
                    lambda tree=tree, maps=maps: Allocator(tree, load=maps.load, allocated=maps.allocated),  # type: ignore[misc]
                )
            )
    return found


def run_mib(placed: U64) -> float:
    """Mean length of what lies in a row, in MiB."""
    first = placed[:, 0]
    first = first[first[:, 2] > 0]
    breaks = (first[1:, 0] != first[:-1, 0]) | (first[1:, 1] != first[:-1, 1] + first[:-1, 2])
    return float(first[:, 2].sum()) / (np.count_nonzero(breaks) + 1) / MIB


def measure(allocator: Allocator, size: int, batch: int, copies: int, rounds: int) -> tuple[list[float], float, int]:
    """Microseconds a block in each round; mean run; how many blocks there was no room for."""
    calls = max(1, min(ROUND_BYTES // size, ROUND_BLOCKS) // batch)
    calls = min(calls, 2000)
    sizes = np.full(batch, size, np.uint64)
    allocator.allocate(sizes[:1], txg=1, copies=copies)  # metaslabs are loaded
    times: list[float] = []
    results: list[U64] = []
    for _ in range(rounds):
        results = []
        began = time.thread_time_ns()
        for _ in range(calls):
            results.append(allocator.allocate(sizes, txg=1, copies=copies))
        times.append((time.thread_time_ns() - began) / 1000 / (calls * batch))
        flat = np.concatenate(results).reshape(-1, 3)
        flat = flat[flat[:, 2] > 0]
        allocator.unallocate(flat[:, 0], flat[:, 1], flat[:, 2], txg=1)
    placed = np.concatenate(results)
    return times, run_mib(placed), int(np.count_nonzero(placed[:, 0, 2] == 0))


def kernel(pieces: int) -> None:
    """The set of segments by itself."""
    rng = np.random.default_rng(1)
    starts = np.arange(pieces, dtype=np.uint64) * np.uint64(1 << 17)
    ends = starts + (rng.integers(1, 17, pieces).astype(np.uint64) << np.uint64(12))
    order = rng.permutation(pieces)
    print(f"a set of {pieces} segments, ns a segment:")
    for title, which in (("in order", np.arange(pieces)), ("in any order", order)):
        tree, first, last = RangeTree(), starts[which], ends[which]
        spent = []
        for step in (lambda: tree.add(first, last), lambda: tree.remove(first, last)):  # noqa: B023
            began = time.thread_time_ns()
            step()
            spent.append((time.thread_time_ns() - began) / pieces)
        print(f"  {title:14} add {spent[0]:6.0f}   remove {spent[1]:6.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="4096,16384,131072")
    parser.add_argument("--batches", default="1,64,8192")
    parser.add_argument("--copies", default="1,3")
    parser.add_argument("--pieces", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kernel(options.pieces)
    head = f"{'size':>8}{'batch':>7}{'copies':>7}{'us/block':>17}{'blocks/s':>12}{'GB/s':>8}{'run':>8}{'no room':>9}"
    for pool in pools(options.pieces):
        print(f"\n{pool.title}\n{head}", flush=True)
        for copies in map(int, options.copies.split(",")):
            for size in map(int, options.sizes.split(",")):
                for batch in map(int, options.batches.split(",")):
                    allocator = pool.make()
                    times, run, missing = measure(allocator, size, batch, copies, options.rounds)
                    best, median = min(times), statistics.median(times)
                    figures = (
                        f"{best:8.2f} /{median:7.2f}{1e6 / best:12.0f}{size / best / 1000:8.1f}{run:8.2f}{missing:9}"
                    )
                    print(f"{size:8}{batch:7}{copies:7}{figures}", flush=True)


if __name__ == "__main__":
    main()
