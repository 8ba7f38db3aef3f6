"""Dedup tables' keys, values, logs: both generations, both byte orders, hostile bytes."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import ddt

WORD = st.integers(0, (1 << 64) - 1)
KEY = st.lists(WORD, min_size=5, max_size=5)


def zle(data: bytes) -> bytes:
    """Data as literals and runs of zeros."""
    out, at = b"", 0
    while at < len(data):
        run = len(data) - at - len(data[at:].lstrip(b"\0"))
        if run:
            out += bytes([63 + min(run, 192)])
            at += min(run, 192)
        else:
            end = data.find(b"\0", at)
            piece = data[at : min(at + 64, len(data) if end < 0 else end)]
            out += bytes([len(piece) - 1]) + piece
            at += len(piece)
    return out


@given(KEY, st.lists(WORD, min_size=9, max_size=9), st.booleans(), st.booleans())
def test_flat(key: list[int], words: list[int], packed: bool, little: bool) -> None:
    raw = struct.pack(("<" if little else ">") + "9Q", *words)
    head = (14 if packed else 2) | (0x80 if little else 0)
    value = bytes([head]) + (zle(raw) if packed else raw)
    (entry,) = ddt.decode_entries([struct.pack(">5Q", *key)], [value], 1, flat=True)
    assert [*entry["key"]["cksum"].tolist(), int(entry["key"]["prop"])] == key
    found = [*entry["dva"].reshape(-1).tolist(), int(entry["refcount"]), int(entry["birth"]), int(entry["since"])]
    assert found == words and entry["cls"] == 1 and entry["place"] == 0


def test_legacy_places_that_are_in_use() -> None:
    places = [[0] * 8, [1, 2, 0, 0, 0, 0, 7, 50], [0] * 8, [1, 2, 3, 4, 5, 6, 8, 60]]
    raw = struct.pack("<32Q", *(w for place in places for w in place))
    found = ddt.decode_entries([bytes(40), bytes(40)], [b"\x8e" + zle(raw)] * 2, 2, flat=False)
    assert found["place"].tolist() == [1, 3, 1, 3] and found["refcount"].tolist() == [7, 8, 7, 8]
    assert found["dva"][1].tolist() == [[1, 2], [3, 4], [5, 6]] and found["birth"].tolist() == [50, 60] * 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (bytes(39), b"\x82" + bytes(72)),
        (bytes(40), b""),
        (bytes(40), b"\x82" + bytes(71)),
        (bytes(40), b"\x8f" + bytes(72)),
        (bytes(40), b"\x8e"),
        (bytes(40), b"\x8e\xff\x00"),
    ],
)
def test_hostile_values(key: bytes, value: bytes) -> None:
    with pytest.raises(CorruptError):
        ddt.decode_entries([key], [value], 0, flat=True)


@given(st.binary(max_size=100), st.booleans())
def test_any_value(value: bytes, flat: bool) -> None:
    try:
        ddt.decode_entries([bytes(40)], [value], 0, flat=flat)
    except CorruptError:
        pass


def record(key: list[int], words: list[int], cls: int = 2, order: str = "<") -> bytes:
    return struct.pack(order + "15Q", 1 | 120 << 8 | cls << 56, *key, *words)


RECORD = st.tuples(KEY, st.lists(WORD, min_size=9, max_size=9), st.integers(0, 3))


@given(st.lists(RECORD, max_size=6), st.sampled_from("<>"))
def test_log_block(rows: list[Any], order: str) -> None:
    raw = b"".join(record(key, words, cls, order) for key, words, cls in rows).ljust(1024, b"\0")
    found = ddt.decode_log_block(raw, order)
    assert found["cls"].tolist() == [cls for _, _, cls in rows]
    assert [[*k["cksum"].tolist(), int(k["prop"])] for k in found["key"]] == [key for key, _, _ in rows]
    assert found["refcount"].tolist() == [words[6] for _, words, _ in rows]
    assert found["since"].tolist() == [words[8] for _, words, _ in rows]


def test_hostile_log() -> None:
    good = record([0] * 5, [0] * 9)
    with pytest.raises(CorruptError, match="unknown kind"):
        ddt.decode_log_block(good + b"\2" + good[1:])
    with pytest.raises(CorruptError, match="unknown kind"):
        ddt.decode_log_block(struct.pack("<Q", 1 | 112 << 8) + bytes(112))
    with pytest.raises(LimitError, match="class"):
        ddt.decode_log_block(record([0] * 5, [0] * 9, 4))
    assert len(ddt.decode_log_block(b"")) == 0


@given(KEY, WORD, WORD, st.sampled_from([0, 1, 2, 3]), st.sampled_from("<>"))
def test_log_header(key: list[int], length: int, txg: int, flags: int, order: str) -> None:
    raw = struct.pack(order + "8Q", 1 | flags << 8, length, txg, *key)
    found = ddt.decode_log_header(raw, order)
    assert (found.flags, found.length, found.first_txg) == (flags, length, txg)
    assert found.flushing == bool(flags & 1) and found.checkpoint == (tuple(key) if flags & 2 else None)
    with pytest.raises(CorruptError):
        ddt.decode_log_header(raw[:63], order)
    with pytest.raises(CorruptError):
        ddt.decode_log_header(bytes(64), order)


def test_histogram() -> None:
    found = ddt.decode_histogram(range(512))
    assert found.shape == (64, 8) and found[2].tolist() == list(range(16, 24))
    assert len(ddt.HISTOGRAM_COLUMNS) == 8
    with pytest.raises(CorruptError):
        ddt.decode_histogram([0] * 511)
    assert np.issubdtype(found.dtype, np.uint64)
