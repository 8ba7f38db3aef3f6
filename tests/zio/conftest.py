"""Pools as this floor sees them: a vdev tree from the labels, and every block pointer the MOS leads to.

Nothing above the floor under test is used: block trees and dnodes are walked here in the plainest way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uberblock.pool.device.file import FileDevice
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.vdev.tree import VdevTree, build
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
