"""The entries of a manifest, in the order of ``zfs list`` and, within a dataset, of paths.

Of a file: dataset, path (``.`` is the top), type, mode (octal), uid, gid, nlink, size, mtime_ns, object, and where they
apply sha256, target, rdev, xattr (by name: hex, or size and sha256 beyond 64 bytes). Of a file of 1 GiB or more
``large.nonzero_runs`` stands in place of sha256: offset, length and sha256 of what is not zero in each range of data.
Of a volume: dataset, type, size, sha256 (of 1 TiB or more: large). What cannot be read has ``error``.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Protocol

from ..dsl.dataset import DslDataset
from ..errors import PoolError
from ..pool import Pool
from ..vfs import Vfs
from ..zpl import directory
from ..zpl.batch import BATCH_BYTES, cost
from ..zpl.file import ObjectFile, ZplFile
from ..zpl.znode import Znode
from ..zvol import Zvol
from .digest import EMPTY, Result, Seen, hash_small, nonzero_runs, sha256_of

LARGE_FILE = 1 << 30
LARGE_VOLUME = 1 << 40  # whose zeros alone would take minutes
XATTR_INLINE = 64
BATCH_ENTRIES = 2048
AHEAD = 2  # batches that are read and hashed while the one before is being used

Entry = dict[str, Any]


class Progress(Protocol):
    """Called with the number of entries done since the last call."""

    def __call__(self, done: int, /) -> object: ...


def entries(
    pool: Pool, dataset: str | None = None, *, progress: Progress | None = None, threads: int | None = None
) -> Iterator[Entry]:
    """Everything in a pool, or in a dataset and what is below it.

    Args:
        pool: open.
        dataset: a file system or volume (with its snapshots and all below it), or one snapshot.
        progress: called now and then.
        threads: for checksums; without it one for each processor.

    Raises:
        NotFoundError: no such dataset. Whatever else goes wrong is in the entries.
    """
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers, thread_name_prefix="manifest") as executor:
        work = _Manifest(executor)
        for item in _selected(pool, dataset):
            for entry in work.dataset(item):
                yield entry
                if progress is not None:
                    progress(1)


def _selected(pool: Pool, dataset: str | None) -> Iterator[DslDataset]:
    if dataset is not None and "@" in dataset:
        yield pool.spa.dsl.dataset(dataset)
        return
    yield from pool.spa.dsl.datasets(dataset)


class _Manifest:
    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.executor = executor
        self.seen = Seen()

    def dataset(self, item: DslDataset) -> Iterator[Entry]:
        """Entries of one file system, volume or snapshot."""
        try:
            if item.head_kind == "volume":
                yield self._volume(item)
                return
            vfs = Vfs.of(item)
        except PoolError as error:
            yield {"dataset": item.name, "type": item.kind, "error": str(error)}
            return
        yield from self._tree(vfs, item)

    def _volume(self, item: DslDataset) -> Entry:
        entry: Entry = {"dataset": item.name, "type": "volume"}
        try:
            volume = Zvol(item.objset())
            entry["size"] = volume.size
            if volume.size >= LARGE_VOLUME:
                entry["large"] = {"nonzero_runs": [list(run) for run in nonzero_runs(volume.open(), self.executor)]}
                return entry
            key = Seen.key(volume.dnode, volume.size)
            digest = self.seen.get(key) or sha256_of(volume.open(), self.executor)
            self.seen.put(key, digest)
            entry["sha256"] = digest
        except PoolError as error:
            entry["error"] = str(error)
        return entry

    def _tree(self, vfs: Vfs, item: DslDataset) -> Iterator[Entry]:
        """Batches go through the workers in order, a few at a time."""
        waiting: deque[Future[list[Entry]]] = deque()
        batch: list[tuple[str, Znode | PoolError]] = []
        size = 0

        def submit() -> None:
            nonlocal batch, size
            work, batch, size = batch, [], 0
            waiting.append(self.executor.submit(self._batch, vfs, item, work))

        def damaged(path: str, error: PoolError) -> None:
            batch.append((path, error))

        for path, znode in vfs.tree("/", damaged=damaged):
            taken = cost(ObjectFile(znode.dnode, znode.size)) if znode.type == "file" else 0
            if taken is None:
                # A large file is read here, and has the workers for itself.
                submit()
                while waiting:
                    yield from waiting.popleft().result()
                yield from self._batch(vfs, item, [(path, znode)], self.executor)
                continue
            batch.append((path, znode))
            size += taken
            if len(batch) >= BATCH_ENTRIES or size >= BATCH_BYTES:
                submit()
                if len(waiting) > AHEAD:
                    yield from waiting.popleft().result()
        submit()
        while waiting:
            yield from waiting.popleft().result()

    def _batch(
        self,
        vfs: Vfs,
        item: DslDataset,
        batch: list[tuple[str, Znode | PoolError]],
        executor: Executor | None = None,
    ) -> list[Entry]:
        found: list[Entry] = []
        small: list[tuple[Entry, bytes, ZplFile]] = []
        for path, znode in batch:
            if isinstance(znode, PoolError):
                found.append({"dataset": item.name, "path": path, "error": str(znode)})
                continue
            entry: Entry = {"dataset": item.name, "path": path}
            found.append(entry)
            try:
                self._describe(entry, vfs, znode, item.is_snapshot)
                if znode.type == "file":
                    self._content(entry, ZplFile(znode, path), small, executor)
                if attributes := vfs.xattrs_of(znode):
                    entry["xattr"] = {name: _value(value) for name, value in sorted(attributes.items())}
            except PoolError as error:
                entry["error"] = str(error)
        self._digest(small)
        return found

    def _describe(self, entry: Entry, vfs: Vfs, znode: Znode, snapshot: bool) -> None:
        entry["type"] = znode.type
        entry["mode"] = f"{znode.mode & 0o7777:04o}"
        entry["uid"], entry["gid"] = znode.uid, znode.gid
        entry["nlink"], entry["size"], entry["mtime_ns"] = vfs.nlink(znode), znode.size, znode.mtime
        if not (snapshot and entry["path"] == "."):
            # A mounted snapshot's top has another number than the object.
            entry["object"] = znode.object
        if znode.rdev is not None:
            entry["rdev"] = list(znode.rdev)
        if znode.type == "symlink":
            entry["target"] = directory.text(znode.target())

    def _content(
        self, entry: Entry, file: ZplFile, small: list[tuple[Entry, bytes, ZplFile]], executor: Executor | None
    ) -> None:
        if file.size >= LARGE_FILE:
            entry["large"] = {"nonzero_runs": [list(run) for run in nonzero_runs(file, executor)]}
            return
        if file.size == 0:
            entry["sha256"] = EMPTY
            return
        key = Seen.key(file.dnode, file.size)
        known = self.seen.get(key)
        if known is not None:
            entry["sha256"] = known
        elif cost(file) is not None:
            small.append((entry, key, file))
        else:
            entry["sha256"] = sha256_of(file, executor)
            self.seen.put(key, entry["sha256"])

    def _digest(self, small: list[tuple[Entry, bytes, ZplFile]]) -> None:
        results: list[Result] = hash_small([file for _, _, file in small])
        for (entry, key, _), result in zip(small, results):
            if isinstance(result, PoolError):
                entry["error"] = str(result)
            else:
                entry["sha256"] = result
                self.seen.put(key, result)


def _value(value: bytes) -> str | dict[str, Any]:
    if len(value) <= XATTR_INLINE:
        return value.hex()
    return {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
