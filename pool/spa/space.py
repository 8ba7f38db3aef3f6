"""How large a pool is, and how much of it is allocated: sums over metaslabs, their space maps, and the logs.

A top-level vdev is cut into metaslabs of ``1 << metaslab_shift`` bytes. What is allocated in one is in its space
map's header, plus what the log space maps have from the txg on that was not yet flushed to it.

Source: OpenZFS, metaslab.c (fragmentation), spa_log_spacemap.c, vdev.c, spa_misc.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..dsl.accounting import PoolSpace, slop_space
from ..dsl.mosobj import entries, numbers
from ..errors import CorruptError, LimitError
from ..ondisk import blkptr, spacemap
from ..ondisk.blkptr import BpArray
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from . import mos as metadata
from .dedup import dedup_totals

if TYPE_CHECKING:
    from ..dmu.zap import ZapEntry
    from .spa import Spa

VDEV_ZAP_TOP = "com.delphix:vdev_zap_top"
ALLOCATION_BIAS = "org.zfsonlinux:allocation_bias"
UNFLUSHED_TXGS = "com.delphix:ms_unflushed_phys_txgs"
CHECKPOINT_MAP = "com.delphix:pool_checkpoint_sm"

MAX_METASLABS = 1 << 18  # OpenZFS makes no more than half as many
MIN_METASLAB_SHIFT, MAX_METASLAB_SHIFT = 12, 40  # 19 in pools of 2006
MAX_LOG_WORDS = 1 << 25  # in all log space maps
LOG_SHIFT = 9
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
        maps = {top.id: _Maps(self._spa, top) for top in self._spa.tree.tops if _holds_data(top)}
        _add_logs(self._spa, maps)
        return [one.result() for one in maps.values()]

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
        """The figures that datasets' available space rests on."""
        normal = log = kept = 0
        for one in self.vdevs:
            if one.cls == "normal" and not one.vdev.config.get("non_allocating"):
                normal += one.size // 512 * one.deflate
                if one.metaslabs >= EMBEDDED_LOG_METASLABS:
                    log += one.metaslab_size // 512 * one.deflate
            elif one.cls in ("special", "dedup"):
                kept += one.allocated // 512 * one.deflate
        saved = dedup_totals(self._spa).saved + clone_totals(self._spa).saved
        normal -= log
        deferred = self._spa.dsl.deferred_bytes
        return PoolSpace(normal + kept + saved, slop_space(normal, log), self.checkpoint, deferred)


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


def _holds_data(top: Vdev) -> bool:
    return top.type not in ("hole", "missing", "indirect") and bool(top.config.get("metaslab_array"))


