"""The ring arithmetic and the records of the pool history."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import history
from uberblock.pool.ondisk.nvlist import NVList


def test_records_round_trip() -> None:
    records = [NVList({"history command": f"zpool create {n}", "history time": n}) for n in range(5)]
    data = b"".join(history.encode_record(r) for r in records)
    assert history.decode_records(data) == records
    assert history.split_records(data[:-1]) == (records[:-1], len(data) - len(history.encode_record(records[-1])))
    with pytest.raises(LimitError):
        history.decode_records(b"\xff" * 16)
    for cut in (1, 9, len(data) - 1):
        with pytest.raises(CorruptError):
            history.decode_records(data[:cut])


@given(st.integers(0, 500), st.integers(1, 500), st.integers(0, 2000), st.integers(0, 500))
def test_pieces_follow_the_ring(created: int, ring: int, begin: int, kept: int) -> None:
    begin = max(begin, created)
    raw = struct.pack("<5Q", created, created + ring, begin, begin + min(kept, ring), 0)
    found = history.decode_offsets(raw)
    where = [at for start, length in found.all_pieces() for at in range(start, start + length)]
    expected = list(range(created))
    expected += [created + (n - created) % ring for n in range(begin, found.end)]
    assert where == expected


@pytest.mark.parametrize("order", ["<", ">"])
def test_impossible_offsets_are_refused(order: str) -> None:
    def offsets(*words: int) -> bytes:
        return struct.pack(order + "5Q", *words)

    assert history.decode_offsets(offsets(10, 100, 10, 20, 3), order).records_lost == 3
    for words in ((101, 100, 0, 0, 0), (10, 100, 20, 10, 0), (10, 100, 10, 1000, 0), (100, 100, 100, 200, 0)):
        with pytest.raises(CorruptError):
            history.decode_offsets(offsets(*words), order)
    with pytest.raises(LimitError):
        history.decode_offsets(offsets(0, 1 << 40, 0, 1 << 40, 0), order)
    with pytest.raises(CorruptError):
        history.decode_offsets(b"x" * 39)
