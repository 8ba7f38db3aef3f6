"""The writing half of the fsspec adapter: what ``ZFSFileSystem(readonly=False)`` can do besides reading.

Changes are durable when their txg is written: a few seconds later, on ``sync``, or on ``close``. Everything inside
``with fs.transaction:`` goes into one txg, over any datasets: after a crash, or an exception, all of it is there or
none. (Other fsspec back ends defer writes in a transaction; here they are seen at once by whoever made them.)
"""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, cast

from fsspec.spec import AbstractFileSystem
from fsspec.transaction import Transaction

from ..errors import (
    ExistsError,
    IsADirectoryInPoolError,
    NotADirectoryInPoolError,
    ReadOnlyError,
    UsageError,
)

if TYPE_CHECKING:
    from ..poolwrite import WritablePool
    from ..vfswrite import MutableVfs
    from ..zpl.file import ObjectFile
    from .fsspec import Place

BUFFER = 1 << 20
COPY = 8 << 20
#: fsspec's modes that write -> the file system's, and whether the file can be read too.
MODES = {"wb": "wb", "xb": "xb", "ab": "ab", "r+b": "rb+", "rb+": "rb+", "w+b": "wb+", "wb+": "wb+"}


class _TakenBackError(Exception):
    """Leaves a transaction that is to be undone."""


class GroupTransaction(Transaction):  # type: ignore[misc]
    """One transaction in every pool that is written while it is open. It ends in the thread that began it."""

    def __init__(self, fs: Writing) -> None:
        super().__init__(fs)
        self._stack = ExitStack()
        self._joined: set[int] = set()

    def join(self, pool: WritablePool) -> None:
        """What is done to a pool from now on is part of it."""
        if id(pool) not in self._joined:
            self._stack.enter_context(pool.transaction())
            self._joined.add(id(pool))

    def complete(self, commit: bool = True) -> None:
        """Keep what was done, or take it all back."""
        error: BaseException | None = None if commit else _TakenBackError()
        try:
            while self.files:
                self.files.popleft().close()
        except BaseException as failed:
            error = error or failed  # what a file could not write takes everything back
            raise
        finally:
            self.fs._intrans = False
            self.fs._transaction = None
            try:
                self._stack.__exit__(type(error) if error else None, error, None)
            except _TakenBackError:
                pass


