"""The allocator against a plain model: a set of sectors for every state, sector by sector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray
from uberblock.pool.alloc.allocator import Allocator, AllocClass
from uberblock.pool.alloc.metaslab import geometry
from uberblock.pool.errors import CorruptError

from .conftest import Config, top, tree_of

MIB = 1 << 20
NORMAL, LOG, SPECIAL, DEDUP, EMBEDDED_LOG = AllocClass
Make = Callable[..., Any]
U64 = NDArray[np.uint64]


def words(*values: int) -> U64:
    return np.array(values, np.uint64)


def columns(result: U64) -> tuple[U64, U64, U64]:
    flat = result.reshape(-1, 3)
    return flat[:, 0].copy(), flat[:, 1].copy(), flat[:, 2].copy()


def finish(allocator: Allocator, txg: int) -> None:
    allocator.take_changes(txg)
    allocator.sync_done(txg)


# --- where blocks go --------------------------------------------------------------------------------------------------


def test_a_new_disk_is_filled_from_its_beginning(make_tree: Make, make_top: Make) -> None:
    """As OpenZFS does: copies in the first metaslabs, each from its beginning."""
    allocator = Allocator(make_tree(make_top(256 * MIB)))
    first = allocator.allocate([512, 131072], txg=4, copies=3)
    assert first.tolist() == [
        [[0, 0, 4096], [0, 32 * MIB, 4096], [0, 64 * MIB, 4096]],
        [[0, 4096, 131072], [0, 32 * MIB + 4096, 131072], [0, 64 * MIB + 4096, 131072]],
    ]
    changes = allocator.take_changes(4)
    assert [(c.vdev, c.metaslab, c.alloc_starts.tolist(), c.alloc_ends.tolist()) for c in changes] == [
        (0, n, [n * 32 * MIB], [n * 32 * MIB + 135168]) for n in range(3)
    ]
    assert all(len(c.free_starts) == 0 for c in changes) and allocator.take_changes() == []
    assert allocator.allocated(NORMAL) == 3 * 135168 == allocator.vdev_allocated(0)


def test_batches_lie_in_a_row(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(*(make_top(1 << 34) for _ in range(4))))
    placed = allocator.allocate(np.full(1024, 65536), txg=4)[:, 0]
    breaks = (placed[1:, 0] != placed[:-1, 0]) | (placed[1:, 1] != placed[:-1, 1] + placed[:-1, 2])
    assert np.count_nonzero(breaks) + 1 == 32  # 2 MiB each
    assert np.bincount(placed[:, 0].astype(int)).tolist() == [256] * 4


def test_emptier_vdevs_get_more(make_tree: Make, make_top: Make) -> None:
    tree = make_tree(make_top(1 << 34), make_top(1 << 34))
    sizes = geometry(1 << 34, tree.tops[0].config["metaslab_shift"]).sizes.astype(np.int64)
    used = sizes * 3 // 4

    def load(vdev: int, metaslab: int) -> tuple[U64, U64]:
        begin = metaslab * int(sizes[0])
        return (words(begin), words(begin + int(used[metaslab]))) if vdev == 0 else (words(), words())

    allocator = Allocator(tree, load=load, allocated={0: used})
    placed = allocator.allocate(np.full(8192, 131072), txg=9)[:, 0]
    first, second = np.bincount(placed[:, 0].astype(int)).tolist()
    assert 3.5 < second / first < 4.5


def test_copies_lie_on_different_vdevs(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(), make_top(), make_top(kind="mirror", children=2)))
    placed = allocator.allocate(np.full(500, 131072), txg=4, copies=3)
    assert (np.sort(placed[:, :, 0], axis=1) == [0, 1, 2]).all()
    two = Allocator(make_tree(make_top(), make_top()))
    placed = two.allocate(np.full(100, 131072), txg=4, copies=3)
    assert all(len(set(row)) == 2 for row in placed[:, :, 0].tolist())
    assert all(len({(v, o >> 25) for v, o, _ in row}) == 3 for row in placed.tolist())  # metaslabs


def test_parity_counts(make_tree: Make, make_top: Make) -> None:
    raidz = make_top(1 << 34, kind="raidz", children=5, nparity=1)
    allocator = Allocator(make_tree(raidz))
    placed = allocator.allocate([4096, 131072, 512], txg=4)[:, 0]
    assert placed[:, 2].tolist() == [8192, 40 * 4096, 8192]
    assert placed[:, 1].tolist() == [0, 8192, 8192 + 40 * 4096]


def test_draid_begins_at_rows(make_tree: Make, make_top: Make) -> None:
    draid = {"draid_ndata": 4, "draid_nspares": 1, "draid_ngroups": 2, "nparity": 1}
    tree = make_tree(make_top(1 << 34, kind="draid", children=11, **draid))
    stripe = 5 * 4096
    assert tree.tops[0].stripe() == stripe
    allocator = Allocator(tree)
    placed = allocator.allocate([4096, 131072, 512, 70000], txg=4, copies=2)
    assert (placed[:, :, 1:] % stripe == 0).all() and (placed[:, :, 2] > 0).all()
    assert len(allocator.take_changes(4)) == 2


# --- classes ----------------------------------------------------------------------------------------------------------


def test_classes_and_their_overflow(make_tree: Make, make_top: Make) -> None:
    tree = make_tree(make_top(), make_top(is_log=1), make_top(64 * MIB), make_top(64 * MIB))
    allocator = Allocator(tree, classes={2: SPECIAL, 3: DEDUP})
    for cls, vdev in ((NORMAL, 0), (LOG, 1), (SPECIAL, 2), (DEDUP, 3)):
        assert allocator.allocate([4096], txg=4, cls=cls)[0, 0, 0] == vdev
    placed = allocator.allocate(np.full(1100, 131072), txg=4, cls=DEDUP)[:, 0]
    assert (placed[:, 2] > 0).all()
    assert np.bincount(placed[:, 0].astype(int)).tolist() == [1100 - 2 * 511, 0, 511, 511]
    assert placed[:, 0].tolist() == sorted(placed[:, 0].tolist(), key=[3, 2, 1, 0].index)
    assert not allocator.special_takes_data() and allocator.has(SPECIAL)
    # Ordinary blocks never go elsewhere.
    rest = allocator.allocate(np.full(3000, 131072), txg=4)[:, 0]
    assert (rest[rest[:, 2] > 0, 0] == 0).all() and (rest[:, 2] == 0).any()


def test_without_classes_everything_is_normal(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top()))
    assert all(allocator.allocate([512], txg=4, cls=cls)[0, 0, 2] == 4096 for cls in AllocClass)
    assert not allocator.special_takes_data() and not allocator.has(LOG)


def test_logs_without_devices_have_a_metaslab_of_their_own(make_tree: Make, make_top: Make) -> None:
    """The emptiest, where there are more than 64; others use it only when nothing else is left."""
    metaslab, count = 512 * MIB, 70
    tree = make_tree(make_top(count * metaslab))
    used = np.full(count, metaslab - 2 * MIB)
    used[[41, 50]] -= 128 << 10

    def load(vdev: int, index: int) -> tuple[U64, U64]:
        return words(index * metaslab), words(index * metaslab + int(used[index]))

    def where(placed: U64) -> set[int]:
        return {offset // metaslab if asize else -1 for _, offset, asize in placed.reshape(-1, 3).tolist()}

    allocator = Allocator(tree, load=load, allocated={0: used})
    assert where(allocator.allocate(np.full(10, 4096), txg=4, cls=LOG)) == {41}
    assert where(allocator.allocate([4096], txg=4, cls=EMBEDDED_LOG)) == {41}
    everything = allocator.allocate(np.full((count - 1) * 16 + 1, 128 << 10), txg=4)
    assert 41 not in where(everything) and -1 not in where(everything)
    late = allocator.allocate(np.full(20, 128 << 10), txg=4)
    assert where(late) == {41, -1}, "the log's, then nothing"
    assert where(allocator.allocate([128 << 10], txg=4, cls=LOG)) == {-1}
    assert where(allocator.allocate([4096], txg=4, cls=LOG)) == {41}
    assert allocator.space(NORMAL) == count * metaslab and allocator.space(EMBEDDED_LOG) == 0
    few = Allocator(make_tree(make_top(60 * metaslab)))
    assert where(few.allocate([4096], txg=4)) == where(few.allocate([4096], txg=4, cls=LOG)) == {0}


def test_small_data_may_fill_three_quarters(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(), make_top(64 * MIB)), classes={1: SPECIAL})
    assert allocator.special_takes_data()
    allocator.allocate(np.full(383, 131072), txg=4, cls=SPECIAL)
    assert allocator.special_takes_data()
    allocator.allocate([131072], txg=4, cls=SPECIAL)
    assert not allocator.special_takes_data()


def test_log_blocks_take_turns(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(), make_top(is_log=1), make_top(is_log=1)))
    assert allocator.allocate([4096] * 4, txg=4, cls=LOG)[:, 0, 0].tolist() == [1, 2, 1, 2]


def test_vdevs_that_take_nothing(make_tree: Make, make_top: Make) -> None:
    hole: Config = {"type": "hole", "guid": 0, "is_hole": 1}
    going, forbidden = make_top(removing=1), make_top(non_allocating=1)
    tree = make_tree(going, hole, forbidden, make_top(), make_top())
    tree.leaves[-1].set_state(tree.leaves[-1].state.CANT_OPEN)
    tree.propagate_states()
    allocator = Allocator(tree)
    assert set(allocator.allocate(np.full(400, 131072), txg=4)[:, 0, 0].tolist()) == {3}
    with pytest.raises(CorruptError):
        allocator.free(words(1), words(0), words(4096), txg=4)


def test_vdevs_can_be_added(make_tree: Make, make_top: Make) -> None:
    tree = make_tree(make_top(), make_top(1 << 30))
    small = Allocator(tree)
    with pytest.raises(ValueError, match="is known"):
        small.add_vdev(1)


# --- full pools -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_full_pool_takes_what_it_can(make_tree: Make, make_top: Make, copies: int) -> None:
    allocator = Allocator(make_tree(make_top(64 * MIB), make_top(64 * MIB)))
    sizes = np.resize([1 << 20, 131072, 4096], 3000)
    placed = allocator.allocate(sizes, txg=4, copies=copies)
    there = placed[:, :, 2] > 0
    assert (there.all(axis=1) == there.any(axis=1)).all()  # all copies or none
    assert there[:, 0].any() and not there.all()
    small = allocator.allocate(np.full(40000, 4096), txg=4, copies=copies)
    # Every sector is in use, except those that do not suffice for all copies.
    assert allocator.free_bytes(NORMAL) < copies * 4096
    vdevs, offsets, asizes = columns(np.concatenate([placed, small]))
    used = asizes > 0
    order = np.lexsort((offsets[used], vdevs[used]))
    v, o, a = vdevs[used][order], offsets[used][order], asizes[used][order]
    assert ((v[1:] != v[:-1]) | (o[1:] >= o[:-1] + a[:-1])).all()
    assert int(a.sum()) == allocator.allocated(NORMAL)


def test_a_nearly_full_pool_does_not_let_space_wait(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(64 * MIB)))
    placed = columns(allocator.allocate(np.full(510, 131072), txg=4))
    finish(allocator, 4)
    one = tuple(column[:1] for column in placed)
    allocator.free(*one, txg=5)
    assert allocator.deferred() == 131072
    finish(allocator, 5)
    assert allocator.deferred() == 0


# --- frees ------------------------------------------------------------------------------------------------------------


def test_freed_space_waits(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(1 << 30)))
    placed = columns(allocator.allocate(np.full(4, 131072), txg=10))
    finish(allocator, 10)
    allocator.free(*placed, txg=11)
    change = allocator.take_changes(11)[0]
    assert (change.free_starts.tolist(), change.free_ends.tolist()) == ([0], [524288])
    allocator.sync_done(11)
    group = allocator._groups[0]
    for txg in (12, 13):
        assert group.loaded(0).free is not None and not group.loaded(0).free.contains(words(0), words(4096))[0]
        finish(allocator, txg)
    assert group.loaded(0).free.contains(words(0), words(524288))[0]
    assert allocator.deferred() == 0 == allocator.allocated(NORMAL)


def test_born_and_killed_in_one_txg(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(1 << 30)))
    placed = columns(allocator.allocate([4096], txg=10))
    allocator.free(*placed, txg=10)
    change = allocator.take_changes(10)[0]
    assert change.alloc_starts.tolist() == change.free_starts.tolist() == [0]
    assert [len(part) for part in allocator.used_ranges(0, 0)] == [0, 0]
    assert allocator.allocate([4096], txg=10)[0, 0, 1] == 4096  # not written over while it may be written


def test_what_was_not_written_is_free_at_once(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(1 << 30)))
    placed = columns(allocator.allocate([4096, 8192], txg=10, copies=2))
    allocator.unallocate(*placed, txg=10)
    assert allocator.take_changes() == [] and allocator.allocated(NORMAL) == 0
    with pytest.raises(ValueError, match="not in the set"):
        allocator.unallocate(*placed, txg=10)


def test_changes_of_later_txgs_stay(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top(1 << 30)))
    allocator.allocate([4096], txg=10)
    allocator.allocate([4096], txg=11, cls=LOG)
    with pytest.raises(ValueError, match="not all of its changes"):
        allocator.sync_done(10)
    assert allocator.take_changes(10)[0].alloc_ends.tolist() == [4096]
    assert [part.tolist() for part in allocator.used_ranges(0, 0)] == [[0], [4096]]
    allocator.sync_done(10)
    assert allocator.take_changes(11)[0].alloc_starts.tolist() == [4096]


@pytest.mark.parametrize(
    ("vdev", "offset", "asize"),
    [
        (0, 0, 4096),
        (0, 8192, 8192),
        (0, 4096, 0),
        (0, 4097, 4096),
        (0, 1 << 40, 4096),
        (0, (1 << 64) - 4096, 8192),
        (7, 4096, 4096),
        (0, 32 * MIB - 4096, 8192),
    ],
)
def test_frees_that_make_no_sense(make_tree: Make, make_top: Make, vdev: int, offset: int, asize: int) -> None:
    allocator = Allocator(make_tree(make_top(), make_top()))
    placed = columns(allocator.allocate(np.full(3, 4096), txg=4))
    allocator.unallocate(*(column[[0]] for column in placed), txg=4)
    before = allocator.take_changes(), allocator.allocated(NORMAL)
    bad = [np.concatenate([column[1:], words(value)]) for column, value in zip(placed, (vdev, offset, asize))]
    with pytest.raises(CorruptError):
        allocator.free(*bad, txg=5)
    assert allocator.take_changes() == [] and allocator.allocated(NORMAL) == before[1]
    allocator.free(*(column[1:] for column in placed), txg=5)
    with pytest.raises(CorruptError):
        allocator.free(*(column[1:] for column in placed), txg=5)


# --- maps on disk -----------------------------------------------------------------------------------------------------


def test_metaslabs_are_loaded_when_needed(make_tree: Make, make_top: Make) -> None:
    asked: list[int] = []
    used = np.zeros(8, np.int64)
    used[:] = 8 * MIB
    used[5] = 0

    def load(vdev: int, metaslab: int) -> tuple[U64, U64]:
        asked.append(metaslab)
        return (words(metaslab << 25), words((metaslab << 25) + 8 * MIB)) if used[metaslab] else (words(), words())

    allocator = Allocator(make_tree(make_top()), load=load, allocated={0: used})
    assert allocator.allocate([4096], txg=9)[0, 0].tolist() == [0, 5 << 25, 4096]
    allocator.free(words(0), words(0), words(4096), txg=9)  # without loading
    assert asked == [5] and allocator.histogram(0, 0) is None
    allocator.take_changes(9)
    starts, ends = allocator.used_ranges(0, 0)
    assert asked == [5, 0] and (starts.tolist(), ends.tolist()) == ([4096], [8 * MIB])
    with pytest.raises(CorruptError):
        allocator.free(words(0), words(0), words(4096), txg=10)
    with pytest.raises(CorruptError):
        allocator.claim(words(0, 0), words(9 * MIB, 4096), words(4096, 4096), txg=10)
    allocator.claim(words(0), words(9 * MIB), words(4096), txg=10)
    assert allocator.take_changes(10)[0].alloc_starts.tolist() == [9 * MIB]


def test_a_free_of_what_is_free_comes_out_when_loaded(make_tree: Make, make_top: Make) -> None:
    used = np.full(8, 4096, np.int64)
    allocator = Allocator(
        make_tree(make_top()), load=lambda v, m: (words(m << 25), words((m << 25) + 4096)), allocated={0: used}
    )
    allocator.free(words(0), words(8192), words(4096), txg=9)
    with pytest.raises(CorruptError, match="freed that is not allocated"):
        allocator.used_ranges(0, 0)
    with pytest.raises(CorruptError, match="more is freed"):
        allocator.free(words(0), words(16384), words(8192), txg=9)


def test_maps_that_cannot_be(make_tree: Make, make_top: Make) -> None:
    with pytest.raises(CorruptError):
        Allocator(make_tree(make_top()), allocated={0: np.full(8, 33 * MIB, np.int64)})
    with pytest.raises(CorruptError):
        Allocator(make_tree(make_top()), allocated={0: np.full(8, -1, np.int64)})
    allocator = Allocator(
        make_tree(make_top()), load=lambda v, m: (words(0), words(64 * MIB)), allocated={0: np.zeros(8, np.int64)}
    )
    with pytest.raises(CorruptError, match="outside of its metaslab"):
        allocator.allocate([4096], txg=4)


def test_maps_and_figures_have_to_agree(make_tree: Make, make_top: Make) -> None:
    """Figures left out, or logs forgotten: nothing is allocated where something may be."""

    def load(vdev: int, metaslab: int) -> tuple[U64, U64]:
        return words(metaslab << 25), words((metaslab << 25) + 8192)

    for allocated in (None, {0: np.full(8, 4096, np.int64)}, {0: np.full(8, 12288, np.int64)}):
        allocator = Allocator(make_tree(make_top()), load=load, allocated=allocated)
        for _ in range(2):
            with pytest.raises(CorruptError, match="figures of a metaslab"):
                allocator.allocate([4096], txg=4)
        assert allocator.allocated(NORMAL) == (0 if allocated is None else int(allocated[0].sum()))


def test_a_txg_on_disk_does_not_change(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top()))
    placed = columns(allocator.allocate([4096], txg=4))
    finish(allocator, 4)
    for call in (
        lambda: allocator.allocate([4096], txg=4),
        lambda: allocator.free(*placed, txg=3),
        lambda: allocator.claim(*placed, txg=4),
        lambda: allocator.sync_done(4),
    ):
        with pytest.raises(ValueError, match="on disk already"):
            call()


def test_a_map_that_cannot_be_read_leaves_nothing_allocated(make_tree: Make, make_top: Make) -> None:
    def load(vdev: int, metaslab: int) -> tuple[U64, U64]:
        if metaslab == 1:
            raise CorruptError("no")
        return words(), words()

    allocator = Allocator(make_tree(make_top()), load=load, allocated={0: np.zeros(8, np.int64)})
    for copies in (1, 2):
        with pytest.raises(CorruptError):
            allocator.allocate(np.full(400, 131072), txg=4, copies=copies)
        assert allocator.allocated(NORMAL) == 0 and allocator.take_changes() == []


def test_requests_that_make_no_sense(make_tree: Make, make_top: Make) -> None:
    allocator = Allocator(make_tree(make_top()))
    for sizes, copies in (([0], 1), ([(16 << 20) + 1], 1), ([512], 0), ([512], 4), ([[512]], 1)):
        with pytest.raises(ValueError):
            allocator.allocate(sizes, txg=4, copies=copies)
    assert allocator.allocate([], txg=4).shape == (0, 1, 3)


# --- the model --------------------------------------------------------------------------------------------------------

Sector = tuple[int, int]


class Model(RuleBasedStateMachine):
    """Three small vdevs, one of them special. ``life``: for every sector that is not free, what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = tree_of(top(64 * MIB), top(64 * MIB, ashift=14), top(64 * MIB))
        self.twin: Allocator | None = None

    @initialize(used=st.lists(st.integers(0, 1023), max_size=40))
    def begin(self, used: list[int]) -> None:
        """Part of vdev 0 is in use from the beginning, in pieces of 16 KiB within the first metaslab."""
        self.used0 = sorted(set(used))
        self.map: set[Sector] = {(0, 4 * piece + k) for piece in self.used0 for k in range(4)}
        self.taken: set[Sector] = set()  # allocated, not given to the map
        self.freeing: set[Sector] = set()
        self.waits: dict[int, set[Sector]] = {}
        self.blocks: list[list[tuple[int, int, int]]] = [[(0, piece << 14, 1 << 14)] for piece in self.used0]
        self.txg = 20
        self.allocators = [self.make(), self.make()]

    def make(self) -> Allocator:
        used = np.zeros(4, np.int64)
        used[0] = len(self.used0) << 14
        pieces = np.array(self.used0, np.uint64) << np.uint64(14)

        def load(vdev: int, metaslab: int) -> tuple[U64, U64]:
            here = np.array(sorted(s for v, s in self.map if v == vdev and s >> 12 == metaslab), np.uint64)
            return here << np.uint64(12), (here + np.uint64(1)) << np.uint64(12)

        assert len(pieces) == len(self.used0)
        return Allocator(self.tree, load=load, classes={2: SPECIAL}, allocated={0: used})

    @staticmethod
    def sectors(vdev: int, offset: int, asize: int) -> set[Sector]:
        return {(vdev, s) for s in range(offset >> 12, offset + asize >> 12)}

    def both(self, call: Callable[[Allocator], Any]) -> Any:
        """Two allocators get the same calls, and must give the same answers."""
        one, two = (call(allocator) for allocator in self.allocators)
        assert repr(one) == repr(two)
        return one

    @rule(
        size=st.sampled_from([512, 4096, 20000, 131072, 1 << 20, 16 << 20]),
        count=st.integers(1, 40),
        copies=st.integers(1, 3),
        cls=st.sampled_from([NORMAL, SPECIAL, DEDUP]),
        ahead=st.integers(0, 1),
    )
    def allocate(self, size: int, count: int, copies: int, cls: AllocClass, ahead: int) -> None:
        if ahead:
            return self.undo(size, count, copies)
        sizes = np.resize([size, max(size // 3, 1)], count)
        result = self.both(lambda a: a.allocate(sizes, txg=self.txg, copies=copies, cls=cls))
        busy = self.map | self.taken | set().union(*self.waits.values()) | self.freeing
        for psize, block in zip(sizes.tolist(), result.tolist()):
            if block[0][2] == 0:
                assert all(asize == 0 for _, _, asize in block)
                continue
            special = [vdev == 2 for vdev, _, _ in block]
            assert all(special) or not any(special)
            assert cls is not NORMAL or not any(special)
            for vdev, offset, asize in block:
                unit = 1 << self.tree.tops[vdev].ashift
                assert asize == -(-psize // unit) * unit and offset % unit == 0 and offset + asize <= 64 * MIB
                here = self.sectors(vdev, offset, asize)
                assert not here & busy
                busy |= here
                self.taken |= here
            self.blocks.append([tuple(dva) for dva in block])
        return None

    def undo(self, size: int, count: int, copies: int) -> None:
        """Allocated and given back: as if nothing had been."""

        def call(allocator: Allocator) -> None:
            result = allocator.allocate(np.full(count, size), txg=self.txg, copies=copies)
            vdevs, offsets, asizes = columns(result)
            there = asizes > 0
            allocator.unallocate(vdevs[there], offsets[there], asizes[there], txg=self.txg)

        self.both(call)

    @rule(data=st.data(), share=st.floats(0, 1))
    def free(self, data: st.DataObject, share: float) -> None:
        if not self.blocks:
            return
        count = max(1, int(len(self.blocks) * share))
        first = data.draw(st.integers(0, len(self.blocks) - count))
        gone = [dva for block in self.blocks[first : first + count] for dva in block]
        del self.blocks[first : first + count]
        rows = np.array(gone, np.uint64)
        self.both(lambda a: a.free(*columns(rows), txg=self.txg))
        for dva in gone:
            self.freeing |= self.sectors(*dva)

    @rule()
    def sync_pass(self) -> None:
        changes = self.both(lambda a: a.take_changes(self.txg))
        allocs = self.changed(changes, "alloc")
        frees = self.changed(changes, "free")
        assert allocs == self.taken and frees == self.freeing
        self.map |= allocs
        self.map -= frees
        self.waits.setdefault(self.txg, set()).update(frees)
        self.taken, self.freeing = set(), set()

    def changed(self, changes: list[Any], what: str) -> set[Sector]:
        found: set[Sector] = set()
        for change in changes:
            for start, end in zip(getattr(change, f"{what}_starts").tolist(), getattr(change, f"{what}_ends").tolist()):
                assert start >> 24 == (end - 1) >> 24 == change.metaslab
                here = self.sectors(change.vdev, start, end - start)
                assert not here & found
                found |= here
        return found

    @rule(empty=st.integers(0, 1))
    def next_txg(self, empty: int) -> None:
        self.sync_pass()
        self.both(lambda a: a.sync_done(self.txg))
        free = 128 * MIB - 4096 * sum(v != 2 for v, _ in self.map)
        last = self.txg - 2 if free > 64 * MIB else self.txg
        self.waits = {txg: found for txg, found in self.waits.items() if txg > last}
        self.txg += 1 + empty

    @rule(vdev=st.integers(0, 2), metaslab=st.integers(0, 3))
    def look(self, vdev: int, metaslab: int) -> None:
        starts, ends = self.both(lambda a: a.used_ranges(vdev, metaslab))
        used = set().union(*(self.sectors(vdev, s, e - s) for s, e in zip(starts.tolist(), ends.tolist())))
        assert used == {(v, s) for v, s in self.map if v == vdev and s >> 12 == metaslab}

    @invariant()
    def figures(self) -> None:
        if not hasattr(self, "allocators"):
            return
        used = len(self.map | self.taken) - len(self.freeing)
        waits = len(self.freeing) + sum(map(len, self.waits.values()))
        for allocator in self.allocators:
            assert allocator.allocated(NORMAL) + allocator.allocated(SPECIAL) == used << 12
            assert allocator.deferred() == waits << 12
            for group in allocator._groups.values():
                for one in group._live.values():
                    if one.free is not None:
                        one.free.check_inside()


Model.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestModel = Model.TestCase
