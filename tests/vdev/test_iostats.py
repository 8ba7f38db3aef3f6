"""Counters of leaves: sums of what was handed over, whenever they are asked for."""

from __future__ import annotations

from threading import Thread

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.vdev.iostats import COLUMNS_MAX, IoStats, LeafIo
from uberblock.pool.vdev.layout import COLUMN, Columns

ROW = st.tuples(st.integers(-1, 4), st.integers(-1, 2), st.sampled_from([0, 512, 4096, 1 << 20]))
BATCH = st.tuples(st.sampled_from(["read", "all", "written"]), st.lists(ROW, max_size=12))


def columns_of(rows: list[tuple[int, int, int]]) -> Columns:
    columns = np.zeros(len(rows), COLUMN)
    for at, (leaf, parity, size) in enumerate(rows):
        columns[at] = (leaf, parity, 1 << 20, 0, size, size)
    return columns


@given(st.lists(BATCH, max_size=20))
def test_sums(batches: list[tuple[str, list[tuple[int, int, int]]]]) -> None:
    stats, model = IoStats(), [LeafIo()] * 5
    for kind, rows in batches:
        if kind == "written":
            stats.written(columns_of(rows))
        else:
            stats.read(columns_of(rows), parity=kind == "all")
        for leaf, parity, size in rows:
            if leaf < 0 or not size or (kind == "read" and parity >= 0):
                continue
            model[leaf] += LeafIo(writes=1, write_bytes=size) if kind == "written" else LeafIo(1, size)
    assert [stats.of(leaf) for leaf in range(5)] == model


def test_parity_of_some_columns() -> None:
    stats = IoStats()
    stats.read(columns_of([(0, 0, 512), (1, -1, 512), (0, 0, 512)]), np.array([False, False, True]))
    assert (stats.of(0), stats.of(1)) == (LeafIo(1, 512), LeafIo(1, 512))


def test_other_operations_and_differences() -> None:
    stats = IoStats()
    stats.count(3, writes=4, size=4096)
    stats.count(3, flushes=1)
    before = stats.of(3)
    stats.count(3, reads=2, size=100)
    assert before == LeafIo(writes=4, write_bytes=4096, flushes=1) and stats.of(3) - before == LeafIo(2, 100)
    assert stats.of(2) == stats.of(9) == LeafIo()


def test_threads_lose_nothing() -> None:
    stats, rounds = IoStats(), 400
    batch = columns_of([(0, -1, 512)] * (COLUMNS_MAX // 64))

    def work() -> None:
        for _ in range(rounds):
            stats.written(batch)
            stats.of(0)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.of(0).writes == 4 * rounds * len(batch)
