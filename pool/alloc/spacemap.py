"""Replaying space maps: from a log of allocations and frees to what is allocated.

Every address is free at first, and goes back and forth: an allocation needs it free, a free needs it allocated. So
in the end, whatever the order, allocations outnumber frees by one where space is allocated and by none where it is
free; anything else is corruption.

Source: OpenZFS, space_map.c, metaslab.c.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .ranges import RangeSet, U64Array, sweep

#: Entries as columns: starts and ends in bytes, and whether each is a free.
Changes = tuple[U64Array, U64Array, NDArray[np.bool_]]


def changes(entries: NDArray[Any], shift: int, start: int, size: int, **where: Any) -> Changes:
    """Entries of a space map (dtype ``ondisk.spacemap.ENTRY``) in bytes of the address space.

    Args:
        entries: in units of ``1 << shift`` bytes.
        shift: log2 of the unit.
        start: address of unit 0.
        size: bytes of the address space that the map is about; nothing may lie beyond.
        where: facts for messages.

    Raises:
        CorruptError: an entry lies outside.
    """
    units = np.uint64(size >> shift)
    offset, run = entries["offset"], entries["run"]
    if ((offset > units) | (run > units) | (offset + run > units)).any():
        raise CorruptError("a space map has an entry outside of its space", **where)
    first = (offset << np.uint64(shift)) + np.uint64(start)
    return first, first + (run << np.uint64(shift)), entries["free"] != 0


def joined(parts: list[Changes]) -> Changes:
    """Several lists of changes as one."""
    if not parts:
        none = np.zeros(0, dtype=np.uint64)
        return none, none, np.zeros(0, dtype=bool)
    starts, ends, frees = zip(*parts)
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(frees)


def replay(found: Changes, **where: Any) -> RangeSet:
    """What is allocated after all changes.

    Raises:
        CorruptError: something was allocated twice, or freed without having been allocated.
    """
    starts, ends, frees = found
    edges, depths = sweep(starts, ends, np.where(frees, -1, 1))
    wrong = np.flatnonzero((depths < 0) | (depths > 1))
    if len(wrong):
        what = "allocated twice" if depths[wrong[0]] > 1 else "freed, and was not allocated"
        raise CorruptError(f"a space map says that space was {what}", offset=int(edges[wrong[0]]), **where)
    return RangeSet._of(edges, depths == 1)


def net(found: Changes) -> int:
    """Allocated minus freed bytes."""
    starts, ends, frees = found
    sizes = (ends - starts).astype(np.int64)
    return int(np.where(frees, -sizes, sizes).sum())
