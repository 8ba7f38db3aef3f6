"""Blocks of intent logs as a verify sees them: those that are part of a log, claimed or not, and data they point to.

A log block carries its checksum in itself; which copies of it are good only the log can tell. The block behind the end
of a log is allocated and holds anything. Data that records point to counts from the txg on in which a claim would
happen: what is older has been written to its place since, and its block may hold something else by now.

Source: OpenZFS, dsl_scan.c (``dsl_scan_zil``), zil.c (``zil_claim_write``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.zilrecord import Sealed, TxType, Write
from ..zil import chain

if TYPE_CHECKING:
    from ..dsl.dataset import DslDataset
    from ..zil.chain import LogBlock
    from .spa import Spa

Unreadable = Callable[[str, PoolError], None]


@dataclass(frozen=True, slots=True)
class LogPart:
    """One block of a log, and the blocks of data its records point to (with their objects, 0 where encrypted)."""

    name: str
    objset: int
    block: LogBlock
    data: BpArray
    objects: list[int]


def log_parts(spa: Spa, unreadable: Unreadable) -> Iterator[LogPart]:
    """The blocks of every log of a pool.

    Args:
        spa: an open pool.
        unreadable: told of a log that cannot be followed.
    """
    try:
        heads = [dataset for dataset in spa.dsl.datasets(hidden=True, damaged=unreadable) if not dataset.is_snapshot]
    except PoolError as error:
        unreadable("the tree of datasets", error)
        return
    for head in heads:
        if head.is_empty:
            continue
        try:
            yield from _parts(spa, head)
        except PoolError as error:
            unreadable(f"{head.name}, intent log", error)


def _parts(spa: Spa, head: DslDataset) -> Iterator[LogPart]:
    header = chain.header_of(head.objset(raw=True))
    first_txg = header.claim_txg or (spa.uberblock.checkpoint_txg or spa.uberblock.txg) + 1
    for block in chain.read_blocks(spa.zio, header):
        if not block.valid:
            return
        bps, objects = [np.zeros(0, dtype=BLKPTR)], []
        for record in block.records:
            if record.type != TxType.WRITE:
                continue
            if isinstance(record, Write) and record.bp is not None:
                found, number = np.atleast_1d(record.bp), record.object
            elif isinstance(record, Sealed) and record.bps is not None:
                found, number = np.atleast_1d(record.bps), 0
            else:
                continue
            found = found[~blkptr.is_hole(found) & ~blkptr.is_embedded(found) & (found["birth"] >= first_txg)]
            bps.append(found)
            objects += [number] * len(found)
        yield LogPart(head.name, head.obj, block, np.concatenate(bps), objects)
