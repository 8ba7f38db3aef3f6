"""Recorded runs of our own engine: the same seed gives the same bytes, every crash state is whole, and an engine whose
order is broken on purpose is found out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from uberblock.kernels.rangetree import RangeTree
from uberblock.pool import import_pool
from uberblock.pool.alloc.livemetaslab import LiveMetaslab
from uberblock.pool.errors import UsageError
from uberblock.pool.lab.checker import examine, judge
from uberblock.pool.lab.crash import CrashState, Plan, enumerate_states, parse
from uberblock.pool.lab.explore import Explorer, Report
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import LAYOUTS, make_disks, words_of
from uberblock.pool.lab.save import save
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.lab.workload import Recorder, Run, RunOptions, choose, record
from uberblock.pool.vdev import labels
from uberblock.pool.zio.writer import ZioWriter

#: Seeds of the long run; see docs/lab.md.
LONG = int(os.environ.get("UBERBLOCK_CRASH_SEEDS", "0"))


def explored(run: Run, states: int | None = None, **how: int) -> Report:
    explorer = Explorer(run.journal, run.history)
    every = choose(run, states) if states else list(enumerate_states(run.journal, Plan(random_sets=6)))
    return explorer.run(every, **how)


# --- runs -------------------------------------------------------------------------------------------------------------


def test_layouts() -> None:
    journal = Journal()
    disks, words = make_disks("mirror . . log .", journal, size=1 << 20)
    assert words == ["mirror", disks[0], disks[1], "log", disks[2]]
    assert [disk.name for disk in journal.disks] == ["d0", "d1", "d2"]
    assert words_of("raidz1") == ["raidz1", ".", ".", "."]
    with pytest.raises(UsageError, match="no layout"):
        words_of("heap")


def test_same_seed_same_bytes() -> None:
    options = RunOptions(layout="mirror", seed=3, txgs=3)
    one, two, other = record(options), record(options), record(RunOptions(layout="mirror", seed=4, txgs=3))
    assert one.journal.digest() == two.journal.digest() != other.journal.digest()
    assert one.steps == two.steps and len(one.steps) > 10


def test_content_that_states_share_is_kept_once() -> None:
    run = record(RunOptions(layout="single", seed=3, txgs=3))
    explorer = Explorer(run.journal, run.history)
    every = [explorer.found(state).content for state in choose(run, 60)]
    trees = [tree for content in every for tree in content.values()]
    kept = {id(facts["data"]): facts["data"] for tree in trees for facts in tree.values() if "data" in facts}
    assert len(set(kept.values())) == len(kept) > 10


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_a_run_ends_as_its_model_says(layout: str) -> None:
    run = record(RunOptions(layout=layout, seed=11, txgs=3))
    found = examine([SimDisk(disk.content.fork(), disk.name, readonly=True) for disk in run.disks])
    assert judge(found, run.history, [mark for _, mark in run.journal.marks()]) == []
    assert len(found.content) >= 1 and sum(map(len, found.content.values())) > 4


def test_a_group_given_up_leaves_nothing() -> None:
    recorder = Recorder(RunOptions(seed=5))
    before = recorder.content()
    while "group is given up" not in recorder.run.steps:
        before = recorder.content()
        recorder.step()
    assert recorder.content() == before
    recorder.sync()
    found = examine([SimDisk(disk.content.fork(), disk.name) for disk in recorder.run.disks])
    assert judge(found, recorder.run.history, [mark for _, mark in recorder.run.journal.marks()]) == []


# --- crash states -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_every_crash_state_is_whole(layout: str) -> None:
    report = explored(record(RunOptions(layout=layout, seed=1, txgs=3)), 1000)
    print(layout, report)
    assert report.states == 1000 and not report.wrong, str(report)
    assert len(report.txgs) >= 4
    assert report.checked < 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 2 + LONG))
def test_many_crash_states(seed: int) -> None:
    """110,000 states for each seed: hours of them, on request."""
    for layout in LAYOUTS:
        report = explored(record(RunOptions(layout=layout, seed=seed)), 10_000)
        assert not report.wrong, f"{layout}: {report}"


def test_a_crash_after_a_crash() -> None:
    """The pool is opened for writing from a crash state, changed, and the power fails again."""
    run = record(RunOptions(layout="mirror", seed=6, txgs=3))
    explorer = Explorer(run.journal, run.history)
    states = [state for state in enumerate_states(run.journal) if explorer.found(state).txg > 0]
    for state in (states[len(states) // 3], states[-400]):
        found = explorer.found(state)
        second = Recorder.resume(run, explorer.states, state, found)
        after = second.record()
        report = explored(after, 300)
        assert report.states == 300 and not report.wrong, f"{state}: {report}"
        assert min(txg for txg in report.txgs) >= found.txg


# --- canaries: each must be found -------------------------------------------------------------------------------------


def no_flush(self: ZioWriter) -> None:
    """Blocks are left in the disks' caches."""


