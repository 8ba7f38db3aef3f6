"""FUID tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, PoolError
from uberblock.pool.ondisk import fuid, nvlist

DOMAIN = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=60)
DOMAINS = st.dictionaries(st.integers(1, 2**31), DOMAIN, max_size=8)


@given(DOMAINS)
def test_round_trip(domains: dict[int, str]) -> None:
    assert fuid.decode_table(fuid.encode_table(domains)) == domains


def test_ids() -> None:
    assert fuid.Fuid.of(1000) == (0, 1000)
    assert fuid.Fuid.of(3 << 32 | 0xFFFFFFFF) == (3, 0xFFFFFFFF)


@given(st.binary(max_size=200))
def test_hostile_bytes(raw: bytes) -> None:
    try:
        fuid.decode_table(raw)
    except PoolError:
        pass


def test_what_is_refused() -> None:
    for wrong in ({"fuid_nvlist": 3}, {"fuid_nvlist": [nvlist.NVList({"fuid_idx": 1})]}):
        with pytest.raises(CorruptError):
            fuid.decode_table(nvlist.encode(nvlist.NVList(wrong)))
