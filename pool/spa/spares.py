"""Spare and cache devices: those the pool lists, and how they are.

Source: OpenZFS, spa.c (``spa_load_spares``, ``spa_load_l2cache``), spa_misc.c.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..dmu.objset import Objset
from ..ondisk import label
from ..vdev.state import VdevAux, VdevState, aux_text, state_text
from ..vdev.tree import VdevTree
from . import mos as metadata
from .members import Member
from .mos import Directory

DISTRIBUTED = "dspare"


@dataclass(frozen=True, slots=True)
class AuxDevice:
    """A spare or cache device of the pool."""

    guid: int
    type: str
    path: str
    size: int  # bytes for data; 0: not found, or distributed
    state: VdevState
    aux: VdevAux = VdevAux.NONE
    in_use: bool = False
    device_size: int = 0  # bytes of the whole device; 0: as for size

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_spare(self) -> bool:
        """A spare, not a cache device (set by who lists it: cache devices are never AVAIL or INUSE)."""
        return self.aux is VdevAux.SPARED or self.in_use

    @property
    def state_text(self) -> str:
        """AVAIL or INUSE for a spare, ONLINE for a cache device, UNAVAIL for what was not found."""
        if self.in_use:
            return "INUSE"
        if self.aux is VdevAux.SPARED:
            return "AVAIL"
        return state_text(self.state, self.aux)

    @property
    def aux_text(self) -> str:
        """What a status report says behind it."""
        if self.in_use:
            return "currently in use"
        return "" if self.aux is VdevAux.SPARED else aux_text(self.aux)


def aux_devices(
    mos: Objset, directory: Directory, name: str, tree: VdevTree, found: Mapping[int, Member]
) -> list[AuxDevice]:
    """The pool's ``spares`` or ``l2cache``.

    Args:
        found: spare and cache devices that the scan has seen, by guid.

    Raises:
        CorruptError: the list is damaged.
    """
    number = directory.number(name, 0)
    if not number:
        return []
    state = label.STATE_SPARE if name == "spares" else label.STATE_L2CACHE
    result = []
    for entry in metadata.packed(mos, number, f"the list of {name}").nvlists(name):
        guid, kind, path = entry.u64("guid"), entry.string("type", ""), entry.string("path", "")
        member = found.get(guid)
        used = guid in tree.by_guid
        size = device_size = 0
        if kind == DISTRIBUTED:
            top = tree.by_guid.get(entry.u64("top_guid", 0))
            there = top is not None and top.readable
        else:
            there = used or (member is not None and member.state == state)
        if member is not None:
            path, size, device_size = member.source.name, label.data_size(member.size), member.size
        if not there:
            result.append(AuxDevice(guid, kind, path, 0, VdevState.CANT_OPEN, VdevAux.OPEN_FAILED))
            continue
        aux = VdevAux.SPARED if name == "spares" else VdevAux.NONE
        in_use = used and name == "spares"
        result.append(AuxDevice(guid, kind, path, size, VdevState.HEALTHY, aux, in_use, device_size))
    return result
