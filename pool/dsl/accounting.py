"""Space figures of directories and datasets: what is used, by whom, what is available, what has been written.

All figures are bytes as OpenZFS charges them (after compression and parity, sectors rounded up). Ratios are in
hundredths, cut off, as OpenZFS computes them.

Source: OpenZFS, dsl_dir.c and dsl_dataset.c (availability, written).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ondisk.dsl import (
    USED_CHILD,
    USED_CHILD_RSRV,
    USED_HEAD,
    USED_REFRSRV,
    USED_SNAP,
    BookmarkFlags,
    BookmarkPhys,
    DirFlags,
)

if TYPE_CHECKING:
    from .dataset import DslDataset
    from .dir import DslDir

RATIO_ONE = 100


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """The pool's figures that datasets' availability rests on; whoever knows the vdevs fills them in.

    ``size`` is the deflated size of the normal class plus what dedup and block cloning save; ``slop`` comes from
    ``alloc.slop``; ``checkpoint`` is held by a checkpoint; ``deferred`` waits to be freed.
    """

    size: int
    slop: int
    checkpoint: int = 0
    deferred: int = 0

    @property
    def usable(self) -> int:
        """Bytes that datasets may fill altogether."""
        return max(self.size - self.checkpoint - self.deferred - self.slop, 0)


@dataclass(frozen=True, slots=True)
class UsedBreakdown:
    """Who uses a directory's space: usedbydataset, usedbysnapshots, usedbychildren, usedbyrefreservation."""

    dataset: int
    snapshots: int
    children: int
    refreservation: int


def used_breakdown(directory: DslDir) -> UsedBreakdown | None:
    """The four parts of a directory's used space; None where the pool is too old to keep them."""
    if not directory.phys.flags & DirFlags.USED_BREAKDOWN:
        return None
    parts = directory.phys.used_breakdown
    return UsedBreakdown(
        dataset=parts[USED_HEAD],
        snapshots=parts[USED_SNAP],
        children=parts[USED_CHILD] + parts[USED_CHILD_RSRV],
        refreservation=parts[USED_REFRSRV],
    )


def ratio(uncompressed: int, compressed: int) -> int:
    """Compression ratio in hundredths; 100 where nothing is stored."""
    return uncompressed * 100 // compressed if compressed else RATIO_ONE


def directory_available(directory: DslDir, space: PoolSpace) -> int:
    """Bytes that can still be written below a directory: the least that any quota above it leaves, and the pool."""
    chain = [directory]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    left: int | None = None  # what the parent leaves; None above the root
    for step in reversed(chain):
        phys = step.phys
        room = phys.quota or None
        if left is None:
            room = space.usable if room is None else min(room, space.usable)
        elif phys.reserved > phys.used_bytes:
            left += phys.reserved - phys.used_bytes
        if room is not None and phys.used_bytes > room:
            left = 0
        elif room is not None:
            left = room - phys.used_bytes if left is None else min(left, room - phys.used_bytes)
    return left or 0


def available(dataset: DslDataset, space: PoolSpace, refquota: int, refreservation: int) -> int:
    """Bytes that can still be written to a head dataset, its own quota and reservation taken into account."""
    phys = dataset.phys
    room = directory_available(dataset.dir, space) + max(refreservation - phys.unique_bytes, 0)
    if refquota:
        room = min(room, max(refquota - phys.referenced_bytes, 0))
    return room


def written_since(dataset: DslDataset, earlier: BookmarkPhys) -> int | None:
    """Bytes referenced by a dataset that were written after an earlier point of its history.

    Args:
        dataset: a head or a snapshot.
        earlier: the point: a bookmark, or a snapshot's figures as ``DslDataset.as_bookmark`` gives them.

    Returns:
        None where the point is not in the dataset's history, or is a bookmark without size figures whose snapshot
        is gone.
    """
    used = dataset.phys.referenced_bytes - earlier.referenced_bytes
    step = dataset
    while step.phys.prev_snap_txg > earlier.creation_txg:  # ends: txgs fall from each to its predecessor
        used += step.deadlist.space(0, earlier.creation_txg).used
        previous = step.prev
        if previous is None:
            return None
        step = previous
    if earlier.flags & BookmarkFlags.HAS_FBN:
        return used + earlier.freed_referenced
    previous = step.prev
    if (
        step.phys.prev_snap_txg != earlier.creation_txg
        or previous is None
        or previous.phys.guid != earlier.guid
    ):
        return None
    return used + step.deadlist.total.used


def written(dataset: DslDataset) -> int | None:
    """Bytes written since the previous snapshot; None in pools so old that a first snapshot has no predecessor."""
    previous = dataset.prev
    return None if previous is None else written_since(dataset, previous.as_bookmark())
