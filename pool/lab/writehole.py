"""The write hole, counted: one workload on RAID-5, RAID-6, mirrors and raidz, its crash states, and then a disk less.

The workload overwrites records of a volume at random and flushes now and then. Each 512 bytes of a record say which
record and which version they belong to. After a crash and the loss of disks every record is read, and each of its
sectors must be of the version that was last flushed, or of one written since: that is all that any disk promises.

A sector that is neither, and that is read without an error, is **silently wrong**. On an array that writes in place it
is mostly a record that nobody was writing to: it shares a stripe with one that somebody was.

On pools the volume is a zvol, the array is the pool. On RAID the volume is the array itself.
"""

from __future__ import annotations

import itertools
import random
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from ..env import Env
from ..errors import PoolError, UsageError
from ..pool import import_pool
from ..poolcreate import create_pool
from ..zvol import Zvol
from .checker import Found, Met
from .crash import CrashState, Plan, enumerate_states, parse, sample
from .explore import Explorer
from .journal import Journal
from .layouts import DISK_SIZE
from .model import History
from .raid import CHUNK, Geometry, RaidDevice
from .simdisk import SimDisk

SECTOR = 512
RECORD = 4096
POOL, VOLUME = "lab", "lab/volume"
#: Marks of the journal.
READY, WRITE, DURABLE = "ready", "write", "durable"
#: Cases kept of one layout; beyond it they are only counted.
CASES_MAX = 1000

HEAD = struct.Struct("<8sIIII")  # magic, record, version, sector, nothing
MAGIC = b"ublabrec"

