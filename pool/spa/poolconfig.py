"""The configuration nvlists of a pool, made from what is in memory: for labels, for the MOS, for the cache file.

What a vdev's configuration says lives in ``Vdev.config`` (an ``NVList``; change it with ``set_pair``), apart from what
the tree itself knows better: ids, address space, the shape. Pairs are written in OpenZFS's order, so that a
configuration it wrote comes out of here as the same bytes; pairs this package does not know are kept.

A label describes the leaf's own top-level vdev only. The MOS and the cache file have the whole tree, and they alone
name the vdevs' ZAP objects.

Source: OpenZFS, spa_config.c (``spa_config_generate``), vdev_label.c (``vdev_config_generate``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..env import Env
from ..errors import CorruptError, PoolError
from ..ondisk import label
from ..ondisk.features import BY_GUID
from ..ondisk.nvlist import NVList, NvType
from ..ondisk.uberblock import VERSION_FEATURES
from ..vdev.draid import DspareVdev
from ..vdev.hole import HoleVdev
from ..vdev.indirect import IndirectVdev
from ..vdev.leaf import LeafVdev
from ..vdev.state import VdevAux, VdevState
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev

#: Pairs of a vdev in the order OpenZFS writes them; those it does not know come before ``children``.
VDEV_PAIRS = (
    "type", "id", "guid", "top_guid", "path", "devid", "phys_path", "vdev_enc_sysfs_path", "fru",
    # raidz and draid
    "nparity", "raidz_expanding", "raidz_expand_txgs", "draid_ndata", "draid_nspares", "draid_ngroups",
    "draid_nchildren", "spareid",
    "whole_disk", "rotational", "not_present", "is_spare",
    # top-level vdevs
    "metaslab_array", "metaslab_shift", "ashift", "asize", "min_alloc", "is_log", "non_allocating", "removing",
    "DTL", "com.delphix:indirect_object", "com.delphix:indirect_births", "com.delphix:prev_indirect_vdev",
    "create_txg", "expansion_time",
    "com.delphix:vdev_zap_leaf", "com.delphix:vdev_zap_top", "com.klarasystems:vdev_zap_root",
    "com.datto:resilver_defer",
)  # fmt: skip
VDEV_LAST = (
    "children", "offline", "resilver_txg", "rebuild_txg", "faulted", "degraded", "removed", "unspare", "is_hole",
    "aux_state", "orig_guid",
)  # fmt: skip
#: Pairs that only the MOS's (and the cache file's) tree has.
MOS_ONLY = (
    "com.delphix:vdev_zap_leaf", "com.delphix:vdev_zap_top", "com.klarasystems:vdev_zap_root",
    "com.datto:resilver_defer",
)  # fmt: skip
ALLOCATION_BIAS = "alloc_bias"  # on disk the class of a vdev is in its top ZAP, never in a configuration

HAS_VDEV_ZAPS = "com.delphix:has_per_vdev_zaps"
#: Pairs of the pool that are made anew each time, or belong to one leaf.
_MADE = (
    "version", "name", "state", "txg", "pool_guid", "errata", "comment", "compatibility", "hostid", "hostname",
    "top_guid", "guid", "is_spare", "is_log", HAS_VDEV_ZAPS, "hole_array", "vdev_children", "vdev_tree",
    "features_for_read", "create_txg",
)  # fmt: skip
_AUX_STATES = {VdevAux.ERR_EXCEEDED: "err_exceeded", VdevAux.EXTERNAL: "external"}
_BEFORE_NAMES = ("min_alloc", "max_alloc")  # OpenZFS 2.4; behind the errata
_SPLIT = "split"  # only in the MOS
_SPLIT_GUID = "split_guid"


@dataclass(frozen=True)
class PoolFacts:
    """What a configuration says of the pool as a whole.

    Attributes:
        features: guids of active features that a reader must know before it can open devices and MOS.
        vdev_zaps: the pool has a ZAP for each vdev (the MOS says so in a pair).
        more: pairs this package does not know, and those it only keeps.
    """

    name: str
    guid: int
    version: int = VERSION_FEATURES
    state: int = label.STATE_ACTIVE
    errata: int | None = 0  # None: the configuration has no such pair (old pools)
    comment: str | None = None
    compatibility: str | None = None
    hostid: int = 0
    hostname: str | None = ""
    features: tuple[str, ...] = ()
    vdev_zaps: bool = True
    more: NVList = field(default_factory=NVList, repr=False)

    def on_host(self, env: Env) -> PoolFacts:
        """The same pool, held by this host."""
        return replace(self, hostid=env.hostid, hostname=env.hostname)

    def with_features(self, active: Iterable[str]) -> PoolFacts:
        """The same pool with the label features among these active guids; those already named keep their place."""
        wanted = [guid for guid in active if guid in BY_GUID and BY_GUID[guid].label]
        kept = [guid for guid in self.features if guid in wanted or guid not in BY_GUID]
        return replace(self, features=(*kept, *(guid for guid in wanted if guid not in kept)))


def facts_of(config: NVList) -> PoolFacts:
    """What the configuration in the MOS (or a label) says of the pool.

    Raises:
        CorruptError: a pair is missing or of the wrong type.
    """
    more = NVList()
    for name in config:
        if name not in _MADE:
            more.add(name, config[name], config.types.get(name))
    return PoolFacts(
        name=config.string("name"),
        guid=config.u64("pool_guid"),
        version=config.u64("version"),
        state=config.u64("state"),
        errata=config.u64("errata") if "errata" in config else None,
        comment=config.string("comment") if "comment" in config else None,
        compatibility=config.string("compatibility") if "compatibility" in config else None,
        hostid=config.u64("hostid", 0),
        hostname=config.string("hostname") if "hostname" in config else None,
        features=tuple(config.nvlist("features_for_read", NVList())),
        vdev_zaps=HAS_VDEV_ZAPS in config,
        more=more,
    )


def mos_config(facts: PoolFacts, tree: VdevTree, txg: int) -> NVList:
    """The configuration as object ``config`` of the MOS has it; the cache file has the same."""
    config = _head(facts, txg)
    _keep(config, facts.more, (_SPLIT,))
    if facts.vdev_zaps:
        config.add(HAS_VDEV_ZAPS, True, NvType.BOOLEAN)
    _tail(config, facts, tree, vdev_config(tree.root, mos=True))
    return config


def label_maker(facts: PoolFacts, txg: int, *, create_txg: int | None = None) -> Callable[[LeafVdev], NVList]:
    """What ``vdev/labels.py`` wants to know: the configuration for each leaf's labels, all of one moment.

    Args:
        create_txg: for provisional labels: ``txg`` is 0 then.

    The leaves of a top-level vdev share its nvlist, so use it for one round of writing and do not keep it.
    """
    trees: dict[int, NVList] = {}

    def make(leaf: LeafVdev) -> NVList:
        top = leaf.top
        if top.id not in trees:
            trees[top.id] = vdev_config(top)
        config = _label(facts, leaf, 0 if create_txg is not None else txg, trees[top.id])
        if create_txg is not None:
            config["create_txg"] = create_txg
        return config

    return make


def label_config(facts: PoolFacts, leaf: LeafVdev, txg: int) -> NVList:
    """The configuration for the labels of one leaf of the tree."""
    return _label(facts, leaf, txg, vdev_config(leaf.top))


def _label(facts: PoolFacts, leaf: LeafVdev, txg: int, vdevs: NVList) -> NVList:
    config = _head(facts, txg)
    config["top_guid"] = leaf.top.guid
    config["guid"] = leaf.guid
    if _flag(leaf, "is_spare"):
        config["is_spare"] = 1
    if leaf.is_log:
        config["is_log"] = 1
    _tail(config, facts, leaf.tree, vdevs)
    return config


def provisional_label(facts: PoolFacts, leaf: LeafVdev, create_txg: int) -> NVList:
    """The label of a leaf that is about to join the pool: txg 0, so that it belongs to nothing until the first sync.

    ``create_txg``: the txg it joins in; it shows where one device was given twice.
    """
    return label_maker(facts, 0, create_txg=create_txg)(leaf)


def aux_label(leaf: LeafVdev, *, cache: bool, version: int = VERSION_FEATURES) -> NVList:
    """The label of a spare or a cache device that is not in use."""
    config = NVList({"version": version, "state": label.STATE_L2CACHE if cache else label.STATE_SPARE})
    config["guid"] = leaf.guid
    if cache:
        config["ashift"] = leaf.config.get("ashift", 0)
    for name in ("path", "devid", "phys_path", "vdev_enc_sysfs_path"):
        if isinstance(leaf.config.get(name), str):
            config[name] = leaf.config[name]
    return config


def aux_list(name: str, leaves: Sequence[LeafVdev]) -> NVList:
    """Content of the MOS object ``spares`` or ``l2cache``.

    Args:
        leaves: as ``VdevTree.aux`` makes them.
    """
    entries = [_aux_entry(leaf) for leaf in leaves]
    result = NVList()
    result.add(name, entries, NvType.NVLIST_ARRAY)
    return result


def _aux_entry(leaf: LeafVdev) -> NVList:
    entry = NVList()
    order = _order(leaf)
    known = (*order[: order.index("is_spare") + 1], "ashift", "asize")
    # A distributed spare names its vdev; other spares and caches have no place in the tree.
    skip = {"id"} if isinstance(leaf, DspareVdev) else {"id", "top_guid"}
    _copy(entry, leaf, [name for name in known if name not in skip])
    rest = [name for name in leaf.config if name not in VDEV_PAIRS and name not in entry]
    _copy(entry, leaf, rest)
    return entry


def vdev_config(vdev: Vdev, *, mos: bool = False) -> NVList:
    """The nvlist of a vdev and all below it.

    Args:
        mos: for the MOS or the cache file, not for a label.
    """
    result = NVList()
    known = [name for name in _order(vdev) if mos or name not in MOS_ONLY]
    _copy(result, vdev, known)
    dropped = {*VDEV_PAIRS, *VDEV_LAST, ALLOCATION_BIAS}
    _copy(result, vdev, [name for name in vdev.config if name not in dropped])
    if vdev.children or isinstance(vdev, IndirectVdev):  # of a removed vdev: an empty array
        below = [vdev_config(child, mos=mos) for child in vdev.children]
        result.add("children", below, NvType.NVLIST_ARRAY)
    _copy(result, vdev, VDEV_LAST[1:])
    return result


def _order(vdev: Vdev) -> Sequence[str]:
    """The order of its pairs: a distributed spare names its top-level vdev behind its path."""
    if not isinstance(vdev, DspareVdev):
        return VDEV_PAIRS
    rest = [name for name in VDEV_PAIRS if name != "top_guid"]
    at = rest.index("spareid")
    return [*rest[:at], "top_guid", *rest[at:]]


def _copy(into: NVList, vdev: Vdev, names: Iterable[str]) -> None:
    """Take these pairs of a vdev, what the tree knows better from the tree."""
    live: dict[str, Any] = {"type": vdev.type, "guid": vdev.guid}
    if vdev.parent is not None or vdev.type == "root":
        live["id"] = vdev.id
    if vdev.is_top and not isinstance(vdev, HoleVdev) and "ashift" in vdev.config:
        live |= {"ashift": vdev.ashift, "asize": vdev.asize}
    if isinstance(vdev, LeafVdev) and "path" in vdev.config:
        live["path"] = vdev.path
    types = vdev.config.types if isinstance(vdev.config, NVList) else {}
    for name in names:
        value = live.get(name, vdev.config.get(name))
        if value is not None:
            into.add(name, value, types.get(name))


def set_pair(vdev: Vdev, name: str, value: Any, type: NvType | None = None) -> None:
    """Change what a vdev's configuration says; ``None`` takes the pair away.

    Raises:
        PoolError: the tree was not built from an nvlist of its own.
    """
    if not isinstance(vdev.config, NVList):
        raise PoolError("this vdev's configuration cannot be changed", vdev=vdev.name)
    if value is None:
        vdev.config.pop(name, None)
    elif name in vdev.config and type is None:
        vdev.config[name] = value
    else:
        vdev.config.add(name, value, type)


def follow_state(leaf: LeafVdev) -> None:
    """Say in a leaf's configuration how it is, as OpenZFS does: what the next import finds.

    A leaf that is not there is ``not_present`` if it was not when the pool was opened, and ``removed`` if it went while
    it was in use. ``offline``, ``faulted`` and ``degraded`` are what an administrator or a daemon has said, and stay
    for as long as the state agrees.
    """
    state = leaf.state
    set_pair(leaf, "not_present", 1 if state is VdevState.CANT_OPEN else None)
    set_pair(leaf, "removed", 1 if state is VdevState.REMOVED else None)
    for name, said in (("faulted", VdevState.FAULTED), ("degraded", VdevState.DEGRADED)):
        if state is not said:
            set_pair(leaf, name, None)
    if state is not VdevState.OFFLINE:
        set_pair(leaf, "offline", None)
    set_pair(leaf, "aux_state", _AUX_STATES.get(leaf.aux))


def with_more(tree: VdevTree, new: VdevTree) -> NVList:
    """The root vdev's nvlist of a pool to which the top-level vdevs of ``new`` are added, ids running on.

    Build the tree anew from it, with the devices of both.
    """
    root = vdev_config(tree.root, mos=True)
    tops = root.nvlists("children")
    for top in new.tops:
        config = vdev_config(top, mos=True)
        config["id"] = len(tops)
        tops.append(config)
    return root


def guid_sum(tree: VdevTree) -> int:
    """What the uberblock says the guids of all vdevs add up to, modulo 2^64."""
    return sum(vdev.guid for vdev in tree.walk()) % (1 << 64)


def _head(facts: PoolFacts, txg: int) -> NVList:
    config = NVList({"version": facts.version, "name": facts.name, "state": facts.state, "txg": txg})
    config["pool_guid"] = facts.guid
    if facts.errata is not None:
        config["errata"] = facts.errata
    _keep(config, facts.more, _BEFORE_NAMES)
    if facts.comment is not None:
        config["comment"] = facts.comment
    if facts.compatibility is not None:
        config["compatibility"] = facts.compatibility
    if facts.hostid:
        config["hostid"] = facts.hostid
    if facts.hostname is not None:
        config["hostname"] = facts.hostname
    return config


def _tail(config: NVList, facts: PoolFacts, tree: VdevTree, vdevs: NVList) -> None:
    holes = [top.id for top in tree.tops if isinstance(top, HoleVdev)]
    if holes:
        config["hole_array"] = holes
    config["vdev_children"] = len(tree.tops)
    _keep(config, facts.more, (_SPLIT_GUID,))
    config["vdev_tree"] = vdevs
    _keep(config, facts.more, [name for name in facts.more if name != _SPLIT and name not in config])
    active = NVList()
    for guid in facts.features:
        active.add(guid, True, NvType.BOOLEAN)
    config["features_for_read"] = active  # empty in pools older than features, but there


def _keep(config: NVList, more: NVList, names: Iterable[str]) -> None:
    for name in names:
        if name in more:
            config.add(name, more[name], more.types.get(name))


def _flag(vdev: Vdev, name: str) -> bool:
    value = vdev.config.get(name, 0)
    if not isinstance(value, (bool, int)):
        raise CorruptError(f"a vdev's {name!r} is no number", vdev=vdev.name)
    return bool(value)
