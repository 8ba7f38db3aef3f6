"""Bounded workloads: all of one operation, all of two, a sample of three, each followed by a request to be durable.

On a small set of names every operation is tried in every order up to a length, and after the last one a file, the
whole dataset, or the pool is asked for, or nothing is. That many crash bugs need no more than a few operations is what
CrashMonkey and ACE found (Mohan et al., OSDI 2018). Every crash state of every workload is recovered and judged as in
``syncrun``.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from ..errors import PoolError
from ..poolcreate import create_pool, open_pool
from ..vfswrite import MutableVfs
from .checker import SYNCED
from .crash import Plan, enumerate_states
from .explore import Report
from .journal import Journal
from .layouts import make_disks
from .model import ModelFs
from .pages import Pages
from .promises import Promises
from .simdisk import SimDisk
from .steps import Workload
from .syncrun import SyncOptions, SyncRecorder, sync_explorer
from .workload import POOL, Run, env_of

BLOCK = 4096
#: Does an operation on a file system or on its model; both have the same names and arguments.
Act = Callable[[MutableVfs, ModelFs], None]


def _both(name: str, *args: object, model: str = "") -> Act:
    def act(fs: MutableVfs, model_fs: ModelFs) -> None:
        getattr(model_fs, model or name)(*args)
        getattr(fs, name)(*args)

    return act


def _write(path: str, offset: int, size: int) -> Act:
    def act(fs: MutableVfs, model: ModelFs) -> None:
        data = bytes([65 + size % 26]) * size
        model.write(path, offset, data)
        with fs.open(path, "rb+") as file:
            file.pwrite(data, offset)

    return act


def _create(path: str, size: int) -> Act:
    def act(fs: MutableVfs, model: ModelFs) -> None:
        if model.exists(path):
            raise FileExistsError(path)
        model.create(path, 0o644)
        model.write(path, 0, b"c" * size)
        fs.write_bytes(path, b"c" * size)

    return act


def _punch(path: str, offset: int, size: int) -> Act:
    def act(fs: MutableVfs, model: ModelFs) -> None:
        size_now = len(model.node(path).data)
        if offset + size > size_now:
            raise FileNotFoundError(path)
        model.write(path, offset, bytes(size))
        fs.punch(path, offset, size)

    return act


#: The operations, by their names in a line.
OPERATIONS: dict[str, Act] = {
    "create d/new": _create("d/new", 100),
    "mkdir e": _both("mkdir", "e", 0o755),
    "write a inside": _write("a", 1000, 300),
    "write a over its end": _write("a", BLOCK, 3 * BLOCK),
    "write b far behind its end": _write("b", 40 * BLOCK, 10),
    "truncate a": _both("truncate", "a", 700),
    "lengthen a": _both("truncate", "a", 5 * BLOCK),
    "punch a": _punch("a", 512, 1024),
    "rename a to c": _both("rename", "a", "c"),
    "rename a over b": _both("rename", "a", "b"),
    "rename d to e": _both("rename", "d", "e"),
    "link a as d/a": _both("link", "a", "d/a"),
    "unlink a": _both("unlink", "a"),
    "unlink b": _both("unlink", "b"),
    "rmdir d/f": _both("rmdir", "d/f"),
    "symlink s": _both("symlink", "target", "s"),
    "chmod a": _both("chmod", "a", 0o600),
    "setxattr b": _both("setxattr", "b", "user.x", b"value"),
}
#: What is asked for at the end: a path, everything in the dataset, a txg, or nothing.
REQUESTS = ("fsync a", "fsync b", "fsync d", "syncfs", "sync", "nothing")


@dataclass(frozen=True, slots=True)
class Bounded:
    """A workload: operations, and what is asked for after the last one."""

    operations: tuple[str, ...]
    request: str

    def __str__(self) -> str:
        return "; ".join([*self.operations, self.request])

    @classmethod
    def parse(cls, line: str) -> Bounded:
        """A workload from its line. Raises: ValueError: it is none."""
        *operations, request = (part.strip() for part in line.split(";"))
        if not operations or request not in REQUESTS or any(one not in OPERATIONS for one in operations):
            raise ValueError(f"{line!r} is no workload")
        return cls(tuple(operations), request)


def workloads(length: int, count: int = 0, seed: int = 1) -> list[Bounded]:
    """All workloads of so many operations that can be done, or a sample of ``count`` of them."""
    every = itertools.product(OPERATIONS, repeat=length)
    possible = [Bounded(names, request) for names in every if _possible(names) for request in REQUESTS]
    if not count or len(possible) <= count:
        return possible
    places = sorted(random.Random(seed).sample(range(len(possible)), count))
    return [possible[place] for place in places]


class _Nothing:
    """A file system on which everything is done at once, and nothing: only the model decides what can be done."""

    def __getattr__(self, name: str) -> Callable[..., _Nothing]:
        return lambda *args: self

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _possible(names: Sequence[str]) -> bool:
    model, nothing = _start(), _Nothing()
    try:
        for name in names:
            OPERATIONS[name](nothing, model)  # type: ignore[arg-type]
    except OSError:
        return False
    return True


def _start() -> ModelFs:
    """What there is before a workload begins."""
    model = ModelFs()
    for path, data in (("a", b"a" * 5000), ("b", b"b" * 100)):
        model.create(path, 0o644)
        model.write(path, 0, data)
    model.mkdir("d", 0o755)
    model.mkdir("d/f", 0o755)
    return model


class _BoundedRecorder(SyncRecorder):
    """Records one workload on a pool that was made before."""

    def __init__(self, options: SyncOptions, disks: list[SimDisk]) -> None:
        self.options = options
        self.step_number = self._number = 0
        self._closed = []
        self.env = env_of(options, 2)
        self.promises = Promises()
        self.run = Run(options, disks[0].journal, self.promises, disks)
        pool = open_pool(POOL, disks, env=self.env, txg_seconds=0, threads=1)
        Workload.__init__(self, pool, random.Random(0), self.run.steps.append, models={POOL: _start()})
        pool.fs().fsync("/")  # the log begins
        self.run.history.commit(pool.txg, self.content())
        self._note()
        self._everything_is_sure()
        self._watch(pool)
        self.run.journal.mark(SYNCED, txg=pool.txg)
        self.start = len(self.run.journal)

    def make(self, work: Bounded) -> None:
        """Do what the workload says; the pool is let go of."""
        fs, model = self.pool.fs(), self.models[POOL]
        for name in work.operations:
            number, before = self._ask(), self.pool.txg
            OPERATIONS[name](fs, model)
            self._done(number, before, None, None)
        number, before = self._ask(), self.pool.txg
        word, _, path = work.request.partition(" ")
        if word == "fsync" and model.exists(path):
            asked = frozenset([model.number(path)])
            fs.fsync(path)
            self._done(number, before, POOL, asked)
        elif word == "syncfs":
            fs.syncfs()
            self._done(number, before, POOL, None)
        elif word == "sync":
            self.pool.sync()
            self._done(number, before, None, None)
        self.pool.abandon()


@dataclass(slots=True)
class BoundedRuns:
    """Workloads on one layout.

    Attributes:
        report: of all crash states so far. wrong: (workload, violation) in words.
    """

    options: SyncOptions
    report: Report = field(default_factory=Report)
    wrong: list[tuple[Bounded, str]] = field(default_factory=list)
    _base: list[Pages] = field(default_factory=list)
    _names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        disks, words = make_disks(self.options.layout, Journal())
        properties = {"sync": self.options.sync, "logbias": self.options.logbias}
        with create_pool(
            POOL, words, ashift=12, env=env_of(self.options, 1), txg_seconds=0, dataset_properties=properties, threads=1
        ) as pool:
            fs = pool.fs()
            fs.write_bytes("a", b"a" * 5000)
            fs.write_bytes("b", b"b" * 100)
            fs.makedirs("d/f")
        self._base, self._names = [disk.content for disk in disks], [disk.name for disk in disks]

    def explore(self, work: Bounded) -> Iterator[str]:
        """Every crash state of one workload; gives what is wrong, in words."""
        journal = Journal()
        disks = [SimDisk(content.fork(), name, journal) for content, name in zip(self._base, self._names)]
        recorder = _BoundedRecorder(self.options, disks)
        try:
            recorder.make(work)
        except PoolError as error:
            self.wrong.append((work, f"cannot be done: {error}"))
            yield self.wrong[-1][1]
            return
        explorer = sync_explorer(recorder.run)
        explorer.run(enumerate_states(journal, Plan(seed=self.options.seed), start=recorder.start))
        self.report.add(explorer.report)
        self.report.seconds += explorer.report.seconds
        for violation in explorer.report.violations:
            self.wrong.append((work, str(violation)))
            yield str(violation)

    def explore_all(self, works: Sequence[Bounded], processes: int = 1) -> Iterator[tuple[Bounded, list[str]]]:
        """Every crash state of many workloads, shared by processes, in the order of the workloads.

        Args:
            processes: 0: one for each processor.

        Yields:
            each workload, and what is wrong with it, in words.
        """
        global _runs
        workers = processes or os.cpu_count() or 1
        if workers == 1:
            for work in works:
                yield work, list(self.explore(work))
            return
        started = time.perf_counter()
        _runs = self
        try:
            with ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
                for work, (lines, report) in zip(works, pool.map(_explored, works)):
                    self.report.add(report)
                    self.wrong += [(work, line) for line in lines]
                    yield work, lines
        finally:
            _runs = None
            self.report.seconds += time.perf_counter() - started


_runs: BoundedRuns | None = None  # of a worker, which got it by being forked


def _explored(work: Bounded) -> tuple[list[str], Report]:
    """What a worker found: all that is wrong, in words, and its report."""
    assert _runs is not None
    _runs.report = Report()
    return list(_runs.explore(work)), _runs.report
