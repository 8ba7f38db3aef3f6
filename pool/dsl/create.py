"""Making directories and datasets: the objects of the MOS that a file system or volume consists of.

Every ordinary dataset is a clone of the pool's empty first snapshot, ``$ORIGIN@$ORIGIN``, which keeps count of them.

Source: OpenZFS, dsl_dir.c (``dsl_dir_create_sync``), dsl_dataset.c (``dsl_dataset_create_sync_dd``), dsl_deadlist.c.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..dmu.bpobjwrite import create_bpobj
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..ondisk import dsl as ondisk_dsl
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import DatasetFlags, DatasetPhys, DeadlistPhys, DirFlags, DirPhys
from . import charge

#: Txg of the pool's first blocks; what is made in it says that it was made in txg 1. Source: dsl_dataset.c.
TXG_INITIAL = 4
#: Bits of the number by which a mounted file system is known. Source: dsl_dataset.c.
FSID_BITS = 56
#: Names of snapshots are found without regard to case where the file system says so. Source: dsl_dataset.c.
SNAPNAMES_NORM = 2


def creation_txg(txg: int) -> int:
    """What a dataset made in this txg carries."""
    return 1 if txg == TXG_INITIAL else txg


def create_dir(mos: MutableObjset, parent: int, name: str, *, now: int, origin: int = 0) -> int:
    """A new directory below another (0: it is the pool's root); gives its object number."""
    dn = mos.allocate(
        ObjectType.DSL_DIR,
        bonus_type=ObjectType.DSL_DIR,
        bonus=bytes(ondisk_dsl.DIR_SIZE),
    )
    if parent:
        MutableZap(mos.dnode(charge.read_dir(mos, parent).child_dir_zapobj)).add(name, dn.number)
    props = create_zap(mos, ObjectType.DSL_PROPS, mos.random_bytes)
    children = create_zap(mos, ObjectType.DSL_DIR_CHILD_MAP, mos.random_bytes)
    charge.write_dir(
        mos,
        dn.number,
        DirPhys(
            creation_time=now,
            parent_obj=parent,
            origin_obj=origin,
            child_dir_zapobj=children.dnode.number,
            props_zapobj=props.dnode.number,
            flags=DirFlags.USED_BREAKDOWN,
        ),
    )
    return dn.number


def create_deadlist(mos: MutableObjset, keys: tuple[int, ...] = (0,)) -> int:
    """A deadlist with an empty list for each key; gives its object number."""
    zap = create_zap(
        mos,
        ObjectType.DEADLIST,
        mos.random_bytes,
        bonus_type=ObjectType.DEADLIST_HDR,
        bonus=ondisk_dsl.encode_deadlist(DeadlistPhys()),
    )
    for key in keys:
        zap.add(f"{key:x}", create_bpobj(mos).number)
    number: int = zap.dnode.number
    return number


def create_head(
    mos: MutableObjset,
    directory: int,
    *,
    now: int,
    guid: Callable[[], int],
    origin: int,
    flags: DatasetFlags = DatasetFlags.UNIQUE_ACCURATE,
) -> int:
    """A new head dataset, empty, in a directory; gives its object number.

    Args:
        guid: gives random numbers of 64 bits.
        origin: the snapshot ``$ORIGIN@$ORIGIN``; 0 while that is being made.
    """
    txg = creation_txg(mos.tx.txg)
    dn = mos.allocate(
        ObjectType.DSL_DATASET, bonus_type=ObjectType.DSL_DATASET, bonus=bytes(ondisk_dsl.DATASET_SIZE)
    )
    snapnames = create_zap(mos, ObjectType.DSL_DS_SNAP_MAP, mos.random_bytes, normflags=SNAPNAMES_NORM)
    phys = DatasetPhys(
        dir_obj=directory,
        prev_snap_obj=origin,
        prev_snap_txg=charge.read_dataset(mos, origin).creation_txg if origin else 0,
        snapnames_zapobj=snapnames.dnode.number,
        creation_time=now,
        creation_txg=txg,
        deadlist_obj=create_deadlist(mos),
        fsid_guid=guid() & ((1 << FSID_BITS) - 1),
        guid=guid(),
        flags=flags,
    )
    charge.write_dataset(mos, dn.number, phys)
    head = replace(charge.read_dir(mos, directory), head_dataset_obj=dn.number, origin_obj=origin)
    charge.write_dir(mos, directory, head)
    if origin:
        _add_clone(mos, origin, dn.number)
    return dn.number


def _add_clone(mos: MutableObjset, origin: int, head: int) -> None:
    """Tell a snapshot, and its directory, of a head that was cloned from it."""
    snapshot = charge.read_dataset(mos, origin)
    clones = snapshot.next_clones_obj or create_zap(mos, ObjectType.NEXT_CLONES, mos.random_bytes).dnode.number
    MutableZap(mos.dnode(clones)).add(f"{head:x}", head)
    snapshot = replace(snapshot, next_clones_obj=clones, num_children=snapshot.num_children + 1)
    charge.write_dataset(mos, origin, snapshot)
    directory = charge.read_dir(mos, snapshot.dir_obj)
    heads = directory.clones or create_zap(mos, ObjectType.DSL_CLONES, mos.random_bytes).dnode.number
    MutableZap(mos.dnode(heads)).add(f"{head:x}", head)
    charge.write_dir(mos, snapshot.dir_obj, replace(directory, clones=heads))
