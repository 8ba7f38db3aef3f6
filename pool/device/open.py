"""Opening what a path names."""

from __future__ import annotations

import os

from .base import Device
from .file import FileDevice


def open_device(path: str | os.PathLike[str], readonly: bool = True) -> Device:
    """The device at ``path``: a regular file or a block device.

    Raises:
        DeviceBusyError: it is open elsewhere in a way that excludes this use.
        DeviceError: it cannot be opened; ``errno`` tells why.
    """
    return FileDevice(path, readonly)
