"""Which pools this user's commands know: created or imported, and not exported since (the cache file)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..ondisk.nvlist import NVList, NvType
from ..spa import cachefile, poolconfig

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.spares import AuxDevice
    from ..vdev.tree import VdevTree


def remember(pool: Pool, cache: str = "") -> None:
    """Put a pool that is open into the cache file, with where its devices are now.

    Args:
        cache: value of the property ``cachefile``.
    """
    path = cachefile.path_for(cache)
    if path is not None:
        spa = pool.spa
        config = poolconfig.mos_config(poolconfig.facts_of(spa.config), spa.tree, pool.txg)
        found = _found(config, spa.tree)
        root = found.nvlist("vdev_tree")
        for name, devices in (("spares", spa.spares), ("l2cache", spa.l2cache)):
            _beside(root, name, devices)
        cachefile.put(found, path)


def forget(guid: int) -> None:
    """Take a pool out of the cache file, if it is there."""
    cachefile.drop(guid)


def known_guid(name: str) -> int | None:
    """Guid of a pool in the cache file, by name or guid; None: it is not there."""
    for known, config in cachefile.read().items():
        guid = config.get("pool_guid")
        if isinstance(guid, int) and name in (known, str(guid)):
            return guid
    return None


def known_names() -> list[str]:
    """Names of the pools in the cache file."""
    return sorted(cachefile.read())


def _beside(root: NVList, name: str, devices: Sequence[AuxDevice]) -> None:
    """Add spare or cache devices, which the tree of a configuration does not have, in the form of ``zpool create``."""
    entries = []
    for device in devices:
        if Path(device.path).exists():
            entry = NVList()
            entry["type"], entry["guid"], entry["path"] = device.type, device.guid, str(Path(device.path).absolute())
            entries.append(entry)
    if entries:
        root.add(name, entries, NvType.NVLIST_ARRAY)


def _found(config: NVList, tree: VdevTree) -> NVList:
    """The configuration with the paths under which devices were found."""
    paths: dict[int, str] = {}
    for leaf in tree.leaves:
        if leaf.device is not None:
            place = Path(leaf.device.name)
            if place.exists():
                paths[leaf.guid] = str(place.absolute())
    changed = config.copy()
    todo = [changed.nvlist("vdev_tree")]
    while todo:
        vdev = todo.pop()
        todo += vdev.nvlists("children")
        if vdev.u64("guid", 0) in paths:
            vdev["path"] = paths[vdev.u64("guid")]
    return changed
