"""How fast checksums are, for every kernel of this machine, on one core, beside OpenZFS's own, hashlib and blake3.

    python -m bench.checksums [--names fletcher4,sha256] [--sizes 4096,131072] [--rounds 25]
                              [--json FILE] [--plot FILE] [--markdown]

Figures are GB/s (10^9) of data, best and median of short slices taken in turn. ``cache``: one block again and again.
``stream``: blocks in turn out of an arena that no cache holds. Rows called ``many``: ours hash a batch of blocks side
by side, which nobody else here offers; the peers hash the same blocks one by one. In the other rows everybody takes
one block after the other: ours and OpenZFS's in C, a batch a call, the packages from Python, block by block.
The last rows are passes that do two things at once, beside the two passes; then the cost of a call.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import blake3
import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import checksum

from . import arena as memory
from . import machine, passes, peers_sums, plot, roofline, table, turns
from .table import Cell

ARENA_BYTES = 256 << 20
BATCH_BYTES = 1 << 20
LANES = 16  # blocks of a batch at least, where they go side by side
SLICE_NS = 500_000
SALT = bytes(range(32))

#: Checksum -> family of kernels it is computed by, one by one and side by side; the others have one implementation.
ALONE = {"fletcher2": "fletcher", "fletcher4": "fletcher", "sha256": "sha256", "sha512": "sha512", "edonr": "edonr"}
TOGETHER = {name: f"{name}_many" for name in ("sha256", "sha512", "skein", "edonr")} | {"blake3": "blake3"}
#: Checksum -> label and function of a peer that is a Python package.
PACKAGES: dict[str, tuple[str, Callable[[memoryview], object]]] = {
    "sha256": ("hashlib", lambda block: hashlib.sha256(block).digest()),
    "sha512": ("hashlib", lambda block: hashlib.new("sha512_256", block).digest()),
    "blake3": ("blake3 package", lambda block: blake3.blake3(block, key=SALT).digest()),
}


@dataclass(frozen=True)
class Work:
    """A row of the results."""

    name: str
    byteswap: bool = False
    many: bool = False

    @property
    def label(self) -> str:
        return self.name + (" byteswapped" if self.byteswap else "") + (" many" if self.many else "")


def works(names: list[str]) -> list[Work]:
    found = []
    for name in names:
        found.append(Work(name))
        if name.startswith("fletcher"):
            found.append(Work(name, byteswap=True))
        if name in TOGETHER:
            found.append(Work(name, many=True))
    return found


def batches(blocks: peers_sums.Blocks, work: Work) -> turns.Run:
    """Ours, a batch a call: ``many_at`` over the next blocks. In cache the batch is one block many times."""
    size, count = blocks.size, blocks.count
    batch = max(LANES if work.many else 1, BATCH_BYTES // size)
    offsets = np.arange(count + batch, dtype=np.int64) % count * size
    sizes = np.full(batch, size, dtype=np.int64)
    out = np.zeros((batch, 4), dtype=np.uint64)
    salt = SALT if work.name in checksum.SALTED else b""

    def run(start: int, slice_ns: int) -> tuple[float, int]:
        at, done, began, spent = start % count, 0, time.thread_time_ns(), 0
        while spent < slice_ns:
            checksum.many_at(
                work.name, blocks.arena, offsets[at : at + batch], sizes, out, salt=salt, byteswap=work.byteswap
            )
            at = (at + batch) % count
            done += batch
            spent = time.thread_time_ns() - began
        return spent / done, at

    return run


def one_by_one(blocks: peers_sums.Blocks, call: Callable[[memoryview], object]) -> turns.Run:
    """A function of Python, block by block; between two looks at the clock it gets as many as a batch has."""
    view = blocks.arena.data
    views = [view[i * blocks.size : (i + 1) * blocks.size] for i in range(blocks.count)]
    batch = max(1, BATCH_BYTES // blocks.size)
    turn = [views[i % blocks.count] for i in range(blocks.count + batch)]

    def run(start: int, slice_ns: int) -> tuple[float, int]:
        at, done, began, spent = start % blocks.count, 0, time.thread_time_ns(), 0
        while spent < slice_ns:
            for block in turn[at : at + batch]:
                call(block)
            at = (at + batch) % blocks.count
            done += batch
            spent = time.thread_time_ns() - began
        return spent / done, at

    return run


def use(family: str, kernel: str) -> None:
    """One kernel of a family; one block after the other where the family has no say in batches."""
    checksum.select()
    checksum.select(family, kernel)
    if f"{family}_many" in checksum.FAMILIES:
        checksum.select(f"{family}_many", "single")


def contenders(blocks: peers_sums.Blocks, work: Work) -> list[turns.Contender]:
    found = []
    family = TOGETHER[work.name] if work.many else ALONE.get(work.name)
    if family is not None:
        for kernel in checksum.implementations()[family]:
            if kernel != "single":
                ready = partial(use, family, kernel)
                found.append(turns.Contender(f"ours {kernel}", batches(blocks, work), True, ready))
        if work.name == "sha512" and not work.many:
            run = one_by_one(blocks, checksum.sha512)
            found.append(turns.Contender("ours, a lone block", run, True, checksum.select))
    elif work.name == "skein":
        ready = partial(checksum.select, "skein_many", "single")
        found.append(turns.Contender("ours", batches(blocks, work), True, ready))
    else:  # a lone block goes to the package
        found.append(turns.Contender("ours", one_by_one(blocks, lambda block: checksum.blake3(block, SALT)), True))
    found += blocks.contenders(work.name, work.byteswap, SALT)
    if work.name in PACKAGES:
        label, function = PACKAGES[work.name]
        found.append(turns.Contender(label, one_by_one(blocks, function)))
    return found


def cells(arena: NDArray[np.uint8], todo: list[Work], sizes: list[int], rounds: int) -> list[Cell]:
    found = []
    memory_roof = roofline.measure(arena, arena.size).read
    cached = {size: roofline.measure(arena, size).read for size in sizes}
    for work in todo:
        for size in sizes:
            for stream in (False, True):
                blocks = peers_sums.Blocks(arena, size, arena.size // size if stream else 1)
                runners = contenders(blocks, work)
                turns.measure(runners, rounds, SLICE_NS)
                roof = memory_roof if stream else cached[size]
                column = f"{size >> 10} KiB {'stream' if stream else 'cache'}"
                found += table.cells_of(runners, work.label, column, size, roof)
                print(".", end="", flush=True, file=sys.stderr)
        print(f" {work.label}", flush=True, file=sys.stderr)
    checksum.select()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--names", default=",".join(checksum.IDS))
    parser.add_argument("--sizes", default="4096,16384,131072,1048576", help="bytes of a block")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", type=Path, help="keep the figures here")
    parser.add_argument("--plot", type=Path, help="draw them here (SVG, PNG)")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    core = machine.pin()
    described = machine.describe() | {"core": str(core)}
    arena = memory.make(ARENA_BYTES)
    sizes = [int(size) for size in options.sizes.split(",")]
    found = cells(arena, works(options.names.split(",")), sizes, options.rounds)
    if "fletcher4" in options.names:
        found += passes.cells(arena, sizes, options.rounds, SLICE_NS)
    for row in table.unique(c.row for c in found):
        print(table.figures(found, row, options.markdown), end="\n\n")
    print(table.ratios(found, options.markdown))
    costs = passes.calls()
    print("a call from Python besides the work, ns:", ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items()))
    print("in use by default:", ", ".join(f"{k} {v}" for k, v in checksum.implementation().items()))
    if options.json:
        table.save(options.json, found, described, {"ns of a call": costs})
    if options.plot:
        plot.draw(found, options.plot, described["processor"])


if __name__ == "__main__":
    main()
