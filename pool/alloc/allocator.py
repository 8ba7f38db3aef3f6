"""The allocator: room for new blocks, and what becomes of old ones, on all vdevs of a pool.

A txg goes through it like this: ``allocate`` and ``free`` while its blocks are written; ``take_changes`` in each pass,
whose result goes to the space maps; and when the uberblock is on disk, ``sync_done``. Space freed in txg N can be
allocated after the ``sync_done`` of N + 2, so that the trees of the two uberblocks before the last one stay whole, and
nothing that a crash could bring back is ever written over.

Invariants: a range is handed out once until it is freed and its wait is over. The same calls give the same answers.
Whatever raises has changed nothing.

Source: OpenZFS, metaslab.c.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..errors import CorruptError
from ..vdev.config import integer
from ..vdev.tree import MAX_BLOCK, VdevTree
from .classes import CHAIN, EMBEDDED_LOG_FROM, SPECIAL_PERCENT, AllocClass, MetaslabClass, Request, Rows
from .group import EmbeddedLog, Load, MetaslabGroup
from .livemetaslab import MetaslabChange
from .metaslab import MAX_SHIFT, MIN_SHIFT, geometry
from .ranges import I64Array, U64Array
from .slop import slop_space

__all__ = ["AllocClass", "Allocator", "MapBusyError", "MetaslabChange"]

MAX_COPIES = 3
#: Kinds of top-level vdevs that have no space of their own.
NO_SPACE = ("hole", "missing", "indirect")


class MapBusyError(Exception):
    """A space map cannot be read now: it is being written. Never seen outside of the allocator."""


class Allocator:
    """All metaslabs of a pool.

    Args:
        tree: the pool's vdevs; a new vdev's configuration has to have its ``metaslab_shift``.
        load: gives the ranges that the space map of a metaslab, and the logs, say are allocated; asked for when the
            metaslab is first chosen, and answered from what the MOS is at that moment; raises ``MapBusyError`` while a
            txg is being written by somebody else. None: nothing is allocated anywhere.
        classes: of vdevs by id; others are normal, or log vdevs by their configuration.
        allocated: by vdev id, for each metaslab the bytes allocated (its map's header, and the logs), which has to be
            what ``load`` gives; vdevs that are not in it are empty.

    Raises:
        CorruptError, LimitError: a vdev cannot be cut into metaslabs, or a figure is impossible.
    """

    def __init__(
        self,
        tree: VdevTree,
        *,
        load: Load | None = None,
        classes: Mapping[int, AllocClass] | None = None,
        allocated: Mapping[int, I64Array] | None = None,
    ) -> None:
        self.tree = tree
        #: Waits until no txg is being written.
        self.settle: Callable[[], None] = lambda: None
        self._done = 0  # the last txg that is on disk
        self._lock = threading.RLock()
        self._groups: dict[int, MetaslabGroup] = {}
        self._classes = {cls: MetaslabClass(cls) for cls in AllocClass}
        self._class_of: dict[int, AllocClass] = {}
        for top in tree.tops:
            if top.type not in NO_SPACE and top.asize:
                self._add(top.id, (classes or {}).get(top.id), (allocated or {}).get(top.id), load)

    def _add(self, vdev: int, cls: AllocClass | None, allocated: I64Array | None, load: Load | None) -> None:
        top = self.tree.tops[vdev]
        shift = integer(top.config, "metaslab_shift", MIN_SHIFT, MAX_SHIFT)
        cut = geometry(top.asize, shift, top.stripe() if top.type == "draid" else 1, vdev=top.name)
        group = MetaslabGroup(top, cut, allocated, load)
        self._groups[vdev] = group
        self._class_of[vdev] = AllocClass.LOG if top.is_log else (cls or AllocClass.NORMAL)
        self._classes[self._class_of[vdev]].groups.append(group)
        if self._class_of[vdev] is AllocClass.NORMAL and len(cut) > EMBEDDED_LOG_FROM:
            self._classes[AllocClass.EMBEDDED_LOG].groups.append(EmbeddedLog(group))

    def add_vdev(self, vdev: int, cls: AllocClass = AllocClass.NORMAL) -> None:
        """A vdev was added to the tree, and is empty: allocate on it from now on.

        Raises: as the constructor; ValueError: it is known.
        """
        with self._lock:
            if vdev in self._groups:
                raise ValueError(f"vdev {vdev} is known to the allocator")
            self._add(vdev, cls, None, None)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def allocate(
        self, psizes: ArrayLike, *, txg: int, copies: int = 1, cls: AllocClass = AllocClass.NORMAL
    ) -> U64Array:
        """Find room for blocks.

        Consecutive blocks come to lie in a row as far as free space allows.

        Args:
            psizes: bytes of each, 1 to 16 MiB.
            txg: they are written in.
            copies: 1 to 3.
            cls: where they should go; classes without vdevs or without room are followed by others (``CHAIN``). All
                copies of a block lie in one class.

        Returns:
            (n, copies, 3): vdev, offset, asize in bytes. A block there is no room for has asize 0 in all copies.

        Raises:
            ValueError: an impossible size or number, or the txg is on disk already.
            CorruptError and others: a space map makes no sense.
        """
        sizes = np.ascontiguousarray(psizes).astype(np.uint64, copy=False)
        if sizes.ndim != 1 or not 1 <= copies <= MAX_COPIES:
            raise ValueError("sizes in one row, and 1 to 3 copies")
        if len(sizes) and not (sizes.min() >= 1 and sizes.max() <= MAX_BLOCK):
            raise ValueError("a block has 1 byte to 16 MiB")
        while True:
            try:
                return self._allocate(sizes, txg, copies, cls)
            except MapBusyError:
                self.settle()  # not with our lock held: whoever writes the txg needs it

    def _allocate(self, sizes: U64Array, txg: int, copies: int, cls: AllocClass) -> U64Array:
        with self._lock:
            self._check(txg)
            request = Request(sizes, txg, copies)
            rows = np.arange(len(sizes))
            try:
                for one in CHAIN[cls]:
                    if len(rows):
                        rows = self._classes[one].place(request, rows)
            except BaseException:
                # A class places whole blocks; of the one it was at, some copies may be there.
                self.unallocate(*_columns(request.result), txg=txg)
                raise
            return request.result

    def unallocate(self, vdevs: U64Array, offsets: U64Array, asizes: U64Array, *, txg: int) -> None:
        """Give back what was allocated in this txg, has not been written, and was not given by ``take_changes``.

        It can be allocated again at once.

        Raises:
            ValueError: it was not allocated in this txg.
        """
        with self._lock:
            for group, rows in self._by_group(vdevs, offsets, asizes):
                group.unallocate(offsets[rows], asizes[rows], txg)

    def free(self, vdevs: U64Array, offsets: U64Array, asizes: U64Array, *, txg: int) -> None:
        """Free ranges: in the space map with this txg, allocated again after ``sync_done`` of the txg after the next.

        Args:
            vdevs, offsets, asizes: as in DVAs, in bytes.
            txg: the one that is synced.

        Raises:
            CorruptError: a range is not allocated, or on no vdev that holds blocks. Nothing has been freed.
        """
        with self._lock:
            self._check(txg)
            done = []
            try:
                for group, rows in self._by_group(vdevs, offsets, asizes):
                    group.release(offsets[rows], asizes[rows], txg)
                    done.append((group, rows))
            except BaseException:
                for group, rows in done:
                    group.unrelease(offsets[rows], asizes[rows], txg)
                raise

    def claim(self, vdevs: U64Array, offsets: U64Array, asizes: U64Array, *, txg: int) -> None:
        """Allocate these very ranges: blocks of intent logs, when a pool is imported.

        Raises:
            CorruptError: a range is not free. Nothing has been allocated.
        """
        with self._lock:
            self._check(txg)
            done = []
            try:
                for group, rows in self._by_group(vdevs, offsets, asizes):
                    group.claim(offsets[rows], asizes[rows], txg)
                    done.append((group, rows))
            except BaseException:
                for group, rows in done:
                    group.unallocate(offsets[rows], asizes[rows], txg)
                raise

    def _check(self, txg: int) -> None:
        if txg <= self._done:
            raise ValueError(f"txg {txg} is on disk already, and cannot change any more")

    def _by_group(self, vdevs: U64Array, offsets: U64Array, asizes: U64Array) -> list[tuple[MetaslabGroup, Rows]]:
        """The vdevs that ranges lie on, and which ranges those are."""
        if not len(vdevs) == len(offsets) == len(asizes):
            raise ValueError("vdevs, offsets and asizes differ in number")
        found = []
        for vdev in np.unique(vdevs).tolist():
            group = self._groups.get(vdev)
            if group is None:
                raise CorruptError("no blocks are allocated or freed on this vdev", vdev=vdev)
            found.append((group, np.flatnonzero(vdevs == vdev)))
        return found

    # --- syncing ------------------------------------------------------------------------------------------------------

    def take_changes(self, txg: int | None = None) -> list[MetaslabChange]:
        """What the space maps have yet to be told, by vdev and metaslab: what happened since the last call.

        Args:
            txg: the one that is synced; what happened in later ones stays. None: all of them.
        """
        with self._lock:
            return [change for group in self._each() for change in group.take_changes(txg)]

    def sync_done(self, txg: int) -> None:
        """The uberblock of ``txg`` is on disk: what has waited long enough becomes free.

        When no more is free than has to be kept back, nothing waits, as in OpenZFS: a full pool needs its space more
        than it needs its former states.

        Raises:
            ValueError: there are changes of this txg that ``take_changes`` has not given: they would be on disk
                nowhere. Or the txg is on disk already.
        """
        with self._lock:
            self._check(txg)
            groups = self._each()
            if any(group.untaken(txg) for group in groups):
                raise ValueError(f"txg {txg} is done, but not all of its changes have been taken")
            room = self.free_bytes(AllocClass.NORMAL) > slop_space(self.space(AllocClass.NORMAL))
            for group in groups:
                group.sync_done(txg, room and group.defers)
            self._done = txg

    def used_ranges(self, vdev: int, metaslab: int) -> tuple[U64Array, U64Array]:
        """(starts, ends) of what is allocated by all changes that ``take_changes`` has given so far.

        It is what a space map must say that is written anew. The metaslab is loaded if it is not.
        """
        with self._lock:
            return self._groups[vdev].loaded(metaslab).used()

    def histogram(self, vdev: int, metaslab: int) -> U64Array | None:
        """Numbers of free segments by size ([i]: of 2^i bytes up to twice that), for the space map's header.

        None: the metaslab is not loaded.
        """
        with self._lock:
            one = self._groups[vdev].live(metaslab)
            return one.histogram() if one.free is not None else None

    def extent(self, vdev: int, metaslab: int) -> tuple[int, int]:
        """(start, size) of a metaslab in bytes: what its space map is about."""
        cut = self._groups[vdev].geometry
        return int(cut.starts[metaslab]), int(cut.sizes[metaslab])

    # --- figures ------------------------------------------------------------------------------------------------------

    def _each(self, cls: AllocClass | None = None) -> list[MetaslabGroup]:
        """Vdevs, of one class or all, by id."""
        return [group for vdev, group in sorted(self._groups.items()) if cls is None or self._class_of[vdev] is cls]

    def space(self, cls: AllocClass) -> int:
        """Bytes of all metaslabs of a class."""
        return sum(group.size for group in self._each(cls))

    def allocated(self, cls: AllocClass) -> int:
        """Bytes of them that are allocated."""
        return sum(group.used_bytes for group in self._each(cls))

    def free_bytes(self, cls: AllocClass) -> int:
        """Bytes of them that are not allocated; some of these may have to wait (``deferred``)."""
        return self.space(cls) - self.allocated(cls)

    def deferred(self, cls: AllocClass | None = None) -> int:
        """Bytes, of a class or all, that were freed and cannot be allocated yet."""
        return sum(group.waiting_bytes for group in self._each(cls))

    def vdev_allocated(self, vdev: int) -> int:
        """Bytes allocated on a vdev."""
        return self._groups[vdev].used_bytes

    def has(self, cls: AllocClass) -> bool:
        """Blocks can be allocated on vdevs of this class."""
        return any(group.takes for group in self._each(cls))

    def special_takes_data(self) -> bool:
        """The special class has room for small blocks of data: they may take only so much of it."""
        cls = AllocClass.SPECIAL
        return self.has(cls) and self.allocated(cls) * 100 < self.space(cls) * SPECIAL_PERCENT


def _columns(result: U64Array) -> tuple[U64Array, U64Array, U64Array]:
    """(vdevs, offsets, asizes) of all copies that have a place."""
    flat = result.reshape(-1, 3)
    flat = flat[flat[:, 2] != 0]
    return flat[:, 0].copy(), flat[:, 1].copy(), flat[:, 2].copy()
