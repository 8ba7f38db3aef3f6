"""Forged records in the log of a volume."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from logforge import ENV, Forge, Forged, create_body
from uberblock.pool.errors import PoolError
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.ondisk.zilrecord import TxType
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool

SIZE, BLOCK = 1 << 20, 16 << 10
OLD = bytes(range(256)) * 64  # the first block of the volume
WRITE_AT = 8 * BLOCK


class VolumeForge(Forge):
    """With a volume whose first block is on disk, and whose log holds two writes behind that."""

    def __init__(self) -> None:
        self.disks, words = make_disks("single", Journal())
        self.pool = create_pool("lab", words, ashift=12, env=ENV, txg_seconds=0)
        self.pool.create_volume("lab/v", SIZE)
        volume: Any = self.pool.volume("lab/v")
        with volume.open() as file:
            file.write(OLD)
        volume.fsync()
        self.pool.sync()
        with volume.open(sync=True) as file:
            for body in (b"a" * 3500, b"b" * 3500):
                file.seek(WRITE_AT)
                file.write(body)
        (self.first,) = volume._zvol.content.bps(0, 1)


@pytest.fixture(scope="module")
def forge() -> VolumeForge:
    return VolumeForge()


def content(pool: WritablePool) -> bytes:
    with pool.volume("lab/v").open() as file:
        return bytes(file.read())


def writing(offset: int, body: bytes, order: str = "<") -> Forged:
    return TxType.WRITE, struct.pack(order + "4Q128x", 1, offset, len(body), 0) + body


@pytest.mark.parametrize("slim", [True, False])
@pytest.mark.parametrize("order", "<>")
def test_layouts_and_byte_orders(forge: VolumeForge, order: str, slim: bool) -> None:
    cut = (TxType.TRUNCATE, struct.pack(order + "3Q", 1, 4096, 4096))
    with forge.replayed([writing(SIZE - 3, b"end", order), cut], order=order, slim=slim) as pool:
        found = content(pool)
    assert found[: 3 * 4096] == OLD[:4096] + bytes(4096) + OLD[8192:12288]
    assert found[SIZE - 3 :] == b"end" and found[WRITE_AT : WRITE_AT + 3] == b"aaa"


def test_clones_are_copied(forge: VolumeForge) -> None:
    clone = struct.pack("<5Q", 1, 2 * BLOCK, 2 * BLOCK, BLOCK, 2) + bytes(128) + forge.first.tobytes()
    with forge.replayed([writing(2 * BLOCK, b"gone"), (TxType.CLONE_RANGE, clone)]) as pool:
        assert content(pool)[: 4 * BLOCK] == OLD + bytes(2 * BLOCK) + OLD


@pytest.mark.parametrize(
    "record",
    [
        writing(SIZE - 2, b"end"),
        writing((1 << 64) - 2, b"end"),
        (TxType.CREATE, create_body(1, 900, 0o100600, b"n\0")),
        (TxType.CLONE_RANGE, struct.pack("<5Q128x", 1, SIZE, BLOCK, BLOCK, 1)),
        (TxType.WRITE2, struct.pack("<4Q128x", 1, 0, 8, 0)),
    ],
    ids=["beyond the end", "beyond all offsets", "no record of a volume", "clone beyond the end", "WRITE2"],
)
def test_lies(forge: VolumeForge, record: Forged) -> None:
    disks = forge.forged([record])
    with pytest.raises(PoolError, match="cannot be replayed"):
        open_pool(None, disks, env=ENV, txg_seconds=0, force=True)
    for disk in disks:
        disk.reopen()
    with open_pool(None, disks, env=ENV, txg_seconds=0, force=True, discard_logs=True) as pool:
        assert content(pool)[:BLOCK] == OLD
