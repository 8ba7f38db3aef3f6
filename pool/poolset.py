"""Properties of a pool that is open for writing: set, inherit, and what is open follows.

The front door is ``WritablePool``; this is what its methods do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from .dmu.mutablezap import MutableZap
from .dsl import props, propwrite
from .dsl.propset import FIXED, Setting, check_inheritable, parse_size, setting
from .dsl.proptable import Types
from .dsl.writesettings import settings_of
from .errors import UsageError
from .ondisk.zplconst import MASTER_NODE_OBJECT
from .spa import datasets, poolprops
from .spa.featureset import PROPERTY
from .spa.historywrite import log_internal
from .spa.space import deflate_ratio

if TYPE_CHECKING:
    from .dsl.dataset import DslDataset
    from .poolwrite import WritablePool
    from .spa.engine import Engine

REFRESERVATION, VOLSIZE = "refreservation", "volsize"
#: For how much metadata a volume's reservation is made. Source: libzfs_dataset.c (``zvol_volsize_to_reservation``).
POINTERS_PER_BLOCK, METADATA_BLOCK, META_LEVELS = 1024, 128 << 10, 7


@contextmanager
def following(pool: WritablePool, name: str) -> Iterator[None]:
    """Properties of a dataset change inside, in one transaction: what is open of it and of those below follows, and
    follows back when it is undone."""
    with pool.transaction(exclusive=True) as tx:
        tx.note(lambda: follow(pool, name))
        yield
        follow(pool, name)


def follow(pool: WritablePool, name: str) -> None:
    """Read the properties of a dataset and of those below it again, as far as they are open."""
    pool.spa.refresh(None)
    pool._rooms = ((0, 0), {})
    engine = pool.engine
    for number, opened in engine.datasets.items():
        if not f"{opened.objset.name}/".startswith(f"{name}/"):
            continue
        dsl = pool.spa.dsl.dataset_by_object(number)
        opened.objset.settings = settings_of(dsl, engine.settings)
        opened.refreservation = reserved_for_head(dsl)
        filesystem = pool._filesystems.get(number)
        if filesystem is not None:
            pool._configure(filesystem, dsl)
        volume = pool._volumes.get(number)
        if volume is not None:
            volume.readonly = props.get(dsl, "readonly").raw == 1
        pool._log(opened, dsl)


def reserved_for_head(dsl: DslDataset) -> int:
    """What a head has reserved for itself, in bytes."""
    value = dsl.dir.stored_properties.get(REFRESERVATION, 0)
    return value if isinstance(value, int) else 0


# --- datasets -----------------------------------------------------------------------------------------------------


def set_property(pool: WritablePool, name: str, prop: str, text: int | str) -> None:
    """``WritablePool.set``."""
    dsl = _head(pool, name)
    types = props.types_of(dsl)
    if prop == REFRESERVATION and text == "auto":
        text = auto_reservation(pool, dsl)
    one = setting(prop, text, types, enabled=pool.engine.features.enabled)
    with following(pool, dsl.name):
        if one.name == VOLSIZE:
            _resize(pool, dsl, int(one.value))
        else:
            apply(pool, dsl, one)
        log_internal(pool.engine, "set", f"{one.name}={one.value}", dsl.name, dsl.obj)


def inherit(pool: WritablePool, name: str, prop: str, *, received: bool = False) -> None:
    """``WritablePool.inherit``."""
    dsl = _head(pool, name)
    whole = check_inheritable(prop)
    with following(pool, dsl.name):
        propwrite.inherit(pool.engine.mos, dsl.dir.obj, whole, received=received)
        log_internal(pool.engine, "inherit", f"{whole}=", dsl.name, dsl.obj)


def _head(pool: WritablePool, name: str) -> DslDataset:
    dsl = pool.dataset(name)._live
    if dsl.is_snapshot:
        raise UsageError(f"properties of snapshots are not set here: {dsl.name}", "set them on the dataset")
    return dsl


def apply(pool: WritablePool, dsl: DslDataset, one: Setting) -> None:
    """Store one property, in a transaction, with what it means for space."""
    mos = pool.engine.mos
    if isinstance(one.value, int):
        if one.name == propwrite.QUOTA:
            propwrite.set_quota(mos, dsl.dir.obj, one.value)
        elif one.name == propwrite.RESERVATION:
            propwrite.set_reservation(mos, dsl.dir, one.value, pool.spa.space.datasets)
        elif one.name == propwrite.REFQUOTA:
            propwrite.check_refquota(mos, dsl.obj, one.value)
        elif one.name == REFRESERVATION:
            before = reserved_for_head(dsl)
            propwrite.set_refreservation(mos, dsl, one.value, before, pool.spa.space.datasets)
    propwrite.store(mos, dsl.dir.obj, [one])


def understand(
    pool: WritablePool, properties: Mapping[str, int | str], types: Types
) -> tuple[list[Setting], dict[str, int]]:
    """Properties of a dataset that is being created: those to be stored, and those that are fixed then.

    Raises: as ``propset.setting``.
    """
    return understand_new(properties, types, pool.engine.features.enabled)


def understand_new(
    properties: Mapping[str, int | str], types: Types, enabled: Callable[[str], bool]
) -> tuple[list[Setting], dict[str, int]]:
    """The same, of a pool that need not be there yet.

    Args:
        enabled: tells whether a feature is enabled.
    """
    stored, fixed = [], {}
    for name, value in properties.items():
        one = setting(name, value, types, enabled=enabled, creating=True)
        if one.name in FIXED:
            fixed[one.name] = int(one.value)
        elif one.name == VOLSIZE or one.name == "volblocksize":
            raise UsageError(f"{one.name} is not given among the properties", "create_volume has an argument for it")
        elif one.name not in ("encryption", "keylocation", "version"):
            stored.append(one)
    if fixed.get("normalization") and fixed.setdefault("utf8only", 1) == 0:
        raise UsageError("utf8only cannot be off where names are normalized", "leave it out")
    return stored, fixed


def inherited_fixed(pool: WritablePool, parent: DslDataset | None, fixed: Mapping[str, int]) -> dict[str, int]:
    """What is fixed at creation, taken from the parent where nothing is said."""
    found: dict[str, int] = {}
    if parent is not None and parent.head_kind == "filesystem":
        # The parent may be so new that it is not on disk yet.
        master = MutableZap(datasets.open_dataset(pool.engine, parent).objset.dnode(MASTER_NODE_OBJECT))
        values = {name: master.get_int(name, 0) for name in FIXED}
        found = {name: value for name, value in values.items() if value}
    return found | dict(fixed)


# --- volumes ------------------------------------------------------------------------------------------------------


def _resize(pool: WritablePool, dsl: DslDataset, size: int) -> None:
    """Make a volume larger or smaller; what lies beyond its new end is freed."""
    engine = pool.engine
    volume = pool._volume(dsl)
    reserved = reserved_for_head(dsl)
    if reserved and reserved == _reservation(engine, dsl, volume.size, volume.volblocksize):
        apply(pool, dsl, Setting(REFRESERVATION, _reservation(engine, dsl, size, volume.volblocksize)))
    volume.resize(size)


def auto_reservation(pool: WritablePool, dsl: DslDataset) -> int:
    """The refreservation that makes sure a volume can be filled.

    Raises:
        UsageError: it is a file system.
    """
    if dsl.head_kind != "volume":
        raise UsageError("refreservation=auto is for volumes", dataset=dsl.name)
    volume = pool._volume(dsl)
    return _reservation(pool.engine, dsl, volume.size, volume.volblocksize)


def _reservation(engine: Engine, dsl: DslDataset, size: int, block: int) -> int:
    copies = props.get(dsl, "copies").raw
    return reservation(engine, size, block, copies if isinstance(copies, int) else 1)


def reservation(engine: Engine, size: int, block: int, copies: int = 1) -> int:
    """Bytes that a full volume takes at most: its data with parity, in all copies, and its metadata."""
    blocks = -(-size // block)
    data = size
    for top in engine.tree.tops:
        if top.ashift and not top.is_log and top.type in ("raidz", "draid"):
            asize = int(engine.tree.asizes(top.id, [block], [0])[0])
            data = max(data, blocks * (asize // 512 * deflate_ratio(engine.tree, top)))
    metadata = META_LEVELS
    while blocks > 1:
        blocks = (blocks + POINTERS_PER_BLOCK - 1) // POINTERS_PER_BLOCK
        metadata += blocks
    return data * copies + metadata * min(3, copies + 1) * METADATA_BLOCK


# --- the pool -----------------------------------------------------------------------------------------------------


def set_pool_property(pool: WritablePool, name: str, text: str) -> list[str]:
    """``WritablePool.set_pool``."""
    engine, spa = pool.engine, pool.spa
    with following(pool, pool.name):
        config, report = spa.config, spa.features

        def undo() -> None:
            spa.config, spa.features = config, report

        engine.tx.note(undo)
        enabled = poolprops.set_property(engine, spa, name, text)
        for feature in enabled:
            log_internal(engine, "set", f"feature@{feature}=enabled")
        if enabled:
            counts = dict(engine.features.counts)
            active = tuple(sorted(engine.features.active()))
            spa.features = replace(report, active=active, refcounts=counts)
        elif not name.startswith(PROPERTY):
            log_internal(engine, "set", f"{name}={text}")
        return enabled


def size_of(text: int | str) -> int:
    """Bytes, given as a number or as ``zfs`` takes sizes."""
    return text if isinstance(text, int) else parse_size(text)
