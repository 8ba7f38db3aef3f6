"""Block reference tables: how often the blocks of a top-level vdev are used beyond once, through cloning.

Each vdev with clones has an object of 16-bit counts, one for each 16 MiB of the vdev (how many entries the table has
there), whose bonus is the header below; and a ZAP from byte offset to the number of further references.

Source: OpenZFS, brt_impl.h, brt.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError

_HEADER = "7Q"
HEADER_SIZE = 56
assert struct.calcsize("<" + _HEADER) == HEADER_SIZE
RANGE_SIZE = 16 << 20
COUNT_SIZE = 2
MAX_RANGES = 1 << 32


@dataclass(frozen=True, slots=True)
class BrtHeader:
    """Bonus of a vdev's object of counts."""

    entries: int  # 0   object number of the ZAP of entries
    ranges: int  # 8   number of counts
    big_endian: int  # 16  byte order of the counts, and of one-byte-integer values
    total: int  # 24  entries in the table
    range_size: int  # 32  bytes of the vdev for each count
    used_bytes: int  # 40  of blocks with clones
    saved_bytes: int  # 48

    @property
    def order(self) -> str:
        """Byte order of the counts."""
        return ">" if self.big_endian else "<"


def decode_header(bonus: bytes, order: str = "<") -> BrtHeader:
    """Decode the bonus.

    Raises:
        CorruptError: too short, or a byte order that does not exist. LimitError: an impossible size.
    """
    if len(bonus) < HEADER_SIZE:
        raise CorruptError("the header of a block reference table ends too early", length=len(bonus))
    header = BrtHeader(*struct.unpack_from(order + _HEADER, bonus))
    if header.big_endian > 1 or not header.range_size:
        raise CorruptError("the header of a block reference table makes no sense", header=header)
    if header.ranges > MAX_RANGES:
        raise LimitError("a block reference table claims to be larger than a vdev", ranges=header.ranges)
    return header


def decode_counts(data: Any, order: str = "<") -> NDArray[np.uint16]:
    """Entries in each range, ``order`` being that of the header."""
    return np.frombuffer(data, dtype=order + "u2").astype(np.uint16)


def decode_entries(
    keys: Sequence[bytes], values: Sequence[bytes], sizes: Sequence[int], order: str = "<"
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(offsets, further references) of entries as a ZAP has them (see ``RawEntries``).

    Args:
        keys: big-endian words, one for each key.
        values: eight bytes each: a big-endian number, or one-byte integers in the order of the header.
        sizes: integer size of each value.
        order: that of the header.

    Raises:
        CorruptError: a key or value of another length.
    """
    if any(len(key) != 8 for key in keys) or any(len(value) != 8 for value in values):
        raise CorruptError("a block reference table has an entry of a wrong length")
    offsets = np.frombuffer(b"".join(keys), dtype=">u8").astype(np.uint64)
    raw = b"".join(values)
    as_numbers = np.frombuffer(raw, dtype=">u8").astype(np.uint64)
    as_bytes = np.frombuffer(raw, dtype=order + "u8").astype(np.uint64)
    return offsets, np.where(np.asarray(sizes) == 1, as_bytes, as_numbers)
