"""Folding and normalization of names."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.dmu.textprep import TOUPPER, normalize

FORMS = {"NFD": 0x10, "NFC": 0x50, "NFKD": 0x20, "NFKC": 0x60}


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("abc", TOUPPER, "ABC"),
        ("stra\u00dfe", TOUPPER, "STRA\u00dfE"),  # one-to-one mappings only
        ("\u1fb3", TOUPPER, "\u1fbc"),
        ("\u01c6\u01c5", TOUPPER, "\u01c4\u01c4"),
        ("\u0149", TOUPPER, "\u0149"),
        ("\u00e9", 0x10, "e\u0301"),
        ("e\u0301", 0x50, "\u00e9"),
        ("\ufb01", 0x10, "\ufb01"),
        ("\ufb01", 0x20, "fi"),
        ("\ufb01", 0x20 | TOUPPER, "fi"),  # case comes before decomposition
        ("\u212b", 0x60, "\u00c5"),
        ("\u00e9", 0x12, "E\u0301"),
        ("\u10d0", TOUPPER, "\u10d0"),  # Georgian got upper case in Unicode 11
        ("\u0250", TOUPPER, "\u0250"),  # its upper case came with Unicode 5.1
        ("\u00e9\u10d0e\u0301", 0x52, "\u00c9\u10d0\u00c9"),
        ("\ufa2e", 0x10, "\ufa2e"),  # decomposes since Unicode 6.1
        ("abc", 0, "abc"),
    ],
)
def test_examples(name: str, flags: int, expected: str) -> None:
    assert normalize(name.encode(), flags) == expected.encode()


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs"])), st.sampled_from(sorted(FORMS)))
def test_as_unicodedata(text: str, form: str) -> None:
    assert normalize(text.encode(), FORMS[form]).decode() == unicodedata.normalize(form, text)


@given(st.binary(max_size=40), st.sampled_from([0, 2, 0x10, 0x50, 0x20, 0x60, 0x12, 0x62]))
def test_any_bytes(name: bytes, flags: int) -> None:
    once = normalize(name, flags)
    assert normalize(once, flags & ~TOUPPER) == once or b"\xc2" in name or not name.isascii()


def test_bytes_that_are_not_utf8_stay() -> None:
    assert normalize(b"\xffa\xc3", TOUPPER) == b"\xffA\xc3"
    assert normalize(b"\xc3\xa9\x80", 0x10) == b"e\xcc\x81\x80"
