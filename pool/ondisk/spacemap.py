"""Space maps: logs of what was allocated and freed, in entries of one or two words.

Entries (``run`` and ``offset`` in units of the map's shift): one word, bit 63 clear: offset in bits 16-62,
type in bit 15 (1: free), run - 1 in bits 0-14. Two words, bits 62 and 63 set: run - 1 in bits 24-59, vdev in
bits 0-23; then type in bit 63, offset in bits 0-62. A word with only bit 63 set of these tells the txg (bits
0-49) and sync pass (bits 50-59) of what follows. Words have the byte order of the MOS.

A DTL is such a map too: its offsets are txgs, and all entries are of type ALLOC.

Source: OpenZFS, space_map.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError

HEADER = "QQq"  # 0 object (legacy), 8 length of the data in bytes, 16 bytes allocated minus freed
HEADER_SIZE = 24
HISTOGRAM_AT = 64
BUCKETS = 32
FULL_HEADER_SIZE = HISTOGRAM_AT + 8 * BUCKETS
assert struct.calcsize("<" + HEADER) == HEADER_SIZE and FULL_HEADER_SIZE == 320

MAX_BYTES = 1 << 34  # of one map
WORD = 8
NO_VDEV = 1 << 24  # more than any vdev id a two-word entry can name

ENTRY = np.dtype(
    [
        ("offset", "<u8"),  # 0   units
        ("run", "<u8"),  # 8   units
        ("txg", "<u8"),  # 16  of the last debug word; 0: none yet
        ("vdev", "<u4"),  # 24  NO_VDEV in one-word entries
        ("free", "<u4"),  # 28  1: freed, 0: allocated
    ]
)
assert ENTRY.itemsize == 32


@dataclass(frozen=True, slots=True)
class SpaceMapHeader:
    """Bonus of a space map object."""

    length: int  # bytes of data in use
    alloc: int  # bytes allocated minus freed; negative in a checkpoint's map
    histogram: tuple[int, ...]  # [i]: free segments of 2^(i+shift) bytes up to twice that


def decode_header(bonus: bytes, order: str = "<") -> SpaceMapHeader:
    """Decode the bonus of a space map object (24 bytes, or 320 with a histogram).

    Raises:
        CorruptError: too short, or a length that is no number of words. LimitError: larger than a map gets.
    """
    if len(bonus) < HEADER_SIZE:
        raise CorruptError("the header of a space map ends too early", length=len(bonus))
    _, length, alloc = struct.unpack_from(order + HEADER, bonus)
    if length % WORD:
        raise CorruptError("a space map ends within a word", length=length)
    if length > MAX_BYTES:
        raise LimitError("a space map claims to be larger than any gets", length=length)
    full = len(bonus) >= FULL_HEADER_SIZE
    buckets = struct.unpack_from(f"{order}{BUCKETS}Q", bonus, HISTOGRAM_AT) if full else ()
    return SpaceMapHeader(length, alloc, buckets)


def decode(data: Any, order: str = "<") -> NDArray[Any]:
    """Decode the words of a space map, whole or a part that begins with an entry.

    Returns:
        array of dtype ``ENTRY``, in the order of the log.

    Raises:
        CorruptError: the last entry is cut off.
    """
    words = np.frombuffer(data, dtype=order + "u8").astype(np.uint64, copy=False)
    prefix = words >> np.uint64(62)
    second = _second_words(prefix == 3)
    if len(words) and prefix[-1] == 3 and not second[-1]:
        raise CorruptError("a space map ends within an entry", words=len(words))
    debug = (prefix == 2) & ~second
    heads = np.flatnonzero(~second & ~debug)
    head = words[heads]
    double = prefix[heads] == 3
    tail = words[np.minimum(heads + 1, len(words) - 1)] if len(words) else words
    entries = np.empty(len(heads), dtype=ENTRY)
    low63 = np.uint64((1 << 63) - 1)
    entries["offset"] = np.where(double, tail & low63, head >> np.uint64(16))
    single_run, double_run = head & np.uint64(0x7FFF), head >> np.uint64(24) & np.uint64((1 << 36) - 1)
    entries["run"] = np.where(double, double_run, single_run) + np.uint64(1)
    entries["free"] = np.where(double, tail >> np.uint64(63), head >> np.uint64(15) & np.uint64(1))
    entries["vdev"] = np.where(double, head & np.uint64(NO_VDEV - 1), np.uint64(NO_VDEV))
    stamps = np.where(debug, words & np.uint64((1 << 50) - 1), np.uint64(0))
    stamped = np.flatnonzero(debug & (stamps != 0))  # txg 0 is padding
    last = np.searchsorted(stamped, heads) - 1
    known = np.concatenate([stamps[stamped], np.zeros(1, np.uint64)])  # index -1: none yet
    entries["txg"] = known[last]
    return entries


def _second_words(looks_double: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which words are the second of an entry: any word may look like a first one.

    In a run of words that look so, every other one is a first word, beginning with the first of the run.
    """
    index = np.arange(len(looks_double))
    breaks = np.where(looks_double, -1, index)
    since = index - np.maximum.accumulate(breaks) if len(index) else index  # 1: first of a run
    first = looks_double & (since % 2 == 1)
    second = np.zeros(len(index), dtype=bool)
    second[1:] = first[:-1]
    return second


