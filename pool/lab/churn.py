"""Long runs on image files: random changes over many txgs, near and at the end of space, with imports and crashes.

Phases follow each other: a mixture of everything; filling until there is no room; a mixture in a full pool; removing
until most is gone. Every so many steps the pool is exported, or let go of as in a crash, judged, and opened again:
every block verified, all space accounted for, the content held against a model, and whatever other judges are given.
Now and then something is asked to be durable at once, and goes to an intent log, or a file is rewritten as a database
does it, thousands of times, each time durably; half of the crashes come after changes that only intent logs know, and
all of these must be there when the logs have been replayed.

What counts as wrong, beside the judges: a txg that cannot be written, and removing that is refused for want of space.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..alloc.allocator import Allocator, AllocClass
from ..env import Env
from ..errors import NoSpaceError
from ..poolcreate import create_pool, open_pool
from ..poolwrite import WritablePool
from .checker import examine
from .layouts import LAYOUTS, words_of
from .model import differences
from .steps import GROWING, LOGGED, MIXED, SHRINKING, Change, Scale, Workload

POOL = "churn"
#: Layouts beside those of ``layouts``: more of everything, and every class.
MORE_LAYOUTS = {
    "mirror3": "mirror . . .",
    "raidz2-wide": "raidz2 . . . . . . .",
    "raidzs": "raidz1 . . . raidz1 . . .",
    "draid2": "draid2:3d:8c:2s . . . . . . . .",
    "classes": "mirror . . special mirror . . dedup mirror . . log . cache . spare .",
}
CHURN_LAYOUTS = {**LAYOUTS, **MORE_LAYOUTS}

#: Properties that new datasets get, one value of each.
PROPERTIES = {
    "recordsize": ("512", "4K", "16K", "128K", "1M"),
    "compression": ("off", "lz4", "zstd", "gzip-1", "zle"),
    "checksum": ("on", "sha256", "blake3", "skein", "edonr"),
    "copies": ("1", "1", "2"),
    "xattr": ("sa", "dir"),
    "dnodesize": ("legacy", "auto", "2k"),
    "redundant_metadata": ("all", "most", "some", "none"),
    "special_small_blocks": ("0", "16K"),
}
VOLBLOCKSIZES = (4096, 8192, 64 << 10)
#: In the full phases: this many refusals, or steps, end one.
REFUSALS, FULL_STEPS, MIXED_STEPS, DRAIN_STEPS = 5, 300, 800, 3000
#: Bytes of the smallest block that may become a gang on purpose, as OpenZFS's metaslab_force_ganging has it.
GANGED = 24 << 10
#: Changes before a crash that only intent logs know, at most.
PROMISED_STEPS = 40
#: Durable writes of a storm, at most; or, one time in so many, as many as fill all disks. Bytes of each.
STORM, FILLS = 300, 6
STORM_BYTES = (4 << 10, 24 << 10)
#: Removing ends when this share of files is left.
DRAINED = 0.25

Judge = Callable[[Path, str], list[str]]


@dataclass(frozen=True, slots=True)
class ChurnOptions:
    """What a run is to be.

    Attributes:
        layout: one of ``CHURN_LAYOUTS``, or words with a dot for each disk.
        seed: everything follows from it.
        steps: changes in all. every: steps between two judgements.
        size: bytes of each image. ashift: log2 of the sectors.
        content: bytes of one write at most. files: of a dataset at most.
        gang: one in so many blocks of more than ``GANGED`` bytes finds no room in one piece; 0: none.
    """

    layout: str = "single"
    seed: int = 1
    steps: int = 100_000
    every: int = 5_000
    size: int = 64 << 20
    ashift: int = 12
    content: int = 1 << 20
    files: int = 300
    gang: int = 4


@dataclass(slots=True)
class ChurnReport:
    """What came of it: ``wrong`` is empty if nothing is."""

    steps: int = 0
    txgs: int = 0
    imports: int = 0
    crashes: int = 0
    promises: int = 0  # requests to make something durable at once
    replays: int = 0  # crashes whose changes only intent logs knew
    refusals: int = 0
    fills: int = 0
    ganged: int = 0  # gang blocks met when the pool was judged, at most
    judged: int = 0
    seconds: float = 0.0
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.steps} steps in {self.seconds:.0f} s, {self.txgs} txgs, {self.imports} imports"
            f" ({self.crashes} after a crash, {self.replays} of them with logs to replay), {self.promises} requests to"
            f" logs, full {self.fills} times ({self.refusals} refusals), up to {self.ganged} gang blocks, judged"
            f" {self.judged} times: {'nothing is wrong' if not self.wrong else 'WRONG'}"
        )


class Churn(Workload):
    """One run.

    Args:
        folder: empty; the images are made in it.
        judges: are told the folder and the pool's name whenever the pool is closed; what they give is wrong.
        progress: called with the number of steps done.
    """

    def __init__(
        self,
        options: ChurnOptions,
        folder: Path,
        *,
        judges: Sequence[Judge] = (),
        progress: Callable[[int], object] = lambda done: None,
    ) -> None:
        self.options = options
        self.folder = folder
        self.judges = judges
        self.progress = progress
        self.report = ChurnReport()
        self.last: list[str] = []  # what was done since the pool was opened
        words: list[str] = []
        self.images: list[Path] = []
        for word in words_of(CHURN_LAYOUTS.get(options.layout, options.layout)):
            if word == ".":
                self.images.append(folder / f"d{len(self.images)}.img")
                word = str(self.images[-1])
            words.append(word)
        self.env = Env.fixed(options.seed)
        pool = create_pool(
            POOL, words, size=options.size, ashift=options.ashift, force=True, env=self.env, txg_seconds=0
        )
        scale = Scale(options.content, options.files, PROPERTIES, VOLBLOCKSIZES)
        crowd(pool.engine.allocator, options.gang, options.seed)
        super().__init__(pool, random.Random(f"{options.seed}/{options.layout}"), self._note, scale=scale)
        self._phase, self._until, self._peak = "mixed", MIXED_STEPS, 0
        self._refused = 0
        self._only_logged = False
        self._promised = False  # since the last txg: a crash would leave more than that
        self._keep()

    def _note(self, line: str) -> None:
        self.last.append(line)
        self.report.done[line.partition(": ")[2].partition(" ")[0] or line.partition(" ")[0]] += 1

    # --- txgs and imports ---------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Close the txg, and remember what is on disk then."""
        self.pool.sync()
        self._keep()

    def _keep(self) -> None:
        self._promised = False
        self._kept = (self.pool.txg, {name: model.copy() for name, model in self.models.items()}, dict(self.volumes))

    def _leave(self) -> None:
        """Let go of the pool, half of the times as a crash does it."""
        txgs, how = self.pool.txg, self.rng.randrange(4)
        if how < 2:
            if how == 0 or self._promised or self.pool.txg != self._kept[0]:
                self.sync()  # a log, or a txg that destroying has written, would leave more than is known here
            if how == 0:
                self._change_and_promise()
            else:
                _, self.models, self.volumes = self._kept
            self.pool.abandon()
            self.report.crashes += 1
            if how == 0:
                self._enter().close()  # replays the logs
                self.report.replays += 1
        else:
            self.pool.close()
        self.report.txgs = max(txgs, self.pool.txg)

    def _change_and_promise(self) -> None:
        """Change datasets that are on disk in ways that logs know, and make that durable without a txg."""
        self._only_logged = True
        try:
            for _ in range(self.rng.randrange(1, PROMISED_STEPS)):
                try:
                    if self.rng.random() < 0.05:
                        self._storm()
                    elif self.volumes and self.rng.random() < 0.2:
                        self._volume(self.rng.choice(sorted(self.volumes)))
                    else:
                        self._change(self.rng.choice(sorted(self.models)))
                except NoSpaceError:
                    self.report.refusals += 1
        finally:
            self._only_logged = False
        for name in sorted(self.models):
            self.pool.fs(name).syncfs()
        for name in sorted(self.volumes):
            self.pool.volume(name).fsync()
        self.report.promises += len(self.models) + len(self.volumes)

    def _enter(self) -> WritablePool:
        self.env = Env.fixed(self.options.seed * 1000 + self.report.imports)
        self.report.imports += 1
        self.last.clear()
        pool = open_pool(POOL, [str(image) for image in self.images], env=self.env, txg_seconds=0)
        crowd(pool.engine.allocator, self.options.gang, self.report.imports)
        return pool

    def judge(self) -> list[str]:
        """What is wrong with the pool, which is closed."""
        found = examine([str(image) for image in self.images])
        self.report.ganged = max(self.report.ganged, found.ganged)
        self.report.judged += 1
        wrong = [*found.problems, *differences(self.content(), found.content)]
        for judge in self.judges:
            wrong += judge(self.folder, POOL)
        return wrong

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> ChurnReport:
        """All steps, until something is wrong; the pool is left closed."""
        began, report = time.monotonic(), self.report
        left = self.rng.randrange(10, 60)
        try:
            while report.steps < self.options.steps and not report.wrong:
                self._one()
                report.steps += 1
                self.progress(1)
                left -= 1
                if left <= 0:
                    self.sync()
                    left = self.rng.randrange(10, 60)
                if report.steps % self.options.every == 0:
                    self._again()
            if report.steps % self.options.every and not report.wrong:
                self._again()
            self.pool.close()
        except Exception as error:
            report.wrong.append(f"step {report.steps}, {self._phase}: {type(error).__name__}: {error}")
            report.wrong += [f"before that: {line}" for line in self.last[-5:]]
            self.pool.abandon()
        report.seconds = time.monotonic() - began
        return report

    def _again(self) -> None:
        self._leave()
        self.report.wrong += [f"after step {self.report.steps}, {self._phase}: {line}" for line in self.judge()]
        self.pool = self._enter()
        self._keep()

    def _one(self) -> None:
        """A step of the phase, and the next phase when this one has ended."""
        try:
            self._step_of_phase()
        except NoSpaceError:
            if self._phase == "shrinking":
                raise
            self._refused += 1
            self.report.refusals += 1
        self._until -= 1
        files = sum(len(model.nodes) for model in self.models.values())
        self._peak = max(self._peak, files)
        if self._phase == "growing" and self._refused >= REFUSALS:
            self.report.fills += 1
            self._turn("full", FULL_STEPS)
        elif self._phase == "shrinking" and files < DRAINED * self._peak:
            self._turn("mixed", MIXED_STEPS)
        elif self._until <= 0:
            following = {"mixed": "growing", "growing": "full", "full": "shrinking", "shrinking": "mixed"}
            self._turn(following[self._phase], DRAIN_STEPS if self._phase == "full" else MIXED_STEPS)

    def _turn(self, phase: str, steps: int) -> None:
        self._phase, self._until, self._refused = phase, steps, 0
        self._peak = 0 if phase == "mixed" else self._peak

    @property
    def changes(self) -> Sequence[Change]:
        """Of one file, as the phase has them."""
        if self._only_logged:
            return LOGGED
        return {"growing": GROWING, "shrinking": SHRINKING}.get(self._phase, MIXED)

    def _step_of_phase(self) -> None:
        if self._phase in ("growing", "shrinking"):
            self._change(self.rng.choice(sorted(self.models)))
        elif self.rng.random() < 0.97:
            self.step()
        else:
            self.rng.choice((self._set, self._resize, self._held, self._promise, self._storm))()

    # --- steps beside those of ``Workload`` ---------------------------------------------------------------------------

    def _set(self) -> None:
        """A property of a dataset that is there."""
        name = self.rng.choice(sorted(self.models))
        prop = self.rng.choice(sorted(PROPERTIES))
        if self.rng.random() < 0.3 and name != POOL:
            self.pool.inherit(name, prop)
            return
        self.pool.set(name, prop, self.rng.choice(PROPERTIES[prop]))
        self.tell(f"{name}: set {prop}")

    def _promise(self) -> None:
        """A dataset, a file of one, or a volume is to be durable at once."""
        name = self.rng.choice(sorted([*self.models, *self.volumes]))
        self.tell(f"{name}: promise")
        self._promised = True
        self.report.promises += 1
        if name in self.volumes:
            self.pool.volume(name).fsync()
            return
        files = self.models[name].paths("file")
        if files and self.rng.random() < 0.5:
            self.pool.fs(name).fsync(self.rng.choice(files))
        else:
            self.pool.fs(name).syncfs()

    def _storm(self) -> None:
        """A file is rewritten here and there, again and again, and each time durably."""
        name = self.rng.choice(sorted(self.models))
        model, files = self.models[name], self.models[name].paths("file")
        if not files:
            return
        path, size, count = self.rng.choice(files), self.rng.randrange(*STORM_BYTES), self.rng.randrange(1, STORM)
        if self.rng.randrange(FILLS) == 0:
            count = self.options.size * len(self.images) // size
        self.tell(f"{name}: storm of {count} times {size} bytes on {path}")
        self._promised = True
        data = self.rng.randbytes(2 * size)
        with self.pool.fs(name).open(path, "rb+") as file:
            for _ in range(count):
                offset, start = self.rng.randrange(0, self.scale.content), self.rng.randrange(size)
                file.pwrite(data[start : start + size], offset)
                model.write(path, offset, data[start : start + size])
                file.fsync()
                self.report.promises += 1

    def _resize(self) -> None:
        """A volume of another size."""
        if not self.volumes:
            return
        name = self.rng.choice(sorted(self.volumes))
        before = self.volumes[name]
        size = max(VOLBLOCKSIZES) * self.rng.randrange(1, 40)
        self.pool.set(name, "volsize", size)
        self.volumes[name] = before[:size] + bytes(max(0, size - len(before)))
        self.tell(f"{name}: resize to {size}")

    def _held(self) -> None:
        """A file that is open loses its name, is written and read, and goes."""
        name = self.rng.choice(sorted(self.models))
        model, vfs = self.models[name], self.pool.fs(name)
        files = [path for path in model.paths("file") if model.tree()[path]["nlink"] == 1]
        if not files:
            return
        path = self.rng.choice(files)
        data = bytearray(model.node(path).data)
        more = self.rng.randbytes(self.rng.randrange(1, 50_000))
        with vfs.open(path, "rb+") as file:
            vfs.unlink(path)
            model.unlink(path)
            self.tell(f"{name}: unlink {path} while it is open")
            self.sync()
            file.seek(0, 2)
            file.write(more)
            if self.rng.random() < 0.5:
                self.sync()
            file.seek(0)
            if file.read() != bytes(data) + more:
                raise AssertionError(f"{name}:/{path} reads otherwise after it was unlinked")


def crowd(allocator: Allocator, gang: int, seed: int) -> None:
    """Let an allocator say of one in ``gang`` larger blocks that there is no room for them in one piece."""
    if not gang:
        return
    whole, rng = allocator.allocate, np.random.default_rng(seed)

    def allocate(
        psizes: ArrayLike, *, txg: int, copies: int = 1, cls: AllocClass = AllocClass.NORMAL
    ) -> NDArray[np.uint64]:
        sizes = np.asarray(psizes)
        result = np.zeros((len(sizes), copies, 3), np.uint64)
        rows = np.flatnonzero((sizes < GANGED) | (rng.integers(0, gang, len(sizes)) > 0))
        if len(rows):
            result[rows] = whole(sizes[rows], txg=txg, copies=copies, cls=cls)
        return result

    allocator.allocate = allocate  # type: ignore[method-assign]


def churn(
    options: ChurnOptions,
    folder: Path,
    *,
    judges: Sequence[Judge] = (),
    progress: Callable[[int], object] = lambda done: None,
) -> ChurnReport:
    """Make a run in an empty folder.

    Raises:
        UsageError: no such layout. PoolError: the pool cannot be made.
    """
    return Churn(options, folder, judges=judges, progress=progress).run()
