"""Allocation classes: what kinds of blocks have vdevs of their own, and how blocks are spread over the vdevs of one.

Vdevs of a class take turns: some MiB of consecutive blocks go to one, so that they lie in a row there, then some to the
next; more to those with more free space, so that all fill up alike. Copies of a block go to different vdevs, or at
least to different metaslabs, as long as there are any.

Source: OpenZFS, metaslab.c (``metaslab_alloc_dva``: rotor, aliquot, bias), zio.c (which class follows which).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..vdev.draid import DraidVdev
from ..vdev.raidz import RaidzVdev
from ..vdev.vdev import Vdev
from .group import EmbeddedLog, MetaslabGroup
from .ranges import U64Array

#: Bytes a data disk gets before the next vdev's turn.
ALIQUOT = 2 << 20
#: A vdev's turn is never longer or shorter than the average by more than this.
BIAS = 4
#: Blocks looked at for one turn.
TURN_BLOCKS = 8192
#: Small blocks of data go to the special class while less than this many percent of it are allocated.
SPECIAL_PERCENT = 75

Rows = NDArray[np.intp]
Group = MetaslabGroup | EmbeddedLog


class AllocClass(IntEnum):
    """What a block is, as far as its place is concerned."""

    NORMAL = 0
    LOG = 1
    SPECIAL = 2
    DEDUP = 3
    #: A metaslab of each normal vdev that has many, for logs without devices of their own. Its space counts as normal.
    EMBEDDED_LOG = 4


#: Where blocks of a class go, the first that has room.
CHAIN: dict[AllocClass, tuple[AllocClass, ...]] = {
    AllocClass.NORMAL: (AllocClass.NORMAL, AllocClass.EMBEDDED_LOG),
    AllocClass.LOG: (AllocClass.LOG, AllocClass.EMBEDDED_LOG, AllocClass.NORMAL),
    AllocClass.EMBEDDED_LOG: (AllocClass.EMBEDDED_LOG, AllocClass.NORMAL),
    AllocClass.SPECIAL: (AllocClass.SPECIAL, AllocClass.NORMAL, AllocClass.EMBEDDED_LOG),
    AllocClass.DEDUP: (AllocClass.DEDUP, AllocClass.SPECIAL, AllocClass.NORMAL, AllocClass.EMBEDDED_LOG),
}
#: A vdev with more metaslabs than this keeps one for logs. Source: zfs_embedded_slog_min_ms.
EMBEDDED_LOG_FROM = 64


@dataclass
class Request:
    """Blocks to be placed.

    Attributes:
        psizes: bytes of each; txg: they are written in; copies: how many of each.
        result: (n, copies, 3): vdev, offset, asize of each copy; asize 0: not placed.
    """

    psizes: U64Array
    txg: int
    copies: int
    result: U64Array = field(init=False)
    _asizes: dict[int, U64Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.result = np.zeros((len(self.psizes), self.copies, 3), dtype=np.uint64)

    def asizes(self, group: Group) -> U64Array:
        """Bytes that each block needs on a vdev."""
        found = self._asizes.get(group.id)
        if found is None:
            births = np.full(len(self.psizes), self.txg, dtype=np.uint64)
            found = self._asizes[group.id] = group.top.asizes(self.psizes, births)
        return found


class MetaslabClass:
    """The vdevs of one class."""

    def __init__(self, cls: AllocClass) -> None:
        self.cls = cls
        self.groups: list[Group] = []
        self._rotor = -1  # nobody has had a turn
        self._left = 0  # bytes of this turn

    def place(self, request: Request, rows: Rows) -> Rows:
        """Place some of the blocks of a request; gives those there is no room for.

        A block that cannot be placed leaves room for smaller ones: none as large is tried after it.
        """
        left = []
        most = len(rows)  # in one turn
        while len(rows):
            share = min(self._share(request, rows), most)
            placed = self._turn(request, rows[:share]) if self.groups else 0
            if placed:
                rows = rows[placed:]
                most = 2 * share
            elif share > 1 and self.groups:
                # The first copies may have taken what others need: with fewer blocks there may be room for all.
                most = share // 2
            else:
                too_large = request.psizes[rows] >= request.psizes[rows[0]]
                left.append(rows[too_large])
                rows = rows[~too_large]
        return np.sort(np.concatenate(left)) if left else rows

    # --- turns --------------------------------------------------------------------------------------------------------

    def _share(self, request: Request, rows: Rows) -> int:
        """How many blocks the vdev whose turn it is gets, at least one."""
        usable = [place for place, group in enumerate(self.groups) if group.largest and group.takes]
        if not usable:
            return len(rows)
        if self._rotor not in usable:
            self._advance(usable)
        if len(usable) == 1:
            return len(rows)
        if self._left <= 0:
            self._advance(usable)
        asizes = request.asizes(self.groups[self._rotor])[_slice(rows[:TURN_BLOCKS])]
        middles = np.cumsum(asizes) - asizes // np.uint64(2)
        return max(1, int(np.searchsorted(middles, self._left, side="right")))

    def _advance(self, usable: list[int]) -> None:
        """The next vdev's turn begins."""
        later = [place for place in usable if place > self._rotor]
        self._rotor = later[0] if later else usable[0]
        if self.cls in (AllocClass.LOG, AllocClass.EMBEDDED_LOG):
            self._left = 1  # every block goes to another
            return
        groups = [self.groups[place] for place in usable]
        disks = sum(_data_disks(group.top) for group in groups) // len(groups)
        free = [max(group.free_bytes, 1) for group in groups]
        share = max(self.groups[self._rotor].free_bytes, 1) * len(groups) / sum(free)
        self._left = int(ALIQUOT * max(disks, 1) * min(max(share, 1 / BIAS), BIAS))

    def _spend(self, asizes: U64Array, group: Group) -> None:
        """Blocks were placed in this turn: it is over when less than half of the last one is left of it."""
        if group is self.groups[self._rotor]:
            self._left -= int(asizes.sum())
        if group is not self.groups[self._rotor] or self._left < int(asizes[-1]) // 2:
            self._left = 0

    # --- copies -------------------------------------------------------------------------------------------------------

    def _turn(self, request: Request, rows: Rows) -> int:
        """Place all copies of blocks, in turn, as many as there is room for; gives how many."""
        ring = [group for group in (*self.groups[self._rotor :], *self.groups[: self._rotor]) if group.takes]
        used: dict[int, set[int]] = {}  # vdev -> metaslabs
        done: list[Group] = []
        count = len(rows)
        for copy in range(request.copies):
            found = self._copy(request, rows[:count], copy, ring, used)
            number = found[1] if found is not None else 0
            if number < count:
                self._take_back(request, rows[number:count], done)
                count = number
            if found is None:
                break
            group = found[0]
            done.append(group)
            # The next copy goes to the vdev after this one's.
            after = ring.index(group) + 1
            ring = ring[after:] + ring[:after]
            if copy == 0:
                self._spend(request.asizes(group)[_slice(rows[:count])], group)
        return count

    def _copy(
        self, request: Request, rows: Rows, copy: int, ring: list[Group], used: dict[int, set[int]]
    ) -> tuple[Group, int] | None:
        """Place one copy of blocks on one vdev: which, and of how many."""
        place = _slice(rows)
        for group, avoid in _choices(ring, used):
            asizes = request.asizes(group)[place]
            if group.largest < int(asizes[0]):
                continue
            offsets, metaslabs = group.place(asizes, request.txg, copy, avoid)
            if len(offsets):
                taken = _slice(rows[: len(offsets)])
                request.result[taken, copy, 0] = group.id
                request.result[taken, copy, 1] = offsets
                request.result[taken, copy, 2] = asizes[: len(offsets)]
                used.setdefault(group.id, set()).update(metaslabs)
                return group, len(offsets)
        return None

    def _take_back(self, request: Request, rows: Rows, done: list[Group]) -> None:
        """Undo the copies already placed of blocks that cannot have all of them."""
        for copy, group in enumerate(done):
            offsets, asizes = request.result[rows, copy, 1], request.result[rows, copy, 2]
            group.unallocate(offsets, asizes, request.txg)
        request.result[rows] = 0


def _choices(
    ring: list[Group], used: dict[int, set[int]]
) -> Iterator[tuple[Group, set[int] | frozenset[int]]]:
    """Vdevs that have no copy yet, then those that have one in other metaslabs, then wherever there is room."""
    nowhere: frozenset[int] = frozenset()
    yield from ((group, nowhere) for group in ring if group.id not in used)
    taken = [group for group in ring if group.id in used]
    yield from ((group, used[group.id]) for group in taken)
    yield from ((group, nowhere) for group in taken)


def _slice(rows: Rows) -> Rows | slice:
    """Rows, none twice and in order, as a slice if there are none missing between them: that is faster."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first == len(rows) - 1 else rows


def _data_disks(top: Vdev) -> int:
    """Disks of a vdev that hold different data."""
    if isinstance(top, DraidVdev):
        return top.ndata
    return len(top.children) - top.nparity if isinstance(top, RaidzVdev) else 1
