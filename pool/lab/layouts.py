"""Pool layouts by short names, on simulated disks: what the laboratory's runs are made of.

A layout is written as ``zpool create`` would be told it, with a dot for each disk.
"""

from __future__ import annotations

from ..device.base import Device
from ..device.cachemode import CacheMode
from ..errors import UsageError
from .journal import SECTOR, Journal
from .simdisk import SimDisk

DISK_SIZE = 64 << 20  # the smallest that OpenZFS takes
LAYOUTS = {
    "single": ".",
    "stripe": ". .",
    "mirror": "mirror . .",
    "mirrors": "mirror . . mirror . .",
    "raidz1": "raidz1 . . .",
    "raidz2": "raidz2 . . . .",
    "raidz3": "raidz3 . . . . .",
    "draid1": "draid1:3d:5c:1s . . . . .",
    "log": ". log .",
    "mirrored-log": "mirror . . log mirror . .",
    "special": ". special .",
}


def words_of(layout: str) -> list[str]:
    """The words of a layout: one of ``LAYOUTS``, or written out.

    Raises:
        UsageError: it has no disks.
    """
    words = LAYOUTS.get(layout, layout).split()
    if "." not in words:
        known = ", ".join(LAYOUTS)
        raise UsageError(f"{layout!r} is no layout", f"take one of {known}, or write it out with a dot for each disk")
    return words


def make_disks(
    layout: str,
    journal: Journal | None,
    *,
    size: int = DISK_SIZE,
    sector: int = SECTOR,
    cache: CacheMode = "writeback",
) -> tuple[list[SimDisk], list[str | Device]]:
    """New disks for a layout: the disks, and the words with the disks in their places."""
    disks: list[SimDisk] = []
    words: list[str | Device] = []
    for word in words_of(layout):
        if word == ".":
            disks.append(SimDisk(size, f"d{len(disks)}", journal, sector=sector, cache=cache))
            words.append(disks[-1])
        else:
            words.append(word)
    return disks, words
