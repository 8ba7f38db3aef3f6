"""System attributes: the bytes in a bonus buffer (type 44) and in a spill block.

A buffer is a header and the attributes of one layout, one after the other, each at a multiple of eight:

    0  u32  magic (in the writer's byte order: tells how to read the rest)
    4  u16  bits 0-9: number of the layout; bits 10-15: size of the header in eights of bytes
    6  u16  lengths of the attributes of variable size, in layout order; there is always room for one
    ..      attributes

The registry (a ZAP) gives each attribute name a number and a size, the layouts (a ZAP) give each layout number the
list of attribute numbers. Both are per file system; only the sixteen of the legacy znode have fixed numbers.

Source: OpenZFS, sa_impl.h, sa.c, zfs_sa.c.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from ..errors import CorruptError, LimitError, UsageError

SA_MAGIC = 0x2F505A
MAX_SA_BYTES = 128 << 10  # of all attributes of one buffer
MAX_ATTRIBUTES = 1024  # in a registry; OpenZFS knows 23
MAX_LAYOUT_ATTRIBUTES = 256
MAX_LAYOUT_NUMBER = 0x3FF

HEADER = struct.Struct("<IH")  # 0 magic, 4 layout and header size; u16 lengths follow at 6
assert HEADER.size == 6

LEGACY_LAYOUT = 0  # a znode of ZPL 1-4; not stored in the layouts ZAP
EMPTY_LAYOUT = 1  # no attributes; not stored either


class SaSwap(IntEnum):
    """How an attribute is swapped between byte orders."""

    U64 = 0
    U32 = 1
    U16 = 2
    U8 = 3
    ACL = 4


@dataclass(frozen=True, slots=True)
class Attribute:
    """A registered attribute. ``length`` 0: variable."""

    number: int
    name: str
    length: int
    swap: int


#: What a new file system registers, in OpenZFS's order: name, length, swap.
STANDARD = (
    ("ZPL_ATIME", 16, SaSwap.U64),
    ("ZPL_MTIME", 16, SaSwap.U64),
    ("ZPL_CTIME", 16, SaSwap.U64),
    ("ZPL_CRTIME", 16, SaSwap.U64),
    ("ZPL_GEN", 8, SaSwap.U64),
    ("ZPL_MODE", 8, SaSwap.U64),
    ("ZPL_SIZE", 8, SaSwap.U64),
    ("ZPL_PARENT", 8, SaSwap.U64),
    ("ZPL_LINKS", 8, SaSwap.U64),
    ("ZPL_XATTR", 8, SaSwap.U64),
    ("ZPL_RDEV", 8, SaSwap.U64),
    ("ZPL_FLAGS", 8, SaSwap.U64),
    ("ZPL_UID", 8, SaSwap.U64),
    ("ZPL_GID", 8, SaSwap.U64),
    ("ZPL_PAD", 32, SaSwap.U64),
    ("ZPL_ZNODE_ACL", 88, SaSwap.U8),
    ("ZPL_DACL_COUNT", 8, SaSwap.U64),
    ("ZPL_SYMLINK", 0, SaSwap.U8),
    ("ZPL_SCANSTAMP", 32, SaSwap.U8),
    ("ZPL_DACL_ACES", 0, SaSwap.ACL),
    ("ZPL_DXATTR", 0, SaSwap.U8),
    ("ZPL_PROJID", 8, SaSwap.U64),
)


def decode_registration(name: str, value: int) -> Attribute:
    """One entry of the registry ZAP."""
    return Attribute(value & 0xFFFF, name, (value >> 24) & 0xFFFF, (value >> 16) & 0xFF)


def encode_registration(attribute: Attribute) -> int:
    """The value of an attribute's entry in the registry ZAP."""
    return attribute.number | attribute.swap << 16 | attribute.length << 24


def standard_registry() -> dict[int, Attribute]:
    """The attributes of a new file system by number."""
    return {n: Attribute(n, name, length, swap) for n, (name, length, swap) in enumerate(STANDARD)}


