"""Finding good data when a checksum is wrong and nobody says which column lies.

A hypothesis is a set of leaves whose columns are taken for bad; they are rebuilt from the others, and the block's own
checksum says whether the guess was right. Hypotheses of one leaf come first, then of two, up to the parity; leaves that
were found lying before come first among equals. On an expanded raidz a column may also have been written badly before
its sectors moved; there the columns are also grouped by where they lay at each earlier width.

Once the data is known, regenerating every column tells exactly which ones are wrong on disk.

Source: OpenZFS, vdev_raidz.c (``vdev_raidz_combrec``), vdev_indirect.c (split blocks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import TYPE_CHECKING

import numpy as np
from uberblock.kernels import raidz

from ..device.base import Device
from ..errors import DeviceError
from ..vdev.layout import Layout
from ..vdev.leaf import DATA_START
from ..vdev.raidz import RaidzVdev
from ..vdev.tree import VdevTree
from . import places

if TYPE_CHECKING:
    from .places import Spots
    from .reader import Zio
    from .request import Request
    from .runner import Runner

#: Hypotheses tried for one block and one way of reading it.
SEARCH_MAX = 1 << 16
#: What they may add up to, in bytes of block: some seconds. Only absurd stripes and huge blocks get there.
SEARCH_BYTES = 8 << 30
#: Combinations of copies tried for a block split over several places.
SPLIT_MAX = 1 << 12

Verify = Callable[[memoryview], bool]
Column = bytearray | None  # None: cannot be read


@dataclass(slots=True)
class Found:
    """A block's good bytes, which columns of its layout do not hold what they should, and whose they are."""

    data: memoryview
    wrong: list[int]
    leaves: frozenset[int]


@dataclass(slots=True)
class _Group:
    """One parity group as read."""

    nparity: int
    numbers: list[int]  # of its columns in the layout
    columns: list[Column]
    where: list[int]
    lengths: list[int]  # parity: the height


def search(zio: Zio, request: Request, i: int, spots: Spots, row: int) -> Found | None:
    """Good stored bytes of block i of a request, none of whose copies could be used as read; None if there are none.

    Counts a checksum error on every leaf that is thereby shown to lie.

    Args:
        zio: the pool's blocks.
        request: holds the block.
        i: which it is in the request.
        spots: places of some of the request's blocks.
        row: which it is in these.
    """
    psize = int(request.psize[i])

    def verify(data: memoryview) -> bool:
        return zio.verified(request, i, data)

    for dva, top in _copies(spots, row):
        layouts = list(_ways(spots, dva, top, row))
        for layout in layouts:
            found = search_layout(zio.runner, layout, psize, verify)
            if found is not None:
                return found
        split = search_split(zio.tree, layouts, psize, verify)
        if split is not None:
            return Found(split, [], frozenset())
    return None


