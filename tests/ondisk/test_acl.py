"""Access control entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError, PoolError
from uberblock.pool.ondisk import acl
from uberblock.pool.ondisk.acl import Ace, AceFlags

ABSTRACT = (0x1000, 0x2040, 0x4000)


@st.composite
def aces(draw: st.DrawFn) -> Ace:
    kind = draw(st.integers(0, 8).filter(lambda n: n != 4))
    mask = draw(st.integers(0, 2**32 - 1))
    inherit = draw(st.sampled_from([0, 1, 3, 0x80, 0xB]))
    if draw(st.booleans()):
        flags, who = draw(st.sampled_from(ABSTRACT)) | inherit, None
    else:
        flags, who = draw(st.sampled_from([0, 0x40])) | inherit, draw(st.integers(0, 2**64 - 1))
    types = (b"o" * 16, b"i" * 16) if kind >= 5 else (b"", b"")
    return Ace(kind, flags, mask, who, *types)


@given(st.lists(aces(), max_size=20), st.sampled_from("<>"))
def test_round_trip(entries: list[Ace], order: str) -> None:
    raw = acl.encode_aces(entries, order)
    assert acl.decode_aces(raw, order) == entries
    assert acl.decode_aces(raw, order, len(entries)) == entries


@given(st.lists(aces().filter(lambda a: a.type < 5 and (a.who or 0) < 2**32), max_size=20), st.sampled_from("<>"))
def test_round_trip_of_old_ones(entries: list[Ace], order: str) -> None:
    raw = acl.encode_old_aces(entries, order)
    assert len(raw) == 12 * len(entries)
    assert acl.decode_old_aces(raw, order, len(entries)) == entries


@given(st.binary(max_size=200), st.sampled_from("<>"), st.one_of(st.none(), st.integers(0, 100)))
def test_hostile_bytes(raw: bytes, order: str, count: int | None) -> None:
    for decode in (acl.decode_aces, acl.decode_old_aces):
        try:
            found = decode(raw, order, count or 0)
        except PoolError:
            continue
        assert len(found) == (count or 0)


def test_sizes() -> None:
    owner = Ace(0, AceFlags.OWNER, 0x1E019F)
    user = Ace(0, 0, 1, 1000)
    assert len(acl.encode_aces([owner], "<")) == 8
    assert len(acl.encode_aces([user], "<")) == 16
    assert len(acl.encode_aces([Ace(5, 0, 1, 1000, bytes(16), bytes(16))], "<")) == 48


def test_what_is_refused() -> None:
    raw = acl.encode_aces([Ace(0, 0, 1, 1000)], "<")
    with pytest.raises(CorruptError, match="cut off"):
        acl.decode_aces(raw[:-1], "<")
    with pytest.raises(CorruptError, match="fewer"):
        acl.decode_aces(raw, "<", 2)
    with pytest.raises(LimitError):
        acl.decode_aces(raw * 1025, "<")
    with pytest.raises(LimitError):
        acl.decode_old_aces(bytes(12), "<", 10**9)


def test_text() -> None:
    assert acl.ace_text(Ace(0, 0x1000, 0x1E019F)) == "owner@:rw-p--aARWcCos:-------:allow"
    assert acl.ace_text(Ace(0, 0x2040, 0x120089)) == "group@:r-----a-R-c--s:-------:allow"
    assert acl.ace_text(Ace(1, 0x43, 0x20, 7)) == "group:7:--x-----------:fd-----:deny"
    assert acl.ace_text(Ace(9, 0, 0, 7)) == "user:7:--------------:-------:type-9"
