"""A journal of commits made by OpenZFS: how it would have written the txgs that an image still holds.

The image keeps several txgs whole. The disk begins as the first of them left it: later blocks and uberblocks are
zeros. Then, for each later txg: its new blocks, a flush, the uberblock into four labels, a flush, a mark. ``flaws``
leave out or swap what a broken engine would.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uberblock.pool import import_pool
from uberblock.pool.lab.checker import SYNCED, observe
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.model import Content, History
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.save import read_image
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.spa.extents import held
from uberblock.pool.spa.references import references

Ranges = set[tuple[int, int]]  # offset on the disk, length


@dataclass(frozen=True)
class Recorded:
    """The journal, what should be there, and the txgs."""

    journal: Journal
    history: History
    txgs: list[int]


def record(image: Path, txgs: list[int], flaws: Collection[str] = ()) -> Recorded:
    """Make the journal of a pool on one disk.

    Args:
        image: of the disk.
        txgs: whole ones, ascending.
        flaws: ``no flush before``, ``no flush after``, ``uberblock first``, ``reused at once``, ``leak``.
    """
    blocks, contents = zip(*(look(image, txg) for txg in txgs))
    source = read_image(image)
    every: Ranges = set().union(*blocks)
    journal, history = Journal(), History()
    start = source.fork()
    for offset, length in every - blocks[0]:
        start.zero(offset, length)
    keep_labels(start, txgs[0])
    disk = SimDisk(start, "d0", journal)
    history.commit(txgs[0], contents[0])
    journal.mark(SYNCED, txg=txgs[0])
    for place in range(1, len(txgs)):
        history.commit(txgs[place], contents[place])
        commit(disk, source, txgs[place], blocks[place - 1], blocks[place], flaws)
    return Recorded(journal, history, txgs)


def commit(disk: SimDisk, source: Pages, txg: int, before: Ranges, after: Ranges, flaws: Collection[str]) -> None:
    """One txg."""
    new = sorted(after - before)
    if "uberblock first" in flaws:
        write_uberblocks(disk, source, txg)
        disk.flush()
    if "reused at once" in flaws:  # by a block of the next txg
        offset, length = min(before - after)
        disk.write(offset, b"\xa5" * length)
    for offset, length in new:
        disk.write(offset, source.read(offset, length))
    if "no flush before" not in flaws:
        disk.flush()
    if "uberblock first" not in flaws:
        write_uberblocks(disk, source, txg)
        if "no flush after" not in flaws:
            disk.flush()
    disk.journal.mark(SYNCED, txg=txg)


def look(image: Path, txg: int) -> tuple[Ranges, Content]:
    """Where the blocks of a txg's tree lie, and its content."""
    found: Ranges = set()
    with import_pool(search=[image], txg=txg) as pool:
        assert pool.txg == txg
        for batch in references(pool.spa, lambda what, error: None):
            bps = batch.bps[~blkptr.is_embedded(batch.bps)]
            extents = held(pool.spa.zio, bps, lambda row, error: None)
            starts = extents.start + label.DATA_START
            found |= set(zip(starts.tolist(), (extents.end - extents.start).tolist()))
        return found, observe(pool)


def slots(source: Pages) -> list[tuple[int, int, bytes]]:
    """(txg, offset, bytes) of every uberblock."""
    result = []
    for index in range(label.LABELS):
        at = label.offset(source.size, index)
        ring = source.read(at + label.RING_OFFSET, label.RING_SIZE)
        positions, records = uberblock.peek(ring)
        size = int(np.diff(positions).min())
        for position, found in zip(positions.tolist(), records):
            where = at + label.RING_OFFSET + position
            result.append((int(found["txg"]), where, ring[position : position + size]))
    return result


def keep_labels(disk: Pages, txg: int) -> None:
    """Make the labels those of an older txg: no newer uberblock, no newer configuration."""
    for found, offset, data in slots(disk):
        if found > txg:
            disk.zero(offset, len(data))
    for index in range(label.LABELS):
        at = label.offset(disk.size, index)
        config = label.decode(disk.read(at, label.LABEL_SIZE), at, index).config
        assert config is not None
        config["txg"], config["state"] = txg, label.STATE_ACTIVE
        disk.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))


def write_uberblocks(disk: SimDisk, source: Pages, txg: int) -> None:
    """The txg's uberblock into all labels."""
    for found, offset, data in slots(source):
        if found == txg:
            disk.write(offset, data)