@dataclass(frozen=True, slots=True)
class SaHeader:
    """A decoded header: byte order of the buffer, layout number, bytes taken by the header."""

    order: str
    layout: int
    size: int


def decode_header(buffer: Any) -> SaHeader:
    """Read the header of a buffer; the magic tells its byte order.

    Raises:
        CorruptError: no magic, or a header that does not fit the buffer.
    """
    if len(buffer) < 8:
        raise CorruptError("system attributes end within their header", length=len(buffer))
    magic, info = struct.unpack_from("<IH", buffer)
    order = "<"
    if magic != SA_MAGIC:
        magic, info = struct.unpack_from(">IH", buffer)
        order = ">"
        if magic != SA_MAGIC:
            raise CorruptError("system attributes without their magic number", magic=f"{magic:#x}")
    size = (info >> 10) * 8
    if not 8 <= size <= len(buffer):
        raise CorruptError("system attributes with an impossible header size", size=size, length=len(buffer))
    return SaHeader(order, info & MAX_LAYOUT_NUMBER, size)


def header_size(variable: int) -> int:
    """Bytes of the header of a buffer with so many attributes of variable size."""
    return 8 if variable <= 1 else 8 + (2 * (variable - 1) + 7) // 8 * 8


def locate(
    buffer: Any, header: SaHeader, layout: Sequence[int], registry: Mapping[int, Attribute]
) -> dict[int, tuple[int, int]]:
    """Where each attribute of a buffer lies: number -> (offset, length), all within the buffer.

    Args:
        layout: attribute numbers of ``header.layout``.

    Raises:
        CorruptError: an attribute that is not registered, or lies outside; LimitError: too many of them.
    """
    if len(layout) > MAX_LAYOUT_ATTRIBUTES:
        raise LimitError("a layout of system attributes is too long", layout=header.layout, count=len(layout))
    places: dict[int, tuple[int, int]] = {}
    at, variable = header.size, 0
    for number in layout:
        attribute = registry.get(number)
        if attribute is None:
            raise CorruptError(
                "a layout names an attribute that is not registered", layout=header.layout, attribute=number
            )
        length = attribute.length
        if length == 0:
            place = 6 + 2 * variable
            if place + 2 > header.size:
                raise CorruptError("a header of system attributes lacks lengths", layout=header.layout)
            (length,) = struct.unpack_from(header.order + "H", buffer, place)
            variable += 1
        if at + length > len(buffer):
            raise CorruptError(
                f"the attribute {attribute.name} lies outside its buffer",
                layout=header.layout, offset=at, length=length,
            )  # fmt: skip
        places[number] = (at, length)
        at = (at + length + 7) & ~7
    return places


def encode(
    layout_number: int,
    layout: Sequence[int],
    values: Mapping[int, bytes],
    registry: Mapping[int, Attribute],
    order: str = "<",
) -> bytes:
    """A buffer: header and the values (bytes in ``order`` already) in layout order, without padding at its end.

    Raises:
        UsageError: a value is missing or does not have its attribute's length; a number is out of range.
    """
    if not 0 <= layout_number <= MAX_LAYOUT_NUMBER:
        raise UsageError("a layout number has ten bits", layout=layout_number)
    lengths = []
    for number in layout:
        attribute, value = registry[number], values[number]
        if attribute.length == 0:
            lengths.append(len(value))
        elif len(value) != attribute.length:
            raise UsageError(f"{attribute.name} has {attribute.length} bytes", got=len(value))
    size = header_size(len(lengths))
    if any(length > 0xFFFF for length in lengths):
        raise UsageError("an attribute is longer than 65535 bytes")
    out = bytearray(struct.pack(order + "IH", SA_MAGIC, layout_number | (size // 8) << 10))
    out += struct.pack(f"{order}{len(lengths)}H", *lengths)
    out += bytes(size - len(out))
    for number in layout:
        out += bytes(-len(out) % 8) + values[number]
    return bytes(out)
