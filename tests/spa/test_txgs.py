"""What a pool can be gone back to."""

from __future__ import annotations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.label import DATA_START


def test_every_txg_of_the_rewind_pool_is_intact(pools) -> None:
    golden = pools("rewind")
    with import_pool(search=golden.dir) as pool:
        found = pool.txgs("all")
        assert {str(one.txg) for one in found if one.intact} == set(golden.manifest["rewinds"])
        assert [one.txg for one in found] == sorted((one.txg for one in found), reverse=True)
        assert [one.current for one in found].index(True) == 0
        assert all(one.copies == 4 and one.timestamp for one in found)
        assert all(one.intact is None for one in pool.txgs(None))


@pytest.mark.parametrize("depth", ["root", "mos", "all"])
def test_what_is_listed_as_intact_can_be_opened(pools, depth: str) -> None:
    golden = pools("version28")
    with import_pool(search=golden.dir) as pool:
        found = pool.txgs(depth)
    for one in found[:8]:
        try:
            with import_pool(search=golden.dir, txg=one.txg) as earlier:
                assert earlier.txg == one.txg
                opened = bool(list(earlier.datasets()))
        except PoolError:
            opened = False
        assert opened or not one.intact


def test_damage_is_found_in_each_tree_that_has_it(disks) -> None:
    disk = disks("rewind")[0]
    with import_pool(search=[disk]) as pool:
        before = {one.txg for one in pool.txgs("all") if one.intact}
        objset = pool.spa.dsl.dataset("tank-rewind").objset()
        victim = next(d for d in objset.objects() if d.type == 19 and d.maxblkid and d.blkptr["birth"][0])
        bp = victim.bps(0, 1)
        birth, at = int(bp["birth"][0]), int(blkptr.dva_offset(bp)[0, 0])
    disk.write(DATA_START + at, b"\xa5" * 512)
    with import_pool(search=[disk]) as pool:
        after = {one.txg for one in pool.txgs("all") if one.intact}
        assert all(one.problem for one in pool.txgs("all") if not one.intact)
    assert before - after and all(txg >= birth for txg in before - after)
    assert max(before) not in after
