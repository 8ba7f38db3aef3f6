"""raidz: sizes, widths, expansions, children with more than one leaf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk.label import DATA_START
from uberblock.pool.vdev.raidz import RaidzVdev
from uberblock.pool.vdev.state import VdevAux, VdevState
from uberblock.pool.vdev.tree import VdevTree


def raidz(plan: Any, width: int, nparity: int, ashift: int = 12, **more: Any) -> VdevTree:
    """A pool of one raidz vdev of 64 MiB devices."""
    top = plan.node("raidz", *(plan.leaf() for _ in range(width)), nparity=nparity, **more)
    used = width - ("raidz_expanding" in more)
    tree: VdevTree = plan.tree(top, ashift=ashift, asize=used * (48 << 20))
    return tree


def words(*values: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("width", "nparity", "ashift", "psize", "asize"),
    [
        (5, 1, 12, 0x20000, 0x28000),
        (5, 1, 12, 0x1000, 0x2000),
        (5, 1, 12, 0x5000, 0x8000),
        (6, 2, 12, 0x20000, 0x30000),
        (6, 2, 9, 0x200, 0x600),
        (8, 3, 12, 0x1000, 0x4000),
        (7, 3, 9, 0x6E00, 0xC800),
        (4, 1, 9, 0x1400, 0x1C00),
        (3, 1, 12, 0x1, 0x2000),
    ],
)
def test_allocated_sizes(plan: Any, width: int, nparity: int, ashift: int, psize: int, asize: int) -> None:
    assert raidz(plan, width, nparity, ashift).asizes(0, [psize], [5]).tolist() == [asize]


@pytest.mark.parametrize(("width", "nparity"), [(3, 1), (5, 1), (5, 2), (7, 3), (9, 2)])
def test_psizes_are_the_largest_that_fit(plan: Any, width: int, nparity: int) -> None:
    top = raidz(plan, width, nparity, 9).tops[0]
    sectors = np.arange(1, 400, dtype=np.uint64)
    births = np.full(len(sectors), 5, np.uint64)
    needed = top.asizes(sectors << np.uint64(9), births) >> np.uint64(9)
    for room in range(nparity + 1, 400, nparity + 1):
        largest = int(top.psizes(words(room << 9), words(5))[0]) >> 9
        assert largest == int(sectors[needed <= room].max())


def test_names_and_shares(plan: Any) -> None:
    tree = raidz(plan, 5, 2)
    top = tree.tops[0]
    assert top.name == "raidz2-0" and top.leaves() == tree.leaves
    assert top.child_asize() == tree.leaves[0].asize == 48 << 20
    assert top.space(1000) == 5000
    assert tree.ways(0) == tree.ways(0, scrub=True) == 1


@pytest.mark.parametrize("missing", range(4))
def test_states(plan: Any, missing: int) -> None:
    children = [plan.leaf(present=i >= missing) for i in range(6)]
    tree = plan.tree(plan.node("raidz", *children, nparity=2), asize=6 * (48 << 20))
    expected = [VdevState.HEALTHY, VdevState.DEGRADED, VdevState.DEGRADED, VdevState.CANT_OPEN][missing]
    assert tree.tops[0].state is tree.root.state is expected
    assert (tree.tops[0].aux is VdevAux.NO_REPLICAS) is (missing == 3)
    layout = tree.layout(0, 0, [0], [4 * 4096], [5])
    assert sorted(layout.columns["leaf"].tolist()) == [-1] * missing + list(range(missing, 6))


def test_missing_txgs(plan: Any) -> None:
    tree = raidz(plan, 4, 1)
    tree.leaves[0].set_dtl([4], [20])
    assert not tree.tops[0].missing()
    tree.leaves[3].set_dtl([15], [30])
    assert tree.tops[0].missing().ranges() == [(15, 20)]
    births = words(3, 10, 17, 40)
    layout = tree.layout(0, 0, words(*(i << 16 for i in range(4))), words(*[12288] * 4), births)
    found = layout.columns["leaf"].reshape(4, 4)
    assert [sorted(row) for row in found.tolist()] == [[0, 1, 2, 3], [-1, 1, 2, 3], [-1, -1, 1, 2], [0, 1, 2, 3]]
    again = tree.layout(0, 1, words(*(i << 16 for i in range(4))), words(*[12288] * 4), births)
    assert [sorted(row) for row in again.columns["leaf"].reshape(4, 4).tolist()] == [[0, 1, 2, 3]] * 4


def test_children_with_more_than_one_leaf(plan: Any) -> None:
    """A column is read from whichever leaf of a child has the block; a scrub visits all that do."""
    replacing = plan.node("replacing", plan.leaf(), plan.leaf())
    spare = plan.node("spare", plan.leaf(present=False), plan.leaf())
    tree = plan.tree(plan.node("raidz", plan.leaf(), replacing, spare, nparity=1), asize=3 * (48 << 20))
    tree.leaves[2].set_dtl([4], [20])  # the new disk of the replacement
    assert [leaf.index for leaf in tree.leaves] == [0, 1, 2, 3, 4]
    births, at, sizes = words(10, 30), words(0, 1 << 16), words(8192, 8192)

    def way(number: int, scrub: bool) -> list[list[int]]:
        columns = tree.layout(0, number, at, sizes, births, scrub=scrub).columns
        order = np.argsort(columns["leaf"].reshape(2, 3), axis=1)
        return np.take_along_axis(columns["leaf"].reshape(2, 3), order, axis=1).tolist()  # type: ignore[no-any-return]

    assert tree.ways(0, scrub=True) == 2 and tree.ways(0) == 4
    for scrub in (False, True):
        assert way(0, scrub) == [[0, 1, 4], [0, 1, 4]]
        assert way(1, scrub) == [[0, 1, 4], [0, 2, 4]]
    assert way(3, False) == [[0, 2, 4], [0, 2, 4]]  # the last resort: what a DTL says is not believed
    plain = raidz(plan, 3, 1).layout(0, 0, at, sizes, births)
    found = tree.layout(0, 0, at, sizes, births)
    assert found.columns["offset"].tolist() == plain.columns["offset"].tolist()


def test_expanded(plan: Any) -> None:
    tree = raidz(plan, 6, 1, raidz_expand_txgs=[100, 200])
    top = tree.tops[0]
    assert isinstance(top, RaidzVdev)
    assert top.widths(words(5, 99, 100, 199, 200, 10**9)).tolist() == [4, 4, 5, 5, 6, 6]
    sizes = words(*[12 * 4096] * 3)
    assert top.asizes(sizes, words(5, 100, 200)).tolist() == [16 * 4096, 16 * 4096, 16 * 4096]
    sizes = words(*[20 * 4096] * 3)
    assert [n // 4096 for n in top.asizes(sizes, words(5, 100, 200)).tolist()] == [28, 26, 24]
    layout = tree.layout(0, 0, words(0, 1 << 17, 1 << 18), sizes, words(5, 100, 200))
    assert np.diff(layout.blocks).tolist() == [7, 5, 1]
    assert top.child_asize() == 48 << 20 and top.space(10) == 60


def test_while_an_expansion_runs(plan: Any) -> None:
    tree = raidz(plan, 5, 1, raidz_expanding=True)
    top = tree.tops[0]
    assert isinstance(top, RaidzVdev) and top.widths(words(5)).tolist() == [4]
    assert top.child_asize() == 48 << 20
    layout = tree.layout(0, 0, [0x9000], [0x5000], [5])
    assert layout.columns["leaf"].tolist()[:4] == [1, 2, 3, 0]  # as on four children
    top.set_reflow(1 << 20, 1)
    layout = tree.layout(0, 0, [0x9000], [0x5000], [5])
    assert layout.columns["leaf"].tolist()[:4] == [4, 0, 1, 2]
    assert (layout.columns["offset"][layout.columns["stored"] > 0] < DATA_START).all()  # the scratch area
    top.set_reflow(1 << 20, 4)
    again = tree.layout(0, 0, [0x9000], [0x5000], [5])
    stored = layout.columns["stored"] > 0
    assert (again.columns["offset"][stored] - layout.columns["offset"][stored] == DATA_START - (512 << 10)).all()
    for offset, state in ((-1, 0), (0, 5), (1 << 63, 0)):
        with pytest.raises(LimitError):
            top.set_reflow(offset, state)


@pytest.mark.parametrize(
    "more",
    [
        {"raidz_expand_txgs": [200, 100]},
        {"raidz_expand_txgs": [100, 100]},
        {"raidz_expand_txgs": [1, 2, 3, 4]},
        {"raidz_expand_txgs": [1, 2, 3], "raidz_expanding": True},
        {"raidz_expand_txgs": "no"},
        {"nparity": 0},
        {"nparity": 4},
        {"ashift": 8},
        {"ashift": 17},
        {"asize": 1 << 63},
        {"asize": -1},
        {"asize": None},
    ],
)
def test_configurations_that_cannot_be(plan: Any, more: dict[str, Any]) -> None:
    top = plan.node("raidz", *(plan.leaf() for _ in range(5)), nparity=2)
    with pytest.raises(CorruptError):
        plan.tree({**top, **more})


def test_too_few_children(plan: Any) -> None:
    with pytest.raises(CorruptError):
        raidz(plan, 2, 2)
    with pytest.raises(CorruptError, match="below a raidz"):
        inner = plan.node("raidz", plan.leaf(), plan.leaf(), nparity=1)
        plan.tree(plan.node("raidz", inner, plan.leaf(), nparity=1))
