"""Everything a reader can do with a pool, done once: for pools whose bytes are hostile.

Whatever is on the disks, only errors of this package may come out, in bounded time and memory.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from uberblock.pool import find_pools, import_pool
from uberblock.pool import pool as face
from uberblock.pool.cli.main import main
from uberblock.pool.device.base import Device
from uberblock.pool.dmu import brt, ddt
from uberblock.pool.dmu.bpobj import Bpobj
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.errors import PoolError
from uberblock.pool.extract import tar_out
from uberblock.pool.manifest import entries
from uberblock.pool.ondisk import dmutypes
from uberblock.pool.ondisk.dmutypes import ObjectType, Swap
from uberblock.pool.spa import metaslabs
from uberblock.pool.zil.chain import header_of, read_blocks

CPU_SECONDS = 20
SECONDS = 600  # on a machine that does other things too
DATASETS = 2
PATHS = 8
BYTES = 1 << 20
ENTRIES = 20_000
#: Content beyond this is not read whole: that is as long as it says, and no fault.
LARGE = 64 << 20
SEARCH = "forged"  # what commands are told to search

#: Ways to open a pool that is damaged.
WAYS: tuple[dict[str, bool], ...] = (
    {"rewind": True}, {"extreme": True}, {"missing_ok": True}, {"checkpoint": True}, {"missing_log": True},
)  # fmt: skip

COMMANDS = (
    "zpool import", "zpool import --txgs", "zpool import -j", "zpool status -v", "zpool status -j", "zpool list -v",
    "zpool list -j", "zpool get all", "zpool history -il", "zpool history -j", "zfs list -r -t all",
    "zfs list -r -t all -j", "zfs get all {dataset}", "zfs get -j all {dataset}", "zdb -uCh {pool}", "zdb -Cj {pool}",
    "zdb -bb {pool}", "zdb -cc {pool}", "zdb -mm {pool}", "zdb -iddd {pool}", "zdb -dddd {pool}",
    "zdb -dddddd {dataset}", "zdb -ddddj {dataset}", "ls -lRi {dataset}:/", "ls -Rj {dataset}:/",
    "manifest -q {dataset}", "verify -q {pool}", "cp -rq --keep-going {dataset}:/ -",
)  # fmt: skip


class TooLongError(BaseException):
    """Something hangs. Not an Exception, so that nothing in between can swallow it."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise ``TooLongError`` in the main thread after ``CPU_SECONDS`` of work, or ``SECONDS`` of anything."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"more than {CPU_SECONDS} seconds")

    before = [(number, signal.signal(number, stop)) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        # A signal may arrive in here too: then what is left undone is done all the same, or it would come later, to
        # whatever runs then, and end the process.
        try:
            _disarm(before)
        except TooLongError:
            _disarm(before)
            raise


def _disarm(before: list[tuple[int, Any]]) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)
    for number, handler in before:
        signal.signal(number, handler)


