"""Ranges that pointers hold: addresses, gang headers and their pieces."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError, PoolError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.blkptr import BLKPTR
from uberblock.pool.spa import extents
from uberblock.pool.spa.references import references
from uberblock.pool.zio import gang


def raised(what: object, error: PoolError) -> None:
    raise AssertionError(f"{what}: {error}")


def test_what_gangs_hold_adds_up(pools) -> None:
    """A gang block's allocated size is that of its headers and pieces together."""
    with import_pool(search=pools("ganging").dir) as pool:
        gangs = 0
        for batch in references(pool.spa, raised):
            found = extents.held(pool.spa.zio, batch.bps, raised)
            size = np.zeros(len(batch), dtype=np.int64)
            np.add.at(size, found.row, found.end - found.start)
            asize = blkptr.dva_asize(batch.bps).sum(axis=1).astype(np.int64)
            asize[blkptr.is_embedded(batch.bps)] = 0
            assert size.tolist() == asize.tolist()
            gangs += int(blkptr.is_gang(batch.bps).sum())
            pieces = found.copy == extents.PIECE
            assert set(found.row[pieces].tolist()) == set(np.flatnonzero(blkptr.is_gang(batch.bps)).tolist())
        assert gangs > 0


def test_offsets_beyond_bytes_are_marked(pools) -> None:
    bps = np.zeros(2, dtype=BLKPTR)
    bps["dva"][:, 0] = [(8, (1 << 63) - 1), (8, 16)]
    with import_pool(search=pools("rewind").dir) as pool:
        found = extents.held(pool.spa.zio, bps, raised)
    assert (found.start.tolist(), found.end.tolist()) == ([-1, 8192], [4095, 12288])
    vdev, offset = extents.first_address(np.concatenate([bps, np.zeros(1, dtype=BLKPTR)]))
    assert (vdev.tolist(), offset.tolist()) == ([-1, 0, -1], [-1, 8192, -1])


def test_a_lost_header_is_told(pools) -> None:
    told: list[tuple[int, PoolError]] = []
    bps = np.zeros(2, dtype=BLKPTR)
    bps["prop"] = 1 << 63 | 2 << 32 | 7 << 40 | 19 << 48
    bps["dva"][:, 0] = [(8, 16), (8, 1 << 63 | 1 << 15)]
    with import_pool(search=pools("rewind").dir) as pool:
        found = extents.held(pool.spa.zio, bps, lambda row, error: told.append((row, error)))
    assert [row for row, _ in told] == [1] and "gang header" in str(told[0][1])
    assert (found.end - found.start).tolist() == [4096, 512]


def test_gangs_without_end(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers that lead to headers, each to three more: as deep as gangs may be, and no further."""
    told: list[PoolError] = []
    one = np.zeros(3, dtype=BLKPTR)
    one["dva"][:, 0] = (8, 1 << 63 | 64)
    monkeypatch.setattr(gang, "header", lambda zio, bp: gang.Header(one, 512))
    with import_pool(search=pools("rewind").dir) as pool:
        extents.held(pool.spa.zio, one[:1], lambda row, error: told.append(error))
    assert told and all(isinstance(error, CorruptError) for error in told)
