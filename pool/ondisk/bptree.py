"""The trees of destroyed datasets, waiting to be freed: an array of entries, of which those in [begin, end) are left.

A tree that was begun to be freed has a bookmark: the first level-0 block, in the order of objects, that is not free
yet; the blocks before it are.

Source: OpenZFS, bptree.h, bptree.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError
from .blkptr import BLKPTR

_HEADER = "5Q"  # 0 begin, 8 end, 16 bytes, 24 compressed, 32 uncompressed bytes
HEADER_SIZE = 40
assert struct.calcsize("<" + _HEADER) == HEADER_SIZE

ENTRY = np.dtype(
    [
        ("bp", BLKPTR),  # 0   objset block
        ("birth_txg", "<u8"),  # 128 only what was born after it is freed
        ("objset", "<u8"),  # 136 bookmark: DESTROYED, or 0 if nothing was freed yet
        ("object", "<u8"),  # 144
        ("level", "<i8"),  # 152 0
        ("blkid", "<u8"),  # 160
    ]
)
ENTRY_SIZE = 168
assert ENTRY.itemsize == ENTRY_SIZE

DESTROYED = (1 << 64) - 1
MAX_ENTRIES = 1 << 32


@dataclass(frozen=True, slots=True)
class BptreeHeader:
    """Bonus of the object. ``bytes`` as charged, ``comp`` as stored, ``uncomp`` as long as content is."""

    begin: int
    end: int
    bytes: int
    comp: int
    uncomp: int


def decode_header(bonus: bytes, order: str = "<") -> BptreeHeader:
    """Decode the bonus.

    Raises:
        CorruptError: too short, or it ends before it begins. LimitError: impossible counts.
    """
    if len(bonus) < HEADER_SIZE:
        raise CorruptError("the header of the list of destroyed datasets ends too early", length=len(bonus))
    header = BptreeHeader(*struct.unpack_from(order + _HEADER, bonus))
    if header.begin > header.end:
        raise CorruptError("the list of destroyed datasets ends before it begins", begin=header.begin, end=header.end)
    if header.end > MAX_ENTRIES:
        raise LimitError("the list of destroyed datasets is impossibly long", end=header.end)
    return header


def decode(words: NDArray[np.uint64]) -> NDArray[Any]:
    """Entries (dtype ``ENTRY``) of the words that are stored, in native order already.

    Raises:
        CorruptError: not whole entries.
    """
    if len(words) * 8 % ENTRY_SIZE:
        raise CorruptError("the list of destroyed datasets ends within an entry", words=len(words))
    return np.ascontiguousarray(words).astype("<u8").view(ENTRY)
