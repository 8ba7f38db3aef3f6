"""Trees: configurations good and hostile, states, bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, LimitError, UnsupportedError
from uberblock.pool.vdev.state import VdevAux, VdevState
from uberblock.pool.vdev.tree import build

ASIZE = 48 << 20


def words(*values: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


def test_what_is_where(plan: Any) -> None:
    hole = {"type": "hole", "guid": 0, "is_hole": 1}
    log = {**plan.node("mirror", plan.leaf(), plan.leaf()), "is_log": 1}
    tree = plan.tree(plan.leaf(), hole, log)
    assert [top.name for top in tree.tops] == ["f1004", "hole-1", "mirror-2"]
    assert [leaf.index for leaf in tree.leaves] == [0, 1, 2]
    assert [vdev.name for vdev in tree.walk()] == ["root-0", "f1004", "hole-1", "mirror-2", "f1001", "f1002"]
    assert tree.tops[2].is_log and tree.tops[2].is_top and tree.leaves[2].top is tree.tops[2]
    assert tree.by_guid[tree.leaves[1].guid] is tree.leaves[1]
    assert tree.root.state is VdevState.HEALTHY and "ONLINE" in repr(tree.root)
    assert tree.tops[0].config["path"] == "/x/f1004"


def test_lists_and_leaves_of_any_mapping_type(plan: Any) -> None:
    from types import MappingProxyType

    config = plan.root(plan.leaf(), plan.node("mirror", plan.leaf(), plan.leaf()))
    assert len(build(MappingProxyType(config), plan.devices).leaves) == 3


# --- states ---


@pytest.mark.parametrize(
    ("data", "log", "may_miss", "state", "aux"),
    [
        (True, True, 0, VdevState.HEALTHY, VdevAux.NONE),
        (True, False, 0, VdevState.DEGRADED, VdevAux.NONE),
        (False, True, 0, VdevState.CANT_OPEN, VdevAux.NO_REPLICAS),
        (False, True, 1, VdevState.DEGRADED, VdevAux.NONE),
        (False, False, 1, VdevState.DEGRADED, VdevAux.NONE),
    ],
)
def test_state_of_the_pool(plan: Any, data: bool, log: bool, may_miss: int, state: VdevState, aux: VdevAux) -> None:
    tree = plan.tree(plan.leaf(), plan.leaf(present=data), plan.leaf(present=log, is_log=1))
    tree.root.may_miss = may_miss
    tree.propagate_states()
    assert (tree.root.state, tree.root.aux) == (state, aux)


def test_states_follow_the_leaves(plan: Any) -> None:
    tree = plan.tree(plan.node("mirror", plan.leaf(), plan.leaf()))
    at, sizes, births = words(0), words(4096), words(5)
    assert tree.layout(0, 0, at, sizes, births).columns["leaf"].tolist() == [0]
    tree.leaves[0].set_state(VdevState.FAULTED, VdevAux.ERR_EXCEEDED)
    assert tree.layout(0, 0, at, sizes, births).columns["leaf"].tolist() == [1]
    tree.propagate_states()
    assert tree.root.state is VdevState.DEGRADED and tree.leaves[0].aux_text == "too many errors"
    tree.leaves[1].set_state(VdevState.CANT_OPEN, VdevAux.CORRUPT_DATA)
    tree.propagate_states()
    assert tree.tops[0].state_text == "UNAVAIL" and tree.leaves[1].state_text == "FAULTED"
    assert tree.layout(0, 0, at, sizes, births).columns["leaf"].tolist() == [-1]


def test_corrupt_tops_make_the_pool_corrupt(plan: Any) -> None:
    tree = plan.tree(plan.leaf(), plan.leaf())
    tree.leaves[1].set_state(VdevState.CANT_OPEN, VdevAux.CORRUPT_DATA)
    tree.propagate_states()
    assert tree.root.state_text == "FAULTED"


def test_missing_vdevs(plan: Any) -> None:
    tree = plan.tree(plan.leaf(), {"type": "missing", "guid": 0})
    assert tree.tops[1].name == "missing-1" and tree.tops[1].state is VdevState.CANT_OPEN
    assert tree.root.aux is VdevAux.NO_REPLICAS
    assert not tree.check(1, words(0), words(512), words(512), words(1)).any()
    with pytest.raises(CorruptError):
        tree.layout(1, 0, words(0), words(512), words(1))
    with pytest.raises(CorruptError):
        tree.ways(1)


def test_outages(plan: Any) -> None:
    """What would be lost if a leaf went: the question before one is taken offline."""
    tree = plan.tree(plan.node("mirror", plan.leaf(), plan.leaf()), plan.leaf())
    assert not tree.root.outage() and not tree.root.missing()
    tree.leaves[1].set_dtl([5], [9])
    assert not tree.root.outage()
    tree.leaves[0].set_state(VdevState.OFFLINE)
    assert tree.tops[0].outage().ranges() == tree.root.outage().ranges() == [(5, 9)]
    assert not tree.root.missing()
    tree.leaves[2].set_state(VdevState.FAULTED)
    assert tree.root.outage().contains(words(0, 100)).all()
    gone = plan.tree(plan.leaf(), {"type": "missing", "guid": 0})
    assert gone.root.outage()


# --- bounds ---


def test_bounds(plan: Any) -> None:
    tree = plan.tree(plan.leaf())
    table = [  # offset, asize, psize, fine
        (0, 4096, 4096, True),
        (0, 8192, 4096, True),
        (ASIZE - 4096, 4096, 100, True),
        (ASIZE - 4096, 8192, 4096, False),
        (ASIZE - 4096, 8192, 4097, False),
        (ASIZE, 4096, 4096, False),
        (1 << 62, 4096, 4096, False),
        ((1 << 64) - 4096, 4096, 4096, False),
        (512, 4096, 4096, False),
        (0, 4096, 4097, False),
        (0, 4096, 0, False),
        (0, 1 << 40, 4096, False),
        (0, 32 << 20, (16 << 20) + 1, False),
        (0, 16 << 20, 16 << 20, True),
    ]
    offsets, asizes, psizes, fine = zip(*table)
    births = [5] * len(table)
    mask = tree.check(0, words(*offsets), words(*asizes), words(*psizes), births)
    assert mask.tolist() == list(fine)
    layout = tree.layout(0, 0, words(*offsets)[mask], words(*psizes)[mask], words(*births)[mask])
    assert (layout.columns["offset"] + layout.columns["stored"] <= tree.leaves[0].device.size).all()
    with pytest.raises(CorruptError) as caught:
        tree.layout(0, 0, words(0, ASIZE - 4096), words(4096, 8192), words(5, 5))
    assert caught.value.where == {"vdev": tree.tops[0].name, "offset": ASIZE - 4096, "size": 8192}
    for top in (-1, 1, 1 << 24):
        assert not tree.check(top, words(0), words(4096), words(4096), words(5)).any()
        with pytest.raises(CorruptError):
            tree.layout(top, 0, words(0), words(4096), words(5))


def test_mistakes_of_the_caller(plan: Any) -> None:
    tree = plan.tree(plan.leaf())
    with pytest.raises(ValueError):
        tree.layout(0, 2, [0], [4096], [5])
    with pytest.raises(ValueError):
        tree.layout(0, -1, [0], [4096], [5])
    with pytest.raises(ValueError):
        tree.layout(0, 0, [0, 4096], [4096], [5])
    assert len(tree.layout(0, 0, [], [], [])) == 0


# --- configurations ---


def test_roots_that_cannot_be(plan: Any) -> None:
    bad: list[Any] = [
        plan.leaf(),
        {"type": "root", "guid": 1, "children": []},
        {"type": "root", "guid": 0, "children": [{**plan.leaf(), "id": 0, "ashift": 9, "asize": ASIZE}]},
        {"type": "root", "children": 7},
        {"type": "root", "guid": 1, "children": [None]},
        {},
    ]
    for config in bad:
        with pytest.raises(CorruptError):
            build(config, {})


@pytest.mark.parametrize(
    "top",
    [
        {"type": "root", "guid": 5, "children": []},
        {"type": "mirror", "guid": 5},
        {"type": "mirror", "guid": 5, "children": []},
        {"type": "mirror", "guid": 5, "children": [{"type": "hole", "id": 0, "guid": 0}]},
        {"type": "mirror", "guid": 5, "children": [{"type": "missing", "id": 0, "guid": 0}]},
        {"type": "mirror", "guid": 5, "children": [{"type": "file", "id": 1, "guid": 7}]},
        {"type": "mirror", "guid": 5, "children": [{"type": "file", "guid": 7}]},
        {"type": "mirror", "guid": 5, "children": [{"type": "file", "id": 0, "guid": 5}]},
        {"type": "file", "guid": 5, "children": [{"type": "file", "id": 0, "guid": 7}]},
        {"type": "file", "guid": 0},
        {"type": "file", "guid": 1 << 64},
        {"type": "file", "guid": "5"},
        {"type": "file"},
        {"type": "file", "guid": 5, "path": 7},
        {"type": "file", "guid": 5, "ashift": None},
        {"type": "file", "guid": 5, "ashift": 60},
        {"type": "file", "guid": 5, "asize": 1 << 63},
    ],
)
def test_vdevs_that_cannot_be(plan: Any, top: dict[str, Any]) -> None:
    with pytest.raises(CorruptError):
        plan.tree(top)


@pytest.mark.parametrize("kind", ["log", "l2cache", "raidz9", "", 5, None])
def test_unknown_kinds(plan: Any, kind: Any) -> None:
    with pytest.raises(UnsupportedError):
        plan.tree({"type": kind, "guid": 5})


def test_one_guid_for_two(plan: Any) -> None:
    leaf = plan.leaf()
    with pytest.raises(CorruptError, match="guid"):
        plan.tree(plan.node("mirror", leaf, leaf))


def test_depth_and_number(plan: Any) -> None:
    config = plan.leaf()
    for _ in range(100):
        config = plan.node("replacing", config)
    with pytest.raises(LimitError, match="deep"):
        plan.tree(config)
    with pytest.raises(LimitError):
        plan.tree(plan.node("mirror", *({"type": "file", "guid": 10000 + i} for i in range(256))))