Outcome = Literal["right", "wrong", "error"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A layout that takes part.

    Attributes:
        name: of it.
        disks: how many.
        tolerates: disks that may be lost.
        level: of RAID; 0: a pool.
        words: of a pool, before its disks.
    """

    name: str
    disks: int
    tolerates: int
    level: int = 0
    words: str = ""

    def losses(self) -> list[tuple[int, ...]]:
        """Sets of disks that are lost: each one, and each two where that is borne."""
        sets = [itertools.combinations(range(self.disks), count) for count in range(1, self.tolerates + 1)]
        return list(itertools.chain(*sets))


SHAPES = {
    one.name: one
    for one in (
        Shape("raid5", 4, 1, level=5),
        Shape("raid6", 5, 2, level=6),
        Shape("mirror", 2, 1, words="mirror"),
        Shape("raidz1", 4, 1, words="raidz1"),
        Shape("raidz2", 5, 2, words="raidz2"),
    )
}


@dataclass(frozen=True, slots=True)
class HoleOptions:
    """What is done.

    Attributes:
        seed: of everything.
        records: of the volume.
        rounds: each ended by a flush. writes: in each.
    """

    seed: int = 1
    records: int = 72
    rounds: int = 12
    writes: int = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A crash state, and the disks lost with it; ``str`` is a line that ``parse_case`` takes."""

    shape: str
    state: CrashState
    lost: tuple[int, ...]
    records: tuple[int, ...] = field(default=(), compare=False)  # which are wrong

    def __str__(self) -> str:
        return f"{self.shape} {self.state} without {','.join(map(str, self.lost)) or 'none'}"


def parse_case(line: str) -> Case:
    """A case from its line.

    Raises:
        ValueError: it is not one.
    """
    words = line.split()
    try:
        if words[0] not in SHAPES or words[-2] != "without":
            raise ValueError
        lost = () if words[-1] == "none" else tuple(map(int, words[-1].split(",")))
        if len(set(lost)) < len(lost) or not set(lost) <= set(range(SHAPES[words[0]].disks)):
            raise ValueError
        return Case(words[0], parse(" ".join(words[1:-2])), lost)
    except (ValueError, IndexError):
        raise ValueError(f"{line!r} names no case") from None


@dataclass(slots=True)
class Tally:
    """What became of one layout's cases: a crash state with a set of lost disks each.

    Attributes:
        shape: the layout.
        states: crash states. cases: of them with every set of lost disks. whole: of them with no disk lost.
        outcomes: of the cases. intact: of the states while all disks are there.
        wrong_states: states with a silently wrong case.
        bystanders: silently wrong cases in which a record is wrong that nobody was writing.
        found: the first silently wrong cases.
    """

    shape: str
    states: int = 0
    cases: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    intact: Counter[Outcome] = field(default_factory=Counter)
    wrong_states: int = 0
    bystanders: int = 0
    found: list[Case] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Of the crash states, those from which some loss of disks gives silently wrong data."""
        return self.wrong_states / self.states if self.states else 0.0


# --- records ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def content(record: int, version: int) -> bytes:
    """A record as it is written."""
    chance = random.Random(record << 32 | version)
    heads = (HEAD.pack(MAGIC, record, version, sector, 0) for sector in range(RECORD // SECTOR))
    return b"".join(head + chance.randbytes(SECTOR - HEAD.size) for head in heads)


@dataclass(frozen=True, slots=True)
class Promise:
    """What may be read: of each record the version that is flushed, or any up to the one that was written last."""

    durable: tuple[int, ...]
    written: tuple[int, ...]

    def broken(self, data: bytes) -> list[int]:
        """Records that hold what they may not."""
        return [
            record
            for record, (low, high) in enumerate(zip(self.durable, self.written))
            if not _may_be(data[record * RECORD : (record + 1) * RECORD], record, low, high)
        ]


def _may_be(found: bytes, record: int, low: int, high: int) -> bool:
    versions = [content(record, version) for version in range(low, high + 1)]
    if found in versions:
        return True
    return len(found) == RECORD and all(
        any(found[at : at + SECTOR] == one[at : at + SECTOR] for one in versions) for at in range(0, RECORD, SECTOR)
    )


# --- the workload -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class HoleRun:
    """A recorded run. ``start``: the event from which on the volume is in use."""

    shape: Shape
    options: HoleOptions
    journal: Journal
    start: int

    def promise(self, cut: int) -> Promise:
        """What may be read after a crash there."""
        durable = written = tuple([0] * self.options.records)
        for _, mark in self.journal.marks(cut):
            if mark.text == WRITE:
                versions = list(written)
                versions[mark.facts["record"]] = mark.facts["version"]
                written = tuple(versions)
            elif mark.text == DURABLE:
                durable = written
        return Promise(durable, written)


def record(shape: Shape, options: HoleOptions) -> HoleRun:
    """Make a run. The same options give the same writes to the volume, whatever lies below it."""
    journal = Journal()
    write, flush, close = _array(shape, options, journal) if shape.level else _pool(shape, options, journal)
    for number in range(options.records):
        write(number * RECORD, content(number, 0))
    flush()
    start = journal.mark(READY)
    chance, versions = random.Random(options.seed), [0] * options.records
    for _ in range(options.rounds):
        for number in chance.sample(range(options.records), min(options.writes, options.records)):
            versions[number] += 1
            journal.mark(WRITE, record=number, version=versions[number])
            write(number * RECORD, content(number, versions[number]))
        flush()
        journal.mark(DURABLE)
    close()
    return HoleRun(shape, options, journal, start)


_Volume = tuple[Callable[[int, bytes], object], Callable[[], object], Callable[[], object]]  # write, flush, close


def _array(shape: Shape, options: HoleOptions, journal: Journal) -> _Volume:
    geometry = Geometry(shape.level, shape.disks)
    size = -(-options.records * RECORD // geometry.width) * CHUNK
    array = RaidDevice([SimDisk(size, f"d{number}", journal) for number in range(shape.disks)], geometry)
    return array.write, array.flush, lambda: None


def _pool(shape: Shape, options: HoleOptions, journal: Journal) -> _Volume:
    disks = [SimDisk(DISK_SIZE, f"d{number}", journal) for number in range(shape.disks)]
    env = Env.fixed(options.seed)
    pool = create_pool(POOL, [*shape.words.split(), *disks], env=env, txg_seconds=0, threads=1)
    pool.create_volume(VOLUME, options.records * RECORD, volblocksize=RECORD)
    volume = pool.volume(VOLUME).open()
    return lambda offset, data: volume.pwrite(data, offset), pool.sync, pool.abandon


# --- looking ----------------------------------------------------------------------------------------------------------


def read_array(shape: Shape, disks: Sequence[SimDisk], lost: Sequence[int], size: int) -> bytes:
    """The volume, from the disks that are left.

    Raises:
        PoolError: it cannot be read.
    """
    left = iter(disks)
    places = [None if number in lost else next(left) for number in range(shape.disks)]
    return RaidDevice(places, Geometry(shape.level, shape.disks)).read(0, size)


def _look(shape: Shape, lost: tuple[int, ...], size: int, disks: Sequence[SimDisk], met: Met) -> Found:
    """``Explorer``'s examination: the volume's content, or why there is none."""
    try:
        if shape.level:
            return Found(0, (), {VOLUME: {".": {"data": read_array(shape, disks, lost, size)}}})
        with import_pool(None, list(disks), threads=1) as pool:
            before = met(pool)
            if before is not None:
                return before
            data = Zvol(pool.dataset(VOLUME).dsl.objset()).open().readall()  # type: ignore[union-attr]
            return Found(pool.txg, (), {VOLUME: {".": {"data": data}}})
    except PoolError as error:
        return Found(-1, (str(error),))


class Hole:
    """Crash states of one run, looked at with disks lost.

    Args:
        run: of which.
    """

    def __init__(self, run: HoleRun) -> None:
        self.run = run
        self._explorers: dict[tuple[int, ...], Explorer] = {}
        self._broken: dict[tuple[int, int], list[int]] = {}
        self._promises: dict[int, Promise] = {}

    def states(self, count: int) -> list[CrashState]:
        """About so many crash states, of all kinds."""
        plan = Plan(seed=self.run.options.seed, random_sets=16)
        every = list(enumerate_states(self.run.journal, plan, start=self.run.start))
        return sample(every, count, self.run.options.seed)

    def explorer(self, lost: tuple[int, ...]) -> Explorer:
        """That looks without these disks."""
        if lost not in self._explorers:
            shape, size = self.run.shape, self.run.options.records * RECORD

            def look(disks: Sequence[SimDisk], met: Met) -> Found:
                return _look(shape, lost, size, disks, met)

            # What is remembered leaves labels out, which an array has none of.
            self._explorers[lost] = Explorer(
                self.run.journal, History(), examine=look, memo=not shape.level, gone=lost
            )
        return self._explorers[lost]

    def read(self, state: CrashState, lost: tuple[int, ...]) -> bytes | None:
        """The volume; None: an error said that it cannot be read."""
        found = self.explorer(lost).found(state)
        return None if found.problems else found.content[VOLUME]["."]["data"]

    def promise(self, cut: int) -> Promise:
        """As ``HoleRun.promise``."""
        if cut not in self._promises:
            self._promises[cut] = self.run.promise(cut)
        return self._promises[cut]

    def outcome(self, state: CrashState, lost: tuple[int, ...]) -> tuple[Outcome, list[int]]:
        """What becomes of a case, and which records are wrong."""
        data = self.read(state, lost)
        if data is None:
            return "error", []
        broken = self.promise(state.cut).broken(data)
        return ("wrong" if broken else "right"), broken

    def tally(self, count: int, progress: Callable[[int], None] | None = None) -> Tally:
        """Look at about ``count`` crash states, each with every loss."""
        result = Tally(self.run.shape.name)
        for state in self.states(count):
            result.states += 1
            result.intact[self.outcome(state, ())[0]] += 1
            wrong = False
            for lost in self.run.shape.losses():
                outcome, broken = self.outcome(state, lost)
                result.cases += 1
                result.outcomes[outcome] += 1
                if outcome == "wrong":
                    wrong = True
                    promise = self.promise(state.cut)
                    result.bystanders += any(promise.durable[one] == promise.written[one] for one in broken)
                    if len(result.found) < CASES_MAX:
                        result.found.append(Case(self.run.shape.name, state, lost, tuple(broken)))
            result.wrong_states += wrong
            if progress is not None:
                progress(1)
        return result


def compare(
    options: HoleOptions,
    states: int,
    shapes: Sequence[str] = tuple(SHAPES),
    progress: Callable[[int], None] | None = None,
) -> list[Tally]:
    """The same workload on several layouts.

    Args:
        options: of the workload.
        states: crash states of each.
        shapes: names of ``SHAPES``.
        progress: told of every crash state done.

    Raises:
        UsageError: there is no such layout.
    """
    for name in shapes:
        if name not in SHAPES:
            raise UsageError(f"there is no layout {name!r}", f"take some of {', '.join(SHAPES)}")
    return [Hole(record(SHAPES[name], options)).tally(states, progress) for name in shapes]
