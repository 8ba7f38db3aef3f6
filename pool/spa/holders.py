"""Who else has a block: later snapshots, the head and clones share what was born before they parted.

A walk meets a block in the dataset in whose time it was born. If it is damaged, every later dataset that still points
to it has lost as much. Datasets are followed from one snapshot to the next, and into clones, as long as the block is
found at the same place of the same object: what one of them no longer has, those after it do not have either.

Source: OpenZFS, spa_errlog.c (how errors are told by head).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray

if TYPE_CHECKING:
    from ..dmu.dnode import Dnode
    from ..dmu.objset import Objset
    from ..dsl.dataset import DslDataset
    from .spa import Spa

#: Datasets told of for one block, and looked into for all blocks together: damage may be everywhere.
SHOWN_MAX = 64
LOOKUPS_MAX = 100_000
OBJSETS_KEPT = 64
BRANCH_MAX = 1 << 16  # snapshots of a clone
SPILL_BLKID = -1


class Holders:
    """Finds the later holders of blocks."""

    def __init__(self, spa: Spa) -> None:
        self._spa = spa
        self._objsets: OrderedDict[int, Objset] = OrderedDict()
        self._lookups = 0

    def after(self, objset: int, number: int, level: int, blkid: int, bp: BpArray) -> list[int]:
        """Datasets (object numbers) other than ``objset`` that have this block at this place.

        Args:
            objset: where it was met.
            number: of the object.
            level, blkid: of the block in it; -1 as block id: the spill block.
            bp: the pointer to it.
        """
        found: list[int] = []
        if objset == 0 or number <= 0 or level < 0:
            return found
        todo, seen = [objset], {objset}
        while todo and len(found) < SHOWN_MAX:
            for dataset in self._successors(todo.pop()):
                if dataset.obj in seen or self._lookups >= LOOKUPS_MAX:
                    continue
                seen.add(dataset.obj)
                self._lookups += 1
                if self._has(dataset, number, level, blkid, bp):
                    found.append(dataset.obj)
                    todo.append(dataset.obj)
        return found

    def _successors(self, objset: int) -> list[DslDataset]:
        dsl = self._spa.dsl
        try:
            dataset = dsl.dataset_by_object(objset)
            if not dataset.is_snapshot:
                return []
            branches = [self._branch(clone, objset) for clone in dataset.clones()]
            return [dsl.dataset_by_object(dataset.phys.next_snap_obj), *branches]
        except PoolError:
            # Nobody can tell what comes after; what was found before stands.
            return []

    def _branch(self, clone: DslDataset, origin: int) -> DslDataset:
        """The oldest snapshot of a clone, or the clone itself: what comes right after its origin."""
        for _ in range(BRANCH_MAX):
            if clone.phys.prev_snap_obj in (0, origin):
                break
            clone = self._spa.dsl.dataset_by_object(clone.phys.prev_snap_obj)
        return clone

    def _has(self, dataset: DslDataset, number: int, level: int, blkid: int, bp: BpArray) -> bool:
        try:
            dnode = self._objset(dataset).dnode(number)
            other = self._pointer(dnode, level, blkid)
        except PoolError:
            return False
        if other is None or bool(blkptr.is_embedded(other)):
            return False
        same = np.array_equal(other["dva"][0], bp["dva"][0])
        return same and int(blkptr.physical_birth(other)) == int(blkptr.physical_birth(bp))

    @staticmethod
    def _pointer(dnode: Dnode, level: int, blkid: int) -> BpArray | None:
        if blkid == SPILL_BLKID:
            return dnode.spill
        if level >= dnode.nlevels or blkid > dnode.maxblkid >> level * (dnode.indblkshift - 7):
            return None
        found: BpArray = dnode.pointers(level, blkid, 1)[0]
        return found

    def _objset(self, dataset: DslDataset) -> Objset:
        if dataset.obj not in self._objsets:
            self._objsets[dataset.obj] = dataset.objset(raw=True)
            if len(self._objsets) > OBJSETS_KEPT:
                self._objsets.popitem(last=False)
        return self._objsets[dataset.obj]
