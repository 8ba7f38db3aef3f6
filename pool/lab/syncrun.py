"""Recorded runs in which changes are asked to be durable between txgs: intent logs are written, and replayed after it.

Each step is made on the pool and on the model, as in ``workload``; now and then a file, a dataset or a volume is asked
for, or, with ``sync=always``, every change is. Whatever closes a txg, the model's content at that moment is what that
txg must hold.

A crash state is opened as an import after a crash would be: logs are claimed and replayed, the pool is exported, and
then everything is verified, all space accounted for, and the content held against what was promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..env import Env
from ..errors import PoolError
from ..ondisk.zplconst import ZVOL_OBJECT
from ..pool import import_pool
from ..poolcreate import open_pool
from ..poolwrite import WritablePool
from ..spa.logs import waiting_logs
from .checker import SYNCED, Found, Met, examine, look
from .explore import Explorer
from .model import Content, ModelFs
from .promises import ASKED, KEPT, Promise, Promises, judge_promises
from .simdisk import SimDisk
from .workload import POOL, Recorder, Run, RunOptions


@dataclass(frozen=True, slots=True)
class SyncOptions(RunOptions):
    """What a run is to be.

    Attributes:
        sync: the property of that name. logbias: likewise.
        ask: how often, out of one, something is asked for after a step.
    """

    sync: str = "standard"
    logbias: str = "latency"
    ask: float = 0.35


class SyncRecorder(Recorder):
    """Makes one run."""

    options: SyncOptions

    def __init__(self, options: SyncOptions) -> None:
        self.options = options
        self.step_number = 0
        self._number = 0  # of requests
        self._closed: list[tuple[int, Content]] = []  # txgs closed since the last step, and what the model held then
        super().__init__(options)
        self.run.history = self.promises = Promises()
        self.run.history.commit(self.pool.txg, self.content())
        self._note()
        self._watch(self.pool)
        if options.sync != "standard" or options.logbias != "latency":
            self.pool.set(POOL, "sync", options.sync)
            self.pool.set(POOL, "logbias", options.logbias)
            self.sync()

    def open(self) -> WritablePool:
        pool = super().open()
        self._watch(pool)
        return pool

    def _watch(self, pool: WritablePool) -> None:
        """Take note of every txg that is closed, whoever closes it."""
        engine = pool.engine
        write = engine.sync

        def sync(why: str = "asked") -> int:
            if engine.anything and not engine.tx.broken and not engine.tx.active:
                self._closed.append((engine.tx.txg, self.content()))
            return write(why)

        engine.sync = sync  # type: ignore[method-assign]

    # --- steps --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        number, before = self._ask(), self.pool.txg
        super().step()
        self._done(number, before, None, None)
        if self.options.sync != "always" and self.rng.random() < self.options.ask:
            self._request()

    def _request(self) -> None:
        """Ask for a file, a whole file system, or a volume."""
        name = self.rng.choice(sorted([*self.models, *self.volumes]))
        files = self.models[name].paths("file", "dir") if name in self.models else []
        number, before = self._ask(), self.pool.txg
        asked: frozenset[int] | None = None
        if name in self.volumes:
            self.pool.volume(name).fsync()
            self.tell(f"{name}: flush")
        elif files and self.rng.random() < 0.6:
            path = self.rng.choice(files)
            self.pool.fs(name).fsync(path)
            asked = frozenset([self.models[name].number(path)])
            self.tell(f"{name}: fsync {path}")
        else:
            self.pool.fs(name).syncfs()
            self.tell(f"{name}: syncfs")
        self._done(number, before, name, asked)

    def _ask(self) -> int:
        self._number += 1
        self.run.journal.mark(ASKED, number=self._number)
        return self._number

    def _done(self, number: int, before: int, dataset: str | None, asked: frozenset[int] | None) -> None:
        """A step, or a request, is over.

        Args:
            before: the txg that was on disk before it.
            dataset: asked for; None: with ``sync=always`` all are, else none.
            asked: files of it; None: all.
        """
        self.step_number += 1
        self._note()
        closed, self._closed = self._closed, []
        now = self.content()
        for txg, held in closed:
            # With sync=always a change is on disk before the model has it; only destroying begins with a txg.
            late = self.options.sync == "always" and not held.keys() - now.keys()
            self._commit(txg, now if late else held)
            self._everything_is_sure()
            self.run.journal.mark(SYNCED, txg=self.pool.txg)
        wanted = [dataset] if dataset else sorted(now) if self.options.sync == "always" else []
        if self.options.sync == "disabled" or self.pool.txg != before:
            return  # nothing was promised, or the txg keeps it
        nodes, txg = self._nodes(), self.pool.engine.tx.txg
        for name in wanted:
            self.promises.promise(Promise(number, name, txg, self.step_number, now[name], nodes[name], asked))
        if wanted:
            self.run.journal.mark(KEPT, number=number)

    def _commit(self, txg: int, content: Content) -> None:
        history = self.run.history
        if history.at(txg) != content:
            history.commit(txg, content)

    def _note(self) -> None:
        nodes = self._nodes()
        for name, tree in self.content().items():
            self.promises.note(self.step_number, name, tree, nodes[name])

    def _nodes(self) -> dict[str, dict[str, int]]:
        found = {name: _numbers(model) for name, model in self.models.items()}
        return found | {name: {".": ZVOL_OBJECT} for name in self.volumes}

    def _everything_is_sure(self) -> None:
        for name in self.content():
            self.promises.sure(self.step_number, name)

    # --- txgs ---------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Close the txg."""
        before = self.pool.txg
        self.pool.sync()
        self._done(self._ask(), before, None, None)

    def close(self) -> None:
        """Export the pool. What was not synced is written with it."""
        before = self.pool.txg
        self.pool.close()
        self._done(self._ask(), before, None, None)


def _numbers(model: ModelFs) -> dict[str, int]:
    return {path: model.ROOT if path == "." else model.number(path) for path in model.tree()}


def record_sync(options: SyncOptions) -> Run:
    """Make a run.

    Raises:
        PoolError: the engine refuses what it should be able to do.
    """
    return SyncRecorder(options).record()


def sync_explorer(run: Run, *, memo: bool = True) -> Explorer:
    """An explorer of such a run's crash states."""
    return Explorer(run.journal, run.history, examine=recover, judge=judge_promises, memo=memo)


def recover(disks: Sequence[SimDisk], met: Met = lambda pool: None) -> Found:
    """``examine``, after the logs that wait were replayed on copies of the disks.

    The txg is the one at which the pool opened before that.
    """
    try:
        pool = import_pool(None, list(disks), threads=1)
    except PoolError as error:
        return Found(-1, (f"cannot be opened: {error}",))
    with pool:
        before = met(pool)
        if before is not None:
            return before
        txg = pool.txg
        if not waiting_logs(pool.spa):
            return look(pool)
    copies = [disk.twin() for disk in disks]
    try:
        with open_pool(None, copies, env=Env.fixed(txg), txg_seconds=0, threads=1, force=True):
            pass
    except PoolError as error:
        return Found(txg, (f"cannot be recovered: {error}",))
    for copy in copies:
        copy.reopen()
    return replace(examine(copies), txg=txg)

