"""Replaying space maps against a model that goes entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.alloc import spacemap
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.spacemap import ENTRY


def entries(rows: list[tuple[int, int, bool]]) -> np.ndarray:
    return np.array([(offset, run, 5, 0, free) for offset, run, free in rows], dtype=ENTRY)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=25), st.integers(0, 3))
def test_as_the_model(rows: list[tuple[int, int]], shift: int) -> None:
    """Whatever a range's cells are, they are made the opposite, piece by piece: always a possible history."""
    state: set[int] = set()
    history = []
    for offset, run in rows:
        for cell in range(offset, offset + run):
            history.append((cell, 1, cell in state))
            state ^= {cell}
    found = spacemap.changes(entries(history), shift, 1000, 64 << shift)
    allocated = spacemap.replay(found)
    unit = 1 << shift
    assert allocated.total == unit * len(state) == spacemap.net(found)
    cells = np.array(sorted(state), dtype=np.uint64) * np.uint64(unit) + np.uint64(1000)
    assert allocated.contains(cells, cells + np.uint64(unit)).all()


def test_a_condensed_map() -> None:
    rows = [(0, 1000, False), *((i, 1, True) for i in range(1, 1000, 2))]
    allocated = spacemap.replay(spacemap.changes(entries(rows), 9, 0, 512000))
    assert len(allocated) == 500 and allocated.total == 256000


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(3, 2, False), (4, 2, False)], "allocated twice"),
        ([(3, 2, True)], "was not allocated"),
        ([(3, 2, False), (3, 2, True), (4, 1, True)], "was not allocated"),
    ],
)
def test_contradictions(rows: list[tuple[int, int, bool]], text: str) -> None:
    with pytest.raises(CorruptError, match=text) as caught:
        spacemap.replay(spacemap.changes(entries(rows), 9, 0, 1 << 20), vdev="d0")
    assert caught.value.where["vdev"] == "d0"


@pytest.mark.parametrize("row", [(2048, 1, False), (2047, 2, True), (1 << 63, 1, False), (1, (1 << 64) - 1, False)])
def test_entries_outside(row: tuple[int, int, bool]) -> None:
    with pytest.raises(CorruptError, match="outside"):
        spacemap.changes(entries([row]), 9, 0, 1 << 20)


def test_joining() -> None:
    one = spacemap.changes(entries([(3, 2, False)]), 0, 0, 100)
    two = spacemap.changes(entries([(3, 1, True)]), 0, 0, 100)
    assert list(spacemap.replay(spacemap.joined([one, two]))) == [(4, 5)]
    assert not spacemap.replay(spacemap.joined([]))
