"""Recorded runs: a pool made and changed on simulated disks, with a model beside it that says what each txg holds.

Everything follows from the seed: the same run has the same journal, byte for byte. Each step is made on the pool and on
the model; a txg is closed only where the run says so, and what the model holds then is what every crash state of that
txg must show. Some steps are groups over several datasets, some groups are given up half way, and now and then the pool
is exported and imported again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ..env import Env
from ..poolcreate import create_pool, open_pool
from ..poolwrite import WritablePool
from ..vfswrite import MutableVfs
from .checker import SYNCED, Found
from .crash import CrashState, States
from .journal import SECTOR, Journal
from .layouts import DISK_SIZE, make_disks
from .model import Content, History, ModelFs, volume_tree
from .simdisk import CacheMode, SimDisk

POOL = "lab"
CONTENT_MAX = 96 << 10  # bytes of one write
FILES_MAX = 60  # beyond it more is removed than made


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


class _Abandoned(Exception):
    """A group is given up."""


class Recorder:
    """Makes one run.

    Attributes:
        run: what has been recorded so far.
        pool: open, between steps.
        models: of file systems. volumes: their content.
    """

    def __init__(self, options: RunOptions) -> None:
        self._begin(options, 1)
        disks, words = make_disks(
            options.layout, Journal(), size=options.size, sector=options.sector, cache=options.cache
        )
        self.run = Run(options, disks[0].journal, History(), disks)
        self.pool = create_pool(POOL, words, ashift=options.ashift, env=self.env, txg_seconds=0)
        self.run.history.commit(self.pool.txg, self.content())
        self.run.journal.mark(SYNCED, txg=self.pool.txg)

    def _begin(self, options: RunOptions, life: int) -> None:
        self.rng = random.Random(f"{options.seed}/{options.layout}/{life}")
        self.env = Env.fixed(options.seed * 1000 + life)
        self.models: dict[str, ModelFs] = {POOL: ModelFs()}
        self.volumes: dict[str, bytes] = {}

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
        result._begin(run.options, life)
        journal = Journal()
        result.run = Run(run.options, journal, History(), states.disks(state, journal))
        for name, tree in found.content.items():
            if tree["."]["type"] == "volume":
                result.volumes[name] = tree["."]["data"]
                result.models.pop(name, None)
            else:
                result.models[name] = ModelFs.of(tree)
        result.run.history.commit(found.txg, result.content())
        journal.mark(SYNCED, txg=found.txg)
        result.pool = result.open()
        return result

    def open(self) -> WritablePool:
        """Import the pool from the disks as they are."""
        return open_pool(POOL, self.run.disks, env=self.env, txg_seconds=0)

    def content(self) -> Content:
        """What the pool should hold now."""
        files: Content = {name: model.tree() for name, model in self.models.items()}
        return files | {name: volume_tree(data) for name, data in self.volumes.items()}

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

    # --- steps ----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """One step: mostly a change of one file, sometimes a group, sometimes a dataset."""
        kind = self.rng.random()
        if kind < 0.12:
            self._group()
        elif kind < 0.18:
            self._dataset()
        elif kind < 0.26 and self.volumes:
            self._volume(self.rng.choice(sorted(self.volumes)))
        else:
            self._change(self.rng.choice(sorted(self.models)))

    def _group(self) -> None:
        """Several changes over several datasets, together; one in three is given up and must leave nothing."""
        given_up = self.rng.random() < 1 / 3
        before, volumes = {name: model.copy() for name, model in self.models.items()}, dict(self.volumes)
        self.run.steps.append("group begins")
        try:
            with self.pool.transaction():
                for name in self.rng.choices(sorted([*self.models, *self.volumes]), k=self.rng.randrange(2, 5)):
                    if name in self.volumes:
                        self._volume(name)
                    else:
                        self._change(name)
                if given_up:
                    raise _Abandoned
        except _Abandoned:
            self.models, self.volumes = before, volumes
        self.run.steps.append("group is given up" if given_up else "group ends")

    def _dataset(self) -> None:
        """A new file system or volume, or one less."""
        every = {*self.models, *self.volumes}
        leaves = [name for name in every if name != POOL and not any(one.startswith(f"{name}/") for one in every)]
        if leaves and (len(every) > 5 or self.rng.random() < 0.3):
            name = self.rng.choice(sorted(leaves))
            self.sync()  # destroying would do so, unseen by the model
            self.run.steps.append(f"destroy {name}")
            self.pool.destroy(name)
            self.models.pop(name, None)
            self.volumes.pop(name, None)
            return
        name = f"{self.rng.choice(sorted(self.models))}/{self.rng.choice('abcdefgh')}"
        if name in every or name.count("/") > 3:
            return
        if self.rng.random() < 0.3:
            size, block = 8192 * self.rng.randrange(1, 40), self.rng.choice((4096, 8192))
            self.run.steps.append(f"create volume {name} of {size} bytes")
            self.pool.create_volume(name, size, volblocksize=block)
            self.volumes[name] = bytes(size)
        else:
            self.run.steps.append(f"create {name}")
            self.pool.create_filesystem(name, {"recordsize": self.rng.choice((4096, 16 << 10, 128 << 10))})
            self.models[name] = ModelFs()

    def _volume(self, name: str) -> None:
        """A write or a discard somewhere on a volume."""
        before = self.volumes[name]
        offset = self.rng.randrange(len(before))
        data = _data(self.rng)[: len(before) - offset]
        volume = self.pool.volume(name)
        if self.rng.random() < 0.2:
            data = bytes(len(data))
            volume.open().discard(offset, len(data))  # type: ignore[attr-defined]
        else:
            volume.open().pwrite(data, offset)  # type: ignore[attr-defined]
        self.volumes[name] = before[:offset] + data + before[offset + len(data) :]
        self.run.steps.append(f"{name}: write {offset}+{len(data)}")

    def _change(self, dataset: str) -> None:
        model, vfs = self.models[dataset], self.pool.fs(dataset)
        for _ in range(20):  # until one fits what is there
            line = self.rng.choice(_CHANGES)(self.rng, model, vfs)
            if line:
                self.run.steps.append(f"{dataset}: {line}")
                return


Change = Callable[[random.Random, ModelFs, MutableVfs], str]


def _new_path(rng: random.Random, model: ModelFs) -> str:
    """A path that is free, in a directory that is there; empty: there is enough already."""
    if len(model.nodes) > FILES_MAX:
        return ""
    folder = rng.choice(["", *model.paths("dir")])
    name = "".join(rng.choices("abcdefghij", k=rng.choice((1, 1, 3, 60))))
    path = f"{folder}/{name}" if folder else name
    return "" if name in model.node(folder).names or path.count("/") > 6 else path


def _any(rng: random.Random, model: ModelFs, *types: str) -> str:
    found = model.paths(*types)
    return rng.choice(found) if found else ""


def _data(rng: random.Random) -> bytes:
    """Content of very different sizes: random, repeated, or zeros."""
    size = rng.choice((rng.randrange(1, 100), rng.randrange(1, 5000), rng.randrange(1, CONTENT_MAX)))
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(size)
    return rng.randbytes(size) if kind < 3 else (rng.randbytes(16) * (size // 16 + 1))[:size]


def _create(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _new_path(rng, model)
    if path:
        mode, data = rng.choice((0o644, 0o600, 0o4755)), _data(rng)
        vfs.write_bytes(path, data, permissions=mode)
        model.create(path, mode)
        model.write(path, 0, data)
    return path and f"create {path} of {len(data)} bytes"


def _write(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file")
    if path:
        size, data = len(model.node(path).data), _data(rng)
        offset = rng.choice((size, rng.randrange(size + 1), rng.randrange(2 * CONTENT_MAX)))
        with vfs.open(path, "rb+") as file:
            file.seek(offset)
            file.write(data)
        model.write(path, offset, data)
    return path and f"write {path} {offset}+{len(data)}"


def _truncate(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file")
    if path:
        size = rng.choice((0, rng.randrange(2 * CONTENT_MAX), len(model.node(path).data) // 2))
        vfs.truncate(path, size)
        model.truncate(path, size)
    return path and f"truncate {path} to {size}"


def _punch(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file")
    if path:
        size = len(model.node(path).data)
        offset, length = rng.randrange(size + 1), rng.randrange(1, CONTENT_MAX)
        length = min(length, size - offset)
        vfs.punch(path, offset, length)
        if length:
            model.write(path, offset, bytes(length))
    return path and f"punch {path} {offset}+{length}"


def _mkdir(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _new_path(rng, model)
    if path:
        vfs.mkdir(path, 0o750)
        model.mkdir(path, 0o750)
    return path and f"mkdir {path}"


def _symlink(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _new_path(rng, model)
    if path:
        target = "x" * rng.choice((1, 20, 300))
        vfs.symlink(target, path)
        model.symlink(target, path)
    return path and f"symlink {path}"


def _link(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    old, new = _any(rng, model, "file", "symlink"), _new_path(rng, model)
    if not old or not new:
        return ""
    vfs.link(old, new)
    model.link(old, new)
    return f"link {old} {new}"


def _unlink(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file", "symlink")
    if path:
        vfs.unlink(path)
        model.unlink(path)
    return path and f"unlink {path}"


def _rmdir(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    empty = [path for path in model.paths("dir") if not model.node(path).names]
    if not empty:
        return ""
    path = rng.choice(empty)
    vfs.rmdir(path)
    model.rmdir(path)
    return f"rmdir {path}"


def _rename(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    old = _any(rng, model)
    new = rng.choice((_new_path(rng, model), _any(rng, model, "file")))
    if not old or not new or new == old or new.startswith(old + "/"):
        return ""
    there = model.exists(new)
    if there and (model.node(old).type == "dir" or model.node(new).type == "dir"):
        return ""
    vfs.rename(old, new)
    model.rename(old, new)
    return f"rename {old} {new}"


def _chmod(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file", "dir")
    if path:
        mode = rng.choice((0o600, 0o755, 0o1777))
        vfs.chmod(path, mode)
        model.chmod(path, mode)
    return path and f"chmod {path} {mode:o}"


def _setxattr(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    path = _any(rng, model, "file", "dir")
    if path:
        name, value = f"user.{rng.choice('abc')}", rng.randbytes(rng.choice((0, 5, 300, 3000)))
        vfs.setxattr(path, name, value)
        model.setxattr(path, name, value)
    return path and f"setxattr {path} {name} of {len(value)} bytes"


def _removexattr(rng: random.Random, model: ModelFs, vfs: MutableVfs) -> str:
    found = [(path, name) for path in model.paths("file", "dir") for name in sorted(model.node(path).xattrs)]
    if not found:
        return ""
    path, name = rng.choice(found)
    vfs.removexattr(path, name)
    model.removexattr(path, name)
    return f"removexattr {path} {name}"


_CHANGES: tuple[Change, ...] = (
    *[_create] * 4, *[_write] * 4, _truncate, _punch, _mkdir, _symlink, _link, *[_unlink] * 2, _rmdir, _rename, _chmod,
    _setxattr, _removexattr,
)  # fmt: skip


def record(options: RunOptions) -> Run:
    """Make a run.

    Raises:
        PoolError: the engine refuses what it should be able to do.
    """
    return Recorder(options).record()
