"""Crash states between txgs: what was acknowledged comes back from intent logs, whole requests at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from uberblock.pool.lab.crash import CrashState, Plan, enumerate_states, sample
from uberblock.pool.lab.explore import Report
from uberblock.pool.lab.promises import KEPT, Promise, Promises
from uberblock.pool.lab.syncrun import SyncOptions, record_sync, sync_explorer
from uberblock.pool.lab.workload import Run, choose
from uberblock.pool.zil.intentlog import IntentLog
from uberblock.pool.zio.output import Output

LAYOUTS = ["single", "mirror", "raidz1", "raidz2", "raidz3", "draid1", "log", "mirrored-log"]
#: With those of test_workload.py, 28,000 states in all.
STATES = 1000


def explored(options: SyncOptions, count: int, **how: Any) -> tuple[Run, Report]:
    run = record_sync(options)
    return run, sync_explorer(run).run(choose(run, count), **how)


@pytest.mark.parametrize("sync", ["standard", "always"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_acknowledged_is_there(layout: str, sync: str) -> None:
    seed = LAYOUTS.index(layout) + 21
    run, report = explored(SyncOptions(layout=layout, seed=seed, txgs=2, steps=9, sync=sync), STATES)
    assert report.states >= STATES * 0.98 and not report.wrong, str(report)
    assert any(mark.text == KEPT for _, mark in run.journal.marks()), "nothing was promised"


@pytest.mark.parametrize("options", [{"sync": "disabled"}, {"logbias": "throughput"}], ids=["disabled", "throughput"])
def test_other_properties(options: dict[str, str]) -> None:
    run, report = explored(SyncOptions(layout="mirrored-log", seed=5, txgs=2, steps=9, **options), 150)
    assert not report.wrong, str(report)
    assert any(mark.text == KEPT for _, mark in run.journal.marks()) == ("sync" not in options)


def test_the_same_seed_gives_the_same_bytes() -> None:
    options = SyncOptions(layout="log", seed=2, txgs=2, steps=6)
    assert record_sync(options).journal.digest() == record_sync(options).journal.digest()


# --- canaries: broken orders are found ---


def found_in(options: SyncOptions, seeds: Sequence[int]) -> Report:
    for seed in seeds:
        run = record_sync(SyncOptions(**{**vars_of(options), "seed": seed}))
        states: list[CrashState] = list(enumerate_states(run.journal, Plan(seed=seed)))
        report = sync_explorer(run).run(sample(states, 1500, seed), stop_after=1)
        if report.wrong:
            return report
    return report


def vars_of(options: SyncOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__dataclass_fields__}


@pytest.mark.parametrize("layout", ["single", "mirror"])
def test_a_log_that_is_not_flushed_is_found(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = IntentLog._store

    def store(self: IntentLog, ready: Any) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(self.dataset.objset.writer, "flush", lambda tops=None: None)
            patch.setattr(Output, "write_durable", Output.write_plain)
            return plain(self, ready)

    monkeypatch.setattr(IntentLog, "_store", store)
    report = found_in(SyncOptions(layout=layout, txgs=2, steps=8, ask=0.6), [1, 2])
    assert report.wrong and "request" in report.violations[0].wrong[0]


def test_a_log_block_before_its_chain_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks of a commit at once, without the flush that comes before the first: parts of a request come back."""

    def store(self: IntentLog, ready: Any) -> bool:
        self._blocks.send(ready.blocks[:1], ready.txg)
        self.dataset.objset.writer.flush(ready.vdevs | {ready.blocks[0].link.vdev})
        for block in ready.blocks:
            block.link.written = True
        return True

    monkeypatch.setattr(IntentLog, "_store", store)
    report = found_in(SyncOptions(layout="single", txgs=3, steps=12, ask=0.5), [1, 2, 3, 4])
    assert report.wrong


# --- the model of promises ---


def file(data: bytes, mode: int = 0o644) -> dict[str, Any]:
    return {"type": "file", "mode": mode, "size": len(data), "data": data}


def test_others_may_be_newer_than_the_last_txg_but_not_newer_than_the_request() -> None:
    promises = Promises()
    nodes = {"a": 1, "b": 2}
    trees = [{"a": file(b"a%d" % n), "b": file(b"b%d" % n)} for n in range(4)]
    for step, tree in enumerate(trees):
        promises.note(step, "p", tree, nodes)
        if step == 1:
            promises.sure(1, "p")
    one = Promise(1, "p", 5, 2, trees[2], nodes, frozenset([1]))
    promises.promise(one)
    for b, right in ((b"b0", False), (b"b1", True), (b"b2", True), (b"b3", False)):
        assert (not promises.differs(one, {"a": file(b"a2"), "b": file(b)})) == right, b
    assert promises.differs(one, {"a": file(b"a1"), "b": file(b"b1")})
    assert promises.differs(one, {"a": file(b"a2")}) and promises.differs(one, {**trees[2], "c": file(b"")})
