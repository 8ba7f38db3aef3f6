"""Labels that contradict each other: the disks of a pool tell different stories."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from forge import Forger
from uberblock.pool.errors import UsageError
from uberblock.pool.ondisk import label
from uberblock.pool.ondisk.nvlist import NVList

from .damage import NothingToForgeError
from .sizes import change_tree, large, vdevs


def _one(forger: Forger, rng: random.Random) -> list[int]:
    return [rng.randrange(len(forger.devices))]


def guids(forger: Forger, rng: random.Random) -> None:
    """Disks with one guid, or with another's, or of another pool, or of another top-level vdev."""
    found: list[int] = []
    forger.change_label(lambda config: found.extend(v for v in config.values() if isinstance(v, int)))
    name = rng.choice(("guid", "guid", "top_guid", "pool_guid"))
    value = rng.choice([*found, 0, 1, large(rng)])
    forger.change_label(lambda config: config.__setitem__(name, value), disks=_one(forger, rng))


def trees(forger: Forger, rng: random.Random) -> None:
    """One disk claims another tree than the others do."""
    seed = rng.random()
    disks = _one(forger, rng) if rng.random() < 0.7 else None

    def change(config: NVList) -> None:
        for _ in range(3):
            try:
                change_tree(config, random.Random(seed))
                return
            except UsageError:
                continue

    _try(lambda: forger.change_label(change, disks=disks))


def _try(work: Callable[[], Any]) -> None:
    """A configuration that does not fit into a label cannot be put there."""
    try:
        work()
    except UsageError:
        raise NothingToForgeError from None


def twice(forger: Forger, rng: random.Random) -> None:
    """A leaf stands in the tree twice; a tree contains itself, as deep as a label has room for."""
    kind = rng.randrange(3)

    def change(config: NVList) -> None:
        tree = config["vdev_tree"]
        leaves = [one for one in vdevs(config) if not one.get("children")]
        if kind == 0:
            one = random.Random(1).choice(leaves)
            parent = next((v for v in vdevs(config) if one in v.get("children", [])), None)
            if parent is None:
                tree["children"] = [tree.copy(), tree.copy()]
            else:
                parent["children"] = [*parent["children"], NVList({**one, "id": len(parent["children"])})]
        elif kind == 1:
            inner = tree
            for depth in range(rng.choice((3, 10, 40, 60))):
                inner = NVList({"type": "mirror", "id": 0, "guid": depth + 1, "children": [inner]})
            config["vdev_tree"] = inner
        else:
            config["vdev_tree"] = leaves[0].copy()

    _try(lambda: forger.change_label(change, disks=_one(forger, rng)))


def slots(forger: Forger, rng: random.Random) -> None:
    """Numbers of top-level vdevs, holes among them, txgs, states and versions that do not fit together."""
    names = ("vdev_children", "hole_array", "txg", "state", "version", "id", "create_txg", "is_hole", "hostid")
    name = rng.choice(names)
    value: Any = rng.choice((0, 1, 2, 3, 4, 5, 5000, 65536, 65537, large(rng), forger.txg, forger.txg + 1))
    if name == "hole_array":
        value = [rng.choice((0, 1, 2, large(rng))) for _ in range(rng.choice((1, 3, 1000)))]

    def change(config: NVList) -> None:
        target = config["vdev_tree"] if name == "id" else config
        target.pop(name, None)
        target[name] = value

    disks = None if rng.random() < 0.5 else _one(forger, rng)
    _try(lambda: forger.change_label(change, disks=disks))


def features(forger: Forger, rng: random.Random) -> None:
    """Features nobody knows, of all types."""

    def change(config: NVList) -> None:
        wanted = config.get("features_for_read")
        if not isinstance(wanted, NVList):
            wanted = NVList()
        for index in range(rng.choice((1, 1, 200))):
            name = rng.choice(("org.example:unknown", "", "a:b\n", "com.delphix:hole_birth", "\udcff")) + str(index)
            wanted[name] = rng.choice((True, 0, "x", [1]))
        config.pop("features_for_read", None)
        config["features_for_read"] = rng.choice((wanted, wanted, wanted, 7, "all"))

    _try(lambda: forger.change_label(change))


def copies(forger: Forger, rng: random.Random) -> None:
    """The four labels of a disk are those of different disks, or lie where others should."""
    device = rng.choice(forger.devices)
    other = rng.choice(forger.devices)
    for index in range(label.LABELS):
        if rng.random() < 0.6:
            source = rng.randrange(label.LABELS)
            at = label.offset(device.size, index)
            region = other.read(label.offset(other.size, source), label.LABEL_SIZE)
            config = label.decode(region, label.offset(other.size, source), source).config
            device.write(at, region)
            if config is not None and rng.random() < 0.7:
                device.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))


KINDS: dict[str, Callable[[Forger, random.Random], None]] = {
    f"labels_{function.__name__}": function for function in (guids, trees, twice, slots, features, copies)
}
