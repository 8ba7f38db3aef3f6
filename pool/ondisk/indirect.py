"""Removed vdevs: the mapping that tells where their blocks went, and the txgs in which they were copied.

The mapping object is an array of entries sorted by source offset, the births object one of (offset, txg).
Both have their number of entries in the bonus.

Source: OpenZFS, vdev_indirect_mapping.h, vdev_indirect_births.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError

ENTRY_SIZE = 24
BIRTH_SIZE = 16
MAX_ENTRIES = 1 << 28

ENTRY = np.dtype(
    [
        ("source", "<u8"),  # 0   bits 0-62: source offset in sectors; bit 63 unused on disk
        ("dva", "<u8", (2,)),  # 8   destination; its asize is the length of the range
    ]
)
assert ENTRY.itemsize == ENTRY_SIZE
BIRTH = np.dtype(
    [
        ("offset", "<u8"),  # 0   everything below, down to the entry before, was copied in
        ("txg", "<u8"),  # 8   this txg
    ]
)
assert BIRTH.itemsize == BIRTH_SIZE
MAPPING_HEADER = "4Q"  # 0 max offset, 8 bytes mapped, 16 entries, 24 counts object (absent in older pools)
BIRTHS_HEADER = "Q"  # 0 entries
assert struct.calcsize("<" + MAPPING_HEADER) == 32

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class MappingHeader:
    """Bonus of a mapping object."""

    max_offset: int
    bytes_mapped: int
    entries: int
    counts_object: int


@dataclass(frozen=True, slots=True)
class Mapping:
    """A whole mapping as columns, sorted by ``source`` (all in bytes)."""

    source: NDArray[np.uint64]
    dva: NDArray[np.uint64]  # shape (n, 2), as in a block pointer
    size: NDArray[np.uint64]


def decode_mapping_header(bonus: bytes, order: str = "<") -> MappingHeader:
    """Decode the bonus of a mapping object (24 or 32 bytes).

    Raises:
        CorruptError: too short. LimitError: more entries than a vdev can have.
    """
    if len(bonus) < 24:
        raise CorruptError("the header of an indirect mapping ends too early", length=len(bonus))
    words = struct.unpack_from(order + "4Q", bonus.ljust(32, b"\0"))
    found = MappingHeader(words[0], words[1], words[2], words[3] if len(bonus) >= 32 else 0)
    if found.entries > MAX_ENTRIES:
        raise LimitError("an indirect mapping has too many entries", entries=found.entries)
    return found


def decode_mapping(data: bytes, order: str = "<") -> Mapping:
    """Decode mapping entries.

    Raises:
        CorruptError: not whole entries, not sorted, overlapping, or an empty range.
    """
    if len(data) % ENTRY_SIZE:
        raise CorruptError("an indirect mapping ends within an entry", length=len(data))
    entries = np.frombuffer(data, dtype=order + "u8").astype("<u8").view(ENTRY)
    source = (entries["source"] & np.uint64(0x007FFFFFFFFFFFFF)) << np.uint64(9)
    dva = np.ascontiguousarray(entries["dva"])
    size = (dva[:, 0] & np.uint64(0xFFFFFF)) << np.uint64(9)
    if len(source) and (bool((size == 0).any()) or bool((source[1:] < source[:-1] + size[:-1]).any())):
        raise CorruptError("the entries of an indirect mapping are empty or overlap")
    return Mapping(source, dva, size)


def decode_births_header(bonus: bytes, order: str = "<") -> int:
    """Number of entries of a births object.

    Raises:
        CorruptError: too short. LimitError: more entries than a vdev can have.
    """
    if len(bonus) < 8:
        raise CorruptError("the header of an indirect births object ends too early", length=len(bonus))
    (count,) = struct.unpack_from(order + BIRTHS_HEADER, bonus)
    if count > MAX_ENTRIES:
        raise LimitError("an indirect births object has too many entries", entries=count)
    return int(count)


def decode_births(data: bytes, order: str = "<") -> Array:
    """Decode births entries (dtype ``BIRTH``).

    Raises:
        CorruptError: not whole entries, or offsets that do not ascend.
    """
    if len(data) % BIRTH_SIZE:
        raise CorruptError("an indirect births object ends within an entry", length=len(data))
    entries = np.frombuffer(data, dtype=order + "u8").astype("<u8").view(BIRTH)
    if bool((entries["offset"][1:] <= entries["offset"][:-1]).any()):
        raise CorruptError("the entries of an indirect births object do not ascend")
    return entries
