"""Workloads of a few operations: which there are, and that nothing is wrong with them at any moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from uberblock.pool.cli.main import main
from uberblock.pool.lab.bounded import OPERATIONS, REQUESTS, Bounded, BoundedRuns, workloads
from uberblock.pool.lab.syncrun import SyncOptions
from uberblock.pool.zil.intentlog import IntentLog


def test_which_there_are() -> None:
    one = workloads(1)
    assert len(one) == len(OPERATIONS) * len(REQUESTS), "each can be done at the beginning"
    two = {work.operations for work in workloads(2)}
    assert ("unlink a", "link a as d/a") not in two and ("unlink a", "unlink b") in two
    assert workloads(3, 5, seed=2) == workloads(3, 5, seed=2) != workloads(3, 5, seed=3)
    assert all(Bounded.parse(str(work)) == work for work in one)
    for line in ("", "unlink a", "fly; sync", "unlink a; hope"):
        with pytest.raises(ValueError, match="is no workload"):
            Bounded.parse(line)


@pytest.mark.parametrize(("length", "count", "layout"), [(1, 7, "single"), (2, 4, "mirrored-log"), (3, 3, "single")])
def test_nothing_is_wrong(length: int, count: int, layout: str) -> None:
    runs = BoundedRuns(SyncOptions(layout=layout))
    for work in workloads(length, count, seed=length):
        assert list(runs.explore(work)) == [], str(work)
    assert runs.report.states >= 2 * count


def test_a_broken_log_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntentLog, "_store", lambda self, ready: True)
    runs = BoundedRuns(SyncOptions())
    wrong = list(runs.explore(Bounded(("write a over its end",), "fsync a")))
    assert wrong and runs.wrong


def test_command(capsys: Any) -> None:
    assert main(["lab", "bounded", "--workload", "chmod a; syncfs", "-j"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["workloads"] == 1 and found["states"] >= 5 and found["wrong"] == []
    assert main(["lab", "bounded", "--workload", "fly; sync"]) == 2
