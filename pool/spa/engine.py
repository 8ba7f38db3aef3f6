"""Writing txgs: how the changes of the open txg become a new tree on disk, whole or not at all.

One txg, in this order:

1. data: every changed object set, its blocks before those that point to them, and what it is charged in the MOS;
2. passes over the MOS until nothing changes any more: what was allocated and freed so far goes into the space maps,
   which are MOS objects, so that writing them allocates and frees again. From the second pass on a block that was
   written in this txg is overwritten where it lies if its size stays; from a later one on nothing is compressed, so
   that sizes do stay. No uberblock refers to such a block yet;
3. flush: from here on all of the new tree is durable. Where redundancy bore a failure, what that leaf lacks is
   written down first, in further passes;
4. if the configuration changed: labels L0 and L2, flush;
5. the uberblock, to all four labels, flush: this is the moment the txg comes to be;
6. if the configuration changed: labels L1 and L3, flush;
7. only now is what the txg freed on its way to be allocated again, two txgs later.

All of it happens to a txg that is closed (``_close``): what waited in it is set aside, and the next one takes changes
while it is written, by whatever thread asked for that. Two txgs are never written at once.

A crash before 5 leaves the txg before as it was, since nothing it refers to was overwritten; a label of 4 that is
newer than the uberblock is not used. A crash after 5 leaves the new txg; the old labels of 6 still describe its
devices, since a device that left or came is named by the other half. If any step fails the pool is suspended: the txg
before is what the next import finds.

Source: OpenZFS, spa.c (``spa_sync``), vdev_label.c (``vdev_config_sync``), dsl_pool.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..alloc.allocator import Allocator, AllocClass
from ..alloc.slop import slop_space
from ..dmu import collector
from ..dmu.bpsizes import Sizes, sizes_of
from ..dmu.mutableobjset import MutableObjset
from ..dmu.tx import TxManager
from ..dmu.writepolicy import WriteSettings
from ..dsl import charge
from ..dsl.featurerefs import FeatureCounts
from ..dsl.writable import WritableDataset
from ..env import Env
from ..errors import DeviceError, NoSpaceError, PoolError, UsageError
from ..ondisk import blkptr, label
from ..ondisk.blkptr import BpArray
from ..ondisk.dsl import USED_HEAD
from ..ondisk.uberblock import VERSION_FEATURES, Uberblock
from ..vdev import labels
from ..vdev.leaf import LeafVdev
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from ..zio.compress import Compression
from ..zio.writer import ZioWriter
from . import poolconfig
from .dtl import DtlStore
from .moswrite import write_packed
from .poolconfig import PoolFacts
from .space import deflate_ratio
from .spacemapstore import NO_SPACE, SpaceMapStore
from .txghistory import TxgHistory

if TYPE_CHECKING:
    from ..zio.reader import Zio

#: From this pass on the MOS is not compressed; more passes than the last one means that sizes never come to rest.
PASS_UNCOMPRESSED = 4
PASS_LAST = 40
#: Top-level vdevs that get the uberblock of a txg in which no configuration changed. Source: vdev_label.c.
UBERBLOCK_VDEVS = 3

#: Freed space that waits in a nearly full pool, and for which empty txgs are written: 1/64 of all, but not more.
STARVED_MAX = 64 << 20
#: After so many txgs what was freed can be allocated: see ``alloc.allocator``.
SETTLE_TXGS = 3
#: What data takes besides itself: indirect blocks and dnodes, two copies of them.
METADATA_FACTOR = 1.0625
SMALL_BLOCK, LARGE_BLOCK = 512, 128 << 10


class Engine:
    """A pool that is being written.

    Attributes:
        env: clock and randomness. tree, zio, allocator, writer: where blocks go.
        tx: the open txg and its transactions. mos: the pool's own object set.
        facts: what the configuration says of the pool.
        features: reference counts of feature flags.
        datasets: head datasets that were opened for writing, by object number.
        synced_txg: the last txg that is on disk; uberblock: its root.
        on_synced: called when it is, before anything else is changed that belongs to the MOS.
        history: of the last txgs.
    """

    def __init__(
        self,
        *,
        env: Env,
        tree: VdevTree,
        zio: Zio,
        allocator: Allocator,
        writer: ZioWriter,
        tx: TxManager,
        mos: MutableObjset,
        facts: PoolFacts,
        features: FeatureCounts,
        maps: SpaceMapStore,
        config_object: int,
        mos_dir: int,
    ) -> None:
        self.env = env
        self.tree = tree
        self.zio = zio
        self.allocator = allocator
        self.writer = writer
        self.tx = tx
        self.mos = mos
        self.facts = facts
        self.features = features
        self.maps = maps
        self.dtls = DtlStore(tree, mos, features)
        self.datasets: dict[int, WritableDataset] = {}
        self.synced_txg = tx.txg - 1
        self.history = TxgHistory(env.clock)
        self.on_synced: Callable[[], None] = lambda: None
        self._closed: list[WritableDataset] = []  # what is to be written
        self._discarded: list[BpArray] = []
        self.uberblock: Uberblock | None = None
        self.config_dirty = False
        #: What is left to be done in the first txg of a pool that was imported.
        self.first_txg: Callable[[], None] | None = None
        self._config_object = config_object
        self._mos_dir = mos_dir
        self._mos_sizes = Sizes()
        self._settings = mos.settings
        self._room: tuple[int, int, int] = (-1, 0, 0)  # after which txg, bytes, slop space
        self._elsewhere = 0
        #: Most of the space that is left waits for txgs to be written, so that it can be allocated again.
        self._starved = False
        tx.admit = self._admit
        tx.before = self._settle
        tx.write = partial(self.sync, "space")
        allocator.settle = tx.wait
        mos.alone = True
        mos.on_born = self._mos_born
        mos.on_kill = self._mos_kill

    @property
    def settings(self) -> WriteSettings:
        """How the MOS is written, and with it what the pool's features allow."""
        return self._settings

    def follow_features(self) -> None:
        """Features were enabled, in a transaction: write as they allow, and name them in the labels."""
        before = (self._settings, self.facts, self.config_dirty)

        def undo() -> None:
            self._settings, self.facts, self.config_dirty = before
            self.mos.settings = self._settings

        self.tx.note(undo)
        enabled = self.features.enabled
        self._settings = self.mos.settings = replace(
            self._settings,
            compress_metadata=Compression.LZ4 if enabled("lz4_compress") else Compression.LZJB,
            embed=enabled("embedded_data"),
            hole_birth=enabled("hole_birth"),
        )
        facts = self.facts.with_features(self.features.active())
        if facts != self.facts:
            self.facts = facts
            self.config_dirty = True

    # --- the MOS's own space ----------------------------------------------------------------------------------------

    def _mos_born(self, bps: BpArray) -> None:
        self._mos_sizes += sizes_of(bps, self.mos.dsize)

    def _mos_kill(self, bps: BpArray, placed_again: NDArray[np.bool_] | None) -> None:
        bps_free = bps if placed_again is None else bps[~placed_again]
        self._mos_sizes -= sizes_of(bps, self.mos.dsize)
        self.writer.free(bps_free[~blkptr.is_hole(bps_free)], self.tx.txg)

    def _charge_mos(self) -> bool:
        """Charge the MOS for what its last pass wrote. Gives whether there was anything."""
        sizes, self._mos_sizes = self._mos_sizes, Sizes()
        if sizes:
            charge.did_use(self.mos, self._mos_dir, USED_HEAD, sizes)
        return bool(sizes)

    # --- room -------------------------------------------------------------------------------------------------------

    def _admit(self, more: int) -> None:
        """Refuse what would not leave enough room to write the txg, and to free something later.

        Raises:
            NoSpaceError: the pool is full.
        """
        tx = self.tx
        if tx.final:
            return
        short = self._short_of(more)
        if short is not None and tx.writing:
            # What is being written counts twice, as waiting and as allocated.
            tx.wait()
            short = self._short_of(more)
        if short is not None:
            raise NoSpaceError(
                "the pool is full",
                "remove something, or add devices",
                pool=self.facts.name,
                free=short,
                waiting=tx.waiting.dirty_bytes + tx.closed.dirty_bytes,
            )

    def _short_of(self, more: int) -> int | None:
        """None: there is room for so many more bytes; else the bytes there is room for."""
        need, left = self._need_and_left(more)
        return max(left, 0) if need > left else None

    def _need_and_left(self, more: int) -> tuple[int, int]:
        """Bytes that what waits will take with so many more, and those that it may."""
        tx, synced = self.tx, self.synced_txg
        if self._room[0] != synced:
            cls = AllocClass.NORMAL
            room = self.allocator.free_bytes(cls) - self.allocator.deferred(cls)
            self._room = (synced, room, slop_space(self.allocator.space(cls)))
            self._elsewhere = self._used_elsewhere()
        _, room, slop = self._room
        kept = slop >> 1 if tx.freeing else slop + self._elsewhere
        ratio, least = self._overhead
        waiting, closed = tx.waiting, tx.closed
        blocks = waiting.dirty_blocks + waiting.placed_blocks + closed.dirty_blocks + closed.placed_blocks + 1
        dirty = int((waiting.dirty_bytes + closed.dirty_bytes + more) * ratio)
        taken = waiting.placed_room + closed.placed_room + waiting.logged_room + closed.logged_room
        return dirty + taken + blocks * least, room - kept

    def _used_elsewhere(self) -> int:
        """Bytes on special and dedup vdevs, as many as they would be on the normal ones.

        OpenZFS before 2.4.1 counts them as used, but not as space: unless as much of the normal class stays free, a
        pool is full for it, so full that not even a scrub can begin. Source: spa_misc.c (``spa_update_dspace``).
        """
        used, of = 0, self.maps.classes
        for number, cls in of.items():
            if cls != AllocClass.LOG:
                used += self.allocator.vdev_allocated(number) * deflate_ratio(self.tree, self.tree.tops[number])
        normal = [top for top in self.tree.tops if top.id not in of and not top.is_log and top.type not in NO_SPACE]
        return used // min((deflate_ratio(self.tree, top) for top in normal), default=512)

    def _is_starved(self) -> bool:
        cls = AllocClass.NORMAL
        space, waiting = self.allocator.space(cls), self.allocator.deferred(cls)
        room = self.allocator.free_bytes(cls) - waiting - slop_space(space)
        return waiting > min(space >> 6, STARVED_MAX) and room < waiting

    @property
    def _crowded(self) -> bool:
        """What waits may take much of the room that is left. How much it does take, compressed, only a txg shows, and
        only a txg frees what was written in the open one and is not needed any more.
        """
        tx = self.tx
        if not (tx.waiting.bytes or tx.waiting.logged_room or tx.closed.bytes or tx.discarded):
            return False
        need, left = self._need_and_left(0)
        return 2 * need > left

    def _settle(self) -> None:
        """Write txgs, empty ones too, until space that was freed can be allocated again, where that matters.

        OpenZFS does the same: whoever finds the pool full while space waits is asked to come again, and txgs go on.
        """
        for _ in range(SETTLE_TXGS):
            if not (self._starved or self._crowded):
                return
            self.sync("space")

    @cached_property
    def _overhead(self) -> tuple[float, int]:
        """How much space data takes where that is most: times its size (parity, metadata), and for each block."""
        sizes = [SMALL_BLOCK, LARGE_BLOCK]
        tops = [top.id for top in self.tree.tops if not top.is_log and top.type not in NO_SPACE]
        found = [self.tree.asizes(number, sizes, [self.tx.txg] * 2).tolist() for number in tops] or [sizes]
        return max(large for _, large in found) / LARGE_BLOCK * METADATA_FACTOR, max(small for small, _ in found)

    # --- a txg ------------------------------------------------------------------------------------------------------

    @property
    def anything(self) -> bool:
        """Something waits to be written."""
        waiting = bool(self.tx.dirty or self.tx.discarded) or self.config_dirty or self.features.changed
        return waiting or self.dtls.behind or self._starved

    def sync(self, why: str = "asked") -> int:
        """Write the open txg, if anything changed in it, and open the next; gives the last txg on disk.

        Args:
            why: it is to be written, for the history of txgs.

        Raises:
            UsageError: inside a transaction, or the pool is suspended.
            NoSpaceError, DeviceError: the txg cannot be written. The pool is suspended then.
        """
        asked = monotonic()
        self.tx.wait()
        with collector.paused():
            return self._sync(why, asked)

    def _sync(self, why: str, asked: float) -> int:
        tx, begun = self.tx, False
        try:
            with tx.lock:
                tx.wait()  # another thread may have begun meanwhile
                tx.check()
                if tx.active:
                    raise UsageError("a txg cannot be written inside a transaction")
                if not self.anything:
                    return self.synced_txg
                begun = True
                self._close(why, asked)
            # Only this thread writes from here on; whoever holds the lock may be waiting for it.
            self._write_tree()
            self._flush_tree()
            self._make_real()
            self._settled(tx.txg)
            return tx.txg
        except BaseException as error:
            if begun:
                tx.broken = f"txg {tx.txg} could not be written ({error})"
            raise
        finally:
            if begun and tx.final:
                tx.written()

    def _settled(self, txg: int) -> None:
        """A txg is on disk."""
        self._starved = self._is_starved()
        self.history.done(txg, self.tree.io.total())
        self.on_synced()
        for dataset in self._closed:
            dataset.objset.settled()
        self._closed = []
        self.synced_txg = txg  # last: what was worked out from figures holds as long as this stays

    def _close(self, why: str, asked: float) -> None:
        """Set everything aside that waits in the open txg, and open the next. This thread is to write it."""
        tx = self.tx
        self._closed = [dataset for dataset in self.datasets.values() if id(dataset.objset) in tx.dirty]
        for dataset in self._closed:
            dataset.close()
        self._discarded, tx.discarded = tx.discarded, []
        dirty = tx.waiting.bytes
        txg = tx.close()
        self.history.closed(txg, why, dirty=dirty, asked=asked)

    def export(self, state: int = label.STATE_EXPORTED) -> int:
        """Write everything, and say in the labels that nobody has the pool any more; gives the last txg.

        Args:
            state: exported, or destroyed.
        """
        with self.tx.lock:
            self.sync("export")
            self.facts = replace(self.facts, state=state)
            self.config_dirty = True
            return self.sync("export")

    def _write_tree(self) -> None:
        """Steps 1 and 2."""
        for bps in self._discarded:
            self.writer.free(bps[~blkptr.is_hole(bps)], self.tx.txg)
        for dataset in self._closed:
            dataset.sync()
        self._discarded = []
        if self.first_txg is not None:
            self.first_txg()
            self.first_txg = None
        self.features.write()
        if self.config_dirty:
            self._put_config()
        self._passes()

    def _flush_tree(self) -> None:
        """Step 3. Each round more than the first follows on a device that failed anew, so they come to an end."""
        self.writer.flush()
        while self.dtls.behind:
            self._passes(2)
            self.writer.flush()

    def _passes(self, first: int = 1) -> None:
        mos = self.mos
        try:
            for number in range(first, PASS_LAST + 1):
                changed = self.maps.append(self.allocator, number)
                changed |= self._charge_mos()
                changed |= self.dtls.append(number)
                if self.maps.config_changed or self.dtls.config_changed:
                    # A vdev is new: its array of space maps is part of the config, and
                    # so are the logs and states of leaves.
                    self.maps.config_changed = self.dtls.config_changed = False
                    self._put_config()
                if self.features.changed:
                    self.features.write()
                if number > 1 and not changed and not mos.changed:
                    return
                if number >= PASS_UNCOMPRESSED:
                    mos.settings = replace(self._settings, compress_metadata=Compression.OFF)
                mos.sync(rewrite=number > 1)
            raise PoolError("the passes of a txg do not come to an end", txg=self.tx.txg)
        finally:
            mos.settings = self._settings

    def _put_config(self) -> None:
        self.config_dirty = True
        write_packed(self.mos, self._config_object, poolconfig.mos_config(self.facts, self.tree, self.tx.txg))

    # --- making it real ---------------------------------------------------------------------------------------------

    def _make_real(self) -> None:
        """Steps 4 to 7. Their order is what keeps a pool whole through a crash."""
        txg = self.tx.txg
        everywhere = self._writable_leaves(self.tree.tops)
        if self.config_dirty:
            self._write_labels(everywhere, labels.FIRST_HALF, txg)
        ub = Uberblock(
            version=VERSION_FEATURES,
            txg=txg,
            guid_sum=poolconfig.guid_sum(self.tree),
            timestamp=self.env.now(),
            rootbp_bytes=blkptr.to_bytes(self.mos.bp),
            software_version=VERSION_FEATURES,
        )
        self._write_uberblock(everywhere if self.config_dirty else self._uberblock_leaves(txg), ub)
        self.uberblock = ub
        if self.config_dirty:
            self._write_labels(everywhere, labels.SECOND_HALF, txg)
            self.config_dirty = False
        self.allocator.sync_done(txg)

    def _write_labels(self, leaves: list[LeafVdev], which: labels.Which, txg: int) -> None:
        failures = labels.write_labels(
            leaves, lambda leaf: poolconfig.label_config(self.facts, leaf, txg), which
        )
        failures += labels.flush(leaves)
        self.writer.output.doubt(failures)
        reached = labels.good_writes(leaves, failures)
        lost = {leaf.top.id for leaf in leaves if not leaf.is_log} - set(reached)
        if lost:
            raise DeviceError(
                "no label of a top-level vdev could be written", "see what is wrong with its devices",
                vdev=self.tree.tops[min(lost)].name,
            )  # fmt: skip

    def _write_uberblock(self, leaves: list[LeafVdev], ub: Uberblock) -> None:
        failures = labels.write_uberblock(leaves, ub)
        failures += labels.flush(leaves)
        self.writer.output.doubt(failures)
        if not labels.good_writes(leaves, failures):
            raise DeviceError("the uberblock could not be written to any device", "see what is wrong with them")

    def _writable_leaves(self, tops: list[Vdev]) -> list[LeafVdev]:
        return labels.labelled(leaf for top in tops for leaf in top.leaves())

    def _uberblock_leaves(self, txg: int) -> list[LeafVdev]:
        """Leaves of up to three top-level vdevs, other ones in other txgs."""
        tops = [top for top in self.tree.tops if self.maps.holds_data(top) and not top.is_log]
        start = txg % len(tops) if tops else 0
        return self._writable_leaves((tops[start:] + tops[:start])[:UBERBLOCK_VDEVS])
