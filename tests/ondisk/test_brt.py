"""Block reference tables' bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import brt
from uberblock.pool.ondisk.brt import BrtHeader

WORD = st.integers(0, (1 << 64) - 1)


@given(WORD, st.integers(0, 1 << 20), st.integers(0, 1), WORD, WORD, WORD, st.sampled_from("<>"))
def test_header(entries: int, ranges: int, big: int, total: int, used: int, saved: int, order: str) -> None:
    words = (entries, ranges, big, total, brt.RANGE_SIZE, used, saved)
    found = brt.decode_header(struct.pack(order + "7Q", *words), order)
    assert found == BrtHeader(*words) and found.order == "<>"[big]


def test_hostile_headers() -> None:
    with pytest.raises(CorruptError):
        brt.decode_header(bytes(55))
    with pytest.raises(CorruptError):
        brt.decode_header(bytes(56))
    with pytest.raises(CorruptError):
        brt.decode_header(struct.pack("<7Q", 1, 1, 2, 0, 1, 0, 0))
    with pytest.raises(LimitError):
        brt.decode_header(struct.pack("<7Q", 1, 1 << 33, 0, 0, 1, 0, 0))


@given(st.lists(st.tuples(WORD, WORD, st.booleans()), max_size=5), st.sampled_from("<>"))
def test_entries(rows: list[tuple[int, int, bool]], order: str) -> None:
    keys = [struct.pack(">Q", key) for key, _, _ in rows]
    values = [struct.pack((order if octets else ">") + "Q", value) for _, value, octets in rows]
    sizes = [1 if octets else 8 for _, _, octets in rows]
    offsets, counts = brt.decode_entries(keys, values, sizes, order)
    assert offsets.tolist() == [key for key, _, _ in rows]
    assert counts.tolist() == [value for _, value, _ in rows]


def test_hostile_entries() -> None:
    with pytest.raises(CorruptError):
        brt.decode_entries([bytes(16)], [bytes(8)], [8])
    with pytest.raises(CorruptError):
        brt.decode_entries([bytes(8)], [bytes(7)], [1])


def test_counts() -> None:
    assert brt.decode_counts(b"\1\0\0\1", "<").tolist() == [1, 256]
    assert brt.decode_counts(b"\1\0\0\1", ">").tolist() == [256, 1]
