"""Datasets of a pool that is open for writing: opening, creating and destroying them.

A dataset is created in the open txg, with the content of its root; a crash before that txg is on disk leaves nothing
of it. Destroying frees all its blocks in one txg.

Source: OpenZFS, dsl_dataset.c, dsl_destroy.c (``dsl_destroy_head_sync_impl``), zvol.c (``zvol_create_cb``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..dmu.bpsizes import Sizes
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..dmu.traverse import walk
from ..dsl import charge
from ..dsl.create import create_dir, create_head
from ..dsl.datasetfeatures import activate, deactivate_all
from ..dsl.deadlistwrite import drop_livelist, free_deadlist
from ..dsl.writable import WritableDataset
from ..dsl.writesettings import settings_of
from ..errors import ExistsError, NotEmptyError, UnsupportedError, UsageError
from ..ondisk import blkptr, zil
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import USED_CHILD_RSRV, USED_HEAD, USED_REFRSRV, BookmarkFlags
from ..ondisk.objset import ObjsetType
from ..ondisk.objset import decode as decode_objset
from ..ondisk.zplconst import ZVOL_OBJECT, ZVOL_PROP_OBJECT
from ..zil.claim import durable_blocks
from ..zpl.accounting import Accounting
from ..zpl.create import FLAG_PROJECTQUOTA, FLAG_USERACCOUNTING, FLAG_USEROBJACCOUNTING, create_content

if TYPE_CHECKING:
    from ..dmu.writepolicy import WriteSettings
    from ..dsl.dataset import DslDataset
    from ..dsl.dir import DslDir
    from .engine import Engine

#: Features that a new file system uses from the start, where the pool has them.
COUNTED = {"userobj_accounting": FLAG_USEROBJACCOUNTING, "project_quota": FLAG_PROJECTQUOTA}
VOLBLOCK_DEFAULT = 16 << 10


def open_dataset(engine: Engine, dataset: DslDataset) -> WritableDataset:
    """A head dataset, to be changed; the same one each time.

    Raises:
        UnsupportedError: it is encrypted, or its properties ask for what is not written here.
        UsageError: it is a snapshot.
    """
    found = engine.datasets.get(dataset.obj)
    if found is not None:
        return found
    if dataset.is_snapshot:
        raise UsageError(f"{dataset.name} is a snapshot and never changes")
    if dataset.inconsistent:
        raise UnsupportedError(f"{dataset.name} is being received or destroyed, and cannot be changed")
    check_writable(dataset)
    with engine.tx.lock:
        engine.tx.wait()  # what is read of the MOS is as one txg left it
        found = engine.datasets.get(dataset.obj)
        if found is not None:
            return found
        settings = settings_of(dataset, engine.settings)
        objset = MutableObjset(
            engine.zio,
            dataset.bp,
            tx=engine.tx,
            writer=engine.writer,
            settings=settings,
            dsize=engine.mos.dsize,
            random_bytes=engine.env.random_bytes,
            name=dataset.name,
        )
        origin = dataset.dir.origin
        found = WritableDataset(
            engine.mos,
            dataset.obj,
            objset,
            engine.features,
            origin_txg=1 if origin is None else origin.phys.creation_txg,
            refreservation=_refreservation(dataset),
        )
        if objset.type == ObjsetType.ZFS:
            Accounting(objset)
        engine.datasets[dataset.obj] = found
    return found


def check_writable(dataset: DslDataset) -> None:
    """Refuse what a change to this dataset would have to keep right, and is not kept right here.

    Raises:
        UnsupportedError: it has bookmarks that count what is freed, or is redacted.
    """
    if any(mark.phys.flags & BookmarkFlags.HAS_FBN for mark in dataset.bookmarks()):
        raise UnsupportedError("a dataset with bookmarks that count freed space is not written", dataset=dataset.name)
    if dataset.redaction_snapshots is not None:
        raise UnsupportedError("redacted datasets are not written", dataset=dataset.name)


def _refreservation(dataset: DslDataset) -> int:
    value = dataset.dir.stored_properties.get("refreservation", 0)
    return value if isinstance(value, int) else 0


def fill_filesystem(
    engine: Engine, head: int, name: str, settings: WriteSettings, *, owner: tuple[int, int, int],
    fixed: Mapping[str, int] | None = None,
) -> WritableDataset:  # fmt: skip
    """Give a new head dataset the content of an empty file system.

    Args:
        head: its object. name: its full name. settings: how its blocks are written.
        owner: uid, gid and mode of its root directory.
        fixed: properties set once: normalization, utf8only, casesensitivity.
    """
    flags, wanted = FLAG_USERACCOUNTING, []
    for feature, bit in COUNTED.items():
        if engine.features.enabled(feature):
            flags |= bit
            wanted.append(feature)
    objset = _new_objset(engine, ObjsetType.ZFS, name, settings, flags)
    Accounting(objset)
    uid, gid, mode = owner
    create_content(
        objset, now_ns=int(engine.env.clock() * 1e9), uid=uid, gid=gid, mode=mode, properties=fixed
    )
    activate(engine.mos, head, wanted, engine.features)
    return _adopt(engine, head, objset)


def _new_objset(
    engine: Engine, kind: ObjsetType, name: str, settings: WriteSettings, flags: int = 0
) -> MutableObjset:
    return MutableObjset.create(
        engine.zio,
        kind,
        tx=engine.tx,
        writer=engine.writer,
        settings=settings,
        dsize=engine.mos.dsize,
        random_bytes=engine.env.random_bytes,
        flags=flags,
        name=name,
    )


def _adopt(engine: Engine, head: int, objset: MutableObjset, refreservation: int = 0) -> WritableDataset:
    made = WritableDataset(engine.mos, head, objset, engine.features, refreservation=refreservation)
    engine.datasets[head] = made
    engine.tx.note(partial(_drop, engine, head))
    return made


def _drop(engine: Engine, head: int) -> None:
    """A dataset is gone: whoever has it open is told so."""
    opened = engine.datasets.pop(head, None)
    if opened is not None:
        opened.objset.destroyed = True


def create_dataset(engine: Engine, parent: DslDir, short_name: str, origin: int) -> tuple[int, int]:
    """A new directory with an empty head; gives the numbers of both objects.

    Args:
        parent: where. short_name: last part of its name.
        origin: the snapshot ``$ORIGIN@$ORIGIN``.

    Raises:
        ExistsError: the name is taken.
    """
    mos, now = engine.mos, engine.env.now()
    children = MutableZap(mos.dnode(charge.read_dir(mos, parent.obj).child_dir_zapobj))
    if short_name in children:
        raise ExistsError(f"the dataset {parent.name}/{short_name} exists already")
    directory = create_dir(mos, parent.obj, short_name, now=now)
    head = create_head(mos, directory, now=now, guid=engine.env.guid, origin=origin)
    return directory, head


def fill_volume(
    engine: Engine, head: int, name: str, settings: WriteSettings, *, size: int, block: int = VOLBLOCK_DEFAULT,
    refreservation: int = 0,
) -> WritableDataset:  # fmt: skip
    """Give a new head dataset the content of an empty volume.

    Args:
        size: bytes, a multiple of ``block``. block: volblocksize.
        refreservation: bytes it has reserved for itself.

    Raises:
        UsageError: sizes that do not exist.
    """
    if block & (block - 1) or not 512 <= block <= blkptr.MAX_BLOCK:
        raise UsageError("volblocksize is a power of two from 512 bytes to 16 MiB", bytes=block)
    if size <= 0 or size % block:
        raise UsageError("a volume's size is a multiple of its volblocksize", bytes=size, volblocksize=block)
    objset = _new_objset(engine, ObjsetType.ZVOL, name, settings)
    objset.allocate(ObjectType.ZVOL, block_size=block, number=ZVOL_OBJECT)
    zap = create_zap(objset, ObjectType.ZVOL_PROP, objset.random_bytes, number=ZVOL_PROP_OBJECT)
    zap.add("size", size)
    return _adopt(engine, head, objset, refreservation)


def destroy_dataset(engine: Engine, dataset: DslDataset) -> None:
    """Destroy a head dataset that has no snapshots and no children, with all its blocks.

    Raises:
        NotEmptyError: it has snapshots or children. UsageError: it is the pool's root.
        UnsupportedError: it is a clone of a snapshot that is to go with its last clone.
    """
    directory = dataset.dir
    if directory.parent is None:
        raise UsageError("the pool's root dataset goes with the pool", dataset=dataset.name)
    if directory.children():
        raise NotEmptyError(f"{dataset.name} has datasets below it", "destroy them first")
    if dataset.snapshots():
        raise NotEmptyError(f"{dataset.name} has snapshots", "destroy them first")
    if directory.origin is not None and directory.origin.defer_destroy:
        raise UnsupportedError(
            "clones of a snapshot that is to be destroyed with them are not destroyed yet", dataset=dataset.name
        )
    tx = engine.tx
    with tx.lock:
        # What was written in this txg is written for good before it is freed: a walk sees only what is on disk.
        engine.sync()
        with tx.giving_back(exclusive=True):
            _destroy(engine, dataset)
        _drop(engine, dataset.obj)


def _destroy(engine: Engine, dataset: DslDataset) -> None:
    mos, tx, directory = engine.mos, engine.tx, dataset.dir
    phys = charge.read_dataset(mos, dataset.obj)
    for visit in walk(engine.zio, np.frombuffer(phys.bp, dtype=blkptr.BLKPTR), objset_id=dataset.obj):
        bps = visit.bps[visit.bps["birth"] > np.uint64(phys.prev_snap_txg)]
        engine.writer.free(bps, tx.txg)
    _free_log(engine, np.frombuffer(phys.bp, dtype=blkptr.BLKPTR))
    kept = charge.read_dir(mos, directory.obj).used_breakdown[USED_REFRSRV]
    if kept:  # what the head has reserved for itself and not used
        charge.did_use(mos, directory.obj, USED_REFRSRV, Sizes(-kept))
    figures = charge.read_dir(mos, directory.obj)
    gone = Sizes(-figures.used_bytes, -figures.compressed_bytes, -figures.uncompressed_bytes)
    charge.did_use(mos, directory.obj, USED_HEAD, gone)
    if figures.reserved:
        charge.did_use(mos, figures.parent_obj, USED_CHILD_RSRV, Sizes(-figures.reserved))
    drop_livelist(mos, directory.obj, engine.features)
    _forget(engine, dataset)
    deactivate_all(mos, dataset.obj, engine.features)
    _free_objects(engine, dataset)


def _free_log(engine: Engine, bp: blkptr.BpArray) -> None:
    """Free the blocks of an intent log, which are charged to nobody; one that waits for a key may have data, too.

    Args:
        bp: of the object set, which may be a hole.
    """
    if bool(blkptr.is_hole(bp)[0]):
        return
    data = engine.zio.read_one(bp[0], raw=True, what="an object set")
    order = "<" if bool(blkptr.is_little(bp)[0]) else ">"
    header = zil.decode_header(decode_objset(data, order).zil_header, order)
    if not bool(blkptr.is_hole(header.log)):
        engine.writer.free(durable_blocks(engine.zio, header, engine.synced_txg), engine.tx.txg)


def _forget(engine: Engine, dataset: DslDataset) -> None:
    """Take a head out of what refers to it: its origin's lists, its parent's children."""
    mos = engine.mos
    phys = charge.read_dataset(mos, dataset.obj)
    if phys.prev_snap_obj:
        origin = charge.read_dataset(mos, phys.prev_snap_obj)
        if origin.next_clones_obj:
            MutableZap(mos.dnode(origin.next_clones_obj)).remove(f"{dataset.obj:x}")
        charge.write_dataset(mos, phys.prev_snap_obj, charge.one_child_less(origin))
        clones = charge.read_dir(mos, origin.dir_obj).clones
        if clones:
            MutableZap(mos.dnode(clones)).remove(f"{dataset.obj:x}")
    assert dataset.dir.parent is not None
    children = charge.read_dir(mos, dataset.dir.parent.obj).child_dir_zapobj
    MutableZap(mos.dnode(children)).remove(dataset.dir.short_name)


def _free_objects(engine: Engine, dataset: DslDataset) -> None:
    mos = engine.mos
    phys, directory = charge.read_dataset(mos, dataset.obj), charge.read_dir(mos, dataset.dir.obj)
    free_deadlist(mos, phys.deadlist_obj, engine.features)
    for number in (
        phys.snapnames_zapobj, phys.props_obj, dataset.obj,
        directory.child_dir_zapobj, directory.props_zapobj, directory.clones, dataset.dir.obj,
    ):  # fmt: skip
        if number:
            mos.free(number)
