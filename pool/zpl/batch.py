"""The content of many small files, read as one batch.

A block layer that works in batches is of no use to a reader that asks for one small file after the other. So whoever
goes over many files hands over a few hundred of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import CorruptError, PoolError
from ..ondisk import blkptr, bpcheck
from ..zio.status import error_for
from .file import ObjectFile

SMALL_BYTES = 1 << 20  # of blocks; files up to this size are worth it
BATCH_BYTES = 32 << 20  # of blocks in one batch

#: (offset, bytes) of what is no hole, in order, cut at the end of the file.
Pieces = list[tuple[int, memoryview]]


def cost(file: ObjectFile) -> int | None:
    """Bytes of memory that a file's blocks take in a batch; None if it is none of the small ones."""
    blocks = min(-(-file.size // file.dnode.datablksz), file.dnode.maxblkid + 1)
    taken = blocks * file.dnode.datablksz
    return taken if taken <= SMALL_BYTES else None


def read_small(files: Sequence[ObjectFile]) -> list[Pieces | PoolError]:
    """The content of several files of one object set; of one that cannot be read, why.

    Args:
        files: of which each has a ``cost``; all of them together are held in memory.
    """
    if not files:
        return []
    failed: dict[int, PoolError] = {}
    counts, pointers = _pointers(files, failed)
    bps = np.concatenate(pointers)
    start = (np.cumsum(counts) - counts).tolist()
    objset = files[0].dnode.objset
    sizes = np.repeat([file.dnode.datablksz for file in files], counts)
    codes = bpcheck.problems(bps, level=0, lsize=sizes, max_birth=objset.birth)
    wanted = np.flatnonzero(~blkptr.is_hole(bps) & (codes == 0))
    blocks = objset.zio.read(bps[wanted], objset.keys, errors="collect")
    place = np.full(len(bps), -1, dtype=np.int64)
    place[wanted] = np.arange(len(wanted))
    where, status, wrong = place.tolist(), blocks.status.tolist(), codes.tolist()
    results: list[Pieces | PoolError] = []
    for index, file in enumerate(files):
        pieces: Pieces = []
        error = failed.get(index)
        step = file.dnode.datablksz
        for number in range(int(counts[index])):
            row = start[index] + number
            at = where[row]
            if wrong[row]:
                error = error or _misplaced(file, number, wrong[row])
            elif at >= 0 and status[at]:
                error = error or error_for(status[at], bps[row], f"object {file.dnode.number} block {number}")
            elif at >= 0:
                pieces.append((number * step, blocks.block(at)[: file.size - number * step]))
        results.append(error or pieces)
    return results


def _pointers(files: Sequence[ObjectFile], failed: dict[int, PoolError]) -> tuple[Any, list[Any]]:
    """How many blocks each file has, and the pointers to them."""
    counts = np.array([min(-(-f.size // f.dnode.datablksz), f.dnode.maxblkid + 1) for f in files], dtype=np.int64)
    pointers: list[Any] = []
    for index, file in enumerate(files):
        dnode, count = file.dnode, int(counts[index])
        if dnode.nlevels == 1 and count <= len(dnode.blkptr):
            pointers.append(dnode.blkptr[:count])
            continue
        try:
            pointers.append(dnode.bps(0, count))
        except PoolError as error:
            failed[index] = error
            pointers.append(dnode.blkptr[:0])
            counts[index] = 0
    return counts, pointers


def _misplaced(file: ObjectFile, number: int, code: int) -> CorruptError:
    return CorruptError(
        f"a block pointer does not belong where it stands: {bpcheck.TEXT[code]}",
        dataset=file.dnode.objset.name or None,
        object=file.dnode.number,
        block=number,
    )
