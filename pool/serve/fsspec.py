"""Pools for everything that speaks fsspec: ``zfs://tank/data@monday/table.parquet``.

In a URL nothing marks where the dataset ends and the path in it begins: the longest prefix that is a dataset wins, so
that child datasets lie where they would be mounted, over directories of the same name. ``DATASET@SNAPSHOT`` is taken
for a snapshot where there is one. A volume is a file. Snapshots are not listed; name them.

Pools are opened for reading only, unless ``readonly=False`` is asked for (``fsspecwrite``): then they belong to this
file system until ``close``, which also makes everything durable; so does the end of the program.

>>> fs = fsspec.filesystem("zfs", search=["images/"])                    # doctest: +SKIP
>>> fs.ls("tank/data@monday")                                            # doctest: +SKIP
>>> fs = fsspec.filesystem("zfs", search=["images/"], readonly=False)    # doctest: +SKIP
>>> with fs.open("tank/data/table.csv", "w") as file: ...                # doctest: +SKIP
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from ..errors import (
    IsADirectoryInPoolError,
    NotADirectoryInPoolError,
    NotFoundError,
    PoolError,
    ReadOnlyError,
    UsageError,
)
from ..zvol import Zvol
from .fsspecwrite import BUFFER, Writing

if TYPE_CHECKING:
    from ..dsl.dataset import DslDataset
    from ..dsl.dir import DslDir
    from ..pool import Pool
    from ..poolwrite import WritablePool
    from ..vfs import Stat, Vfs
    from ..zpl.file import ObjectFile

LOCAL = (None, "file", "local")
_TYPES = {"dir": "directory", "file": "file", "symlink": "link"}

Info = dict[str, Any]


class Place(NamedTuple):
    """Where a path leads: the dataset (None: to the list of pools), and what is left of it."""

    dataset: DslDataset | None
    inner: str


class ZFSFileSystem(Writing):
    """Files in pools.

    Args:
        search: folders, images or devices to look for pools in.
        keys: encryption root -> passphrase, hex digits or raw key.
        fo: one image, where this file system is chained onto a local one.
        txg: open pools as they were at this txg.
        threads: that share large reads; 0: one for each processor, four at most.
        readonly: nothing is ever written.
        auto_mkdir: files that are made get the directories above them, as with object stores.
    """

    protocol: ClassVar[str] = "zfs"
    root_marker = ""

    def __init__(
        self,
        search: Any = None,
        keys: Mapping[str, str | bytes] | None = None,
        fo: str | None = None,
        txg: int | None = None,
        threads: int = 0,
        readonly: bool = True,
        auto_mkdir: bool = True,
        target_protocol: str | None = None,
        target_options: Mapping[str, Any] | None = None,
        **storage_options: Any,
    ) -> None:
        super().__init__(**storage_options)
        if fo is not None:
            if target_protocol not in LOCAL:
                raise UsageError(f"a pool cannot be read through {target_protocol!r}", "copy its devices first")
            search = [fo]
        self._search = search
        self._keys = dict(keys or {})
        self._txg = txg
        if not readonly and txg is not None:
            raise UsageError("a pool is written as it is, not as it was", "leave out txg, or readonly=False")
        self._threads = threads
        self._readonly = readonly
        self.auto_mkdir = auto_mkdir
        self._pools: dict[str, Pool] = {}
        self._vfs: dict[int, Vfs] = {}
        # A pool that is open for writing is closed when the program ends, whoever forgets it.
        self._closing = weakref.finalize(self, _close, self._pools)

    # ---- pools and datasets ----------------------------------------------------------------------------------------

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return str(super()._strip_protocol(path)).strip("/")

    def close(self) -> None:
        """Make everything durable, and let go of all pools; they are opened again when needed."""
        self._vfs.clear()
        _close(self._pools)

    def pool(self, name: str) -> Pool:
        """A pool, opened when it is first asked for. Raises: NotFoundError ..."""
        if name not in self._pools:
            from ..pool import import_pool

            keys = {root: key for root, key in self._keys.items() if root.partition("/")[0] == name}
            self._pools[name] = import_pool(
                name, self._search, readonly=self._readonly, txg=self._txg, keys=keys, threads=self._threads
            )
        return self._pools[name]

    def _writable(self, path: str) -> WritablePool:
        if self._readonly:
            raise ReadOnlyError("pools are opened for reading only here", "give readonly=False", path=path)
        first = self._strip_protocol(path).partition("/")[0].partition("@")[0]
        return cast("WritablePool", self.pool(first))

    def _open_pools(self) -> list[WritablePool]:
        return [] if self._readonly else [cast("WritablePool", pool) for pool in self._pools.values()]

    def _locate(self, path: str) -> Place:
        """The dataset that a path leads into, and the way from its root. Raises: NotFoundError: no such pool."""
        parts = path.split("/") if path else []
        if not parts:
            return Place(None, "")
        first, at, snapshot = parts[0].partition("@")
        directory: DslDir = self.pool(first).spa.dsl.root
        if at:
            # A pool's name has no at sign, so this can only be a snapshot.
            return Place(_dataset(directory, snapshot), "/".join(parts[1:]))
        for number, part in enumerate(parts[1:], 1):
            name, at, snapshot = part.partition("@")
            child = next((one for one in directory.children() if one.short_name == name), None)
            if child is None:
                return Place(_dataset(directory), "/".join(parts[number:]))
            if at:
                head = child.head
                if head is None or snapshot not in head.snapshot_objects:
                    return Place(_dataset(directory), "/".join(parts[number:]))
                return Place(head.snapshot(snapshot), "/".join(parts[number + 1 :]))
            directory = child
        return Place(_dataset(directory), "")

    def _files(self, dataset: DslDataset) -> Vfs:
        """The files of a dataset; kept, since opening them costs a few reads."""
        if not self._readonly and not dataset.is_snapshot:
            return cast("WritablePool", self.pool(dataset.name.partition("/")[0])).fs(dataset.name)
        if dataset.obj not in self._vfs:
            from ..vfs import Vfs

            self._vfs[dataset.obj] = Vfs.of(dataset)
        return self._vfs[dataset.obj]

    # ---- what fsspec asks for ----------------------------------------------------------------------------------------

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """What is in a directory, or the one file a path names."""
        path = self._strip_protocol(path)
        place = self._locate(path)
        if place.dataset is None:
            found = [self._dataset_info(name, self.pool(name).spa.dsl.root.head) for name in self._pool_names()]
        elif place.dataset.head_kind == "volume":
            found = [self.info(path)]
        else:
            found = self._list(path, place)
        found.sort(key=lambda info: info["name"])
        return found if detail else [info["name"] for info in found]

    def _pool_names(self) -> list[str]:
        from ..pool import find_pools

        return sorted({candidate.name for candidate in find_pools(self._search)} | set(self._pools))

    def _list(self, path: str, place: Place) -> list[Info]:
        assert place.dataset is not None
        vfs = self._files(place.dataset)
        inner = "/" + place.inner
        if vfs.stat(inner, follow=True).type != "dir":
            return [self.info(path)]
        found = {entry.name: entry.path for entry in vfs.scandir(inner)}
        infos = {name: self._info(f"{path}/{name}", vfs, where) for name, where in found.items()}
        if not place.inner and not place.dataset.is_snapshot:
            for child in place.dataset.dir.children():
                infos[child.short_name] = self._dataset_info(f"{path}/{child.short_name}", child.head)
        return list(infos.values())

    def walk(
        self, path: str, maxdepth: int | None = None, topdown: bool = True, on_error: Any = "omit", **kwargs: Any
    ) -> Iterator[tuple[str, Any, Any]]:
        """As ``AbstractFileSystem.walk``; links to directories are listed as such, but not gone into."""
        if maxdepth is not None and maxdepth < 1:
            raise UsageError("maxdepth must be at least 1", maxdepth=maxdepth)
        path = self._strip_protocol(path)
        detail = kwargs.pop("detail", False)
        try:
            listing = self.ls(path)
        except OSError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            return
        dirs = {info["name"].rpartition("/")[2]: info for info in listing if info["type"] == "directory"}
        rest = [info for info in listing if info["type"] != "directory"]
        files = {"" if info["name"] == path else info["name"].rpartition("/")[2]: info for info in rest}
        shown = (dirs, files) if detail else (list(dirs), list(files))
        if topdown:
            yield path, *shown
        if maxdepth is None or maxdepth > 1:
            deeper = {"maxdepth": maxdepth and maxdepth - 1, "topdown": topdown, "on_error": on_error}
            for name in list(shown[0]):
                if name in dirs and not dirs[name].get("islink"):
                    yield from self.walk(dirs[name]["name"], **deeper, detail=detail)
        if not topdown:
            yield path, *shown

    def info(self, path: str, **kwargs: Any) -> Info:
        """What a path names: name, size, type, and the attributes of a file."""
        path = self._strip_protocol(path)
        place = self._locate(path)
        if place.dataset is None:
            return {"name": "", "size": 0, "type": "directory"}
        if not place.inner:
            return self._dataset_info(path, place.dataset)
        if place.dataset.head_kind == "volume":
            raise NotADirectoryInPoolError(f"{place.dataset.name} is a volume", path=path)
        return self._info(path, self._files(place.dataset), "/" + place.inner)

    def _dataset_info(self, path: str, dataset: DslDataset | None) -> Info:
        if dataset is None:
            raise NotFoundError(f"{path} holds no dataset")
        if dataset.head_kind == "volume":
            size = self._volume(dataset).size
            return {"name": path, "size": size, "type": "file", "dataset": dataset.name}
        return {"name": path, "size": 0, "type": "directory", "dataset": dataset.name}

    def _info(self, name: str, vfs: Vfs, inner: str) -> Info:
        st = vfs.stat(inner)
        info = _attributes(name, st)
        if st.type == "symlink":
            info["islink"] = True
            info["destination"] = vfs.readlink(inner)
            try:
                to = vfs.stat(inner, follow=True)
            except PoolError:
                # It leads nowhere: then the link is all there is to tell.
                return info
            info |= {"type": _TYPES.get(to.type, "other"), "size": to.size if to.type == "file" else 0}
        return info

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: Any = None,
        **kwargs: Any,
    ) -> Any:
        if mode != "rb":
            return self._open_writing(path, mode, block_size)
        return io.BufferedReader(self._content(path), block_size or BUFFER)

    def _content(self, path: str) -> ObjectFile:
        place = self._locate(self._strip_protocol(path))
        if place.dataset is None:
            raise IsADirectoryInPoolError("the list of pools is no file")
        if place.dataset.head_kind == "volume" and not place.inner:
            return self._volume(place.dataset).open()
        return self._files(place.dataset).open("/" + place.inner)

    def _volume(self, dataset: DslDataset) -> Zvol:
        if self._readonly or dataset.is_snapshot:
            return Zvol(dataset.objset())
        pool = cast("WritablePool", self.pool(dataset.name.partition("/")[0]))
        return pool.volume(dataset.name)._zvol

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """The bytes of a file from ``start`` to before ``end``; negative ones count from its end."""
        with self._content(path) as content:
            first, last, _ = slice(start, end).indices(content.size)
            data = bytearray(max(0, last - first))
            content.pread(data, first)
        return bytes(data)

    def created(self, path: str) -> datetime:
        """When it was made."""
        return self._time(path, "created")

    def modified(self, path: str) -> datetime:
        """When its content changed last."""
        return self._time(path, "mtime")

    def _time(self, path: str, which: str) -> datetime:
        info = self.info(path)
        if which not in info:
            raise UsageError(f"{path} is a dataset and has no such time")
        try:
            return datetime.fromtimestamp(info[which], UTC)
        except (ValueError, OverflowError, OSError):
            raise UsageError(f"a time that Python cannot tell: {info[which]} seconds", path=path) from None


def _close(pools: dict[str, Pool]) -> None:
    while pools:
        pools.popitem()[1].close()


def _dataset(directory: DslDir, snapshot: str | None = None) -> DslDataset:
    head = directory.head
    if head is None:
        raise NotFoundError(f"{directory.name} holds no dataset")
    return head if snapshot is None else head.snapshot(snapshot)


def _attributes(name: str, st: Stat) -> Info:
    return {
        "name": name,
        "size": 0 if st.type == "dir" else st.size,
        "type": _TYPES.get(st.type, "other"),
        "mode": st.mode,
        "uid": st.uid,
        "gid": st.gid,
        "nlink": st.nlink,
        "ino": st.object,
        "mtime": st.st_mtime,
        "created": st.st_birthtime,
        "mtime_ns": st.mtime_ns,
        "islink": False,
    }
