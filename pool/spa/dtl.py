"""Dirty time logs in the MOS: which txgs each leaf lacks, and how that is written down.

What a leaf misses is noted while blocks are written (``zio/output.py``). Here it gets into the MOS of the same txg, in
its passes, together with what the configuration says of the leaf's state: a write that fails in the last pass, or in
the flush after it, makes another pass, so that no uberblock leads to a tree that trusts a leaf with what it lacks. A
log is written anew as a whole whenever it changed, its object made when first needed and freed when it is empty.

Source: OpenZFS, vdev.c (``vdev_dtl_load``, ``vdev_dtl_sync``), space_map.c.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..dmu.mutable import MutableDnode
from ..dmu.mutableobjset import MutableObjset
from ..dmu.objset import Objset
from ..dsl.featurerefs import FeatureCounts
from ..errors import CorruptError, LimitError
from ..ondisk import spacemap
from ..ondisk.dmutypes import ObjectType
from ..vdev.dtl import Dtl
from ..vdev.leaf import LeafVdev
from ..vdev.state import VdevAux, VdevState
from ..vdev.tree import VdevTree
from . import mos as metadata
from .poolconfig import follow_state, set_pair

BLOCK_SIZE = 4 << 10
INDIRECT_SHIFT = 14
MAX_DTL_WORDS = 1 << 22


def load_dtls(tree: VdevTree, mos: Objset) -> None:
    """Give every leaf its DTL.

    Raises:
        CorruptError and others: a DTL cannot be read. Without it, stale data could be taken for good.
    """
    for leaf in tree.leaves:
        number = leaf.config.get("DTL", 0)
        if number:
            leaf.set_dtl(*_ranges(leaf, number, mos))


def _ranges(leaf: LeafVdev, number: object, mos: Objset) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if not isinstance(number, int):
        raise CorruptError("a leaf's DTL is no object number", vdev=leaf.name)
    dnode = mos.dnode(number)
    if dnode.type != ObjectType.SPACE_MAP:
        raise CorruptError("a leaf's DTL is no space map", vdev=leaf.name, object=number)
    header = spacemap.decode_header(dnode.bonus, dnode.order)
    count = header.length // spacemap.WORD
    if count > MAX_DTL_WORDS:
        raise CorruptError("a leaf's DTL is absurdly long", vdev=leaf.name, words=count)
    return spacemap.ranges(spacemap.decode(metadata.words(dnode, count).astype("<u8").tobytes()))


class DtlStore:
    """What the MOS of a pool that is open for writing says of its leaves.

    Attributes:
        config_changed: the configuration of a leaf is another than it was.
    """

    def __init__(self, tree: VdevTree, mos: MutableObjset, features: FeatureCounts) -> None:
        self.tree = tree
        self.config_changed = False
        self._mos = mos
        self._features = features
        self._written = {leaf.guid: _known(leaf) for leaf in tree.leaves}

    @property
    def behind(self) -> bool:
        """Something is not written down yet."""
        return any(_known(leaf) != self._written.get(leaf.guid) for leaf in self.tree.leaves)

    def append(self, number: int) -> bool:
        """Put what has changed since the last call into the MOS. Gives whether there was anything.

        Args:
            number: of the sync pass, from 1.
        """
        changed = False
        for leaf in self.tree.leaves:
            now, before = _known(leaf), self._written.get(leaf.guid)
            if now == before:
                continue
            changed = True
            self._written[leaf.guid] = now
            if before is None or now[1:] != before[1:]:
                follow_state(leaf)
                self.config_changed = True
            if before is None or now[0] != before[0]:
                self._put(leaf, now[0], number)
        return changed

    def _put(self, leaf: LeafVdev, dtl: Dtl, number: int) -> None:
        found = leaf.config.get("DTL", 0)
        if not dtl:
            if found:
                self._forget(leaf, found)
            return
        dn = self._mos.dnode(found) if found else self._made(leaf)
        total = int((dtl.ends - dtl.starts).sum(dtype=np.uint64))
        entries = np.zeros(len(dtl.starts), dtype=spacemap.ENTRY)
        entries["offset"], entries["run"] = dtl.starts, dtl.ends - dtl.starts
        entries["txg"], entries["vdev"] = self._mos.tx.txg, spacemap.NO_VDEV
        two_words = self._features.enabled("spacemap_v2")
        longest = spacemap.TWO_WORD_RUN if two_words else spacemap.ONE_WORD_RUN
        if int((entries["run"] // np.uint64(longest)).sum(dtype=np.uint64)) > MAX_DTL_WORDS:
            raise LimitError("a leaf's DTL has more txgs than there can be", vdev=leaf.name, txgs=total)
        data = spacemap.encode(entries, block_size=dn.datablksz, sync_pass=number, two_words=two_words)
        dn.write(0, data)
        blocks = -(-len(data) // dn.datablksz)
        if blocks <= dn.maxblkid:
            dn.free_range(blocks, dn.maxblkid + 1 - blocks)
        full = len(dn.bonus) >= spacemap.FULL_HEADER_SIZE
        header = spacemap.SpaceMapHeader(len(data), total, (0,) * spacemap.BUCKETS if full else ())
        dn.set_bonus(spacemap.encode_header(header, dn.number))

    def _made(self, leaf: LeafVdev) -> MutableDnode:
        counted = self._features.enabled("spacemap_histogram")
        header = spacemap.SpaceMapHeader(0, 0, (0,) * spacemap.BUCKETS if counted else ())
        dn = self._mos.allocate(
            ObjectType.SPACE_MAP,
            block_size=BLOCK_SIZE,
            indirect_shift=INDIRECT_SHIFT,
            bonus_type=ObjectType.SPACE_MAP_HEADER,
            bonus=spacemap.encode_header(header),
        )
        if counted:
            self._features.add("spacemap_histogram")
        set_pair(leaf, "DTL", dn.number)
        self.config_changed = True
        return dn

    def _forget(self, leaf: LeafVdev, number: int) -> None:
        if len(self._mos.dnode(number).bonus) >= spacemap.FULL_HEADER_SIZE:
            self._features.add("spacemap_histogram", -1)
        self._mos.free(number)
        set_pair(leaf, "DTL", None)
        self.config_changed = True


def _known(leaf: LeafVdev) -> tuple[Dtl, VdevState, VdevAux]:
    return leaf.dtl, leaf.state, leaf.aux
