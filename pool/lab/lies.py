"""Layers between a pool and its disks, compared: what was acknowledged and is gone after the power failed.

The same workload runs through each layer (``layers.py``), and the power fails at the same moments. Each crash state is
imported as a user would do it: plainly; if that fails, or a look at everything finds something lost, with a rewind;
then with an extreme one. Beside that every txg in the uberblock rings is tried, newest first: the first of which
nothing is lost is the newest whole one, and a rewind has to find it.

A layer that lies may cost txgs. It may not give a wrong byte: whatever is read without an error, even from a pool of
which half is gone, has to be what the txg at which the pool opened holds in the model.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..errors import PoolError, UsageError
from ..pool import import_pool
from .checker import SYNCED
from .crash import CrashState, States, Survivor, sectors_of, some_sectors
from .journal import Kind
from .layers import BEHIND, LAYERS, READY, Layer, record_layer
from .model import History, differences
from .promises import ASKED, KEPT, Promises
from .readable import readable_differences, survey
from .replayed import NOTHING, Replayed, gone_with, replay
from .rings import ring_txgs
from .simdisk import SimDisk
from .workload import Run, RunOptions

Way = Literal["plain", "rewind", "extreme"]
WAYS: tuple[Way, ...] = ("plain", "rewind", "extreme")
#: States of one layer that are kept with their lines; beyond it they are only counted.
NAMED_MAX = 1000


# --- one import -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """What an import found. ``txg`` -1: it failed, and ``why`` says so.

    Attributes:
        lost: blocks whose data is lost, and trees that cannot be entered.
        mended: damaged blocks that redundancy makes good.
        wrong: bytes that are not the txg's, and space that is not accounted for. Nothing excuses that.
    """

    txg: int
    lost: int = 0
    mended: int = 0
    why: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """It opens, and everything that the txg holds is there."""
        return self.txg >= 0 and not self.lost


def look(disks: Sequence[SimDisk], history: History, *, way: Way = "plain", txg: int | None = None) -> Look:
    """Import disks read-only and hold everything that can be read against the model.

    Args:
        way: how the pool is opened. txg: at this one, or the next older there is.
    """
    try:
        pool = import_pool(
            None, list(disks), threads=1, txg=txg, rewind=way == "rewind", extreme=way == "extreme"
        )  # fmt: skip
    except PoolError as error:
        return Look(-1, why=str(error))
    with pool:
        expected = history.at(pool.txg)
        if expected is None:
            return Look(pool.txg, wrong=(f"is at txg {pool.txg}, before anything was committed",))
        found = survey(pool)
        if found.content is None:
            wrong = tuple(readable_differences(pool, expected))
            return Look(pool.txg, found.lost, why=f"lost: {found.why}", wrong=wrong)
        lines = [*differences(expected, found.content), *([found.space] if found.space else [])]
        return Look(pool.txg, mended=found.mended, wrong=tuple(lines))


# --- one crash state --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a crash state.

    Attributes:
        state: its line. sure: the txg that had been acknowledged last.
        looks: imports, in order, until one was whole.
        newest: of the txgs in the rings the newest whole one; -1: none is.
        back: acknowledged txgs that are gone.
        replayed: what became of acknowledged requests, where a run has any.
    """

    state: CrashState
    sure: int
    looks: tuple[Look, ...]
    newest: int
    back: int
    replayed: Replayed = NOTHING

    @property
    def opened(self) -> Way | None:
        """The way that gave a whole pool, if one did."""
        return WAYS[len(self.looks) - 1] if self.looks[-1].whole else None

    @property
    def txg(self) -> int:
        """It was opened whole at this one; -1: at none."""
        return self.looks[-1].txg if self.looks[-1].whole else -1

    @property
    def missed(self) -> bool:
        """There is a newer whole txg than the one that was found."""
        return self.newest > self.txg

    @property
    def wrong(self) -> list[str]:
        """Wrong bytes, of any of the imports."""
        lines = [f"{way}, txg {one.txg}: {line}" for way, one in zip(WAYS, self.looks) for line in one.wrong]
        return lines + [f"after replay: {line}" for line in self.replayed.wrong]

    def __str__(self) -> str:
        tries = []
        for way, one in zip(WAYS, self.looks):
            what = f"fails ({one.why})" if one.txg < 0 else f"opens at txg {one.txg}, "
            if one.txg >= 0:
                what += f"{one.lost} blocks or trees are lost" if one.lost else "whole"
                what += f", {one.mended} blocks damaged on one disk and right on others" if one.mended else ""
            tries.append(f"{way}: {what}")
        end = f"{self.back} acknowledged txgs are gone" if self.back else "no acknowledged txg is gone"
        if self.replayed.gone:
            end += f"; {self.replayed.gone} acknowledged requests are gone"
        if self.replayed.partial:
            end += f"; the logs of {self.replayed.partial} datasets end within a request"
        if self.replayed.failed:
            end += f"; logs are not replayed ({self.replayed.failed})"
        return f"{self.state}: txg {self.sure} had been acknowledged; {'; '.join(tries)}; {end}"


