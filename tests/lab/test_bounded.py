"""Workloads of a few operations: which there are, and that nothing is wrong with them at any moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from uberblock.pool.cli.main import main
from uberblock.pool.errors import NoSpaceError
from uberblock.pool.lab.bounded import OPERATIONS, REQUESTS, Bounded, BoundedRuns, workloads
from uberblock.pool.lab.syncrun import SyncOptions
from uberblock.pool.vfswrite import MutableVfs
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


def test_processes_find_the_same() -> None:
    one, two = BoundedRuns(SyncOptions()), BoundedRuns(SyncOptions())
    works = [Bounded(("chmod a",), "fsync a"), Bounded(("rmdir d/f",), "nothing"), Bounded(("symlink s",), "syncfs")]
    assert list(one.explore_all(works)) == list(two.explore_all(works, processes=2)) == [(work, []) for work in works]
    counts = [(runs.report.states, runs.report.checked, runs.report.by_word) for runs in (one, two)]
    assert counts[0] == counts[1] and counts[0][0] > 10


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_workload_that_cannot_be_done_is_wrong(
    processes: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: object, *args: object) -> None:
        raise NoSpaceError("no room", "remove something")

    monkeypatch.setattr(MutableVfs, "chmod", refuse)
    line = "chmod a; syncfs"
    assert main(["lab", "bounded", "--workload", line, "--processes", processes, "-q"]) == 1
    said = capsys.readouterr().out
    assert "cannot be done: no room" in said and 'again: uberblock lab bounded --layout "single"' in said
    assert line in said


def test_command(capsys: Any) -> None:
    assert main(["lab", "bounded", "--workload", "chmod a; syncfs", "-j"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["workloads"] == 1 and found["states"] >= 5 and found["wrong"] == []
    for wrong in (["--workload", "fly; sync"], ["--count", "-1"], ["--processes", "-2"]):
        assert main(["lab", "bounded", *wrong]) == 2
