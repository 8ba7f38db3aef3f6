"""Making pools, and opening those that are there for writing: the front door of ``poolwrite``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .device.cachemode import cache_mode
from .dsl.propset import Setting
from .dsl.proptable import Types
from .env import Env
from .errors import ExistsError, NotFoundError, UsageError
from .poolset import understand_new
from .poolwrite import DIRTY_MAX, TXG_SECONDS, WritablePool
from .spa.compatsets import Compatibility
from .spa.compatsets import load as load_compatibility
from .spa.create import NewPool, create
from .spa.featureset import PROPERTY, FeatureChoice, choose
from .spa.importer import ImportOptions, load
from .spa.newvdevs import NewOptions, NewVdevs, new_vdevs
from .spa.poolnames import check_pool_name
from .spa.poolprops import understand
from .spa.scan import scan_all
from .spa.vdevspec import Place, parse_for_create
from .zio.workers import workers

#: What a layout is made of: words of ``zpool create``, paths, devices.
Layout = Sequence[Place] | str

#: Properties of the root dataset that ask something of the pool's space.
LIMITS = ("quota", "reservation", "refreservation")


def create_pool(
    name: str,
    layout: Layout,
    *,
    size: int | None = None,
    ashift: int = 0,
    force: bool = False,
    features: Mapping[str, str] | None = None,
    compatibility: Compatibility | None = None,
    no_features: bool = False,
    properties: Mapping[str, int | str] | None = None,
    dataset_properties: Mapping[str, int | str] | None = None,
    fixed: Mapping[str, int] | None = None,
    owner: tuple[int, int, int] = (0, 0, 0o040755),
    command: str = "",
    options: NewOptions | None = None,
    env: Env | None = None,
    threads: int = 0,
    txg_seconds: float = TXG_SECONDS,
    dirty_max: int = DIRTY_MAX,
    cache: str = "writeback",
) -> WritablePool:
    """Make a pool and open it for writing.

    Args:
        name: of the pool.
        layout: vdevs in the words of ``zpool create``: ``["raidz2", "a.img", "b.img", ...]``; ``Device`` objects may
            stand wherever a path may.
        size: bytes of files that do not exist yet.
        ashift: log2 of the sector size; 0: 12, or more if a device has larger sectors.
        force: use devices that only look as if they were in use, and mixed redundancy.
        features: ``feature@NAME`` -> ``enabled`` or ``disabled``. compatibility: a set of features; without it the
            one that the property of this name asks for. no_features: enable none that is not named.
        properties, dataset_properties: of the pool and of its root dataset, in the words of ``zpool create``, or as
            they are stored (numbers).
        command: is put into the pool's history. fixed: of the root dataset: normalization, utf8only, casesensitivity.
        owner: uid, gid and mode of the root dataset's root directory.
        options: in place of ``size``, ``ashift`` and ``force``: all that can be said of new devices.
        env: clock, randomness, host; without it the real ones.
        threads: that share large reads and writes; 0: one for each processor, four at most.
        txg_seconds: after so long an open txg is written; 0: only when asked, or when enough waits.
        dirty_max: bytes that may wait to be written; at half of it a txg is written early.
        cache: of files and disks, see ``import_pool``.

    Raises:
        SpecError, PoolNameError: what was asked for is refused. DeviceError: a device cannot be opened or written.
        NoSpaceError: the pool is smaller than what is to be reserved.
    """
    check_pool_name(name)
    mode = cache_mode(cache)
    env, threads = env or Env.host(), workers(threads)
    words = [layout] if isinstance(layout, str) else list(layout)
    plan = plan_pool(properties or {}, dataset_properties or {}, features or {}, compatibility, none=no_features)
    if options is None:
        options = NewOptions(size=size, ashift=ashift or plan.ashift, force=force)
    vdevs = new_vdevs(parse_for_create(words), env, options)
    try:
        new = NewPool(
            name,
            vdevs,
            tuple(feature.name for feature in plan.choice.features),
            properties=plan.stored,
            dataset_properties=plan.dataset,
            fixed={**plan.fixed, **(fixed or {})},
            comment=plan.comment,
            compatibility=plan.compatibility,
            owner=owner,
            command=command,
        )
        engine = create(new, env, threads=threads)
        engine.writer.close()
        engine.zio.close()
    except BaseException:
        vdevs.discard()
        raise
    places = _places(vdevs)
    for device in vdevs.owned:
        device.close()
    made = open_pool(
        vdevs.tree.root.guid, places, env=env, threads=threads, txg_seconds=txg_seconds, dirty_max=dirty_max,
        options=ImportOptions(threads=threads, keep_paths=bool(options.label_paths), cache=mode),
    )  # fmt: skip
    _limit(made, vdevs, plan.limits)
    return made


def _limit(pool: WritablePool, vdevs: NewVdevs, limits: Sequence[Setting]) -> None:
    """Whether the root dataset's limits can be kept shows when there is a pool; if not, there is none."""
    try:
        for one in limits:
            pool.set(pool.name, one.name, one.value)
    except BaseException:
        pool.destroy_pool()
        vdevs.discard()
        raise


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a new pool's properties come to: those that are stored, and those that are kept elsewhere."""

    choice: FeatureChoice
    stored: Mapping[str, int | str]
    dataset: Sequence[Setting]
    limits: Sequence[Setting]
    fixed: Mapping[str, int]
    ashift: int
    comment: str | None
    compatibility: str | None


