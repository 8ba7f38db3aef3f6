"""Recorded runs: a pool made and changed on simulated disks, with a model beside it that says what each txg holds.

Everything follows from the seed: the same run has the same journal, byte for byte. Each step is made on the pool and on
the model; a txg is closed only where the run says so, and what the model holds then is what every crash state of that
txg must show. Some steps are groups over several datasets, some groups are given up half way, and now and then the pool
is exported and imported again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..device.base import Device
from ..device.cachemode import CacheMode
from ..env import Env
from ..poolcreate import create_pool, open_pool
from ..poolwrite import WritablePool
from .checker import SYNCED, Found
from .crash import CrashState, Plan, States, enumerate_states, sample
from .journal import SECTOR, Journal
from .layouts import DISK_SIZE, make_disks
from .model import History, ModelFs
from .simdisk import SimDisk
from .steps import Workload

POOL = "lab"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run is to be. Together with the seed it decides every byte.

    Attributes:
        layout: see ``layouts``.
        seed: of everything.
        txgs: how many are written beside creation.
        steps: on average in each txg.
        size: of each disk. sector: what a power cut leaves whole. cache: of the disks.
        ashift: log2 of the pool's sectors.
        reimport: how often, out of one, the pool is exported and imported between two txgs.
    """

    layout: str = "single"
    seed: int = 1
    txgs: int = 4
    steps: int = 12
    size: int = DISK_SIZE
    sector: int = SECTOR
    cache: CacheMode = "writeback"
    ashift: int = 12
    reimport: float = 0.15


@dataclass(slots=True)
class Run:
    """A run that was recorded: the journal, what should be there, the disks as they are now, and what was done."""

    options: RunOptions
    journal: Journal
    history: History
    disks: list[SimDisk]
    steps: list[str] = field(default_factory=list)


class Recorder(Workload):
    """Makes one run.

    Attributes:
        run: what has been recorded so far.
    """

    def __init__(self, options: RunOptions) -> None:
        self.env = env_of(options, 1)
        disks, words = make_disks(
            options.layout, Journal(), size=options.size, sector=options.sector, cache=options.cache
        )
        self.run = Run(options, disks[0].journal, History(), disks)
        pool = create_pool(POOL, words, ashift=options.ashift, env=self.env, txg_seconds=0, threads=1)
        super().__init__(pool, _chance(options, 1), self.run.steps.append)
        self.run.history.commit(self.pool.txg, self.content())
        self.run.journal.mark(SYNCED, txg=self.pool.txg)

    @classmethod
    def resume(cls, run: Run, states: States, state: CrashState, found: Found, life: int = 2) -> Recorder:
        """A run that begins where the power came back: with a new journal, on the disks that a crash state leaves.

        Args:
            run: whose state it is. states: of its journal.
            state: where the power failed; the pool must have been there.
            found: what a look at it found: what there is then is what counts.
            life: of the pool; another number gives other changes.
        """
        result = cls.__new__(cls)
        result.env = env_of(run.options, life)
        journal = Journal()
        result.run = Run(run.options, journal, History(), states.disks(state, journal))
        models: dict[str, ModelFs] = {}
        volumes: dict[str, bytes] = {}
        for name, tree in found.content.items():
            if tree["."]["type"] == "volume":
                volumes[name] = tree["."]["data"]
            else:
                models[name] = ModelFs.of(tree)
        chance, tell = _chance(run.options, life), result.run.steps.append
        Workload.__init__(result, result.open(), chance, tell, models=models, volumes=volumes)
        result.run.history.commit(found.txg, result.content())
        journal.mark(SYNCED, txg=found.txg)
        return result

    def open(self) -> WritablePool:
        """Import the pool from the disks as they are."""
        return open_pool(POOL, self.shown(), env=self.env, txg_seconds=0, threads=1)

    def shown(self) -> Sequence[Device]:
        """The disks as the pool sees them."""
        return self.run.disks

    # --- txgs -----------------------------------------------------------------------------------------------------

    def record(self) -> Run:
        """All txgs of the run, and the export at its end."""
        for _ in range(self.run.options.txgs):
            for _ in range(self.rng.randrange(2 * self.run.options.steps) + 1):
                self.step()
            self.sync()
            if self.rng.random() < self.run.options.reimport:
                self.close()
                self.pool = self.open()
        self.close()
        return self.run

    def sync(self) -> None:
        """Close the txg."""
        txg = self.pool.engine.tx.txg
        if self.pool.engine.anything:
            self.run.history.commit(txg, self.content())
        self.run.journal.mark(SYNCED, txg=self.pool.sync())

    def close(self) -> None:
        """Export the pool. What was not synced is written with it."""
        engine = self.pool.engine
        if engine.anything and engine.tx.txg not in self.run.history.txgs:
            self.run.history.commit(engine.tx.txg, self.content())
        self.pool.close()
        self.run.journal.mark(SYNCED, txg=engine.synced_txg)


def env_of(options: RunOptions, life: int) -> Env:
    """Clock and chance of a pool's life, which follow from the seed."""
    return Env.fixed(options.seed * 1000 + life)


def _chance(options: RunOptions, life: int) -> random.Random:
    return random.Random(f"{options.seed}/{options.layout}/{life}")


def record(options: RunOptions) -> Run:
    """Make a run.

    Raises:
        PoolError: the engine refuses what it should be able to do.
    """
    return Recorder(options).record()


def choose(run: Run, count: int) -> list[CrashState]:
    """About ``count`` states of a run: a sample of all kinds, or with more random sets where there are too few."""
    every = list(enumerate_states(run.journal, Plan(seed=run.options.seed)))
    if len(every) >= count:
        return sample(every, count, run.options.seed)
    boundaries = sum(state.word == "none" for state in every)
    more = 32 + -(-(count - len(every)) // max(1, boundaries))
    return sample(list(enumerate_states(run.journal, Plan(seed=run.options.seed, random_sets=more))), count, 1)
