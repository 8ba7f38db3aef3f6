"""Removed vdevs: mappings, chains of removals, hostile mappings."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.label import DATA_START
from uberblock.pool.vdev.indirect import IndirectVdev
from uberblock.pool.vdev.tree import VdevTree

SECTOR = 512
SIZE = 64 * SECTOR
Mapping = list[tuple[int, int, int, int]]  # source, size, top, target; in sectors


def words(*values: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


def pool(plan: Any, *removed: Mapping) -> VdevTree:
    """Two disks and a mirror (0, 1, 2), then removed vdevs (3, 4 ...) with these mappings."""
    tops = [plan.leaf(), plan.leaf(), plan.node("mirror", plan.leaf(), plan.leaf())]
    tops += [{"type": "indirect", "guid": 100 + i, "ashift": 9, "asize": SIZE} for i in range(len(removed))]
    tree: VdevTree = plan.tree(*tops, ashift=9)
    for top, mapping in zip(tree.tops[3:], removed):
        assert isinstance(top, IndirectVdev)
        source, size, target, offset = np.array(mapping, np.uint64).reshape(-1, 4).T
        dva = np.stack([target << np.uint64(32) | size, offset], axis=1)
        top.set_mapping(source * np.uint64(SECTOR), dva, size * np.uint64(SECTOR))
    return tree


def follow(removed: list[Mapping], top: int, sector: int) -> tuple[int, int] | None:
    """Where one sector lies, by the definition."""
    for _ in range(10):
        if top < 3:
            return top, sector
        if top - 3 >= len(removed):
            return None
        entries = removed[top - 3]
        hits = [(t, to + sector - source) for source, size, t, to in entries if source <= sector < source + size]
        if not hits:
            return None
        ((top, sector),) = hits
    return None


@st.composite
def mappings(draw: st.DrawFn, onward: int | None) -> Mapping:
    """A mapping onto the disks, and onto one further removed vdev."""
    cuts = [*sorted(draw(st.sets(st.integers(0, 63), min_size=1, max_size=8))), 64]
    found: Mapping = []
    for start, end in pairwise(cuts):
        size = draw(st.integers(1, end - start))
        top = draw(st.sampled_from([0, 1, 2] if onward is None else [0, 2, onward]))
        found.append((start, size, top, draw(st.integers(0, 64 - size))))
    return found


@settings(max_examples=150, deadline=None)
@given(st.tuples(mappings(4), mappings(5), mappings(None)), st.integers(0, 63), st.integers(1, 64), st.integers(0, 1))
def test_every_sector_is_where_the_mapping_says(three: tuple[Mapping, ...], at: int, size: int, way: int) -> None:
    from_fixture = Plans()
    removed = list(three)
    tree = pool(from_fixture, *removed)
    size = min(size, 64 - at)
    expected = [follow(removed, 3, sector) for sector in range(at, at + size)]
    offset, length, births = words(at * SECTOR), words(size * SECTOR), words(5)
    fine = None not in expected
    assert tree.check(3, offset, length, length, births).tolist() == [fine]
    if not fine:
        with pytest.raises(CorruptError):
            tree.layout(3, 0, offset, length, births)
        with pytest.raises(CorruptError):
            tree.remap(3, offset, length, births)
        return
    pieces = tree.remap(3, offset, length, births)
    found = {}
    columns = (pieces.where, pieces.top, pieces.offset, pieces.length)
    for where, top, to, n in zip(*(column.tolist() for column in columns)):
        for i in range(0, n, SECTOR):
            assert (where + i) // SECTOR not in found
            found[(where + i) // SECTOR] = (top, (to + i) // SECTOR)
    assert found == {i: place for i, place in enumerate(expected) if place is not None}

    layout = tree.layout(3, way % tree.ways(3), offset, length, births)
    assert layout.groups["nparity"].tolist() == [0] and layout.blocks.tolist() == [0, 1]
    covered = {}
    for leaf, parity, device_offset, where, n, stored in layout.columns.tolist():
        assert parity == -1 and n == stored
        for i in range(0, n, SECTOR):
            covered[(where + i) // SECTOR] = (min(leaf, 2), (device_offset - DATA_START + i) // SECTOR)
    assert covered == found
    leaves = set(layout.columns["leaf"].tolist())
    assert leaves <= ({0, 1, 2} if way % tree.ways(3) == 0 else {0, 1, 3})


class Plans:
    """As the fixture ``plan``, for tests that make many pools."""

    def __init__(self) -> None:
        self.guid = 0
        self.devices: dict[int, Any] = {}

    def leaf(self) -> dict[str, Any]:
        self.guid += 1
        self.devices[self.guid] = _Device()
        return {"type": "file", "guid": self.guid, "path": f"f{self.guid}"}

    def node(self, kind: str, *children: dict[str, Any]) -> dict[str, Any]:
        self.guid += 1
        placed = [{**child, "id": i} for i, child in enumerate(children)]
        return {"type": kind, "guid": self.guid, "children": placed}

    def tree(self, *tops: dict[str, Any], ashift: int) -> VdevTree:
        from uberblock.pool.vdev.tree import build

        sized = [{"ashift": ashift, "asize": 1 << 20, **top} for top in tops]
        return build(self.node("root", *sized), self.devices)


class _Device:
    size = 64 << 20


def test_many_blocks_at_once(plan: Any) -> None:
    tree = pool(plan, [(0, 10, 0, 5), (10, 10, 2, 30), (20, 20, 1, 0)])
    offsets, sizes = words(8 * 512, 0, 20 * 512), words(512 * 20, 512, 1)
    layout = tree.layout(3, 1, offsets, sizes, words(1, 2, 3))
    assert len(layout) == 3 and layout.blocks.tolist() == [0, 1, 2, 3]
    assert layout.block_columns(0)[["leaf", "where", "length"]].tolist() == [
        (0, 0, 1024),
        (3, 1024, 5120),
        (1, 6144, 4096),
    ]
    assert layout.groups.tolist() == [(0, 3, 0, 5120), (3, 1, 0, 512), (4, 1, 0, 512)]
    assert tree.ways(3) == 2


def test_births(plan: Any) -> None:
    """A DTL is asked about the txg of the copying, not of the block."""
    tree = pool(plan, [(0, 32, 2, 0)])
    removed = tree.tops[3]
    assert isinstance(removed, IndirectVdev)
    removed.set_births([10 * 512, 20 * 512], [50, 60])
    tree.leaves[2].set_dtl([50], [51])
    offsets, sizes, births = words(0, 10 * 512, 25 * 512), words(512, 512, 512), words(5, 5, 50)
    assert tree.remap(3, offsets, sizes, births).birth.tolist() == [50, 60, 50]
    assert tree.layout(3, 0, offsets, sizes, births).columns["leaf"].tolist() == [3, 2, 3]
    assert tree.layout(3, 0, offsets, sizes, births, scrub=True).columns["leaf"].tolist() == [-1, 2, -1]
    with pytest.raises(CorruptError):
        removed.set_births([5, 5], [1, 2])


def test_circles_end(plan: Any) -> None:
    for chain in ([(0, 64, 3, 0)],), ([(0, 64, 4, 0)], [(0, 64, 3, 0)]):
        tree = pool(plan, *chain)
        assert tree.check(3, words(0), words(512), words(512), words(5)).tolist() == [False]
        assert tree.ways(3) == 1
        with pytest.raises(CorruptError):
            tree.remap(3, words(0), words(512), words(5))


@pytest.mark.parametrize(
    "mapping",
    [
        [(0, 64, 9, 0)],  # no such vdev
        [(0, 64, 0xFFFFFF, 0)],
        [(0, 64, 0, 1 << 40)],  # beyond its end
        [(0, 63, 0, 0)],  # the last sector is not mapped
        [(1, 63, 0, 0)],
        [(0, 10, 0, 0), (11, 53, 0, 20)],
        [],
    ],
)
def test_blocks_that_lead_nowhere(plan: Any, mapping: Mapping) -> None:
    tree = pool(plan, mapping)
    assert tree.check(3, words(0), words(SIZE), words(SIZE), words(5)).tolist() == [False]
    with pytest.raises(CorruptError, match="indirect-3"):
        tree.layout(3, 0, words(0), words(SIZE), words(5))


def test_targets_with_parity_are_refused(plan: Any) -> None:
    raidz = plan.node("raidz", plan.leaf(), plan.leaf(), nparity=1)
    tree = plan.tree({**raidz}, {"type": "indirect", "guid": 5, "asize": SIZE}, ashift=9)
    removed = tree.tops[1]
    removed.set_mapping(words(0), words(64, 0).reshape(1, 2), words(SIZE))
    assert not tree.check(1, words(0), words(512), words(512), words(5)).any()


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ([0, 512], [1024, 512]),
        ([512, 0], [512, 512]),
        ([0], [0]),
        ([0], [SIZE + 512]),
        ([1 << 63], [512]),
        ([100], [512]),
    ],
)
def test_mappings_that_cannot_be(plan: Any, source: list[int], size: list[int]) -> None:
    tree = pool(plan, [])
    with pytest.raises(CorruptError):
        tree.tops[3].set_mapping(words(*source), np.zeros((len(source), 2), np.uint64), words(*size))  # type: ignore[attr-defined]
    with pytest.raises(CorruptError):
        tree.tops[3].set_mapping(words(0), words(0, 1 << 62).reshape(1, 2), words(512))  # type: ignore[attr-defined]


def test_remapping_what_was_not_removed(plan: Any) -> None:
    tree = pool(plan, [(0, 64, 0, 0)])
    for top, offset, size in ((0, 0, 512), (3, 0, SIZE + 512), (3, 1 << 63, 512), (3, 0, 0), (9, 0, 512)):
        with pytest.raises(CorruptError):
            tree.remap(top, words(offset), words(size), words(5))
