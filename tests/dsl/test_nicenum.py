from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.dsl.nicenum import nicebytes, nicedate, nicenum, niceratio


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1K"),
        (1536, "1.50K"),
        (10239, "10.0K"),
        (25600, "25K"),
        (102400 + 512, "100K"),
        (131072, "128K"),
        (1048575, "1024K"),
        (2149580, "2.05M"),
        (40 << 20, "40M"),
        (117440512, "112M"),
        (113018368, "108M"),
        (4422144, "4.22M"),
        ((1 << 64) - 1, "16.0E"),
        (1 << 60, "1E"),
    ],
)
def test_shortened(value: int, text: str) -> None:
    assert nicenum(value) == text


@given(st.integers(0, (1 << 64) - 1))
def test_never_wide(value: int) -> None:
    assert len(nicenum(value)) <= 5
    assert len(nicebytes(value)) <= 5


def test_bytes_have_a_unit_below_a_kilobyte() -> None:
    assert nicebytes(0) == "0B"
    assert nicebytes(512) == "512B"
    assert nicebytes(24576) == "24K"


def test_ratios_are_cut_off() -> None:
    assert niceratio(100) == "1.00"
    assert niceratio(1662) == "16.62"
    assert niceratio(205) == "2.05"


def test_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        assert nicedate(1795178594) == "Fri Nov 20 12:43 2026"
        assert nicedate(1767430800 + 300) == "Sat Jan  3  9:05 2026"
        assert nicedate(1767430800 + 302, with_seconds=True) == "Sat Jan  3  9:05:02 2026"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert nicedate(1 << 63) == str(1 << 63)
