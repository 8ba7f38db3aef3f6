"""Gang headers: up to three (or, in large headers, more) block pointers whose blocks together are one block.

A header is as many block pointers as fit before the embedded checksum in its last 40 bytes; unused ones are holes. It
is 512 bytes long; with the feature ``dynamic_gang_header`` it may have the vdev's smallest allocation instead.

Layout of a header of ``size`` bytes: pointers (128 each), zeros, embedded checksum (40, see ``eck``). Where the gang's
own pointer is of an encrypted dataset, words 0 and 1 are folded (xor) with 2 and 3, and these are 0: room for an
authentication code that gang headers do not have.

Source: OpenZFS, zio.h (``zio_gbh_phys_t``) and zio_checksum.c.
"""

from __future__ import annotations

import struct

import numpy as np

from ..errors import CorruptError
from . import blkptr, eck
from .dmutypes import ObjectType

GANG_HEADER_SIZE = 512
#: Largest smallest allocation of any vdev: 255 data columns of 64 KiB.
GANG_HEADER_MAX = 255 << 16

Words = tuple[int, int, int, int]


def slots(size: int) -> int:
    """How many block pointers a header of this size holds."""
    return (size - eck.ECK_SIZE) // blkptr.BLKPTR_SIZE


assert slots(GANG_HEADER_SIZE) == 3 and slots(4096) == 31


def verifier(bp: blkptr.BpArray) -> Words:
    """What stands in the checksum's place while a header is hashed: its first address and its birth.

    Args:
        bp: the one block pointer that leads to the header. Every copy of it has the verifier of the first.
    """
    vdev, offset = int(blkptr.dva_vdev(bp)[0]), int(blkptr.dva_offset(bp)[0])
    return (vdev, offset, int(blkptr.physical_birth(bp)), 0)


def is_folded(bp: blkptr.BpArray) -> bool:
    """The checksum in the header of this pointer is folded: the gang is of an encrypted dataset."""
    return bool(blkptr.is_crypt(bp)) and int(blkptr.object_type(bp)) != ObjectType.OBJSET


def verify(header: bytes | memoryview, words: Words, folded: bool = False) -> bool:
    """True for a header that belongs where it was read. ``folded``: see ``is_folded``."""
    order = eck.order_of(header)
    if order is None:
        return False
    if not folded:
        return eck.verify(header, words, order)
    return _fold(eck.compute(header, words, order)) == eck.stored(header, order)[:2]


def _fold(words: Words) -> tuple[int, int]:
    return words[0] ^ words[2], words[1] ^ words[3]


def decode(header: bytes | memoryview) -> blkptr.BpArray:
    """The pointers in a verified header, holes left out.

    Raises:
        CorruptError: not a header.
    """
    order = eck.order_of(header)
    if order is None or len(header) < GANG_HEADER_SIZE:
        raise CorruptError("a gang header does not end in an embedded checksum", length=len(header))
    pointers = blkptr.from_bytes(bytes(header[: slots(len(header)) * blkptr.BLKPTR_SIZE]), order)
    present: blkptr.BpArray = pointers[~blkptr.is_hole(pointers)]
    return present


def encode(
    pointers: blkptr.BpArray, words: Words, size: int = GANG_HEADER_SIZE, order: str = "<", *, folded: bool = False
) -> bytes:
    """A sealed header.

    Raises:
        ValueError: more pointers than fit.
    """
    if len(pointers) > slots(size):
        raise ValueError(f"{len(pointers)} block pointers do not fit a gang header of {size} bytes")
    header = bytearray(size)
    body = np.ascontiguousarray(pointers).view("<u8").ravel()
    struct.pack_into(f"{order}{len(body)}Q", header, 0, *body.tolist())
    eck.seal(header, words, order)
    if folded:
        left = _fold(eck.stored(header, order))
        struct.pack_into(order + "4Q", header, size - eck.WORDS_SIZE, *left, 0, 0)
    return bytes(header)
