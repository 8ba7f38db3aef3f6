"""Block pointers: 128 bytes that say where a block lies, how it is stored, and what its checksum is.

In memory a block pointer is one element of a little-endian ``BLKPTR`` array, whatever the pool's byte order:
``from_bytes`` swaps once. Code works on arrays of block pointers; every accessor below takes an array of any shape
(or one element) and gives an array of the same shape.

Layout, in 64-bit words (byte offset): three DVAs of two words (0, 16, 32), properties (48), padding (56),
padding (64), physical birth (72), logical birth (80), fill (88), four checksum words (96..127).

Source: OpenZFS, spa.h (``blkptr_t``).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .dmutypes import ENCRYPTED

BLKPTR_SIZE = 128
DVAS_PER_BP = 3
SECTOR = 512
MAX_BLOCK = 16 << 20
EMBEDDED_MAX = 112

ETYPE_DATA = 0
ETYPE_REDACTED = 2

BLKPTR = np.dtype(
    [
        ("dva", "<u8", (3, 2)),  # 0   [i][0]: asize, vdev; [i][1]: offset, gang bit
        ("prop", "<u8"),  # 48  sizes, compression, checksum, type, level, flags
        ("pad", "<u8", (2,)),  # 56
        ("phys_birth", "<u8"),  # 72  0: same as birth
        ("birth", "<u8"),  # 80  logical birth txg
        ("fill", "<u8"),  # 88
        ("cksum", "<u8", (4,)),  # 96
    ]
)
assert BLKPTR.itemsize == BLKPTR_SIZE
assert BLKPTR.fields is not None and BLKPTR.fields["prop"][1] == 48 and BLKPTR.fields["cksum"][1] == 96

#: Array of block pointers (dtype ``BLKPTR``).
BpArray = NDArray[Any]
# Numbers and truths of the same shape as the pointers they were asked of: an array, or a scalar for one pointer.
U64Array: TypeAlias = Any
BoolArray: TypeAlias = Any

# The sixteen words without the property word and the logical birth: where an embedded block keeps its bytes.
PAYLOAD_WORDS = [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15]


def from_bytes(buffer: Any, order: str = "<") -> BpArray:
    """Array of the block pointers in ``buffer`` (a multiple of 128 bytes), in memory order.

    Args:
        buffer: any contiguous buffer. With order ``<`` the result shares its memory.
        order: byte order of the block that holds them, ``<`` or ``>``.
    """
    if order == ">":
        return np.frombuffer(buffer, dtype=">u8").astype("<u8").view(BLKPTR)
    return np.frombuffer(buffer, dtype=BLKPTR)


def to_bytes(bp: BpArray, order: str = "<") -> bytes:
    """The bytes of block pointers as a block of this byte order holds them."""
    raw = np.ascontiguousarray(bp).tobytes()
    return raw if order == "<" else np.frombuffer(raw, dtype="<u8").astype(">u8").tobytes()


def lsize(bp: BpArray) -> U64Array:
    """Logical size in bytes (of an embedded block: its exact length)."""
    prop = bp["prop"]
    return np.where(is_embedded(bp), (prop & 0x1FFFFFF) + 1, ((prop & 0xFFFF) + 1) << np.uint64(9))


def psize(bp: BpArray) -> U64Array:
    """Physical size in bytes: what is stored, before sector padding (embedded: length of the payload)."""
    prop = bp["prop"]
    embedded = ((prop >> np.uint64(25)) & 0x7F) + 1
    return np.where(is_embedded(bp), embedded, (((prop >> np.uint64(16)) & 0xFFFF) + 1) << np.uint64(9))


def compression(bp: BpArray) -> U64Array:
    """Compression id."""
    return (bp["prop"] >> np.uint64(32)) & 0x7F


def is_embedded(bp: BpArray) -> BoolArray:
    """The block's bytes lie in the pointer itself."""
    return (bp["prop"] >> np.uint64(39)) & 1 != 0


def checksum(bp: BpArray) -> U64Array:
    """Checksum id (of an embedded block: its embedded type)."""
    return (bp["prop"] >> np.uint64(40)) & 0xFF


def object_type(bp: BpArray) -> U64Array:
    """DMU object type."""
    return (bp["prop"] >> np.uint64(48)) & 0xFF


def level(bp: BpArray) -> U64Array:
    """Level in the block tree; 0 is data."""
    return (bp["prop"] >> np.uint64(56)) & 0x1F


def is_crypt(bp: BpArray) -> BoolArray:
    """Encrypted, authenticated, or above such blocks."""
    return (bp["prop"] >> np.uint64(61)) & 1 != 0


def is_dedup(bp: BpArray) -> BoolArray:
    """The block is counted in a dedup table."""
    return (bp["prop"] >> np.uint64(62)) & 1 != 0


def is_little(bp: BpArray) -> BoolArray:
    """The block's content was written by a little-endian host."""
    return (bp["prop"] >> np.uint64(63)) & 1 != 0


def is_hole(bp: BpArray) -> BoolArray:
    """No block: reads as zeros."""
    return (bp["dva"][..., 0, 0] == 0) & (bp["dva"][..., 0, 1] == 0) & ~is_embedded(bp)


def is_gang(bp: BpArray) -> BoolArray:
    """The DVAs point to gang headers."""
    return (bp["dva"][..., 0, 1] >> np.uint64(63) != 0) & ~is_embedded(bp)


def is_redacted(bp: BpArray) -> BoolArray:
    """An embedded pointer that stands for redacted data."""
    return is_embedded(bp) & (checksum(bp) == ETYPE_REDACTED)


def physical_birth(bp: BpArray) -> U64Array:
    """Txg in which the first DVA was written."""
    return np.where((bp["phys_birth"] != 0) & ~is_embedded(bp), bp["phys_birth"], bp["birth"])


def is_sealed(bp: BpArray) -> BoolArray:
    """Encrypted data (not merely authenticated): the third DVA holds salt and IV instead of an address."""
    return is_crypt(bp) & (level(bp) == 0) & ENCRYPTED[object_type(bp).astype(np.intp)] & ~is_embedded(bp)


def dva_asize(bp: BpArray) -> U64Array:
    """Allocated bytes of each DVA, shape (..., 3); 0 where there is none."""
    sizes = (bp["dva"][..., 0] & 0xFFFFFF) << np.uint64(9)
    if is_crypt(bp).any():  # most often none is, and this is called for every few pointers
        sizes[..., 2] = np.where(is_sealed(bp), np.uint64(0), sizes[..., 2])
    return sizes


def dva_vdev(bp: BpArray) -> U64Array:
    """Top-level vdev id of each DVA, shape (..., 3)."""
    return (bp["dva"][..., 0] >> np.uint64(32)) & 0xFFFFFF


def dva_offset(bp: BpArray) -> U64Array:
    """Byte offset of each DVA in its vdev's address space, shape (..., 3)."""
    return (bp["dva"][..., 1] & 0x7FFFFFFFFFFFFFFF) << np.uint64(9)


def embedded_payload(bp: BpArray) -> bytes:
    """The stored bytes of one embedded block: exactly ``psize`` of them."""
    words = np.frombuffer(np.ascontiguousarray(bp).tobytes(), dtype="<u8")
    length = int(psize(bp))
    order = "<u8" if bool(is_little(bp)) else ">u8"
    return words[PAYLOAD_WORDS].astype(order).tobytes()[:length]
