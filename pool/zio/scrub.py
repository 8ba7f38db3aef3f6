"""Scrubbing: every copy of every block read and verified, on every leaf, parity and padding included.

Nothing is repaired here. What is wrong is reported by leaf and place on its device, to the sector wherever the right
bytes are known, so that a repair can write there and nowhere else. A missing leaf, and one that is known to lack a
block, is no damage; a block without any good copy is lost.

Every way of reading a block is tried first; what looks wrong is suspected, column by column. Once a batch is through,
suspicions are settled: with the block's right bytes, wherever they came from, columns are compared sector by sector.

Source: OpenZFS, zio.c (scrub reads), vdev_raidz.c, vdev_draid.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio

from ..ondisk import blkptr
from ..ondisk import gang as ondisk
from . import checksum, copies, gang, places, reconstruct
from .request import I64Array, Request, decode
from .sectors import WrongSectors, wrong_sectors
from .status import Status, StatusArray

if TYPE_CHECKING:
    from ..vdev.layout import Layout
    from .places import Spots
    from .reader import Zio

FINE, DAMAGED, LOST = 0, 1, 2

WAY_BITS = 32

_KINDS = {
    blockio.FAULT_READ: "read",
    blockio.FAULT_PARITY: "parity",
    blockio.FAULT_PADDING: "padding",
}

Check = Callable[[int, memoryview], bool]


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes on a device that are not what they should be.

    ``kind``: ``read`` (an error of the device), ``checksum`` (data), ``parity``, ``padding`` (zeros that are not),
    ``unknown`` (one of several columns of a block that no reconstruction makes whole). Damage of one column in several
    places has the same ``column``.
    """

    index: int  # of the block in the batch
    dva: int
    leaf: int  # index into VdevTree.leaves
    offset: int  # bytes, on the device
    length: int
    kind: str
    column: int  # where the column, or the whole copy, begins: bytes, on the device


@dataclass(slots=True)
class ScrubResult:
    """What a scrub found: for each block FINE, DAMAGED (a good copy exists) or LOST, why, and where."""

    status: StatusArray
    reason: StatusArray  # ``Status`` of the best copy
    damage: list[Damage] = field(default_factory=list)


@dataclass(slots=True)
class _Suspect:
    """Columns of one block's layout that look wrong, by number, and why."""

    layout: Layout
    dva: int
    kinds: dict[int, str]


@dataclass(slots=True)
class _Findings:
    """What is known about each block of a request so far."""

    good: Any
    reason: StatusArray
    source: I64Array  # DVA and way that read well, DVA first; -1: none so far
    damage: list[Damage] = field(default_factory=list)
    split: set[int] = field(default_factory=set)  # blocks in several pieces, one of which is wrong
    suspects: dict[int, list[_Suspect]] = field(default_factory=dict)
    right: dict[int, memoryview] = field(default_factory=dict)  # stored bytes, of blocks that had to be searched

    @classmethod
    def of(cls, good: Any, reason: StatusArray) -> _Findings:
        """Nothing found yet."""
        return cls(good, reason.copy(), np.full(len(good), -1, dtype=np.int64))

    def suspect(self, index: int, layout: Layout, dva: int, kinds: dict[int, str]) -> None:
        """Columns of a layout of one block look wrong."""
        self.suspects.setdefault(index, []).append(_Suspect(layout, dva, kinds))

    def result(self) -> ScrubResult:
        status = np.where(self.good, FINE, LOST).astype(np.uint8)
        hurt = np.array(sorted({damage.index for damage in self.damage}), dtype=np.int64)
        status[hurt[self.good[hurt]]] = DAMAGED
        self.reason[self.good] = Status.OK
        return ScrubResult(status, self.reason, self.damage)


