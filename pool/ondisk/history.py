"""The pool's history: a ring of records behind a beginning that is kept forever.

The object's bonus says where records begin and end, in logical offsets that only grow; everything up to
``create_length`` lies where its offset says, the rest wraps round between there and ``phys_max``. A record is
a length (8 bytes, little-endian) and a natively packed nvlist.

Source: OpenZFS, spa_history.c (``spa_history_phys_t``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import CorruptError, LimitError
from . import nvlist
from .nvlist import NVList

OFFSETS = "5Q"  # 0 create_length, 8 phys_max, 16 begin, 24 end, 32 records lost
OFFSETS_SIZE = 40
assert struct.calcsize("<" + OFFSETS) == OFFSETS_SIZE

MAX_HISTORY = 1 << 30  # OpenZFS keeps no more
MAX_RECORD = 16 << 20
LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class HistoryOffsets:
    """The bonus of the history object. All but ``records_lost`` are bytes."""

    create_length: int
    phys_max: int
    begin: int
    end: int
    records_lost: int

    def pieces(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Where logical ``begin`` .. ``end`` lies in the object: (offset, length), at most two."""
        result = []
        ring = self.phys_max - self.create_length
        while begin < end:
            if begin < self.create_length:
                at, room = begin, self.create_length - begin
            else:
                at = self.create_length + (begin - self.create_length) % ring
                room = self.phys_max - at
            length = min(room, end - begin)
            result.append((at, length))
            begin += length
        return result

    def all_pieces(self) -> list[tuple[int, int]]:
        """Where all records lie, oldest first: those of the beginning, then those of the ring."""
        first = self.pieces(0, min(self.create_length, self.end))
        return first + self.pieces(max(self.begin, self.create_length), self.end)


def decode_offsets(bonus: bytes, order: str = "<") -> HistoryOffsets:
    """Decode the bonus.

    Raises:
        CorruptError: too short, or offsets that contradict each other. LimitError: more than OpenZFS keeps.
    """
    if len(bonus) < OFFSETS_SIZE:
        raise CorruptError("the offsets of the pool history end too early", length=len(bonus))
    found = HistoryOffsets(*struct.unpack_from(order + OFFSETS, bonus))
    if found.phys_max > MAX_HISTORY:
        raise LimitError("the pool history claims to be larger than OpenZFS keeps", size=found.phys_max)
    kept = found.end - max(found.begin, found.create_length)
    if (
        found.create_length > found.phys_max
        or found.begin > found.end
        or kept > found.phys_max - found.create_length
    ):
        raise CorruptError("the offsets of the pool history contradict each other", offsets=found)
    return found


def decode_records(data: bytes) -> list[NVList]:
    """The records in ``data``, which holds whole ones one after another.

    Raises:
        CorruptError: a record is cut off or no nvlist.
    """
    records, used = split_records(data)
    if used < len(data):
        raise CorruptError("the pool history ends within a record", position=used)
    return records


def split_records(data: bytes | bytearray) -> tuple[list[NVList], int]:
    """The whole records at the start of ``data``, and how many bytes they take; the rest begins the next one.

    Raises:
        CorruptError: a record is no nvlist. LimitError: it claims to be larger than any.
    """
    records = []
    at = 0
    while len(data) - at >= LENGTH.size:
        (length,) = LENGTH.unpack_from(data, at)
        if length > MAX_RECORD:
            raise LimitError("a record of the pool history is too long", position=at, length=length)
        if length > len(data) - at - LENGTH.size:
            break
        begin = at + LENGTH.size
        records.append(nvlist.decode(bytes(data[begin : begin + length])))
        at = begin + length
    return records, at


def encode_record(record: NVList, order: str = "<") -> bytes:
    """A record as it is appended to the history."""
    packed = nvlist.encode(record, "native", order)
    return LENGTH.pack(len(packed)) + packed
