"""Making a device forget the pool it belonged to: ``zpool labelclear``.

The configuration and the uberblock ring of every label that says anything are overwritten with zeros, and what a cache
device keeps for after a restart with them. The space between the labels stays as it is.

Source: OpenZFS, zutil_import.c (``zpool_clear_label``), zpool_main.c (``zpool_do_labelclear``), the words too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..device.base import Device
from ..errors import CorruptError, DeviceBusyError, NotFoundError
from ..ondisk import label
from .inuse import use_of

L2ARC_HEADER = 512  # at the beginning of the data of a cache device


def label_clear(device: Device, *, force: bool = False, listed: Mapping[int, str] | None = None) -> list[int]:
    """Clear the labels of an open device.

    Args:
        force: also if it belongs to a pool that is exported, or might be open somewhere.
        listed: guids of devices of pools that are in use -> the pool's name: these are never cleared.

    Returns:
        the labels that were cleared, 0 to 3.

    Raises:
        DeviceBusyError: it belongs to a pool. NotFoundError: it has no labels.
        DeviceError: it cannot be read or written; ReadOnlyError: it is open read-only.
    """
    use = use_of(device, listed)
    if use is not None and not use.free:
        _refuse_members(device, use.state, use.pool, force)
    found = _labels(device)
    if not found:
        raise NotFoundError(f"failed to clear label for {device.name}: there is none")
    blank = bytes(label.LABEL_SIZE - label.CONFIG_OFFSET)
    for index in found:
        device.write(label.offset(device.size, index) + label.CONFIG_OFFSET, blank)
    if label.STATE_L2CACHE in found.values():
        device.write(label.DATA_START, bytes(L2ARC_HEADER))
    device.flush()
    return sorted(found)


def _refuse_members(device: Device, state: str, pool: str, force: bool) -> None:
    if state in ("exported", "potentially active"):
        if not force:
            raise DeviceBusyError(f"{device.name} is a member of {state} pool {pool!r}", "use '-f' to override")
        return
    raise DeviceBusyError(
        f"{device.name} is a member ({state.upper()}) of pool {pool!r}", "take it out of the pool first"
    )


def _labels(device: Device) -> dict[int, int]:
    """Labels that say something, checksums right or not -> the state they tell."""
    result: dict[int, int] = {}
    if label.usable_size(device.size) < 2 * label.END_SIZE:
        return result
    for index in range(label.LABELS):
        at = label.offset(device.size, index)
        one = label.decode(device.read(at, label.RING_OFFSET), at, index)
        if one.config is None:
            continue
        try:
            state = one.config.u64("state")
            if one.config.u64("guid") and state <= label.STATE_L2CACHE:
                result[index] = state
        except CorruptError:
            continue
    return result
