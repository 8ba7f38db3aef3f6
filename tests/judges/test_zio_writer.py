"""Blocks written into copies of real pools, read by zdb: where they lie, their parity, and every compression."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import params
from uberblock.pool.device.file import FileDevice
from uberblock.pool.ondisk import blkptr, bpmake, label
from uberblock.pool.vdev.tree import VdevTree, build
from uberblock.pool.zio.reader import Zio
from uberblock.pool.zio.writer import WritePolicy, ZioWriter
from writing import PlainAllocator

pytestmark = pytest.mark.judge

KINDS = params(["algorithms", "raidz1", "raidz2", "raidz3", "raidz-expansion", "draid"])
TXG = 4  # what zdb takes for the birth of a block named by its address
ALL = (2, 3, 5, 10, 13, 14, 15, 16)
ROOM = 8 << 20  # at the end of the vdev, where these small pools have nothing


def open_copy(stack: ExitStack, images: list[Path]) -> tuple[str, VdevTree]:
    """The first top-level vdev of a pool, to be written to."""
    devices, top, name = {}, None, ""
    for image in images:
        with image.open("rb") as stream:
            config: Any = label.decode(stream.read(256 << 10), 0).config
        if "vdev_tree" not in config or config["vdev_tree"]["id"] != 0:
            continue
        top, name = config["vdev_tree"], config["name"]
        devices[config["guid"]] = stack.enter_context(FileDevice(image, readonly=False))
    assert top is not None
    return name, build({"type": "root", "id": 0, "guid": 1, "children": [top]}, devices)


def contents(lsize: int) -> bytes:
    """Bytes that any method compresses: words with zeros between them."""
    words = np.random.default_rng(lsize).integers(1, 256, (lsize // 64, 8), np.uint8)
    rows = np.concatenate([words, words, words, np.zeros((lsize // 64, 40), np.uint8)], axis=1)
    return rows.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_zdb_reads_blocks(pools, judge: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    folder = pools(kind).copy(tmp_path / "pool")
    written: list[tuple[bytes, np.ndarray]] = []
    with ExitStack() as stack:
        name, tree = open_copy(stack, sorted(folder.glob("*.img")))
        zio = Zio(tree)
        allocator = PlainAllocator(tree)
        allocator.cursor[0] = (tree.tops[0].asize - ROOM) // (1 << 20) * (1 << 20)
        writer = ZioWriter(zio, allocator)
        for number in ALL if kind == "algorithms" else (2, 15):
            for lsize in (4096, 65536, 1 << 17):
                data = contents(lsize)
                written.append((data, writer.write([data], WritePolicy(19, compress=number), TXG, lsize=lsize)[0]))
        writer.flush()
    for data, bp in written:
        (_, offset, _), psize = bpmake.places(bp.reshape(1))[0, 0].tolist(), int(blkptr.psize(bp))
        packed = int(blkptr.compression(bp)) != 2
        size = f"{len(data):x}/{psize:x}" if packed else f"{psize:x}"
        words = ["-e", "-p", str(folder), "-R", name, f"0:{offset:x}:{size}:{'dr' if packed else 'r'}"]
        done = subprocess.run([judge("zdb"), *words], capture_output=True, timeout=120, check=False)
        # After what it takes for ZLE zdb says that it may be wrong.
        assert done.stdout[: len(data)] == data, (int(blkptr.compression(bp)), done.stderr[-200:])
    used = {int(blkptr.compression(bp)) for _, bp in written}
    assert used == (set(ALL) if kind == "algorithms" else {2, 15})
