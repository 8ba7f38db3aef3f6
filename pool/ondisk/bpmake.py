"""Making block pointers, in arrays: the other half of ``blkptr``.

Everything that is made is little-endian. Source: OpenZFS, spa.h (``blkptr_t``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import blkptr
from .blkptr import BLKPTR, EMBEDDED_MAX, SECTOR, BpArray

_LITTLE = np.uint64(1 << 63)
_EMBEDDED = np.uint64(1 << 39)
_GANG = np.uint64(1 << 63)

U64 = NDArray[np.uint64]


def _word(value: Any) -> U64:
    return np.asarray(value).astype(np.uint64)


def stored(
    lsize: ArrayLike,
    psize: ArrayLike,
    *,
    compress: ArrayLike,
    checksum: int,
    type: int,
    level: int,
    birth: int,
    fill: ArrayLike,
) -> BpArray:
    """Pointers to stored blocks, still without addresses and checksum words.

    Args:
        lsize, psize: bytes, multiples of 512, as many of each as there are pointers.
        compress: ids; the other numbers are the same for all.
        fill: one for all or one for each.
    """
    sizes = _word(psize)
    bps = np.zeros(len(sizes), BLKPTR)
    prop = (sizes // np.uint64(SECTOR) - np.uint64(1)) << np.uint64(16)
    prop |= _word(lsize) // np.uint64(SECTOR) - np.uint64(1)
    prop |= _word(compress) << np.uint64(32)
    prop |= np.uint64(checksum << 40 | type << 48 | level << 56) | _LITTLE
    bps["prop"] = prop
    bps["birth"] = birth
    bps["fill"] = fill
    return bps


def addresses(dvas: U64, *, gang: bool = False) -> U64:
    """The DVA words of pointers: shape (n, 3, 2).

    Args:
        dvas: (n, copies, 3): top-level vdev, offset in bytes, asize in bytes; asize 0: no such copy.
        gang: they are of gang headers.
    """
    words = np.zeros((len(dvas), blkptr.DVAS_PER_BP, 2), np.uint64)
    present = dvas[:, :, 2] != 0
    copies = dvas.shape[1]
    first = dvas[:, :, 2] // np.uint64(SECTOR) | dvas[:, :, 0] << np.uint64(32)
    second = dvas[:, :, 1] // np.uint64(SECTOR)
    if gang:
        second |= _GANG
    words[:, :copies, 0] = np.where(present, first, np.uint64(0))
    words[:, :copies, 1] = np.where(present, second, np.uint64(0))
    return words


def places(bps: BpArray) -> U64:
    """The other way round: (n, 3, 3) of top-level vdev, offset and asize; asize 0 where there is no copy."""
    result = np.empty((len(bps), blkptr.DVAS_PER_BP, 3), np.uint64)
    result[:, :, 0] = blkptr.dva_vdev(bps)
    result[:, :, 1] = blkptr.dva_offset(bps)
    result[:, :, 2] = blkptr.dva_asize(bps)
    return result


def holes(count: int, lsize: int, *, type: int, level: int, birth: int) -> BpArray:
    """Pointers to holes punched in a txg (feature hole_birth); without birth (0) pointers never written."""
    bps = np.zeros(count, BLKPTR)
    if birth:
        bps["prop"] = np.uint64(lsize // SECTOR - 1 | type << 48 | level << 56)
        bps["birth"] = birth
    return bps


def embedded(
    payloads: list[bytes], lsize: int, *, compress: int, type: int, level: int, birth: int
) -> BpArray:
    """Pointers that hold their blocks.

    Args:
        payloads: stored bytes of each, framing included: 1 to 112.
        lsize: bytes.

    Raises:
        ValueError: a payload that does not fit.
    """
    sizes = np.array([len(payload) for payload in payloads], np.uint64)
    if len(sizes) and not 1 <= int(sizes.min()) <= int(sizes.max()) <= EMBEDDED_MAX:
        raise ValueError(f"an embedded payload has 1 to {EMBEDDED_MAX} bytes")
    room = b"".join(payload.ljust(EMBEDDED_MAX, b"\0") for payload in payloads)
    words = np.zeros((len(payloads), blkptr.BLKPTR_SIZE // 8), "<u8")
    words[:, blkptr.PAYLOAD_WORDS] = np.frombuffer(room, "<u8").reshape(-1, EMBEDDED_MAX // 8)
    bps: BpArray = words.view(BLKPTR)[:, 0]
    prop = np.uint64(lsize - 1 | compress << 32 | type << 48 | level << 56) | _EMBEDDED | _LITTLE
    bps["prop"] = prop | (sizes - np.uint64(1)) << np.uint64(25)
    bps["birth"] = birth
    return bps
