"""Exploring crash states of commits that OpenZFS made: nothing is wrong with them, and every flaw is found."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
from uberblock.pool.lab.checker import Found, examine
from uberblock.pool.lab.crash import CrashState, Plan, States, enumerate_states, parse, sample
from uberblock.pool.lab.explore import Explorer, Report, explore
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.model import History
from uberblock.pool.lab.simdisk import SimDisk

from ..conftest import GoldenPool
from .recorded import Recorded, record

TXGS = [17, 20, 23, 27]


@pytest.fixture(scope="module")
def recording(pools: Callable[[str], GoldenPool]) -> Callable[..., Recorded]:
    def make(flaws: Collection[str] = (), txgs: list[int] | None = None) -> Recorded:
        return record(pools("rewind").images[0], txgs or TXGS, flaws)

    return make


def run(recorded: Recorded, plan: Plan | None = None, **how: int) -> Report:
    explorer = Explorer(recorded.journal, recorded.history)
    return explorer.run(enumerate_states(recorded.journal, plan), **how)


def test_what_openzfs_committed_survives_every_crash(recording: Callable[..., Recorded]) -> None:
    report = run(recording())
    print(report)
    assert not report.violations, str(report)
    assert report.states > 400
    assert sorted(report.txgs) == TXGS
    assert report.checked < 60


@pytest.mark.parametrize("flaw", ["no flush before", "no flush after", "uberblock first", "reused at once"])
def test_canary_each_flaw_is_found(recording: Callable[..., Recorded], flaw: str) -> None:
    recorded = recording([flaw], TXGS[:3])
    report = run(recorded, stop_after=1)
    assert report.wrong == 1, "the laboratory is blind"
    (violation,) = report.violations
    print(violation)
    # The line alone is enough to see it again, and so is the shrunken one.
    for state in (violation.state, violation.shrunk):
        fresh = Explorer(recorded.journal, recorded.history, memo=False)
        assert state is not None and fresh.wrong(parse(str(state)))


def test_shrinking_leaves_the_writes_that_matter(recording: Callable[..., Recorded]) -> None:
    recorded = recording(["no flush before"], TXGS[:2])
    explorer = Explorer(recorded.journal, recorded.history)
    end = len(recorded.journal) - 2  # before the flush ends
    state = next(state for seed in range(100) if explorer.wrong(state := CrashState(end, "random", seed=seed)))
    shrunk = explorer.shrunk(state)
    assert shrunk.word in ("lose", "tear") and len(shrunk.survivors) == 1, str(shrunk)


def test_remembered_checks_say_what_real_ones_do(recording: Callable[..., Recorded]) -> None:
    recorded = recording(["no flush before"], TXGS[:2])
    found = sample(list(enumerate_states(recorded.journal, Plan(random_sets=8))), 12, seed=5)
    quick, slow = (Explorer(recorded.journal, recorded.history, memo=memo) for memo in (True, False))
    assert [quick.found(state) for state in found] == [slow.found(state) for state in found]
    assert quick.report.checked < slow.report.checked == 12


def test_the_import_changes_nothing(recording: Callable[..., Recorded]) -> None:
    recorded = recording(txgs=TXGS[:2])
    states = States(recorded.journal)
    end = len(recorded.journal)
    for state in (parse("@1 none"), parse("@60 all"), CrashState(end - 3, "random", seed=2), CrashState(end, "all")):
        before = states.build(state)
        disks = [SimDisk(content.fork(), "d0") for content in before]  # writable
        assert examine(disks).txg > 0
        assert [disk.content for disk in disks] == before


def tiny(seed: int) -> tuple[Journal, History]:
    """Blocks of a disk, and a pretended check that reads the first and, if that says so, a second."""
    import random

    rng, journal = random.Random(seed), Journal()
    disk = SimDisk(8 << 20, "d0", journal)
    for _ in range(60):
        disk.write((1 << 20) + rng.randrange(24) * 512, bytes([rng.randrange(4)]) * rng.choice((512, 1024, 700)))
        if rng.random() < 0.1:
            disk.flush()
    return journal, History()


def follow(disks: object, met: object) -> Found:
    (disk,) = disks  # type: ignore[misc]
    path, at = [], 0
    for _ in range(5):
        at = disk.read((1 << 20) + at * 512, 1)[0] * 16 + disk.read((1 << 20) + at * 1024 + 600, 1)[0]
        path.append(str(at))
    return Found(int(path[-1]), tuple(path))


@pytest.mark.parametrize("seed", range(4))
def test_a_check_that_follows_pointers_is_remembered_rightly(seed: int) -> None:
    journal, history = tiny(seed)
    quick, slow = (Explorer(journal, history, examine=follow, memo=memo) for memo in (True, False))
    found = list(enumerate_states(journal, Plan(random_sets=20)))
    assert [quick.found(state) for state in found] == [slow.found(state) for state in found]
    assert 1 < quick.report.checked < slow.report.checked


def test_several_processes_find_the_same(recording: Callable[..., Recorded]) -> None:
    recorded = recording(["no flush after"], TXGS[:2])
    found = list(enumerate_states(recorded.journal, Plan(random_sets=4)))
    one = explore(Explorer(recorded.journal, recorded.history, shrink=0), found)
    two = explore(Explorer(recorded.journal, recorded.history, shrink=0), found, processes=2)
    assert (one.states, one.wrong, one.by_word, one.txgs) == (two.states, two.wrong, two.by_word, two.txgs)
    assert one.violations == two.violations and one.wrong
