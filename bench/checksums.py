"""How fast checksums are, for every kernel of this machine, on one core, beside hashlib and blake3.

    taskset -c 1 python -m bench.checksums [--names fletcher4,sha256] [--sizes 4096,131072] [--rounds 9]

Figures are GB/s (10^9), best and median of short slices taken in turn, so that a machine whose speed drifts
does not favour anybody. ``cache``: one block again and again. ``stream``: blocks in turn out of an arena that
no cache holds. Ours go through ``many_at``, as the engine calls them, a batch of blocks a call (in cache the
same block many times over); hashlib and blake3 have no batches and are called block by block.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import blake3
import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import checksum

ARENA_BYTES = 256 << 20
BATCH_BYTES = 8 << 20
SLICE_NS = 2_000_000
SALT = bytes(range(32))

#: Our checksum -> family of kernels it is computed by; the others have one implementation.
FAMILY = {"fletcher2": "fletcher", "fletcher4": "fletcher", "sha256": "sha256_many", "sha512": "sha512_many"}
FAMILY |= {"edonr": "edonr", "blake3": "blake3"}
#: Our checksum -> label and function of the peer.
PEERS: dict[str, tuple[str, Callable[[memoryview], object]]] = {
    "sha256": ("sha256 hashlib", lambda block: hashlib.sha256(block).digest()),
    "sha512": ("sha512/256 hashlib", lambda block: hashlib.new("sha512_256", block).digest()),
    "blake3": ("blake3 package, keyed", lambda block: blake3.blake3(block, key=SALT).digest()),
}


@dataclass
class Contender:
    """Something that sums batches of blocks, and its figures."""

    label: str
    ready: Callable[[], object]
    run: Callable[[int], object]  # the first block of a batch
    gb_s: list[float] = field(default_factory=list)


class Cell:
    """One block size and one mode: where the blocks lie, and everybody who sums them."""

    def __init__(self, arena: NDArray[np.uint8], size: int, stream: bool) -> None:
        self.arena = arena
        self.size = size
        self.batch = max(1, BATCH_BYTES // size)
        self.blocks = len(arena) // size if stream else 1
        self.sizes = np.full(self.batch, size, dtype=np.int64)
        self.out = np.zeros((self.batch, 4), dtype=np.uint64)
        view = arena.data
        self.views = [view[i * size : (i + 1) * size] for i in range(self.blocks)]
        self.at = 0

    def numbers(self, first: int) -> NDArray[np.int64]:
        """The blocks of the batch that begins with block ``first``."""
        result: NDArray[np.int64] = (first + np.arange(self.batch, dtype=np.int64)) % self.blocks
        return result

    def ours(self, name: str) -> Callable[[int], None]:
        salt = SALT if name in checksum.SALTED else b""

        def run(first: int) -> None:
            offsets = self.numbers(first) * self.size
            checksum.many_at(name, self.arena, offsets, self.sizes, self.out, salt=salt)

        return run

    def peer(self, function: Callable[[memoryview], object]) -> Callable[[int], None]:
        def run(first: int) -> None:
            for i in self.numbers(first).tolist():
                function(self.views[i])

        return run

    def measure(self, contenders: list[Contender], rounds: int) -> None:
        """A slice begins where the last one stopped: nobody finds in a cache what another has fetched."""
        for _ in range(rounds):
            for contender in contenders:
                contender.ready()
                count, began, spent = 0, time.perf_counter_ns(), 0
                while spent < SLICE_NS:
                    contender.run(self.at)
                    self.at = (self.at + self.batch) % self.blocks
                    count += self.batch
                    spent = time.perf_counter_ns() - began
                contender.gb_s.append(count * self.size / spent)


def contenders_of(cell: Cell, names: list[str]) -> list[Contender]:
    found = []
    for name in names:
        family = FAMILY.get(name)
        for kernel in checksum.implementations()[family] if family else ("",):
            ready = partial(checksum.select, family, kernel or None)
            found.append(Contender(f"{name} {kernel}".strip(), ready, cell.ours(name)))
        if name in PEERS:
            label, function = PEERS[name]
            found.append(Contender(label, lambda: None, cell.peer(function)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--names", default=",".join(checksum.IDS))
    parser.add_argument("--sizes", default="4096,131072,1048576")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    names = options.names.split(",")
    sizes = [int(size) for size in options.sizes.split(",")]

    arena = np.random.default_rng(1).integers(0, 256, ARENA_BYTES, dtype=np.uint8)
    heads, table = [], dict[str, list[str]]()
    for size in sizes:
        for stream in (False, True):
            heads.append(f"{size >> 10} KiB {'stream' if stream else 'cache'}")
            cell = Cell(arena, size, stream)
            contenders = contenders_of(cell, names)
            cell.measure(contenders, options.rounds)
            for each in contenders:
                figures = f"{max(each.gb_s):.2f} / {statistics.median(each.gb_s):.2f}"
                table.setdefault(each.label, []).append(figures)
    checksum.select()

    print(f"{'GB/s, best / median':24}" + "".join(f"{head:>18}" for head in heads))
    for label, row in table.items():
        print(f"{label:24}" + "".join(f"{cell:>18}" for cell in row))
    print("in use by default:", ", ".join(f"{k} {v}" for k, v in checksum.implementation().items()))


if __name__ == "__main__":
    main()
