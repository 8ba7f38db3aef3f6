"""Random changes of an open pool, each made on the pool and on a plain model of what it should hold.

Mostly changes of one file; some steps are groups over several datasets, and some of these are given up half way; now
and then a dataset comes or goes. What is done follows from the chance that is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..poolwrite import WritablePool
from ..vfswrite import MutableVfs
from .model import Content, ModelFs, volume_tree


@dataclass(frozen=True, slots=True)
class Scale:
    """How large things get.

    Attributes:
        content: bytes of one write.
        files: of a dataset; beyond it more is removed than made.
        properties: new file systems have one of these values of each.
        volblocksizes: new volumes have one of these.
    """

    content: int = 96 << 10
    files: int = 60
    properties: Mapping[str, Sequence[int | str]] = field(
        default_factory=lambda: {"recordsize": (4096, 16 << 10, 128 << 10)}
    )
    volblocksizes: tuple[int, ...] = (4096, 8192)


class _Abandoned(Exception):
    """A group is given up."""


class Workload:
    """Changes a pool step by step.

    Attributes:
        pool: open; whoever closes it puts in another.
        models: of file systems. volumes: their content.
        tell: is called with what was done, in words.
    """

    def __init__(
        self,
        pool: WritablePool,
        rng: random.Random,
        tell: Callable[[str], object],
        *,
        models: dict[str, ModelFs] | None = None,
        volumes: dict[str, bytes] | None = None,
        scale: Scale | None = None,
    ) -> None:
        self.pool = pool
        self.rng = rng
        self.tell = tell
        self.models = {pool.name: ModelFs()} if models is None else models
        self.volumes = {} if volumes is None else volumes
        self.scale = scale or Scale()

    def content(self) -> Content:
        """What the pool should hold now."""
        files: Content = {name: model.tree() for name, model in self.models.items()}
        return files | {name: volume_tree(data) for name, data in self.volumes.items()}

    @property
    def changes(self) -> Sequence[Change]:
        """Of one file: what is drawn from."""
        return MIXED

    def sync(self) -> None:
        """Close the txg."""
        self.pool.sync()

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
        self.tell("group begins")
        try:
            with self.pool.transaction():
                for name in self.rng.choices(sorted([*self.models, *self.volumes]), k=self.rng.randrange(2, 5)):
                    if name in self.volumes:
                        self._volume(name)
                    else:
                        self._change(name)
                if given_up:
                    raise _Abandoned
        except BaseException as error:
            self.models, self.volumes = before, volumes
            if not isinstance(error, _Abandoned):
                raise
        self.tell("group is given up" if given_up else "group ends")

    def _dataset(self) -> None:
        """A new file system or volume, or one less."""
        every = {*self.models, *self.volumes}
        below = {name for name in every if name != self.pool.name}
        leaves = [name for name in below if not any(one.startswith(f"{name}/") for one in every)]
        if leaves and (len(every) > 5 or self.rng.random() < 0.3):
            name = self.rng.choice(sorted(leaves))
            self.sync()  # destroying would do so, unseen by the model
            self.tell(f"destroy {name}")
            self.pool.destroy(name)
            self.models.pop(name, None)
            self.volumes.pop(name, None)
            return
        name = f"{self.rng.choice(sorted(self.models))}/{self.rng.choice('abcdefgh')}"
        if name in every or name.count("/") > 3:
            return
        if self.rng.random() < 0.3:
            block = self.rng.choice(self.scale.volblocksizes)
            size = max(self.scale.volblocksizes) * self.rng.randrange(1, 40)
            self.tell(f"create volume {name} of {size} bytes")
            self.pool.create_volume(name, size, volblocksize=block)
            self.volumes[name] = bytes(size)
        else:
            self.tell(f"create {name}")
            wanted = {prop: self.rng.choice(values) for prop, values in self.scale.properties.items()}
            self.pool.create_filesystem(name, wanted)
            self.models[name] = ModelFs()

    def _volume(self, name: str) -> None:
        """A write or a discard somewhere on a volume."""
        before = self.volumes[name]
        offset = self.rng.randrange(len(before))
        data = _data(self.rng, self.scale)[: len(before) - offset]
        volume = self.pool.volume(name)
        if self.rng.random() < 0.2:
            data = bytes(len(data))
            volume.open().discard(offset, len(data))
        else:
            volume.open().pwrite(data, offset)
        self.volumes[name] = before[:offset] + data + before[offset + len(data) :]
        self.tell(f"{name}: write {offset}+{len(data)}")

    def _change(self, dataset: str) -> None:
        model, vfs = self.models[dataset], self.pool.fs(dataset)
        for _ in range(20):  # until one fits what is there
            line = self.rng.choice(self.changes)(self.rng, model, vfs, self.scale)
            if line:
                self.tell(f"{dataset}: {line}")
                return


Change = Callable[[random.Random, ModelFs, MutableVfs, Scale], str]


def _new_path(rng: random.Random, model: ModelFs, scale: Scale) -> str:
    """A path that is free, in a directory that is there; empty: there is enough already."""
    if len(model.nodes) > scale.files:
        return ""
    folder = rng.choice(["", *model.paths("dir")])
    name = "".join(rng.choices("abcdefghij", k=rng.choice((1, 1, 3, 60))))
    path = f"{folder}/{name}" if folder else name
    return "" if name in model.node(folder).names or path.count("/") > 6 else path


def _any(rng: random.Random, model: ModelFs, *types: str) -> str:
    found = model.paths(*types)
    return rng.choice(found) if found else ""


def _data(rng: random.Random, scale: Scale) -> bytes:
    """Content of very different sizes: random, repeated, or zeros."""
    size = rng.choice((rng.randrange(1, 100), rng.randrange(1, 5000), rng.randrange(1, scale.content)))
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(size)
    return rng.randbytes(size) if kind < 3 else (rng.randbytes(16) * (size // 16 + 1))[:size]


def _create(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _new_path(rng, model, scale)
    if path:
        mode, data = rng.choice((0o644, 0o600, 0o4755)), _data(rng, scale)
        vfs.write_bytes(path, data, permissions=mode)
        model.create(path, mode)
        model.write(path, 0, data)
    return path and f"create {path} of {len(data)} bytes"


def _write(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file")
    if path:
        size, data = len(model.node(path).data), _data(rng, scale)
        offset = rng.choice((size, rng.randrange(size + 1), rng.randrange(2 * scale.content)))
        with vfs.open(path, "rb+") as file:
            file.seek(offset)
            file.write(data)
        model.write(path, offset, data)
    return path and f"write {path} {offset}+{len(data)}"


def _truncate(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file")
    if path:
        size = rng.choice((0, rng.randrange(2 * scale.content), len(model.node(path).data) // 2))
        vfs.truncate(path, size)
        model.truncate(path, size)
    return path and f"truncate {path} to {size}"


def _punch(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file")
    if path:
        size = len(model.node(path).data)
        offset, length = rng.randrange(size + 1), rng.randrange(1, scale.content)
        length = min(length, size - offset)
        vfs.punch(path, offset, length)
        if length:
            model.write(path, offset, bytes(length))
    return path and f"punch {path} {offset}+{length}"


def _mkdir(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _new_path(rng, model, scale)
    if path:
        vfs.mkdir(path, 0o750)
        model.mkdir(path, 0o750)
    return path and f"mkdir {path}"


def _symlink(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _new_path(rng, model, scale)
    if path:
        target = "x" * rng.choice((1, 20, 300))
        vfs.symlink(target, path)
        model.symlink(target, path)
    return path and f"symlink {path}"


def _link(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    old, new = _any(rng, model, "file", "symlink"), _new_path(rng, model, scale)
    if not old or not new:
        return ""
    vfs.link(old, new)
    model.link(old, new)
    return f"link {old} {new}"


def _unlink(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file", "symlink")
    if path:
        vfs.unlink(path)
        model.unlink(path)
    return path and f"unlink {path}"


def _rmdir(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    empty = [path for path in model.paths("dir") if not model.node(path).names]
    if not empty:
        return ""
    path = rng.choice(empty)
    vfs.rmdir(path)
    model.rmdir(path)
    return f"rmdir {path}"


def _rename(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    old = _any(rng, model)
    new = rng.choice((_new_path(rng, model, scale), _any(rng, model, "file")))
    if not old or not new or new == old or new.startswith(old + "/"):
        return ""
    there = model.exists(new)
    if there and (model.node(old).type == "dir" or model.node(new).type == "dir"):
        return ""
    vfs.rename(old, new)
    model.rename(old, new)
    return f"rename {old} {new}"


def _chmod(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file", "dir")
    if path:
        mode = rng.choice((0o600, 0o755, 0o1777))
        vfs.chmod(path, mode)
        model.chmod(path, mode)
    return path and f"chmod {path} {mode:o}"


def _setxattr(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    path = _any(rng, model, "file", "dir")
    if path:
        name, value = f"user.{rng.choice('abc')}", rng.randbytes(rng.choice((0, 5, 300, 3000)))
        vfs.setxattr(path, name, value)
        model.setxattr(path, name, value)
    return path and f"setxattr {path} {name} of {len(value)} bytes"


def _removexattr(rng: random.Random, model: ModelFs, vfs: MutableVfs, scale: Scale) -> str:
    found = [(path, name) for path in model.paths("file", "dir") for name in sorted(model.node(path).xattrs)]
    if not found:
        return ""
    path, name = rng.choice(found)
    vfs.removexattr(path, name)
    model.removexattr(path, name)
    return f"removexattr {path} {name}"


MIXED: tuple[Change, ...] = (
    *[_create] * 4, *[_write] * 4, _truncate, _punch, _mkdir, _symlink, _link, *[_unlink] * 2, _rmdir, _rename, _chmod,
    _setxattr, _removexattr,
)  # fmt: skip
#: What intent logs always have records of: of attributes only with a feature, and never of empty ones.
LOGGED: tuple[Change, ...] = tuple(change for change in MIXED if change not in (_setxattr, _removexattr))
GROWING: tuple[Change, ...] = (*[_create] * 6, *[_write] * 3, _mkdir, _setxattr)
SHRINKING: tuple[Change, ...] = (*[_unlink] * 6, _rmdir, _removexattr)