def scrub(zio: Zio, bps: blkptr.BpArray, depth: int = 0) -> ScrubResult:
    """Scrub a batch; see ``Zio.scrub``."""
    request = decode(np.ascontiguousarray(bps).reshape(-1), stored=True, salt=zio.salt)
    good = request.hole | (request.status == Status.REDACTED)
    found = _Findings.of(good & ~request.gang, request.status)
    fine = request.status == Status.OK
    embedded = np.flatnonzero(fine & request.embedded)
    if len(embedded):
        blocks = zio.read(request.bps[embedded], raw=True, errors="collect")
        found.reason[embedded] = blocks.status
        found.good[embedded] = blocks.status == Status.OK
    stored = fine & ~request.embedded & ~request.hole
    _examine(zio, request, np.flatnonzero(stored & ~request.gang), found, None)
    for i in np.flatnonzero(stored & request.gang).tolist():
        _scrub_gang(zio, request, i, found, depth)
    return found.result()


def scrub_sealed(zio: Zio, bp: Any, size: int, good: Callable[[memoryview], bool]) -> ScrubResult:
    """Scrub one block that carries its checksum in itself; see ``Zio.scrub_sealed``."""
    request = copies.plain_request(zio, bp, size)
    found = _Findings.of(np.zeros(1, dtype=bool), request.status)
    if request.status[0] == Status.OK:
        _examine(zio, request, np.zeros(1, dtype=np.int64), found, lambda _, data: good(data))
    return found.result()


def _examine(zio: Zio, request: Request, index: I64Array, found: _Findings, check: Check | None) -> None:
    """Every address and way of some blocks.

    Args:
        zio: the pool's blocks.
        request: holds the blocks.
        index: which of them.
        found: is added to.
        check: verifies the stored bytes of block i, which the kernel then does not.
    """
    if not len(index):
        return
    spots = places.resolve(zio.tree, request, index)
    found.reason[index] = spots.verdict
    for dva in range(blkptr.DVAS_PER_BP):
        usable = spots.usable[:, dva]
        for top in np.unique(spots.top[usable, dva]).tolist():
            rows = np.flatnonzero(usable & (spots.top[:, dva] == top))
            for way in range(zio.tree.ways(top, scrub=True)):
                layout = places.layout_of(spots, dva, top, way, rows, scrub=True)
                status = _examine_way(zio, request, index[rows], layout, dva, found, check)
                found.source[index[rows[status == Status.OK]]] = dva << WAY_BITS | way
            for row in rows[np.isin(index[rows], sorted(found.split))].tolist():
                _blame_pieces(zio, request, int(index[row]), spots, dva, row, found, check)
            found.split.clear()
    _settle(zio, request, index, spots, found, check)


def _examine_way(
    zio: Zio,
    request: Request,
    index: I64Array,
    layout: Layout,
    dva: int,
    found: _Findings,
    check: Check | None,
) -> StatusArray:
    jobs = places.jobs_for(request, index)
    jobs["mode"] = blockio.MODE_SCRUB
    out = np.empty(0, dtype=np.uint8)
    if check is not None:
        sizes = request.psize[index]
        jobs["flags"] |= blockio.FLAG_DELIVER
        jobs["dest"] = np.cumsum(sizes) - sizes
        jobs["checksum"] = checksum.Checksum.OFF
        out = np.empty(int(sizes.sum()), dtype=np.uint8)
    status, faults = zio.runner.run(layout, jobs, out, zio.salt)
    if check is not None:
        view = out.data
        for row in np.flatnonzero(status == Status.OK).tolist():
            at = int(jobs["dest"][row])
            if not check(int(index[row]), view[at : at + int(sizes[row])]):
                status[row] = Status.CHECKSUM
    places.count_checksum_errors(zio.runner, layout, status)
    found.good[index[status == Status.OK]] = True
    found.reason[index] = status
    owner = layout.block_of_column()
    # What the kernel found wrong with parity means nothing where the data itself was wrong.
    faults[(status[owner] == Status.CHECKSUM) & (faults != blockio.FAULT_READ)] = blockio.FAULT_NONE
    faulty = np.flatnonzero(faults)
    for row in np.unique(owner[faulty]).tolist():
        _suspect_faults(zio, found, int(index[row]), layout, row, dva, faults)
    for row in np.flatnonzero(status == Status.CHECKSUM).tolist():
        _blame(zio, request, int(index[row]), layout, row, dva, found, check)
    return status


