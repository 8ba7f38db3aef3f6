"""What may stand between a pool and its disks: the five cache modes, and disks that answer flushes and do nothing.

A layer that lies keeps what it has taken in a cache without bound, and empties that cache unasked: what is older than
``behind`` txgs is on stable storage (a host's page cache writes back after half a minute, which is six txgs). That is
noted in the journal as ``WRITTEN_BACK``. When a run begins, its pool has long been on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..device.base import Device
from ..device.cachemode import CacheMode
from ..errors import UsageError
from .faults import FaultyDevice, IgnoredFlush
from .layouts import words_of
from .simdisk import SimDisk
from .syncrun import SyncOptions, SyncRecorder
from .workload import Recorder, Run, RunOptions

READY = "ready"  # the mark from which on crashes count
BEHIND = 6


@dataclass(frozen=True, slots=True)
class Layer:
    """One way of keeping, or not keeping, what was written.

    Attributes:
        name: of it. cache: mode of the disks.
        liars: which disks ignore flushes.
        words: what it is.
    """

    name: str
    words: str
    cache: CacheMode = "writeback"
    liars: Literal["none", "one", "all"] = "none"

    @property
    def honest(self) -> bool:
        """A flush, or a write where none is needed, is durable when it returns."""
        return self.cache != "unsafe" and self.liars == "none"

    def lies(self, disk: int) -> bool:
        """That disk's flushes do nothing."""
        return self.cache == "unsafe" or self.liars == "all" or (self.liars == "one" and disk == 0)


LAYERS = {
    one.name: one
    for one in (
        Layer("writeback", "the host caches; a flush is passed on"),
        Layer("none", "the disk caches; a flush is passed on", "none"),
        Layer("writethrough", "every write is durable when it returns", "writethrough"),
        Layer("directsync", "every write is durable when it returns", "directsync"),
        Layer("unsafe", "the host caches; a flush is ignored", "unsafe"),
        Layer("ignored", "all disks ignore flushes", liars="all"),
        Layer("ignored-one", "the first disk ignores flushes", liars="one"),
    )
}


class _Layered(Recorder):
    """Makes a run through a layer. The same options give the same writes, whatever the layer.

    Args:
        options: of the run; ``cache`` is the layer's.
        layer: which.
        behind: txgs that a lying disk keeps in its cache.

    Raises:
        UsageError: one disk is to lie beside others, and there are no others.
    """

    def __init__(self, options: RunOptions, layer: Layer, behind: int = BEHIND) -> None:
        if layer.liars == "one" and words_of(options.layout).count(".") < 2:
            raise UsageError(f"{layer.name} needs more than one disk, and {options.layout!r} has one")
        self.layer, self._behind = layer, behind
        self._honest = True  # while the pool is made
        self._places: list[int] = []  # where txgs ended in the journal
        super().__init__(replace(options, cache=layer.cache))
        self.close()
        journal = self.run.journal
        for disk in self.run.disks:
            journal.written_back(disk.number, len(journal))
        journal.mark(READY)
        self._honest = False
        self.pool = self.open()

    def shown(self) -> Sequence[Device]:
        return [self._shown(disk) for disk in self.run.disks]

    def _shown(self, disk: SimDisk) -> SimDisk | FaultyDevice:
        # In the cache mode unsafe the disk does it by itself.
        lying = not self._honest and self.layer.liars != "none" and self.layer.lies(disk.number)
        return FaultyDevice(disk, [IgnoredFlush()]) if lying else disk

    def sync(self) -> None:
        super().sync()
        self._age()

    def close(self) -> None:
        super().close()
        if not self._honest:
            self._age()

    def _age(self) -> None:
        """A txg is over: what has been in a lying cache for long enough is written back."""
        journal = self.run.journal
        self._places.append(len(journal))
        if len(self._places) > self._behind:
            for disk in self.run.disks:
                if self.layer.lies(disk.number):
                    journal.written_back(disk.number, self._places[-self._behind - 1])


class LayerRecorder(_Layered):
    """Makes a run in which txgs are acknowledged."""


class SyncLayerRecorder(_Layered, SyncRecorder):
    """Makes a run in which requests (fsync and the like) are acknowledged as well."""


def record_layer(options: RunOptions, layer: Layer, behind: int = BEHIND) -> Run:
    """Make a run through a layer; with ``SyncOptions`` one with requests.

    Raises:
        UsageError: as ``LayerRecorder``.
        PoolError: the engine refuses what it should be able to do.
    """
    kind = SyncLayerRecorder if isinstance(options, SyncOptions) else LayerRecorder
    return kind(options, layer, behind).record()