class Liar:
    """Crash states of one run through a layer.

    Args:
        run: of which.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.states = States(run.journal)
        self._marks = [(number, mark.facts["txg"]) for number, mark in run.journal.marks() if mark.text == SYNCED]
        self.start = next(number for number, mark in run.journal.marks() if mark.text == READY)

    def disks(self, state: CrashState) -> list[SimDisk]:
        """As they are when the power is back; writing to them is refused."""
        infos = self.run.journal.disks
        return [
            SimDisk(content, info.name, sector=info.sector, readonly=True)
            for content, info in zip(self.states.build(state), infos)
        ]

    def sure(self, cut: int) -> int:
        """The txg that had been acknowledged last."""
        return max((txg for number, txg in self._marks if number < cut), default=-1)

    def outcome(self, state: CrashState) -> Outcome:
        """Import a state until it is whole, and find out what could have been had."""
        disks, history, looks = self.disks(state), self.run.history, []
        for way in WAYS:
            looks.append(look(disks, history, way=way))
            if looks[-1].whole:
                break
        txgs = ring_txgs(disks)
        found = looks[-1].txg if looks[-1].whole else -1
        # None before the newest needs to be looked at if that one is whole.
        newest = found if txgs and found == txgs[0] else next(self._whole(disks, txgs), -1)
        sure = self.sure(state.cut)
        back = max(0, history.place(sure) - history.place(found))
        return Outcome(state, sure, tuple(looks), newest, back, self._replayed(state, disks, looks))

    def _replayed(self, state: CrashState, disks: Sequence[SimDisk], looks: Sequence[Look]) -> Replayed:
        """What became of requests. Whoever rewinds opens the pool at a txg, and replays nothing."""
        history = self.run.history
        if not isinstance(history, Promises):
            return NOTHING
        numbers: dict[str, set[int]] = {ASKED: set(), KEPT: set()}
        for _, mark in self.run.journal.marks(state.cut):
            if mark.text in numbers:
                numbers[mark.text].add(mark.facts["number"])
        if len(looks) == 1 and looks[0].whole:
            found = replay(disks, history, numbers[ASKED], numbers[KEPT])
            if not found.failed:
                return found
            return replace(found, gone=gone_with(history, looks[0].txg, numbers[KEPT]))
        return Replayed(gone_with(history, looks[-1].txg if looks[-1].whole else -1, numbers[KEPT]))

    def _whole(self, disks: Sequence[SimDisk], txgs: Sequence[int]) -> Iterator[int]:
        for txg in txgs:
            found = look(disks, self.run.history, txg=txg)
            if found.whole and found.txg == txg:
                yield txg

    def choose(self, count: int, seed: int) -> list[CrashState]:
        """So many states, at moments that are the same for each layer: half of them right after an acknowledgement."""
        chance = random.Random(seed)
        events = self.run.journal.events
        writes = [number + 1 for number in range(self.start, len(events)) if events[number].kind == Kind.WRITE]
        told = (SYNCED, KEPT)
        marks = [at + 1 for at, mark in self.run.journal.marks() if mark.text in told and at > self.start]
        moments = [(chance.random() < 0.5, chance.random(), chance.randrange(1 << 30)) for _ in range(count)]
        cuts = [
            ((marks if marked else writes)[int(place * len(marks if marked else writes))], own)
            for marked, place, own in moments
        ]
        return [self._draw(cut, own) for cut, own in sorted(cuts)]

    def _draw(self, cut: int, seed: int) -> CrashState:
        self.states.move(cut)
        pending, chance = self.states.pending, random.Random(seed)
        kind = chance.choice(("random", "random", "random", "none", "all", "lose", "tear"))
        if not pending or kind == "all":
            return CrashState(cut, "all")
        if kind == "random":
            return CrashState(cut, "random", seed=seed)
        if kind == "none":
            return CrashState(cut, "none")
        number, event = chance.choice(pending)
        count = sectors_of(self.run.journal, event)
        if kind == "lose" or event.kind != Kind.WRITE or count < 2:
            return CrashState(cut, "lose", (Survivor(number),))
        return CrashState(cut, "tear", (Survivor(number, some_sectors(chance, count)),))


# --- all of a layer ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What became of one layer's crash states.

    Attributes:
        flushes, ignored: of the run, those that were done and those that only were answered.
        states: looked at. ways: by the way that gave a whole pool; ``no``: none did.
        back: by how many acknowledged txgs were gone; of states that could not be opened whole all were.
        fell: by the txg at which a state that had lost some was opened.
        losing: states that lost something acknowledged. silent: of them those that open plainly and whole, so that
            nobody is told. mended: states in which redundancy made something good.
        damaged: states that open plainly with something lost.
        requests: by how many acknowledged requests were gone. partial: states in which a log ended within a request, or
            could not be replayed.
        missed: states in which a newer whole txg was not found. wrong: states with wrong bytes.
        named: the first states that lost something. faults: the first that are missed or wrong.
    """

    layer: Layer
    flushes: int = 0
    ignored: int = 0
    states: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    back: Counter[int] = field(default_factory=Counter)
    fell: Counter[int] = field(default_factory=Counter)
    losing: int = 0
    silent: int = 0
    mended: int = 0
    damaged: int = 0
    requests: Counter[int] = field(default_factory=Counter)
    partial: int = 0
    missed: int = 0
    wrong: int = 0
    named: list[Outcome] = field(default_factory=list)
    faults: list[Outcome] = field(default_factory=list)

    def add(self, one: Outcome) -> None:
        """Count an outcome."""
        self.states += 1
        self.ways[one.opened or "no"] += 1
        self.mended += any(look.mended for look in one.looks)
        self.damaged += one.looks[0].txg >= 0 and bool(one.looks[0].lost)
        self.missed += one.missed
        self.wrong += bool(one.wrong)
        self.partial += bool(one.replayed.partial or one.replayed.failed)
        if one.replayed.gone:
            self.requests[one.replayed.gone] += 1
        if one.back or one.replayed.gone:
            self.losing += 1
            self.silent += one.opened == "plain"
            if one.opened and one.back:
                self.fell[one.txg] += 1
                self.back[one.back] += 1
            if len(self.named) < NAMED_MAX:
                self.named.append(one)
        if (one.missed or one.wrong) and len(self.faults) < NAMED_MAX:
            self.faults.append(one)

    @property
    def share(self) -> float:
        """Of the states, those that lost something acknowledged."""
        return self.losing / self.states if self.states else 0.0

    @property
    def broken(self) -> bool:
        """Something that must not be: wrong bytes, a whole txg that is not found, a loss where no disk lies."""
        harmed = self.losing or self.mended or self.partial or self.ways["plain"] < self.states
        return bool(self.missed or self.wrong or (self.layer.honest and harmed))


