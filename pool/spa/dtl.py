"""Loading dirty time logs: which txgs each leaf lacks.

Source: OpenZFS, vdev.c (``vdev_dtl_load``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..dmu.objset import Objset
from ..errors import CorruptError
from ..ondisk import spacemap
from ..ondisk.dmutypes import ObjectType
from ..vdev.leaf import LeafVdev
from ..vdev.tree import VdevTree
from . import mos as metadata

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
