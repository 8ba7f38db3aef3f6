"""Properties of the pool itself, as ``zpool get all`` shows them.

Source: OpenZFS, zpool_prop.c (names, defaults, values), spa.c (``spa_prop_get``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..dsl.mosobj import byte_string, entries, one_number
from ..ondisk.features import FEATURES
from .checkpoint import has_checkpoint
from .dedup import dedup_totals
from .space import clone_totals

if TYPE_CHECKING:
    from ..dmu.zap import ZapEntry
    from .spa import Spa

Source = Literal["-", "default", "local"]

ON_OFF = ("off", "on")
FAILMODE = ("wait", "continue", "panic")
QUOTA_AUTO = (1 << 64) - 1

#: Properties that are set: name -> (default as text, words for its numbers).
SETTABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "ashift": ("0", ()),
    "autoexpand": ("off", ON_OFF),
    "autoreplace": ("off", ON_OFF),
    "autotrim": ("off", ON_OFF),
    "bootfs": ("-", ()),
    "cachefile": ("-", ()),
    "comment": ("-", ()),
    "compatibility": ("off", ()),
    "dedup_table_quota": ("auto", ()),
    "delegation": ("on", ON_OFF),
    "failmode": ("wait", FAILMODE),
    "listsnapshots": ("off", ON_OFF),
    "multihost": ("off", ON_OFF),
}

#: The order in which ``zpool get all`` shows them; features come behind.
ORDER = (
    "size", "capacity", "altroot", "health", "guid", "version", "bootfs", "delegation", "autoreplace", "cachefile",
    "failmode", "listsnapshots", "autoexpand", "dedupratio", "free", "allocated", "readonly", "ashift", "comment",
    "expandsize", "freeing", "fragmentation", "leaked", "multihost", "checkpoint", "autotrim", "compatibility",
    "bcloneused", "bclonesaved", "bcloneratio", "dedup_table_size", "dedup_table_quota", "last_scrubbed_txg",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PoolProperty:
    """A property: its value as text (numbers exact), and where it comes from."""

    name: str
    value: str
    source: Source = "-"

    def __str__(self) -> str:
        return self.value


def properties(spa: Spa) -> dict[str, PoolProperty]:
    """All properties by name, in OpenZFS's order; features and names of the user's own at the end."""
    known = {name: _computed(spa, name) for name in COMPUTED} | _settable(spa)
    found = {name: known.pop(name) for name in ORDER} | dict(sorted(known.items()))
    if spa.version >= 5000:
        for feature in FEATURES:
            name = f"feature@{feature.name}"
            found[name] = PoolProperty(name, spa.features.state(feature.name), "local")
        for guid in (*spa.features.unknown_unused, *spa.features.unknown_write):
            state = "inactive" if guid in spa.features.unknown_unused else "readonly"
            found[f"unsupported@{guid}"] = PoolProperty(f"unsupported@{guid}", state, "local")
    return found


def get(spa: Spa, name: str) -> PoolProperty | None:
    """One property, without working out the others; None: there is none of that name."""
    if name in COMPUTED:
        return _computed(spa, name)
    if name in SETTABLE:
        return _settable(spa)[name]
    return properties(spa).get(name)


def _computed(spa: Spa, name: str) -> PoolProperty:
    value = COMPUTED[name](spa)
    # These two could be set, and are not.
    unset = value == "-" and name in ("altroot", "version")
    return PoolProperty(name, value, "default" if unset else "-")


def _settable(spa: Spa) -> dict[str, PoolProperty]:
    result = {name: PoolProperty(name, default, "default") for name, (default, _) in SETTABLE.items()}
    number = spa.directory.number("pool_props", 0)
    for name, entry in entries(spa.mos, number, "the pool's properties"):
        if name in SETTABLE or ":" in name:
            result[name] = PoolProperty(name, _text(spa, name, entry), "local")
    for name in ("comment", "compatibility"):
        if isinstance(spa.config.get(name), str):
            result[name] = PoolProperty(name, spa.config[name], "local")
    return result


def _text(spa: Spa, name: str, entry: ZapEntry) -> str:
    if entry.integer_size == 1:
        return byte_string(entry, name).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    number = one_number(entry, f"the pool property {name}")
    if name == "bootfs":
        return spa.dsl.dataset_by_object(number).name if number else "-"
    if name == "dedup_table_quota":
        return {0: "none", QUOTA_AUTO: "auto"}.get(number, str(number))
    words = SETTABLE[name][1] if name in SETTABLE else ()
    return words[number] if number < len(words) else str(number)


def _hundredths(value: int) -> str:
    return f"{value // 100}.{value % 100:02d}"


def _capacity(spa: Spa) -> str:
    return str(spa.space.allocated * 100 // spa.space.size if spa.space.size else 0)


def _fragmentation(spa: Spa) -> str:
    percent = spa.space.fragmentation
    return "-" if percent is None else str(percent)


def _directory_used(name: str) -> Callable[[Spa], str]:
    """Bytes charged to one of the hidden directories for what is on its way out."""

    def used(spa: Spa) -> str:
        number = spa.dsl.root.child_objects.get(name)
        return "0" if number is None else str(spa.dsl.root.child(name).phys.used_bytes)

    return used


def _clone_ratio(spa: Spa) -> str:
    totals = clone_totals(spa)
    return _hundredths((totals.used + totals.saved) * 100 // totals.used if totals.used else 100)


def _health(spa: Spa) -> str:
    return spa.tree.root.state_text


#: Properties that follow from the pool: name -> how.
COMPUTED: dict[str, Callable[[Spa], str]] = {
    "allocated": lambda spa: str(spa.space.allocated),
    "altroot": lambda spa: spa.altroot or "-",
    "bcloneratio": _clone_ratio,
    "bclonesaved": lambda spa: str(clone_totals(spa).saved),
    "bcloneused": lambda spa: str(clone_totals(spa).used),
    "capacity": _capacity,
    "checkpoint": lambda spa: str(spa.space.checkpoint) if has_checkpoint(spa.directory) else "-",
    "dedup_table_size": lambda spa: str(dedup_totals(spa).tables),
    "dedupratio": lambda spa: _hundredths(dedup_totals(spa).ratio_percent),
    "expandsize": lambda spa: "-",  # room on grown devices shows only when a pool is opened for writing
    "fragmentation": _fragmentation,
    "free": lambda spa: str(spa.space.free),
    "freeing": _directory_used("$FREE"),
    "guid": lambda spa: str(spa.guid),
    "health": _health,
    "last_scrubbed_txg": lambda spa: str(spa.directory.number("last_scrubbed_txg", 0)),
    "leaked": _directory_used("$LEAK"),
    "readonly": lambda spa: "on" if spa.readonly else "off",
    "size": lambda spa: str(spa.space.size),
    "version": lambda spa: "-" if spa.version >= 5000 else str(spa.version),
}
