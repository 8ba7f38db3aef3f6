"""Trees of vdevs of any size, without devices: the allocator only asks how large they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.alloc.metaslab import choose_shift
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.vdev.state import VdevState
from uberblock.pool.vdev.tree import VdevTree, build

MIB = 1 << 20
Config = dict[str, Any]


def top(asize: int = 256 * MIB, *, kind: str = "file", ashift: int = 12, children: int = 0, **more: Any) -> Config:
    """The configuration of a top-level vdev; ``children`` leaves below it if it is no leaf."""
    config: Config = {"type": kind, "ashift": ashift, "asize": asize, "metaslab_shift": choose_shift(asize), **more}
    if children:
        config["children"] = [{"type": "file", "path": "/x/y"} for _ in range(children)]
    return config


def tree_of(*tops: Config) -> VdevTree:
    """A healthy tree."""
    root: Config = {"type": "root", "guid": 1, "id": 0, "children": list(tops)}
    guid = 2
    for number, config in enumerate(tops):
        for place, one in enumerate([config, *config.get("children", [])]):
            one.update(guid=guid, id=number if place == 0 else place - 1)
            guid += 1
    tree = build(root, {})
    for leaf in tree.leaves:
        leaf.device = MemoryDevice(512)  # never looked at
        leaf.set_state(VdevState.HEALTHY)
    tree.propagate_states()
    return tree


@pytest.fixture
def make_top() -> Callable[..., Config]:
    return top


@pytest.fixture
def make_tree() -> Callable[..., VdevTree]:
    return tree_of
