"""Creating a pool: provisional labels, the first object set, the first txg.

Until the first uberblock is written the devices belong to no pool: their labels say txg 0. A crash before that leaves
nothing that could be imported.

Source: OpenZFS, spa.c (``spa_create``), vdev_label.c (``vdev_label_init``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..alloc.allocator import Allocator
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap
from ..dmu.tx import TxManager
from ..dmu.writepolicy import WriteSettings
from ..dsl import propwrite
from ..dsl.create import TXG_INITIAL
from ..dsl.featurerefs import FeatureCounts
from ..dsl.pool import DslPool
from ..dsl.propset import Setting
from ..dsl.writesettings import settings_of
from ..env import Env
from ..errors import DeviceError
from ..ondisk.features import BY_GUID
from ..ondisk.nvlist import NVList
from ..ondisk.objset import ObjsetType
from ..ondisk.uberblock import VERSION_FEATURES
from ..vdev import labels
from ..zio.compress import Compression
from ..zio.reader import Zio
from ..zio.writer import ZioWriter
from . import mos as metadata
from . import poolconfig, poolprops
from .datasets import fill_filesystem
from .engine import Engine
from .historywrite import log_command, log_internal
from .moswrite import create_packed
from .newmos import NewMos, build_mos
from .newvdevs import NewVdevs
from .poolconfig import PoolFacts
from .space import dsize_of
from .spacemapstore import SpaceMapStore
from .vdevzaps import create_vdev_zaps

SALT_SIZE = 32


@dataclass(frozen=True, slots=True)
class NewPool:
    """What a new pool is to be.

    Attributes:
        name: of the pool.
        vdevs: its devices, open for writing.
        features: short names of features to be enabled, dependencies before those that need them.
        properties: of the pool, as they are stored. dataset_properties: of the root dataset.
        owner: uid, gid and mode of the root dataset's root directory.
        command: that makes it, for its history.
    """

    name: str
    vdevs: NewVdevs
    features: tuple[str, ...]
    properties: Mapping[str, int | str] = field(default_factory=dict)
    dataset_properties: Sequence[Setting] = ()
    fixed: Mapping[str, int] = field(default_factory=dict)
    comment: str | None = None
    compatibility: str | None = None
    owner: tuple[int, int, int] = (0, 0, 0o040755)
    command: str = ""


def create(new: NewPool, env: Env, *, threads: int = 1) -> Engine:
    """Make a pool and write its first txg.

    Args:
        new: what it is to be.
        env: clock, randomness, host.
        threads: that share large writes.

    Raises:
        DeviceError: a device cannot be written. NoSpaceError: the devices are too small.
    """
    tree = new.vdevs.tree
    facts = PoolFacts(
        name=new.name, guid=tree.root.guid, comment=new.comment, compatibility=new.compatibility
    ).on_host(env)
    _provisional(new.vdevs, facts)
    zio = Zio(tree, threads=threads)
    store = SpaceMapStore.new(tree, new.vdevs.biases)
    allocator = Allocator(tree, classes=store.classes)
    writer = ZioWriter(zio, allocator, threads=threads)
    tx = TxManager(TXG_INITIAL)
    salt = env.random_bytes(SALT_SIZE)
    zio.salt = salt
    mos = MutableObjset.create(
        zio,
        ObjsetType.META,
        tx=tx,
        writer=writer,
        settings=first_settings(new.features, has_special=store.has_special),
        dsize=dsize_of(tree),
        random_bytes=env.random_bytes,
        meta_levels=1,
        name="mos",
    )
    with tx.transaction():
        made = build_mos(mos, features=new.features, now=env.now(), guid=env.guid, salt=salt)
        features = FeatureCounts(mos, made.features_read, made.features_write, made.counts)
        directory = MutableZap(mos.dnode(metadata.OBJECT_DIRECTORY))
        config = create_packed(mos, NVList())
        directory.add(metadata.CONFIG, config)
        store.attach(mos, features)
        root_zap = features.enabled("vdev_zaps_v2")
        create_vdev_zaps(mos, directory, tree, new.vdevs.biases, root=root_zap)
        if root_zap:
            features.add("vdev_zaps_v2")
        _aux_lists(mos, directory, new)
        _properties(mos, new, made)
        for guid, count in new.vdevs.feature_counts.items():
            features.add(BY_GUID[guid].name, count)
        facts = facts.with_features(features.active())
        engine = Engine(
            env=env, tree=tree, zio=zio, allocator=allocator, writer=writer, tx=tx, mos=mos, facts=facts,
            features=features, maps=store, config_object=config, mos_dir=made.mos_dir,
        )  # fmt: skip
        engine.config_dirty = True
        _root_dataset(engine, new, made)
        release = f"pool version {VERSION_FEATURES}; software version uberblock; uts {env.hostname}"
        log_internal(engine, "create", release)
        if new.command:
            log_command(engine, new.command)
    engine.sync()
    return engine


def first_settings(features: Iterable[str], *, has_special: bool) -> WriteSettings:
    """How the MOS of a new pool is written."""
    known = set(features)
    return WriteSettings(
        compress_metadata=Compression.LZ4 if "lz4_compress" in known else Compression.LZJB,
        embed="embedded_data" in known,
        hole_birth="hole_birth" in known,
        has_special=has_special,
        mos=True,
    )


def _root_dataset(engine: Engine, new: NewPool, made: NewMos) -> None:
    """The file system that has the pool's name."""
    dsl = DslPool(engine.mos, new.name)
    head = dsl.root.head
    assert head is not None
    settings = settings_of(head, engine.settings)
    fill_filesystem(engine, made.root_head, new.name, settings, owner=new.owner, fixed=new.fixed)


def _provisional(new: NewVdevs, facts: PoolFacts) -> None:
    """Labels that belong to no pool yet, on all devices. Spares and caches have their final ones with it."""
    leaves = new.tree.leaves
    failures = labels.write_provisional(
        leaves, lambda leaf: poolconfig.provisional_label(facts, leaf, TXG_INITIAL), blank_start=True
    )
    failures += labels.write_provisional(new.spares, partial(poolconfig.aux_label, cache=False))
    failures += labels.write_provisional(new.cache, partial(poolconfig.aux_label, cache=True))
    failures += labels.flush([*leaves, *new.spares, *new.cache])
    if failures:
        first = failures[0]
        raise DeviceError(
            "a label cannot be written", "see what is wrong with the device",
            device=first.leaf.path, errno=next(iter(first.errors.values())),
        )  # fmt: skip


def _aux_lists(mos: MutableObjset, directory: MutableZap, new: NewPool) -> None:
    for name, leaves in (("spares", new.vdevs.spares), ("l2cache", new.vdevs.cache)):
        if leaves:
            directory.add(name, create_packed(mos, poolconfig.aux_list(name, leaves)))


def _properties(mos: MutableObjset, new: NewPool, made: NewMos) -> None:
    if new.properties:
        poolprops.put(mos, new.properties)
    if new.dataset_properties:
        propwrite.store(mos, made.root_dir, new.dataset_properties)
