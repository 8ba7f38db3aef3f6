"""Scrubbing: what is wrong is found, named, and nothing else is."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from uberblock.pool.ondisk import blkptr
from uberblock.pool.spa import importer, scan
from uberblock.pool.zio.scrub import DAMAGED, FINE, LOST
from uberblock.pool.zio.status import Status

DATA_START = 4 << 20


def raidz(make, nparity, width, **more):
    return make.top("raidz", [make.leaf(2 + k) for k in range(width)], nparity=nparity, **more)


def found(pool, result):
    """(block, leaf's guid, offset in the data area, kind) of all damage."""
    return sorted(
        (d.index, pool.tree.leaves[d.leaf].guid, d.offset - DATA_START, d.kind) for d in result.damage
    )


@pytest.mark.parametrize("checksum", [7, 8, 14])
def test_single_and_mirror(bench, make, checksum):
    pool = bench(make.top("mirror", [make.leaf(2), make.leaf(3)]), make.top("single", [make.leaf(4)]))
    data = [make.noise(8192, k) for k in range(5)]
    bps = np.concatenate([pool.write(d, (0, k << 14), (1, k << 14), checksum=checksum) for k, d in enumerate(data)])
    result = pool.zio.scrub(bps)
    assert result.status.tolist() == [FINE] * 5 and not result.damage
    pool.spoil(3, (1 << 14) + 5000)
    pool.spoil(4, (2 << 14) + 5000)
    for guid in (2, 3, 4):
        pool.spoil(guid, 4 << 14)
    result = pool.zio.scrub(bps)
    assert result.status.tolist() == [FINE, DAMAGED, DAMAGED, FINE, LOST]
    assert result.reason.tolist() == [0, 0, 0, 0, Status.CHECKSUM]
    # To the sector where a good copy tells; of a lost block everything.
    want = [(1, 3, (1 << 14) + 4096), (2, 4, (2 << 14) + 4096), (4, 2, 4 << 14), (4, 3, 4 << 14), (4, 4, 4 << 14)]
    assert found(pool, result) == [(*row, "checksum") for row in want]
    assert sorted(d.length for d in result.damage) == [4096] * 2 + [8192] * 3
    assert {d.column - DATA_START for d in result.damage} == {1 << 14, 2 << 14, 4 << 14}
    assert [leaf.checksum_errors for leaf in pool.tree.leaves] == [1, 2, 2]


@pytest.mark.parametrize("checksum", [7, 14])
@pytest.mark.parametrize("nparity", [1, 2, 3])
def test_raidz_every_column(bench, make, nparity, checksum):
    width = nparity + 3
    pool = bench(raidz(make, nparity, width))
    data = make.noise(3 * 8192)
    bp = pool.write(data, (0, 0), checksum=checksum)
    for k in range(width):
        pool.spoil(2 + k, 4096, 100)
        result = pool.zio.scrub(bp)
        assert result.status.tolist() == [DAMAGED]
        assert found(pool, result) == [(0, 2 + k, 4096, "parity" if k < nparity else "checksum")]
        assert (result.damage[0].length, result.damage[0].column) == (4096, DATA_START)
        pool.spoil(2 + k, 4096, 100)
    for k in range(nparity):
        pool.spoil(2 + k, 0)
        pool.spoil(2 + width - 1 - k, 0)
    result = pool.zio.scrub(bp)
    assert result.status.tolist() == [LOST]
    assert {row[3] for row in found(pool, result)} == {"unknown"}


def test_raidz_with_a_missing_leaf(bench, make):
    pool = bench(raidz(make, 2, 5))
    bps = np.concatenate([pool.write(make.noise(12288, k), (0, k << 16)) for k in range(3)])
    pool.reopen(missing=(4,))
    assert pool.zio.scrub(bps).status.tolist() == [FINE] * 3
    pool.spoil(5, 2 * (65536 // 5))
    result = pool.zio.scrub(bps)
    assert set(result.status.tolist()) <= {FINE, DAMAGED}
    pool.reopen(missing=(3, 4, 5))
    result = pool.zio.scrub(bps)
    assert result.status.tolist() == [LOST] * 3 and set(result.reason.tolist()) == {Status.MISSING}
    assert not result.damage


def test_read_errors_are_damage(bench, make):
    pool = bench(raidz(make, 1, 3))
    bp = pool.write(make.noise(16384), (0, 0))
    inner = pool.devices[3]

    class Bad(type(inner)):
        def view(self):
            return None

        def readv(self, offsets, lengths, out, dest):
            return np.full(len(offsets), 5, np.int32)

    pool.devices[3] = Bad(24 << 20)
    pool.reopen()
    result = pool.zio.scrub(bp)
    assert result.status.tolist() == [DAMAGED] and [row[1::2] for row in found(pool, result)] == [(3, "read")]
    assert pool.tree.leaves[1].read_errors == 1


def test_blocks_that_carry_their_checksum(bench, make):
    """Such as log blocks: who asks tells which copy is good; the other is compared with it."""
    wide = make.top("raidz", [make.leaf(4 + k) for k in range(3)], nparity=1)
    pool = bench(make.top("mirror", [make.leaf(2), make.leaf(3)]), wide)
    data = b"log " + make.noise(16380)
    bp = pool.write(data, (0, 0), (1, 0))

    def good(copy):
        return bytes(copy) == data

    result = pool.zio.scrub_sealed(bp, len(data), good)
    assert result.status.tolist() == [FINE] and not result.damage
    pool.spoil(3, 8192 + 5)
    pool.spoil(6, 4096 + 5)
    result = pool.zio.scrub_sealed(bp, len(data), good)
    assert result.status.tolist() == [DAMAGED]
    assert found(pool, result) == [(0, 3, 8192, "checksum"), (0, 6, 4096, "checksum")]
    result = pool.zio.scrub_sealed(bp, len(data), lambda copy: False)
    assert result.status.tolist() == [LOST]


def test_pointers_without_anything_to_read(bench, make):
    pool = bench(make.top("single", [make.leaf(2)]))
    bps = np.zeros(4, dtype=blkptr.BLKPTR)
    embedded = 511 | 10 << 25 | 15 << 32 | 1 << 39
    bps["prop"] = [0, embedded, embedded | 2 << 40, 1 << 39 | 7 << 40]
    result = pool.zio.scrub(bps)
    assert result.status.tolist() == [FINE, LOST, FINE, LOST]
    assert result.reason.tolist() == [0, Status.DECOMPRESS, 0, Status.BAD_POINTER]
    assert pool.zio.scrub(bps[:0]).status.tolist() == []


def test_damage_of_a_real_raidz(opened, walk, pools):
    """Two of six disks were overwritten here and there; the manifest names some of the places, and some were healed."""
    pool = opened("damaged")
    every = walk.every(pool)
    result = pool.zio.scrub(every)
    ranges = {}
    for entry in pools("damaged").manifest["damage"]:
        content = pools("damaged").images[entry["disk"]].read_bytes()
        spans = [(at, size) for at, size in entry["ranges"] if size > 100 and content[at]]
        ranges[entry["disk"]] = [(at, n) for at, n in spans if content[at : at + n] == content[at : at + 1] * n]
    assert sorted(set(result.status.tolist())) == [FINE, DAMAGED]
    assert {d.leaf for d in result.damage} == set(ranges)
    blamed = {(d.leaf, d.column) for d in result.damage}
    touched = set()
    for k in range(3):
        bps = every[~blkptr.is_embedded(every) & (blkptr.dva_asize(every)[:, k] != 0)]
        births = blkptr.physical_birth(bps)
        layout = pool.tree.layout(0, 0, blkptr.dva_offset(bps)[:, k], blkptr.psize(bps), births)
        columns = layout.columns
        starts, ends = columns["offset"].astype(np.int64), (columns["offset"] + columns["stored"]).astype(np.int64)
        for leaf, spans in ranges.items():
            for at, size in spans:
                over = (columns["leaf"] == leaf) & (starts < at + size) & (at < ends)
                touched |= {(leaf, start) for start in starts[over].tolist()}
    assert len(touched) > 20 and touched <= blamed


@pytest.mark.parametrize("kind", ["draid", "raidz-expansion", "classes", "algorithms", "ganging", "encrypted"])
def test_sound_pools_are_sound(opened, walk, kind):
    pool = opened(kind)
    result = pool.zio.scrub(walk.every(pool))
    assert not result.status.any() and not result.damage


@pytest.mark.parametrize("kind", ["removal", "degraded"])
def test_pools_that_need_their_metadata(pools, walk, kind):
    """A removed vdev (blocks are found through its mapping); a stale and a missing disk (DTLs)."""
    with closing(importer.load(scan.scan([pools(kind).dir])[0])) as spa:
        every = [walk.objset(spa.zio, spa.uberblock.rootbp)[0]]
        every += [walk.objset(spa.zio, d.bp)[0] for d in spa.dsl.datasets() if d.bp is not None and d.bp["birth"].any()]
        bps = np.concatenate(every)
        assert len(bps) > 1000 and not spa.zio.read(bps, raw=True, errors="collect").status.any()
        result = spa.zio.scrub(bps)
        assert not result.status.any() and not result.damage
        assert not any(leaf.read_errors or leaf.checksum_errors for leaf in spa.tree.leaves)
