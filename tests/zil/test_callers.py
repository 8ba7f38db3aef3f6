"""Callers who share a round: who leads, how long a leader waits for others, and what a ^C does to the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from uberblock.pool.zil import callers as module
from uberblock.pool.zil.callers import Callers
from uberblock.pool.zil.stats import ZilStats


def crowd(callers: Callers, threads: int, each: int) -> None:
    """So many threads ask again and again."""

    def work(number: int) -> None:
        for _ in range(each):
            callers.ask(number)

    some = [threading.Thread(target=work, args=(number,)) for number in range(1, threads + 1)]
    for one in some:
        one.start()
    for one in some:
        one.join(60)
        assert not one.is_alive()


def slow(seconds: float) -> Callable[[set[int] | None], float]:
    def serve(objects: set[int] | None) -> float:
        time.sleep(seconds)
        return seconds

    return serve


def test_everybody_is_served_once() -> None:
    stats, rounds = ZilStats(), list[set[int] | None]()
    callers = Callers(lambda objects: rounds.append(objects) or 0.0, stats)
    crowd(callers, 8, 200)
    assert stats.callers == 1600 and stats.commits == len(rounds)
    assert len(callers) == 0


def test_a_leader_waits_for_those_who_were_there() -> None:
    """Of eight who ask again at once all share a round on a slow disk; without the wait it is half of them."""
    stats = ZilStats()
    crowd(Callers(slow(0.02), stats), 8, 20)
    assert stats.callers == 160 and stats.callers_per_commit > 5.5


def test_nobody_waits_on_a_quick_disk_or_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[float] = []
    monkeypatch.setattr(Callers, "_gather", lambda self: gathered.append(self._pause))
    crowd(Callers(slow(100e-6), ZilStats()), 8, 20)
    assert not gathered
    monkeypatch.undo()
    alone = Callers(slow(0.02), ZilStats())
    before = time.perf_counter()
    crowd(alone, 1, 10)
    assert time.perf_counter() - before < 10 * 0.02 + 0.1


def test_a_wait_for_one_who_does_not_come_ends() -> None:
    callers = Callers(slow(0.004), ZilStats())
    crowd(callers, 4, 3)
    callers._expected, callers._pause = 100, 0.05
    before = time.perf_counter()
    callers.ask(1)
    assert 0.05 <= time.perf_counter() - before < 5
    assert callers._expected == 1  # and is not made again


def test_what_serving_raises_all_are_told() -> None:
    def serve(objects: set[int] | None) -> float:
        time.sleep(0.01)
        raise ValueError("full")

    callers, told = Callers(serve, ZilStats()), list[str]()

    def ask(number: int) -> None:
        try:
            callers.ask(number)
        except ValueError as error:
            told.append(str(error))

    some = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for one in some:
        one.start()
    for one in some:
        one.join(30)
    assert told == ["full"] * 6


def test_an_interrupt_while_a_leader_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is for the leader alone: who came meanwhile is served."""
    served: list[set[int] | None] = []
    callers = Callers(lambda objects: served.append(objects) or 0.001, ZilStats())
    callers._expected, callers._pause = 2, module.LEAST
    entered, go, outcome = threading.Event(), threading.Event(), list[str]()

    def gather(self: Callers) -> None:
        entered.set()
        go.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(Callers, "_gather", gather)

    def ask(number: int) -> None:
        try:
            callers.ask(number)
            outcome.append(f"{number} served")
        except KeyboardInterrupt:
            outcome.append(f"{number} interrupted")

    leader = threading.Thread(target=ask, args=(1,))
    leader.start()
    assert entered.wait(30)
    other = threading.Thread(target=ask, args=(2,))
    other.start()
    while len(callers) != 2:
        time.sleep(0.001)
    monkeypatch.undo()
    go.set()
    leader.join(30)
    other.join(30)
    assert sorted(outcome) == ["1 interrupted", "2 served"] and served == [{2}]
    callers.ask(None)
    assert served == [{2}, None] and len(callers) == 0
