"""How large a pool is, and how much of it is allocated: sums over metaslabs, their space maps, and the logs.

A top-level vdev is cut into metaslabs of ``1 << metaslab_shift`` bytes. What is allocated in one is in its space
map's header, plus what the log space maps have from the txg on that was not yet flushed to it.

Source: OpenZFS, metaslab.c (fragmentation), spa_log_spacemap.c, vdev.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..alloc.logspacemap import SHIFT as LOG_SHIFT
from ..alloc.slop import slop_space
from ..dsl.accounting import PoolSpace
from ..dsl.mosobj import entries
from ..errors import CorruptError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from .dedup import dedup_totals
from .metaslabs import VDEV_ZAP_TOP, VdevMaps, holds_data, log_batches, read_header

if TYPE_CHECKING:
    from ..dmu.zap import ZapEntry
    from .spa import Spa

ALLOCATION_BIAS = "org.zfsonlinux:allocation_bias"

EMBEDDED_LOG_METASLABS = 64  # vdevs with more set one metaslab aside for the intent log
DEFLATE_BLOCK = 128 << 10  # the block size by which overhead of parity is charged

#: Percent of fragmentation that free segments of 512 bytes, 1 KiB ... 512 MiB stand for (OpenZFS 2.3 and later).
FRAGMENTATION = (100, 99, 97, 93, 88, 83, 77, 71, 64, 57, 50, 43, 36, 29, 23, 17, 12, 7, 3, 1, 0)

Class = Literal["normal", "log", "special", "dedup"]
NORMAL: Class = "normal"
SPECIAL: Class = "special"
DEDUP: Class = "dedup"


@dataclass(frozen=True, slots=True)
class VdevSpace:
    """Figures of one top-level vdev, in bytes."""

    vdev: Vdev
    cls: Class
    size: int
    allocated: int
    fragmentation: int | None  # percent; None: not known (no histograms)
    deflate: int  # what 512 allocated bytes are charged as
    checkpoint: int  # held by a checkpoint only
    metaslabs: int
    metaslab_size: int

    @property
    def free(self) -> int:
        """Bytes not allocated."""
        return self.size - self.allocated


class Space:
    """Sizes of an open pool. Read when first asked for."""

    def __init__(self, spa: Spa) -> None:
        self._spa = spa

    @cached_property
    def vdevs(self) -> list[VdevSpace]:
        """Top-level vdevs that hold data, in the order of their ids.

        Raises:
            CorruptError and others: their space maps cannot be read.
        """
        spa = self._spa
        sums = {top.id: _Sums(spa, top) for top in spa.tree.tops if holds_data(top)}
        for txg, found in log_batches(spa.mos, spa.directory):
            for vdev in np.unique(found["vdev"]).tolist():
                if vdev in sums:
                    sums[vdev].add_log(txg, found[found["vdev"] == vdev])
        return [one.result() for one in sums.values()]

    @property
    def _counted(self) -> list[VdevSpace]:
        return [one for one in self.vdevs if one.cls != "log"]

    @property
    def size(self) -> int:
        """Bytes of all vdevs but log devices."""
        return sum(one.size for one in self._counted)

    @property
    def allocated(self) -> int:
        """Bytes of them that are in use."""
        return sum(one.allocated for one in self._counted)

    @property
    def free(self) -> int:
        """Bytes of them that are not."""
        return self.size - self.allocated

    @property
    def checkpoint(self) -> int:
        """Bytes only a checkpoint holds."""
        return sum(one.checkpoint for one in self.vdevs)

    @property
    def fragmentation(self) -> int | None:
        """Percent, of the vdevs for ordinary data."""
        normal = [one for one in self.vdevs if one.cls == "normal"]
        known = [one.fragmentation for one in normal]
        total = sum(one.size for one in normal)
        if None in known or not total:
            return None
        return sum((percent or 0) * one.size for percent, one in zip(known, normal)) // total

    @cached_property
    def datasets(self) -> PoolSpace:
        """The figures that datasets' available space rests on.

        What special and dedup vdevs hold is not part of the size: so OpenZFS counts before 2.4.1, and we, who do not
        fill a pool further than that (``Engine``). Source: spa_misc.c (``spa_update_dspace``).
        """
        normal = log = 0
        for one in self.vdevs:
            if one.cls == "normal" and not one.vdev.config.get("non_allocating"):
                normal += one.size // 512 * one.deflate
                if one.metaslabs >= EMBEDDED_LOG_METASLABS:
                    log += one.metaslab_size // 512 * one.deflate
        saved = dedup_totals(self._spa).saved + clone_totals(self._spa).saved
        normal -= log
        deferred = self._spa.dsl.deferred_bytes
        return PoolSpace(normal + saved, slop_space(normal, log), self.checkpoint, deferred)


@dataclass(frozen=True, slots=True)
class CloneTotals:
    """What block cloning keeps: bytes of blocks that have clones, and bytes that would be needed without it."""

    used: int
    saved: int


BRT_PREFIX = "com.fudosecurity:brt:vdev:"
BRT_USED, BRT_SAVED = 5, 6  # words of the bonus
BRT_BONUS = 56


def clone_totals(spa: Spa) -> CloneTotals:
    """Sums over the block reference tables.

    Raises:
        CorruptError: a table's header is too short.
    """
    used = saved = 0
    for name in spa.directory:
        if name.startswith(BRT_PREFIX):
            dnode = spa.mos.dnode(spa.directory.number(name))
            if len(dnode.bonus) < BRT_BONUS:
                raise CorruptError("the header of a block reference table is too short", object=dnode.number)
            words = np.frombuffer(dnode.bonus, dtype=dnode.order + "u8", count=BRT_BONUS // 8)
            used += int(words[BRT_USED])
            saved += int(words[BRT_SAVED])
    return CloneTotals(used, saved)


def top_zap(spa: Spa, top: Vdev) -> dict[str, ZapEntry]:
    """What the pool keeps about a top-level vdev beside its configuration; empty in old pools."""
    number = top.config.get(VDEV_ZAP_TOP, 0)
    if not number or not isinstance(number, int):
        return {}
    return dict(entries(spa.mos, number, f"the ZAP of {top.name}"))


def allocation_class(spa: Spa, top: Vdev) -> Class:
    """What a top-level vdev is for."""
    entry = top_zap(spa, top).get(ALLOCATION_BIAS)
    bias = bytes(entry.values).rstrip(b"\0") if entry is not None and entry.integer_size == 1 else b""
    if top.is_log or bias == b"log":
        return "log"
    return {b"special": SPECIAL, b"dedup": DEDUP}.get(bias, NORMAL)


class _Sums:
    """Sums over the metaslabs of one top-level vdev."""

    def __init__(self, spa: Spa, top: Vdev) -> None:
        self._spa = spa
        self.maps = VdevMaps(spa.mos, top)
        self._alloc = np.zeros(len(self.maps.geometry), dtype=np.int64)
        self._percents: list[int | None] = []
        for place, obj in enumerate(self.maps.objects):
            if obj:
                header = read_header(spa.mos, obj)
                self._alloc[place] = header.alloc
                self._percents.append(fragmentation_of(header.histogram, top.ashift))
            else:
                self._percents.append(0)

    def add_log(self, txg: int, entries: NDArray[np.void]) -> None:
        """Take entries of one log that belong to this vdev."""
        unflushed, geometry = self.maps.unflushed, self.maps.geometry
        if unflushed is None:
            return
        starts = entries["offset"] << np.uint64(LOG_SHIFT)
        inside = starts < np.uint64(len(geometry) << geometry.shift)
        starts, entries = starts[inside], entries[inside]
        use = unflushed.counts(txg, starts)
        run = entries["run"][use].astype(np.int64) << LOG_SHIFT
        run = np.where(entries["free"][use] != 0, -run, run)
        np.add.at(self._alloc, (starts[use] >> np.uint64(geometry.shift)).astype(np.int64), run)

    def result(self) -> VdevSpace:
        """The figures, once all logs have been taken."""
        top, sizes = self.maps.top, self.maps.geometry.sizes
        known = [percent for percent in self._percents if percent is not None]
        enough = len(known) > len(sizes) // 2
        return VdevSpace(
            vdev=top,
            cls=allocation_class(self._spa, top),
            size=int(sizes.sum()),
            allocated=int(self._alloc.sum()),
            fragmentation=sum(known) // len(known) if enough else None,
            deflate=deflate_ratio(self._spa.tree, top),
            checkpoint=self._checkpoint(),
            metaslabs=len(sizes),
            metaslab_size=int(sizes.min()) if len(sizes) else 0,
        )

    def _checkpoint(self) -> int:
        number = self.maps.checkpoint_map
        return -read_header(self._spa.mos, number).alloc if number else 0


def fragmentation_of(histogram: tuple[int, ...], ashift: int) -> int | None:
    """Percent for one metaslab by the sizes of its free segments; None without a histogram."""
    if not histogram:
        return None
    total = weighted = 0
    for bucket, count in enumerate(histogram):
        space = count << (bucket + ashift)
        total += space
        weighted += space * FRAGMENTATION[min(ashift - 9 + bucket, len(FRAGMENTATION) - 1)]
    return weighted // total if total else 0


def deflate_ratio(tree: VdevTree, top: Vdev) -> int:
    """What 512 allocated bytes on a top-level vdev are charged as: less than 512 where there is parity."""
    if top.type in ("hole", "missing", "root") or not top.ashift:
        return 512
    asize = int(tree.asizes(top.id, [DEFLATE_BLOCK], [0])[0])
    return DEFLATE_BLOCK // (asize // 512)


def dsize_of(tree: VdevTree) -> Callable[[BpArray], NDArray[np.uint64]]:
    """How block pointers are charged in this pool: a function from block pointers to bytes."""
    ratios = np.array([deflate_ratio(tree, top) for top in tree.tops] or [512], dtype=np.uint64)

    def dsize(bps: BpArray) -> NDArray[np.uint64]:
        vdev = np.minimum(blkptr.dva_vdev(bps), np.uint64(len(ratios) - 1)).astype(np.intp)
        charged = blkptr.dva_asize(bps) // np.uint64(512) * ratios[vdev]
        total: NDArray[np.uint64] = charged.sum(axis=-1, dtype=np.uint64)
        return np.where(blkptr.is_embedded(bps) | blkptr.is_hole(bps), np.uint64(0), total)

    return dsize
