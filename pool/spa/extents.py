"""From block pointers to the ranges of the pool's vdevs that they hold, gang headers and pieces included.

Source: OpenZFS, metaslab.c (``metaslab_claim``), zio.c (gang trees).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, PoolError
from ..ondisk import blkptr
from ..ondisk import gang as ondisk_gang
from ..ondisk.blkptr import BpArray
from ..vdev.tree import VdevTree
from ..zio import gang
from ..zio.reader import Zio

I64Array = NDArray[np.int64]

_OFFSET_BITS = np.uint64((1 << 63) - 1)
#: Offsets in sectors from here on have no number in bytes.
_OFFSET_END = np.int64(1 << 53)
#: Gangs of gangs read for one batch of pointers; an honest block has a few dozen.
GANGS_PER_BLOCK = 1 << 12

#: Told of a gang header that cannot be read: the row of the pointer it belongs to, and why.
Unreadable = Callable[[int, PoolError], None]


@dataclass(frozen=True, slots=True)
class Held:
    """Ranges in bytes: ``row`` says which pointer's, ``copy`` which address's, 3 of a gang's pieces.

    A range that begins at -1 is one whose offset is beyond any vdev.
    """

    row: I64Array
    copy: I64Array
    vdev: I64Array
    start: I64Array
    end: I64Array

    def __len__(self) -> int:
        return len(self.row)

    def pick(self, which: NDArray[np.bool_] | I64Array) -> Held:
        """Some of them: a mask or indices."""
        return Held(self.row[which], self.copy[which], self.vdev[which], self.start[which], self.end[which])


PIECE = 3


def first_address(bps: BpArray) -> tuple[I64Array, I64Array]:
    """(vdev, offset in bytes) of the first address of each pointer; -1, -1 where it has none."""
    sectors = (bps["dva"][:, 0, 1] & _OFFSET_BITS).astype(np.int64)
    good = ~blkptr.is_embedded(bps) & ~blkptr.is_hole(bps) & (sectors < _OFFSET_END)
    vdev = blkptr.dva_vdev(bps)[:, 0].astype(np.int64)
    return np.where(good, vdev, -1), np.where(good, sectors << 9, -1)


def held(zio: Zio, bps: BpArray, unreadable: Unreadable) -> Held:
    """All ranges that pointers hold (embedded ones hold none).

    Args:
        zio: where gang headers are read.
        bps: the pointers, no holes.
        unreadable: told of gang headers that cannot be read; their pieces are left out.
    """
    parts = [addresses(zio.tree, bps)]
    gangs = np.flatnonzero(blkptr.is_gang(bps))
    for row in gangs.tolist():
        pieces, sizes = _gang_tree(zio, bps[row], row, unreadable)
        # Of a gang's own addresses only the headers are its; the pieces have theirs.
        own = slice(*np.searchsorted(parts[0].row, (row, row + 1)).tolist())
        parts[0].end[own] = parts[0].start[own] + _header_asizes(zio.tree, parts[0].vdev[own], sizes[0])
        for group, size in zip(pieces, sizes[1:]):
            found = addresses(zio.tree, group)
            if size:
                found.end[:] = found.start + _header_asizes(zio.tree, found.vdev, size)
            rows = np.full(len(found), row, dtype=np.int64)
            parts.append(Held(rows, np.full(len(found), PIECE, dtype=np.int64), found.vdev, found.start, found.end))
    if len(parts) == 1:
        return parts[0]
    columns = ("row", "copy", "vdev", "start", "end")
    return Held(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def addresses(tree: VdevTree, bps: BpArray) -> Held:
    """The ranges of all addresses, as long as these say."""
    asizes = blkptr.dva_asize(bps).astype(np.int64)
    asizes[blkptr.is_embedded(bps)] = 0
    row, copy = np.nonzero(asizes)
    vdev = blkptr.dva_vdev(bps)[row, copy].astype(np.int64)
    sectors = (bps["dva"][row, copy, 1] & _OFFSET_BITS).astype(np.int64)
    start = np.where(sectors < _OFFSET_END, sectors << 9, -1)
    return Held(row, copy, vdev, start, start + asizes[row, copy])


def _header_asizes(tree: VdevTree, vdevs: I64Array, size: int) -> I64Array:
    """What a gang header of ``size`` bytes takes on each of these vdevs."""
    result = np.full(len(vdevs), size, dtype=np.int64)
    for at, vdev in enumerate(vdevs.tolist()):
        if vdev < len(tree.tops) and tree.tops[vdev].asize:
            result[at] = int(tree.asizes(vdev, [size], [0])[0])
    return result


def _gang_tree(zio: Zio, bp: BpArray, row: int, unreadable: Unreadable) -> tuple[list[BpArray], list[int]]:
    """The pointers in a gang's headers, in groups, and sizes of headers.

    Returns:
        groups of pointers, and sizes: first of the topmost header, then for each group the size of the headers its
        pointers lead to, or 0 for plain blocks.
    """
    groups: list[BpArray] = []
    sizes = [ondisk_gang.GANG_HEADER_SIZE]
    todo = [(bp, 0, 0)]  # pointer to a header, where its size belongs, depth
    for _ in range(GANGS_PER_BLOCK):
        if not todo:
            return groups, sizes
        pointer, place, depth = todo.pop()
        found = gang.header(zio, pointer) if depth < gang.GANG_DEPTH_MAX else None
        if found is None:
            unreadable(row, CorruptError("no copy of a gang header can be read"))
            continue
        sizes[place] = found.size
        nested = blkptr.is_gang(found.pointers)
        if not nested.all():
            groups.append(found.pointers[~nested])
            sizes.append(0)
        for at in np.flatnonzero(nested).tolist():
            groups.append(found.pointers[at : at + 1])
            sizes.append(ondisk_gang.GANG_HEADER_SIZE)
            todo.append((found.pointers[at], len(sizes) - 1, depth + 1))
    unreadable(row, CorruptError("a gang block has more pieces than any has"))
    return groups, sizes