def ranges(entries: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(starts, ends) of the entries, in units.

    Raises:
        CorruptError: a range runs beyond 2^64.
    """
    starts: NDArray[np.uint64] = entries["offset"]
    ends = starts + entries["run"]
    if bool((ends < starts).any()):
        raise CorruptError("a range in a space map ends before it starts")
    return starts, ends


# --- writing ------------------------------------------------------------------------------------------------------

ONE_WORD_RUN, ONE_WORD_OFFSET = 1 << 15, 1 << 47
TWO_WORD_RUN, TWO_WORD_OFFSET = 1 << 36, 1 << 63


def encode_header(header: SpaceMapHeader, number: int = 0, order: str = "<") -> bytes:
    """The bonus of a space map object: 320 bytes, or 24 without a histogram."""
    raw = struct.pack(order + HEADER, number, header.length, header.alloc)
    if not header.histogram:
        return raw
    return raw.ljust(HISTOGRAM_AT, b"\0") + struct.pack(f"{order}{BUCKETS}Q", *header.histogram)


def encode(
    entries: NDArray[Any], *, block_size: int, position: int = 0, sync_pass: int = 1, two_words: bool, order: str = "<"
) -> bytes:
    """The words of entries, to be appended to a space map.

    Each run of entries with the same txg and kind gets a word that says so. Long runs are cut; where an entry of two
    words would lie in two blocks, the first block is filled up.

    Args:
        entries: dtype ``ENTRY``.
        block_size: of the object, in bytes.
        position: bytes the map has already.
        sync_pass: number that goes with the txgs.
        two_words: the pool has feature spacemap_v2; without it only entries of one word are made.
        order: byte order.

    Raises:
        ValueError: an entry cannot be expressed.
    """
    parts = _cut(entries, TWO_WORD_RUN if two_words else ONE_WORD_RUN)
    offset, run = parts["offset"], parts["run"] - np.uint64(1)
    double = (parts["vdev"] != NO_VDEV) | (offset >= ONE_WORD_OFFSET) | (run >= ONE_WORD_RUN)
    if (parts["run"] == 0).any() or (offset >= TWO_WORD_OFFSET).any() or (double.any() and not two_words):
        raise ValueError("an entry does not fit into a space map")
    free = parts["free"].astype(np.uint64)
    vdev = np.where(parts["vdev"] == NO_VDEV, 0, parts["vdev"]).astype(np.uint64)
    single = offset << np.uint64(16) | free << np.uint64(15) | run & np.uint64(ONE_WORD_RUN - 1)
    head = np.uint64(3 << 62) | run << np.uint64(24) | vdev
    stamp = np.uint64(2 << 62) | free << np.uint64(60) | np.uint64(sync_pass << 50) | parts["txg"]
    news = np.ones(len(parts), dtype=bool)
    news[1:] = (parts["txg"][1:] != parts["txg"][:-1]) | (free[1:] != free[:-1])
    table = np.stack([stamp, np.where(double, head, single), free << np.uint64(63) | offset], axis=1)
    used = np.stack([news, np.ones_like(news), double], axis=1)
    words = table[used]
    # True for first words of two: these must not be the last of a block.
    starts = np.stack([np.zeros_like(news), double, np.zeros_like(news)], axis=1)[used]
    return _padded(words, starts, position // WORD, block_size // WORD).astype(order + "u8").tobytes()


def _cut(entries: NDArray[Any], limit: int) -> NDArray[Any]:
    """The same entries with none longer than ``limit`` units."""
    pieces = np.maximum(-(-entries["run"].astype(np.int64) // limit), 1)
    if (pieces == 1).all():
        return entries
    parts = np.repeat(entries, pieces)
    number = np.arange(len(parts)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    done = number.astype(np.uint64) * np.uint64(limit)
    parts["offset"] += done
    parts["run"] = np.minimum(parts["run"] - done, np.uint64(limit))
    return parts


def _padded(
    words: NDArray[np.uint64], starts: NDArray[np.bool_], position: int, per_block: int
) -> NDArray[np.uint64]:
    """Words with padding put in, so that no entry of two words begins on the last word of a block."""
    result, at = [], 0
    while at < len(words):
        room = per_block - (position % per_block)
        take = min(room, len(words) - at)
        straddles = take == room and bool(starts[at + take - 1])
        take -= straddles
        result.append(words[at : at + take])
        if straddles:
            result.append(np.full(1, 1 << 63, dtype=np.uint64))
        at += take
        position += take + straddles
    return np.concatenate(result) if result else words
