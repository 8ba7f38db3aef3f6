"""Fused passes: they must give what the two passes give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import checksum, fused, raidz

NOISE = np.random.default_rng(11).integers(0, 256, 3 << 20, dtype=np.uint8)


@pytest.mark.parametrize("kernel", checksum.implementations()["fletcher"])
@pytest.mark.parametrize("byteswap", [False, True])
def test_copy_of_every_length(kernel: str, byteswap: bool) -> None:
    """The copy is the source, and not a byte beside it is touched."""
    checksum.select("fletcher", kernel)
    try:
        for n in (*range(0, 700, 4), 4096, 4100, 131072, (1 << 20) + 12):
            source, target = NOISE[n % 61 : n % 61 + n], np.full(n + 64, 7, np.uint8)
            got = fused.copy_fletcher4(source, target[n % 37 : n % 37 + n], byteswap=byteswap)
            assert got == checksum.fletcher4(source, byteswap=byteswap)
            assert np.array_equal(target[n % 37 : n % 37 + n], source)
            assert (target[: n % 37] == 7).all()
            assert (target[n % 37 + n :] == 7).all()
    finally:
        checksum.select("fletcher")


def test_copy_goes_on() -> None:
    target = np.zeros(10_000, np.uint8)
    first = fused.copy_fletcher4(NOISE[:4000], target[:4000])
    both = fused.copy_fletcher4(NOISE[4000:10_000], target[4000:], start=first)
    assert both == checksum.fletcher4(NOISE[:10_000])
    assert np.array_equal(target, NOISE[:10_000])


def test_copies_that_are_refused() -> None:
    room = np.zeros(64, np.uint8)
    with pytest.raises(ValueError, match="no multiple of 4"):
        fused.copy_fletcher4(NOISE[:7], room[:7])
    with pytest.raises(ValueError, match="target has 60 bytes"):
        fused.copy_fletcher4(NOISE[:64], room[:60])
    with pytest.raises(ValueError, match="overlap"):
        fused.copy_fletcher4(room[:32], room[28:60])
    with pytest.raises(ValueError, match="32 bytes"):
        fused.copy_fletcher4(NOISE[:64], room, start=bytes(31))
    with pytest.raises(ValueError, match="read-only"):
        fused.copy_fletcher4(NOISE[:64], bytes(64))
    with pytest.raises(TypeError, match="no buffer"):
        fused.copy_fletcher4("text", room)  # type: ignore[arg-type]


def columns_of(lengths: list[int]) -> list[np.ndarray[tuple[int], np.dtype[np.uint8]]]:
    ends = np.cumsum(lengths)
    return [NOISE[end - n : end] for end, n in zip(ends, lengths, strict=True)]


def check_parity(lengths: list[int], height: int, nparity: int, byteswap: bool) -> None:
    data = columns_of(lengths)
    want = [np.zeros(height, np.uint8) for _ in range(nparity)]
    got = [np.ones(height, np.uint8) for _ in range(nparity)]
    raidz.generate(data, want)
    total = fused.generate_fletcher4(data, got, byteswap=byteswap)
    assert total == checksum.fletcher4(NOISE[: sum(lengths)], byteswap=byteswap)
    assert np.array_equal(got, want)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_parity_by_chance(data: st.DataObject) -> None:
    """Any width, short and empty columns."""
    ndata, nparity = data.draw(st.integers(1, 252)), data.draw(st.integers(1, 3))
    height = 4 * data.draw(st.integers(1, 2500))
    short = data.draw(st.integers(0, ndata))
    less = 4 * data.draw(st.integers(0, height // 4))
    check_parity([height] * (ndata - short) + [less] * short, height, nparity, data.draw(st.booleans()))


@pytest.mark.parametrize("nparity", [1, 2, 3])
def test_parity_of_columns_of_many_pieces(nparity: int) -> None:
    check_parity([700_004, 700_004, 699_492, 0], 700_004, nparity, False)
    check_parity([65_540] * 33 + [65_536] * 3, 65_540, nparity, True)
    check_parity([32_768] * 5 + [32_256] * 3, 32_768, nparity, True)


def test_parity_of_columns_apart_from_each_other() -> None:
    data = [NOISE[at : at + 4096] for at in (8192, 0, 4096, 20_000)]
    whole = np.concatenate(data)
    made, want = [np.zeros(4096, np.uint8)], [np.zeros(4096, np.uint8)]
    raidz.generate(data, want)
    assert fused.generate_fletcher4(data, made) == checksum.fletcher4(whole)
    assert np.array_equal(made, want)


def test_parity_that_is_refused() -> None:
    data, parity = columns_of([64] * 3), [np.zeros(64, np.uint8)]
    for columns, made, message in (
        ([], parity, "0 data columns"),
        (data, [], "0 parity columns"),
        (data, parity * 4, "4 parity columns"),
        (data, [parity[0], np.zeros(60, np.uint8)], "unequal"),
        (data, [parity[0][:60]], "longer than the parity"),
        ([NOISE[:0]], [parity[0][:0]], "empty"),
        ([NOISE[:63]], parity, "no multiple of 4"),
        ([parity[0]], parity, "overlaps"),
        (data, parity * 2, "overlaps"),
        (data, [bytes(64)], "read-only"),
    ):
        with pytest.raises(ValueError, match=message):
            fused.generate_fletcher4(columns, made)
