"""A metaslab that takes allocations and frees: what is free in it, and what waits to be written or to become free.

Every address of a metaslab is at any time in exactly one of these states:

========== ======================================================================================
used       allocated, in the space map
allocating allocated in a txg, and not yet given to whoever writes the space map
free       can be allocated
freeing    freed in a txg, and not yet given to whoever writes the space map (which says: allocated)
freed      freed in a txg that is being synced, and in the space map
deferred   freed in one of the last two txgs, which uberblocks before the last one may still need
========== ======================================================================================

``used`` is not stored: it is the rest. ``free`` is only known once the space map has been loaded. Frees go without
that.

Source: OpenZFS, metaslab.c (``metaslab_sync``, ``metaslab_sync_done``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...kernels.rangetree import RangeTree
from ..errors import CorruptError
from .ranges import BoolArray, RangeSet, U64Array

#: Space freed in a txg is kept for so many more txgs, so that the trees of the last uberblocks stay whole.
TXG_DEFER = 2

#: Frees and allocations by txg.
ByTxg = dict[int, RangeTree]


@dataclass(frozen=True, slots=True)
class MetaslabChange:
    """What a space map has yet to be told: first the allocations, then the frees (bytes of the vdev, in order)."""

    vdev: int
    metaslab: int
    alloc_starts: U64Array
    alloc_ends: U64Array
    free_starts: U64Array
    free_ends: U64Array


class LiveMetaslab:
    """One metaslab.

    Args:
        vdev, index: which one.
        start, size: the bytes it has.

    Attributes:
        free: what can be allocated; None: not loaded.
    """

    __slots__ = ("allocating", "deferred", "free", "freed", "freeing", "index", "size", "start", "vdev")

    def __init__(self, vdev: int, index: int, start: int, size: int) -> None:
        self.vdev, self.index, self.start, self.size = vdev, index, start, size
        self.free: RangeTree | None = None
        self.allocating: ByTxg = {}
        self.freeing: ByTxg = {}
        self.freed: ByTxg = {}
        self.deferred: ByTxg = {}

    def __repr__(self) -> str:
        return f"<LiveMetaslab {self.index} of vdev {self.vdev}, {'loaded' if self.free is not None else 'not loaded'}>"

    # --- loading ------------------------------------------------------------------------------------------------------

    def load(self, starts: U64Array, ends: U64Array) -> None:
        """Learn what is free.

        What was freed before may or may not be in the space map already: it is not free in any case.

        Args:
            starts, ends: what its space map says is allocated.

        Raises:
            CorruptError: the space map has something outside of the metaslab, or says that space is free which was
                freed here.
        """
        used = RangeSet(starts, ends)
        if used and (int(used.starts[0]) < self.start or int(used.ends[-1]) > self.start + self.size):
            raise self._corrupt("a space map has an entry outside of its metaslab", int(used.starts[0]))
        for tree in self.freeing.values():
            self._demand(used.contains(*tree.segments()), tree.segments()[0])
        kept = [(used.starts, used.ends), *(tree.segments() for tree in self._waiting())]
        rest = self._rest(kept)
        self.free = RangeTree(rest.starts, rest.ends)

    @property
    def loaded(self) -> RangeTree:
        """What is free, of a metaslab that has been loaded."""
        if self.free is None:
            raise RuntimeError(f"metaslab {self.index} of vdev {self.vdev} has not been loaded")
        return self.free

    def _waiting(self) -> Iterator[RangeTree]:
        """What was freed and cannot be allocated yet."""
        for sets in (self.freeing, self.freed, self.deferred):
            yield from sets.values()

    @property
    def waiting_bytes(self) -> int:
        """Bytes freed that cannot be allocated yet."""
        if not (self.freeing or self.freed or self.deferred):
            return 0
        return sum(tree.space for tree in self._waiting())

    # --- changes ------------------------------------------------------------------------------------------------------

    def allocate(self, sizes: U64Array, txg: int, align: int, run: int) -> U64Array:
        """Offsets for blocks of these sizes, as many as there is room for."""
        offsets = self.loaded.allocate(sizes, align=align, run=run)
        if len(offsets):
            self._allocated(offsets, offsets + sizes[: len(offsets)], txg)
        return offsets

    def _allocated(self, starts: U64Array, ends: U64Array, txg: int) -> None:
        try:
            self.allocating.setdefault(txg, RangeTree()).add(starts, ends)
        except MemoryError:
            self.loaded.add(starts, ends)
            raise

    def claim(self, starts: U64Array, ends: U64Array, txg: int) -> None:
        """Allocate these ranges.

        Raises:
            CorruptError: one is not free.
        """
        try:
            self.loaded.remove(starts, ends)
        except ValueError as error:
            raise self._corrupt(f"space is claimed that is not free: {error}") from None
        self._allocated(starts, ends, txg)

    def unallocate(self, starts: U64Array, ends: U64Array, txg: int) -> None:
        """Undo allocations of this txg that ``take_changes`` has not given to anybody. They are free at once.

        Raises:
            ValueError: there are none.
        """
        self.allocating.get(txg, RangeTree()).remove(starts, ends)
        self.loaded.add(starts, ends)

    def release(self, starts: U64Array, ends: U64Array, txg: int) -> None:
        """Free ranges.

        Raises:
            CorruptError: one is not allocated (of a metaslab not loaded: has been freed shortly before).
        """
        if int(starts.min()) < self.start or int(ends.max()) > self.start + self.size:
            raise self._corrupt("a block is freed that lies outside of its metaslab", int(starts.min()))
        known = [self.free] if self.free is not None else []
        for tree in (*known, *self._waiting()):
            self._demand(~tree.overlaps(starts, ends), starts)
        try:
            self.freeing.setdefault(txg, RangeTree()).add(starts, ends)
        except ValueError as error:
            raise self._corrupt(f"space is freed twice: {error}") from None

    def unrelease(self, starts: U64Array, ends: U64Array, txg: int) -> None:
        """Undo a ``release`` made just before."""
        self.freeing[txg].remove(starts, ends)

    def _demand(self, good: BoolArray, starts: U64Array) -> None:
        if not good.all():
            raise self._corrupt("space is freed that is not allocated", int(starts[int(np.argmin(good))]))

    def _corrupt(self, what: str, offset: int | None = None) -> CorruptError:
        return CorruptError(what, vdev=self.vdev, metaslab=self.index, offset=offset)

    @property
    def untaken(self) -> set[int]:
        """Txgs in which something happened that ``take_changes`` has not given yet."""
        return {txg for sets in (self.allocating, self.freeing) for txg, tree in sets.items() if tree}

    # --- syncing ------------------------------------------------------------------------------------------------------

    def take_changes(self, txg: int) -> MetaslabChange | None:
        """What happened in a txg since the last call. The caller writes it to the space map."""
        allocs, frees = self.allocating.pop(txg, None), self.freeing.pop(txg, None)
        if frees:
            self.freed.setdefault(txg, RangeTree()).add(*frees.segments())
        if not allocs and not frees:
            return None
        none = RangeTree()
        return MetaslabChange(self.vdev, self.index, *(allocs or none).segments(), *(frees or none).segments())

    def sync_done(self, txg: int, defer: bool) -> bool:
        """The uberblock of ``txg`` is on disk. What was freed ``TXG_DEFER`` txgs ago, or, without ``defer``, all that
        was freed up to now, becomes free.

        Returns:
            whether anything still waits.
        """
        for done in [one for one in self.freed if one <= txg]:
            tree = self.freed.pop(done)
            self.deferred.setdefault(done, RangeTree()).add(*tree.segments())
        last = txg - TXG_DEFER if defer else txg
        for done in [one for one in self.deferred if one <= last]:
            tree = self.deferred.pop(done)
            if self.free is not None:
                self.free.add(*tree.segments())
        return bool(self.freed or self.deferred or self.untaken)

    def used(self) -> tuple[U64Array, U64Array]:
        """What is allocated by all that ``take_changes`` has given: what the space map has to say then."""
        found = self._rest([tree.segments() for tree in self._not_in_map()])
        return found.starts, found.ends

    def _not_in_map(self) -> list[RangeTree]:
        return [self.loaded, *self.freed.values(), *self.deferred.values(), *self.allocating.values()]

    def _rest(self, parts: list[tuple[U64Array, U64Array]]) -> RangeSet:
        """What of the metaslab is in none of these ranges."""
        known = RangeSet(np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))
        return known.gaps(self.start, self.start + self.size)

    def histogram(self) -> U64Array:
        """Free segments by size (log2), as the space map's header wants them: what waits is counted apart."""
        result: U64Array = np.sum([tree.histogram() for tree in self._not_in_map()], axis=0, dtype=np.uint64)
        return result
