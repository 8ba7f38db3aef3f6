"""Disks that are no files are flushed one after the other: a recorded run is the same each time."""

from __future__ import annotations

import pytest
from uberblock.pool.env import Env
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.poolcreate import create_pool
from uberblock.pool.zio import output


def test_simulated_disks_are_flushed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("threads for disks that wait for nothing")

    monkeypatch.setattr(output, "ThreadPoolExecutor", refuse)
    _, words = make_disks("raidz1", Journal())
    with create_pool("lab", words, env=Env.fixed(1), txg_seconds=0, threads=1) as pool:
        pool.fs().write_bytes("/a", b"a")
        pool.fs().fsync("/a")
        pool.fs().mkdir("/b")
        pool.fs().fsync("/b")
