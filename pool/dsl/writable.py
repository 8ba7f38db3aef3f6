"""A head dataset being written: its object set, and what a txg's blocks do to its figures.

Blocks that the newest snapshot does not have are freed when they are no longer referred to; those it has go to the
deadlist, where the snapshot's destruction will look for them.

Source: OpenZFS, dsl_dataset.c (``dsl_dataset_block_kill``, ``dsl_dataset_sync``), dsl_deadlist.c.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..dmu.bpsizes import Sizes, sizes_of
from ..dmu.mutableobjset import MutableObjset
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from . import charge
from .datasetfeatures import activate, active_on, deactivate, needed_by
from .deadlistwrite import DeadlistWriter, drop_livelist
from .featurerefs import FeatureCounts

#: Property of the directory that says what a head has reserved for itself.
REFRESERVATION = "refreservation"


class WritableDataset:
    """A head dataset of a pool that is open for writing.

    Args:
        mos: the MOS.
        number: of the dataset's object in it.
        objset: its object set.
        features: of the pool.
        origin_txg: when the snapshot was made that it is a clone of; blocks up to then are not its own.
        refreservation: bytes it has reserved for itself.
    """

    def __init__(
        self,
        mos: MutableObjset,
        number: int,
        objset: MutableObjset,
        features: FeatureCounts,
        *,
        origin_txg: int = 1,
        refreservation: int = 0,
    ) -> None:
        self.mos = mos
        self.number = number
        self.objset = objset
        self.origin_txg = origin_txg
        self.refreservation = refreservation
        self.prev_snap_txg = charge.read_dataset(mos, number).prev_snap_txg
        self._features = features
        self._active = active_on(mos, number)
        self._asked: dict[str, bool] = {}  # in the open txg
        self._needed: set[str] = set()
        self._not_needed: set[str] = set()
        self._gained = Sizes()
        self._dead: list[BpArray] = []
        objset.on_born = self._born
        objset.on_kill = self._kill

    def __repr__(self) -> str:
        return f"<WritableDataset {self.objset.name} {self.number}>"

    def _born(self, bps: BpArray) -> None:
        self._gained += sizes_of(bps, self.objset.dsize)
        self._needed |= needed_by(bps) - self._active

    def _kill(self, bps: BpArray, placed_again: NDArray[np.bool_] | None) -> None:
        bps = bps[~blkptr.is_hole(bps)]
        mine = bps["birth"] > np.uint64(self.prev_snap_txg)
        self._gained -= sizes_of(bps[mine], self.objset.dsize)
        self.objset.writer.free(bps[mine], self.mos.tx.txg)
        if not mine.all():
            self._dead.append(bps[~mine].copy())

    def uses(self, feature: str, yes: bool = True) -> None:
        """From the open txg on it uses a feature, or no longer does (short name)."""
        self._asked[feature] = yes

    def close(self) -> None:
        """Set aside what changed in the open txg, for ``sync``."""
        self.objset.close()
        asked, self._asked = self._asked, {}
        for feature, yes in asked.items():
            self._needed.discard(feature)
            self._not_needed.discard(feature)
            if yes != (feature in self._active):
                (self._needed if yes else self._not_needed).add(feature)

    def sync(self) -> None:
        """Write the object set's changes that were closed, and charge for them in the MOS."""
        bp = self.objset.sync()
        phys = charge.read_dataset(self.mos, self.number)
        if self.origin_txg > 1:
            drop_livelist(self.mos, phys.dir_obj, self._features)
        gained, self._gained = self._gained, Sizes()
        parts, self._dead = self._dead, []
        dead, own = Sizes(), 0
        if parts:
            bps = np.concatenate(parts)
            dead = sizes_of(bps, self.objset.dsize)
            own = sizes_of(bps[bps["birth"] > np.uint64(self.origin_txg)], self.objset.dsize).used
            self._insert_dead(phys.deadlist_obj, bps)
            self._charge_prev(phys.prev_snap_obj, bps)
        phys = charge.charge_head(
            self.mos, phys, gained, dead, dead_own=own, refreservation=self.refreservation
        )
        phys = replace(phys, bp=blkptr.to_bytes(bp))
        charge.write_dataset(self.mos, self.number, phys)
        if self.objset.large_dnodes:
            self._needed |= {"large_dnode"} - self._active
        if self._needed:
            activate(self.mos, self.number, self._needed, self._features)
            self._active |= self._needed
            self._needed = set()
        if self._not_needed:
            deactivate(self.mos, self.number, self._not_needed, self._features)
            self._active -= self._not_needed
            self._not_needed = set()

    def _insert_dead(self, number: int, bps: BpArray) -> None:
        DeadlistWriter(self.mos, number, self._features).insert(bps)

    def _charge_prev(self, number: int, bps: BpArray) -> None:
        """What only the newest snapshot still refers to is its own now."""
        prev = charge.read_dataset(self.mos, number)
        if prev.next_snap_obj != self.number:
            return
        alone = sizes_of(bps[bps["birth"] > np.uint64(prev.prev_snap_txg)], self.objset.dsize)
        charge.write_dataset(self.mos, number, replace(prev, unique_bytes=prev.unique_bytes + alone.used))
