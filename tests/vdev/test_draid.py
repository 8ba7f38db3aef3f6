"""draid: sizes, distributed spares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, UnsupportedError
from uberblock.pool.ondisk.label import DATA_START
from uberblock.pool.vdev.draid import DraidVdev, DspareVdev
from uberblock.pool.vdev.draid_maps import permutations
from uberblock.pool.vdev.state import VdevAux, VdevState
from uberblock.pool.vdev.tree import VdevTree

ROW = 16 << 20
LEAF = 256 << 20
GROUPS = {(9, 3, 1, 1): 2, (11, 4, 2, 2): 3, (7, 3, 1, 2): 5, (5, 2, 1, 0): 5, (4, 1, 1, 1): 3}


def draid_node(plan: Any, c: int, d: int, p: int, s: int, children: Any = None, **more: Any) -> dict[str, Any]:
    """The nvlist of a draid vdev."""
    leaves = children or [plan.leaf(LEAF) for _ in range(c)]
    values = {"nparity": p, "draid_ndata": d, "draid_nspares": s, "draid_ngroups": GROUPS[c, d, p, s], **more}
    node: dict[str, Any] = plan.node("draid", *leaves, **values)
    return node


def draid(plan: Any, c: int, d: int, p: int, s: int, ashift: int = 12, **more: Any) -> VdevTree:
    """A pool of one draid vdev."""
    tree: VdevTree = plan.tree(draid_node(plan, c, d, p, s, **more), ashift=ashift, asize=1 << 30)
    return tree


def words(*values: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.array(values, np.uint64)


@pytest.mark.parametrize(
    ("shape", "ashift", "psize", "asize"),
    [
        ((9, 3, 1, 1), 12, 0x200, 0x4000),
        ((9, 3, 1, 1), 12, 0x7000, 0xC000),
        ((11, 4, 2, 2), 12, 0x1000, 0x6000),
        ((11, 4, 2, 2), 12, 0x20000, 0x30000),
        ((9, 3, 1, 1), 12, 0x5000, 0x8000),
        ((5, 2, 1, 0), 9, 0xA00, 0x1200),
    ],
)
def test_allocated_sizes(plan: Any, shape: tuple[int, int, int, int], ashift: int, psize: int, asize: int) -> None:
    tree = draid(plan, *shape, ashift=ashift)
    top = tree.tops[0]
    assert tree.asizes(0, [psize], [5]).tolist() == [asize]
    largest = int(top.psizes(words(asize), words(5))[0])
    assert psize <= largest
    assert int(top.asizes(words(largest), words(5))[0]) == asize
    assert int(top.asizes(words(largest + 1), words(5))[0]) > asize


def test_sizes_of_vdevs(plan: Any) -> None:
    assert draid(plan, 9, 3, 1, 1).tops[0].space(263716864) == 1744830464
    assert draid(plan, 11, 4, 2, 2).tops[0].space(263716864) == 1912602624
    assert draid(plan, 9, 3, 1, 1).tops[0].space(1 << 20) == 0


def test_names(plan: Any) -> None:
    assert draid(plan, 9, 3, 1, 1).tops[0].name == "draid1:3d:9c:1s-0"


def test_blocks_off_a_stripe_are_refused(plan: Any) -> None:
    tree = draid(plan, 9, 3, 1, 1)
    offsets, fours = words(0, 0x1000, 0x4000), words(4096, 4096, 4096)
    assert tree.check(0, offsets, words(0x4000, 0x4000, 0x4000), fours, fours).tolist() == [True, False, True]
    with pytest.raises(CorruptError, match="draid1:3d:9c:1s-0"):
        tree.layout(0, 0, offsets, fours, fours)


@pytest.mark.parametrize(
    "more",
    [
        {"draid_ndata": 0},
        {"draid_ndata": 8},
        {"draid_nspares": 101},
        {"draid_nspares": 6},
        {"draid_ngroups": 0},
        {"draid_ngroups": 3},
        {"draid_ngroups": 256},
        {"nparity": 4},
        {"draid_ndata": None},
    ],
)
def test_configurations_that_cannot_be(plan: Any, more: dict[str, Any]) -> None:
    with pytest.raises(CorruptError):
        draid(plan, 9, 3, 1, 1, **more)


def test_errors_before_the_configuration_was_read(plan: Any) -> None:
    """A draid vdev without children, or with a guid that is taken, ended in an AttributeError: it had no name yet."""
    lonely = draid_node(plan, 9, 3, 1, 1, children=[plan.leaf(LEAF)])
    nameless = draid_node(plan, 9, 3, 1, 1)
    nameless["guid"] = 0
    for node in (lonely, nameless):
        with pytest.raises(CorruptError, match="draid"):
            plan.tree(node, ashift=12, asize=1 << 30)


def test_failure_domains_are_refused(plan: Any) -> None:
    with pytest.raises(UnsupportedError, match="failure domains"):
        draid(plan, 9, 3, 1, 1, draid_nchildren=3)
    draid(plan, 9, 3, 1, 1, draid_nchildren=9)


# --- distributed spares ---


def spared(plan: Any, shape: tuple[int, int, int, int], uses: dict[int, int], lost: tuple[int, ...] = ()) -> VdevTree:
    """A draid pool in which child ``k`` is replaced by spare ``uses[k]``; children in ``lost`` are gone."""
    guid = 7777
    children = []
    for number in range(shape[0]):
        leaf = plan.leaf(LEAF, present=number not in lost)
        if number in uses:
            spare = {"type": "dspare", "guid": 5000 + number, "top_guid": guid, "spareid": uses[number]}
            spare["path"] = f"draid{shape[2]}-0-{uses[number]}"
            leaf = plan.node("spare", leaf, spare)
        children.append(leaf)
    tree: VdevTree = plan.tree({**draid_node(plan, *shape, children=children), "guid": guid}, asize=1 << 30)
    return tree


def place(shape: tuple[int, int, int, int], spare: int, offset: int) -> int:
    """The child on which an offset of a spare lies, by the definition."""
    c, d, p, s = shape
    turn = offset // ((d + p) * GROUPS[shape] * ROW // (c - s)) % (256 * c)
    return (permutations(c)[turn // c * c :][c - 1 - spare] + turn % c) % c


def test_where_a_spare_lies(plan: Any) -> None:
    shape = (7, 3, 1, 2)
    tree = spared(plan, shape, {6: 1}, lost=(6,))
    top, spare = tree.tops[0], tree.by_guid[5006]
    assert isinstance(top, DraidVdev) and isinstance(spare, DspareVdev)
    height = top.slice_height
    # In a pool of OpenZFS with this shape, what child 6 should have of slices 1 and 2 was on children 4 and 5.
    assert top.spare_children(1, words(height, 2 * height)).tolist() == [4, 5]
    offsets = words(*(n * height + 4096 for n in range(40)))
    assert top.spare_children(1, offsets).tolist() == [place(shape, 1, offset) for offset in offsets.tolist()]
    leaf, at = spare.locate(offsets, words(*[9] * 40), False)
    assert at.tolist() == [offset + DATA_START for offset in offsets.tolist()]
    for found, offset in zip(leaf.tolist(), offsets.tolist()):
        child = place(shape, 1, offset)
        assert found == (-1 if child == 6 else top.children[child].leaves()[0].index)
    assert spare.name == "draid1-0-1" and spare.virtual and spare.device is None
    assert (spare.state, top.children[6].state, top.state) == (
        VdevState.HEALTHY,
        VdevState.DEGRADED,
        VdevState.DEGRADED,
    )


def test_columns_of_a_spared_child_come_from_its_spare(plan: Any) -> None:
    shape = (9, 3, 1, 1)
    whole = draid(plan, *shape)
    tree = spared(plan, shape, {2: 0}, lost=(2,))
    top = tree.tops[0]
    assert isinstance(top, DraidVdev)
    stripe = np.arange(0, 1 << 30, 4 << 20, dtype=np.uint64)
    sizes, births = np.full(len(stripe), 12288, np.uint64), np.full(len(stripe), 9, np.uint64)
    before = whole.layout(0, 0, stripe, sizes, births).columns
    after = tree.layout(0, 0, stripe, sizes, births).columns
    child = {leaf.index: number for number in range(9) for leaf in top.children[number].leaves()}
    assert (before["leaf"] == 2).any() and (after["leaf"] >= 0).all()
    for old, new in zip(before.tolist(), after.tolist()):
        expected = place(shape, 0, old[2] - DATA_START) if old[0] == 2 else old[0]
        assert (child[new[0]], *new[1:]) == (expected, *old[1:])
    owners = tree.layout(0, 0, stripe, sizes, births)
    for block in range(len(stripe)):
        assert len(set(owners.block_columns(block)["leaf"].tolist())) == 4  # never two columns on one disk


def test_a_spare_that_lacks_txgs(plan: Any) -> None:
    tree = spared(plan, (9, 3, 1, 1), {2: 0})
    spare = tree.by_guid[5002]
    assert isinstance(spare, DspareVdev)
    spare.set_dtl([4], [20])
    births = words(10, 30)
    assert [n >= 0 for n in spare.locate(words(0, 0), births, False)[0].tolist()] == [False, True]
    assert (spare.locate(words(0, 0), births, True)[0] >= 0).all()
    assert tree.ways(0, scrub=True) == 2


def test_a_spare_on_a_spared_child(plan: Any) -> None:
    """Both spares are in use, and one lies on the child that the other stands in for."""
    shape = (7, 3, 1, 2)
    tree = spared(plan, shape, {6: 1, 4: 0}, lost=(6, 4))
    top, spare = tree.tops[0], tree.by_guid[5006]
    assert isinstance(top, DraidVdev)
    offset = top.slice_height  # spare 1 lies on child 4 there, as above
    onward = place(shape, 0, offset)
    assert onward not in (4, 6)
    leaf, _ = spare.locate(words(offset), words(9), False)
    assert leaf.tolist() == [top.children[onward].leaves()[0].index]


def test_spares_that_lead_in_circles_end(plan: Any) -> None:
    shape = (4, 1, 1, 1)
    for child in range(4):
        tree = spared(plan, shape, {child: 0}, lost=tuple(range(4)))
        spare = tree.by_guid[5000 + child]
        offsets = np.arange(0, 200 * ROW, ROW, dtype=np.uint64)
        assert (spare.locate(offsets, offsets, False)[0] == -1).all()


def test_spares_that_cannot_be(plan: Any) -> None:
    with pytest.raises(CorruptError, match="twice"):
        spared(plan, (7, 3, 1, 2), {6: 1, 5: 1})
    tree = spared(plan, (9, 3, 1, 1), {3: 1})  # there is no spare 1
    assert (tree.by_guid[5003].state, tree.by_guid[5003].aux) == (VdevState.CANT_OPEN, VdevAux.OPEN_FAILED)
    config = {"type": "dspare", "guid": 5, "top_guid": 6, "spareid": 0, "path": "draid1-0-0"}
    assert tree.aux(config, {}).state is VdevState.CANT_OPEN
    for key, value in (("top_guid", 0), ("spareid", 100), ("spareid", None)):
        with pytest.raises(CorruptError):
            tree.aux({**config, key: value}, {})


def test_spares_beside_the_tree(plan: Any) -> None:
    tree = draid(plan, 9, 3, 1, 1)
    config = {"type": "dspare", "guid": 5, "top_guid": tree.tops[0].guid, "spareid": 0, "path": "draid1-0-0"}
    leaf = tree.aux(config, {})
    assert leaf.state is VdevState.HEALTHY and leaf.name == "draid1-0-0" and leaf not in tree.leaves
    config = plan.leaf()
    assert tree.aux(config, plan.devices).state is VdevState.HEALTHY
    with pytest.raises(UnsupportedError):
        tree.aux({"type": "raidz", "guid": 4}, {})
