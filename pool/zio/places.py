"""The places a block can be read from, and the order in which they are tried.

A block has up to three addresses (DVAs), a top-level vdev gives up to as many ways to read it as it has children, and
addresses on a removed vdev lead to one or more pieces elsewhere. All first ways of all addresses are tried before any
second way. Hostile addresses (unknown vdevs, beyond the end, off a sector boundary) are never handed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio

from ..ondisk import blkptr
from ..vdev.layout import Layout
from ..vdev.tree import VdevTree
from .request import BoolArray, I64Array, Request
from .runner import JOB, JobArray, Runner
from .status import Status, StatusArray

_PAYLOAD_WORDS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15]


def embedded_payloads(bps: blkptr.BpArray, swap: BoolArray) -> NDArray[np.uint8]:
    """The 112 bytes each embedded pointer can hold, shape (n, 112)."""
    words = np.ascontiguousarray(bps).view("<u8").reshape(-1, 16)[:, _PAYLOAD_WORDS]
    words[swap] = words[swap].byteswap()
    return np.ascontiguousarray(words).view(np.uint8)


@dataclass(slots=True)
class Spots:
    """Where the blocks of one part of a request lie: arrays of shape (n, 3), one row for each block."""

    tree: VdevTree
    usable: BoolArray
    top: I64Array
    offset: I64Array
    psize: I64Array
    birth: I64Array
    ways: I64Array  # in how many ways it can be read there
    verdict: StatusArray  # before anything is read

    def attempts(self) -> Iterator[Attempt]:
        """Every copy and way, in the order they are to be tried."""
        for way in range(int(self.ways.max(initial=0))):
            for dva in range(blkptr.DVAS_PER_BP):
                possible = self.usable[:, dva] & (self.ways[:, dva] > way)
                if possible.any():
                    yield Attempt(self, dva, way, possible)


@dataclass(slots=True)
class Attempt:
    """One copy, read one way."""

    spots: Spots
    dva: int
    way: int
    possible: BoolArray

    def layouts(self, rows: I64Array) -> Iterator[tuple[Layout, I64Array]]:
        """Layouts that together cover these rows, one for each top-level vdev."""
        tops = self.spots.top[rows, self.dva]
        for top in np.unique(tops).tolist():
            chosen = rows[tops == top]
            yield layout_of(self.spots, self.dva, top, self.way, chosen), chosen


def resolve(tree: VdevTree, request: Request, index: I64Array) -> Spots:
    """Find the places of some blocks of a request (neither embedded nor holes)."""
    bps = request.bps[index]
    top = blkptr.dva_vdev(bps).astype(np.int64)
    offset = blkptr.dva_offset(bps).astype(np.int64)
    psize, birth = request.psize[index], request.birth[index]
    usable = request.copies[index] & (top < len(tree.tops))
    missing = np.zeros(len(index), dtype=bool)
    ways = np.zeros(top.shape, dtype=np.int64)
    for number in np.unique(top[usable]).tolist():
        rows, dvas = np.nonzero(usable & (top == number))
        if tree.tops[number].type == "missing":
            missing[rows] = True
        if tree.tops[number].asize == 0:
            usable[rows, dvas] = False
            continue
        at, sizes, births = offset[rows, dvas], psize[rows], birth[rows]
        asizes = tree.asizes(number, sizes, births)
        usable[rows, dvas] = tree.check(number, at, asizes, sizes, births)
        ways[rows, dvas] = tree.ways(number)
    verdict = np.full(len(index), Status.MISSING, dtype=np.uint8)
    verdict[~usable.any(axis=1) & ~missing] = Status.BAD_POINTER
    return Spots(tree, usable, top, offset, psize, birth, ways, verdict)


def layout_of(
    spots: Spots, dva: int, top: int, way: int, rows: I64Array, *, scrub: bool = False
) -> Layout:
    """Layout of some rows' copies, all on one top-level vdev.

    Args:
        spots: the places; only usable ones may be asked for.
        dva: which address.
        top: its vdev.
        way: how to read it.
        rows: which blocks.
        scrub: count ways so that together they visit every leaf.
    """
    at = spots.offset[rows, dva]
    return spots.tree.layout(top, way, at, spots.psize[rows], spots.birth[rows], scrub=scrub)


def jobs_for(request: Request, index: I64Array) -> JobArray:
    """Kernel jobs for some blocks of a request; mode, destination and groups are the caller's to fill in."""
    jobs = np.zeros(len(index), dtype=JOB)
    jobs["psize"] = request.psize[index]
    jobs["lsize"] = request.lsize[index]
    jobs["checksum"] = request.checksum[index]
    jobs["compress"] = request.compress[index]
    jobs["words"] = request.bps["cksum"][index]
    swap = np.where(request.swap[index], blockio.FLAG_SWAP, 0)
    jobs["flags"] = swap | np.where(request.short[index], blockio.FLAG_CRYPT, 0)
    return jobs


def count_checksum_errors(runner: Runner, layout: Layout, status: StatusArray) -> None:
    """Count a wrong checksum on the only leaf that can be to blame: of copies without parity."""
    for row in np.flatnonzero(status == Status.CHECKSUM).tolist():
        if layout.groups["nparity"][layout.blocks[row] : layout.blocks[row + 1]].any():
            continue
        for leaf in np.unique(layout.block_columns(row)["leaf"]).tolist():
            runner.count_wrong(leaf)


def distrust(layout: Layout, leaves: frozenset[int]) -> I64Array:
    """Make a layout do without some leaves; gives, for each column, the leaf it was thereby taken from, or -1."""
    columns = layout.columns["leaf"]
    taken = np.where(np.isin(columns, sorted(leaves)), columns, -1).astype(np.int64)
    columns[taken >= 0] = -1
    return taken


def count_distrusted(runner: Runner, layout: Layout, taken: I64Array, status: StatusArray) -> None:
    """Count a checksum error on the leaves without which blocks came out right (and had not before)."""
    owner = layout.block_of_column()
    data = (layout.columns["parity"] < 0) & (layout.columns["stored"] > 0)
    for number in np.flatnonzero((taken >= 0) & data & (status[owner] == Status.OK)).tolist():
        runner.count_wrong(int(taken[number]))