def _suspect_faults(
    zio: Zio, found: _Findings, i: int, layout: Layout, row: int, dva: int, faults: NDArray[np.uint8]
) -> None:
    """Suspect the columns of a block in which the kernel found faults, and count them on their leaves."""
    first = int(layout.groups["first"][layout.blocks[row]])
    alone = one_block(layout, row)
    mine = faults[first : first + len(alone.columns)]
    kinds = {number: _KINDS[int(mine[number])] for number in np.flatnonzero(mine).tolist()}
    for number, kind in kinds.items():
        if kind != "read":
            zio.runner.count_wrong(int(alone.columns["leaf"][number]))
    found.suspect(i, alone, dva, kinds)


def _blame(
    zio: Zio,
    request: Request,
    i: int,
    layout: Layout,
    row: int,
    dva: int,
    found: _Findings,
    check: Check | None,
) -> None:
    """Find the columns that make a copy wrong."""
    alone = one_block(layout, row)
    if not alone.groups["nparity"].any():
        if len(alone.columns) == 1:
            found.suspect(i, alone, dva, {0: "checksum"})
        else:
            found.split.add(i)
        return
    verify = _verifier(zio, request, i, check)
    answer = reconstruct.search_layout(zio.runner, alone, int(request.psize[i]), verify)
    if answer is None:
        kinds = _all_unknown(alone)
        for number in kinds:
            zio.runner.count_wrong(int(alone.columns["leaf"][number]))
        found.suspect(i, alone, dva, kinds)
        return
    found.good[i] = True
    found.right[i] = answer.data
    parity = alone.columns["parity"]
    found.suspect(i, alone, dva, {n: "checksum" if parity[n] < 0 else "parity" for n in answer.wrong})


def _blame_pieces(
    zio: Zio,
    request: Request,
    i: int,
    spots: Spots,
    dva: int,
    row: int,
    found: _Findings,
    check: Check | None,
) -> None:
    """Find the wrong pieces of a block of a removed vdev, by combining the ways it can be read."""
    top = int(spots.top[row, dva])
    ways = range(zio.tree.ways(top, scrub=True))
    layouts = [places.layout_of(spots, dva, top, way, np.array([row]), scrub=True) for way in ways]
    data = reconstruct.search_split(zio.tree, layouts, int(request.psize[i]), _verifier(zio, request, i, check))
    if data is not None:
        found.good[i] = True
        found.right[i] = data
    for layout in layouts:
        # Which of them is wrong will show as soon as the right bytes are known, from here or from another copy.
        found.suspect(i, layout, dva, _all_unknown(layout))


def _verifier(zio: Zio, request: Request, i: int, check: Check | None) -> Callable[[memoryview], bool]:
    if check is None:
        return lambda data: zio.verified(request, i, data)
    return lambda data: check(i, data)


def _all_unknown(layout: Layout) -> dict[int, str]:
    """Any of a block's columns may be wrong."""
    columns = np.flatnonzero((layout.columns["leaf"] >= 0) & (layout.columns["stored"] > 0))
    return dict.fromkeys(columns.tolist(), "unknown")


# ---- settling suspicions -----------------------------------------------------------------------------------


def _settle(
    zio: Zio, request: Request, index: I64Array, spots: Spots, found: _Findings, check: Check | None
) -> None:
    """Turn what is suspected of some blocks into damage."""
    for i, suspects in sorted(found.suspects.items()):
        right = found.right.get(i)
        if right is None and found.source[i] >= 0:
            right = _right_bytes(zio, request, i, spots, int(np.searchsorted(index, i)), found, check)
        seen = set()
        for suspect in suspects:
            for damage in _damage_of(zio, i, suspect, right):
                # Ways to read a split block have pieces in common.
                if (damage.leaf, damage.offset) not in seen:
                    seen.add((damage.leaf, damage.offset))
                    found.damage.append(damage)
    found.suspects.clear()
    found.right.clear()


