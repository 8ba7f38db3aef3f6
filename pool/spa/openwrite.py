"""Making an open pool writable: what must hold before anything is written, and the engine that writes.

A pool is written only if everything that a change would have to keep right is known here. What is not is said by name,
all reasons at once, and the pool can still be opened read-only.

Source: OpenZFS, spa.c (``spa_ld_*``), spa_log_spacemap.c.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..alloc.allocator import Allocator
from ..dmu.bpobjwrite import MutableBpobj
from ..dmu.mutableobjset import MutableObjset
from ..dmu.tx import TxManager
from ..dmu.writepolicy import WriteSettings
from ..dsl.featurerefs import FeatureCounts
from ..env import Env
from ..errors import DeviceBusyError, UnsupportedError
from ..ondisk import label
from ..ondisk.features import BY_GUID
from ..ondisk.uberblock import VERSION_FEATURES
from ..vdev.hole import MissingVdev
from ..vdev.indirect import IndirectVdev
from ..zio.compress import Compression
from ..zio.writer import ZioWriter
from . import mos as metadata
from .engine import Engine
from .logs import Logs, txg_after, waiting_logs
from .poolconfig import facts_of, follow_state
from .scanwrite import restart_scan
from .space import allocation_class, dsize_of
from .spacemapstore import NO_SPACE, SpaceMapStore

if TYPE_CHECKING:
    from ..ondisk.features import FeatureReport
    from .spa import Spa

DEFERRED = "sync_bplist"
DEFERRED_STEP = 1 << 14
#: Features whose active use a writer has to keep right, and this one does not yet. Short names.
NOT_WRITTEN = frozenset(
    {
        "zpool_checkpoint",
        "device_removal",
        "obsolete_counts",
        "block_cloning",
        "fast_dedup",
        "raidz_expansion",
        "dynamic_gang_header",
        "physical_rewrite",
    }
)


def obstacles(spa: Spa) -> list[str]:
    """Why the pool cannot be written; empty if it can."""
    found = []
    if spa.version != VERSION_FEATURES:
        found.append(f"it has the on-disk version {spa.version}, and only pools of version 5000 are written")
    if spa.mos.order != "<":
        found.append("it was written by a big-endian machine")
    report = spa.features
    names = [BY_GUID[guid].name for guid in report.active if guid in BY_GUID]
    found += [f"its feature {name} is active" for name in names if name in NOT_WRITTEN]
    found += [f"its feature {guid} is not known" for guid in report.unknown_write]
    if any(name.startswith("DDT-") for name in spa.directory):
        found.append("it has deduplication tables")
    if any(isinstance(top, (IndirectVdev, MissingVdev)) for top in spa.tree.tops):
        found.append("vdevs were removed from it")
    # Without a log device a pool was opened only if its logs may be lost (``missing_log``).
    broken = [top.name for top in spa.tree.tops if not top.readable and not top.is_log]
    if broken:
        found.append(f"more devices are missing than redundancy makes up for, in {', '.join(broken[:8])}")
    if spa.uberblock.multihost:
        found.append("multihost is on, and no heartbeats are written here")
    return found


def check_host(spa: Spa, env: Env) -> None:
    """Refuse a pool that another machine has not let go of.

    Raises:
        DeviceBusyError: it was last in use by another machine and never exported.
    """
    config = spa.candidate.config
    hostid = config.u64("hostid", 0)
    if spa.candidate.state == label.STATE_ACTIVE and hostid and hostid != env.hostid:
        raise DeviceBusyError(
            f"the pool {spa.name!r} was last in use by {config.string('hostname', '') or 'another machine'}"
            f" (hostid {hostid:x}) and was not exported",
            "export it there; or, if that machine is gone, let go of it here: zpool export -f",
        )


def mos_settings(report: FeatureReport, *, has_special: bool = False) -> WriteSettings:
    """How the pool's own blocks are written."""
    return WriteSettings(
        compress_metadata=Compression.LZ4 if report.state("lz4_compress") != "disabled" else Compression.LZJB,
        embed=report.state("embedded_data") != "disabled",
        hole_birth=report.state("hole_birth") != "disabled",
        has_special=has_special,
        mos=True,
    )


def open_for_writing(spa: Spa, env: Env, *, force: bool = False, discard_logs: bool = False) -> tuple[Engine, Logs]:
    """Give an open pool, whose devices are open for writing, its engine. Nothing is written before the first txg.

    Args:
        force: even if another machine has not exported it.
        discard_logs: give up what waits in intent logs.

    Returns:
        the engine, and the logs, which are claimed and have yet to be replayed.

    Raises:
        UnsupportedError: something about the pool that is not written here.
        DeviceBusyError: another machine has not exported it.
    """
    if not force:
        check_host(spa, env)
    reasons = obstacles(spa)
    if reasons:
        raise UnsupportedError(f"the pool cannot be written: {'; '.join(reasons)}", "open it read-only")
    tree = spa.tree
    for leaf in tree.leaves:
        follow_state(leaf)
    logs = waiting_logs(spa)
    tx = TxManager(txg_after(spa, logs))
    biases = {top.id: allocation_class(spa, top) for top in tree.tops if top.type not in NO_SPACE}
    biases = {vdev: cls for vdev, cls in biases.items() if cls in ("special", "dedup")}
    store = SpaceMapStore.load(spa.mos, spa.directory, tree, biases)
    allocator = Allocator(tree, load=store.load_metaslab, classes=store.classes, allocated=store.allocated)
    writer = ZioWriter(spa.zio, allocator, threads=spa.zio.runner.threads)
    mos = MutableObjset(
        spa.zio,
        spa.uberblock.rootbp,
        tx=tx,
        writer=writer,
        settings=mos_settings(spa.features, has_special=store.has_special),
        dsize=dsize_of(tree),
        random_bytes=env.random_bytes,
        name="mos",
    )
    spa.mos = mos
    features = FeatureCounts(
        mos,
        spa.directory.number(metadata.FEATURES_FOR_READ),
        spa.directory.number(metadata.FEATURES_FOR_WRITE),
        spa.features.refcounts,
    )
    store.attach(mos, features)
    facts = replace(facts_of(spa.config).on_host(env), state=label.STATE_ACTIVE)
    engine = Engine(
        env=env,
        tree=tree,
        zio=spa.zio,
        allocator=allocator,
        writer=writer,
        tx=tx,
        mos=mos,
        facts=facts,
        features=features,
        maps=store,
        config_object=spa.directory.number(metadata.CONFIG),
        mos_dir=spa.dsl.special()["$MOS"].obj,
    )
    engine.config_dirty = True
    engine.synced_txg = spa.uberblock.txg
    claimed = Logs(spa, engine, logs, discard=discard_logs)
    engine.first_txg = lambda: _clean_up(spa, engine, claimed)
    spa.notes += claimed.notes
    return engine, claimed


def _clean_up(spa: Spa, engine: Engine, logs: Logs) -> None:
    """In the first txg: claim logs; what the pool's last writer left to be freed, log space maps, a running scan."""
    logs.first_txg()
    engine.maps.fold_logs()
    if restart_scan(engine):
        spa.notes.append("a scrub or resilver was under way: it begins anew when OpenZFS has the pool")
    number = spa.directory.number(DEFERRED, 0)
    if not number:
        return
    waiting = MutableBpobj(engine.mos, number)
    while not waiting.is_empty:
        engine.writer.free(waiting.take(DEFERRED_STEP), engine.tx.txg)
