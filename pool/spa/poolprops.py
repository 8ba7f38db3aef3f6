"""Setting properties of the pool: what they may be, and where each is kept.

Most are entries of one ZAP. Comment and compatibility are in the configuration, so that labels tell them; features
have ZAPs of their own, and enabling one enables what it depends on.

Source: OpenZFS, zpool_prop.c, spa.c (``spa_prop_validate``, ``spa_sync_props``), libzfs_pool.c
(``zpool_valid_proplist``), zfeature.c (``feature_enable_sync``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..dmu.mutablezap import MutableZap, create_zap
from ..dsl.propset import MAX_TEXT, parse_size
from ..errors import NotFoundError, UnsupportedError, UsageError
from ..ondisk.dmutypes import ObjectType
from ..ondisk.features import BY_GUID, BY_NAME
from ..ondisk.nvlist import NVList
from ..vdev.config import MAX_ASHIFT, MIN_ASHIFT
from . import compatsets
from . import mos as metadata
from .featureset import PROPERTY
from .mos import OBJECT_DIRECTORY
from .newmos import ZAP_METADATA
from .properties import COMPUTED, QUOTA_AUTO, SETTABLE

if TYPE_CHECKING:
    from ..dmu.mutableobjset import MutableObjset
    from .engine import Engine
    from .spa import Spa

POOL_PROPS = "pool_props"
ENABLED_TXG = "feature_enabled_txg"
COMMENT_MAX = 32
#: Kept in the configuration; kept by whoever opens the pool.
IN_CONFIG = ("comment", "compatibility")
BY_IMPORT = ("altroot", "readonly", "version")
#: Features that change what is kept about errors as soon as they are enabled.
ERROR_LOG = "head_errlog"


def understand(name: str, text: str) -> int | str:
    """What a pool property is to be stored as.

    Raises:
        UsageError: unknown, read-only, or no value it can have.
    """
    if name in BY_IMPORT:
        what = "pools are made and written with version 5000" if name == "version" else "it is said at import"
        raise UsageError(f"{name} cannot be set: {what}")
    if name not in SETTABLE:
        if name in COMPUTED:
            raise UsageError(f"{name} is read-only")
        return _users_own(name, text)
    words = SETTABLE[name][1]
    if words:
        if text not in words:
            raise UsageError(f"{name} cannot be {text!r}", f"values: {' | '.join(words)}")
        return words.index(text)
    if name == "ashift":
        number = parse_size(text, name)
        if number and not MIN_ASHIFT <= number <= MAX_ASHIFT:
            raise UsageError(f"ashift is 0 or a number from {MIN_ASHIFT} to {MAX_ASHIFT}", value=text)
        return number
    if name == "dedup_table_quota":
        fixed = {"none": 0, "auto": QUOTA_AUTO}
        return fixed[text] if text in fixed else parse_size(text, name)
    if name == "comment":
        if len(text) > COMMENT_MAX or not (text.isascii() and (text.isprintable() or not text)):
            raise UsageError(f"a comment has at most {COMMENT_MAX} printable ASCII characters", value=text[:80])
    elif name == "compatibility":
        compatsets.load(text)
    return text


def _users_own(name: str, text: str) -> str:
    if ":" not in name or "$" in name or len(name) >= 256:
        raise UsageError(f"no pool property is called {name!r}", "names of your own contain a colon")
    if len(text.encode("utf-8", "surrogateescape")) >= MAX_TEXT:
        raise UsageError(f"the value of {name} is too long", bytes=len(text))
    return text


def set_property(engine: Engine, spa: Spa, name: str, text: str) -> list[str]:
    """Set a pool property, in a transaction; gives the short names of features that were enabled with it.

    Raises: as ``understand``; NotFoundError: ``bootfs`` is no dataset. UnsupportedError: ``cachefile``, which is no
        property of the pool on disk.
    """
    if name.startswith(PROPERTY):
        return enable(engine, spa, name, text)
    value = understand(name, text)
    if name == "cachefile":
        raise UnsupportedError("cachefile is said to the command that opens the pool", property=name)
    if name in IN_CONFIG:
        before = engine.facts
        engine.tx.note(lambda: setattr(engine, "facts", before))
        shown = None if value in ("", compatsets.OFF) else str(value)
        engine.facts = replace(before, comment=shown) if name == "comment" else replace(before, compatibility=shown)
        engine.config_dirty = True
        spa.config = renamed(spa.config, name, shown)
        return []
    if name == "bootfs":
        value = _bootfs(spa, text)
    put(engine.mos, {name: value})
    return []


def renamed(config: NVList, name: str, text: str | None) -> NVList:
    """A configuration with one pair changed; None: taken out."""
    changed = NVList()
    for pair in config:
        if pair != name:
            changed.add(pair, config[pair], config.types.get(pair))
    if text is not None:
        changed.add(name, text)
    return changed


def put(mos: MutableObjset, values: Mapping[str, int | str]) -> None:
    """Entries of the ZAP of pool properties, which is made if need be."""
    directory = MutableZap(mos.dnode(OBJECT_DIRECTORY))
    number = directory.get_int(POOL_PROPS, 0)
    if number:
        zap = MutableZap(mos.dnode(number))
    else:
        zap = create_zap(mos, ObjectType.POOL_PROPS, mos.random_bytes)
        directory.add(POOL_PROPS, zap.dnode.number)
    for name, value in values.items():
        if isinstance(value, str):
            zap.update(name, value.encode("utf-8", "surrogateescape") + b"\0", int_size=1)
        else:
            zap.update(name, value)


def _bootfs(spa: Spa, text: str) -> int:
    if text in ("", "-", "none"):
        return 0
    if text.partition("/")[0] != spa.name or "@" in text:
        raise UsageError(f"bootfs is a file system of this pool, not {text!r}")
    head = spa.dsl.directory_of(text).head
    if head is None:
        raise NotFoundError(f"dataset {text} does not exist")
    if head.head_kind != "filesystem":
        raise UsageError(f"bootfs is a file system, and {text} is a volume")
    return head.obj


def enable(engine: Engine, spa: Spa, name: str, text: str) -> list[str]:
    """Enable a feature, in a transaction; gives what was not enabled before: it, and what it depends on.

    Raises:
        UsageError: unknown, or another value than ``enabled``. UnsupportedError: it would change a log that is there.
    """
    short = name.removeprefix(PROPERTY)
    feature = BY_NAME.get(short) or BY_GUID.get(short)
    if feature is None:
        raise UsageError(f"feature {short!r} is not known", property=name)
    if text != "enabled":
        raise UsageError(f"{name} of a pool that is there can only be set to 'enabled'", value=text)
    if feature.name == ERROR_LOG and any(spa.directory.number(log, 0) for log in ("errlog_last", "errlog_scrub")):
        raise UnsupportedError("the pool remembers errors in the old form", "scrub and clear it first", property=name)
    directory = MutableZap(engine.mos.dnode(OBJECT_DIRECTORY))
    if feature.name == "enabled_txg" or "enabled_txg" in feature.depends or engine.features.enabled("enabled_txg"):
        stamps = directory.get_int(ENABLED_TXG, 0)
        if not stamps:
            zap = create_zap(engine.mos, ZAP_METADATA, engine.mos.random_bytes)
            directory.add(ENABLED_TXG, zap.dnode.number)
            stamps = zap.dnode.number
    else:
        stamps = 0
    texts = directory.get_int(metadata.FEATURE_DESCRIPTIONS)
    done = engine.features.enable(feature.name, texts, stamps)
    if done:
        engine.follow_features()
    return done

