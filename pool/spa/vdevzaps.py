"""ZAPs of vdevs: one for each leaf and each top-level vdev, and the ZAP that lists them all.

They hold what belongs to a vdev and does not fit into the configuration: its allocation class, where its metaslabs'
unflushed changes begin, properties.

Source: OpenZFS, vdev.c (``vdev_construct_zaps``), spa.c (``spa_avz_build``).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..vdev.leaf import LeafVdev
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from .metaslabs import VDEV_ZAP_TOP
from .newmos import ZAP_METADATA
from .poolconfig import set_pair
from .space import ALLOCATION_BIAS

VDEV_ZAP_LEAF = "com.delphix:vdev_zap_leaf"
VDEV_ZAP_ROOT = "com.klarasystems:vdev_zap_root"
VDEV_ZAP_MAP = "com.delphix:vdev_zap_map"


def create_vdev_zaps(
    mos: MutableObjset, directory: MutableZap, tree: VdevTree, biases: Mapping[int, str], *, root: bool = False
) -> None:
    """Make the ZAPs of all vdevs of a new pool, in OpenZFS's order: of a vdev, then of those below it.

    Args:
        directory: the object directory. biases: allocation class of top-level vdevs that have one, by id.
        root: the root vdev has one, too (feature vdev_zaps_v2).
    """
    listed = create_zap(mos, ZAP_METADATA, mos.random_bytes)
    directory.add(VDEV_ZAP_MAP, listed.dnode.number)

    def add(vdev: Vdev, name: str) -> MutableZap:
        zap = create_zap(mos, ZAP_METADATA, mos.random_bytes)
        set_pair(vdev, name, zap.dnode.number)
        listed.add(f"{zap.dnode.number:x}", zap.dnode.number)
        return zap

    if root:
        add(tree.root, VDEV_ZAP_ROOT)
    for top in tree.tops:
        if isinstance(top, LeafVdev):
            add(top, VDEV_ZAP_LEAF)
        zap = add(top, VDEV_ZAP_TOP)
        if top.id in biases:
            zap.add(ALLOCATION_BIAS, biases[top.id].encode() + b"\0", int_size=1)
        for vdev in top.walk():
            if vdev is not top and isinstance(vdev, LeafVdev):
                add(vdev, VDEV_ZAP_LEAF)
