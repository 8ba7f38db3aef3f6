"""Log space maps: which entries count, and for which metaslab."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool.alloc import spacemap
from uberblock.pool.alloc.logspacemap import Unflushed
from uberblock.pool.alloc.metaslab import geometry
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.spacemap import ENTRY

UNITS = 1 << 15  # of 512 bytes in a metaslab of 16 MiB


def entries(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array([(offset, run, 0, 0, free) for offset, run, free in rows], dtype=ENTRY)


def test_only_what_is_not_flushed_counts() -> None:
    logged = Unflushed(geometry(4 << 24, 24), np.array([0, 10, 12, 11], dtype=np.uint64))
    logged.add(10, entries((5, 1, 0), (UNITS + 5, 2, 0), (2 * UNITS, 4, 0), (3 * UNITS, 8, 0)))
    logged.add(11, entries((3 * UNITS + 100, 16, 0), (UNITS + 5, 1, 1)))
    logged.add(12, entries((2 * UNITS + 50, 32, 0)))
    found = logged.by_metaslab()
    assert {index: spacemap.net(part) // 512 for index, part in found.items()} == {1: 1, 2: 32, 3: 16}
    assert list(spacemap.replay(found[1])) == [((UNITS + 6) * 512, (UNITS + 7) * 512)]


def test_nothing() -> None:
    logged = Unflushed(geometry(1 << 24, 24), np.zeros(1, dtype=np.uint64))
    assert logged.by_metaslab() == {}
    logged.add(5, entries((1, 1, 0)))
    assert logged.by_metaslab() == {}


def test_lies() -> None:
    logged = Unflushed(geometry(2 << 24, 24), np.ones(2, dtype=np.uint64))
    with pytest.raises(CorruptError, match="two metaslabs"):
        logged.add(5, entries((UNITS - 1, 2, 0)), vdev="d0")
    with pytest.raises(CorruptError, match="outside"):
        logged.add(5, entries((2 * UNITS, 1, 0)))