class _Maps:
    """The space maps of one top-level vdev."""

    def __init__(self, spa: Spa, top: Vdev) -> None:
        self.top = top
        shift = top.config.get("metaslab_shift")
        number = top.config.get("metaslab_array")
        if not isinstance(shift, int) or not MIN_METASLAB_SHIFT <= shift <= MAX_METASLAB_SHIFT:
            raise CorruptError("a vdev's metaslab_shift is impossible", vdev=top.name, shift=shift)
        count = top.asize >> shift
        if count > MAX_METASLABS or not isinstance(number, int):
            raise CorruptError("a vdev has an impossible number of metaslabs", vdev=top.name, count=count)
        self.shift, self.count = shift, count
        self.spa = spa
        self.alloc = np.zeros(count, dtype=np.int64)
        self.zap = {
            name: entry.values[0]
            for name, entry in top_zap(spa, top).items()
            if entry.integer_size == 8 and len(entry.values) == 1
        }
        array = spa.mos.dnode(number)
        have = min(count, array.size // 8)
        self.objects = metadata.words(array, have).tolist()
        self.percents: list[int | None] = []
        for place, obj in enumerate(self.objects):
            if obj:
                dnode = spa.mos.dnode(obj)
                header = spacemap.decode_header(dnode.bonus, dnode.order)
                self.alloc[place] = header.alloc
                self.percents.append(_fragmentation(header.histogram, top.ashift))
            else:
                self.percents.append(0)
        self.percents += [0] * (count - have)
        self.unflushed = self._unflushed()

    def _unflushed(self) -> NDArray[np.uint64] | None:
        number = self.zap.get(UNFLUSHED_TXGS, 0)
        if not number:
            return None
        dnode = self.spa.mos.dnode(number)
        have = min(self.count, dnode.size // 8)
        result = np.zeros(self.count, dtype=np.uint64)
        result[:have] = metadata.words(dnode, have)
        return result

    def add_log(self, txg: int, entries: NDArray[np.void]) -> None:
        """Take the entries of one log that belong to this vdev."""
        if self.unflushed is None:
            return
        place = (entries["offset"] << np.uint64(LOG_SHIFT) >> np.uint64(self.shift)).astype(np.int64)
        good = place < self.count
        place, run = place[good], entries["run"][good].astype(np.int64) << LOG_SHIFT
        run = np.where(entries["free"][good] != 0, -run, run)
        waiting = self.unflushed[place]
        use = (waiting != 0) & (waiting <= txg)
        np.add.at(self.alloc, place[use], run[use])

    def result(self) -> VdevSpace:
        top = self.top
        known = [percent for percent in self.percents if percent is not None]
        enough = len(known) > self.count // 2
        sizes = _metaslab_sizes(top, self.shift, self.count)
        return VdevSpace(
            vdev=top,
            cls=allocation_class(self.spa, top),
            size=int(sizes.sum()),
            allocated=int(self.alloc.sum()),
            fragmentation=sum(known) // len(known) if enough else None,
            deflate=deflate_ratio(self.spa.tree, top),
            checkpoint=self._checkpoint(),
            metaslabs=self.count,
            metaslab_size=int(sizes.min()) if self.count else 0,
        )

    def _checkpoint(self) -> int:
        number = self.zap.get(CHECKPOINT_MAP, 0)
        if not number:
            return 0
        dnode = self.spa.mos.dnode(number)
        return -spacemap.decode_header(dnode.bonus, dnode.order).alloc


def _metaslab_sizes(top: Vdev, shift: int, count: int) -> NDArray[np.int64]:
    """Usable bytes of each metaslab: of draid whole rows only, from the first that begins in it."""
    sizes = np.full(count, 1 << shift, dtype=np.int64)
    if top.type == "draid":
        row = top.stripe()
        skipped = -(np.arange(count, dtype=np.int64) << shift) % row
        sizes = (sizes - skipped) // row * row
    return sizes


def _fragmentation(histogram: tuple[int, ...], ashift: int) -> int | None:
    """Percent for one metaslab by the sizes of its free segments; None without a histogram."""
    if not histogram:
        return None
    total = weighted = 0
    for bucket, count in enumerate(histogram):
        space = count << (bucket + ashift)
        total += space
        weighted += space * FRAGMENTATION[min(ashift - 9 + bucket, len(FRAGMENTATION) - 1)]
    return weighted // total if total else 0


def _add_logs(spa: Spa, maps: dict[int, _Maps]) -> None:
    """Apply the log space maps."""
    number = spa.directory.number(metadata.LOG_SPACEMAP_ZAP, 0)
    if not number:
        return
    logs = {}
    for name, obj in numbers(spa.mos, number, "the log space maps").items():
        try:
            logs[int(name, 16)] = obj
        except ValueError:
            raise CorruptError("a log space map's name is no txg", name=name) from None
    total = 0
    for txg, obj in sorted(logs.items()):
        dnode = spa.mos.dnode(obj)
        header = spacemap.decode_header(dnode.bonus, dnode.order)
        count = header.length // spacemap.WORD
        total += count
        if total > MAX_LOG_WORDS:
            raise LimitError("the log space maps are too long", words=total)
        found = spacemap.decode(metadata.words(dnode, count).astype("<u8").tobytes())
        for vdev in np.unique(found["vdev"]).tolist():
            if vdev in maps:
                maps[vdev].add_log(txg, found[found["vdev"] == vdev])


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
