"""Is a device in use? What its labels say, and what that means for someone who wants to use it for something else.

There is no list of the pools that are open on this machine. Whoever has a pool open holds a lock on its devices, so
opening one exclusively is the proof that no other process of ours uses it; a label of an active pool then belongs to a
pool that was not exported, or that another machine (or a kernel module, on a file) has: *potentially active*.

Source: OpenZFS, libzfs_import.c (``zpool_in_use``), zpool_vdev.c (``check_file_generic``), the words too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..device.base import Device
from ..device.file import FileDevice
from ..ondisk import label
from .members import Member, Source, member_of
from .scan import read_labels
from .signatures import foreign


@dataclass(frozen=True, slots=True)
class Use:
    """What a device's labels say.

    Attributes:
        state: ``active`` (the pool is open on purpose: see ``listed``), ``potentially active``, ``exported``,
            ``spare``, ``l2cache``, ``destroyed``.
        pool: name of the pool; empty for spare and cache devices of which no pool is known.
        member: all of it.
    """

    state: str
    pool: str
    member: Member

    @property
    def free(self) -> bool:
        """Nobody minds if it is used."""
        return self.state == "destroyed" or (self.state in ("spare", "l2cache") and not self.pool)


_STATES = {
    label.STATE_ACTIVE: "potentially active",
    label.STATE_EXPORTED: "exported",
    label.STATE_DESTROYED: "destroyed",
    label.STATE_SPARE: "spare",
    label.STATE_L2CACHE: "l2cache",
}


def use_of(device: Device, listed: Mapping[int, str] | None = None) -> Use | None:
    """What an open device is used for; None: nothing.

    Args:
        listed: guids of devices of pools that are known to be in use (their spare and cache devices too) -> the
            pool's name.

    Raises:
        DeviceError: it cannot be read.
    """
    listed = listed or {}

    def read(at: int, length: int) -> bytes:
        return device.read(at, max(0, min(length, device.size - at)))

    member = member_of(Source(device.name, device), read_labels(read, device.size), device.size)
    if member is None:
        return None
    state = _STATES.get(member.state, "unknown")
    pool = member.config.get("name")
    name = pool if isinstance(pool, str) and not member.is_aux else ""
    if member.guid in listed:
        name = listed[member.guid]
        if not member.is_aux:
            spare = bool(member.config.get("is_spare"))  # in use as a spare: may be one of another pool as well
            state = "spare" if spare else "active"
    return Use(state, name, member)


def complaint(
    device: Device,
    path: str,
    *,
    force: bool = False,
    spare: bool = False,
    listed: Mapping[int, str] | None = None,
) -> str:
    """Why a device should not be taken, as ``zpool create`` says it; empty: it may be.

    Args:
        force: only what can never be right counts.
        spare: it is to be a spare, and these may be shared between pools.

    Raises:
        DeviceError: it cannot be read.
    """
    use = use_of(device, listed)
    if use is None:
        # Files are taken whatever is in them, as OpenZFS does; disks are somebody's more often.
        kind = foreign(device) if isinstance(device, FileDevice) and device.block and not force else ""
        return f"{path} contains a filesystem of type '{kind}'" if kind else ""
    if use.free or (use.state == "spare" and spare):
        return ""
    if use.state == "spare":
        return f"{path} is reserved as a hot spare for pool {use.pool}"
    if force and use.state != "active":
        return ""
    state = use.state if use.state in ("active", "exported", "potentially active") else "unknown"
    return f"{path} is part of {state} pool '{use.pool}'"
