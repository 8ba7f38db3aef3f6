"""The space maps of a pool that is open for writing: where they are in the MOS, and how changes get into them.

Every change of every pass is appended to its metaslab's own space map. Log space maps are never written: those a pool
was imported with are folded into the metaslabs' own maps in the first txg (``fold_logs``).

A space map is itself written into allocated space, so appending to it changes what is allocated. The engine repeats
until nothing changes any more; see ``engine``.

Source: OpenZFS, metaslab.c (``metaslab_sync``), space_map.c, spa_log_spacemap.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..alloc import spacemap, spacemapwrite
from ..alloc.allocator import MapBusyError
from ..alloc.classes import AllocClass
from ..alloc.metaslab import Geometry, geometry
from ..alloc.spacemapwrite import MapFormat, MapPlace, MapWrite
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap
from ..dmu.objset import Objset
from ..dsl.featurerefs import FeatureCounts
from ..errors import CorruptError
from ..ondisk import spacemap as ondisk_spacemap
from ..ondisk.dmutypes import ObjectType
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from . import mos as metadata
from .metaslabs import (
    UNFLUSHED_TXGS,
    VDEV_ZAP_TOP,
    VdevMaps,
    holds_data,
    log_batches,
    log_objects,
    numbers_of_zap,
    read_map,
)
from .moswrite import write_words
from .poolconfig import set_pair

if TYPE_CHECKING:
    from ..alloc.allocator import Allocator, MetaslabChange
    from .mos import Directory

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
BLOCK_SIZE = 16 << 10
INDIRECT_SHIFT = 14
NO_SPACE = ("hole", "missing", "indirect", "root")
CLASSES = {"special": AllocClass.SPECIAL, "dedup": AllocClass.DEDUP, "log": AllocClass.LOG}


@dataclass(slots=True)
class _VdevMaps:
    """Space maps of one vdev. ``array``: object that lists them, 0: none yet; ``objects``: of each metaslab, or 0."""

    top: Vdev
    geometry: Geometry
    array: int = 0
    objects: list[int] = field(default_factory=list)
    logged: dict[int, spacemap.Changes] = field(default_factory=dict)  # waits in logs, by metaslab
    unflushed: int = 0  # object that says from which txg on something waits

    def place(self, index: int) -> MapPlace:
        """What the space map of a metaslab is about."""
        start, size = int(self.geometry.starts[index]), int(self.geometry.sizes[index])
        return MapPlace(start, size, self.top.ashift, BLOCK_SIZE)


class SpaceMapStore:
    """All space maps of a pool.

    Attributes:
        classes: allocation class of vdevs that have one of their own.
        allocated: by vdev, bytes allocated in each metaslab.
        config_changed: a vdev's configuration has been given the object of its array.
    """

    def __init__(self, tree: VdevTree) -> None:
        self.tree = tree
        self.classes: dict[int, AllocClass] = {}
        self.allocated: dict[int, I64] = {}
        self.config_changed = False
        self._vdevs: dict[int, _VdevMaps] = {}
        self._mos: Objset | None = None
        self._features: FeatureCounts | None = None
        self._logs: list[tuple[int, int]] = []
        self._log_zap = 0

    @classmethod
    def new(cls, tree: VdevTree, biases: Mapping[int, str]) -> SpaceMapStore:
        """For a pool that is being made: nothing is allocated anywhere."""
        store = cls(tree)
        for top in tree.tops:
            if top.type not in NO_SPACE:
                store._vdevs[top.id] = store._described(top)
            if top.id in biases:
                store.classes[top.id] = CLASSES[biases[top.id]]
        return store

    @classmethod
    def load(cls, mos: Objset, directory: Directory, tree: VdevTree, biases: Mapping[int, str]) -> SpaceMapStore:
        """Of a pool that is there.

        Raises:
            CorruptError and others: a space map or a log cannot be read or makes no sense.
        """
        store = cls(tree)
        store._mos = mos
        maps = {top.id: VdevMaps(mos, top) for top in tree.tops if holds_data(top)}
        for txg, found in log_batches(mos, directory):
            for vdev in np.unique(found["vdev"]).tolist():
                if vdev in maps:
                    maps[vdev].add_log(txg, found[found["vdev"] == vdev])
        store._logs = log_objects(mos, directory)
        store._log_zap = directory.number(metadata.LOG_SPACEMAP_ZAP, 0)
        for top in tree.tops:
            if top.type in NO_SPACE:
                continue
            one = store._vdevs[top.id] = store._described(top)
            known = maps.get(top.id)
            if known is not None:
                one.objects = list(known.objects)
                one.array = _number(top, "metaslab_array")
                if known.unflushed is not None:
                    one.logged = known.unflushed.by_metaslab()
                    one.unflushed = _unflushed_object(mos, top)
            store.allocated[top.id] = store._allocated(mos, one)
            if top.id in biases:
                store.classes[top.id] = CLASSES[biases[top.id]]
        return store

    def _described(self, top: Vdev) -> _VdevMaps:
        stripe = top.stripe() if top.type == "draid" else 1
        cut = geometry(top.asize, _number(top, "metaslab_shift"), stripe, vdev=top.name)
        return _VdevMaps(top, cut, objects=[0] * len(cut))

    def _allocated(self, mos: Objset, one: _VdevMaps) -> I64:
        result = np.zeros(len(one.objects), dtype=np.int64)
        for index, number in enumerate(one.objects):
            if number:
                dn = mos.dnode(number)
                result[index] = ondisk_spacemap.decode_header(dn.bonus, dn.order).alloc
        for index, changes in one.logged.items():
            result[index] += spacemap.net(changes)
        return result

    def attach(self, mos: MutableObjset, features: FeatureCounts) -> None:
        """From now on changes go into this object set."""
        self._mos = mos
        self._features = features

    @property
    def has_special(self) -> bool:
        """There are special vdevs."""
        return AllocClass.SPECIAL in self.classes.values()

    @property
    def has_dedup(self) -> bool:
        """There are vdevs for deduplication tables."""
        return AllocClass.DEDUP in self.classes.values()

    def holds_data(self, top: Vdev) -> bool:
        """Something was allocated on a vdev."""
        one = self._vdevs.get(top.id)
        return one is not None and one.array != 0

    # --- reading ----------------------------------------------------------------------------------------------------

    def load_metaslab(self, vdev: int, index: int) -> tuple[U64, U64]:
        """What is allocated in a metaslab, by its space map and the logs: starts and ends in bytes of the vdev.

        Raises:
            CorruptError: they make no sense.
            MapBusyError: another thread is writing a txg.
        """
        one = self._vdevs[vdev]
        assert self._mos is not None
        if isinstance(self._mos, MutableObjset) and self._mos.tx.writing and not self._mos.tx.final:
            raise MapBusyError
        where: dict[str, Any] = {"vdev": one.top.name, "metaslab": index}
        place = one.place(index)
        parts = []
        if one.objects[index]:
            header, entries = read_map(self._mos, one.objects[index])
            own = spacemap.changes(entries, place.shift, place.start, place.size, **where)
            if spacemap.net(own) != header.alloc:
                raise CorruptError("a space map's header says something else than its entries", **where)
            parts.append(own)
        if index in one.logged:
            parts.append(one.logged[index])
        if not parts:
            return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
        found = spacemap.replay(spacemap.joined(parts), **where)
        return found.starts, found.ends

    # --- writing ----------------------------------------------------------------------------------------------------

    @property
    def _form(self) -> MapFormat:
        assert self._features is not None
        return MapFormat(
            two_words=self._features.enabled("spacemap_v2"), histograms=self._features.enabled("spacemap_histogram")
        )

    @property
    def _writable(self) -> MutableObjset:
        assert isinstance(self._mos, MutableObjset)
        return self._mos

    def append(self, allocator: Allocator, number: int) -> bool:
        """Put what has changed since the last call into the space maps. Gives whether there was anything.

        Args:
            allocator: knows the changes. number: of the sync pass, from 1.
        """
        for one in self._vdevs.values():
            self._make_array(one)
        changes = allocator.take_changes(self._writable.tx.txg)
        for change in changes:
            self._append(allocator, change, number)
        return bool(changes)

    def _append(self, allocator: Allocator, change: MetaslabChange, number: int) -> None:
        one, form, txg = self._vdevs[change.vdev], self._form, self._writable.tx.txg
        place = one.place(change.metaslab)
        dn = self._writable.dnode(self._object(one, change.metaslab))
        header = ondisk_spacemap.decode_header(dn.bonus, dn.order)
        free = allocator.histogram(change.vdev, change.metaslab)
        if number == 1 and free is not None:
            used = allocator.used_ranges(change.vdev, change.metaslab)
            if spacemapwrite.should_condense(header, used, place, form):
                done = spacemapwrite.condensed(used, place, form, txg=txg, sync_pass=number, free=free)
                self._put(one, change.metaslab, done)
                return
        done = spacemapwrite.appended(header, change, place, form, txg=txg, sync_pass=number, free=free)
        self._put(one, change.metaslab, done)

    def _put(self, one: _VdevMaps, index: int, done: MapWrite) -> None:
        number = one.objects[index]
        dn = self._writable.dnode(number)
        if done.data:
            dn.write(done.position, done.data)
        blocks = -(-done.header.length // dn.datablksz)
        if blocks <= dn.maxblkid:
            dn.free_range(blocks, dn.maxblkid + 1 - blocks)
        header = done.header
        if len(dn.bonus) < ondisk_spacemap.FULL_HEADER_SIZE:
            header = replace(header, histogram=())  # made before the feature was enabled: there is no room for one
        dn.set_bonus(ondisk_spacemap.encode_header(header, number))

    def _object(self, one: _VdevMaps, index: int) -> int:
        """The object of a metaslab's space map, made when it is first needed."""
        if one.objects[index]:
            return one.objects[index]
        mos, form = self._writable, self._form
        header = spacemapwrite.empty_header(form)
        dn = mos.allocate(
            ObjectType.SPACE_MAP,
            block_size=BLOCK_SIZE,
            indirect_shift=INDIRECT_SHIFT,
            bonus_type=ObjectType.SPACE_MAP_HEADER,
            bonus=ondisk_spacemap.encode_header(header),
        )
        one.objects[index] = dn.number
        if form.histograms and self._features is not None:
            self._features.add("spacemap_histogram")
        self._make_array(one)
        write_words(mos.dnode(one.array), index, np.array([dn.number], dtype=np.uint64))
        return dn.number

    def _make_array(self, one: _VdevMaps) -> None:
        """A vdev without an array of space maps counts as one that has no space, so each gets one in its first txg."""
        if not one.array:
            one.array = self._writable.allocate(ObjectType.OBJECT_ARRAY).number
            set_pair(one.top, "metaslab_array", one.array)
            self.config_changed = True

    def fold_logs(self) -> None:
        """What waits in log space maps goes into the metaslabs' own maps, and the logs go."""
        if not self._log_zap:
            return
        mos, form = self._writable, self._form
        for one in self._vdevs.values():
            for index in sorted(one.logged):
                used = self.load_metaslab(one.top.id, index)
                done = spacemapwrite.condensed(used, one.place(index), form, txg=mos.tx.txg, sync_pass=1)
                self._object(one, index)
                self._put(one, index, done)
            one.logged.clear()
            if one.unflushed:
                dn = mos.dnode(one.unflushed)
                write_words(dn, 0, np.zeros(min(len(one.objects), dn.size // 8), dtype=np.uint64))
        zap = MutableZap(mos.dnode(self._log_zap))
        for txg, number in self._logs:
            zap.remove(f"{txg:x}")
            if len(mos.dnode(number).bonus) >= ondisk_spacemap.FULL_HEADER_SIZE and self._features is not None:
                self._features.add("spacemap_histogram", -1)
            mos.free(number)
        self._logs, self._log_zap = [], 0


def _number(top: Vdev, name: str) -> int:
    value = top.config.get(name, 0)
    return value if isinstance(value, int) else 0


def _unflushed_object(mos: Objset, top: Vdev) -> int:
    zap = numbers_of_zap(mos, _number(top, VDEV_ZAP_TOP), f"the ZAP of {top.name}")
    return zap.get(UNFLUSHED_TXGS, 0)
