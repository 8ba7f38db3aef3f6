"""Pools as this floor sees them: a vdev tree from the labels, and every block pointer the MOS leads to.

Nothing above the floor under test is used: block trees and dnodes are walked here in the plainest way.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lz4.block
import numpy as np
import pytest
import zstandard
from uberblock.kernels import raidz
from uberblock.pool.device.base import Device
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.vdev.tree import VdevTree, build
from uberblock.pool.zio import checksum as zsum
from uberblock.pool.zio.reader import Zio

DNODE = 512


@dataclass
class OpenPool:
    """A pool without its upper floors."""

    zio: Zio
    tree: VdevTree
    root: uberblock.Uberblock
    stack: ExitStack = field(repr=False)


def read_label(image: Path) -> tuple[dict[str, Any], uberblock.Uberblock | None]:
    with image.open("rb") as stream:
        region = stream.read(256 << 10)
    found = label.decode(region, 0)
    assert found.config is not None
    ring, best = memoryview(region)[label.RING_OFFSET :], None
    for slot in range(0, len(ring), 1024):
        if int.from_bytes(ring[slot : slot + 8], "little") == uberblock.MAGIC:
            ub = uberblock.decode(ring[slot : slot + 216])
            best = ub if best is None or ub.rank > best.rank else best
    return found.config, best


def open_pool(images: list[Path], **options: Any) -> OpenPool:
    """A pool from its images; tops and devices as their labels say."""
    stack = ExitStack()
    tops: dict[int, Any] = {}
    devices, best = {}, None
    for image in images:
        config, ub = read_label(image)
        devices[config["guid"]] = stack.enter_context(FileDevice(image, readonly=True))
        if "vdev_tree" in config and ub is not None:
            tops[config["vdev_tree"]["id"]] = config["vdev_tree"]
            best = ub if best is None or ub.rank > best.rank else best
    assert best is not None
    count = max(tops) + 1
    children = [tops.get(k, {"type": "hole", "id": k, "guid": 0, "ashift": 9, "asize": 0}) for k in range(count)]
    tree = build({"type": "root", "id": 0, "guid": 1, "children": children}, devices)
    zio = Zio(tree, **options)
    stack.callback(zio.close)
    return OpenPool(zio, tree, best, stack)


@pytest.fixture(scope="session")
def opened(pools) -> Iterator[Callable[..., OpenPool]]:
    """``opened("mirror")``: a pool of the collection, opened; options go to ``Zio``."""
    kept: dict[Any, OpenPool] = {}

    def get(kind: str, **options: Any) -> OpenPool:
        key = (kind, tuple(options.items()))
        if key not in kept:
            kept[key] = open_pool(pools(kind).images, **options)
        return kept[key]

    yield get
    for pool in kept.values():
        pool.stack.close()


@pytest.fixture
def open_images() -> Iterator[Callable[[list[Path]], OpenPool]]:
    """``open_images(paths)``: a pool from some of its images."""
    with ExitStack() as stack:

        def get(images: list[Path]) -> OpenPool:
            pool = open_pool(images)
            stack.push(pool.stack)
            return pool

        yield get


def dnode_pointers(slots: bytes) -> list[np.ndarray]:
    """Block pointers of every dnode in a dnode block, spill pointers too."""
    found, at = [], 0
    while at + DNODE <= len(slots):
        size = (slots[at + 12] + 1) * DNODE
        if slots[at]:
            found.append(blkptr.from_bytes(slots[at + 64 : at + 64 + slots[at + 3] * 128]))
            if slots[at + 7] & 4:
                found.append(blkptr.from_bytes(slots[at + size - 128 : at + size]))
        at += size
    return found


def solid(bps: np.ndarray) -> np.ndarray:
    return bps[~blkptr.is_hole(bps)]


def walk_down(zio: Zio, bps: np.ndarray) -> Iterator[np.ndarray]:
    """All pointers below some, level by level, in batches; the leaves last."""
    bps = solid(bps)
    while len(bps):
        yield bps
        above = bps[blkptr.level(bps) > 0]
        if not len(above):
            return
        blocks = zio.read(above, raw=True)
        bps = solid(blkptr.from_bytes(blocks.data.tobytes()))


def objset_pointers(zio: Zio, root: np.ndarray) -> tuple[np.ndarray, bytes]:
    """(every pointer of an objset's tree, the dnode blocks' bytes)."""
    found, slots = [root], b""
    phys = zio.read(root, raw=True).data.tobytes()
    for at in (0, 1024, 1536, 2048):
        if len(phys) < at + DNODE or not phys[at]:
            continue
        for tops in dnode_pointers(phys[at : at + DNODE]):
            for bps in walk_down(zio, tops):
                found.append(bps)
                if at == 0:
                    leaves = bps[(blkptr.level(bps) == 0)]
                    slots += zio.read(leaves, raw=True).data.tobytes() if len(leaves) else b""
    for pointers in dnode_pointers(slots):
        found.extend(walk_down(zio, pointers))
    return np.concatenate(found), slots


def every_pointer(pool: OpenPool) -> np.ndarray:
    """Pointers of the MOS and of every dataset: all a scrub would visit, log blocks excepted."""
    mos, slots = objset_pointers(pool.zio, pool.root.rootbp)
    pool.zio.salt = find_salt(pool.zio, slots)
    found = [mos]
    at = 0
    while at + DNODE <= len(slots):
        if slots[at] and slots[at + 4] == 16:  # bonus: a dataset
            bonus = at + 64 + slots[at + 3] * 128
            root = solid(blkptr.from_bytes(slots[bonus + 128 : bonus + 256]))
            if len(root):
                found.append(objset_pointers(pool.zio, root)[0])
        at += (slots[at + 12] + 1) * DNODE
    return np.concatenate(found)


def find_salt(zio: Zio, slots: bytes) -> bytes:
    """The pool's salt, picked out of the leaves of the object directory without reading it as a ZAP."""
    for top in dnode_pointers(slots[DNODE : 2 * DNODE]):
        for bps in walk_down(zio, top):
            blocks = zio.read(bps[blkptr.level(bps) == 0])
            for i in range(len(blocks)):
                found = salt_in_leaf(bytes(blocks.block(i)))
                if found:
                    return found
    return b""


