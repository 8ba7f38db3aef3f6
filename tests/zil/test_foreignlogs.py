"""Whole logs that hosts of other kinds leave: in the layout before slim chains, and by big-endian machines.

Our writer makes them: each block is turned into the other form before it is written, with its checksum, and so are the
pointers that lead to it. Reading, claiming and replaying are left as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.env import Env
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.crash import Plan, enumerate_states, sample
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.lab.syncrun import SyncOptions, record_sync, sync_explorer
from uberblock.pool.ondisk import bpmake, zil
from uberblock.pool.ondisk.blkptr import BLKPTR
from uberblock.pool.ondisk.zilrecord import TxType, Write
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.logs import waiting_logs
from uberblock.pool.zil import chain

HEAD = 4  # words in front of every record
#: Words behind them that a big-endian host stores the other way round; names and data follow as they are.
WORDS = {
    TxType.CREATE: 9, TxType.MKDIR: 9, TxType.MKXATTR: 9, TxType.SYMLINK: 9, TxType.REMOVE: 1, TxType.RMDIR: 1,
    TxType.LINK: 2, TxType.RENAME: 2, TxType.WRITE: 20, TxType.TRUNCATE: 3, TxType.SETATTR: 10, TxType.SETSAXATTR: 2,
}  # fmt: skip
FORMS = [("<", False), (">", True), (">", False)]
NAMES = ["old", "big-endian", "old big-endian"]


def turned(record: bytes) -> bytes:
    """A record as a big-endian host writes it."""
    kind, length = struct.unpack_from("<2Q", record)
    count = HEAD + WORDS[TxType(kind)]
    assert kind != TxType.SETATTR or length == 8 * count, "with extended attributes: not made here"
    return struct.pack(f">{count}Q", *struct.unpack_from(f"<{count}Q", record)) + record[8 * count :]


@contextmanager
def writing(order: str, slim: bool) -> Iterator[set[int]]:
    """Logs are written in this form; gives the kinds of records that were."""
    seal, stored, kinds = zil.seal_slim, bpmake.stored, set[int]()

    def seal_other(block: bytearray, own: bytes, following: bytes, nused: int) -> None:
        records = [bytes(block[at : at + size]) for at, size in zil.records(block, zil.CHAIN_SIZE, nused, "<")]
        kinds.update(record[0] for record in records)
        body = b"".join(record if order == "<" else turned(record) for record in records)
        start = zil.CHAIN_SIZE if slim else 0
        block[:] = bytes(start) + body + bytes(len(block) - start - len(body))
        identity = struct.unpack("<4Q", own[96:])
        pointer = np.frombuffer(following, BLKPTR)[0]
        zil.seal_block(block, identity, pointer, start + len(body), slim, order)

    def stored_other(*args: Any, checksum: int, **named: Any) -> Any:
        if checksum == zil.CHECKSUM_ZILOG2 and not slim:
            checksum = zil.CHECKSUM_ZILOG
        return stored(*args, checksum=checksum, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zil, "seal_slim", seal_other)
        patch.setattr(bpmake, "stored", stored_other)
        yield kinds
    assert zil.seal_slim is seal


def work(pool: WritablePool) -> None:
    """What only the log knows in the end: every kind of change, in several blocks, some of them large."""
    fs = pool.fs()
    fs.makedirs("/d/e")
    fs.write_bytes("/d/small", b"small")
    fs.write_bytes("/d/large", bytes(range(256)) * 2000)  # 512,000: blocks of their own, and a last one
    fs.syncfs()
    fs.symlink("over there", "/s")
    fs.link("/d/small", "/d/e/also")
    fs.rename("/d/large", "/large")
    fs.rename("/gone", "/there")
    fs.unlink("/unlinked")
    fs.rmdir("/removed")
    fs.chmod("/there", 0o640)
    fs.chown("/there", 1001, 1002)
    fs.truncate("/there", 2000)
    fs.setxattr("/there", "user.x", b"value")
    fs.punch("/large", 8192, 200000)
    fs.syncfs()
    for number in range(60):
        fs.write_bytes(f"/d/e/{number}", b"%d" % number * 90)
        fs.fsync(f"/d/e/{number}")


def listing(pool: Any) -> dict[str, Any]:
    """All there is in the file system."""
    fs, found = pool.fs("lab"), dict[str, Any]()
    for folder, folders, files in fs.walk("/"):
        for name in [*folders, *files]:
            path = f"{folder.rstrip('/')}/{name}"
            node = fs.znode(path)
            kind = node.mode & 0o170000
            what = fs.readlink(path) if kind == 0o120000 else fs.read_bytes(path) if kind == 0o100000 else None
            xattrs = {one: fs.getxattr(path, one) for one in fs.listxattr(path)} if kind != 0o120000 else {}
            found[path] = (node.object, node.mode, node.uid, node.gid, node.nlink, node.size, what, xattrs)
    return found


@pytest.mark.parametrize(("order", "slim"), FORMS, ids=NAMES)
def test_a_whole_log(order: str, slim: bool) -> None:
    disks, words = make_disks("single", Journal())
    with writing(order, slim) as kinds:
        pool = create_pool("lab", words, ashift=12, env=Env.fixed(3), txg_seconds=0)
        fs = pool.fs()
        for path in ("/gone", "/unlinked"):
            fs.write_bytes(path, b"x" * 5000)
        fs.mkdir("/removed")
        volume = pool.create_volume("lab/v", 1 << 20)
        fs.fsync("/gone")
        with volume.open() as file:
            file.write(b"first")
        volume.fsync()
        pool.sync()
        txg = pool.txg
        work(pool)
        with volume.open() as file:
            file.seek(12288)
            file.write(b"v" * 5000)
        volume.fsync()
        wanted = listing(pool)
        assert pool.engine.tx.txg == txg + 1, "all of it is in the open txg"
        pool.abandon()
    assert kinds == WORDS.keys() - {TxType.MKXATTR}
    for disk in disks:
        disk.reopen()
    with import_pool(None, [disk.twin() for disk in disks]) as found:
        for log in waiting_logs(found.spa):
            blocks = [block for block in chain.read_blocks(found.spa.zio, log.header) if block.valid]
            assert {block.link.order for block in blocks if block.link} == {order}
            checksum = {int(block.bp["prop"]) >> 40 & 0xFF for block in blocks}
            assert checksum == {zil.CHECKSUM_ZILOG2 if slim else zil.CHECKSUM_ZILOG}
            records = [record for block in blocks for record in block.records]
            assert log.head.name != "lab" or (
                len(blocks) > 60 and any(isinstance(one, Write) and one.bp is not None for one in records)
            )
    # Shown without changing anything, then replayed, then whole.
    with import_pool(None, [disk.twin() for disk in disks], replay=True) as shown:
        assert listing(shown) == wanted
    with open_pool(None, disks, env=Env.fixed(4), txg_seconds=0, force=True) as again:
        assert sum(note.startswith("replayed") for note in again.spa.notes) == 2
        assert listing(again) == wanted
        with again.volume("lab/v").open() as file:
            assert file.read(12288 + 5000) == b"first".ljust(12288, b"\0") + b"v" * 5000
    for disk in disks:
        disk.reopen()
    assert examine(disks).problems == ()


@pytest.mark.parametrize(("order", "slim"), FORMS, ids=NAMES)
def test_crash_states(order: str, slim: bool) -> None:
    """What was acknowledged is there whatever the power cut left, as with logs of our own form."""
    with writing(order, slim) as kinds:
        run = record_sync(SyncOptions(layout="single", seed=8, txgs=2, steps=9, sync="always"))
    assert kinds
    report = sync_explorer(run).run(sample(list(enumerate_states(run.journal, Plan(seed=1))), 90, 1))
    assert not report.wrong, str(report)
