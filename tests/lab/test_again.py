"""Recovery is recovered from: a crash during the import after a crash, twice in a row, comes to the same content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.lab.again import record_recovery
from uberblock.pool.lab.crash import States
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.save import read_image
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.lab.syncrun import SyncOptions, record_sync
from uberblock.pool.lab.workload import choose
from uberblock.pool.spa.logs import waiting_logs
from uberblock.pool.zil import chain


def waits(contents: list[Pages]) -> int:
    """How many records of logs wait on these disks; -1: there is no pool."""
    try:
        with import_pool(None, [SimDisk(one.fork(), f"d{n}") for n, one in enumerate(contents)]) as pool:
            logs = waiting_logs(pool.spa)
            return sum(len(block.records) for log in logs for block in chain.read_blocks(pool.spa.zio, log.header))
    except PoolError:
        return -1


@pytest.mark.parametrize("layout", ["single", "mirrored-log", "raidz1"])
def test_of_our_own_logs(layout: str) -> None:
    run = record_sync(SyncOptions(layout=layout, seed=4, txgs=2, steps=10, ask=0.5))
    names = [disk.name for disk in run.journal.disks]
    builder = States(run.journal)
    full = max((builder.build(state) for state in choose(run, 30)), key=waits)
    assert waits(full) > 2
    first = record_recovery(full, names, seed=1)
    assert first.problems == ()
    states = first.states(12, seed=1)
    assert list(first.wrong(states)) == []
    # And once more, from the middle of the first one.
    for state in states[len(states) // 3 :: len(states) // 3]:
        second = record_recovery(first.left(state), names, seed=2)
        assert second.content == first.content
        assert list(second.wrong(second.states(3, seed=2))) == []


@pytest.mark.parametrize("kind", ["zil", "zil-slog"])
def test_of_logs_that_openzfs_left(pools: Any, tmp_path: Path, kind: str) -> None:
    pools(kind).copy(tmp_path)
    images = sorted(tmp_path.glob("*.img"))
    first = record_recovery([read_image(path) for path in images], [path.name for path in images], seed=1)
    states = first.states(3, seed=3)
    assert list(first.wrong(states)) == []
