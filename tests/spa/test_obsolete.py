"""Obsolete bytes of the mappings of removed vdevs."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.spa.obsolete import Mapped, Mismatch
from uberblock.pool.vdev.indirect import IndirectVdev


@pytest.fixture
def mapped() -> Mapped:
    class Vdev:
        id = 1
        name = "indirect-1"
        mapped = (np.array([0, 1000, 3000]), np.array([1000, 2000, 3500]))

    return Mapped(Vdev())  # type: ignore[arg-type]


def ranges(*found: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def test_ranges_are_shared_out_among_entries(mapped: Mapped) -> None:
    mapped.unreferenced(*ranges((500, 1500), (1990, 3010), (3400, 4000), (2000, 3000)))
    mapped.unreferenced(*ranges())
    assert mapped.found.tolist() == [500, 510, 110] and mapped.size == 2500


def test_mismatches(mapped: Mapped) -> None:
    mapped.unreferenced(*ranges((0, 1000)))
    assert list(mapped.mismatches(np.array([900, 0, 100]))) == [
        Mismatch(0, 1000, 1000, 900),
        Mismatch(3000, 500, 0, 100),
    ]


@pytest.mark.parametrize(
    ("spans", "starts"),
    [([(0, 1)], [0]), ([(999, 1001)], [0, 1000]), ([(2000, 3000)], []), ([(0, 10), (3000, 9000)], [0, 1000, 3000])],
)
def test_within(mapped: Mapped, spans: list[tuple[int, int]], starts: list[int]) -> None:
    assert mapped.within(spans)[0].tolist() == starts


def test_a_pool_counts_what_is_obsolete(pools) -> None:
    with import_pool(search=pools("removal").dir) as pool:
        spa = pool.spa
        (vdev,) = [top for top in spa.tree.tops if isinstance(top, IndirectVdev)]
        mapped = Mapped(vdev)
        counted = mapped.counted(spa.mos, spa.directory)
        assert mapped.precise(spa.mos)
        assert len(counted) == len(mapped.starts) and (counted <= mapped.ends - mapped.starts).all()
        assert counted.sum() > 0
