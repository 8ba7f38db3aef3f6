"""Where the copies of new blocks go: every leaf that must have them, in one layout.

A block is read from one place, in one way; it is written to all of them. For each address, each way of
``VdevTree.ways`` that visits every leaf gives a layout, and these become the groups of one kernel job. Ways of raidz
and draid with a replacement or a spare under way have most columns in common; a column is written once.

What a leaf's DTL says does not matter here: it tells what the leaf has missed, not what it will get.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingDeviceError, UnsupportedError
from ..vdev.layout import I64, U64, Bools, Layout, merge
from ..vdev.raidz import RaidzVdev
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev

#: (n, copies, 3): top-level vdev, offset and asize in bytes; asize 0 where a block has no such copy.
Places = NDArray[np.uint64]


@dataclass(slots=True)
class Emission:
    """Where blocks go.

    Attributes:
        layout: all groups in block order; columns with leaf -1 are not to be written.
        first: n + 1: the groups of block i are first[i] to first[i + 1].
        tops: top-level vdevs that get something.
    """

    layout: Layout
    first: NDArray[np.uint32]
    tops: list[int]


def emission(tree: VdevTree, places: Places, psizes: U64, txg: int) -> Emission:
    """Where blocks of ``psizes`` bytes, born in ``txg``, go.

    Raises:
        CorruptError: a place where such a block cannot lie.
        MissingDeviceError: so many devices are missing that a vdev cannot take blocks.
        UnsupportedError: a vdev of a kind, or in a state, that is not written to.
    """
    parts: list[Layout] = []
    picks: list[I64] = []
    tops: list[int] = []
    for top_id, rows, copies in _by_top(places):
        _check_top(tree, top_id)
        tops.append(top_id)
        ways = _ways(tree, top_id, places[rows, copies, 1], psizes[rows], txg)
        parts += _distinct(ways, tree.tops[top_id])
        picks += [rows] * len(ways)
    return _joined(parts, picks, len(places), tops)


def whole(tree: VdevTree, places: Places, psizes: U64, txg: int, leaves: I64, offsets: U64) -> Bools:
    """Which blocks can be read back although some columns could not be written.

    Args:
        places, psizes, txg: as they were written.
        leaves, offsets: where a column failed.
    """
    result = np.zeros(len(places), bool)
    bad = {(leaf, offset) for leaf, offset in zip(leaves.tolist(), offsets.tolist())}
    for top_id, rows, copies in _by_top(places):
        for layout in _ways(tree, top_id, places[rows, copies, 1], psizes[rows], txg):
            np.logical_or.at(result, rows, _readable(layout, bad))
    return result


def _readable(layout: Layout, bad: set[tuple[int, int]]) -> Bools:
    """Blocks of a layout of which no group has lost more columns than it has parity."""
    columns = layout.columns
    lost = (columns["leaf"] < 0) & (columns["stored"] != 0)
    pairs = zip(columns["leaf"].tolist(), columns["offset"].tolist())
    lost |= np.array([pair in bad for pair in pairs], bool)
    gone = np.zeros(len(lost) + 1, np.int64)
    np.cumsum(lost, out=gone[1:])
    first = layout.groups["first"].astype(np.int64)
    over = gone[first + layout.groups["ncols"]] - gone[first] > layout.groups["nparity"]
    sums = np.zeros(len(over) + 1, np.int64)
    np.cumsum(over, out=sums[1:])
    edges = layout.blocks.astype(np.int64)
    result: Bools = sums[edges[1:]] == sums[edges[:-1]]
    return result


def _by_top(places: Places) -> Iterator[tuple[int, I64, I64]]:
    """Top-level vdev, and of all copies on it the blocks (ascending) and the numbers of the copies."""
    present = places[:, :, 2] != 0
    top = places[:, :, 0]
    for top_id in np.unique(top[present]).tolist():
        rows, copies = np.nonzero(present & (top == top_id))
        yield top_id, rows, copies


def _check_top(tree: VdevTree, top_id: int) -> None:
    if not 0 <= top_id < len(tree.tops):
        raise ValueError(f"no top-level vdev has number {top_id}")
    top = tree.tops[top_id]
    if top.type in ("indirect", "hole", "missing"):
        raise UnsupportedError("nothing can be written there", vdev=top.name)
    if isinstance(top, RaidzVdev) and top.expanding:
        raise UnsupportedError(
            "writing while a raidz vdev is being expanded", "let OpenZFS finish the expansion", vdev=top.name
        )
    if not top.readable:
        raise MissingDeviceError(
            "too many devices of a vdev are missing for writing", "give the paths of all devices", vdev=top.name
        )


def _ways(tree: VdevTree, top_id: int, offsets: U64, psizes: U64, txg: int) -> list[Layout]:
    births = np.full(len(offsets), txg, np.uint64)
    return [
        tree.layout(top_id, way, offsets, psizes, births, scrub=True, stale=True)
        for way in range(tree.ways(top_id, scrub=True))
    ]


def _distinct(ways: list[Layout], top: Vdev) -> list[Layout]:
    """The same ways, each column only in the first of them that has it."""
    if len(ways) == 1 or top.plain:
        return ways
    before: list[tuple[NDArray[np.int32], U64]] = []
    for layout in ways:
        leaf, offset = layout.columns["leaf"].copy(), layout.columns["offset"]
        for old_leaf, old_offset in before:
            if len(old_leaf) == len(leaf):
                layout.columns["leaf"][(leaf == old_leaf) & (offset == old_offset)] = -1
        before.append((leaf, offset))
    return ways


def _joined(parts: list[Layout], picks: list[I64], count: int, tops: list[int]) -> Emission:
    if not parts:
        raise ValueError("blocks without a single address")
    if len(parts) == 1:
        layout, owner = parts[0], picks[0]
    else:
        layout, owner = merge(parts, picks), np.sort(np.concatenate(picks), kind="stable")
    first = layout.blocks[np.searchsorted(owner, np.arange(count + 1))]
    return Emission(layout, first, tops)
