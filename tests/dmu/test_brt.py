"""Block reference tables of a real pool against its pointers, and lies."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from uberblock.pool.dmu import brt
from uberblock.pool.dmu.traverse import walk
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk import zap as ondisk_zap
from uberblock.pool.ondisk.dnode import DnodePhys
from uberblock.pool.ondisk.zap import MicroZap, ZapEntry

from .conftest import MemoryZio, Opened, build_objset, build_tree


def test_references_are_the_pointers(opened: Callable[[str], Opened]) -> None:
    """A block that the table counts n further references of is pointed to n + 1 times."""
    pool = opened("block-cloning")
    (table,) = brt.tables(pool.mos, pool.directory)
    offsets, refs = (np.concatenate(part) for part in zip(*table.batches()))
    wanted = dict(zip(offsets.tolist(), refs.tolist()))
    assert len(wanted) == table.header.total == int(table.counts().sum())
    per_range = np.bincount(offsets // np.uint64(table.header.range_size), minlength=table.header.ranges)
    assert table.counts().tolist() == per_range.tolist()
    counted: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for ds in pool.spa.dsl.datasets(hidden=True):
        for visit in walk(pool.spa.zio, ds.bp, objset_id=ds.obj, birth_after=ds.phys.prev_snap_txg):
            whole = visit.bps[~blkptr.is_embedded(visit.bps) & (visit.level == 0)]
            for at, size in zip(blkptr.dva_offset(whole)[:, 0].tolist(), blkptr.dva_asize(whole)[:, 0].tolist()):
                counted[at] = counted.get(at, 0) + 1
                sizes[at] = size
    assert {at: n for at, n in counted.items() if at in wanted} == {at: n + 1 for at, n in wanted.items()}
    assert table.header.used_bytes == sum(sizes[at] for at in wanted)
    assert table.header.saved_bytes == sum(sizes[at] * n for at, n in wanted.items())


def directory(zio: MemoryZio, name: str) -> DnodePhys:
    raw = ondisk_zap.encode_micro(MicroZap(1, 0, [ZapEntry(name.encode(), 8, (2,))]), 512)
    return build_tree(zio, {0: raw}, nlevels=1, kind=1)


def test_lies() -> None:
    zio = MemoryZio()
    bonus = struct.pack("<7Q", 3, 257, 0, 0, 1 << 24, 0, 0)
    counts = build_tree(zio, {0: bytes(512)}, nlevels=1, kind=0xC3, bonus=bonus)
    names = build_tree(zio, {0: ondisk_zap.encode_micro(MicroZap(1, 0), 512)}, nlevels=1, kind=0xC4)
    mos = build_objset(zio, {1: directory(zio, "com.fudosecurity:brt:vdev:0"), 2: counts, 3: names})
    with pytest.raises(CorruptError, match="shorter"):
        list(brt.tables(mos, Zap(mos.dnode(1))))
    counts.bonus = struct.pack("<7Q", 3, 256, 0, 0, 1 << 24, 0, 0)
    mos = build_objset(zio, {1: directory(zio, "com.fudosecurity:brt:vdev:0"), 2: counts, 3: names})
    (table,) = brt.tables(mos, Zap(mos.dnode(1)))
    assert table.vdev == 0 and len(table.counts()) == 256
    with pytest.raises(CorruptError, match="not a table of numbers"):
        list(table.batches())
    mos = build_objset(zio, {1: directory(zio, "com.fudosecurity:brt:vdev:x"), 2: counts})
    with pytest.raises(CorruptError, match="impossible"):
        list(brt.tables(mos, Zap(mos.dnode(1))))