def salt_in_leaf(leaf: bytes) -> bytes:
    """The 32-byte value named org.illumos:checksum_salt in a fat ZAP's leaf block, or nothing."""
    first = 48 + len(leaf) // 32 * 2

    def array(number: int, length: int) -> bytes:
        out = b""
        while len(out) < length and first + number * 24 + 24 <= len(leaf):
            at = first + number * 24
            out += leaf[at + 1 : at + 22]
            number = int.from_bytes(leaf[at + 22 : at + 24], "little")
        return out[:length]

    for at in range(first, len(leaf) - 23, 24):
        name, nlen, value, vlen = (int.from_bytes(leaf[at + k : at + k + 2], "little") for k in (4, 6, 8, 10))
        if leaf[at] == 252 and leaf[at + 1] == 1 and vlen == 32 and array(name, nlen) == b"org.illumos:checksum_salt\0":
            return array(value, vlen)
    return b""


# ---- synthetic pools ---------------------------------------------------------------------------------

LEAF_SIZE = 24 << 20
DATA_SIZE = LEAF_SIZE - (4 << 20) - (512 << 10)
SALT = bytes(range(32))


def leaf(guid: int, **more: Any) -> dict[str, Any]:
    """A leaf's configuration."""
    return {"type": "file", "guid": guid, "path": f"/dev/leaf{guid}", **more}


def top(kind: str, leaves: list[dict[str, Any]], ashift: int = 12, **more: Any) -> dict[str, Any]:
    """A top-level vdev's configuration; ``single`` is a leaf of its own."""
    if kind == "single":
        return {**leaves[0], "ashift": ashift, "asize": DATA_SIZE, **more}
    asize = DATA_SIZE * (len(leaves) if kind == "raidz" else 1)
    guid = 1000 + leaves[0]["guid"]
    return {"type": kind, "guid": guid, "ashift": ashift, "asize": asize, "children": leaves, **more}


def numbered(config: dict[str, Any]) -> dict[str, Any]:
    children = [{**numbered(child), "id": k} for k, child in enumerate(config.get("children", []))]
    return {**config, "children": children} if children else config


