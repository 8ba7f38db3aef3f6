"""Mirrors: which child a block is read from, in which way."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.vdev.layout import Layout
from uberblock.pool.vdev.mirror import choose
from uberblock.pool.vdev.state import VdevAux, VdevState
from uberblock.pool.vdev.tree import VdevTree

SIZES = np.full(4, 4096, np.uint64)
BIRTHS = np.array([3, 5, 9, 20], np.uint64)
AT = np.arange(4, dtype=np.uint64) << np.uint64(12)


def leaves_of(tree: VdevTree, way: int, scrub: bool = False) -> list[int]:
    layout: Layout = tree.layout(0, way, AT, SIZES, BIRTHS, scrub=scrub)
    found: list[int] = layout.columns["leaf"].tolist()
    return found


def test_all_healthy(plan: Any) -> None:
    tree = plan.tree(plan.node("mirror", plan.leaf(), plan.leaf(), plan.leaf()))
    assert tree.tops[0].name == "mirror-0" and tree.ways(0) == tree.ways(0, scrub=True) == 3
    for way in range(3):
        assert leaves_of(tree, way) == leaves_of(tree, way, scrub=True) == [way] * 4
    layout = tree.layout(0, 1, AT, SIZES - np.uint64(100), BIRTHS)
    assert layout.columns[2].tolist() == (1, -1, (4 << 20) + 8192, 0, 4096, 4096)
    with pytest.raises(ValueError):
        tree.layout(0, 3, AT, SIZES, BIRTHS, scrub=True)


def test_missing_children_come_last(plan: Any) -> None:
    tree = plan.tree(plan.node("mirror", plan.leaf(present=False), plan.leaf(), plan.leaf()))
    assert [leaves_of(tree, way)[0] for way in range(3)] == [1, 2, -1]
    assert [leaves_of(tree, way, scrub=True)[0] for way in range(3)] == [-1, 1, 2]
    assert tree.tops[0].state is VdevState.DEGRADED


def test_each_block_comes_from_a_child_that_has_it(plan: Any) -> None:
    tree = plan.tree(plan.node("mirror", plan.leaf(), plan.leaf()))
    tree.leaves[0].set_dtl([4], [10])
    assert tree.ways(0) == 4 and tree.ways(0, scrub=True) == 2
    assert leaves_of(tree, 0) == [0, 1, 1, 0]
    assert leaves_of(tree, 1) == [1, -1, -1, 1]
    assert leaves_of(tree, 2) == [0] * 4 and leaves_of(tree, 3) == [1] * 4  # the DTL may be too pessimistic
    assert leaves_of(tree, 0, scrub=True) == [0, -1, -1, 0]
    assert leaves_of(tree, 1, scrub=True) == [1] * 4
    tree.leaves[1].set_dtl([9], [30])
    assert tree.tops[0].missing().ranges() == [(9, 10)]
    assert leaves_of(tree, 0) == [0, 1, -1, 0]


def test_replacements_and_spares_are_mirrors(plan: Any) -> None:
    inner = plan.node("spare", plan.leaf(present=False), plan.node("replacing", plan.leaf(), plan.leaf()))
    tree = plan.tree(plan.node("mirror", plan.leaf(), inner))
    assert [v.name for v in tree.tops[0].walk() if v.children] == ["mirror-0", "spare-1", "replacing-1"]
    assert tree.ways(0) == 4
    assert [leaves_of(tree, way)[0] for way in range(4)] == [0, 2, 3, -1]
    assert [leaves_of(tree, way, scrub=True)[0] for way in range(4)] == [0, -1, 2, 3]


def test_mirror_over_raidz(plan: Any) -> None:
    """OpenZFS's ztest makes these."""
    sides = [
        plan.node("raidz", *(plan.leaf(present=present) for _ in range(3)), nparity=1) for present in (False, True)
    ]
    tree = plan.tree(plan.node("mirror", *sides), asize=3 * (48 << 20))
    assert tree.tops[0].ashift == tree.tops[0].children[1].ashift == 12
    assert tree.tops[0].state is VdevState.DEGRADED
    assert tree.tops[0].children[0].aux is VdevAux.NO_REPLICAS
    assert tree.asizes(0, [4096, 8192], [5, 5]).tolist() == [8192, 16384]
    first, second = (tree.layout(0, way, AT[::2], SIZES[::2], BIRTHS[::2]) for way in range(2))
    assert first.columns["leaf"].tolist() == [3, 4, 5, 3]  # the healthy side first
    assert second.columns["leaf"].tolist() == [-1] * 4
    assert first.groups["nparity"].tolist() == [1, 1]
    scrub = [tree.layout(0, way, AT[::2], SIZES[::2], BIRTHS[::2], scrub=True) for way in range(2)]
    assert scrub[1].columns.tolist() == first.columns.tolist()


def test_states(plan: Any) -> None:
    for missing, state, aux in (
        ((), VdevState.HEALTHY, VdevAux.NONE),
        ((0,), VdevState.DEGRADED, VdevAux.NONE),
        ((0, 1), VdevState.CANT_OPEN, VdevAux.NO_REPLICAS),
    ):
        tree = plan.tree(plan.node("mirror", *(plan.leaf(present=i not in missing) for i in range(2))))
        assert (tree.tops[0].state, tree.tops[0].aux) == (state, aux)
        assert tree.root.state is state
    tree = plan.tree(plan.node("mirror", plan.leaf(offline=1), plan.leaf(offline=1)))
    assert tree.tops[0].aux is VdevAux.CHILDREN_OFFLINE


THREE = st.lists(st.booleans(), min_size=3, max_size=3)


@given(st.lists(THREE, min_size=1, max_size=4), st.integers(0, 5), st.booleans())
def test_choose(has: list[list[bool]], number: int, wrap: bool) -> None:
    places = np.arange(3, dtype=np.uint64)
    candidates = [
        (np.array([row if good else -1 for good in flags], np.int32), places + np.uint64(10 * row))
        for row, flags in enumerate(has)
    ]
    leaf, at = choose(candidates, number, wrap)
    for block in range(3):
        able = [row for row, flags in enumerate(has) if flags[block]]
        if wrap and able:
            able = list(itertools.islice(itertools.cycle(able), 20))
        assert leaf[block] == (able[number] if number < len(able) else -1)
        if leaf[block] >= 0:
            assert at[block] == leaf[block] * 10 + block
