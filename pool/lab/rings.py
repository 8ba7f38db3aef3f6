"""The txgs of all uberblocks on simulated disks."""

from __future__ import annotations

from collections.abc import Sequence

from ..spa.members import Source
from ..spa.scan import examine
from ..spa.uberblocks import Rings, fetch
from .simdisk import SimDisk


def ring_txgs(disks: Sequence[SimDisk]) -> list[int]:
    """The txgs of all uberblocks whose checksums are right, newest first."""
    rings = Rings()
    for disk in disks:
        for member in examine(Source(disk.name, device=disk)):
            rings.add(member, fetch(member.size, disk))
    return [found.txg for found, _ in rings.distinct()]
