"""Intent logs that nobody wrote: records put into the last block of a log that our own writer left behind.

What comes before them in the log is real. A record is given as type and body; txg and number are those that follow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from uberblock.pool import import_pool
from uberblock.pool.env import Env
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk import bpmake, zil
from uberblock.pool.ondisk.blkptr import BLKPTR, BpArray
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.logs import waiting_logs
from uberblock.pool.zil import chain

ENV = Env.fixed(3)
LABELS = 4 << 20  # offsets in pointers count from behind the front labels and the boot area
CHECKSUM_SHIFT = 40  # in a pointer's property word
Forged = tuple[int, bytes]


class Forge:
    """A pool with a log that has begun, and that is to be forged.

    Args:
        properties: of its file system.
    """

    def __init__(self, **properties: str) -> None:
        self.disks, words = make_disks("single", Journal())
        self.pool = create_pool("lab", words, ashift=12, env=ENV, txg_seconds=0, dataset_properties=properties)
        self.fs = self.pool.fs()
        self.fs.write_bytes("/first", b"1")
        self.fs.fsync("/first")
        self.prepare()
        self.pool.sync()
        self._mark(b"a" * 3500)
        self._mark(b"b" * 3500)

    def prepare(self) -> None:
        """What there is to be on disk besides /first."""

    def _mark(self, body: bytes) -> None:
        """A log block of 4096 bytes."""
        with self.fs.open("/first", "rb+") as file:
            file.write(body)
            file.fsync()

    def number(self, path: str = "/") -> int:
        """The object of a file."""
        return self.fs.znode(path).object

    def forged(self, records: Sequence[Forged], *, order: str = "<", slim: bool = True) -> list[SimDisk]:
        """Copies of the disks, with these records as what the last block of the log holds.

        Args:
            order: byte order of the block; bodies have to be made in it. slim: its layout.
        """
        disks = [SimDisk(disk.content.fork(), disk.name) for disk in self.disks]
        with import_pool(None, [SimDisk(disk.content.fork(), disk.name) for disk in self.disks]) as pool:
            (log,) = waiting_logs(pool.spa)
            *_, before, last = [block for block in chain.read_blocks(pool.spa.zio, log.header) if block.valid]
        assert last.link is not None and before.link is not None
        txg, seq = last.records[0].txg, last.records[0].seq
        body = bytearray()
        for number, (kind, rest) in enumerate(records):
            length = -(-(32 + len(rest)) // 8) * 8
            body += struct.pack(order + "4Q", kind, length, txg, seq + number) + rest.ljust(length - 32, b"\0")
        self._put(disks[0], last, bytes(body), last.link.next, order, slim)
        if not slim:
            own = np.array([last.bp], dtype=BLKPTR)
            word = int(own["prop"][0]) & ~(0xFF << CHECKSUM_SHIFT) | zil.CHECKSUM_ZILOG << CHECKSUM_SHIFT
            own["prop"] = word
            raw = bytearray(before.size)
            _read(disks[0], before.bp, raw)
            end = before.link.end
            identity = [int(w) for w in before.bp["cksum"]]
            zil.seal_block(raw, identity, own[0], end, True, "<")
            _write(disks[0], before.bp, raw)
        return disks

    def _put(
        self, disk: SimDisk, block: chain.LogBlock, body: bytes, following: BpArray, order: str, slim: bool
    ) -> None:
        """Write one log block."""
        raw = bytearray(block.size)
        start = zil.CHAIN_SIZE if slim else 0
        assert len(body) <= block.size - zil.CHAIN_SIZE
        raw[start : start + len(body)] = body
        zil.seal_block(raw, [int(w) for w in block.bp["cksum"]], following, start + len(body), slim, order)
        _write(disk, block.bp, raw)

    @contextmanager
    def replayed(self, records: Sequence[Forged], *, order: str = "<", slim: bool = True) -> Iterator[WritablePool]:
        """The pool after the crash and the replay of these. Afterwards it is exported, and all of it is checked."""
        disks = self.forged(records, order=order, slim=slim)
        with open_pool(None, disks, env=ENV, txg_seconds=0, force=True) as pool:
            assert any(note.startswith("replayed") for note in pool.spa.notes)
            yield pool
        for disk in disks:
            disk.reopen()
        assert [line for line in examine(disks).problems if not line.startswith("unchecked: ")] == []


def _at(bp: BpArray) -> int:
    return int(bpmake.places(np.array([bp], dtype=BLKPTR)).reshape(-1, 3)[0][1]) + LABELS


def _read(disk: SimDisk, bp: BpArray, raw: bytearray) -> None:
    offset, length, zero = (np.array([v], np.uint64) for v in (_at(bp), len(raw), 0))
    disk.readv(offset, length, raw, zero)


def _write(disk: SimDisk, bp: BpArray, raw: bytearray) -> None:
    offset, length, zero = (np.array([v], np.uint64) for v in (_at(bp), len(raw), 0))
    disk.writev(offset, length, raw, zero)


def create_body(
    directory: int, number: int, mode: int, tail: bytes, *, uid: int = 0, gid: int = 0, order: str = "<", rdev: int = 0
) -> bytes:
    """The fields of all records of something new, made at 1000000000.5 seconds, generation 77; then a tail."""
    fields = (directory, number, mode, uid, gid, 77, 10**9, 5 * 10**8, rdev)
    return struct.pack(order + "9Q", *fields) + tail


def xvattr(requested: int, values: int, *, order: str = "<", scan: bytes = b"", crtime: int = 0) -> bytes:
    """The block of extended attributes."""
    return struct.pack(order + "I3IQQQ32s", 3, requested, 0, 0, values, crtime, 0, scan)


def ace(who: int, mask: int, flags: int, kind: int, order: str = "<") -> bytes:
    """An ACE as a system call has it."""
    return struct.pack(order + "IIHH", who, mask, flags, kind)
