"""Where blocks lie: columns on leaves, in parity groups.

A block is one or more groups. Of a block without parity (a disk, a side of a mirror, pieces of a removed
vdev) every column is data; of one with parity a group's columns are P, Q, R first and its data columns
after them. Reading a block: take the data columns to their places in it (``where``). Rebuilding: all
columns of a group have ``height`` bytes, those that are shorter ending in zeros. The arrays are shared with
the kernels (geometry_impl.h), which fill and read them.

Invariants, for every block: data columns cover its sectors once each; a column lies within its device's data
area; ``length <= stored`` unless ``stored`` is 0 (then ``length`` is 0 too).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLUMN = np.dtype(
    [
        ("leaf", "<i4"),  # 0   index into VdevTree.leaves; -1: nothing to be read there
        ("parity", "<i4"),  # 4   0, 1, 2: P, Q, R; -1: data
        ("offset", "<u8"),  # 8   bytes on the device, label area included
        ("where", "<u8"),  # 16  data: position of the bytes in the block
        ("length", "<u4"),  # 24  bytes of the block in this column, whole sectors
        ("stored", "<u4"),  # 28  bytes on disk: length, then zeros; 0: zeros that are nowhere on disk
    ]
)
GROUP = np.dtype(
    [
        ("first", "<u4"),  # 0   index of its first column
        ("ncols", "<u4"),  # 4
        ("nparity", "<u4"),  # 8
        ("height", "<u4"),  # 12  bytes of its longest column
    ]
)
assert COLUMN.itemsize == 32 and GROUP.itemsize == 16

Columns = NDArray[Any]
Groups = NDArray[Any]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass
class Layout:
    """Where an array of blocks lies, read in one particular way."""

    columns: Columns  # COLUMN
    groups: Groups  # GROUP
    blocks: U32  # groups of block i are groups[blocks[i]:blocks[i + 1]]

    def __len__(self) -> int:
        return len(self.blocks) - 1

    def group_columns(self, group: int) -> Columns:
        """The columns of one group."""
        first, ncols = int(self.groups["first"][group]), int(self.groups["ncols"][group])
        return self.columns[first : first + ncols]

    def block_columns(self, block: int) -> Columns:
        """All columns of one block, group after group."""
        first, end = int(self.blocks[block]), int(self.blocks[block + 1])
        if first == end:
            return self.columns[:0]
        start = int(self.groups["first"][first])
        return self.columns[start : int(self.groups["first"][end - 1] + self.groups["ncols"][end - 1])]

    def block_of_column(self) -> I64:
        """For every column, which block it belongs to."""
        group_of = np.repeat(np.arange(len(self.groups)), self.groups["ncols"])
        block_of = np.repeat(np.arange(len(self)), _counts(self.blocks))
        result: I64 = block_of[group_of]
        return result


def empty(ncolumns: int, ngroups: int, nblocks: int) -> Layout:
    """Room for a layout, to be filled."""
    return Layout(np.empty(ncolumns, COLUMN), np.empty(ngroups, GROUP), np.empty(nblocks + 1, np.uint32))


def single(leaf: NDArray[np.int32], offset: U64, length: U64) -> Layout:
    """Blocks that are one piece each."""
    count = len(leaf)
    layout = empty(count, count, count)
    layout.columns["leaf"] = leaf
    layout.columns["parity"] = -1
    layout.columns["offset"] = offset
    layout.columns["where"] = 0
    layout.columns["length"] = length
    layout.columns["stored"] = length
    layout.groups["first"] = np.arange(count, dtype=np.uint32)
    layout.groups["ncols"] = 1
    layout.groups["nparity"] = 0
    layout.groups["height"] = length
    layout.blocks[:] = np.arange(count + 1, dtype=np.uint32)
    return layout


def merge(parts: Sequence[Layout], picks: Sequence[I64]) -> Layout:
    """One layout of all blocks, from layouts of subsets; block ``picks[p][i]`` is block i of ``parts[p]``.

    Every block is in one subset. Groups and columns are put into block order.
    """
    order = np.argsort(np.concatenate(picks), kind="stable")
    ngroups = np.concatenate([_counts(part.blocks) for part in parts])
    groups = np.concatenate([part.groups for part in parts])
    columns = np.concatenate([part.columns for part in parts])
    shift = np.cumsum([0] + [len(part.columns) for part in parts[:-1]])
    first = groups["first"] + np.repeat(shift, [len(part.groups) for part in parts])

    group_order = gather(np.cumsum(ngroups) - ngroups, ngroups, order)
    groups, first = groups[group_order], first[group_order]
    ncols = groups["ncols"].astype(np.int64)
    columns = columns[gather(first, ncols, np.arange(len(groups)))]
    groups["first"] = np.cumsum(ncols) - ncols
    blocks = np.zeros(len(order) + 1, np.uint32)
    blocks[1:] = np.cumsum(ngroups[order])
    return Layout(columns, groups, blocks)


def gather(starts: NDArray[Any], counts: NDArray[Any], order: I64) -> I64:
    """Indices of the runs of ``counts[i]`` from ``starts[i]`` on, for every i in ``order``, end to end."""
    starts, counts = starts[order].astype(np.int64), counts[order].astype(np.int64)
    before = np.cumsum(counts) - counts
    result: I64 = np.repeat(starts - before, counts) + np.arange(int(counts.sum()))
    return result


def _counts(blocks: U32) -> I64:
    """Number of groups of each block."""
    edges = blocks.astype(np.int64)
    result: I64 = edges[1:] - edges[:-1]
    return result
