"""What can become of a block that is read, and the error each outcome turns into.

The first seven numbers are those of ``kernels.blockio``.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    AuthenticationError,
    ChecksumError,
    CorruptError,
    DeviceError,
    KeyUnavailableError,
    MissingDeviceError,
    PoolError,
    UnsupportedError,
)
from ..ondisk import blkptr

#: One status for each block, dtype uint8.
StatusArray = NDArray[np.uint8]


class Status(IntEnum):
    """Outcome of one block."""

    OK = 0
    UNREADABLE = 1
    CHECKSUM = 2
    DECOMPRESS = 3
    BAD_POINTER = 4
    UNSUPPORTED = 5
    MISSING = 6
    AUTHENTICATION = 7
    NO_KEY = 8
    REDACTED = 9


#: Outcomes that another copy, or reconstruction, may turn into success.
RETRY = np.zeros(256, dtype=bool)
RETRY[[Status.UNREADABLE, Status.CHECKSUM, Status.MISSING]] = True

_SAVE = "import an earlier txg or restore from a backup"

_ERRORS: dict[Status, tuple[type[PoolError], str, str]] = {
    Status.UNREADABLE: (DeviceError, "no copy of a block can be read", "check the devices and their cables"),
    Status.CHECKSUM: (ChecksumError, "no copy of a block matches its checksum", _SAVE),
    Status.DECOMPRESS: (CorruptError, "a block with the right checksum does not decompress", _SAVE),
    Status.BAD_POINTER: (CorruptError, "a block pointer makes no sense", _SAVE),
    Status.UNSUPPORTED: (UnsupportedError, "a block uses an unknown checksum or compression", ""),
    Status.MISSING: (MissingDeviceError, "a block lies on missing devices", "give the paths of all devices"),
    Status.AUTHENTICATION: (
        AuthenticationError,
        "an encrypted block does not carry its proper authentication code",
        _SAVE,
    ),
    Status.NO_KEY: (KeyUnavailableError, "a block is encrypted and no key is loaded", "load the dataset's key"),
    Status.REDACTED: (
        CorruptError,
        "a block was left out when this dataset was received from a redacted stream",
        "receive the incremental stream that holds it",
    ),
}


def describe(bp: blkptr.BpArray) -> dict[str, object]:
    """Facts about one block pointer for a message: where it lies, type, level, size, birth."""
    place: dict[str, object] = {
        "type": int(blkptr.object_type(bp)),
        "level": int(blkptr.level(bp)),
        "birth": int(bp["birth"]),
    }
    if bool(blkptr.is_embedded(bp)):
        return {"block": "embedded", **place}
    sizes, vdevs, offsets = blkptr.dva_asize(bp), blkptr.dva_vdev(bp), blkptr.dva_offset(bp)
    copies = [f"{vdevs[k]}:{int(offsets[k]):x}:{int(sizes[k]):x}" for k in range(3) if int(sizes[k])]
    return {"block": " ".join(copies) or "none", "psize": int(blkptr.psize(bp)), **place}


def error_for(status: int, bp: Any, what: str = "") -> PoolError:
    """The error to raise for a block with a status other than OK.

    Args:
        status: a ``Status``.
        bp: the block pointer, for the message.
        what: what the block was read for, or an empty string.
    """
    kind, text, advice = _ERRORS[Status(status)]
    return kind(text, advice, reading=what or None, **describe(bp))
