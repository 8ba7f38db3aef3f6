"""The MOS of a new pool: the objects that make an empty tree of datasets, in the order OpenZFS makes them.

Source: OpenZFS, spa.c (``spa_create``), dsl_pool.c (``dsl_pool_create``), zfeature.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from ..dmu.bpobjwrite import create_bpobj
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..dsl import charge
from ..dsl.create import create_deadlist, create_dir, create_head, creation_txg
from ..ondisk import dsl as ondisk_dsl
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import DatasetFlags, DatasetPhys
from ..ondisk.features import BY_NAME, Feature
from ..ondisk.uberblock import VERSION_FEATURES
from ..zio.compress import Compression
from . import mos as metadata
from .mos import OBJECT_DIRECTORY

#: Type of ZAPs that only the pool itself reads (DMU_OTN_ZAP_METADATA).
ZAP_METADATA = 0xC4
ORIGIN = "$ORIGIN"
DEFERRED_BLOCK = 16 << 10


@dataclass(frozen=True, slots=True)
class NewMos:
    """Object numbers of a new MOS that are needed to go on."""

    root_dir: int
    mos_dir: int
    origin_snapshot: int
    root_head: int
    features_read: int
    features_write: int
    counts: Mapping[str, int]


def build_mos(
    mos: MutableObjset, *, features: Iterable[str], now: int, guid: Callable[[], int], salt: bytes
) -> NewMos:
    """Make everything but the configuration, the space maps and the content of the root dataset.

    Args:
        mos: a new object set, in a transaction.
        features: short names of those to be enabled, dependencies included.
        now: seconds since 1970. guid: gives random numbers. salt: 32 random bytes.
    """
    directory = create_zap(mos, ObjectType.OBJECT_DIRECTORY, mos.random_bytes, number=OBJECT_DIRECTORY)
    root = create_dir(mos, 0, "", now=now)
    directory.add("root_dataset", root)
    mos_dir = create_dir(mos, root, "$MOS", now=now)
    create_dir(mos, root, "$FREE", now=now)
    directory.add("free_bpobj", create_bpobj(mos).number)
    snapshot = _origin(mos, root, now=now, guid=guid)
    read, write, counts = _features(mos, directory, [BY_NAME[name] for name in features])
    head = create_head(mos, root, now=now, guid=guid, origin=snapshot)
    deferred = create_bpobj(mos, block_size=DEFERRED_BLOCK, compress=Compression.OFF)
    directory.add("sync_bplist", deferred.number)
    directory.add("creation_version", VERSION_FEATURES)
    directory.add("deflate", 1)
    directory.add(metadata.SALT, salt, int_size=1)
    return NewMos(root, mos_dir, snapshot, head, read, write, counts)


def _origin(mos: MutableObjset, root: int, *, now: int, guid: Callable[[], int]) -> int:
    """The directory ``$ORIGIN``, with a head and the one snapshot that all datasets are clones of."""
    directory = create_dir(mos, root, ORIGIN, now=now)
    head = create_head(mos, directory, now=now, guid=guid, origin=0)
    phys = charge.read_dataset(mos, head)
    dn = mos.allocate(
        ObjectType.DSL_DATASET, bonus_type=ObjectType.DSL_DATASET, bonus=bytes(ondisk_dsl.DATASET_SIZE)
    )
    txg = creation_txg(mos.tx.txg)
    snapshot = DatasetPhys(
        dir_obj=directory,
        next_snap_obj=head,
        num_children=1,
        creation_time=now,
        creation_txg=txg,
        deadlist_obj=create_deadlist(mos, keys=()),  # nothing came before it
        fsid_guid=guid() & ((1 << 56) - 1),
        guid=guid(),
        flags=DatasetFlags.UNIQUE_ACCURATE,
    )
    charge.write_dataset(mos, dn.number, snapshot)
    MutableZap(mos.dnode(phys.snapnames_zapobj)).add(ORIGIN, dn.number)
    charge.write_dataset(mos, head, replace(phys, prev_snap_obj=dn.number, prev_snap_txg=txg))
    return dn.number


def _features(
    mos: MutableObjset, directory: MutableZap, wanted: list[Feature]
) -> tuple[int, int, dict[str, int]]:
    """The three ZAPs of features, and that of when they were enabled."""
    read = create_zap(mos, ZAP_METADATA, mos.random_bytes)
    write = create_zap(mos, ZAP_METADATA, mos.random_bytes)
    texts = create_zap(mos, ZAP_METADATA, mos.random_bytes)
    directory.add(metadata.FEATURES_FOR_READ, read.dnode.number)
    directory.add(metadata.FEATURES_FOR_WRITE, write.dnode.number)
    directory.add(metadata.FEATURE_DESCRIPTIONS, texts.dnode.number)
    enabled_txg = BY_NAME["enabled_txg"]
    stamped = wanted[wanted.index(enabled_txg) + 1 :] if enabled_txg in wanted else []
    counts = {}
    for feature in wanted:
        count = len(stamped) if feature is enabled_txg else int(feature.active_at_once)
        counts[feature.guid] = count
        (write if feature.read_only_compatible else read).add(feature.guid, count)
        texts.add(feature.guid, feature.text.encode() + b"\0", int_size=1)
    if enabled_txg in wanted:
        when = create_zap(mos, ZAP_METADATA, mos.random_bytes)
        directory.add("feature_enabled_txg", when.dnode.number)
        for feature in stamped:
            when.add(feature.guid, mos.tx.txg)
    return read.dnode.number, write.dnode.number, counts
