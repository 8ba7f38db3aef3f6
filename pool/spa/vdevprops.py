"""Properties of vdevs, as ``zpool get all POOL VDEV`` shows them.

What was set lies in the vdev's ZAP (root, top-level or leaf) under the property's name. Counters of I/O that only a
running pool has (``read_ops`` and its kin) are left out.

Source: OpenZFS, zpool_prop.c (``vdev_prop_init``), vdev.c (``vdev_prop_get``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..dsl.mosobj import byte_string, entries, one_number
from ..errors import UsageError
from ..ondisk.label import data_size
from ..vdev.leaf import LeafVdev
from ..vdev.raidz import RaidzVdev
from ..vdev.vdev import Vdev
from .leafwork import LEAF_ZAP
from .metaslabs import VDEV_ZAP_TOP
from .properties import PoolProperty

if TYPE_CHECKING:
    from ..dmu.zap import ZapEntry
    from .spa import Spa
    from .space import VdevSpace

ROOT_ZAP = "com.klarasystems:vdev_zap_root"
ALL_VDEVS = "all-vdevs"

ON_OFF = ("off", "on")
#: Properties that are set: name -> (default as text, words for its numbers).
SETTABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "comment": ("-", ()),
    "failfast": ("on", ON_OFF),
    "checksum_n": ("-", ()),
    "checksum_t": ("-", ()),
    "io_n": ("-", ()),
    "io_t": ("-", ()),
    "slow_io_n": ("-", ()),
    "slow_io_t": ("-", ()),
}
#: Those of top-level vdevs only, or of leaves only.
OF_TOPS = {"size", "free", "allocated", "capacity", "fragmentation", "expandsize", "allocating", "removing"}

#: The order in which ``zpool get all`` shows them.
ORDER = (
    "capacity", "state", "guid", "asize", "psize", "ashift", "size", "free", "allocated", "comment", "expandsize",
    "fragmentation", "bootsize", "parity", "path", "devid", "physpath", "encpath", "fru", "parent", "children",
    "numchildren", "read_errors", "write_errors", "checksum_errors", "removing", "allocating", "failfast",
    "checksum_n", "checksum_t", "io_n", "io_t", "raidz_expanding", "slow_io_n", "slow_io_t",
)  # fmt: skip


def vdev_name(vdev: Vdev) -> str:
    """What a vdev is called where properties are shown."""
    return "root-0" if vdev.parent is None else vdev.name


def find_vdevs(spa: Spa, word: str) -> list[Vdev]:
    """The vdevs a user means: by name, path or guid, ``root``, or ``all-vdevs``.

    Raises:
        UsageError: there is none.
    """
    every = list(spa.tree.walk())
    if word == ALL_VDEVS:
        return every
    if word in ("root", "root-0"):
        return every[:1]
    found = [vdev for vdev in every if word in (vdev_name(vdev), str(vdev.guid), *_paths(vdev))]
    if not found:
        advice = f"vdevs are {', '.join(vdev_name(vdev) for vdev in every[:12])}; {ALL_VDEVS} means all of them"
        raise UsageError(f"the pool {spa.name!r} has no vdev {word!r}", advice)
    return found


def _paths(vdev: Vdev) -> Iterator[str]:
    if isinstance(vdev, LeafVdev):
        yield vdev.path
        if vdev.device is not None:
            yield vdev.device.name


def vdev_properties(spa: Spa, vdev: Vdev) -> dict[str, PoolProperty]:
    """All properties of a vdev by name, in OpenZFS's order; names of the user's own at the end.

    Raises:
        CorruptError and others: its ZAP, or the pool's space maps cannot be read.
    """
    values = _computed(spa, vdev)
    known = {name: PoolProperty(name, values[name]) for name in values}
    known |= {name: PoolProperty(name, default, "default") for name, (default, _) in SETTABLE.items()}
    for name, entry in entries(spa.mos, _zap(vdev), f"the ZAP of {vdev_name(vdev)}"):
        if name in SETTABLE or _is_user_property(name):
            known[name] = PoolProperty(name, _text(name, entry), "local")
    return {name: known.pop(name) for name in ORDER if name in known} | dict(sorted(known.items()))


def _zap(vdev: Vdev) -> int:
    """Object with what the pool keeps about a vdev; 0: none."""
    name = ROOT_ZAP if vdev.parent is None else VDEV_ZAP_TOP if vdev.is_top else LEAF_ZAP
    number = vdev.config.get(name, 0)
    return number if isinstance(number, int) else 0


#: Domains under which OpenZFS itself keeps things in the same ZAPs.
_OWN = ("com.delphix:", "org.openzfs:", "org.zfsonlinux:", "com.klarasystems:", "org.illumos:")


def _is_user_property(name: str) -> bool:
    return ":" in name and not name.startswith(_OWN)


def _text(name: str, entry: ZapEntry) -> str:
    if entry.integer_size == 1:
        return byte_string(entry, name).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    number = one_number(entry, f"the vdev property {name}")
    words = SETTABLE[name][1] if name in SETTABLE else ()
    return words[number] if number < len(words) else str(number)


def _computed(spa: Spa, vdev: Vdev) -> dict[str, str]:
    """What follows from the vdev itself; what does not apply to it is ``-``."""
    device = vdev.device if isinstance(vdev, LeafVdev) else None
    words: Callable[[str], str] = lambda name: str(vdev.config.get(name) or "-")  # noqa: E731
    found = {
        "state": vdev.state_text,
        "guid": str(vdev.guid),
        "asize": str(vdev.asize),
        "psize": str(data_size(device.size)) if device is not None else "0",
        "ashift": str(vdev.ashift),
        "bootsize": "-",
        "parity": str(vdev.nparity),
        "path": next(reversed(list(_paths(vdev))), "-") or "-",
        "devid": words("devid"),
        "physpath": words("phys_path"),
        "encpath": words("vdev_enc_sysfs_path"),
        "fru": words("fru"),
        "parent": "-" if vdev.parent is None else vdev_name(vdev.parent),
        "children": ",".join(vdev_name(child) for child in vdev.children) or "-",
        "numchildren": str(len(vdev.children)),
        "read_errors": str(vdev.read_errors),
        "write_errors": str(vdev.write_errors),
        "checksum_errors": str(vdev.checksum_errors),
        "raidz_expanding": ON_OFF[vdev.expanding] if isinstance(vdev, RaidzVdev) else "-",
    }
    return found | _space(spa, vdev)


def _space(spa: Spa, vdev: Vdev) -> dict[str, str]:
    """Figures of top-level vdevs; of the root their sums."""
    found = dict.fromkeys(OF_TOPS, "-")
    tops: list[VdevSpace] = []
    if vdev.parent is None:
        tops = [one for one in spa.space.vdevs if one.cls != "log"]
    elif vdev.is_top:
        tops = [one for one in spa.space.vdevs if one.vdev is vdev]
    if tops:
        size, allocated = sum(one.size for one in tops), sum(one.allocated for one in tops)
        found |= {"size": str(size), "allocated": str(allocated), "free": str(size - allocated)}
        found["capacity"] = str(100 * allocated // size if size else 0)
    if vdev.is_top:
        if tops and tops[0].fragmentation is not None:
            found["fragmentation"] = str(tops[0].fragmentation)
        found["allocating"] = ON_OFF[not vdev.config.get("non_allocating")]
        found["removing"] = ON_OFF[bool(vdev.config.get("removing"))]
    return found
