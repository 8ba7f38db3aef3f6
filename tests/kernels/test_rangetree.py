"""Sets of segments against plain sets of integers, and against sweeps over all edges."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from numpy.typing import NDArray
from uberblock.kernels.rangetree import RangeTree
from uberblock.pool.alloc.ranges import RangeSet

U64 = NDArray[np.uint64]
TOP = (1 << 64) - 1


def words(*values: int) -> U64:
    return np.array(values, np.uint64)


def contents(tree: RangeTree) -> set[int]:
    starts, ends = tree.segments()
    return {n for start, end in zip(starts.tolist(), ends.tolist()) for n in range(start, end)}


def test_neighbours_are_joined() -> None:
    tree = RangeTree(words(10, 30, 20), words(20, 40, 30))
    assert (len(tree), tree.space, tree.largest) == (1, 30, 30)
    tree.remove(words(15, 39), words(20, 40))
    assert [part.tolist() for part in tree.segments()] == [[10, 20], [15, 39]]
    assert {n: int(c) for n, c in enumerate(tree.histogram()) if c} == {2: 1, 4: 1}
    assert "2 segments" in repr(tree) and tree and not RangeTree()
    tree.clear()
    assert len(tree) == tree.space == tree.largest == 0 and tree.segments()[0].tolist() == []


@pytest.mark.parametrize(
    ("verb", "start", "end", "message"),
    [
        ("add", 15, 16, "range 2, 0xf..0x10: it is to be added"),
        ("add", 5, 11, "in the set already"),
        ("add", 19, 21, "in the set already"),
        ("add", 5, 25, "in the set already"),
        ("add", 7, 7, "is empty"),
        ("add", 7, 6, "is empty"),
        ("remove", 9, 11, "not in the set as a whole"),
        ("remove", 19, 21, "not in the set as a whole"),
        ("remove", 5, 6, "not in the set as a whole"),
        ("remove", 50, 50, "is empty"),
    ],
)
def test_wrong_use_changes_nothing(verb: str, start: int, end: int, message: str) -> None:
    tree = RangeTree(words(10, 100, 200), words(20, 110, 210))
    before = [part.tolist() for part in tree.segments()], tree.histogram().tolist()
    good = (words(0, 30), words(2, 40)) if verb == "add" else (words(100, 203), words(110, 207))
    bad = [np.concatenate([part, words(value), part]) for part, value in zip(good, (start, end))]
    with pytest.raises(ValueError, match=message):
        getattr(tree, verb)(*bad)
    assert ([part.tolist() for part in tree.segments()], tree.histogram().tolist()) == before
    tree.check_inside()


def test_arrays_that_are_none() -> None:
    tree = RangeTree()
    for starts, ends in (
        (words(1), words()),
        (np.array([1]), np.array([2])),
        (np.array([1], ">u8"), np.array([2], ">u8")),
        (words(1, 2, 3, 4)[::2], words(2, 3, 4, 5)[::2]),
    ):
        with pytest.raises(ValueError):
            tree.add(starts, ends)
    with pytest.raises(ValueError, match="block 1"):
        RangeTree(words(0), words(100)).allocate(words(1, 0))
    with pytest.raises(ValueError, match="block 0"):
        RangeTree(words(0), words(100)).allocate(words(1), align=0)


def test_a_failed_request_gives_everything_back() -> None:
    tree = RangeTree(words(0, 50), words(20, 100))
    with pytest.raises(ValueError):
        tree.allocate(words(10, 7, 30, 0))
    assert [part.tolist() for part in tree.segments()] == [[0, 50], [20, 100]]


def test_the_largest_numbers() -> None:
    tree = RangeTree(words(0), words(TOP))
    assert tree.space == tree.largest == TOP
    assert tree.allocate(words(TOP - 1, 1, 1)).tolist() == [0, TOP - 1]
    tree.add(words(TOP - 10), words(TOP))
    assert tree.allocate(words(5), align=1 << 63).tolist() == []
    assert tree.allocate(words(3, 3, 3), align=TOP - 9).tolist() == [TOP - 9]
    assert tree.allocate(words(TOP, TOP)).tolist() == []


# --- allocation -------------------------------------------------------------------------------------------------------


def test_a_run_goes_where_it_fits() -> None:
    """Small segments are passed over for a run, and used for single blocks."""
    tree = RangeTree(words(0, 100, 1000), words(20, 120, 2000))
    assert tree.allocate(words(*[10] * 8), run=80).tolist() == [1000 + 10 * n for n in range(8)]
    assert tree.allocate(words(9)).tolist() == [1080]  # goes on behind blocks of that size
    assert tree.allocate(words(20)).tolist() == [0]
    assert tree.allocate(words(*[16] * 70), run=1 << 20).tolist() == [1089 + 16 * n for n in range(56)] + [100]
    assert tree.space == 4 + 15


def test_without_a_segment_for_all_the_largest_is_taken() -> None:
    tree = RangeTree(words(0, 100, 200), words(20, 140, 230))
    assert tree.allocate(words(*[10] * 12)).tolist() == [100, 110, 120, 130, 200, 210, 220, 0, 10]


def test_blocks_begin_where_they_may() -> None:
    tree = RangeTree(words(5, 100), words(31, 190))
    assert tree.allocate(words(30, 30, 30), align=30).tolist() == [120, 150]
    assert [part.tolist() for part in tree.segments()] == [[5, 100, 180], [31, 120, 190]]
    assert tree.allocate(words(7, 7), align=10).tolist() == [10, 20]
    tree.check_inside()


class Machine(RuleBasedStateMachine):
    """Numbers below 4096 in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.tree, self.model = RangeTree(), set[int]()

    @rule(
        start=st.integers(0, 4000), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60), gap=st.integers(0, 3)
    )
    def add(self, start: int, sizes: list[int], gap: int) -> None:
        self.change("add", start, sizes, gap)

    @rule(
        start=st.integers(0, 4000), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=60), gap=st.integers(0, 3)
    )
    def remove(self, start: int, sizes: list[int], gap: int) -> None:
        self.change("remove", start, sizes, gap)

    def change(self, verb: str, start: int, sizes: list[int], gap: int) -> None:
        starts = start + np.cumsum([0, *(size + gap for size in sizes[:-1])])
        wanted = [set(range(s, s + size)) for s, size in zip(starts.tolist(), sizes)]
        good = [not each & self.model if verb == "add" else each <= self.model for each in wanted]
        ends = starts + sizes
        tree = self.tree
        assert tree.contains(starts.astype("u8"), ends.astype("u8")).tolist() == [w <= self.model for w in wanted]
        assert tree.overlaps(starts.astype("u8"), ends.astype("u8")).tolist() == [bool(w & self.model) for w in wanted]
        if not all(good):
            with pytest.raises(ValueError, match=f"range {good.index(False)},"):
                getattr(tree, verb)(starts.astype("u8"), ends.astype("u8"))
            starts, ends, wanted = starts[good], ends[good], [each for each, ok in zip(wanted, good) if ok]
        order = np.arange(len(starts))[::-1]
        getattr(tree, verb)(starts[order].astype("u8"), ends[order].astype("u8"))
        self.model = self.model.union(*wanted) if verb == "add" else self.model.difference(*wanted)

    @rule(
        sizes=st.lists(st.integers(1, 64), min_size=1, max_size=40),
        align=st.integers(1, 9),
        run=st.sampled_from([1, 50, 1000]),
    )
    def allocate(self, sizes: list[int], align: int, run: int) -> None:
        starts, ends = (part.tolist() for part in self.tree.segments())
        offsets = self.tree.allocate(words(*sizes), align=align, run=run).tolist()
        for offset, size in zip(offsets, sizes):
            here = set(range(offset, offset + size))
            assert here <= self.model and offset % align == 0
            self.model -= here
        if len(offsets) < len(sizes):
            size = sizes[len(offsets)]
            for start, end in zip(*(part.tolist() for part in self.tree.segments())):
                assert -(-start // align) * align + size > end
        else:
            assert starts and ends

    @invariant()
    def same(self) -> None:
        self.tree.check_inside()
        assert contents(self.tree) == self.model
        assert self.tree.space == len(self.model)
        starts, ends = self.tree.segments()
        assert self.tree.largest == (ends - starts).max(initial=0)


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_many_segments(seed: int) -> None:
    """Tens of thousands of segments, in many leaves: added and removed in any order, against sweeps."""
    rng = np.random.default_rng(seed)
    starts = np.arange(20000, dtype=np.uint64) * np.uint64(64)
    ends = starts + rng.integers(1, 65, len(starts)).astype(np.uint64)
    order = rng.permutation(len(starts))
    tree = RangeTree(starts[order], ends[order])
    tree.check_inside()
    whole = RangeSet(starts, ends)
    assert np.array_equal(tree.segments(), (whole.starts, whole.ends))
    gone = order[: rng.integers(1, len(order))]
    inner = starts[gone] + (ends - starts)[gone] // np.uint64(2)
    tree.remove(starts[gone], np.maximum(inner, starts[gone] + np.uint64(1)))
    tree.check_inside()
    rest = whole - RangeSet(starts[gone], np.maximum(inner, starts[gone] + np.uint64(1)))
    assert np.array_equal(tree.segments(), (rest.starts, rest.ends)) and tree.space == rest.total
    offsets = tree.allocate(np.full(3000, 17, np.uint64), run=1)
    tree.check_inside()
    rest -= RangeSet(offsets, offsets + np.uint64(17))
    assert np.array_equal(tree.segments(), (rest.starts, rest.ends))
    tree.remove(*tree.segments())
    assert not tree


def test_two_threads_do_no_harm() -> None:
    """The second one is turned away, or comes after the first; the set stays whole."""
    tree = RangeTree()
    starts = np.arange(200000, dtype=np.uint64) * np.uint64(2)
    turned_away = []

    def work(first: int) -> None:
        mine = starts[first::2].copy()
        for part in np.array_split(mine, 5):
            while True:
                try:
                    tree.add(part, part + np.uint64(1))
                    break
                except RuntimeError as error:
                    turned_away.append(str(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tree.check_inside()
    assert len(tree) == len(starts)
    assert set(turned_away) <= {"two threads at one set of segments"}
