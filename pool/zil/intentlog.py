"""The intent log of one dataset, being written: what a caller asks for is on stable storage when ``commit`` returns.

Changes are noted in their transactions and wait (``itx.py``). Those who ask at the same time share a commit
(``callers.py``), so that the log of a dataset is written by one commit at a time.

The order that makes it safe: what records point to is written, and the log's blocks but for the first; the devices
that have any of it are flushed; then the first block is written, and its devices are flushed. A torn block does not
verify, and nothing leads to the later ones until the first one is there: so a commit is on disk as a whole or not at
all, whatever it consists of. Where it is one block and nothing else one flush does.

Whatever cannot be had so is had by writing a txg, which makes everything durable: a log's beginning, transactions that
touch several datasets or the pool itself or make very many changes, changes that no record tells of, a device that
fails, a full pool.

Source: OpenZFS, zil.c (``zil_commit``), zfs_log.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from ..dmu.tx import TxManager
from ..dsl.writable import WritableDataset
from ..errors import PoolError, UsageError
from ..ondisk import blkptr, zilencode
from .callers import Callers
from .itx import Group, ItxQueue, Told, Written
from .logblocks import DATA_MAX, Filled, LogBlocks
from .recovery import SAXATTR
from .stats import ZilStats

if TYPE_CHECKING:
    from ..dmu.mutable import MutableDnode
    from ..ondisk.blkptr import BpArray
    from ..zpl.oplog import Encoder

#: Writes of at least so many bytes are logged by reference where there is no log device: one write instead of two.
#: Source: zfs_log.c (``zfs_immediate_write_sz``).
IMMEDIATE = 32 << 10

#: A transaction of more changes than this waits for its txg: a log is for what is small.
GROUP_MAX = 128

Records = list[tuple[bytearray, int]]


class SyncMode(IntEnum):
    """Property ``sync``."""

    STANDARD = 0
    ALWAYS = 1
    DISABLED = 2


@dataclass(slots=True)
class _Prepared:
    """A commit under way.

    Attributes:
        blocks: of the log. vdevs: where all of it lies but for the first block.
        txg: the open one when it was prepared.
        failures: flushes that had failed when its first byte was written.
    """

    blocks: list[Filled]
    vdevs: set[int]
    txg: int
    failures: int


class IntentLog:
    """The log of a dataset that is open for writing; see ``zpl.oplog.OpLog`` for how it is told of changes.

    Args:
        dataset: whose log it is.
        sync: writes a txg. synced: the last one on disk.
        random_bytes: for the names of chains.
        stats: counters, those of all logs of the pool.
        log_devices: the pool has devices for logs.
        saxattr: records may tell of packed extended attributes (feature ``zilsaxattr``).

    Attributes:
        tx: the pool's transactions.
        mode: what is made durable, and when. throughput: property ``logbias``: all writes are logged by reference.
    """

    def __init__(
        self,
        dataset: WritableDataset,
        *,
        sync: Callable[[], object],
        synced: Callable[[], int],
        random_bytes: Callable[[int], bytes],
        stats: ZilStats,
        log_devices: bool = False,
        saxattr: bool = False,
    ) -> None:
        self.dataset = dataset
        self.stats = stats
        self.log_devices = log_devices
        self.saxattr = saxattr
        self.mode = SyncMode.STANDARD
        self.throughput = False
        self._sync = sync
        self._synced = synced
        objset = dataset.objset
        self.tx: TxManager = objset.tx
        self._blocks = LogBlocks(objset.writer, self.tx, dataset.number, random_bytes)
        self._installed = False  # the header is kept here
        self._queue = ItxQueue()
        self._open: list[Told | Written] = []  # of the open transaction
        self._unlogged = 0  # of its changes, those that no record tells of
        self._ignored = 0  # and those that need not be durable
        self._gap = 0  # the last txg with changes that are not in the queue
        self._fresh = False  # something was noted since the last commit
        self._demanded = False  # and it is to be durable
        self._callers = Callers(self._commit, stats)
        objset.on_change = self._ended

    @property
    def begun(self) -> bool:
        """There is a log on disk, or will be with the open txg."""
        return self._blocks.begun

    def configure(self, mode: SyncMode, *, throughput: bool) -> None:
        """Follow the properties ``sync`` and ``logbias``. What was not noted until now waits for its txg."""
        if mode is not self.mode and self.mode is SyncMode.DISABLED:
            self._gap = self.tx.txg
        self.mode, self.throughput = mode, throughput

    # --- what is noted ----------------------------------------------------------------------------------------------

    def note(self, encode: Encoder, *args: object) -> None:
        """See ``OpLog``."""
        self._add(Told(encode, args, 0))

    def note_file(self, number: int, encode: Encoder, *args: object) -> None:
        """See ``OpLog``."""
        self._add(Told(encode, args, number))

    def note_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """See ``OpLog``."""
        self._add(Written(dn, offset, length, size))

    def note_lone_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """See ``OpLog``."""
        txg = self.tx.open_txg
        if self.mode is SyncMode.DISABLED:
            self._gap = txg
        else:
            self._queue.add(txg, [Written(dn, offset, length, size)], self._synced())
        self._fresh = True

    def note_xattr(self, number: int, name: bytes, value: bytes | None) -> None:
        """See ``OpLog``. Without the feature, and for an empty value, there is no record that tells of it."""
        if self.saxattr and (value is None or value):
            self.note_file(number, zilencode.setsaxattr, number, name, value)
        else:
            self.gap()

    def gap(self) -> None:
        """See ``OpLog``."""
        if not self.tx.final:
            self._unlogged += 1
            self.tx.note(self._undo_gap)

    def ignore(self) -> None:
        """See ``OpLog``."""
        if not self.tx.final:
            self._ignored += 1
            self.tx.note(self._undo_ignore)

    def _add(self, itx: Told | Written) -> None:
        if self._unlogged or self.mode is SyncMode.DISABLED or self.tx.final:
            return
        if len(self._open) >= GROUP_MAX:
            self.gap()
            return
        self._open.append(itx)
        self.tx.note(self._undo)

    def _undo(self) -> None:
        self._open.pop()

    def _undo_gap(self) -> None:
        self._unlogged -= 1

    def _undo_ignore(self) -> None:
        self._ignored -= 1

    def _ended(self, joint: bool) -> None:
        """An outermost transaction has ended that changed the dataset.

        Args:
            joint: and others, or the pool: a log alone cannot say that all of it happened or none.
        """
        itxs, self._open = self._open, []
        unlogged, self._unlogged = self._unlogged, 0
        ignored, self._ignored = self._ignored, 0
        txg = self.tx.txg
        if joint or unlogged or not (itxs or ignored):
            self._gap = txg
        elif itxs:
            self._queue.add(txg, itxs, self._synced())
        self._fresh |= bool(itxs or unlogged or not ignored)

    # --- asking -----------------------------------------------------------------------------------------------------

    def demand(self) -> None:
        """See ``OpLog``."""
        self._demanded = True

    def settle(self) -> None:
        """See ``OpLog``: so it is with ``sync=always``, and if somebody has demanded it. Raises: as ``commit``."""
        if self._fresh and (self._demanded or self.mode is SyncMode.ALWAYS):
            self.commit()

    def commit(self, number: int | None = None) -> None:
        """Make changes durable, with all changes of names in the dataset that came before.

        Args:
            number: the object whose own changes are wanted; None: those of all.

        Raises:
            UsageError: inside a transaction, or the pool is suspended. NotFoundError: the dataset was destroyed.
            DeviceError, NoSpaceError: nothing can be promised: the pool is suspended.
        """
        if self.mode is SyncMode.DISABLED:
            return
        if self.tx.active:
            raise UsageError("nothing is made durable inside a transaction", "ask when it is over")
        self._callers.ask(number)

    def _commit(self, objects: set[int] | None) -> float:
        """Make these objects durable, or all; gives the seconds that devices took, 0 where it was a txg."""
        groups: list[Group] = []
        checked = False
        try:
            with self.tx.lock:
                self.tx.check()
                self.dataset.objset.check_there()
                checked = True
                self._fresh = self._demanded = False
                synced = self._synced()
                begun = self._gap <= synced and self._blocks.begun
                if begun:
                    groups = self._queue.take(objects, synced)
                prepared = self._prepare(groups) if groups else None
            before = perf_counter()
            stored = prepared is not None and self._store(prepared)
        except BaseException:
            if checked:
                self._fail()  # what was taken waits nowhere else any more
            raise
        if stored:
            return perf_counter() - before
        if begun and not groups:
            self.stats.idle += 1
        else:
            self._by_txg()
        return 0.0

    def _by_txg(self) -> None:
        """Write a txg; with it a log begins, if there is none."""
        self.stats.txgs += 1
        if not self._installed:
            self._sync()  # whoever kept the header so far has nothing to put into it after this
        with self.tx.lock:
            self.dataset.objset.check_there()
            self._installed = True
            self.dataset.objset.log_header = self._blocks.header
            if not self._blocks.begun:
                self._begin()
        self._sync()

    def _begin(self) -> None:
        """A log begins with the open txg, if there is room for it; without it that txg has to do."""
        try:
            self._blocks.begin(self.tx.txg)
        except PoolError:
            self.stats.failures += 1
            return
        self.dataset.uses(SAXATTR, self.saxattr)
        self.dataset.objset.touch()

    def retire(self) -> None:
        """The log ends with the next txg, which makes everything durable: the dataset or the pool is let go of."""
        with self.tx.lock:
            self._queue.clear()
            self._gap = self.tx.txg
            if self._installed:
                self._blocks.give_up(self.tx.txg)
                self.dataset.uses(SAXATTR, False)
                self.dataset.objset.touch()

    # --- a commit ---------------------------------------------------------------------------------------------------

    def _prepare(self, groups: Sequence[Group]) -> _Prepared | None:
        """Write what changes need, but for the block that the log goes on with; None: the log is given up."""
        records: Records = []
        vdevs: set[int] = set()
        try:
            for group in groups:
                for itx in group.itxs:
                    if isinstance(itx, Told):
                        records.append((itx.encode(*itx.args), group.txg))
                    elif (record := self._waiting(itx)) is not None:
                        records.append((record, group.txg))
                    else:
                        records += [(record, group.txg) for record in self._written(itx, vdevs)]
            txg, failures = self.tx.txg, self._failures
            self.dataset.objset.touch()
            blocks = self._blocks.prepare(records, txg)
            if len(blocks) > 1:
                self._blocks.send(blocks[1:], txg)
        except PoolError:
            self._fail()
            return None
        stats, tops = self.stats, self.dataset.objset.writer.zio.tree.tops
        stats.records += len(records)
        stats.blocks += len(blocks)
        for block in blocks:
            if tops[block.link.vdev].is_log:
                stats.bytes_log += block.link.size
            else:
                stats.bytes_normal += block.link.size
        return _Prepared(blocks, vdevs | {block.link.vdev for block in blocks[1:]}, txg, failures)

    @property
    def _failures(self) -> int:
        """Flushes that failed so far, whoever wanted them."""
        return self.dataset.objset.writer.output.failures

    def _store(self, ready: _Prepared) -> bool:
        """Make it durable; False: it is not, and the log is given up."""
        blocks = ready.blocks
        try:
            if ready.vdevs:
                # Nothing leads to the rest before the first block is there, and then all of it is.
                self.dataset.objset.writer.flush(ready.vdevs)
            if not self._blocks.send_first(blocks[0], ready.txg):
                return False  # the log was let go of meanwhile, and its blocks with it
        except PoolError:
            self._fail()
            return False
        if self._failures != ready.failures:
            self._fail()  # somebody else's flush took our writes with it
            return False
        for block in blocks:
            block.link.written = True
        return True

    def _fail(self) -> None:
        """A device failed, or the pool is full: the log is given up, and what was asked for waits for a txg."""
        with self.tx.lock:
            self.stats.failures += 1
            self._gap = self.tx.txg
            self._blocks.fall_back()
            self._blocks.give_up(self.tx.txg)
            self.dataset.objset.touch()

    def _waiting(self, itx: Written) -> bytearray | None:
        """The record of a small write whose bytes are all in one block that waits, as most are; else None."""
        dn, take = itx.dn, itx.length
        blkid, skip = divmod(itx.offset, dn.datablksz)
        held = None if dn.changes is None else dn.changes.blocks.get(blkid)
        if held is None or take >= IMMEDIATE or skip + take > len(held) or self.throughput or dn.gone:
            return None
        record, data = zilencode.write(dn.number, itx.offset, take)
        data[:] = held.data[skip : skip + take]
        self.stats.copied += take
        return record

    def _written(self, itx: Written, vdevs: set[int]) -> Iterator[bytearray]:
        """Records of a write: by reference where that is better, or with a copy of the data."""
        dn = itx.dn
        if dn.gone:
            return
        size = dn.datablksz
        large = not self.log_devices and itx.length >= IMMEDIATE and 2 * itx.length >= size
        at, end = itx.offset, itx.offset + itx.length
        copy_from = at
        while at < end:
            blkid, skip = divmod(at, size)
            take = min(size - skip, end - at)
            bp = None
            if self.throughput or large or (dn.changes is not None and blkid in dn.changes.placed):
                bp = self._place(dn, blkid)
            if bp is not None and not bool(blkptr.is_embedded(bp)[0]):
                yield from self._copied(dn, copy_from, at)
                yield zilencode.write_indirect(dn.number, at, take, bp[:1])
                if (blkid + 1) * size > itx.size:
                    # OpenZFS would let the file grow to the block's end where it had reached behind ``at + take``.
                    yield zilencode.setattr_(dn.number, zilencode.SIZE, size=itx.size)
                self.stats.indirect += size
                vdevs.update(np.unique(blkptr.dva_vdev(bp)[blkptr.dva_asize(bp) != 0]).tolist())
                copy_from = at + take
            at += take
        yield from self._copied(dn, copy_from, end)

    def _place(self, dn: MutableDnode, blkid: int) -> BpArray | None:
        """Write a block that waits; None: there is nothing to be written."""
        with self.tx.transaction():
            self.ignore()
            bp = dn.place_waiting(blkid)
        self._ignored = 0  # nobody asks for it if it was written before
        return bp

    def _copied(self, dn: MutableDnode, start: int, end: int) -> Iterator[bytearray]:
        while start < end:
            take = min(DATA_MAX, end - start)
            record, data = zilencode.write(dn.number, start, take)
            blkid, skip = divmod(start, dn.datablksz)
            held = dn.changes.blocks.get(blkid) if dn.changes is not None else None
            if held is not None and skip + take <= len(held):
                data[:] = held.data[skip : skip + take]
            else:
                dn.readinto(data, start)  # what was cut off since is zeros; a record that follows cuts it off again
            yield record
            self.stats.copied += take
            start += take
