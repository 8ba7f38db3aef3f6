"""Exploring the crash states of a recorded run: each is checked, and what is wrong is told by a line that rebuilds it.

States whose bytes agree with an earlier check wherever that check read are judged by what it found (``memo.py``);
``Report.checked`` says how many checks were really made. What was promised is judged anew for every state, since it
depends on the cut.

A violation shrinks itself: lost writes are given back, torn ones made whole and the order restored, as long as the
state stays wrong. What is left are the writes that matter.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from ..pool import Pool
from .checker import Found, Met, examine, judge
from .crash import CrashState, States, Survivor
from .journal import Event, Journal
from .memo import Memo, Place, ReadSet
from .model import History
from .pages import Pages
from .simdisk import SimDisk

#: Violations kept; beyond it they are only counted.
VIOLATIONS_MAX = 50
#: Checks that one violation may take to shrink.
SHRINK_MAX = 400

Examine = Callable[[Sequence[SimDisk], Met], Found]
Judge = Callable[[Found, History, Iterable[Event]], list[str]]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Violation:
    """A state that breaks a promise: its line, what is wrong, and the smallest state found that does so too."""

    state: CrashState
    wrong: tuple[str, ...]
    shrunk: CrashState | None = None

    def __str__(self) -> str:
        lines = [str(self.state), *(f"    {line}" for line in self.wrong)]
        if self.shrunk is not None:
            lines.append(f"    shrunk: {self.shrunk}")
        return "\n".join(lines)


@dataclass(slots=True)
class Report:
    """What an exploration found.

    ``states`` were judged, ``checked`` of them by an import of their own; ``by_word`` counts them by kind, ``txgs`` by
    the txg they opened at (-1: none). ``violations`` are the first ones of ``wrong``.
    """

    states: int = 0
    checked: int = 0
    wrong: int = 0
    violations: list[Violation] = field(default_factory=list)
    by_word: Counter[str] = field(default_factory=Counter)
    txgs: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, other: Report) -> None:
        """Take in another part of the same exploration."""
        self.states += other.states
        self.checked += other.checked
        self.wrong += other.wrong
        self.violations = (self.violations + other.violations)[:VIOLATIONS_MAX]
        self.by_word += other.by_word
        self.txgs += other.txgs

    def __str__(self) -> str:
        rate = self.states / self.seconds if self.seconds else 0.0
        kinds = ", ".join(f"{count} {word}" for word, count in sorted(self.by_word.items()))
        lines = [
            f"{self.states} crash states ({kinds}), {self.checked} checks, {self.wrong} violations, "
            f"{self.seconds:.1f} s, {rate:.0f} states/s"
        ]
        return "\n".join([*lines, *map(str, self.violations)])


class Explorer:
    """Checks states of one journal.

    Args:
        journal: of the run.
        history: what should be there, txg by txg.
        examine: how disks are looked at; must depend on nothing but their bytes. See ``checker.examine``.
        judge: what is held against what was found.
        memo: remember checks.
        shrink: shrink the first violations.
        gone: numbers of disks that are not there when the power comes back.
    """

    def __init__(
        self,
        journal: Journal,
        history: History,
        *,
        examine: Examine = examine,
        judge: Judge = judge,
        memo: bool = True,
        shrink: int = 3,
        gone: Iterable[int] = (),
    ) -> None:
        self.journal, self.history = journal, history
        self.states = States(journal)
        self.report = Report()
        self._examine, self._judge = examine, judge
        self._shown = sorted(set(range(len(journal.disks))) - set(gone))
        sizes = [journal.disks[number].initial.size for number in self._shown]
        self._memo: Memo[Found] | None = Memo(sizes) if memo else None
        self._known: dict[bytes, bytes] = {}
        self._shrink = shrink
        self._marks = [mark for _, mark in journal.marks()]
        self._mark_places = [number for number, _ in journal.marks()]

    def found(self, state: CrashState) -> Found:
        """What a look at a state finds."""
        every = self.states.build(state)
        contents = [every[number] for number in self._shown]
        memo = self._memo
        if memo is None:
            return self._examine(self._disks(contents), lambda pool: None)
        front = self.key(memo.front(contents))
        known = memo.find(front, contents)
        if known is not None:
            return known[0]
        disks = self._disks(contents)
        reads = ReadSet(disks)
        inside: list[Hashable] = []  # what stands for the labels once the pool is open
        places: dict[Place, int] = {}

        def met(pool: Pool) -> Found | None:
            inside.append(self.key(_opened(pool)))
            before = memo.find(inside[0], contents)
            if before is None:
                return None
            places.update(before[1])
            self.report.checked -= 1
            return before[0]

        result = self._examine(disks, met)
        self._share(result)
        for place, sectors in reads.places().items():
            places[place] = places.get(place, 0) | sectors
        for one in (front, *inside):
            memo.add(one, contents, places, result)
        return result

    def _share(self, found: Found) -> None:
        """Most of what a state holds others have held too: it is kept once."""
        for tree in found.content.values():
            for path, facts in tree.items():
                tree[path] = {
                    name: self._known.setdefault(value, value) if isinstance(value, bytes) else value
                    for name, value in facts.items()
                }

    def key(self, front: Hashable) -> Hashable:
        """What stands for the labels, with whatever else a check depends on beside the disks."""
        return front

    def _disks(self, contents: Sequence[Pages]) -> list[SimDisk]:
        self.report.checked += 1
        names = [self.journal.disks[number].name for number in self._shown]
        return [SimDisk(one, name, readonly=True) for one, name in zip(contents, names)]

    def wrong(self, state: CrashState) -> list[str]:
        """What is wrong with a state; empty: nothing."""
        return self._judged(self.found(state), state.cut)

    def _judged(self, found: Found, cut: int) -> list[str]:
        return self._judge(found, self.history, self._marks[: bisect_left(self._mark_places, cut)])

    def run(
        self, states: Iterable[CrashState], *, stop_after: int | None = None, progress: Progress | None = None
    ) -> Report:
        """Check states.

        Args:
            states: which, best in the order of their cuts.
            stop_after: so many violations are enough.
            progress: told of the number of states done since the last call.
        """
        started, report = time.perf_counter(), self.report
        for state in states:
            found = self.found(state)
            lines = self._judged(found, state.cut)
            report.states += 1
            report.txgs[found.txg] += 1
            report.by_word[state.word] += 1
            if progress is not None:
                progress(1)
            if lines:
                report.wrong += 1
                if len(report.violations) < VIOLATIONS_MAX:
                    shrunk = self.shrunk(state) if report.wrong <= self._shrink else None
                    report.violations.append(Violation(state, tuple(lines), shrunk))
                if stop_after is not None and report.wrong >= stop_after:
                    break
        report.seconds += time.perf_counter() - started
        return report

    # --- shrinking ----------------------------------------------------------------------------------------------------

    def shrunk(self, state: CrashState) -> CrashState:
        """A state at the same cut that is wrong too, with as little lost, torn and out of order as can be had."""
        kept = self.states.survivors(state)
        pending = [one.number for one in self.states.pending]
        budget = SHRINK_MAX

        def still(candidate: list[Survivor]) -> bool:
            nonlocal budget
            budget -= 1
            return budget >= 0 and bool(self.wrong(CrashState(state.cut, "only", tuple(candidate))))

        ordered = sorted(kept)
        if ordered != kept and still(ordered):
            kept = ordered
        for number in pending:  # give back what was lost or torn
            part = next((one for one in kept if one.number == number), None)
            if part is not None and part.sectors == -1:
                continue
            rest = [one for one in kept if one.number != number]
            at = sum(one.number < number for one in rest)
            candidate = [*rest[:at], Survivor(number), *rest[at:]]
            if still(candidate):
                kept = candidate
        return _named(state.cut, kept, pending)


def _named(cut: int, kept: list[Survivor], pending: list[int]) -> CrashState:
    """The shortest name of a state."""
    whole = all(one.sectors == -1 for one in kept)
    lost = sorted(set(pending) - {one.number for one in kept})
    if kept == sorted(kept):
        if not lost:
            torn = tuple(one for one in kept if one.sectors != -1)
            return CrashState(cut, "tear", torn) if torn else CrashState(cut, "all")
        if not kept:
            return CrashState(cut, "none")
        if whole and len(lost) <= len(kept):
            return CrashState(cut, "lose", tuple(map(Survivor, lost)))
    return CrashState(cut, "only", tuple(kept))


def _opened(pool: Pool) -> Hashable:
    """All that an open pool has from its labels: the uberblock, and which devices are there."""
    spa = pool.spa
    leaves = [(leaf.guid, leaf.state, leaf.aux, leaf.path) for leaf in spa.tree.leaves]
    return "opened", spa.uberblock, spa.name, tuple(leaves)


# --- several processes ------------------------------------------------------------------------------------------------

_explorer: Explorer | None = None  # of a worker, which got it by being forked


def explore(
    explorer: Explorer,
    states: Sequence[CrashState],
    *,
    processes: int = 1,
    stop_after: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """``Explorer.run``, shared by processes: each takes runs of neighbouring states.

    Args:
        explorer: of the run.
        states: in the order of their cuts.
        processes: 0: one for each processor.
        stop_after, progress: as for ``Explorer.run``; ``stop_after`` is looked at after each run of states.
    """
    global _explorer
    workers = processes or os.cpu_count() or 1
    if workers == 1:
        return explorer.run(states, stop_after=stop_after, progress=progress)
    started, total = time.perf_counter(), explorer.report
    size = max(1, min(2000, -(-len(states) // (workers * 4))))
    parts = [states[at : at + size] for at in range(0, len(states), size)]
    _explorer = explorer
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
            for part in pool.map(_run_part, parts):
                total.add(part)
                if progress is not None:
                    progress(part.states)
                if stop_after is not None and total.wrong >= stop_after:
                    pool.shutdown(cancel_futures=True)
                    break
    finally:
        _explorer = None
    total.seconds += time.perf_counter() - started
    return total


def _run_part(states: Sequence[CrashState]) -> Report:
    assert _explorer is not None
    _explorer.report = Report()
    return _explorer.run(states)
