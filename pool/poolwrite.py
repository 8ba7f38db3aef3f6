"""A pool that is open for writing: what can be changed, and when it is durable.

Changes are visible at once and durable when their txg is written: after five seconds, when enough waits to be written,
on ``sync``, or when the pool is closed. A crash loses what was not durable, and never a part of a transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from time import sleep
from typing import TYPE_CHECKING

from . import poolset
from .alloc.allocator import AllocClass
from .dmu.tx import TxManager
from .dsl.accounting import available
from .dsl.figures import setting as figure_setting
from .dsl.names import check_dataset
from .dsl.propset import Setting, setting
from .dsl.proptable import Types
from .dsl.writesettings import settings_of
from .errors import ExistsError, NotFoundError, PoolError, UsageError
from .ondisk.dsl import USED_CHILD_RSRV, USED_REFRSRV
from .ondisk.label import STATE_DESTROYED, STATE_EXPORTED
from .ondisk.objset import ObjsetType
from .pool import Dataset, Pool, Volume
from .spa import datasets
from .spa.historywrite import log_command, log_internal
from .spa.openwrite import open_for_writing
from .spa.txghistory import TxgRecord
from .spa.txgthread import TxgThread, delay
from .vfswrite import MutableVfs
from .zil.intentlog import IntentLog, SyncMode
from .zil.recovery import SAXATTR, Target
from .zil.replay import FileReplay
from .zil.replayvolume import VolumeReplay
from .zil.stats import ZilStats
from .zpl.oplog import NoLog, OpLog
from .zpl.writable import MutableFilesystem
from .zvolwrite import MutableZvol, VolumeFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .dsl.dataset import DslDataset
    from .dsl.dir import DslDir
    from .dsl.writable import WritableDataset
    from .env import Env
    from .spa.engine import Engine
    from .spa.logs import Logs
    from .spa.spa import Spa
    from .vdev.state import VdevState

#: Seconds after which an open txg is written. Source: OpenZFS, zfs_txg_timeout.
TXG_SECONDS = 5.0
#: Bytes that may wait to be written.
DIRTY_MAX = 512 << 20
#: Bytes of data written at once, whose parents wait; only pointers are in memory.
PLACED_MAX = 4 << 30
#: At half of either a txg is closed early; it is written while the next one takes changes.
SYNC_SHARE = 2


class MutableVolume(Volume):
    """A volume of a pool that is open for writing."""

    pool: WritablePool

    @property
    def _zvol(self) -> MutableZvol:
        return self.pool._volume(self.pool.dataset(self.name)._live)  # as it is now

    def open(self, path: str = "", *, sync: bool = False) -> VolumeFile:  # type: ignore[override]
        """Its content as a binary file, to be read and written; ``sync``: as ``O_SYNC``."""
        if path:
            raise UsageError(f"{self.name} is a volume and has no files", path=path)
        return self._zvol.open(sync=sync)

    def fsync(self) -> None:
        """What was written to it is on stable storage when this returns, as after a disk's flush.

        Raises:
            UsageError: inside a transaction. DeviceError, NoSpaceError: nothing can be promised.
        """
        known = self.pool._volumes.get(self._live.obj)
        (self._zvol if known is None or known.name != self.name else known).fsync()

    def resize(self, size: int) -> None:
        """Give it another size; what lies beyond is gone. Raises: UsageError: no multiple of volblocksize."""
        self._zvol.resize(size)


class WritablePool(Pool):
    """An open pool that can be changed. Close it, or use it in a ``with`` statement.

    Args:
        spa: the pool, its devices open for writing.
        env: clock, randomness, host.
        txg_seconds: after so long an open txg is written; 0: only when asked, or when enough waits.
        dirty_max: bytes that may wait to be written; from half of it on a txg is written early, and the more wait
            beyond 60 % of it, the slower changes are.
        force: even if another machine has not exported the pool.
        discard_logs: give up what waits in intent logs, instead of replaying it.

    Attributes:
        tell: called with each note, such as on a device that failed, when it is made.
        zil_stats: what the intent logs have done.

    Raises:
        CorruptError: an intent log cannot be replayed.
    """

    tell: Callable[[str], object] | None = None

    def __init__(
        self,
        spa: Spa,
        env: Env,
        *,
        txg_seconds: float = TXG_SECONDS,
        dirty_max: int = DIRTY_MAX,
        force: bool = False,
        discard_logs: bool = False,
    ) -> None:
        super().__init__(spa)
        self.env = env
        self.dirty_max = dirty_max
        self.engine: Engine
        self.engine, logs = open_for_writing(spa, env, force=force, discard_logs=discard_logs)
        self._told: dict[int, VdevState] = {}
        self._note_absent()
        self._rooms: tuple[tuple[int, int], dict[str, int | None]] = ((0, 0), {})
        self._filesystems: dict[int, MutableFilesystem] = {}
        self._volumes: dict[int, MutableZvol] = {}
        self._logs: dict[int, IntentLog] = {}
        self.zil_stats = ZilStats()
        self._replaying = False
        self._timer: TxgThread | None = None
        self.engine.on_synced = self._synced
        self._replay(logs)
        if txg_seconds:
            self._timer = TxgThread(self._sync_waiting, txg_seconds)

    def _replay(self, logs: Logs) -> None:
        """Make again what was promised before the pool was left, dataset by dataset."""
        self._replaying = True
        for log in logs.waiting:
            recovery = log.recovery
            assert recovery is not None
            target: Target
            if log.head.head_kind == "volume":
                target = VolumeReplay(MutableZvol(recovery.dataset.objset, self._relieve))
            else:
                target = FileReplay(self._vfs(log.head).filesystem)
            recovery.run(target, relieve=self._relieve, sync=self.sync)
            if recovery.replayed:
                self.spa.notes.append(f"replayed {recovery.replayed} records of the intent log of {log.head.name}")
        self._replaying = False

    # --- txgs -----------------------------------------------------------------------------------------------------

    def _sync_waiting(self, why: str) -> bool:
        """Write the open txg, in a thread of its own; False: the pool is not written any more."""
        if self.engine.tx.broken or self.spa.closed:
            return False
        try:
            self.engine.sync(why)
        except PoolError as error:
            # Nobody waits for this txg; whoever changes something next is told that the pool is suspended.
            self._note(str(error))
            return False
        return True

    @property
    def txg(self) -> int:
        """The last txg that is on disk."""
        return self.engine.synced_txg

    def sync(self) -> int:
        """Make all changes durable; gives the txg that is on disk then.

        Raises:
            UsageError: inside a transaction. NoSpaceError, DeviceError: the pool is suspended.
        """
        return self.engine.sync("asked")

    def _synced(self) -> None:
        """A txg is on disk."""
        self._note_failures()
        self.spa.unwritten.clear()
        self.spa.refresh(self.engine.uberblock)

    def _note(self, text: str) -> None:
        self.spa.notes.append(text)
        if self.tell is not None:
            self.tell(text)

    def _note_absent(self) -> None:
        """Devices that were not there, or lack something, when the pool was opened."""
        absent = [f"{leaf.path} {leaf.state_text}" for leaf in self.tree.leaves if not leaf.readable]
        if absent:
            self._note(f"the pool is {self.health}: {', '.join(absent)}; what a device misses is noted for a resilver")
        for leaf in self.tree.leaves:
            if leaf.readable and leaf.dtl:
                self._note(f"{leaf.path} lacks data that others have: the pool needs a resilver, which OpenZFS makes")

    def _note_failures(self) -> None:
        """Devices that failed while redundancy bore it, and what became of them."""
        for leaf in self.tree.leaves:
            if leaf.write_errors and leaf.state is not self._told.get(leaf.guid):
                self._told[leaf.guid] = leaf.state
                if leaf.readable:
                    what = "it is used on, but lacks data that others have"
                else:
                    what = f"it is {leaf.state_text} and no longer used"
                self._note(f"writes to {leaf.path} failed: {what}; the pool needs a resilver")

    @contextmanager
    def transaction(self, *, exclusive: bool = False) -> Iterator[TxManager]:
        """Everything done inside, in whatever datasets, is in one txg: after a crash all of it is there, or none.

        An exception that leaves it takes everything back.

        Args:
            exclusive: wait until no txg is being written. Changes of datasets, not of what is in them, do so anyhow.
        """
        tx = self.engine.tx
        with tx.exclusive() if exclusive else tx.transaction():
            yield tx
        self._relieve()
        if not tx.active:
            for log in list(self._logs.values()):
                log.settle()

    def _relieve(self) -> None:
        """Have the txg written if enough waits; the more waits, the longer this takes."""
        tx = self.engine.tx
        waiting, placed = tx.waiting.dirty_bytes, tx.waiting.placed_bytes
        if 2 * (waiting + tx.closed.dirty_bytes) < self.dirty_max and 2 * placed < PLACED_MAX:
            return  # as nearly always
        if tx.active:
            return
        enough = waiting >= self.dirty_max // SYNC_SHARE or placed >= PLACED_MAX // SYNC_SHARE
        pause = delay(waiting + tx.closed.dirty_bytes, self.dirty_max)
        if pause is None or placed >= PLACED_MAX or (enough and self._timer is None):
            self.engine.sync("dirty")
            return
        if enough and self._timer is not None:
            self._timer.wake()
        if pause:
            sleep(pause)

    def txg_history(self) -> list[TxgRecord]:
        """The last txgs, the open one at the end: how long each took, what it wrote, and why it was closed."""
        tx = self.engine.tx
        return self.engine.history.records(tx.open_txg, tx.waiting.bytes, self.tree.io.total())

    # --- datasets -------------------------------------------------------------------------------------------------

    def dataset(self, name: str) -> Dataset:
        with self.engine.tx.names:
            return super().dataset(name)

    def fs(self, name: str = "") -> MutableVfs:
        """The files of a file system, to be changed; of a snapshot, to be read.

        Raises:
            NotFoundError; UsageError: a volume. UnsupportedError: it cannot be changed.
        """
        dataset = self.dataset(name or self.name)
        dsl = dataset._live
        if dsl.is_snapshot:
            return super().fs(name)  # type: ignore[return-value]
        if dsl.head_kind != "filesystem":
            raise UsageError(f"{dataset.name} is a volume and has no files", "open it as a volume")
        return self._vfs(dsl)

    def _vfs(self, dsl: DslDataset) -> MutableVfs:
        from .dsl import props

        opened = datasets.open_dataset(self.engine, dsl)
        filesystem = self._filesystems.get(dsl.obj) or self._filesystem(opened, dsl)
        with self.engine.tx.names:
            self._configure(filesystem, dsl)
            filesystem.log = self._log(opened, dsl)
            return MutableVfs(
                filesystem,
                posix_acls=props.get(dsl, "acltype").exact == "posix",
                snapdir=props.get(dsl, "snapdir").exact == "visible",
                xattr_packed=props.get(dsl, "xattr").exact in ("sa", "on"),
            )

    def _filesystem(self, opened: WritableDataset, dsl: DslDataset) -> MutableFilesystem:
        """Open a file system, which nobody has done before, or only just now."""
        tx = self.engine.tx
        with tx.lock:
            found = self._filesystems.get(dsl.obj)
            if found is not None:
                return found
            opened.objset.room = partial(self._room, dsl.name)
            if tx.active:
                # A dataset that is taken back leaves its object number to another.
                tx.note(partial(self._forget, dsl.obj))
            found = self._filesystems[dsl.obj] = MutableFilesystem(
                opened.objset, clock=lambda: int(self.env.clock() * 1e9), relieve=self._relieve
            )
            if found.unlinked():
                found.drain_unlinked()
            return found

    def _volume(self, dsl: DslDataset) -> MutableZvol:
        """A volume, one for all who have it open."""
        from .dsl import props

        opened, tx = datasets.open_dataset(self.engine, dsl), self.engine.tx
        with tx.lock:
            found = self._volumes.get(dsl.obj)
            if found is None:
                opened.objset.room = partial(self._room, dsl.name)
                if tx.active:
                    tx.note(partial(self._forget, dsl.obj))
                found = self._volumes[dsl.obj] = MutableZvol(opened.objset, self._relieve)
        with tx.names:
            found.readonly = props.get(dsl, "readonly").raw == 1
            found.log = self._log(opened, dsl)
        return found

    def _room(self, name: str) -> int | None:
        """Bytes that may still be written to a dataset; None: no quota and no reservation limits it."""
        now = (self.engine.tx.txg, self.engine.synced_txg)
        if self._rooms[0] != now:
            self._rooms = (now, {})
        rooms = self._rooms[1]
        if name not in rooms:
            rooms[name] = self._room_now(name)
        return rooms[name]

    def _room_now(self, name: str) -> int | None:
        directory: DslDir | None = self.spa.dsl.directory_of(name)
        assert directory is not None and directory.head is not None
        head = directory.head
        own = [figure_setting(head, "refquota"), figure_setting(head, "refreservation")]
        limited = any(own)
        while directory is not None:
            breakdown = directory.phys.used_breakdown
            limited |= bool(directory.phys.quota or breakdown[USED_CHILD_RSRV] or breakdown[USED_REFRSRV])
            directory = directory.parent
        return available(head, self.spa.space.datasets, own[0], own[1]) if limited else None

    def _log(self, dataset: WritableDataset, dsl: DslDataset) -> OpLog:
        """The intent log of a dataset, as its properties want it."""
        from .dsl import props

        if self._replaying:
            return NoLog()
        log = self._logs.get(dsl.obj)
        if log is None or log.dataset is not dataset:
            log = self._logs[dsl.obj] = IntentLog(
                dataset,
                sync=partial(self.engine.sync, "log"),
                synced=lambda: self.engine.synced_txg,
                random_bytes=self.env.random_bytes,
                stats=self.zil_stats,
                log_devices=self.engine.allocator.has(AllocClass.LOG),
                saxattr=self.engine.features.enabled(SAXATTR),
            )
        log.configure(
            SyncMode(int(props.get(dsl, "sync").raw or 0)), throughput=props.get(dsl, "logbias").raw == 1
        )
        return log

    def _forget(self, number: int) -> None:
        self._filesystems.pop(number, None)
        self._volumes.pop(number, None)
        self._logs.pop(number, None)

    def _configure(self, filesystem: MutableFilesystem, dsl: DslDataset) -> None:
        """Give an open file system what its dataset's properties say."""
        from .dsl import props

        names = ("recordsize", "dnodesize", "atime", "relatime", "longname", "readonly")
        number = {name: props.get(dsl, name).raw for name in names}
        filesystem.recordsize = int(number["recordsize"] or 128 << 10)
        filesystem.dnodesize = dnode_bytes(int(number["dnodesize"] or 0))
        filesystem.atime = bool(number["atime"])
        filesystem.relatime = bool(number["relatime"])
        filesystem.readonly = bool(number["readonly"])
        filesystem.longnames = self.engine.features.enabled("longname") and number["longname"] == 1

    def create_filesystem(
        self,
        name: str,
        properties: Mapping[str, int | str] | None = None,
        *,
        parents: bool = False,
        owner: tuple[int, int, int] = (0, 0, 0o040755),
        fixed: Mapping[str, int] | None = None,
    ) -> MutableVfs:
        """Make a file system.

        Args:
            name: its full name.
            properties: by name, in the words of ``zfs create``, or as they are stored (numbers).
            parents: make those above it that are missing.
            owner: uid, gid and mode of its root.
            fixed: properties set once: normalization, utf8only, casesensitivity.

        Raises:
            ExistsError; NotFoundError: the parent is missing. UsageError: no dataset can have this name.
        """
        stored, given = poolset.understand(self, properties or {}, Types.FILESYSTEM)
        with self.transaction(exclusive=True):
            dsl = self._create(name, stored, parents=parents)
            above = dsl.dir.parent.head if dsl.dir.parent is not None else None
            fixed = poolset.inherited_fixed(self, above, {**given, **(fixed or {})})
            datasets.fill_filesystem(
                self.engine, dsl.obj, dsl.name, settings_of(dsl, self.engine.settings), owner=owner, fixed=fixed
            )
            self._learn(dsl, ObjsetType.ZFS)
            log_internal(self.engine, "create", "", dsl.name, dsl.obj)
            return self._vfs(dsl)

    def create_volume(
        self,
        name: str,
        size: int,
        properties: Mapping[str, int | str] | None = None,
        *,
        volblocksize: int = datasets.VOLBLOCK_DEFAULT,
        parents: bool = False,
    ) -> MutableVolume:
        """Make a volume; sparse, unless ``refreservation`` is among the properties (``auto``: all of it).

        Args:
            size: bytes, a multiple of ``volblocksize``.

        Raises: as ``create_filesystem``.
        """
        wanted = dict(properties or {})
        setting("volblocksize", volblocksize, Types.VOLUME, enabled=self.engine.features.enabled, creating=True)
        if wanted.get("refreservation") == "auto":
            copies = setting("copies", wanted.get("copies", 1), Types.VOLUME).value
            wanted["refreservation"] = poolset.reservation(self.engine, size, volblocksize, int(copies))
        stored, _ = poolset.understand(self, wanted, Types.VOLUME)
        with self.transaction(exclusive=True):
            dsl = self._create(name, stored, parents=parents)
            datasets.fill_volume(
                self.engine, dsl.obj, dsl.name, settings_of(dsl, self.engine.settings), size=size, block=volblocksize,
                refreservation=poolset.reserved_for_head(dsl),
            )  # fmt: skip
            self._learn(dsl, ObjsetType.ZVOL)
            log_internal(self.engine, "create", "", dsl.name, dsl.obj)
            return MutableVolume(self, dsl)

    def _create(self, name: str, properties: Sequence[Setting], *, parents: bool) -> DslDataset:
        name = check_dataset(self.full_name(name))
        above, _, short = name.rpartition("/")
        if not above:
            raise ExistsError("the pool's root dataset exists already", dataset=name)
        try:
            parent = self.spa.dsl.directory_of(above)
        except NotFoundError:
            if not parents or not above:
                raise
            self.create_filesystem(above, parents=True)
            parent = self.spa.dsl.directory_of(above)
        if parent.head is not None and parent.head.head_kind == "volume":
            raise UsageError(f"{above} is a volume, and nothing lies below volumes", dataset=name)
        self.engine.tx.note(self._changed)
        datasets.create_dataset(self.engine, parent, short, self._origin)
        self._changed()
        head = self.spa.dsl.directory_of(name).head
        assert head is not None
        for one in properties:
            poolset.apply(self, head, one)
        self._changed()
        head = self.spa.dsl.directory_of(name).head
        assert head is not None
        return head

    @property
    def _origin(self) -> int:
        """The snapshot that all datasets are clones of."""
        head = self.spa.dsl.special()["$ORIGIN"].head
        assert head is not None
        return head.phys.prev_snap_obj

    def _learn(self, dsl: DslDataset, objset_type: ObjsetType) -> None:
        """A new dataset's kind can be read from disk only when its txg is there."""
        dsl.learn_kind(objset_type)
        self.spa.unwritten[dsl.obj] = objset_type

        def undo() -> None:
            self.spa.unwritten.pop(dsl.obj, None)

        self.engine.tx.note(undo)

    def _changed(self) -> None:
        self.spa.refresh(None)

    def volume(self, name: str) -> MutableVolume:
        """A volume, to be read and written; of a snapshot, to be read.

        Raises:
            NotFoundError; UsageError: a file system.
        """
        found = super().volume(name)
        if found._live.is_snapshot:
            return found  # type: ignore[return-value]
        return MutableVolume(self, found._live)

    def destroy(self, name: str) -> None:
        """Destroy a file system or volume that has neither snapshots nor datasets below it.

        Raises:
            NotFoundError, NotEmptyError; UsageError: inside a transaction, or the pool's root.
        """
        dataset: Dataset = self.dataset(name)
        dsl = dataset._live
        with self.engine.tx.lock:
            log = self._logs.get(dsl.obj)
            if log is not None:
                log.retire()  # the txg that is written next frees its blocks
            datasets.destroy_dataset(self.engine, dsl)
            self._forget(dsl.obj)
        self._changed()
        with self.engine.tx.giving_back(exclusive=True):
            log_internal(self.engine, "destroy", "", dsl.name, dsl.obj)

    # --- properties and history -----------------------------------------------------------------------------------

    def set(self, name: str, prop: str, value: int | str) -> None:
        """Set a property of a file system or volume, as ``zfs set`` does; what is open follows at once.

        Args:
            name: of the dataset. prop: of the property.
            value: as the command line has it (``128K``, ``lz4``, ``none``), or the number that is stored.

        Raises:
            NotFoundError: no such dataset. UsageError: no such property, or it cannot be this.
            NoSpaceError: a quota below what is used, a reservation above what there is.
            UnsupportedFeatureError: it needs a feature that is not enabled. UnsupportedError: it is not written here.
        """
        poolset.set_property(self, name, prop, value)

    def inherit(self, name: str, prop: str, *, received: bool = False) -> None:
        """Take a property's own value back: it is inherited, or the default.

        Args:
            received: if a value came with a stream, it is that.

        Raises:
            NotFoundError: no such dataset. UsageError: no property that is inherited.
        """
        poolset.inherit(self, name, prop, received=received)

    def set_pool(self, prop: str, value: str) -> list[str]:
        """Set a property of the pool, or enable a feature (``feature@NAME`` to ``enabled``).

        Returns:
            short names of features that this has enabled: it, and those it depends on.

        Raises:
            UsageError: no such property, or it cannot be this. UnsupportedError: it is not written here.
        """
        return poolset.set_pool_property(self, prop, value)

    def record(self, command: str) -> None:
        """Put a command into the pool's history, as ``zpool history`` shows it."""
        with self.transaction(exclusive=True):
            log_command(self.engine, command)
        self._changed()

    # --- the end ----------------------------------------------------------------------------------------------------

    def export(self) -> None:
        """Write everything and let go of the pool: another machine may import it."""
        self.close()

    def destroy_pool(self) -> None:
        """Mark the pool as destroyed and let go of it: its devices are free for others.

        Nothing is overwritten: ``zpool import -D`` finds it as long as nobody does.
        """
        self._end(STATE_DESTROYED)

    def close(self) -> None:
        """Write what waits, mark the pool as exported, and let go of the devices. Closing twice is fine."""
        self._end(STATE_EXPORTED)

    def _end(self, state: int) -> None:
        if self.spa.closed:
            return
        if self._timer is not None:
            self._timer.stop()
        try:
            if not self.engine.tx.broken:
                for log in self._logs.values():
                    log.retire()
                self.engine.export(state)
            self._note_failures()
        finally:
            self.engine.writer.close()
            super().close()

    def abandon(self) -> None:
        """Let go of the devices as a crash would: nothing that waits is written."""
        self.engine.tx.broken = self.engine.tx.broken or "it was abandoned"
        if self._timer is not None:
            self._timer.stop()
        self.engine.writer.close()
        super().close()


def dnode_bytes(value: int) -> int:
    """What a value of ``dnodesize`` stands for: legacy, auto (1 KiB), or so many bytes."""
    return {0: 512, 1: 1024}.get(value, value)

