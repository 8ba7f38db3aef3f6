"""Block trees made by hand: sparse, deep, large, in both byte orders, and hostile ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.dmu import blocktree
from uberblock.pool.errors import CorruptError, PoolError, UsageError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.blkptr import BLKPTR

from .conftest import BIRTH, MemoryZio, build_objset, build_tree, make

MAX_BLKID = (1 << 55) - 1


@settings(max_examples=40)
@given(
    st.dictionaries(st.integers(0, 32 * 32 * 3 - 1), st.integers(0, 255), max_size=30),
    st.sampled_from("<>"),
    st.integers(0, 3200),
    st.integers(0, 400),
)
def test_pointers_and_searches_as_the_model(blocks: dict[int, int], order: str, first: int, count: int) -> None:
    zio = MemoryZio()
    data = {i: bytes([value]) * 512 for i, value in blocks.items()}
    dnode = make(zio, data, nlevels=3, nblkptr=3, order=order, maxblkid=32 * 32 * 3 - 1)
    found = dnode.bps(first, count)
    present = [first + int(i) for i in np.flatnonzero(~blkptr.is_hole(found))]
    assert present == [i for i in sorted(blocks) if first <= i < first + count]
    for i in present:
        assert zio.read_one(found[i - first]) == data[i]
    at = first * 512 + 7
    later = [i for i in sorted(blocks) if i >= first]
    expected = None if not later else at if later[0] == first else later[0] * 512
    assert dnode.next_data(at) == expected
    hole = next(i for i in range(first, 32 * 32 * 3 + 200) if i not in blocks)
    assert dnode.next_hole(at) == max(at, min(hole * 512, max(dnode.size, at)))


def test_an_object_of_sixteen_exabytes() -> None:
    zio = MemoryZio()
    far = MAX_BLKID
    dnode = make(zio, {0: b"a" * 512, far: b"z" * 512}, nlevels=12, maxblkid=far)
    assert dnode.size == 1 << 64
    assert dnode.next_hole(0) == 512
    assert dnode.next_data(512) == far * 512
    assert dnode.next_data(1 << 40) == far * 512
    assert dnode.next_hole(far * 512 + 5) == dnode.size
    assert dnode.next_data(dnode.size) is None and dnode.next_hole(dnode.size + 9) == dnode.size + 9
    assert dnode.read(far * 512 - 3, 10) == b"\0\0\0" + b"z" * 7
    assert dnode.read(dnode.size - 1) == b"z" and dnode.read(dnode.size) == b""
    assert dnode.read(1 << 60, 4096) == bytes(4096)
    assert zio.reads < 200


def test_a_whole_file_of_holes_costs_nothing() -> None:
    zio = MemoryZio()
    dnode = make(zio, {}, nlevels=12, maxblkid=MAX_BLKID)
    before = zio.reads
    assert dnode.next_data(0) is None and dnode.next_hole(12345) == 12345
    assert dnode.read(12345, 1 << 20) == bytes(1 << 20)
    assert zio.reads == before


def test_dense_objects_are_searched_by_their_fill_counts() -> None:
    zio = MemoryZio()
    dnode = make(zio, dict.fromkeys(range(32 * 32 + 5), b"x" * 512), nlevels=3, nblkptr=2)
    before = zio.reads
    assert dnode.next_hole(0) == dnode.size
    assert zio.reads - before <= 3


def test_wrong_fill_counts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every indirect block claims to have data, and none has: a search must not visit them all."""
    monkeypatch.setattr(blocktree, "MAX_MISSES", 100)
    zio = MemoryZio()
    lowest = [np.array([zio.store(bytes(4096), level=1) for _ in range(32)]) for _ in range(32)]
    middle = np.array([zio.store(block.tobytes(), level=2) for block in lowest])
    phys = build_tree(zio, {}, nlevels=4, maxblkid=32**3 - 1)
    phys.blkptr = np.array([zio.store(middle.tobytes(), level=3)])
    dnode = build_objset(zio, {5: phys}).dnode(5)
    with pytest.raises(CorruptError, match="fill counts"):
        dnode.next_data(0)
    assert zio.reads < 200


