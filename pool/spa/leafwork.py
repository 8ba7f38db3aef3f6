"""Initializing and trimming of leaves, as the pool remembers them in the leaves' ZAPs.

A leaf that was never touched has no entries. The offset is where the work would go on, on the leaf's data area.

Source: OpenZFS, vdev_initialize.c, vdev_trim.c; the words are zpool's (zpool_main.c).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..dsl.mosobj import entries
from ..ondisk.label import data_size

if TYPE_CHECKING:
    from ..vdev.leaf import LeafVdev
    from .spa import Spa

LEAF_ZAP = "com.delphix:vdev_zap_leaf"

NONE, ACTIVE, CANCELED, SUSPENDED, COMPLETE = range(5)
STATES = ("none", "active", "canceled", "suspended", "complete")

Kind = Literal["initialize", "trim"]
#: Kind of work -> its entries: offset, state, time.
ENTRIES: dict[Kind, tuple[str, str, str]] = {
    "initialize": (
        "com.delphix:next_offset_to_initialize",
        "com.delphix:vdev_initialize_state",
        "com.delphix:vdev_initialize_action_time",
    ),
    "trim": (
        "org.zfsonlinux:next_offset_to_trim",
        "org.zfsonlinux:vdev_trim_state",
        "org.zfsonlinux:vdev_trim_action_time",
    ),
}
DONE = {"initialize": "initialized", "trim": "trimmed"}
DOING = {"initialize": "initializing", "trim": "trimming"}
NEVER = {"initialize": "uninitialized", "trim": "untrimmed"}
WHEN = {SUSPENDED: "suspended, started at", ACTIVE: "started at", COMPLETE: "completed at"}


@dataclass(frozen=True, slots=True)
class LeafWork:
    """How far one kind of work on a leaf has come. ``offset`` and ``size`` in bytes, ``time`` in seconds since 1970."""

    kind: Kind
    state: int = NONE
    offset: int = 0
    size: int = 0
    time: int = 0

    @property
    def state_text(self) -> str:
        """The state as a word."""
        return STATES[self.state] if self.state < len(STATES) else str(self.state)

    @property
    def percent(self) -> int:
        """How much is done."""
        if self.state == COMPLETE:
            return 100
        return min(100, self.offset * 100 // self.size) if self.size else 0

    def text(self, always: bool) -> str:
        """What a status report says behind the leaf; without ``always`` only what is going on."""
        if not always:
            return f"({DOING[self.kind]})" if self.state == ACTIVE else ""
        if self.state not in WHEN:
            return f"({NEVER[self.kind]})"
        return f"({self.percent}% {DONE[self.kind]}, {WHEN[self.state]} {_date(self.time)})"


def _date(seconds: int) -> str:
    try:
        return time.strftime("%c", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def leaf_work(spa: Spa, leaf: LeafVdev) -> dict[Kind, LeafWork]:
    """Both kinds of work on one leaf.

    Raises:
        CorruptError and others: the leaf's ZAP cannot be read.
    """
    found: dict[str, int] = {}
    number = leaf.config.get(LEAF_ZAP, 0)
    if number and isinstance(number, int):
        for name, entry in entries(spa.mos, number, f"the ZAP of {leaf.name}"):
            if entry.integer_size == 8 and len(entry.values) == 1:
                found[name] = entry.values[0]
    size = data_size(leaf.device.size) if leaf.device is not None else 0
    return {
        kind: LeafWork(kind, found.get(state, NONE), found.get(offset, 0), size, found.get(when, 0))
        for kind, (offset, state, when) in ENTRIES.items()
    }
