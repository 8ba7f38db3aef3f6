"""Removed top-level vdevs: loading the mappings that say where their blocks went.

The mapping of the vdev removed last is loaded first, since the objects of older ones may lie on it; from each the
next is found by the vdev removed before it.

Source: OpenZFS, vdev_removal.c (``spa_remove_init``), vdev_indirect.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..dmu.objset import Objset
from ..errors import CorruptError
from ..ondisk import indirect
from ..vdev.indirect import IndirectVdev
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from . import mos as metadata
from .mos import REMOVING, Directory

STATE_NONE, STATE_SCANNING, STATE_FINISHED, STATE_CANCELED = range(4)
NO_VDEV = (1 << 64) - 1
INDIRECT_OBJECT = "com.delphix:indirect_object"
INDIRECT_BIRTHS = "com.delphix:indirect_births"
PREVIOUS = "com.delphix:prev_indirect_vdev"
WORDS_PER_ENTRY = indirect.ENTRY_SIZE // 8
CHUNK = 1 << 16  # entries read at a time


@dataclass(frozen=True, slots=True)
class Removal:
    """The removal that runs, or the last one that ended. Sizes in bytes, times in seconds since 1970."""

    state: int
    vdev: int
    previous: int
    start_time: int
    end_time: int
    to_copy: int
    copied: int
    mapping_memory: int = 0  # what OpenZFS keeps in memory for all mappings


def read_removal(directory: Directory) -> Removal | None:
    """State of removals; None: nothing was ever removed.

    Raises:
        CorruptError: an entry of another size.
    """
    words = directory.words(REMOVING)
    if not words:
        return None
    if len(words) != 7:
        raise CorruptError("the state of device removal has not seven words", words=len(words))
    return Removal(*words)


def load_mappings(tree: VdevTree, mos: Objset, directory: Directory) -> Removal | None:
    """Give every indirect vdev of the tree its mapping; gives the state of removals.

    Raises:
        CorruptError: a mapping is missing, damaged, or the chain of removals does not lead to every vdev.
    """
    removal = read_removal(directory)
    waiting = {vdev.id: vdev for vdev in tree.tops if isinstance(vdev, IndirectVdev)}
    if not waiting:
        return removal
    memory = 0
    for number in _order(removal, waiting):
        memory += load_mapping(waiting.pop(number), mos)
    if removal is not None:
        return Removal(
            removal.state,
            removal.vdev,
            removal.previous,
            removal.start_time,
            removal.end_time,
            removal.to_copy,
            removal.copied,
            memory,
        )
    return None


def _order(removal: Removal | None, vdevs: dict[int, IndirectVdev]) -> list[int]:
    """Ids of the indirect vdevs, the one removed last first."""
    order: list[int] = []
    step = NO_VDEV
    if removal is not None:
        step = removal.vdev if removal.state == STATE_FINISHED and removal.vdev in vdevs else removal.previous
    while step in vdevs and step not in order:
        order.append(step)
        step = vdevs[step].config.get(PREVIOUS, NO_VDEV)
    return order + sorted(set(vdevs) - set(order), reverse=True)


def mapping_header(vdev: Vdev, mos: Objset) -> indirect.MappingHeader | None:
    """The header of the mapping of a vdev that was or is being removed; None: it has none.

    Raises:
        CorruptError: it makes no sense.
    """
    number = vdev.config.get(INDIRECT_OBJECT)
    if not isinstance(number, int) or number == 0:
        return None
    dnode = mos.dnode(number)
    return indirect.decode_mapping_header(dnode.bonus, dnode.order)


def load_mapping(vdev: IndirectVdev, mos: Objset) -> int:
    """Load one mapping; gives the bytes it takes.

    Raises:
        CorruptError: it is missing or damaged.
    """
    header = mapping_header(vdev, mos)
    if header is None:
        raise CorruptError("a removed vdev has no mapping", "import an earlier txg", vdev=vdev.id)
    dnode = mos.dnode(vdev.config[INDIRECT_OBJECT])
    parts = []
    for first in range(0, header.entries, CHUNK):  # so that a forged count ends at the first entry of zeros
        count = min(CHUNK, header.entries - first)
        found = metadata.words(dnode, count * WORDS_PER_ENTRY, first * WORDS_PER_ENTRY)
        parts.append(indirect.decode_mapping(found.astype("<u8").tobytes()))
    if parts:
        vdev.set_mapping(*(np.concatenate([getattr(p, field) for p in parts]) for field in ("source", "dva", "size")))
    births = births_of(vdev, mos)
    vdev.set_births(births["offset"], births["txg"])
    return header.entries * indirect.ENTRY_SIZE


def births_of(vdev: IndirectVdev, mos: Objset) -> indirect.Array:
    """When which part of a removed vdev was copied; empty if that is not recorded."""
    number = vdev.config.get(INDIRECT_BIRTHS)
    if not isinstance(number, int) or number == 0:
        return indirect.decode_births(b"")
    dnode = mos.dnode(number)
    count = indirect.decode_births_header(dnode.bonus, dnode.order)
    return indirect.decode_births(metadata.words(dnode, count * 2).astype("<u8").tobytes())
