"""Removed vdevs: state and mappings of a real pool."""

from __future__ import annotations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa import removal
from uberblock.pool.spa.removal import STATE_FINISHED, Removal
from uberblock.pool.vdev.indirect import IndirectVdev


def test_a_real_removal(pools) -> None:
    with import_pool(search=pools("removal").dir) as pool:
        found = pool.spa.removal
        assert found.state == STATE_FINISHED and found.vdev == 1 and found.copied > 1 << 20
        assert found.mapping_memory == 432
        (gone,) = [top for top in pool.tree.tops if isinstance(top, IndirectVdev)]
        assert gone.targets() == [pool.tree.tops[0]]


def test_nothing_removed(pools) -> None:
    with import_pool(search=pools("mirror").dir) as pool:
        assert pool.spa.removal is None


def test_mappings_that_are_missing(pools) -> None:
    with import_pool(search=pools("removal").dir) as pool:
        (gone,) = [top for top in pool.tree.tops if isinstance(top, IndirectVdev)]
        for number in (0, "text", None):
            gone.config = NVList({**gone.config, removal.INDIRECT_OBJECT: number})
            with pytest.raises(CorruptError, match="no mapping"):
                removal.load_mappings(pool.tree, pool.spa.mos, pool.spa.directory)


class Gone:
    def __init__(self, previous: int | None) -> None:
        self.config = {} if previous is None else {removal.PREVIOUS: previous}


def test_the_last_removed_is_loaded_first() -> None:
    state = Removal(STATE_FINISHED, 4, 2, 0, 0, 0, 0)
    vdevs = {1: Gone(None), 2: Gone(1), 4: Gone(2)}
    assert removal._order(state, vdevs) == [4, 2, 1]
    running = Removal(1, 5, 4, 0, 0, 0, 0)
    assert removal._order(running, vdevs) == [4, 2, 1]
    assert removal._order(None, vdevs) == [4, 2, 1]
    loop = {1: Gone(2), 2: Gone(1), 7: Gone(None)}
    assert removal._order(Removal(STATE_FINISHED, 1, 0, 0, 0, 0, 0), loop) == [1, 2, 7]
