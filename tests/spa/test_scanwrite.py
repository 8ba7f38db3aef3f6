"""A scrub or resilver that OpenZFS has not finished begins anew after the pool was changed here."""

from __future__ import annotations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.dmu.mutablezap import MutableZap, create_zap
from uberblock.pool.env import Env
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.spa.scanstate import RESILVER, SCRUB

MINUS_ONE = (1 << 64) - 1
PAUSED = 2


@pytest.mark.parametrize("func", [SCRUB, RESILVER])
def test_a_scan_in_the_middle_begins_anew(func: int) -> None:
    disks, env = [SimDisk(64 << 20, name) for name in ("d0", "d1")], Env.fixed(1)
    pool = create_pool("lab", ["mirror", *disks], env=env, txg_seconds=0)
    mos = pool.engine.mos
    with pool.transaction():
        queue = create_zap(mos, ObjectType.SCAN_QUEUE, env.random_bytes).dnode
        for dataset in (54, 60):
            MutableZap(mos.dnode(queue.number)).add(f"{dataset:x}", 1)
        words = [func, 1, queue.number, 1, 6, 2, 5, 100, 0, 5000, 4000, 30, 20, 1]
        words += [5, 1, 3, 0, 0, 54, 2, 0, 7, PAUSED | 1]
        MutableZap(mos.dnode(1)).add("scan", words)
    pool.close()
    pool = open_pool("lab", disks, env=env, txg_seconds=0)
    pool.tree.leaves[1].set_dtl([7, 9], [8, 12])
    pool.fs().write_bytes("a", b"x")
    pool.close()
    assert any("anew" in note for note in pool.notes)
    with import_pool("lab", disks) as reader:
        found = list(reader.spa.directory.words("scan"))
        txgs = [6, 12] if func == RESILVER else [1, 6]
        assert found[:7] == [func, 1, queue.number, *txgs, 0, 0] and found[7] == env.now()
        assert found[8:10] == [0, 5000] and not any(found[10:14]) and found[14] == 5 and not any(found[15:23])
        assert found[23] == PAUSED
    with open_pool("lab", disks, env=env, txg_seconds=0) as pool:
        assert not list(MutableZap(pool.engine.mos.dnode(queue.number)).items())


def test_a_finished_scan_stays_as_it_is() -> None:
    disk, env = SimDisk(64 << 20, "d0"), Env.fixed(1)
    pool = create_pool("lab", [disk], env=env, txg_seconds=0)
    words = [SCRUB, 2, 0, 0, 30, 1, 30, 7, 8, 26099712, 25878528, 0, 0, 0, 5, 1, 3, 0, 0, MINUS_ONE, 0, 0, 0, 0]
    with pool.transaction():
        MutableZap(pool.engine.mos.dnode(1)).add("scan", words)
    pool.close()
    pool = open_pool("lab", [disk], env=env, txg_seconds=0)
    pool.fs().write_bytes("a", b"x")
    pool.close()
    with import_pool("lab", [disk]) as reader:
        assert list(reader.spa.directory.words("scan")) == words
