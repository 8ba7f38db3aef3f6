"""The metaslabs of one top-level vdev: which of them the next block goes to.

A metaslab is loaded when it is first chosen, and stays in use until it cannot take a block, or until its largest free
segments have become a quarter of what they were and another has larger ones. The one with the largest free segments
is chosen (by powers of two, then by how many there are), of equal ones the one that lies lowest. Each copy of a block
has a metaslab in use of its own, so that copies on one vdev lie apart.

Source: OpenZFS, metaslab.c (weights by segments).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from ..vdev.state import VdevState
from ..vdev.vdev import Vdev
from .livemetaslab import LiveMetaslab, MetaslabChange
from .metaslab import Geometry
from .ranges import I64Array, U64Array

#: (vdev, metaslab) -> (starts, ends) that its space map says are allocated, in bytes of the vdev.
Load = Callable[[int, int], tuple[U64Array, U64Array]]

#: So many bytes of blocks are kept together where they can.
RUN_BYTES = 1 << 20
#: A metaslab is left for another when its largest segments are so many powers of two smaller than when it was chosen.
SWITCH = 2
_NONE: U64Array = np.zeros(0, np.uint64)
#: Of a weight: the power of two is above, the number of segments below.
COUNT_BITS = 54


class MetaslabGroup:
    """One top-level vdev.

    Args:
        top: the vdev.
        geometry: of its metaslabs.
        allocated: bytes allocated in each by its space map and the logs. None: nothing.
        load: gives what is allocated in one of them. None: nothing is.

    Attributes:
        defers: what is freed waits; not on a vdev that is on its way out.
        size: bytes of all metaslabs.
        used_bytes: bytes of them that are allocated.
        waiting_bytes: bytes that were freed and cannot be allocated yet; not among the allocated ones.
        kept: a metaslab that ``place`` leaves alone, unless it is asked for: see ``EmbeddedLog``.
    """

    def __init__(self, top: Vdev, geometry: Geometry, allocated: I64Array | None, load: Load | None) -> None:
        self.top, self.id, self.geometry = top, top.id, geometry
        self.defers = not top.config.get("removing")
        self.size = int(geometry.sizes.sum())
        count = len(geometry)
        used: I64Array = np.zeros(count, np.int64) if allocated is None else allocated.astype(np.int64)
        if len(used) != count or (used < 0).any() or (used.astype(np.uint64) > geometry.sizes).any():
            raise CorruptError(
                "space maps say that more is allocated than there is, or less than nothing", vdev=top.name
            )
        self._used: list[int] = used.tolist()
        self._waiting = [0] * count
        self.used_bytes: int = sum(self._used)
        self.waiting_bytes = 0
        self._load = load
        self._align = top.stripe()
        self._live: dict[int, LiveMetaslab] = {}
        self._changed: set[int] = set()  # metaslabs where anything is on its way
        # Bounds until a metaslab is loaded, exact from then on.
        self._largest: U64Array = geometry.sizes - used.astype(np.uint64)
        self._weight: U64Array = _weight_of_bound(self._largest)
        self._most: int | None = None  # the largest of all, once asked for
        self._in_use: dict[int, tuple[int, int]] = {}  # copy -> metaslab, power of two when it was chosen
        self.kept: int | None = None

    @property
    def takes(self) -> bool:
        """Blocks may be allocated on it: it is there, is not to go, and nobody forbade it. Else they are only freed."""
        config = self.top.config
        return self.top.state >= VdevState.DEGRADED and not config.get("removing") and not config.get("non_allocating")

    @property
    def free_bytes(self) -> int:
        """Bytes that can be allocated now."""
        return self.size - self.used_bytes - self.waiting_bytes

    @property
    def largest(self) -> int:
        """No block larger than this can be placed."""
        if self._most is None:
            self._most = int(self._largest.max(initial=0))
        return self._most

    # --- metaslabs ----------------------------------------------------------------------------------------------------

    def live(self, index: int) -> LiveMetaslab:
        """A metaslab by its number, loaded or not."""
        found = self._live.get(index)
        if found is None:
            start, size = int(self.geometry.starts[index]), int(self.geometry.sizes[index])
            found = self._live[index] = LiveMetaslab(self.id, index, start, size)
        return found

    def loaded(self, index: int) -> LiveMetaslab:
        """A metaslab whose free space is known.

        Raises:
            CorruptError and others: its space map makes no sense, or cannot be read, or has not as much allocated as
                the figures say.
        """
        one = self.live(index)
        if one.free is None:
            before = self._used[index]
            one.load(*(self._load(self.id, index) if self._load is not None else (_NONE, _NONE)))
            self._learn(one)
            if self._used[index] != before:
                found, one.free = self._used[index], None
                self._learn(one, found - before)
                raise CorruptError(
                    "the figures of a metaslab say something else than its space map",
                    vdev=self.top.name,
                    metaslab=index,
                    figure=before,
                    map=found,
                )
        return one

    def _learn(self, one: LiveMetaslab, freed: int = 0) -> None:
        """Note down what changed in a metaslab. ``freed``: bytes freed just now."""
        index, free = one.index, one.free
        waiting = one.waiting_bytes
        used = one.size - free.space - waiting if free is not None else self._used[index] - freed
        self.used_bytes += used - self._used[index]
        self.waiting_bytes += waiting - self._waiting[index]
        self._used[index], self._waiting[index] = used, waiting
        largest = free.largest if free is not None else one.size - used - waiting
        if self._most is not None and largest > self._most:
            self._most = largest
        elif largest != self._most and int(self._largest[index]) == self._most:
            self._most = None
        self._largest[index] = largest
        if free:
            power = largest.bit_length() - 1
            self._weight[index] = power << COUNT_BITS | free.count_of(power)
        elif free is not None:
            self._weight[index] = 0
        else:
            self._weight[index : index + 1] = _weight_of_bound(self._largest[index : index + 1])

    def places(self, offsets: U64Array, asizes: U64Array) -> Iterator[tuple[LiveMetaslab, NDArray[np.intp]]]:
        """The metaslabs that ranges lie in, and which ranges those are.

        Raises:
            CorruptError: a range does not lie in one metaslab.
        """
        ends = offsets + asizes
        shift, room = np.uint64(self.geometry.shift), np.uint64(len(self.geometry) << self.geometry.shift)
        inside = (asizes > 0) & (ends > offsets) & (ends <= room)
        inside &= offsets >> shift == (ends - np.uint64(1)) >> shift
        inside &= ((offsets | asizes) & np.uint64((1 << self.top.ashift) - 1)) == 0
        if not inside.all():
            first = int(np.argmin(inside))
            offset, asize = int(offsets[first]), int(asizes[first])
            raise CorruptError("no block can lie here", vdev=self.top.name, offset=offset, size=asize)
        index = (offsets >> shift).astype(np.int64)
        if len(index) and (index == index[0]).all():
            yield self.live(int(index[0])), np.arange(len(index))
            return
        order = np.argsort(index, kind="stable")
        found, begins = np.unique(index[order], return_index=True)
        for number, rows in zip(found.tolist(), np.split(order, begins[1:])):
            yield self.live(number), rows

    # --- blocks -------------------------------------------------------------------------------------------------------

    def emptiest(self) -> int:
        """The metaslab with the least allocated, of several the first."""
        return min(range(len(self._used)), key=self._used.__getitem__)

    def room_in(self, index: int) -> tuple[int, int]:
        """Bytes that can be allocated in a metaslab, and a bound on the largest block."""
        size = int(self.geometry.sizes[index])
        return size - self._used[index] - self._waiting[index], int(self._largest[index])

    def place(
        self, asizes: U64Array, txg: int, copy: int, avoid: Collection[int], *, kept: bool = False
    ) -> tuple[U64Array, set[int]]:
        """Find room for blocks, in turn.

        Args:
            asizes: bytes each needs here.
            txg: they are written in.
            copy: which copies of their blocks these are, from 0.
            avoid: metaslabs not to be used.
            kept: only in the metaslab that is kept from others.

        Returns:
            offsets of as many as there is room for, and the metaslabs they are in.
        """
        parts: list[U64Array] = []
        used: set[int] = set()
        barred = set(avoid)
        if not kept and self.kept is not None:
            barred.add(self.kept)
        done = 0
        try:
            while done < len(asizes):
                index = self._choose(copy, int(asizes[done]), barred) if not kept else self.kept
                if index in barred or (kept and self.room_in(self.kept or 0)[1] < int(asizes[done])):
                    break
                if index is None:
                    break
                one = self.loaded(index)
                offsets = one.allocate(asizes[done:], txg, self._align, RUN_BYTES)
                self._changed.add(index)
                self._learn(one)
                if len(offsets):
                    parts.append(offsets)
                    used.add(index)
                    done += len(offsets)
                elif int(self._largest[index]) >= int(asizes[done]):
                    barred.add(index)  # large enough, but not where blocks may begin
        except BaseException:
            if parts:
                self.unallocate(np.concatenate(parts), asizes[:done], txg)
            raise
        return (parts[0] if len(parts) == 1 else np.concatenate([_NONE, *parts])), used

    def unallocate(self, offsets: U64Array, asizes: U64Array, txg: int) -> None:
        """Undo allocations (see ``LiveMetaslab.unallocate``)."""
        for one, rows in self.places(offsets, asizes):
            one.unallocate(offsets[rows], offsets[rows] + asizes[rows], txg)
            self._learn(one)

    def claim(self, offsets: U64Array, asizes: U64Array, txg: int) -> None:
        """Allocate ranges that have to be free (see ``LiveMetaslab.claim``): all, or none if that raises."""
        done = np.zeros(len(offsets), bool)
        try:
            for place, rows in list(self.places(offsets, asizes)):
                one = self.loaded(place.index)
                one.claim(offsets[rows], offsets[rows] + asizes[rows], txg)
                done[rows] = True
                self._changed.add(one.index)
                self._learn(one)
        except BaseException:
            self.unallocate(offsets[done], asizes[done], txg)
            raise

    def release(self, offsets: U64Array, asizes: U64Array, txg: int) -> None:
        """Free ranges (see ``LiveMetaslab.release``): all, or none if that raises."""
        done: list[tuple[LiveMetaslab, NDArray[np.intp]]] = []
        ends = offsets + asizes
        try:
            for one, rows in list(self.places(offsets, asizes)):
                freed = int(asizes[rows].sum())
                if freed > self._used[one.index]:
                    raise CorruptError("more is freed than is allocated", vdev=self.top.name, metaslab=one.index)
                one.release(offsets[rows], ends[rows], txg)
                done.append((one, rows))
                self._changed.add(one.index)
                self._learn(one, freed)
        except BaseException:
            self._unrelease(done, offsets, ends, txg)
            raise

    def unrelease(self, offsets: U64Array, asizes: U64Array, txg: int) -> None:
        """Undo a ``release`` made just before."""
        self._unrelease(list(self.places(offsets, asizes)), offsets, offsets + asizes, txg)

    def _unrelease(
        self, done: list[tuple[LiveMetaslab, NDArray[np.intp]]], starts: U64Array, ends: U64Array, txg: int
    ) -> None:
        for one, rows in done:
            one.unrelease(starts[rows], ends[rows], txg)
            self._learn(one, -int((ends[rows] - starts[rows]).sum()))

    def _choose(self, copy: int, asize: int, barred: Collection[int]) -> int | None:
        current, power = self._in_use.get(copy, (-1, 0))
        usable = current >= 0 and current not in barred and int(self._largest[current]) >= asize
        if usable and int(self._weight[current]) >> COUNT_BITS > power - SWITCH:
            return current
        weights = np.where(self._largest >= np.uint64(asize), self._weight, np.uint64(0))
        for index in barred:
            weights[index] = 0
        best = int(np.argmax(weights)) if len(weights) else 0
        if not len(weights) or not weights[best]:
            return None
        if current not in barred:
            self._in_use[copy] = best, int(weights[best]) >> COUNT_BITS
        return best

    # --- syncing ------------------------------------------------------------------------------------------------------

    def untaken(self, txg: int) -> bool:
        """Something happened in a txg, or one before it, that ``take_changes`` has not given yet."""
        return any(done <= txg for index in self._changed for done in self._live[index].untaken)

    def take_changes(self, txg: int | None) -> list[MetaslabChange]:
        """Of a txg, or of all: what happened on this vdev since the last call, by metaslab."""
        found = []
        for index in sorted(self._changed):
            one = self._live[index]
            for each in sorted(one.untaken) if txg is None else (txg,):
                change = one.take_changes(each)
                if change is not None:
                    found.append(change)
        return found

    def sync_done(self, txg: int, defer: bool) -> None:
        """As ``LiveMetaslab.sync_done``, for all metaslabs."""
        for index in sorted(self._changed):
            one = self._live[index]
            if not one.sync_done(txg, defer):
                self._changed.discard(index)
            self._learn(one)


class EmbeddedLog:
    """The one metaslab of a vdev that is for intent logs, where there are no devices for them: log blocks come and go,
    and would leave holes among the others. Nothing on disk tells which it is.

    To a ``MetaslabClass`` it is a vdev with one metaslab.

    Source: OpenZFS, vdev.c (``vdev_metaslab_init``, embedded slog).
    """

    def __init__(self, group: MetaslabGroup) -> None:
        self.group = group
        self.id, self.top = group.id, group.top
        self.index = group.kept = group.emptiest()

    @property
    def takes(self) -> bool:
        """Blocks may be allocated on the vdev."""
        return self.group.takes

    @property
    def free_bytes(self) -> int:
        """Bytes that can be allocated now."""
        return self.group.room_in(self.index)[0]

    @property
    def largest(self) -> int:
        """No block larger than this can be placed."""
        return self.group.room_in(self.index)[1]

    def place(self, asizes: U64Array, txg: int, copy: int, avoid: Collection[int]) -> tuple[U64Array, set[int]]:
        """See ``MetaslabGroup.place``."""
        return self.group.place(asizes, txg, copy, avoid, kept=True)

    def unallocate(self, offsets: U64Array, asizes: U64Array, txg: int) -> None:
        """See ``MetaslabGroup.unallocate``."""
        self.group.unallocate(offsets, asizes, txg)


def _weight_of_bound(largest: U64Array) -> U64Array:
    """Weights as if all that is free were one segment."""
    words = largest.astype(np.uint64)
    power = np.frexp(words.astype(np.float64))[1].astype(np.int64) - 1
    # A number just below a power of two becomes that power as a float.
    power -= (np.uint64(1) << np.maximum(power, 0).astype(np.uint64)) > words
    weight: U64Array = np.maximum(power, 0).astype(np.uint64) << np.uint64(COUNT_BITS) | np.uint64(1)
    return np.where(words > 0, weight, np.uint64(0))