class Exercise:
    """One round over one pool.

    Args:
        devices: its disks.
        rng: what of it is done, by chance; without it, everything.
        touched: what is to be looked at in any case: name of the object set, object.
        keys: encryption root -> key.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        rng: random.Random | None = None,
        touched: Iterable[tuple[str, int]] = (),
        keys: Mapping[str, str] | None = None,
    ) -> None:
        self.devices = list(devices)
        self.rng = rng
        self.touched = list(dict.fromkeys(touched))
        self.keys = dict(keys or {})
        #: What came out, in order.
        self.errors: list[str] = []
        #: How long each kind of work took.
        self.seconds: dict[str, float] = {}

    # --- by chance ------------------------------------------------------------------------------------------------

    def _chance(self, share: float) -> bool:
        return self.rng is None or self.rng.random() < share

    def _some(self, items: Sequence[Any], most: int) -> list[Any]:
        if self.rng is None or len(items) <= most:
            return list(items)
        return self.rng.sample(items, most)

    def attempt(self, name: str, work: Callable[[], Any]) -> Any:
        """Do something; note an error of this package, let everything else through."""
        started = time.perf_counter()
        try:
            return work()
        except PoolError as error:
            text = str(error)
            assert text and "\n" not in text, f"an error message must be one line: {text!r}"
            self.errors.append(f"{type(error).__name__}: {text}")
            return None
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    # --- a pool ---------------------------------------------------------------------------------------------------

    def run(self) -> list[str]:
        """Find, open and read; gives the errors that came out."""
        with time_limit():
            found = self.attempt("find", lambda: find_pools(self.devices)) or []
            for candidate in found:
                str((candidate, candidate.name, candidate.paths, candidate.state_name, candidate.hostname))
            pool = self._import()
            if pool is not None:
                with pool:
                    self._pool(pool)
            if found and self._chance(0.12):
                names = (found[0].name, self._dataset_name(found[0].name))
                commands = COMMANDS if self.rng is None else [self.rng.choice(COMMANDS)]
                for command in commands:
                    self.attempt(f"uberblock {command}", lambda command=command: self._command(command, *names))
        return self.errors

    def _import(self) -> Any:
        pool = self.attempt("import", lambda: import_pool(search=self.devices))
        for way in WAYS:
            if self._chance(0.25 if pool is None else 0.01):
                other = self.attempt(f"import {way}", lambda way=way: import_pool(search=self.devices, **way))
                if pool is None:
                    pool = other
                elif other is not None:
                    other.close()
        return pool

    def _dataset_name(self, pool: str) -> str:
        names = [name for name, _ in self.touched if name.startswith(pool)]
        return names[0] if names else pool

    def _command(self, command: str, pool: str, dataset: str) -> None:
        words = [word.format(pool=pool, dataset=dataset) for word in command.split()]
        short = "-p" if words[0] == "zdb" else "-d"
        at = 2 if words[0] in ("zpool", "zfs") else 1
        places = face._places

        def here(search: Any) -> Any:
            return self.devices if search == [SEARCH] else places(search)

        with Path(os.devnull).open("wb") as sink, mock.patch.object(face, "_places", here):
            # Strict, as standard output is.
            stream = io.TextIOWrapper(sink, encoding="utf-8", errors="strict")
            complaints = io.StringIO()
            with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(complaints):
                status = main([*words[:at], short, SEARCH, *words[at:]])
            assert status in (0, 1, 2, 3), status
            assert "usage:" not in complaints.getvalue(), complaints.getvalue()
            self.errors += complaints.getvalue().splitlines()

    def _pool(self, pool: Any) -> None:
        spa = pool.spa
        for root, key in self.keys.items():
            if self._chance(0.8):
                self.attempt("load_key", lambda root=root, key=key: pool.load_key(root, key))
        self.attempt("status", lambda: str(pool.status()))
        self.attempt("pool properties", lambda: [str(value) for value in pool.properties().values()])
        self.attempt("errors", lambda: [str(error) for error in pool.errors()])
        self.attempt("space", lambda: (spa.space.datasets, spa.space.fragmentation, pool.allocated))
        steps: list[tuple[str, float, Callable[[], Any]]] = [
            ("features", 0.3, lambda: pool.features),
            ("history", 0.3, pool.history_lines),
            ("txgs", 0.05, lambda: [str(txg) for txg in pool.txgs()]),
            ("allocations", 0.3, lambda: metaslabs.allocations(spa.mos, spa.directory, spa.tree.tops)),
            ("verify", 0.15, lambda: pool.verify(threads=1)),
            ("dedup", 0.5, lambda: self._dedup(spa)),
            ("clones", 0.5, lambda: self._clones(spa)),
            ("mos", 0.1, lambda: self._objects(spa.mos)),
        ]
        for name, share, work in steps:
            if self._chance(share):
                self.attempt(name, work)
        for name, number in self.touched:
            if name == spa.mos.name:
                self.attempt("object", lambda number=number: self._object(spa.mos, number))
        self._datasets(pool)

    def _dedup(self, spa: Any) -> None:
        for table in ddt.tables(spa.mos, Zap(spa.mos.dnode(1))):
            self.attempt("dedup", table.log_headers)
            self.attempt("dedup", lambda table=table: [len(batch) for batch in table.batches()])

    def _clones(self, spa: Any) -> None:
        for table in brt.tables(spa.mos, Zap(spa.mos.dnode(1))):
            self.attempt("clones", table.counts)
            self.attempt("clones", lambda table=table: [len(batch) for batch in table.batches()])

    # --- objects --------------------------------------------------------------------------------------------------

    def _objects(self, objset: Objset) -> None:
        unreadable: list[Any] = []
        numbers = [dnode.number for dnode in objset.objects(damaged=lambda *what: unreadable.append(what))]
        for number in self._some(numbers, 24):
            self._object(objset, number)

    def _object(self, objset: Objset, number: int) -> None:
        dnode = self.attempt("object", lambda: objset.dnode(number))
        if dnode is None:
            return
        self.attempt("object", lambda: dnode.bonus)
        self.attempt("object", lambda: (dnode.next_data(0), dnode.next_hole(0)))
        self.attempt("object", lambda: dnode.read(0, BYTES))
        if dnode.maxblkid:
            self.attempt("object", lambda: dnode.read(dnode.size - 1, 1))
        if dnode.spill is not None:
            self.attempt("object", dnode.read_spill)
        if dmutypes.type_info(dnode.type).swap == Swap.ZAP:
            self.attempt("zap", lambda: self._zap(dnode))
        if dnode.bonustype == ObjectType.BPOBJ_HDR:
            self.attempt("bpobj", lambda: sum(len(batch) for batch in Bpobj(objset, number).batches()))

    def _zap(self, dnode: Dnode) -> None:
        zap = Zap(dnode)
        found = list(islice(zap.items(), ENTRIES))
        len(zap)
        for entry in self._some(found, 4):
            self.attempt("zap", lambda entry=entry: zap.find(entry.words if zap.word_keys else entry.name, fold=True))
        if not zap.word_keys:
            zap.get("nowhere to be found", None)

    # --- datasets -------------------------------------------------------------------------------------------------

    def _datasets(self, pool: Any) -> None:
        types = ("filesystem", "volume", "snapshot", "bookmark")
        datasets = self.attempt("datasets", lambda: list(pool.datasets(types=types)))
        if datasets is None:
            # What can be had of a damaged list.
            datasets = []
            for found in self.attempt("damaged", lambda: self._everything(pool)) or []:
                dataset = self.attempt("damaged", lambda found=found: pool._wrap(found))
                datasets += [] if dataset is None else [dataset]
        names = {name for name, _ in self.touched}
        chosen = [one for one in datasets if self.attempt("name", lambda one=one: one.name) in names]
        for dataset in dict.fromkeys([*chosen[:DATASETS], *self._some(datasets, DATASETS)]):
            self.attempt("dataset", lambda dataset=dataset: self._dataset(pool, dataset))

    def _everything(self, pool: Any) -> list[Any]:
        damaged: list[Any] = []
        return list(pool.spa.dsl.everything(damaged=lambda *what: damaged.append(what)))

    def _dataset(self, pool: Any, dataset: Any) -> None:
        if self._chance(0.5):
            self.attempt("properties", lambda: [str(value.text) for value in dataset.properties().values()])
        if dataset.type == "bookmark":
            return
        dsl = dataset.dsl
        if not dsl.is_snapshot:
            self.attempt("livelist", lambda: dsl.dir.livelist and dsl.dir.livelist.entries)
            self.attempt("clones", dsl.dir.clones)
        if dsl.is_empty:
            return
        self.attempt("deadlist", lambda: (dsl.deadlist.entries, dsl.deadlist.total, dsl.deadlist.space(1)))
        objset = self.attempt("objset", lambda: dsl.objset(raw=dsl.encrypted and self._chance(0.2)))
        if objset is None:
            return
        self.attempt("log", lambda: list(islice(read_blocks(objset.zio, header_of(objset), objset.keys), 1000)))
        for name, number in self.touched:
            if name == dataset.name:
                self._object(objset, number)
        if self._chance(0.1):
            self.attempt("objects", lambda: self._objects(objset))
        if dsl.head_kind == "volume":
            volume = pool.volume(dataset.name)
            self.attempt("volume", lambda: (volume.size, volume.volblocksize, volume.open().read(BYTES)))
        else:
            self._files(pool, dataset)

    def _files(self, pool: Any, dataset: Any) -> None:
        vfs = self.attempt("fs", dataset.fs)
        if vfs is None:
            return
        filesystem = vfs.filesystem
        self.attempt("tables", lambda: (filesystem.unlinked(), filesystem.domains, filesystem.used("user")))
        self.attempt("tables", lambda: (filesystem.quotas("group"), filesystem.used("projectobj")))
        damaged: list[Any] = []
        tree = self.attempt("walk", lambda: list(vfs.tree("/", damaged=lambda *what: damaged.append(what)))) or []
        if self._chance(0.3):
            self.attempt("walk", lambda: list(vfs.walk("/")))
        for path, znode in self._some(tree, PATHS):
            self.attempt("lookup", lambda path=path: vfs.stat(path, follow=True))
            self._file(vfs, path, znode)
        for name, number in self.touched:
            if name == dataset.name and number:
                znode = self.attempt("znode", lambda number=number: filesystem.znode(number))
                if znode is not None:
                    self._file(vfs, ".", znode)
                    self.attempt("path_of", lambda number=number: filesystem.path_of(number))
        if not any(znode.size > LARGE for _, znode in tree if znode.type == "file"):
            if self._chance(0.2):
                self.attempt("tar", lambda: tar_out(vfs, "/", _Nowhere(), keep_going=self._chance(0.7)))
            if self._chance(0.2):
                self.attempt("manifest", lambda: list(entries(pool, dataset.name, threads=1)))

    def _file(self, vfs: Any, path: str, znode: Any) -> None:
        stat = self.attempt("stat", lambda: vfs.stat_of(znode))
        if stat is not None:
            str((stat.type, stat.st_mtime, stat.st_rdev, stat.st_blocks))
        self.attempt("xattrs", lambda: vfs.xattrs_of(znode))
        self.attempt("acl", lambda: str(znode.acl()))
        if znode.type == "symlink":
            self.attempt("readlink", znode.target)
        if znode.type == "file":
            stream = self.attempt("open", lambda: znode.open())
            if stream is not None:
                self.attempt("read", lambda: stream.read(BYTES))
                self.attempt("ranges", lambda: list(islice(stream.data_ranges(), 5000)))


class _Nowhere(io.RawIOBase):
    """Where a tar stream goes that nobody wants."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(memoryview(data).cast("B"))


def exercise(
    *devices: Device,
    rng: random.Random | None = None,
    touched: Iterable[tuple[str, int]] = (),
    keys: Mapping[str, str] | None = None,
) -> list[str]:
    """Find, open and read a pool; gives the errors that came out, in order. Args: as ``Exercise``."""
    return Exercise(devices, rng, touched, keys).run()