def search_layout(runner: Runner, layout: Layout, psize: int, verify: Verify) -> Found | None:
    """Good bytes of the one block of a layout, if its parity can give them; counts errors of leaves that lie.

    Args:
        runner: has the vdevs whose devices are read.
        layout: of one block.
        psize: its stored size in bytes.
        verify: tells whether bytes are right.
    """
    if not layout.groups["nparity"].any():
        return None
    tree = runner.tree
    groups = read_groups(tree, layout)
    for labels in _labellings(tree, layout):
        for guess in islice(_guesses(tree, layout, labels), min(SEARCH_MAX, SEARCH_BYTES // psize)):
            data = _assume(groups, labels, guess, psize)
            if data is not None and verify(data[:psize]):
                wrong = differences(groups, data)
                leaves = [int(layout.columns["leaf"][number]) for number in wrong]
                for leaf in leaves:
                    runner.count_wrong(leaf)
                return Found(data[:psize], wrong, frozenset(leaves))
    return None


# ---- reading ------------------------------------------------------------------------------------------------------


def read_groups(tree: VdevTree, layout: Layout) -> list[_Group]:
    """Every column of a one-block layout, as it is on the devices."""
    groups = []
    for first, ncols, nparity, height in layout.groups.tolist():
        group = _Group(nparity, [], [], [], [])
        for number in range(first, first + ncols):
            leaf, _, offset, where, length, stored = layout.columns[number].tolist()
            length = height if number < first + nparity else (length if stored else 0)
            group.numbers.append(number)
            group.where.append(where)
            group.lengths.append(length)
            device = tree.leaves[leaf].device if leaf >= 0 else None
            group.columns.append(_read(device, offset, length))
        groups.append(group)
    return groups


def _read(device: Device | None, offset: int, length: int) -> Column:
    if length == 0:
        return bytearray()
    if device is None:
        return None
    try:
        return bytearray(device.read(offset, length))
    except DeviceError:
        return None


# ---- hypotheses ---------------------------------------------------------------------------------------------------


def _labellings(tree: VdevTree, layout: Layout) -> Iterator[list[int]]:
    """For every column a label such that one bad device, now or before an expansion, is one label; -1: known bad."""
    leaves = layout.columns["leaf"].tolist()
    yield leaves
    present = [leaf for leaf in leaves if leaf >= 0]
    top = tree.leaves[present[0]].top if present else None
    if not isinstance(top, RaidzVdev) or len(layout.groups) < 2:
        return
    child_of = {leaf.index: number for number, child in enumerate(top.children) for leaf in child.leaves()}
    sectors = [
        len(top.children) * ((offset - DATA_START) >> top.ashift) + child_of.get(leaf, 0)
        for leaf, offset in zip(leaves, layout.columns["offset"].tolist())
    ]
    for width in range(top.newest_width, top.oldest_width - 1, -1):
        yield [sector % width if leaf >= 0 else -1 for leaf, sector in zip(leaves, sectors)]


def _guesses(tree: VdevTree, layout: Layout, labels: Sequence[int]) -> Iterator[frozenset[int]]:
    """Sets of labels to take for bad: smaller ones first, notorious leaves first."""
    errors: dict[int, int] = {}
    for label, leaf in zip(labels, layout.columns["leaf"].tolist()):
        if label >= 0 and leaf >= 0:
            errors[label] = max(errors.get(label, 0), tree.leaves[leaf].checksum_errors)
    ordered = sorted(errors, key=lambda label: (-errors[label], label))
    for count in range(1, int(layout.groups["nparity"].max()) + 1):
        for guess in combinations(ordered, count):
            yield frozenset(guess)


def _assume(
    groups: list[_Group], labels: Sequence[int], guess: frozenset[int], psize: int
) -> memoryview | None:
    """The block's bytes if columns with these labels are bad; None where that cannot be, or changes nothing."""
    repaired = []
    changed = False
    for group in groups:
        bad = [
            k
            for k, number in enumerate(group.numbers)
            if (group.columns[k] is None or labels[number] in guess) and group.lengths[k]
        ]
        if len(bad) > group.nparity:
            return None
        touched = [k for k in bad if k >= group.nparity]
        changed = changed or bool(touched)
        repaired.append((group, _rebuild(group, bad) if touched else group.columns))
    return _assemble(repaired, psize) if changed else None


def _rebuild(group: _Group, bad: list[int]) -> list[Column]:
    columns: list[Column] = list(group.columns)
    for k in bad:
        columns[k] = bytearray(group.lengths[k])
    raidz.reconstruct([column for column in columns if column is not None], group.nparity, bad, keep=True)
    return columns


def _assemble(groups: list[tuple[_Group, list[Column]]], psize: int) -> memoryview:
    extent = max(
        (group.where[k] + group.lengths[k] for group, _ in groups for k in range(group.nparity, len(group.columns))),
        default=0,
    )
    data = bytearray(max(extent, psize))
    for group, columns in groups:
        for k in range(group.nparity, len(columns)):
            column = columns[k]
            if column is not None:
                data[group.where[k] : group.where[k] + group.lengths[k]] = column
    return memoryview(data)


# ---- blame --------------------------------------------------------------------------------------------------------


def differences(groups: list[_Group], data: memoryview) -> list[int]:
    """Columns that were read and do not hold what the good data (in whole sectors) gives."""
    wrong = []
    for group in groups:
        want: list[memoryview | bytearray] = []
        for k in range(group.nparity, len(group.columns)):
            want.append(data[group.where[k] : group.where[k] + group.lengths[k]])
        parity = [bytearray(group.lengths[k]) for k in range(group.nparity)]
        if parity:
            raidz.generate(want, parity, keep=True)
        for k, good in enumerate([*parity, *want]):
            column = group.columns[k]
            # Without parity, what follows the block in its last sector has no meaning.
            if column is not None and column[: len(good)] != good:
                wrong.append(group.numbers[k])
    return wrong


# ---- blocks in several places -------------------------------------------------------------------------------------


def _copies(spots: Spots, row: int) -> list[tuple[int, int]]:
    """(DVA, top-level vdev) of every usable address of a row."""
    return [(dva, int(spots.top[row, dva])) for dva in range(3) if spots.usable[row, dva]]


def _ways(spots: Spots, dva: int, top: int, row: int) -> Iterator[Layout]:
    for way in range(int(spots.ways[row, dva])):
        yield places.layout_of(spots, dva, top, way, np.array([row]))


def search_split(tree: VdevTree, layouts: list[Layout], psize: int, verify: Verify) -> memoryview | None:
    """A block in several pieces, each with several copies: any combination of copies may be the good one.

    Args:
        tree: the vdevs whose devices are read.
        layouts: of the one block, one for each way to read it.
        psize: its stored size in bytes.
        verify: tells whether bytes are right.
    """
    if len(layouts) < 2 or len({len(layout.columns) for layout in layouts}) != 1 or len(layouts[0].columns) < 2:
        return None
    if any(layout.groups["nparity"].any() for layout in layouts):
        return None
    read = [read_groups(tree, layout) for layout in layouts]
    flat = [[(group.where[k], group.columns[k]) for group in way for k in range(len(group.columns))] for way in read]
    choices = []
    for piece in zip(*flat):
        different = {bytes(column): where for where, column in piece if column is not None}
        choices.append([(where, column) for column, where in different.items()])
    for combination in islice(product(*choices), SPLIT_MAX):
        data = bytearray(max(where + len(column) for where, column in combination))
        for where, column in combination:
            data[where : where + len(column)] = column
        if len(data) >= psize and verify(memoryview(data)[:psize]):
            return memoryview(data)[:psize]
    return None