def _right_bytes(
    zio: Zio, request: Request, i: int, spots: Spots, row: int, found: _Findings, check: Check | None
) -> memoryview | None:
    """Stored bytes of a block once more, from where they were found to be right."""
    dva, way = divmod(int(found.source[i]), 1 << WAY_BITS)
    top = int(spots.top[row, dva])
    layout = places.layout_of(spots, dva, top, way, np.array([row]), scrub=True)
    jobs = places.jobs_for(request, np.array([i]))
    jobs["mode"] = blockio.MODE_RAW
    jobs["checksum"] = checksum.Checksum.OFF
    out = np.empty(int(request.psize[i]), dtype=np.uint8)
    status, _ = zio.runner.run(layout, jobs, out, zio.salt, count=False)
    good = status[0] == Status.OK and _verifier(zio, request, i, check)(out.data)
    return out.data if good else None


def _damage_of(zio: Zio, i: int, suspect: _Suspect, right: memoryview | None) -> Iterator[Damage]:
    """What is wrong with one way of reading a block, given its right bytes, if they are known."""
    runs: dict[int, list[WrongSectors]] = {}
    if right is not None:
        for run in wrong_sectors(zio.tree, suspect.layout, right):
            runs.setdefault(run.number, []).append(run)
    for number in sorted({*suspect.kinds, *runs}):
        leaf, parity, offset, _, length, stored = suspect.layout.columns[number].tolist()
        kind = suspect.kinds.get(number, "checksum" if parity < 0 else "parity")
        if leaf < 0 or (kind == "unknown" and right is not None and number not in runs):
            continue
        if number not in runs or kind == "read":
            yield Damage(i, suspect.dva, leaf, offset, stored or length, kind, offset)
            continue
        for run in runs[number]:
            kind = "padding" if run.padding else "checksum" if parity < 0 else "parity"
            yield Damage(i, suspect.dva, leaf, run.offset, run.length, kind, offset)


def one_block(layout: Layout, row: int) -> Layout:
    """The layout of one block of a layout."""
    groups = layout.groups[layout.blocks[row] : layout.blocks[row + 1]].copy()
    columns = layout.block_columns(row)
    groups["first"] -= groups["first"][0]
    return type(layout)(columns, groups, np.array([0, len(groups)], dtype=np.uint32))


def _scrub_gang(zio: Zio, request: Request, i: int, found: _Findings, depth: int) -> None:
    """A gang block: all copies of its header, then its pieces as blocks of their own, then the whole."""
    bp = request.bps[i]
    header = gang.header(zio, bp)
    if header is None or depth >= gang.GANG_DEPTH_MAX:
        found.reason[i] = Status.CHECKSUM if header is None else Status.BAD_POINTER
        size = ondisk.GANG_HEADER_SIZE
    else:
        size = header.size
    heads = scrub_sealed(zio, bp, size, gang.checker(bp))
    found.damage += [_at(i, damage) for damage in heads.damage]
    if header is None or depth >= gang.GANG_DEPTH_MAX:
        return
    if not gang.children_fit(header.pointers, int(request.psize[i])):
        found.reason[i] = Status.BAD_POINTER
        return
    pieces = scrub(zio, header.pointers, depth + 1)
    found.damage += [_at(i, damage) for damage in pieces.damage]
    lost = np.flatnonzero(pieces.status == LOST)
    if len(lost):
        found.reason[i] = pieces.reason[lost[0]]
        return
    if depth == 0:
        whole = zio.read(request.bps[i : i + 1], stored=True, errors="collect")
        found.reason[i] = whole.status[0]
    found.good[i] = depth > 0 or found.reason[i] == Status.OK


def _at(index: int, damage: Damage) -> Damage:
    """The same damage, of the block it belongs to after all."""
    return replace(damage, index=index)