def plan_pool(
    properties: Mapping[str, int | str],
    dataset_properties: Mapping[str, int | str],
    features: Mapping[str, str] | None = None,
    compatibility: Compatibility | None = None,
    *,
    none: bool = False,
) -> PoolPlan:
    """Understand the properties of a new pool and its root dataset; refuse what cannot be.

    Raises:
        UsageError: unknown, or no value it can have. UnsupportedError: not written here.
    """
    wanted = dict(features or {})
    wanted |= {name: str(value) for name, value in properties.items() if name.startswith(PROPERTY)}
    stored: dict[str, int | str] = {}
    for name, value in properties.items():
        if not name.startswith(PROPERTY) and not (name == "version" and str(value) == "5000"):
            stored[name] = value if isinstance(value, int) else understand(name, value)
    if stored.get("bootfs"):
        raise UsageError("bootfs can be set when the pool is there", "set it later")
    comment, named = stored.pop("comment", None), stored.pop("compatibility", None)
    stored.pop("bootfs", None)
    stored.pop("cachefile", None)
    if compatibility is None and named is not None:
        compatibility = load_compatibility(str(named))
    choice = choose(wanted, compatibility, none=none)
    settings, fixed = understand_new(dataset_properties, Types.FILESYSTEM, choice.names.__contains__)
    limits = [one for one in settings if one.name in LIMITS]
    settings = [one for one in settings if one.name not in LIMITS]
    ashift = stored.get("ashift", 0)
    return PoolPlan(
        choice, stored, settings, limits, fixed, ashift if isinstance(ashift, int) else 0,
        str(comment) if comment else None, None if named in (None, "", "off") else str(named),
    )  # fmt: skip


def _places(vdevs: NewVdevs) -> list[Place]:
    return [one.path if one.owned else one.device for one in vdevs.opened]


def open_pool(
    name: str | int | None,
    search: Sequence[Place],
    *,
    env: Env | None = None,
    options: ImportOptions | None = None,
    threads: int = 0,
    txg_seconds: float = TXG_SECONDS,
    dirty_max: int = DIRTY_MAX,
    force: bool = False,
    cache: str = "writeback",
    discard_logs: bool = False,
) -> WritablePool:
    """Open a pool for writing. What intent logs have promised is made again first.

    Args:
        name: its name or guid; None: the only one that is found.
        search: folders, images, devices, ``Device`` objects.
        force: even if another machine has not exported it.
        threads: as for ``create_pool``. cache: of files and disks, see ``import_pool``. ``options`` in full have their
            own.
        discard_logs: give up what waits in intent logs, instead of replaying it.

    Raises:
        NotFoundError, ExistsError; UnsupportedError: something about the pool that is not written here.
        DeviceBusyError: somebody else has it open.
    """
    env = env or Env.host()
    options = options or ImportOptions(threads=workers(threads), cache=cache_mode(cache))
    found = scan_all([os.fspath(place) if isinstance(place, os.PathLike) else place for place in search]).candidates
    wanted = [one for one in found if name is None or name == one.name or str(name) == str(one.guid)]
    if not wanted:
        raise NotFoundError(f"no pool {name!r} there" if name is not None else "no pool there")
    if len(wanted) > 1:
        raise ExistsError("more than one pool could be meant", "open it by its guid")
    spa = load(wanted[0], readonly=False, options=options)
    try:
        return WritablePool(
            spa, env, txg_seconds=txg_seconds, dirty_max=dirty_max, force=force, discard_logs=discard_logs
        )
    except BaseException:
        spa.close()
        raise
