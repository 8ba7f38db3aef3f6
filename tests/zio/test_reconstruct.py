"""Finding the column that lies: every combination within the parity, expanded raidz, split blocks."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from uberblock.pool.zio import reconstruct


def raidz(make, nparity, width, **more):
    return make.top("raidz", [make.leaf(2 + k) for k in range(width)], nparity=nparity, **more)


def column(pool, leaf, offset, size, birth):
    layout = pool.tree.layout(0, 0, [offset], [size], [birth])
    return [c for c in layout.columns if c["leaf"] == leaf]


@pytest.mark.parametrize("nparity, width, sectors", [(1, 4, 7), (2, 5, 9), (3, 7, 10), (3, 6, 2)])
def test_every_combination(bench, make, nparity, width, sectors):
    pool = bench(raidz(make, nparity, width, ashift=9))
    data = make.noise(512 * sectors)
    bp = pool.write(data, (0, 512 * 12))
    layout = pool.tree.layout(0, 0, [512 * 12], [len(data)], [10])
    for count in range(1, nparity + 1):
        for bad in combinations(range(len(layout.columns)), count):
            for k in bad:
                entry = layout.columns[k]
                content = pool.bytes[2 + int(entry["leaf"])]
                content[int(entry["offset"]) + 7] ^= 0x80
            for leaf in pool.tree.leaves:
                leaf.checksum_errors = 0
            assert pool.zio.read(bp).data.tobytes() == data
            found = reconstruct.search_layout(pool.zio.runner, layout, len(data), lambda d: bytes(d) == data)
            if max(bad) >= nparity:  # else the data is right as it is, and nothing has to be searched
                assert found is not None and sorted(found.wrong) == list(bad)
            for k in bad:
                entry = layout.columns[k]
                pool.bytes[2 + int(entry["leaf"])][int(entry["offset"]) + 7] ^= 0x80


def test_a_lying_column_beside_a_missing_one(bench, make):
    pool = bench(raidz(make, 2, 6))
    data = make.noise(4096 * 8)
    bp = pool.write(data, (0, 0))
    for lying in (3, 4, 5, 6, 7):
        pool.reopen(missing=(2,))
        pool.spoil(lying, 0)
        assert pool.zio.read(bp).data.tobytes() == data
        # P is missing; while all data is right nobody looks at Q.
        wrong = [leaf.guid for leaf in pool.tree.leaves if leaf.checksum_errors]
        assert wrong == ([] if lying == 3 else [lying])
        pool.spoil(lying, 0)


def test_leaves_known_to_lie_are_tried_first(bench, make):
    pool = bench(raidz(make, 1, 6))
    data = make.noise(4096 * 5)
    bp = pool.write(data, (0, 0))
    pool.spoil(7, 0)
    tried = []

    def verify(candidate):
        tried.append(1)
        return bytes(candidate) == data

    layout = pool.tree.layout(0, 0, [0], [len(data)], [10])
    assert reconstruct.search_layout(pool.zio.runner, layout, len(data), verify)
    first = len(tried)
    assert reconstruct.search_layout(pool.zio.runner, layout, len(data), verify)
    assert first > 1 and len(tried) == first + 1
    assert pool.zio.read(bp).data.tobytes() == data


@pytest.mark.parametrize("nparity", [1, 2])
def test_expanded_raidz(bench, make, nparity):
    """Old blocks lie in rows; a disk that lies now hits one column of each row."""
    pool = bench(raidz(make, nparity, 5, raidz_expand_txgs=[100]))
    data = make.noise(4096 * 23)
    old = pool.write(data, (0, 4096 * 60), birth=10)
    new = pool.write(data, (0, 4096 * 200), birth=100)
    assert len(pool.tree.layout(0, 0, [4096 * 60], [len(data)], [10]).groups) > 1
    for guid in range(2, 7):
        pool.spoil(guid, 0, 1 << 20)
        assert pool.zio.read(np.concatenate([old, new])).data.tobytes() == data * 2
        result = pool.zio.scrub(np.concatenate([old, new]))
        assert {pool.tree.leaves[d.leaf].guid for d in result.damage} == {guid}
        pool.spoil(guid, 0, 1 << 20)


def test_expanded_raidz_with_damage_from_before(bench, make):
    """The disk lied before the expansion moved its sectors: now they are spread over all disks."""
    pool = bench(raidz(make, 1, 5, raidz_expand_txgs=[100]))
    data = make.noise(4096 * 17)
    bp = pool.write(data, (0, 4096 * 64), birth=10)
    layout = pool.tree.layout(0, 0, [4096 * 64], [len(data)], [10])
    hit = set()
    for leaf, offset, stored in layout.columns[["leaf", "offset", "stored"]].tolist():
        sector = 5 * ((offset - (4 << 20)) >> 12) + leaf
        if stored and sector % 4 == 2:
            pool.bytes[2 + leaf][offset + 9] ^= 1
            hit.add(leaf)
    assert len(hit) > 2
    assert pool.zio.read(bp).data.tobytes() == data
    assert {leaf.index for leaf in pool.tree.leaves if leaf.checksum_errors} == hit


def test_split_blocks(bench, make):
    """A removed vdev's block in three pieces on a mirror, each with one good side."""
    indirect = {"type": "indirect", "guid": 900, "ashift": 9, "asize": 16 << 20}
    pool = bench(make.top("mirror", [make.leaf(2), make.leaf(3)], ashift=9), indirect)
    data = make.noise(512 * 30)
    places = [(0, 512 * 100, 512 * 7), (512 * 7, 512 * 400, 512 * 13), (512 * 20, 512 * 200, 512 * 12)]
    sources = np.array([start + (1 << 20) for start, _, _ in places])
    dvas = np.array([[size >> 9, target >> 9] for _, target, size in places], dtype=np.uint64)
    pool.tree.tops[1].set_mapping(sources, dvas, np.array([size for _, _, size in places]))
    for start, target, size in places:
        pool.store(data[start : start + size].ljust(size, b"\0"), 0, target)
    bp = pool.write(data[:0].ljust(len(data), b"\0"), (0, 10 << 20))
    bp["dva"][0, 0] = 30 | 1 << 32, (1 << 20) >> 9
    bp["cksum"] = pool.write(data, (0, 12 << 20))["cksum"]
    assert pool.zio.read(bp).data.tobytes() == data
    assert pool.zio.scrub(bp).status.tolist() == [0]
    pool.spoil(2, places[0][1])
    pool.spoil(3, places[1][1])
    pool.spoil(2, places[2][1])
    assert pool.zio.read(bp).data.tobytes() == data
    result = pool.zio.scrub(bp)
    want = {(2, places[0][1]), (3, places[1][1]), (2, places[2][1])}
    assert result.status.tolist() == [1]
    assert {(pool.tree.leaves[d.leaf].guid, d.offset - (4 << 20)) for d in result.damage} == want
    pool.spoil(3, places[0][1])
    assert pool.zio.read(bp, errors="collect").status.tolist() == [2]
    assert pool.zio.scrub(bp).status.tolist() == [2]


def test_what_one_block_teaches_helps_the_others(bench, make, monkeypatch):
    """Of a disk full of rubbish, and of two, few blocks have to be searched for."""
    pool = bench(raidz(make, 2, 6))
    data = [make.noise(4096 * (3 + k % 7), k) for k in range(120)]
    bps = np.concatenate([pool.write(d, (0, k * (24 << 12)), checksum=7 if k % 5 else 14) for k, d in enumerate(data)])
    calls = []
    search = reconstruct.search
    monkeypatch.setattr(reconstruct, "search", lambda *args: calls.append(1) or search(*args))
    for guid in (4, 6):
        pool.spoil(guid, 0, 18 << 20)
        calls.clear()
        assert pool.zio.read(bps).data.tobytes() == b"".join(data)
        assert len(calls) < 12
    assert {leaf.guid for leaf in pool.tree.leaves if leaf.checksum_errors} == {4, 6}
    pool.spoil(2, 0, 18 << 20)
    assert pool.zio.read(bps, errors="collect").status.any()
