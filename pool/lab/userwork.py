"""A user's own workload, and what a power cut does to it.

A workload is a Python file with a few functions, whose parameters say by name what they want:

    setup(fs)                      optional: what is there before; durable when ``run`` begins
    run(fs, acknowledge)           does the work, and says what it has been promised: ``acknowledge("order 7")``
    check(fs, acknowledged)        after a crash: raises AssertionError, or returns text, for what must not be

``fs`` is the file system (``MutableVfs``), ``pool`` the open pool (``WritablePool``), ``acknowledge`` a function that
takes any value which ``repr`` shows, ``acknowledged`` the list of what had been said when the power failed; ``run`` may
take that, too: it begins again where an earlier run was cut off.

Recorded on simulated disks a run is the same each time, as far as the workload itself is: no clock and no randomness
but what the seed gives, a txg after every so many changes rather than seconds.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..device.cachemode import CacheMode
from ..env import Env
from ..errors import PoolError, UsageError
from ..poolcreate import create_pool, open_pool
from ..poolwrite import WritablePool
from .checker import Found, Met, examine
from .crash import CrashState, Plan, enumerate_states, sample
from .explore import Explorer
from .journal import SECTOR, Event, Journal
from .layouts import DISK_SIZE, make_disks
from .model import History
from .simdisk import SimDisk

POOL = "lab"
#: Marks: the setup is durable; the workload has been promised something.
READY, ACKNOWLEDGED = "ready", "acknowledged"
_WANTED = {"setup": False, "run": True, "check": True}
_GIVEN = {
    "setup": ("fs", "pool"),
    "run": ("fs", "pool", "acknowledge", "acknowledged"),
    "check": ("fs", "pool", "acknowledged"),
}


class UserWorkload:
    """The functions of a workload's file.

    Args:
        path: of the file, which is run.

    Raises:
        UsageError: it cannot be read, lacks a function, or a function wants something that is not given.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        spec = importlib.util.spec_from_file_location(f"workload_{path.stem}", path)
        if spec is None or spec.loader is None or not path.is_file():
            raise UsageError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(path.parent.resolve()))  # as for a script
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            raise UsageError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
        finally:
            sys.path.pop(0)
        self._functions: dict[str, Callable[..., Any]] = {}
        self._names: dict[str, list[str]] = {}
        for name, needed in _WANTED.items():
            function = getattr(module, name, None)
            if not callable(function):
                if needed:
                    raise UsageError(f"{path} has no function {name}", "a workload has run and check")
                continue
            names = list(inspect.signature(function).parameters)
            given = _GIVEN[name]
            foreign = [one for one in names if one not in given]
            if foreign:
                raise UsageError(f"{name} of {path} wants {foreign[0]!r}", f"it can have {', '.join(given)}")
            self._functions[name], self._names[name] = function, names

    def call(self, name: str, **given: Any) -> Any:
        """Call one of the functions with what it wants of what is given; nothing if there is none."""
        function = self._functions.get(name)
        if function is None:
            return None
        return function(**{one: given[one] for one in self._names[name]})

    def complaint(self, pool: WritablePool, acknowledged: Sequence[Any]) -> str:
        """What ``check`` has against a pool; empty: nothing."""
        try:
            said = self.call("check", fs=pool.fs(), pool=pool, acknowledged=list(acknowledged))
        except AssertionError as error:
            return f"check: {error}" if str(error) else "check: an assertion failed" + _place(error, self.path)
        except Exception as error:
            # What a crash leaves may be more than a check was written for: a number cut off, a file that is gone.
            return f"check failed with {type(error).__name__}: {error}{_place(error, self.path)}"
        return f"check: {said}" if said else ""


