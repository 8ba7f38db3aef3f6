"""Features that a dataset uses: each is a key of the dataset's object, and counts once in the pool.

A dataset's object becomes a ZAP with the first such key. A feature is activated in the txg in which the first block is
written that needs it, so that older software never meets such a block unwarned.

Source: OpenZFS, dsl_dataset.c (``dsl_dataset_activate_feature``), dmu_object.c (``dmu_object_zapify``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, format_zap
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..ondisk.features import BY_NAME
from ..zio.checksum import Checksum
from ..zio.compress import Compression
from .featurerefs import FeatureCounts

#: Type of objects that became ZAPs (DMU_OTN_ZAP_METADATA).
ZAPIFIED = 0xC4
LARGE_BLOCK = 128 << 10
_BY_CHECKSUM = {
    Checksum.SHA512: "sha512",
    Checksum.SKEIN: "skein",
    Checksum.EDONR: "edonr",
    Checksum.BLAKE3: "blake3",
}


def needed_by(bps: BpArray) -> set[str]:
    """Short names of the features that these blocks need, embedded ones and holes included."""
    found: set[str] = set()
    stored = bps[~blkptr.is_hole(bps)]
    if not len(stored):
        return found
    if (blkptr.lsize(stored) > LARGE_BLOCK).any():
        found.add("large_blocks")
    if (blkptr.compression(stored) == Compression.ZSTD).any():
        found.add("zstd_compress")
    plain = stored[~blkptr.is_embedded(stored)]
    for number in np.unique(blkptr.checksum(plain)).tolist():
        name = _BY_CHECKSUM.get(number)
        if name:
            found.add(name)
    return found


def zapify(mos: MutableObjset, number: int, counts: FeatureCounts) -> MutableZap:
    """The ZAP that a dataset's or directory's object is, or now becomes."""
    dn = mos.dnode(number)
    if dn.type == ZAPIFIED:
        return MutableZap(dn)
    dn.dirty()
    dn.type = ZAPIFIED
    counts.add("extensible_dataset")
    return format_zap(dn, mos.random_bytes)


def active_on(mos: MutableObjset, number: int) -> set[str]:
    """Short names of the features that a dataset uses."""
    dn = mos.dnode(number)
    if dn.type != ZAPIFIED:
        return set()
    zap = MutableZap(dn)
    return {feature.name for feature in BY_NAME.values() if feature.per_dataset and feature.guid in zap}


def activate(mos: MutableObjset, number: int, names: Iterable[str], counts: FeatureCounts) -> None:
    """A dataset uses these features from now on.

    Raises:
        UnsupportedFeatureError: the pool does not have one of them enabled.
    """
    for name in sorted(names):
        zap = zapify(mos, number, counts)
        if BY_NAME[name].guid not in zap:
            counts.add(name)
            zap.add(BY_NAME[name].guid, 0)


def deactivate(mos: MutableObjset, number: int, names: Iterable[str], counts: FeatureCounts) -> None:
    """A dataset no longer uses these features."""
    for name in sorted(names):
        MutableZap(mos.dnode(number)).remove(BY_NAME[name].guid)
        counts.add(name, -1)


def deactivate_all(mos: MutableObjset, number: int, counts: FeatureCounts) -> None:
    """A dataset is about to go: it uses nothing any more."""
    for name in active_on(mos, number):
        counts.add(name, -1)
    if mos.dnode(number).type == ZAPIFIED:
        counts.add("extensible_dataset", -1)
