"""Dedup tables: what is known of each deduplicated block, under its checksum and sizes.

A table is a fat ZAP. Its keys are the five words of ``KEY``; its values one byte (compression of the rest, and the
writer's byte order) and the entry. Older tables keep four places a block can have, one for each number of copies;
newer ("flat") ones a single place. Changes to newer tables gather in two log objects of whole blocks of records.

Source: OpenZFS, ddt.h, ddt_impl.h, ddt_zap.c, ddt_log.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import decompress

from ..errors import CorruptError, LimitError

KEY_WORDS = 5
FLAT_SIZE = 72
LEGACY_PLACES = 4
LEGACY_SIZE = 64 * LEGACY_PLACES

#: Classes of entries, as in the names of the tables and in log records.
CLASSES = ("ditto", "duplicate", "unique")
CLASS_NONE = len(CLASSES)

FLAG_FLAT = 1
FLAG_LOG = 2
VERSION = 1

COMPRESS_MASK = 0x7F
COMPRESS_OFF = 2
COMPRESS_ZLE = 14
LITTLE_ENDIAN = 0x80

HISTOGRAM_SHAPE = (64, 8)  # rows: powers of two of the reference count; columns: HISTOGRAM_COLUMNS
HISTOGRAM_COLUMNS = (
    "blocks",
    "lsize",
    "psize",
    "dsize",
    "ref_blocks",
    "ref_lsize",
    "ref_psize",
    "ref_dsize",
)

KEY = np.dtype(
    [
        ("cksum", "<u8", (4,)),  # 0
        ("prop", "<u8"),  # 32  lsize/512-1, psize/512-1 of 16 bits each, compression of 7, encrypted 1
    ]
)
assert KEY.itemsize == 8 * KEY_WORDS

#: One place of a block, as both kinds of tables are given to callers.
ENTRY = np.dtype(
    [
        ("key", KEY),  # 0
        ("dva", "<u8", (3, 2)),  # 40
        ("refcount", "<u8"),  # 88
        ("birth", "<u8"),  # 96   physical
        ("since", "<u8"),  # 104  seconds since 1970 at which a flat entry came into its class; 0 in older tables
        ("place", "u1"),  # 112  older tables: 0 ditto, 1..3 copies; flat: 0
        ("cls", "u1"),  # 113  index into CLASSES
        ("pad", "u1", (6,)),  # 114
    ]
)
assert ENTRY.itemsize == 120

_LOG_HEADER = "8Q"  # info, length, first txg, key of the checkpoint
LOG_HEADER_SIZE = 64
assert struct.calcsize("<" + _LOG_HEADER) == LOG_HEADER_SIZE
LOG_FLUSHING = 1
LOG_CHECKPOINT = 2

LOG_RECORD = np.dtype(
    [
        ("info", "<u8"),  # 0   bits 0-7 type, 8-23 length, 48-55 table type, 56-63 class
        ("key", KEY),  # 8
        ("dva", "<u8", (3, 2)),  # 48
        ("refcount", "<u8"),  # 96
        ("birth", "<u8"),  # 104
        ("since", "<u8"),  # 112
    ]
)
LOG_RECORD_SIZE = 120
assert LOG_RECORD.itemsize == LOG_RECORD_SIZE
RECORD_END = 0
RECORD_ENTRY = 1

EntryArray = NDArray[Any]


def decode_entries(keys: Sequence[bytes], values: Sequence[bytes], cls: int, *, flat: bool) -> EntryArray:
    """Entries of a table, as its ZAP has them (see ``RawEntries``): one element for each place in use.

    Args:
        keys: big-endian words.
        values: as stored.
        cls: class of the table they come from, index into ``CLASSES``.
        flat: which kind of table.

    Raises:
        CorruptError: a key or a value is not that of such a table.
    """
    size = FLAT_SIZE if flat else LEGACY_SIZE
    if any(len(key) != KEY.itemsize for key in keys):
        raise CorruptError("a dedup table has a key of a wrong length")
    payload = np.zeros((len(values), size), dtype=np.uint8)
    view = memoryview(payload.reshape(-1))  # type: ignore[arg-type]
    swapped = np.zeros(len(values), dtype=bool)
    for row, value in enumerate(values):
        _expand(value, view[row * size : (row + 1) * size])
        swapped[row] = not value[0] & LITTLE_ENDIAN
    words = payload.view("<u8")
    words[swapped] = words[swapped].byteswap()
    names = np.frombuffer(b"".join(keys), dtype=">u8").astype("<u8").view(KEY)
    if flat:
        result = np.zeros(len(values), dtype=ENTRY)
        result["key"] = names
        _fill(result, words)
        result["since"] = words[:, 8]
    else:
        result = np.zeros((len(values), LEGACY_PLACES), dtype=ENTRY)
        result["key"] = names[:, None]
        result["place"] = np.arange(LEGACY_PLACES)
        _fill(result, words.reshape(-1, LEGACY_PLACES, 8))
        result = result[result["birth"] != 0]
    result["cls"] = cls
    return result


def _fill(result: EntryArray, words: NDArray[Any]) -> None:
    result["dva"] = words[..., :6].reshape(*words.shape[:-1], 3, 2)
    result["refcount"] = words[..., 6]
    result["birth"] = words[..., 7]


def _expand(value: bytes, out: memoryview) -> None:
    """Undo the framing of one value."""
    kind = value[0] & COMPRESS_MASK if value else -1
    if kind == COMPRESS_ZLE:
        try:
            decompress.zle(value[1:], out)
        except ValueError as error:
            raise CorruptError(f"an entry of a dedup table does not expand: {error}") from None
    elif kind == COMPRESS_OFF and len(value) == len(out) + 1:
        out[:] = value[1:]
    else:
        raise CorruptError("an entry of a dedup table is stored in an unknown way", first=kind, length=len(value))


def decode_histogram(values: Sequence[int]) -> NDArray[np.uint64]:
    """The statistics of a table: an array of shape (64, 8).

    Raises:
        CorruptError: not as many numbers.
    """
    rows, columns = HISTOGRAM_SHAPE
    if len(values) != rows * columns:
        raise CorruptError("the statistics of a dedup table have a wrong size", words=len(values))
    return np.array(values, dtype=np.uint64).reshape(HISTOGRAM_SHAPE)


# --- logs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogHeader:
    """Bonus of a log object. ``checkpoint``: entries up to this key have been flushed (five words), or None."""

    flags: int
    length: int
    first_txg: int
    checkpoint: tuple[int, ...] | None

    @property
    def flushing(self) -> bool:
        """The older of the two logs, which is being put into the tables."""
        return bool(self.flags & LOG_FLUSHING)


def decode_log_header(bonus: bytes, order: str = "<") -> LogHeader:
    """Decode the bonus of a log object.

    Raises:
        CorruptError: too short, or of an unknown version.
    """
    if len(bonus) < LOG_HEADER_SIZE:
        raise CorruptError("the header of a dedup log ends too early", length=len(bonus))
    info, length, first_txg, *key = struct.unpack_from(order + _LOG_HEADER, bonus)
    version, flags = info & 0xFF, info >> 8 & 0xFF
    if version != VERSION:
        raise CorruptError("a dedup log has an unknown version", version=version)
    return LogHeader(flags, length, first_txg, tuple(key) if flags & LOG_CHECKPOINT else None)


def decode_log_block(data: Any, order: str = "<") -> EntryArray:
    """The records in one block of a log, as array of dtype ``ENTRY``; their class may be ``CLASS_NONE`` (removed).

    Raises:
        CorruptError: a record of another type or length.
    """
    usable = len(data) // LOG_RECORD_SIZE * LOG_RECORD_SIZE
    words = np.frombuffer(data, dtype=order + "u8", count=usable // 8).astype("<u8")
    records = words.view(LOG_RECORD)
    kinds = records["info"] & 0xFF
    ends = np.flatnonzero(kinds == RECORD_END)
    records = records[: ends[0]] if len(ends) else records
    info = records["info"]
    if ((info & 0xFF) != RECORD_ENTRY).any() or ((info >> np.uint64(8) & 0xFFFF) != LOG_RECORD_SIZE).any():
        raise CorruptError("a dedup log has a record of an unknown kind")
    result = np.zeros(len(records), dtype=ENTRY)
    for name in ("key", "dva", "refcount", "birth", "since"):
        result[name] = records[name]
    result["cls"] = info >> np.uint64(56)
    if (result["cls"] > CLASS_NONE).any():
        raise LimitError("a dedup log has a record of an unknown class")
    return result
