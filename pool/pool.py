"""The public face: finding pools, opening them, and what can be asked of an open one.

Names of things in a pool are OpenZFS's: ``tank/home`` a file system, ``tank/vol`` a volume, ``tank/home@monday`` a
snapshot, ``tank/home#monday`` a bookmark, and ``tank/home@monday:/notes.txt`` a file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, TypeGuard

from .device.cachemode import cache_mode
from .errors import ExistsError, NotFoundError, PoolError, UsageError
from .ondisk.label import STATE_DESTROYED
from .spa.config import Candidate
from .spa.scan import Place, scan_all
from .zio.workers import workers

if TYPE_CHECKING:
    from .dsl.bookmark import Bookmark as DslBookmark
    from .dsl.dataset import DslDataset
    from .dsl.props import PropertyValue
    from .spa.errorlog import DataError
    from .spa.history import HistoryRecord
    from .spa.iostat import VdevIo
    from .spa.properties import PoolProperty
    from .spa.spa import Spa
    from .spa.status import Status
    from .spa.txgs import Depth, TxgInfo
    from .spa.verify import VerifyReport
    from .vdev.tree import VdevTree
    from .vfs import Vfs
    from .zpl.file import ObjectFile, ZplFile

DEFAULT_SEARCH: tuple[str, ...] = ("/dev/disk/by-id", "/dev/disk/by-path", "/dev/mapper", "/dev")
CACHE_BYTES = 64 << 20

Key = str | bytes
Kind = Literal["filesystem", "volume", "snapshot", "bookmark"]


def _places(search: Iterable[Place] | Place | None) -> list[Place]:
    if search is None:
        return [folder for folder in DEFAULT_SEARCH if os.path.isdir(folder)]  # noqa: PTH112 (no Path for text)
    if isinstance(search, (str, bytes, os.PathLike)) or not isinstance(search, Iterable):
        search = [search]
    return [os.fsdecode(place) if isinstance(place, bytes) else place for place in search]


def find_pools(search: Iterable[Place] | Place | None = None) -> list[Candidate]:
    """The pools that labels tell of, exported, active or destroyed.

    Args:
        search: folders, images, devices, ``Device`` objects; without it this machine's devices.

    Raises:
        NotFoundError: a place to search does not exist.
    """
    return scan_all(_places(search)).candidates


def import_pool(
    name: str | int | None = None,
    search: Iterable[Place] | Place | None = None,
    *,
    readonly: bool = True,
    force: bool = False,
    txg: int | None = None,
    rewind: bool = False,
    extreme: bool = False,
    checkpoint: bool = False,
    missing_log: bool = False,
    missing_ok: bool = False,
    replay: bool = False,
    keys: Mapping[str, Key] | None = None,
    altroot: str = "",
    cache: str = "writeback",
    cache_bytes: int = CACHE_BYTES,
    threads: int = 0,
) -> Pool:
    """Open a pool.

    Args:
        name: its name or guid; without it the only one that is found.
        search: where to look, as for ``find_pools``.
        readonly: never write to the devices. False: gives a ``WritablePool``.
        force: write even if another machine has not exported the pool.
        txg: open it as it was at this txg (at the newest uberblock not beyond it).
        rewind: if it is damaged, go back to an uberblock so young that nothing it refers to was overwritten.
        extreme: go back as far as it takes, and verify everything.
        checkpoint: open what the pool's checkpoint keeps.
        missing_log: open it without a missing log device; records in it do not count.
        missing_ok: open it even if more is missing than redundancy makes up for; what is missing cannot be read.
        replay: read-only, show what intent logs promise: they are replayed in memory (see ``replayed``).
        keys: encryption root -> passphrase, hex digits or raw key.
        altroot: folder under which mountpoints are shown.
        cache: how the host caches files and disks, in QEMU's words: ``writeback``, ``none`` (direct), ``writethrough``,
            ``directsync``, ``unsafe`` (flushes are ignored); see ``device.cachemode``.
        cache_bytes: memory for metadata.
        threads: that share large reads and writes; 0: one for each processor, four at most.

    Raises:
        NotFoundError: there is no such pool. ExistsError: more than one; open it by guid.
        MissingDeviceError, UnsupportedFeatureError, CorruptError, DeviceBusyError: it cannot be opened.
        AuthenticationError: a key is wrong.
    """
    from .spa.importer import ImportOptions, load

    if not readonly and (txg is not None or checkpoint or missing_ok):
        raise UsageError("a pool is opened for writing as it is, not as it was or in part", "leave out readonly=False")
    if replay and (not readonly or txg is not None or checkpoint or missing_ok or rewind or extreme):
        raise UsageError("logs are replayed on a pool as it is", "leave out what opens it in another way")
    mode = cache_mode(cache)
    candidate = _choose(name, _places(search))
    if replay:
        from .replayed import open_replayed

        return open_replayed(
            candidate, mode,
            lambda devices: import_pool(
                candidate.guid, list(devices), missing_log=missing_log, keys=keys, altroot=altroot,
                cache_bytes=cache_bytes, threads=threads,
            ),
        )  # fmt: skip
    options = ImportOptions(
        txg=txg,
        rewind=rewind,
        extreme=extreme,
        checkpoint=checkpoint,
        missing_log=missing_log,
        missing_ok=missing_ok,
        cache_bytes=cache_bytes,
        threads=workers(threads),
        altroot=altroot,
        cache=mode,
    )
    spa = load(candidate, readonly=readonly, options=options)
    pool = Pool(spa) if readonly else _writable(spa, force)
    try:
        for dataset, key in (keys or {}).items():
            pool.load_key(dataset, key)
    except BaseException:
        pool.close()
        raise
    return pool


def _writable(spa: Spa, force: bool) -> Pool:
    """An open pool, ready to be written."""
    from .env import Env
    from .poolwrite import WritablePool

    try:
        return WritablePool(spa, Env.host(), force=force)
    except BaseException:
        spa.close()
        raise


def _choose(name: str | int | None, places: list[Place]) -> Candidate:
    """The one pool that is meant."""
    result = scan_all(places)
    found = [c for c in result.candidates if name is None or name == c.name or str(name) == str(c.guid)]
    # A pool that was destroyed makes way for a living one of the same name.
    found = [c for c in found if c.state != STATE_DESTROYED] or found
    if len(found) == 1:
        return found[0]
    if found:
        listed = "; ".join(f"{c.name} {c.guid} on {', '.join(c.paths[:4])}" for c in found)
        raise ExistsError(f"more than one pool could be meant: {listed}", "open it by its guid")
    wanted = "no pool" if name is None else f"no pool {name!r}"
    where = ", ".join(str(getattr(place, "name", place)) for place in places[:8]) or "nowhere"
    advice = ""
    if result.candidates:
        advice = "found were " + ", ".join(sorted({c.name for c in result.candidates}))
    elif result.unreadable:
        path, reason = next(iter(result.unreadable.items()))
        advice = f"{len(result.unreadable)} devices could not be read, for example {path}: {reason}"
    raise NotFoundError(f"{wanted} in {where}", advice)


def _is_dataset(found: DslDataset | DslBookmark) -> TypeGuard[DslDataset]:
    """A head or a snapshot, not a bookmark."""
    from .dsl.dataset import DslDataset

    return isinstance(found, DslDataset)


class Dataset:
    """A file system, volume, snapshot or bookmark of an open pool."""

    def __init__(self, pool: Pool, dsl: DslDataset | DslBookmark) -> None:
        self.pool = pool
        self.dsl = dsl

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def __eq__(self, other: object) -> bool:
        """The same dataset of the same open pool."""
        return isinstance(other, Dataset) and (self.pool, self.name) == (other.pool, other.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a dataset of an open pool cannot be pickled; open the pool where it is needed")

    @property
    def name(self) -> str:
        """Full name."""
        return self.dsl.name

    @property
    def type(self) -> Kind:
        """``filesystem``, ``volume``, ``snapshot`` or ``bookmark``."""
        return self.dsl.kind if _is_dataset(self.dsl) else "bookmark"

    @property
    def guid(self) -> int:
        """Guid, which a snapshot keeps in copies of it."""
        return self.dsl.phys.guid

    @property
    def createtxg(self) -> int:
        """Txg it was made in."""
        return self.dsl.phys.creation_txg

    def get(self, name: str) -> PropertyValue:
        """A property, as ``zfs get`` has it. Raises: UsageError: there is none of that name."""
        from .dsl import props

        return props.get(self.dsl, name)

    def properties(self) -> dict[str, PropertyValue]:
        """All properties that have a value, in the order of ``zfs get all``."""
        from .dsl import props

        return {value.name: value for value in props.get_all(self.dsl)}

    def _number(self, name: str) -> int:
        value = self.get(name).raw
        return value if isinstance(value, int) else 0

    @property
    def used(self) -> int:
        """Bytes that it and everything below it take."""
        return self._number("used")

    @property
    def available(self) -> int:
        """Bytes that can still be written to it."""
        return self._number("available")

    @property
    def referenced(self) -> int:
        """Bytes it refers to, alone or with others."""
        return self._number("referenced")

    def snapshots(self) -> list[Snapshot]:
        """Its snapshots, oldest first."""
        found = self._live.snapshots() if not self._live.is_snapshot else []
        return [Snapshot(self.pool, one) for one in found]

    @property
    def _live(self) -> DslDataset:
        """The dataset; a bookmark has no content."""
        if not _is_dataset(self.dsl):
            raise UsageError(f"{self.name} is a bookmark and has no content")
        return self.dsl

    @property
    def encrypted(self) -> bool:
        """It is encrypted."""
        return self._live.encrypted

    def fs(self) -> Vfs:
        """Its files. Raises: KeyUnavailableError, UsageError: no file system."""
        from .vfs import Vfs

        if self._live.head_kind != "filesystem":
            raise UsageError(f"{self.name} is a volume and has no files", "open it as a volume")
        return Vfs.of(self._live)

    def open(self, path: str) -> ZplFile:
        """A file of it, for reading. Raises: NotFoundError, IsADirectoryInPoolError ..."""
        return self.fs().open(path)


class Snapshot(Dataset):
    """A snapshot."""


class Volume(Dataset):
    """A volume, or a snapshot of one."""

    @property
    def size(self) -> int:
        """Bytes."""
        size: int = self._zvol.size
        return size

    @property
    def volblocksize(self) -> int:
        """Bytes of a block."""
        size: int = self._zvol.volblocksize
        return size

    @property
    def _zvol(self) -> Any:
        from .zvol import Zvol

        return Zvol(self._live.objset())

    def open(self, path: str = "") -> ObjectFile:  # type: ignore[override]
        """Its content as a binary file. Raises: KeyUnavailableError ..."""
        if path:
            raise UsageError(f"{self.name} is a volume and has no files", path=path)
        found: ObjectFile = self._zvol.open()
        return found


class Pool:
    """An open pool. Close it, or use it in a ``with`` statement."""

    def __init__(self, spa: Spa) -> None:
        self.spa = spa

    def __repr__(self) -> str:
        mode = "closed" if self.spa.closed else f"{self.health}, txg {self.txg}"
        return f"<Pool {self.name} {mode}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the devices. Closing twice is fine."""
        self.spa.close()

    @property
    def _opened(self) -> Spa:
        if self.spa.closed:
            raise UsageError(f"the pool {self.name!r} is closed", "open it anew")
        return self.spa

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open pool cannot be pickled; open it where it is needed")

    def _repr_html_(self) -> str:
        """For notebooks: its state, space and vdevs."""
        from .spa.notebook import pool_html

        return pool_html(self.spa)

    # --- the pool itself ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the pool."""
        return self.spa.name

    @property
    def guid(self) -> int:
        """Guid of the pool."""
        return self.spa.guid

    @property
    def txg(self) -> int:
        """The txg it was opened at."""
        return self.spa.txg

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration, as the MOS has it."""
        return self.spa.config

    @property
    def tree(self) -> VdevTree:
        """Its vdevs."""
        return self.spa.tree

    @property
    def health(self) -> str:
        """ONLINE, DEGRADED ..."""
        return self.spa.tree.root.state_text

    @property
    def notes(self) -> list[str]:
        """What was found otherwise than it should be while opening the pool."""
        return self.spa.notes

    @property
    def size(self) -> int:
        """Bytes of all its vdevs, parity included."""
        total: int = self._opened.space.size
        return total

    @property
    def allocated(self) -> int:
        """Bytes in use, parity included."""
        total: int = self._opened.space.allocated
        return total

    @property
    def features(self) -> dict[str, str]:
        """Feature flags: name -> disabled, enabled or active."""
        from .ondisk.features import FEATURES

        return {feature.name: self.spa.features.state(feature.name) for feature in FEATURES}

    def status(self) -> Status:
        """How it is; ``str`` of it is what ``zpool status`` would show."""
        return self._opened.status()

    def iostat(self) -> list[VdevIo]:
        """What every vdev has read and written since the pool was opened, the pool itself first."""
        from .spa.iostat import vdev_io

        return vdev_io(self._opened)

    def properties(self) -> dict[str, PoolProperty]:
        """Its properties, as ``zpool get all`` has them."""
        return self._opened.properties()

    def get(self, name: str) -> PoolProperty:
        """One of its properties. Raises: UsageError: there is none of that name."""
        from .spa.properties import get

        found = get(self._opened, name)
        if found is None:
            raise UsageError(f"no pool property is called {name!r}")
        return found

    def history(self) -> list[HistoryRecord]:
        """What was done to it, oldest first."""
        return self._opened.history()

    def history_lines(self) -> list[str]:
        """The history as lines of text."""
        return [str(record) for record in self.history()]

    def errors(self) -> list[DataError]:
        """Damaged data that it remembers."""
        return self._opened.errors()

    def txgs(self, depth: Depth | None = "mos") -> list[TxgInfo]:
        """The txgs it could be opened at, newest first.

        Args:
            depth: how closely to look whether all is still there: ``root`` (little), ``mos`` (all of the pool's own
                metadata, and the root of every dataset), ``all`` (every block); None: not at all.
        """
        return self._opened.txgs(depth)

    def verify(self, *, threads: int = 2, progress: Callable[[int], None] | None = None) -> VerifyReport:
        """Read and check every copy of every block.

        Args:
            threads: workers.
            progress: called with the bytes read since the last call.
        """
        from .spa.verify import verify

        return verify(self._opened, threads=threads, progress=progress)

    # --- what is in it --------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        """A file system, volume, snapshot or bookmark by its full name.

        Raises:
            NotFoundError: there is none.
        """
        return self._wrap(self._opened.dsl.find(self.full_name(name)))

    def full_name(self, name: str) -> str:
        """The name of a dataset (or snapshot, or path) that begins with the pool's guid in place of its name."""
        guid = str(self.guid)
        rest = name.removeprefix(guid)
        return self.name + rest if rest != name and rest[:1] in ("", "/", "@", "#", ":") else name

    def datasets(self, below: str | None = None, types: Iterable[str] | None = None) -> Iterator[Dataset]:
        """Datasets in the order of ``zfs list``: each head, then its snapshots, then its bookmarks.

        Args:
            below: only this one and what is below it.
            types: only these: ``filesystem``, ``volume``, ``snapshot``, ``bookmark``. Without it all but bookmarks.

        Raises:
            NotFoundError: there is no dataset ``below``.
        """
        wanted = {"filesystem", "volume", "snapshot"} if types is None else set(types)
        below = None if below is None else self.full_name(below)
        if below is not None and ("@" in below or "#" in below):
            one = self.dataset(below)
            if one.type in wanted:
                yield one
            return
        for directory in self._opened.dsl.dirs(below):
            head = directory.head
            if head is None:
                continue
            if wanted != {"snapshot"} and head.kind in wanted:
                yield self._wrap(head)
            if "snapshot" in wanted:
                for snapshot in head.snapshots():
                    yield self._wrap(snapshot)
            if "bookmark" in wanted:
                for bookmark in head.bookmarks():
                    yield self._wrap(bookmark)

    def _wrap(self, found: DslDataset | DslBookmark) -> Dataset:
        if not _is_dataset(found):
            return Dataset(self, found)
        if found.head_kind == "volume":
            return Volume(self, found)
        return Snapshot(self, found) if found.kind == "snapshot" else Dataset(self, found)

    def volume(self, name: str) -> Volume:
        """A volume or a snapshot of one. Raises: NotFoundError, UsageError: no volume."""
        found = self.dataset(name)
        if not isinstance(found, Volume):
            advice = f"write {name}:/ for its files" if found.type != "bookmark" else ""
            raise UsageError(f"{name} is not a volume", advice)
        return found

    def fs(self, name: str = "") -> Vfs:
        """The files of a file system (without a name the pool's root) or snapshot.

        Raises:
            NotFoundError, KeyUnavailableError, UsageError.
        """
        return self.dataset(name or self.name).fs()

    def resolve(self, text: str) -> tuple[Vfs, str]:
        """``DATASET[@SNAPSHOT]:/PATH`` -> the files of the dataset, and the path in them."""
        from .vfs import parse_path

        place = parse_path(text)
        return self.fs(place.dataset), place.path

    def open(self, text: str) -> ZplFile:
        """The file ``DATASET[@SNAPSHOT]:/PATH``, for reading."""
        vfs, path = self.resolve(text)
        return vfs.open(path)

    # --- keys -----------------------------------------------------------------------------------------------------

    def load_key(
        self,
        name: str,
        key: Key | None = None,
        *,
        passphrase: str | bytes | None = None,
        hex: str | None = None,
        raw: bytes | None = None,
    ) -> str:
        """Load the key of an encryption root; gives the root's name.

        Args:
            name: the encryption root, or a dataset that uses its key.
            key: the key, or the content of a file with it, in whatever form the root wants it.
            passphrase, hex, raw: the key in one form.

        Raises:
            NotFoundError: no such dataset. UsageError: it is not encrypted, or its key has another form.
            AuthenticationError: the key is wrong.
        """
        if key is not None:
            passphrase, hex, raw = self._key_forms(name, key)
        return self._opened.dsl.keys.load(name, passphrase=passphrase, hex=hex, raw=raw).name

    def _key_forms(self, name: str, key: Key) -> tuple[bytes | None, str | None, bytes | None]:
        from .dsl.crypto import FORMAT_HEX, FORMAT_RAW

        keys = self._opened.dsl.keys
        root = keys.root_of(self.spa.dsl.directory_of(name))
        found = None if root is None else keys.key_object(root)
        if found is None:
            raise UsageError(f"{name} is not encrypted", "it needs no key")
        data = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
        if found.keyformat == FORMAT_RAW:
            return None, None, data
        line = data.rstrip(b"\r\n")
        if found.keyformat == FORMAT_HEX:
            return None, line.decode("ascii", "replace"), None
        return line, None, None


__all__ = ["Candidate", "Dataset", "Pool", "PoolError", "Snapshot", "Volume", "find_pools", "import_pool"]