def alike(zio: MemoryZio, lowest: np.ndarray, nlevels: int) -> np.ndarray:
    """Pointers to a tree that leads everywhere to one block."""
    pointers = np.full(32, lowest)
    for level in range(1, nlevels):
        pointers[:] = zio.store(pointers.tobytes(), level=level, fill=32**level)
    return pointers[:1]


def test_one_block_of_pointers_in_many_places() -> None:
    """A few blocks made a tree of 32^11: searching it, and copying out the file, would have taken for ever."""
    zio = MemoryZio()
    phys = build_tree(zio, {}, nlevels=12, maxblkid=MAX_BLKID)
    phys.blkptr = alike(zio, zio.store(b"d" * 512), 12)
    dnode = build_objset(zio, {5: phys}).dnode(5)
    for work in (lambda: dnode.bps(0, 100_000), lambda: dnode.next_data(1 << 30), lambda: dnode.read(0, 1 << 20)):
        with pytest.raises(CorruptError, match="another pointer leads"):
            work()
    told: list[PoolError] = []
    assert dnode.next_data_block(1 << 20, damaged=lambda first, count, error: told.append(error)) is None
    assert 0 < len(told) < 1000


def test_one_block_of_pointers_in_two_parents() -> None:
    """The same where no single block holds a pointer twice."""
    zio = MemoryZio()
    one = zio.store(np.full(32, zio.store(b"d" * 512)).tobytes(), level=1)
    twins = np.zeros((2, 32), dtype=BLKPTR)
    twins[:, 0] = one
    phys = build_tree(zio, {}, nlevels=3, nblkptr=2, maxblkid=2047)
    phys.blkptr = np.array([zio.store(twin.tobytes(), level=2) for twin in twins])
    dnode = build_objset(zio, {5: phys}).dnode(5)
    assert dnode.read(0, 512) == b"d" * 512
    with pytest.raises(CorruptError, match="another pointer leads"):
        dnode.read(1024 * 512, 512)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"level": 2}, "level"),
        ({"level": 0}, "level"),
        ({"size": 8192}, "logical size"),
        ({"birth": BIRTH + 1}, "born after"),
        ({"birth": 3}, "born before"),
        ({"kind": 77}, "object type"),
    ],
)
def test_pointers_in_wrong_places(change: dict[str, int], text: str) -> None:
    zio = MemoryZio()
    phys = build_tree(zio, {3: b"d" * 512})
    phys.blkptr = phys.blkptr.copy()
    size = change.pop("size", 4096)
    kind = change.pop("kind", 19)
    phys.blkptr[0] = zio.store(bytes(size), **{"level": 1, "kind": kind, **change})  # type: ignore[arg-type]
    dnode = build_objset(zio, {5: phys}).dnode(5)
    with pytest.raises(CorruptError, match=text):
        dnode.bps(3, 1)
    with pytest.raises(CorruptError, match=text):
        dnode.next_data(0)


def test_data_of_another_size_is_refused() -> None:
    zio = MemoryZio()
    dnode = make(zio, {0: b"d" * 512, 1: b"long" * 256, 2: b"d" * 512})
    assert dnode.read(0, 512) == b"d" * 512
    assert len(dnode.bps(2, 1)) == 1
    with pytest.raises(CorruptError, match="logical size"):
        dnode.read(0, 1536)


def test_too_many_pointers() -> None:
    dnode = make(MemoryZio(), {0: b"d" * 512})
    with pytest.raises(UsageError):
        dnode.bps(0, 1 << 21)
    with pytest.raises(UsageError):
        dnode.bps(-1, 1)
    assert len(dnode.bps(0, 0)) == 0 and len(dnode.bps(5000, 3)) == 3
