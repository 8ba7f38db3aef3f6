"""Pools written by OpenZFS as a vdev tree sees them: configuration, devices, and the blocks that zdb lists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from uberblock.kernels import checksum, raidz
from uberblock.pool.device.base import Device
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.ondisk import label
from uberblock.pool.vdev.layout import Layout
from uberblock.pool.vdev.tree import VdevTree, build

BLOCK = np.dtype(
    [
        ("vdev", "<i8"),
        ("offset", "<u8"),
        ("asize", "<u8"),
        ("psize", "<u8"),
        ("birth", "<u8"),
        ("kind", "U10"),
        ("words", "<u8", 4),
    ]
)
_LINE = re.compile(
    r"\[L.*?\] (fletcher4|sha256) .*size=[0-9a-f]+L/([0-9a-f]+)P birth=\d+L/(\d+)P.*cksum=([0-9a-f:]+)"
)
_DVA = re.compile(r"DVA\[\d\]=<(\d+):([0-9a-f]+):([0-9a-f]+)>")


@dataclass
class Golden:
    """One pool."""

    name: str
    dir: Path
    config: dict[str, Any]
    devices: dict[int, Device]

    listed: NDArray[Any] | None = None

    def tree(self) -> VdevTree:
        return build(self.config, self.devices)

    def read_block(self, tree: VdevTree, layout: Layout, block: int, size: int) -> bytes | None:
        """See ``read_block`` below."""
        return read_block(tree, layout, block, size)

    def is_intact(self, block: Any, data: bytes | None) -> bool:
        """Whether bytes match the checksum of a ``BLOCK``."""
        return data is not None and getattr(checksum, str(block["kind"]))(data) == block["words"].tobytes()

    def blocks(self, zdb: str) -> NDArray[Any]:
        """Every address of every block that zdb finds, with its checksum.

        Left out: gang headers, log blocks, and encrypted blocks (half of their checksum is a MAC).
        """
        if self.listed is not None:
            return self.listed
        command = [zdb, "-e", "-p", str(self.dir), "-bbbbbb", self.name]
        found = []
        for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
            match = _LINE.search(line)
            if match is None or " gang " in line or " unencrypted " not in line:
                continue
            kind, psize, birth, words = match.groups()
            numbers = [int(word, 16) for word in words.split(":")]
            for vdev, offset, asize in _DVA.findall(line):
                found.append(
                    (int(vdev), int(offset, 16), int(asize, 16), int(psize, 16), int(birth), kind, numbers)
                )
        assert len(found) > 100, "zdb lists no blocks"
        self.listed = np.array(found, BLOCK)
        return self.listed


@pytest.fixture(scope="session")
def golden(pools: Callable[[str], Any]) -> Callable[[str], Golden]:
    """``golden("raidz1")``: a pool with its devices open."""

    @lru_cache
    def get(kind: str) -> Golden:
        pool = pools(kind)
        tops: dict[int, dict[str, Any]] = {}
        devices: dict[int, Device] = {}
        count, name = 0, ""
        for image in pool.images:
            device = FileDevice(image)
            found = label.decode(device.read(0, label.LABEL_SIZE), 0)
            config = found.config
            if config is None or "vdev_tree" not in config or config["txg"] == 0:
                continue
            devices[config["guid"]] = device
            tops[config["vdev_tree"]["id"]] = config["vdev_tree"]
            count, name = config["vdev_children"], config["name"]
        children = [tops.get(i, {"type": "missing", "id": i, "guid": 0}) for i in range(count)]
        root = {"type": "root", "id": 0, "guid": 1, "children": children}
        return Golden(name, pool.dir, root, devices)

    return get


def read_columns(tree: VdevTree, layout: Layout, group: int) -> tuple[list[bytearray], list[int]]:
    """The bytes of a group's columns, and which of them cannot be had."""
    columns, missing = [], []
    for number, column in enumerate(layout.group_columns(group)):
        data = bytearray(int(column["stored"]))
        if column["leaf"] < 0:
            missing.append(number)
        elif len(data):
            device = tree.leaves[column["leaf"]].device
            assert device is not None
            assert not device.readv([column["offset"]], [len(data)], data, [0]).any()
        columns.append(data)
    return columns, missing


def read_block(tree: VdevTree, layout: Layout, block: int, size: int) -> bytes | None:
    """A block's bytes, rebuilt where columns are missing; None if too many are. Parity that does not fit fails."""
    data = bytearray(size + (64 << 10))
    for group in range(int(layout.blocks[block]), int(layout.blocks[block + 1])):
        columns, missing = read_columns(tree, layout, group)
        nparity, height = int(layout.groups["nparity"][group]), int(layout.groups["height"][group])
        if len(missing) > nparity:
            return None
        if missing:
            raidz.reconstruct(columns, nparity, missing)
        if nparity:
            parity = [bytearray(height) for _ in range(nparity)]
            raidz.generate(columns[nparity:], parity)
            assert parity == columns[:nparity]
        for column, piece in zip(layout.group_columns(group), columns):
            if column["parity"] < 0:
                where, length = int(column["where"]), int(column["length"])
                data[where : where + length] = piece[:length]
                assert not any(piece[length:])
    return bytes(data[:size])


class Plan:
    """Writes configurations of invented pools, with devices in memory."""

    def __init__(self) -> None:
        self.guid = 1000
        self.devices: dict[int, Device] = {}

    def leaf(self, size: int = 64 << 20, present: bool = True, **more: Any) -> dict[str, Any]:
        """A file of so many bytes."""
        self.guid += 1
        if present:
            self.devices[self.guid] = Blank(size, f"f{self.guid}")
        return {"type": "file", "guid": self.guid, "path": f"/x/f{self.guid}", **more}

    def node(self, kind: str, *children: dict[str, Any], **more: Any) -> dict[str, Any]:
        """A vdev over others."""
        self.guid += 1
        placed = [{**child, "id": number} for number, child in enumerate(children)]
        return {"type": kind, "guid": self.guid, "children": placed, **more}

    def root(self, *tops: dict[str, Any], asize: int = 48 << 20, ashift: int = 12) -> dict[str, Any]:
        """A pool; top-level vdevs get sizes where they have none."""
        sized = [
            top if top["type"] in ("hole", "missing") else {"asize": asize, "ashift": ashift, **top} for top in tops
        ]
        return self.node("root", *sized)

    def tree(self, *tops: dict[str, Any], **more: int) -> VdevTree:
        """The tree of a pool."""
        return build(self.root(*tops, **more), self.devices)


class Blank(MemoryDevice):
    """A device of which only the size matters."""

    def __init__(self, size: int, name: str) -> None:
        super().__init__(b"", name)
        self.size = size


@pytest.fixture
def plan() -> Plan:
    return Plan()
