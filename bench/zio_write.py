"""How fast blocks are written: checksum, parity and pwritev of a whole batch, on one core, beside the parts alone.

    taskset -c 1 python -m bench.zio_write [--dir /dev/shm] [--top raidz2:6] [--sizes 16384,131072,1048576]
                                           [--checksum 7] [--compress 2] [--mib 256] [--rounds 5]

Figures are GB/s (10^9) of logical data by processor time, the best of several rounds, over files whose pages exist.
``parts``: checksums alone, parity alone, and pwritev alone of the same columns in runs; ``sum``: what the three would
give one after the other.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from uberblock.kernels import checksum, raidz
from uberblock.pool.device.file import FileDevice
from uberblock.pool.vdev.tree import VdevTree, build
from uberblock.pool.zio.checksum import Checksum
from uberblock.pool.zio.reader import Zio
from uberblock.pool.zio.writer import WritePolicy, ZioWriter

DATA_START = 4 << 20
ASHIFT = 12


class Line:
    """An allocator that starts again at the beginning of the only top-level vdev."""

    def __init__(self, tree: VdevTree) -> None:
        self.tree = tree

    def allocate(self, psizes: Any, *, txg: int, copies: int = 1, cls: Any = 0) -> Any:
        result = np.zeros((len(psizes), 1, 3), np.uint64)
        asizes = self.tree.asizes(0, psizes, np.full(len(psizes), txg))
        result[:, 0, 1] = np.cumsum(asizes) - asizes
        result[:, 0, 2] = asizes
        return result

    def unallocate(self, vdevs: Any, offsets: Any, asizes: Any, *, txg: int) -> None:
        """Nothing was noted."""

    def free(self, vdevs: Any, offsets: Any, asizes: Any, *, txg: int) -> None:
        """Nothing was noted."""


def make_pool(folder: Path, top: str, nbytes: int) -> tuple[VdevTree, list[FileDevice]]:
    """A tree over new files that have all their pages. ``top``: disk, mirror:N, raidzP:N."""
    kind, _, number = top.partition(":")
    width = int(number or 1)
    nparity = int(kind[-1]) if kind.startswith("raidz") else 0
    share = nbytes // (width - nparity) if nparity else nbytes
    asize = (share + (16 << 20)) // 4096 * 4096
    devices, leaves = {}, []
    for k in range(width):
        path = folder / f"leaf{k}"
        with path.open("wb") as file:
            for _ in range((asize + DATA_START + (1 << 20)) >> 20):
                file.write(b"\xee" * (1 << 20))
        devices[k + 2] = FileDevice(path, readonly=False)
        leaves.append({"type": "file", "guid": k + 2, "path": str(path), "id": k})
    if width == 1:
        config: dict[str, Any] = {**leaves[0], "ashift": ASHIFT, "asize": asize}
    else:
        word = "raidz" if nparity else "mirror"
        config = {"type": word, "guid": 1000, "id": 0, "ashift": ASHIFT, "children": leaves}
        config["asize"] = asize * width if nparity else asize
        if nparity:
            config["nparity"] = nparity
    return build({"type": "root", "id": 0, "guid": 1, "children": [config]}, devices), list(devices.values())


def best(call: Callable[[], object], rounds: int) -> float:
    """Seconds of processor time of the fastest call: all of it, since the files are in memory."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def parts(data: Any, size: int, options: argparse.Namespace, devices: list[FileDevice]) -> dict[str, float]:
    """Seconds for each part alone."""
    count = len(data)
    offsets = np.arange(count, dtype=np.uint64) * np.uint64(size)
    sizes = np.full(count, size, np.uint64)
    words = np.empty((count, 4), np.uint64)
    names = {number: name for name, number in checksum.IDS.items()}
    result = {}
    if options.checksum in names:
        name = names[options.checksum]
        result["checksum"] = best(
            lambda: checksum.many_at(name, data, offsets, sizes, words, salt=bytes(32)), options.rounds
        )
    kind, _, width = options.top.partition(":")
    nparity = int(kind[-1]) if kind.startswith("raidz") else 0
    ndata = int(width or 1) - nparity if nparity else 1
    column = size // ndata
    if nparity:
        parity = [np.empty(column, np.uint8) for _ in range(nparity)]
        stripes = [list(block[: ndata * column].reshape(ndata, column)) for block in data]
        result["parity"] = best(lambda: [raidz.generate(stripe, parity) for stripe in stripes], options.rounds)
    flat = data.reshape(-1)
    total = flat.nbytes // ndata
    chunk = 256 << 10

    def write() -> None:
        for at in range(0, total, chunk):
            for device in devices:
                os.pwrite(device.fileno() or 0, flat[at : at + chunk], DATA_START + at)

    result["pwrite"] = best(write, options.rounds)
    return result


def run(options: argparse.Namespace, folder: Path) -> None:
    nbytes = options.mib << 20
    tree, devices = make_pool(folder, options.top, nbytes)
    with closing(Zio(tree)) as zio:
        zio.salt = bytes(32)
        writer = ZioWriter(zio, Line(tree), threads=options.threads)
        print(f"{options.top}, {options.mib} MiB, checksum {options.checksum}, compression {options.compress}")
        for size in map(int, options.sizes.split(",")):
            data = np.random.default_rng(1).integers(0, 256, (nbytes // size, size), np.uint8)
            policy = WritePolicy(19, checksum=options.checksum, compress=options.compress)

            def write(data: Any = data, size: int = size, policy: WritePolicy = policy) -> None:
                writer.write(data, policy, 10, lsize=size)

            spent = best(write, options.rounds)
            alone = parts(data, size, options, devices)
            cells = [f"{name} {nbytes / seconds / 1e9:.2f}" for name, seconds in alone.items()]
            rate = nbytes / spent / 1e9
            cells.append(f"sum {nbytes / sum(alone.values()) / 1e9:.2f}")
            print(f"{size >> 10:5d}K  write {rate:.2f}  [{'  '.join(cells)}]", flush=True)
        writer.close()
    for device in devices:
        device.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.zio_write", description="Speed of writing blocks, GB/s of data.")
    parser.add_argument("--dir", default="/dev/shm", help="where the files are made")
    parser.add_argument("--top", default="raidz2:6", help="disk, mirror:N, raidzP:N")
    parser.add_argument("--sizes", default="16384,131072,1048576", help="bytes of a block")
    parser.add_argument("--checksum", type=int, default=int(Checksum.FLETCHER4))
    parser.add_argument("--compress", type=int, default=2)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        run(options, Path(folder))


if __name__ == "__main__":
    main()