def _place(error: BaseException, path: Path) -> str:
    """The line of the workload that an error came from."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" (line {line})" if line else ""


@dataclass(frozen=True, slots=True)
class UserOptions:
    """How a workload is run.

    Attributes:
        layout: see ``layouts``. seed: of the pool's own chance, and of the choice of states.
        sync, logbias, recordsize: properties. txg: changes after which a txg is written; 0: only when asked.
        size, sector, cache: of the disks.
    """

    layout: str = "single"
    seed: int = 1
    sync: str = "standard"
    logbias: str = "latency"
    recordsize: str = "128K"
    txg: int = 25
    size: int = DISK_SIZE
    sector: int = SECTOR
    cache: CacheMode = "writeback"


@dataclass(frozen=True, slots=True)
class UserRun:
    """A run that was recorded. ``failed``: how ``run`` itself ended, if not well."""

    workload: UserWorkload
    options: UserOptions
    journal: Journal
    failed: str = ""

    @property
    def start(self) -> int:
        """The number of the first event after the setup."""
        return next(number for number, mark in self.journal.marks() if mark.text == READY) + 1

    def choose(self, count: int) -> list[CrashState]:
        """About so many crash states, of all kinds, after the setup."""
        every = list(enumerate_states(self.journal, Plan(seed=self.options.seed), start=self.start))
        boundaries = sum(state.word == "none" for state in every)
        if len(every) < count:
            plan = Plan(seed=self.options.seed, random_sets=32 + -(-(count - len(every)) // max(1, boundaries)))
            every = list(enumerate_states(self.journal, plan, start=self.start))
        return sample(every, count, self.options.seed)


def record_user(workload: UserWorkload, options: UserOptions) -> UserRun:
    """Run a workload on simulated disks.

    Raises:
        PoolError: the pool cannot be made; the setup failed.
    """
    journal = Journal()
    _, words = make_disks(
        options.layout, journal, size=options.size, sector=options.sector, cache=options.cache
    )
    properties = {"sync": options.sync, "logbias": options.logbias, "recordsize": options.recordsize}
    env = Env.fixed(options.seed)
    pool = create_pool(POOL, words, ashift=12, env=env, txg_seconds=0, threads=1, dataset_properties=properties)
    workload.call("setup", fs=pool.fs(), pool=pool)
    pool.sync()
    journal.mark(READY)
    if options.txg:
        close_txgs(pool, options.txg)
    failed = ""
    try:
        workload.call(
            "run", fs=pool.fs(), pool=pool, acknowledged=[],
            acknowledge=lambda value: journal.mark(ACKNOWLEDGED, value=value),
        )  # fmt: skip
    except Exception as error:
        failed = f"run ended with {type(error).__name__}: {error}{_place(error, workload.path)}"
    pool.abandon()
    return UserRun(workload, options, journal, failed)


def close_txgs(pool: WritablePool, every: int) -> None:
    """Write a txg before every so-manieth transaction, in place of a clock."""
    plain, count = pool.engine.tx.before, itertools.count(1)

    def before() -> None:
        if next(count) % every == 0:
            pool.sync()
        plain()

    pool.engine.tx.before = before


class UserExplorer(Explorer):
    """Opens crash states as an import after a crash does, and has the workload check them.

    Args:
        run: a recorded run.
        whole: every block is verified and all space accounted for, too.
    """

    def __init__(self, run: UserRun, *, whole: bool = False, memo: bool = True) -> None:
        self.run_ = run
        self._acknowledged: list[Any] = []
        super().__init__(run.journal, History(), examine=partial(self._check, whole=whole), judge=_judge, memo=memo)

    def found(self, state: CrashState) -> Found:
        """What a look at a state finds, given what had been acknowledged by then."""
        self._acknowledged = acknowledged(self.journal, state.cut)
        return super().found(state)

    def key(self, front: Hashable) -> Hashable:
        """What was acknowledged decides, too."""
        return front, len(self._acknowledged)

    def _check(self, disks: Sequence[SimDisk], met: Met, *, whole: bool) -> Found:
        copies = [disk.twin() for disk in disks]
        env = Env.fixed(self.run_.options.seed)
        txg = -1
        try:
            with open_pool(None, copies, env=env, txg_seconds=0, threads=1, force=True) as pool:
                txg = pool.txg
                complaint = self.run_.workload.complaint(pool, self._acknowledged)
        except PoolError as error:
            return Found(txg, (f"cannot be opened: {error}",))
        problems: tuple[str, ...] = (complaint,) if complaint else ()
        if whole:
            for copy in copies:
                copy.reopen()
            problems += examine(copies).problems
        return Found(txg, problems)


def acknowledged(journal: Journal, cut: int) -> list[Any]:
    """What had been acknowledged when the power failed."""
    return [mark.facts["value"] for _, mark in journal.marks(cut) if mark.text == ACKNOWLEDGED]


def _judge(found: Found, history: History, marks: Iterable[Event]) -> list[str]:
    return list(found.problems)
