"""Content by whole records."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.ingest.records import whole_records

RECORD = 8


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.binary(min_size=1, max_size=40)), max_size=6), st.integers(8, 40))
def test_content_stays_and_zeros_go(parts: list[tuple[int, bytes]], most: int) -> None:
    """However content is cut into pieces, the same whole records come out, and none is zero."""
    pieces, at, plain = [], 0, bytearray()
    for gap, data in parts:
        at += gap
        pieces.append((at, data))
        plain.extend(bytes(at - len(plain)))
        plain.extend(data)
        at += len(data)
    found = [(offset, bytes(piece)) for offset, piece in whole_records(pieces, len(plain), RECORD, most)]
    again = bytearray(len(plain))
    for offset, piece in found:
        assert offset % RECORD == 0
        records = [piece[k : k + RECORD] for k in range(0, len(piece), RECORD)]
        assert all(any(record) for record in records)
        again[offset : offset + len(piece)] = piece
    assert again == plain
    whole = [(offset, bytes(piece)) for offset, piece in whole_records([(0, bytes(plain))], len(plain), RECORD, most)]
    assert found == whole
