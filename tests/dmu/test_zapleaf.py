"""Leaves of fat ZAPs, changed in place: against a dict, through splits, and hostile ones."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uberblock.pool.dmu.zapleaf import LeafBlock
from uberblock.pool.errors import CorruptError, PoolError
from uberblock.pool.ondisk.zap import Leaf

from .zapcheck import check_leaf

HASHES = st.integers(0, 40).map(lambda n: n * 0x0635_1234_5670_0000 & (1 << 64) - 1)


def leaf_of(size: int = 1024) -> LeafBlock:
    return LeafBlock.format(np.full(size, 0xA5, dtype=np.uint8), sorted_chains=True)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("aaarrd"), HASHES, st.integers(0, 3), st.sampled_from([1, 2, 4, 8]), st.integers(0, 12)
        ),
        max_size=80,
    )
)
def test_changes_against_a_dict(steps: list[tuple[str, int, int, int, int]]) -> None:
    leaf = leaf_of()
    model: dict[bytes, tuple[int, int, bytes]] = {}
    for what, hashed, which, size, count in steps:
        name = b"%d.%d" % (hashed, which) + b"x" * (which * 11) + b"\0"
        value = bytes((which + i) & 255 for i in range(size * count))
        found = leaf.find(hashed, name)
        assert (found is not None) == (name in model)
        if found is None and what == "a":
            if leaf.add(hashed, name, size, value):
                model[name] = (hashed, size, value)
        elif found is not None and what == "r":
            if leaf.replace(found[0], found[2], size, value):
                model[name] = (hashed, size, value)
        elif found is not None:
            leaf.remove(*found)
            del model[name]
        check_leaf(bytes(leaf.buf))
        assert leaf.nentries == len(model)
    read = Leaf(bytes(leaf.buf)).raw_entries()
    assert {n + b"\0": (h, s, v) for n, v, s, h in zip(read.names, read.values, read.sizes, read.hashes)} == model
    assert sorted(leaf.hashes().tolist()) == sorted(h for h, _, _ in model.values())


@pytest.mark.parametrize("seed", range(4))
def test_splitting(seed: int) -> None:
    rng = random.Random(seed)
    leaf = leaf_of(4096)
    model = {}
    while True:
        hashed = rng.getrandbits(28) << 36
        name = rng.randbytes(rng.randrange(1, 60)).replace(b"\0", b"x") + b"\0"
        value = rng.randbytes(8 * rng.randrange(4))
        if name not in model and not leaf.add(hashed, name, 8, value):
            break
        model[name] = hashed, value
        if rng.random() < 0.2:
            gone = rng.choice(list(model))
            leaf.remove(*leaf.find(model.pop(gone)[0], gone))  # type: ignore[misc]
    halves = [leaf, leaf.split(np.zeros(4096, dtype=np.uint8), sorted_chains=False)]
    assert [(h.prefix, h.prefix_len) for h in halves] == [(0, 1), (1, 1)]
    for half in halves:
        check_leaf(bytes(half.buf))
        assert not any(half.buf[48 + 2 * 128 + 24 * half.chunks :])
    for name, (hashed, value) in model.items():
        home = halves[hashed >> 63]
        found = home.find(hashed, name)
        assert found is not None and home.value(found[2]) == value
    assert sum(h.nentries for h in halves) == len(model)


def test_the_lowest_free_cd_is_taken() -> None:
    leaf = leaf_of()
    for i in range(5):
        assert leaf.add(7 << 60, b"%d\0" % i, 8, bytes(8))
    leaf.remove(*leaf.find(7 << 60, b"2\0"))  # type: ignore[misc]
    assert leaf.add(7 << 60, b"new\0", 8, bytes(8))
    assert leaf.add(7 << 60, b"given\0", 8, bytes(8), cd=900)
    assert [entry[7] for _, _, entry in leaf.chain(7 << 60)] == [0, 1, 2, 3, 4, 900]
    assert leaf.find(7 << 60, b"new\0")[2][7] == 2  # type: ignore[index]
    check_leaf(bytes(leaf.buf))


def filled() -> LeafBlock:
    leaf = leaf_of(512)
    for i in range(4):
        assert leaf.add(i << 61, b"name %d\0" % i, 8, bytes(8))
    return leaf


@settings(max_examples=200)
@example([(30, 0)])  # fewer entries than there are
@example([(30, 255), (31, 255)])
@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=6))
def test_hostile_leaves(changes: list[tuple[int, int]]) -> None:
    """Any bytes: an error of ours or none, and no endless chain."""
    raw = np.frombuffer(bytes(filled().buf), dtype=np.uint8).copy()
    for at, byte in changes:
        raw[at] = byte
    try:
        leaf = LeafBlock(raw)
        for i in range(4):
            found = leaf.find(i << 61, b"name %d\0" % i)
            if found:
                leaf.name(found[2]), leaf.value(found[2])
                leaf.replace(found[0], found[2], 8, bytes(80))
        leaf.add(5 << 60, b"one more\0", 8, bytes(8))
        found = leaf.find(0, b"name 0\0")
        if found:
            leaf.remove(*found)
        leaf.split(np.zeros(512, dtype=np.uint8), sorted_chains=False)
    except PoolError:
        pass


def test_chains_that_bite_their_tail() -> None:
    leaf = filled()
    chunk, _, entry = leaf.find(1 << 61, b"name 1\0")  # type: ignore[misc]
    struct.pack_into("<H", leaf.buf, leaf.base + 24 * chunk + 2, chunk)
    with pytest.raises(CorruptError, match="leads nowhere"):
        leaf.chain(1 << 61)
    leaf = filled()
    (free,) = struct.unpack_from("<H", leaf.buf, 34)
    struct.pack_into("<H", leaf.buf, leaf.base + 24 * free + 22, free)
    with pytest.raises(CorruptError, match="free list"):
        leaf.add(3, b"two chunks\0", 8, bytes(8))
    leaf = filled()
    struct.pack_into("<H", leaf.buf, 28, 300)
    with pytest.raises(CorruptError):
        LeafBlock(leaf.buf)
    leaf = filled()
    other = leaf.find(2 << 61, b"name 2\0")[2]  # type: ignore[index]
    struct.pack_into("<H", leaf.buf, leaf.base + 24 * chunk + 4, other[3])
    with pytest.raises(CorruptError, match="several entries"):
        leaf.split(np.zeros(512, dtype=np.uint8), sorted_chains=False)
    assert entry[3] != other[3]


def test_what_is_not_a_leaf() -> None:
    with pytest.raises(CorruptError, match="not a leaf"):
        LeafBlock(bytes(1024))
    with pytest.raises(CorruptError, match="wrong size"):
        LeafBlock(bytes(1536))
