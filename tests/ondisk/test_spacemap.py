"""Space map entries: the examples of the format, a slow model of the decoder, hostile words."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
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


# --- writing --------------------------------------------------------------------------------------------------------

UNIT = st.one_of(st.integers(0, 1 << 20), st.integers(0, (1 << 50)))
RUN = st.one_of(st.integers(1, 100), st.integers(1, 1 << 18), st.integers(1, 1 << 37))
ROW = st.tuples(UNIT, RUN, st.integers(1, 5), st.sampled_from([0, 7, spacemap.NO_VDEV]), st.integers(0, 1))


def merged(entries: np.ndarray) -> list[list[int]]:
    """Entries with those put together again that a writer had to cut; no vdev is 0 where two words are needed."""
    result: list[list[int]] = []
    for offset, run, txg, vdev, free in entries.tolist():
        rest = [txg, vdev % spacemap.NO_VDEV, free]
        if result and result[-1][2:] == rest and result[-1][0] + result[-1][1] == offset:
            result[-1][1] += run
        else:
            result.append([offset, run, *rest])
    return result


@settings(max_examples=60)
@given(st.lists(ROW, max_size=60), st.sampled_from([512, 4096]), st.integers(0, 200), st.sampled_from("<>"))
def test_round_trip(rows: list[tuple[int, ...]], block: int, words_before: int, order: str) -> None:
    entries = np.array(rows, dtype=spacemap.ENTRY)
    made = spacemap.encode(entries, block_size=block, position=8 * words_before, two_words=True, order=order)
    assert merged(spacemap.decode(made, order)) == merged(entries)
    words = struct.unpack(f"{order}{len(made) // 8}Q", made)
    at = 0
    while at < len(words):
        double = words[at] >> 62 == 3
        assert not double or (words_before + at) % (block // 8) != block // 8 - 1
        at += 1 + double


def test_one_word_entries_are_cut() -> None:
    entries = np.array([(5, 70000, 9, spacemap.NO_VDEV, 0)], dtype=spacemap.ENTRY)
    made = spacemap.encode(entries, block_size=4096, two_words=False)
    assert spacemap.decode(made)["run"].tolist() == [32768, 32768, 4464]
    assert struct.unpack("<4Q", made)[0] == 2 << 62 | 1 << 50 | 9
    for wrong in [(1 << 47, 1, 1, spacemap.NO_VDEV, 0), (0, 1, 1, 3, 0), (0, 0, 1, spacemap.NO_VDEV, 0)]:
        with pytest.raises(ValueError, match="does not fit"):
            spacemap.encode(np.array([wrong], dtype=spacemap.ENTRY), block_size=4096, two_words=False)
    assert spacemap.encode(np.zeros(0, dtype=spacemap.ENTRY), block_size=4096, two_words=True) == b""


def test_the_writer_makes_the_examples_of_the_format() -> None:
    rows = [(0, 20, 6, spacemap.NO_VDEV, 0), (0x16, 16, 6, spacemap.NO_VDEV, 0), (8, 2, 9, spacemap.NO_VDEV, 1)]
    made = spacemap.encode(np.array(rows, dtype=spacemap.ENTRY), block_size=4096, two_words=True)
    assert struct.unpack("<5Q", made) == (0x8004000000000006, 0x13, 0x16000F, 0x9004000000000009, 0x88001)
    log = np.array([(0x180370, 0xB0, 1157, 0, 0)], dtype=spacemap.ENTRY)
    made = spacemap.encode(log, block_size=131072, sync_pass=2, two_words=True)
    assert struct.unpack("<3Q", made) == (0x8008000000000485, 0xC0000000AF000000, 0x180370)


@given(st.integers(0, 1 << 30), st.integers(-(1 << 63), (1 << 63) - 1), st.booleans(), st.sampled_from("<>"))
def test_header_round_trip(words: int, alloc: int, full: bool, order: str) -> None:
    header = spacemap.SpaceMapHeader(8 * words, alloc, tuple(range(32)) if full else ())
    raw = spacemap.encode_header(header, 5, order)
    assert len(raw) == (320 if full else 24) and spacemap.decode_header(raw, order) == header