def tally(run: Run, layer: Layer, count: int, progress: Callable[[int], None] | None = None) -> Tally:
    """Look at ``count`` crash states of a run through a layer."""
    liar, result = Liar(run), Tally(layer)
    kinds = Counter(event.kind for event in run.journal.events[liar.start :])
    result.flushes, result.ignored = kinds[Kind.FLUSH_END], kinds[Kind.FLUSH_LOST]
    for state in liar.choose(count, run.options.seed):
        result.add(liar.outcome(state))
        if progress is not None:
            progress(1)
    return result


def compare(
    options: RunOptions,
    states: int,
    layers: Sequence[str] = tuple(LAYERS),
    behind: int = BEHIND,
    progress: Callable[[int], None] | None = None,
) -> list[Tally]:
    """The same workload through several layers.

    Args:
        options: of the workload.
        states: crash states of each.
        layers: names of ``LAYERS``.
        behind: txgs that a lying disk keeps in its cache.
        progress: told of every crash state done.

    Raises:
        UsageError: there is no such layer.
    """
    for name in layers:
        if name not in LAYERS:
            raise UsageError(f"there is no layer {name!r}", f"take some of {', '.join(LAYERS)}")
    return [tally(record_layer(options, LAYERS[name], behind), LAYERS[name], states, progress) for name in layers]
