"""All published permutation maps come out as they should."""

from __future__ import annotations

import pytest
from uberblock.pool.errors import PoolError
from uberblock.pool.vdev import draid_maps


def test_every_map_has_its_checksum() -> None:
    for children in range(draid_maps.MIN_CHILDREN, draid_maps.MAX_CHILDREN + 1):
        rows = draid_maps.permutations(children)
        assert len(rows) == children * (256 if children <= 31 else 512)
        for row in (0, len(rows) // children - 1):
            assert sorted(rows[row * children : (row + 1) * children]) == list(range(children))
    assert len({seed for seed, _ in draid_maps.MAPS}) == len(draid_maps.MAPS)


def test_a_wrong_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draid_maps, "MAPS", ((1, 2), *draid_maps.MAPS[1:]))
    draid_maps.permutations.cache_clear()
    with pytest.raises(PoolError, match="permutation"):
        draid_maps.permutations(2)
    draid_maps.permutations.cache_clear()
