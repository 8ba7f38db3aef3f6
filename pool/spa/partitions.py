"""Partition tables, as far as finding pools inside images of whole disks needs them.

GPT: a header in the second sector (signature, entry array position, count and size), entries with first and
last sector. MBR: four entries at byte 446. Sector sizes 512 and 4096 are tried.

Source: UEFI specification, chapter 5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MAX_ENTRIES = 256
MIN_PARTITION = 1 << 20  # smaller ones cannot hold a vdev
GPT_SIGNATURE = b"EFI PART"
MBR_SIGNATURE = b"\x55\xaa"
MBR_PROTECTIVE = 0xEE
GPT_HEADER = struct.Struct("<72xQII")  # 72 sector of the entries, 80 number of entries, 84 size of an entry
GPT_ENTRY = struct.Struct("<16s16sQQ")  # 0 type, 16 guid, 32 first sector, 40 last sector
MBR_ENTRY = struct.Struct("<4xB3xII")  # 4 type, 8 first sector, 12 sectors

#: Reads (offset, length); short at the end of the device.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition: its number (from 1) and its place in bytes."""

    number: int
    start: int
    length: int


def partitions(read: Read, size: int) -> list[Partition]:
    """The partitions of a device of ``size`` bytes, those that lie within it; none: an empty list."""
    for sector in (512, 4096):
        head = read(sector, 512)
        if head[:8] == GPT_SIGNATURE and len(head) >= GPT_HEADER.size:
            return _inside(_gpt(read, head, sector), size)
    mbr = read(0, 512)
    if mbr[510:512] == MBR_SIGNATURE:
        return _inside(_mbr(mbr), size)
    return []


def _inside(found: list[Partition], size: int) -> list[Partition]:
    return [p for p in found if p.length >= MIN_PARTITION and p.start + p.length <= size]


def _gpt(read: Read, head: bytes, sector: int) -> list[Partition]:
    at, count, entry_size = GPT_HEADER.unpack_from(head)
    if not 128 <= entry_size <= 4096 or at >= 1 << 48:
        return []
    count = min(count, MAX_ENTRIES)
    table = read(at * sector, count * entry_size)
    result = []
    for number in range(min(count, len(table) // entry_size)):
        kind, _guid, first, last = GPT_ENTRY.unpack_from(table, number * entry_size)
        if any(kind) and 0 < first <= last < 1 << 48:
            result.append(Partition(number + 1, first * sector, (last - first + 1) * sector))
    return result


def _mbr(mbr: bytes) -> list[Partition]:
    result = []
    for number in range(4):
        kind, first, sectors = MBR_ENTRY.unpack_from(mbr, 446 + 16 * number)
        if kind not in (0, MBR_PROTECTIVE) and first and sectors:
            result.append(Partition(number + 1, first * 512, sectors * 512))
    return result