class Writing(AbstractFileSystem):  # type: ignore[misc]
    """Changes to files in pools, by fsspec's methods. Raises, throughout: ReadOnlyError: opened for reading only."""

    transaction_type: ClassVar[type[Transaction]] = GroupTransaction
    auto_mkdir: bool

    # ---- what the reading half has ---------------------------------------------------------------------------------

    @abstractmethod
    def _locate(self, path: str) -> Place:
        """The dataset that a path leads into, and the way from its root."""

    @abstractmethod
    def _writable(self, path: str) -> WritablePool:
        """The pool a path lies in, open for writing. Raises: ReadOnlyError."""

    # ---- places ----------------------------------------------------------------------------------------------------

    def _target(self, path: str) -> tuple[MutableVfs, str]:
        """The files of the dataset a path leads into, and its path there, to be changed.

        Raises:
            UsageError: it leads to no file system's files, but to a volume, a snapshot or the list of pools.
        """
        path = self._strip_protocol(path)
        pool = self._writable(path)
        if self._intrans:
            cast(GroupTransaction, self.transaction).join(pool)
        place = self._locate(path)
        if place.dataset is None:
            raise UsageError("pools are not made and removed here", "see uberblock.pool.poolcreate", path=path)
        if place.dataset.is_snapshot:
            raise ReadOnlyError("snapshots never change", path=path)
        if place.dataset.head_kind == "volume":
            raise NotADirectoryInPoolError(f"{place.dataset.name} is a volume", path=path)
        return pool.fs(place.dataset.name), "/" + place.inner

    def _below(self, path: str) -> tuple[MutableVfs, str]:
        """The same for something below the root of a dataset."""
        vfs, inner = self._target(path)
        if inner == "/":
            raise UsageError("a dataset is not made, moved or removed here", "see WritablePool", path=path)
        return vfs, inner

    def _new(self, path: str) -> tuple[MutableVfs, str]:
        """The same for something that may have to be made, with the directories above it if ``auto_mkdir`` says so."""
        vfs, inner = self._below(path)
        parent = inner.rpartition("/")[0]
        if parent and self.auto_mkdir and not vfs.exists(parent):
            vfs.makedirs(parent, exist_ok=True)
        return vfs, inner

    # ---- files -----------------------------------------------------------------------------------------------------

    def _open_writing(self, path: str, mode: str, block_size: int | None) -> Any:
        """A file to be written, buffered."""
        wanted = MODES.get(mode)
        if wanted is None:
            raise UsageError(f"files are opened with one of: rb, {', '.join(MODES)}", mode=mode)
        raw = self._raw(path, wanted)
        size = block_size or BUFFER
        return (io.BufferedRandom if "+" in wanted else io.BufferedWriter)(cast(Any, raw), size)

    def _raw(self, path: str, mode: str) -> ObjectFile:
        place = self._locate(self._strip_protocol(path))
        if place.dataset is not None and place.dataset.head_kind == "volume" and not place.dataset.is_snapshot:
            pool = self._writable(path)
            if mode != "rb+":
                raise UsageError("a volume is opened with rb or rb+", mode=mode, path=path)
            return pool.volume(place.dataset.name).open()
        if place.dataset is not None and not place.inner:
            raise IsADirectoryInPoolError("is a dataset", path=path)
        vfs, inner = self._below(path) if mode == "rb+" else self._new(path)
        return vfs.open(inner, mode)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty file; of one that is there, cut it, or (``truncate`` False) set its times to now."""
        vfs, inner = self._new(path)
        if not truncate and vfs.exists(inner):
            vfs.utime(inner)
        else:
            vfs.open(inner, "wb").close()

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        """Make a file with this content, or replace the content of one that is there, all or nothing."""
        vfs, inner = self._new(path)
        with vfs.transaction(), vfs.open(inner, "xb" if mode == "create" else "wb") as file:
            file.write(value)

    def put_file(self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **kwargs: Any) -> None:
        """Copy a local file, or make the directory a local one stands for."""
        source = os.fspath(lpath)
        if os.path.isdir(source):  # noqa: PTH112 (bytes or text)
            self.makedirs(rpath, exist_ok=True)
            return
        vfs, inner = self._new(rpath)
        with open(source, "rb", buffering=0) as data, vfs.open(inner, "xb" if mode == "create" else "wb") as file:  # noqa: PTH123
            if callback is not None:
                callback.set_size(os.fstat(data.fileno()).st_size)
            buffer = memoryview(bytearray(COPY))
            while count := data.readinto(buffer):
                file.write(buffer[:count])
                if callback is not None:
                    callback.relative_update(count)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file; of a directory, make one."""
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        vfs, inner = self._new(path2)
        buffer = memoryview(bytearray(COPY))
        with self.open(path1, "rb") as data, vfs.open(inner, "wb") as file:
            while count := data.readinto(buffer):
                file.write(buffer[:count])

    # ---- directories and names -------------------------------------------------------------------------------------

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a directory, with those above it. Raises: ExistsError."""
        vfs, inner = self._target(path)
        if inner == "/":
            raise ExistsError("a dataset is there already", path=path)
        if create_parents:
            vfs.makedirs(inner)
        else:
            vfs.mkdir(inner)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory and those above it. Raises: ExistsError."""
        vfs, inner = self._target(path)
        if inner != "/":
            vfs.makedirs(inner, exist_ok=exist_ok)
        elif not exist_ok:
            raise ExistsError("a dataset is there already", path=path)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory. Raises: NotEmptyError."""
        vfs, inner = self._below(path)
        vfs.rmdir(inner)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        vfs, inner = self._below(path)
        vfs.unlink(inner)

    _rm = rm_file

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` directories with all that is in them, in one transaction each."""
        for one in self.expand_path(path, recursive=False, maxdepth=maxdepth):
            vfs, inner = self._below(one)
            if vfs.stat(inner).type != "dir":
                vfs.unlink(inner)
            elif not recursive:
                raise IsADirectoryInPoolError("is a directory", "give recursive=True", path=one)
            elif maxdepth is None:
                vfs.rmtree(inner)
            else:
                super().rm(one, recursive=True, maxdepth=maxdepth)

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Move files or directories: within a dataset by renaming, else by copying."""
        sources = self.expand_path(path1)
        into = self.isdir(path2) or str(path2).endswith("/")
        if len(sources) > 1 and not into:
            raise NotADirectoryInPoolError("several things can only be moved into a directory", path=path2)
        for source in sources:
            self._move(source, f"{str(path2).rstrip('/')}/{source.rpartition('/')[2]}" if into else path2, recursive)

    def _move(self, source: str, target: str, recursive: bool) -> None:
        vfs, inner = self._below(source)
        to, where = self._below(target)
        if to.filesystem is vfs.filesystem:
            vfs.rename(inner, where)
        elif vfs.stat(inner).type == "dir" and not recursive:
            raise IsADirectoryInPoolError("a directory leaves its dataset", "give recursive=True", path=source)
        else:
            self.copy(source, target, recursive=recursive, on_error="raise")
            self.rm(source, recursive=recursive)

    # ---- durability ------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make everything written so far durable, in all pools that are open."""
        for pool in self._open_pools():
            pool.sync()

    @abstractmethod
    def _open_pools(self) -> list[WritablePool]:
        """Pools that are open for writing."""