def reuse(monkeypatch: pytest.MonkeyPatch, *, at_once: bool) -> None:
    """Allocate the lowest address; if ``at_once``, what was freed in this txg too."""
    allocate, take = LiveMetaslab.allocate, LiveMetaslab.take_changes

    def lowest(self: LiveMetaslab, *args: object) -> object:
        free = RangeTree()
        free.add(*self.loaded.segments())
        self.free = free  # a new one has no cursors
        return allocate(self, *args)  # type: ignore[arg-type]

    def early(self: LiveMetaslab, txg: int) -> object:
        change = take(self, txg)
        freed = self.freed.pop(txg, None)
        if freed is not None and self.free is not None:
            self.free.add(*freed.segments())
        return change

    monkeypatch.setattr(LiveMetaslab, "allocate", lowest)
    if at_once:
        monkeypatch.setattr(LiveMetaslab, "take_changes", early)


Breaking = Callable[[pytest.MonkeyPatch], None]
CANARIES: dict[str, Breaking] = {
    "uberblock before the blocks are durable": lambda patch: patch.setattr(ZioWriter, "flush", no_flush),
    "acknowledged before the uberblock is durable": lambda patch: patch.setattr(labels, "flush", lambda leaves: []),
    "freed space used again at once": lambda patch: reuse(patch, at_once=True),
    "freed blocks stay allocated": lambda patch: patch.setattr(ZioWriter, "free", lambda self, bps, txg: None),
}


@pytest.mark.parametrize("name", list(CANARIES))
def test_canary(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        CANARIES[name](patch)
        run = record(RunOptions(seed=2, txgs=3))
    report = explored(run, stop_after=1)
    print(report)
    assert report.wrong == 1, "the laboratory is blind"
    (violation,) = report.violations
    fresh = Explorer(run.journal, run.history, memo=False)
    for state in (violation.state, violation.shrunk):
        assert state is not None and fresh.wrong(parse(str(state)))


def test_low_addresses_alone_are_no_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        reuse(patch, at_once=False)
        run = record(RunOptions(seed=2, txgs=3))
    report = explored(run, 600)
    assert not report.wrong, str(report)


# --- judges -----------------------------------------------------------------------------------------------------------


@pytest.mark.judge
@pytest.mark.parametrize("layout", ["single", "raidz1"])
def test_zdb_says_the_same_of_saved_states(layout: str, tmp_path: Path, judge: Callable[[str], str]) -> None:
    import subprocess

    run = record(RunOptions(layout=layout, seed=8, txgs=3))
    explorer = Explorer(run.journal, run.history)
    states = [state for state in choose(run, 400) if explorer.found(state).txg > 0]
    for number, state in enumerate(states[:: len(states) // 2]):
        folder = tmp_path / str(number)
        save(explorer.states, state, folder)
        command = [judge("zdb"), "-e", "-p", str(folder), "-bcc", "lab"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert result.returncode == 0 and "No leaks" in result.stdout, f"{state}: {result.stdout}{result.stderr}"
        with import_pool(search=[folder]) as pool:
            assert pool.txg == explorer.found(state).txg


def test_a_state_that_opens_at_no_txg_was_never_acknowledged() -> None:
    run = record(RunOptions(seed=1, txgs=1))
    explorer = Explorer(run.journal, run.history)
    assert explorer.found(CrashState(0, "all")).txg == -1 and not explorer.wrong(CrashState(0, "all"))
