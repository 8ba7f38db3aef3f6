"""Reading objects: real files against their manifests, made-up ones in any pieces and with losses."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable

import pytest
from uberblock.pool.errors import ChecksumError, PoolError, UsageError

from .conftest import MemoryZio, Opened, build_objset, make

PIECE = 1 << 20


@pytest.mark.pools
@pytest.mark.parametrize("kind", ["algorithms", "single", "raidz3", "draid", "names", "version28", "dedup", "removal"])
def test_files_are_what_the_manifest_says(opened: Callable[[str], Opened], kind: str) -> None:
    pool = opened(kind)
    checked = 0
    for name, facts in pool.manifest["datasets"].items():
        files = {f["object"]: f for f in facts.get("tree", {}).values() if f.get("sha256") and "object" in f}
        if not files or "@" in name:
            continue
        objset = pool.objset(name)
        for number, facts in list(files.items())[:150]:
            dnode = objset.dnode(number)
            size, digest = facts["size"], hashlib.sha256()
            buffer = bytearray(PIECE)
            for at in range(0, size, PIECE):
                got = dnode.readinto(buffer, at)
                # What a file has beyond its last block is zeros.
                buffer[got:] = bytes(PIECE - got)
                digest.update(buffer[: size - at])
            assert digest.hexdigest() == facts["sha256"], (name, number)
            checked += 1
    assert checked > 50


@pytest.mark.pools
def test_data_and_holes_as_the_manifest_says(opened: Callable[[str], Opened]) -> None:
    """Of very large files the manifest has the runs that are not zero; all else must be found to be holes."""
    pool = opened("single")
    checked = 0
    for name, facts in pool.manifest["datasets"].items():
        if facts.get("type") != "filesystem":
            continue
        for entry in facts["tree"].values():
            runs = entry.get("large", {}).get("nonzero_runs")
            if runs is None:
                continue
            dnode = pool.objset(name).dnode(entry["object"])
            found, at = [], dnode.next_data(0)
            while at is not None:
                end = dnode.next_hole(at)
                assert end > at
                found.append((at, min(end, entry["size"])))
                at = dnode.next_data(end)
            for offset, length, digest in runs:
                assert hashlib.sha256(dnode.read(offset, length)).hexdigest() == digest
                assert any(start <= offset and offset + length <= end for start, end in found)
            checked += 1
    assert checked


def test_reading_in_any_pieces() -> None:
    zio = MemoryZio()
    rng = random.Random(7)
    blocks = {i: rng.randbytes(1536) for i in range(3000) if rng.random() < 0.7}
    blocks[2999] = rng.randbytes(1536)
    # Blocks of a size that is no power of two cannot be on disk; 2048 can.
    blocks = {i: (data * 2)[:2048] for i, data in blocks.items()}
    dnode = make(zio, blocks, datablksz=2048, nlevels=4)
    whole = b"".join(blocks.get(i, bytes(2048)) for i in range(3000))
    assert dnode.size == len(whole) and dnode.read() == whole
    for _ in range(200):
        at, length = rng.randrange(len(whole) + 4096), rng.choice([1, 100, 2048, 5000, 300000])
        assert dnode.read(at, length) == whole[at : at + length]
    out = bytearray(b"\xee" * 10000)
    assert dnode.readinto(memoryview(out)[5:9000], len(whole) - 3000) == 3000
    assert out[:5] == b"\xee" * 5 and out[5:3005] == whole[-3000:] and set(out[3005:]) == {0xEE}
    with pytest.raises(UsageError, match="read-only"):
        dnode.readinto(bytes(5))
    with pytest.raises(UsageError, match="negative"):
        dnode.readinto(bytearray(5), -1)


def test_what_is_lost_is_zeroed_and_told() -> None:
    zio = MemoryZio()
    blocks = {i: os.urandom(512) for i in range(200)}
    dnode = make(zio, blocks, nlevels=3)
    lost = {70, 71, 150}
    for i in lost:
        del zio.blocks[int(dnode.bps(i, 1)[0]["dva"][0, 1])]
    indirect = dnode._tree.pointers(1, 3, 1)[0]
    del zio.blocks[int(indirect["dva"][0, 1])]
    again = build_objset(zio, {5: dnode.phys}).dnode(5)
    lost |= set(range(96, 128))
    with pytest.raises(ChecksumError):
        again.read(0, 100 * 512)
    told: list[tuple[int, int, PoolError]] = []
    out = bytearray(b"\xee" * (200 * 512 - 100))
    assert again.readinto(out, 50, damaged=lambda *args: told.append(args)) == len(out)
    whole = b"".join(bytes(512) if i in lost else blocks[i] for i in range(200))
    assert out == whole[50 : 50 + len(out)]
    ranges = {offset + i for offset, length, _ in told for i in range(length)}
    assert ranges == {i * 512 + k for i in lost for k in range(512)}
    assert all(isinstance(error, ChecksumError) for _, _, error in told)


def test_blocks_in_batches() -> None:
    zio = MemoryZio()
    dnode = make(zio, {i: bytes([i]) * 512 for i in (0, 1, 2, 9, 40)}, order=">", nblkptr=2)
    found = [(bytes(data)[:1], order) for data, order in dnode.blocks([9, 0, 1, 2, 5, 40])]
    assert found == [(b"\x09", ">"), (b"\0", ">"), (b"\1", ">"), (b"\2", ">"), (b"\0", "<"), (b"\x28", ">")]
    assert dnode.block(9) == (b"\x09" * 512, ">") and dnode.block(5) == (bytes(512), "<")
    for wrong in ([41], [0, 41], [-1]):
        with pytest.raises(FileNotFoundError):
            list(dnode.blocks(wrong))
