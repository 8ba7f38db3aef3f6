"""One device call after the other fails: what was acknowledged is there, and what is there is a whole txg.

A first run counts the calls; then each of a choice of them fails, once or with all that follow. On a single disk
nothing makes up for a failure, so either the operation got through or the pool is suspended, and says so. Whatever the
disk holds then, and whatever a power cut leaves of that, is the last acknowledged txg or the one in commit.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field

import pytest
from uberblock.pool.env import Env
from uberblock.pool.errors import PoolError
from uberblock.pool.lab.checker import SYNCED, examine, judge
from uberblock.pool.lab.crash import CrashState, Plan, enumerate_states, sample
from uberblock.pool.lab.explore import Explorer
from uberblock.pool.lab.faults import Call, FaultyDevice, Switchboard
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.model import History, ModelFs
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.poolcreate import create_pool, open_pool


@dataclass
class Trial:
    """A run in which a call fails, and what became of it."""

    board: Switchboard
    journal: Journal = field(default_factory=Journal)
    history: History = field(default_factory=History)
    error: PoolError | None = None

    def run(self) -> Trial:
        disk, env = SimDisk(64 << 20, "d0", self.journal), Env.fixed(1)
        pool = create_pool("lab", [disk], env=env, txg_seconds=0)
        self.history.commit(pool.txg, {"lab": ModelFs().tree()})
        self.journal.mark(SYNCED, txg=pool.txg)
        pool.abandon()
        try:
            self._changes(FaultyDevice(disk, switchboard=self.board), env)
        except PoolError as error:
            self.error = error
        return self

    def _changes(self, device: FaultyDevice, env: Env) -> None:
        model = ModelFs()
        pool = open_pool("lab", [device], env=env, txg_seconds=0)
        try:
            for step in range(3):
                name, data = f"f{step}", bytes([65 + step]) * 30000
                pool.fs().write_bytes(name, data)
                model.create(name)
                model.write(name, 0, data)
                self.history.commit(pool.engine.tx.txg, {"lab": model.tree()})
                self.journal.mark(SYNCED, txg=pool.sync())
        finally:
            pool.abandon()


def calls(*which: Call) -> int:
    counting = Trial(Switchboard(calls=which)).run()
    assert counting.error is None and counting.board.count > 5
    return counting.board.count


def check(trial: Trial, states: int) -> None:
    marks = [mark for _, mark in trial.journal.marks()]
    explorer = Explorer(trial.journal, trial.history)
    end = CrashState(len(trial.journal), "all")
    assert explorer.wrong(end) == [], trial.board.failed
    assert marks[0].facts["txg"] == 4
    plan = Plan(prefixes=False, random_sets=4, torn=1)
    every = list(enumerate_states(trial.journal, plan, start=trial.journal.events.index(marks[0])))
    report = explorer.run(sample(every, states, seed=trial.board.fail))
    assert not report.wrong, f"{trial.board.failed}: {report}"


@pytest.mark.parametrize("onward", [False, True], ids=["once", "from there on"])
@pytest.mark.parametrize("which", ["write", "flush"])
def test_failing_writes_and_flushes(which: Call, onward: bool) -> None:
    count = calls(which)
    for number in sorted({1, 2, 3, count - 1, count, *range(4, count, max(1, count // 3))}):
        trial = Trial(Switchboard(number, onward=onward, calls=[which])).run()
        assert trial.board.failed, number
        if trial.error is not None:
            assert str(trial.error) and trial.error.exit_status
        check(trial, 12)


def test_failing_reads_change_nothing_that_is_there() -> None:
    count = calls("read")
    for number in sorted({1, 2, count, *range(3, count, max(1, count // 4))}):
        trial = Trial(Switchboard(number, calls=["read"])).run()
        check(trial, 5)


def test_a_full_disk() -> None:
    count = calls("write")
    trial = Trial(Switchboard(count // 2, onward=True, code=errno.ENOSPC, calls=["write"])).run()
    assert trial.error is not None
    check(trial, 30)


def test_after_a_failure_the_pool_takes_nothing_more() -> None:
    disk, env = SimDisk(64 << 20, "d0"), Env.fixed(1)
    create_pool("lab", [disk], env=env, txg_seconds=0).abandon()
    pool = open_pool("lab", [FaultyDevice(disk, switchboard=Switchboard(1, onward=True, calls=["write"]))], env=env,
                     txg_seconds=0)  # fmt: skip
    pool.fs().write_bytes("a", b"x")
    with pytest.raises(PoolError):
        pool.sync()
    with pytest.raises(PoolError, match="suspended"):
        pool.fs().write_bytes("b", b"y")
    with pytest.raises(PoolError, match="suspended"):
        pool.sync()
    pool.abandon()
    found = examine([SimDisk(disk.content.fork(), "d0")])
    history = History()
    history.commit(4, {"lab": ModelFs().tree()})
    assert judge(found, history, []) == []
