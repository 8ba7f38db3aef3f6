"""Space map entries: the examples of the format, a slow model of the decoder, hostile words."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import spacemap

WORDS = st.one_of(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 62) - 1).map(lambda w: w | 3 << 62),
    st.integers(0, (1 << 62) - 1).map(lambda w: w | 2 << 62),
    st.just(1 << 63),
)


def model(words: list[int]) -> list[tuple[int, ...]]:
    """The entries one word after another."""
    result, txg, at = [], 0, 0
    while at < len(words):
        word = words[at]
        at += 1
        if word >> 62 == 2:
            txg = word & (1 << 50) - 1 or txg
        elif word >> 62 == 3:
            tail = words[at]
            at += 1
            run = (word >> 24 & (1 << 36) - 1) + 1
            result.append((tail & (1 << 63) - 1, run, txg, word & 0xFFFFFF, tail >> 63))
        else:
            result.append((word >> 16, (word & 0x7FFF) + 1, txg, spacemap.NO_VDEV, word >> 15 & 1))
    return result


@given(st.lists(WORDS, max_size=40), st.sampled_from("<>"))
def test_as_the_model(words: list[int], order: str) -> None:
    data = struct.pack(f"{order}{len(words)}Q", *words)
    try:
        expected = model(words)
    except IndexError:
        with pytest.raises(CorruptError):
            spacemap.decode(data, order)
        return
    assert [tuple(int(v) for v in e) for e in spacemap.decode(data, order)] == expected


def test_the_examples_of_the_format() -> None:
    words = [0x8004000000000006, 0x13, 0x16000F, 0x9004000000000009, 0x88001]
    found = spacemap.decode(struct.pack("<5Q", *words))
    assert found["offset"].tolist() == [0, 0x16, 8]
    assert found["run"].tolist() == [20, 16, 2]
    assert found["txg"].tolist() == [6, 6, 9] and found["free"].tolist() == [0, 0, 1]
    words = [0x8008000000000485, 0xC0000000AF000000, 0x180370]
    (entry,) = spacemap.decode(struct.pack("<3Q", *words)).tolist()
    assert entry == (0x180370, 0xB0, 1157, 0, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_headers(order: str) -> None:
    raw = struct.pack(order + "QQq", 5, 64, -4096)
    assert spacemap.decode_header(raw, order) == spacemap.SpaceMapHeader(64, -4096, ())
    full = raw.ljust(64, b"\0") + struct.pack(order + "32Q", *range(32))
    assert spacemap.decode_header(full, order).histogram == tuple(range(32))
    for bad, error in ((raw[:23], CorruptError), (struct.pack(order + "QQq", 0, 7, 0), CorruptError)):
        with pytest.raises(error):
            spacemap.decode_header(bad, order)
    with pytest.raises(LimitError):
        spacemap.decode_header(struct.pack(order + "QQq", 0, 1 << 60, 0), order)


def test_ranges_do_not_wrap() -> None:
    entries = spacemap.decode(struct.pack("<2Q", 3 << 62 | ((1 << 36) - 1) << 24, (1 << 63) - 1))
    entries["offset"] = (1 << 64) - 2
    with pytest.raises(CorruptError):
        spacemap.ranges(entries)
