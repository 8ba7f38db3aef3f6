"""Counting block pointers: sums, histograms, and rows as zdb has them."""

from __future__ import annotations

import numpy as np
from uberblock.pool.ondisk.blkptr import BLKPTR, BpArray
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.spa.blockstats import DEFERRED, OTHER, BlockStats

EMBEDDED = 1 << 39


def pointer(kind: int, level: int, lsize: int, psize: int, *dvas: tuple[int, int, int], gang: bool = False) -> BpArray:
    """One pointer; addresses are (vdev, offset, bytes)."""
    bp = np.zeros(1, dtype=BLKPTR)
    bp["prop"] = (lsize >> 9) - 1 | (psize >> 9) - 1 << 16 | kind << 48 | level << 56 | 1 << 63
    for copy, (vdev, offset, size) in enumerate(dvas):
        bp["dva"][0, copy] = (vdev << 32 | size >> 9, offset >> 9 | int(gang) << 63)
    return bp


def test_sums_by_type_and_level() -> None:
    stats = BlockStats([24, 24], sectors=True)
    data = pointer(ObjectType.PLAIN_FILE_CONTENTS, 0, 131072, 4096, (0, 0, 4096))
    above = pointer(ObjectType.PLAIN_FILE_CONTENTS, 1, 16384, 1024, (0, 8192, 1024), (0, 16384, 1024))
    stats.add(np.concatenate([data, data, above]))
    stats.add(pointer(0xC4, 0, 4096, 4096, (0, 0, 4096), (1, 0, 4096), (1, 1 << 24, 4096)))
    stats.add(data, deferred=True)
    file = stats.of(ObjectType.PLAIN_FILE_CONTENTS)
    assert (file.count, file.lsize, file.psize, file.asize) == (3, 278528, 9216, 10240)
    assert stats.of(ObjectType.PLAIN_FILE_CONTENTS, 1).same_metaslab == 1
    other = stats.of(OTHER)
    assert (other.count, other.same_vdev, other.same_metaslab) == (1, 1, 0)
    assert stats.of(DEFERRED).count == 1 and stats.total.count == 5 and stats.at_level(1).count == 1
    # Indirect blocks are metadata, freely numbered types are in a row of their own.
    assert stats.metadata().count == 1
    assert stats.sectors(ObjectType.PLAIN_FILE_CONTENTS)[2] == 1 and stats.sectors(None)[8] == 4
    psize = stats.sizes[0]
    assert psize[0, 12] == 4 and psize[1, 12] == 16384 and psize[0, 10] == 1


def test_embedded_blocks_have_no_size_elsewhere() -> None:
    stats = BlockStats([24])
    bp = np.zeros(1, dtype=BLKPTR)
    bp["prop"] = 99 | 29 << 25 | EMBEDDED | int(ObjectType.PLAIN_FILE_CONTENTS) << 48 | 1 << 63
    bp["dva"] = (1 << 64) - 1  # bytes of the block
    stats.add(bp)
    total = stats.total
    assert (total.count, total.lsize, total.psize, total.asize, total.gangs) == (1, 100, 0, 0, 0)
    assert stats.embedded[0, 30] == 1 and not stats.sizes.any()


def test_gangs_and_large_sizes() -> None:
    stats = BlockStats([24], sectors=True)
    stats.add(pointer(ObjectType.ZVOL, 0, 16 << 20, 16 << 20, (0, 0, 1 << 30), (5, 0, 512), gang=True))
    assert stats.total.gangs == 2 and stats.sectors(None)[-1] == 1
    assert stats.sizes[2][0, 30] == 1 and stats.sizes[1][0, 24] == 1


def test_nothing() -> None:
    stats = BlockStats([])
    stats.add(np.zeros(0, dtype=BLKPTR))
    assert stats.total.count == 0 and stats.sectors(None) == []