class Bench:
    """A pool in memory that blocks can be put into, the way OpenZFS would store them."""

    def __init__(self, *tops: dict[str, Any], leaf_size: int = LEAF_SIZE, **options: Any) -> None:
        config = numbered({"type": "root", "id": 0, "guid": 1, "children": list(tops)})
        guids = [node["guid"] for node in flat(config) if node["type"] == "file"]
        # Memory that takes room only where something is written.
        self.bytes = {guid: mmap.mmap(-1, leaf_size) for guid in guids}
        self.devices: dict[int, Device] = {guid: MemoryDevice(self.bytes[guid], f"leaf{guid}") for guid in guids}
        self.config = config
        self.reopen(**options)

    def reopen(self, missing: tuple[int, ...] = (), **options: Any) -> None:
        """The same devices anew, some of them missing."""
        devices = {guid: device for guid, device in self.devices.items() if guid not in missing}
        self.tree = build(self.config, devices)
        self.zio = Zio(self.tree, **options)
        self.zio.salt = SALT

    def store(self, data: bytes, top: int, offset: int, birth: int = 10) -> None:
        """Put stored bytes and their parity onto every leaf that should have them."""
        ways = self.tree.ways(top, scrub=True)
        for way in range(ways):
            layout = self.tree.layout(top, way, [offset], [len(data)], [birth], scrub=True)
            for g, (_, _, nparity, height) in enumerate(layout.groups.tolist()):
                columns = layout.group_columns(g)
                ranges = columns[["where", "length"]][nparity:].tolist()
                parts = [data[at : at + size].ljust(size, b"\0") for at, size in ranges]
                parity = [bytearray(height) for _ in range(nparity)]
                if nparity:
                    raidz.generate(parts, parity)
                for column, part in zip(columns, [*parity, *parts]):
                    if column["leaf"] >= 0 and column["stored"]:
                        content = self.bytes[self.tree.leaves[column["leaf"]].guid]
                        at = int(column["offset"])
                        content[at : at + int(column["stored"])] = bytes(part).ljust(int(column["stored"]), b"\0")

    def write(
        self,
        data: bytes,
        *places: tuple[int, int],
        checksum: int = 7,
        compress: int = 2,
        stored: bytes | None = None,
        kind: int = 19,
        level: int = 0,
        birth: int = 10,
        order: str = "<",
        crypt: bool = False,
        psize: int = 0,
    ) -> np.ndarray:
        """Store a block at each (top, offset) and give its pointer, an array of one."""
        packed = compressed(compress, data) if stored is None else stored
        packed = packed.ljust(psize or -(-len(packed) // 512) * 512, b"\0")
        bp = np.zeros(1, dtype=blkptr.BLKPTR)
        for k, (number, offset) in enumerate(places):
            self.store(packed, number, offset, birth)
            asize = int(self.tree.asizes(number, [len(packed)], [birth])[0])
            bp["dva"][0, k] = asize >> 9 | number << 32, offset >> 9
        sizes = len(data) // 512 - 1 | (len(packed) // 512 - 1) << 16
        flags = (order == "<") << 63 | crypt << 61
        bp["prop"] = sizes | compress << 32 | checksum << 40 | kind << 48 | level << 56 | flags
        bp["birth"], bp["fill"] = birth, 1
        words = zsum.compute(checksum, packed, SALT, byteswap=order == ">")
        if crypt:
            words = (*zsum.shortened(checksum, words), 0, 0)
        bp["cksum"] = words
        return bp

    def spoil(self, guid: int, offset: int, length: int = 512) -> None:
        """Change bytes of a leaf's data area."""
        at = (4 << 20) + offset
        content = self.bytes[guid]
        content[at : at + length] = bytes(b ^ 0x5A for b in content[at : at + length])


def flat(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    for child in config.get("children", []):
        yield from flat(child)


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress."""
    return np.random.default_rng(seed).bytes(size)


def text(size: int, seed: int = 0) -> bytes:
    """Bytes that do, with zeros among them."""
    words = np.random.default_rng(seed).integers(0, 256, (size // 64 + 1, 4), dtype=np.uint8)
    rows = np.repeat(words, 8, axis=1)
    rows = np.concatenate([rows, np.zeros_like(rows)], axis=1)
    return rows.tobytes()[: size - 100] + bytes(100)


def compressed(number: int, data: bytes) -> bytes:
    """Compressed as block pointers' ids say, framing included."""
    if number == 2:
        return data
    if number == 3:
        return lzjb(data)
    if 5 <= number <= 13:
        return zlib.compress(data, number - 4)
    if number == 14:
        return zle(data)
    if number == 15:
        packed = lz4.block.compress(data, store_size=False)
        return struct.pack(">I", len(packed)) + packed
    assert number == 16
    options = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_content_size": False}
    parameters = zstandard.ZstdCompressionParameters.from_level(3, **options)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compress(data)
    return struct.pack(">I", len(packed)) + b"\x03\0\x28\xa5" + packed


def lzjb(data: bytes) -> bytes:
    out, seen, at = bytearray(), {}, 0
    while at < len(data):
        control = len(out)
        out.append(0)
        for bit in range(8):
            before, seen[data[at : at + 3]] = seen.get(data[at : at + 3], -1), at
            length = 0
            if before >= 0 and at - before < 1024 and at + 66 < len(data):
                while length < 66 and data[before + length] == data[at + length]:
                    length += 1
            if length >= 3:
                out[control] |= 1 << bit
                out += bytes([length - 3 << 2 | (at - before) >> 8, at - before & 255])
                at += length
            elif at < len(data):
                out.append(data[at])
                at += 1
    return bytes(out)


def zle(data: bytes) -> bytes:
    out = bytearray()
    for run in re.finditer(rb"\0{2,192}|(?:[^\0]|\0(?!\0)){1,64}|\0", data, re.DOTALL):
        piece = run[0]
        out += bytes([len(piece) + 63]) if len(piece) > 1 and not any(piece) else bytes([len(piece) - 1]) + piece
    return bytes(out)


@pytest.fixture
def bench() -> type[Bench]:
    """``bench(top(...), ...)``: a pool in memory."""
    return Bench


@pytest.fixture
def make() -> SimpleNamespace:
    """Ways to make configurations and contents."""
    return SimpleNamespace(leaf=leaf, top=top, noise=noise, text=text, compressed=compressed, SALT=SALT)


@pytest.fixture
def walk() -> SimpleNamespace:
    """Walks over real pools."""
    return SimpleNamespace(every=every_pointer, objset=objset_pointers)
