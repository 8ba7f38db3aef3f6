"""Opening what a path names."""

from __future__ import annotations

import os

from .base import Device
from .cachemode import DIRECT, CacheMode
from .direct import DirectFileDevice
from .file import FileDevice


def open_device(
    path: str | os.PathLike[str], readonly: bool = True, cache: CacheMode = "writeback"
) -> Device:
    """The device at ``path``: a regular file or a block device.

    Args:
        path, readonly: what, and whether only to be read.
        cache: see ``cachemode``.

    Raises:
        DeviceBusyError: it is open elsewhere in a way that excludes this use.
        DeviceError: it cannot be opened; ``errno`` tells why.
    """
    return (DirectFileDevice if cache in DIRECT else FileDevice)(path, readonly, cache)
