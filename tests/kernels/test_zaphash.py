"""The hash of ZAP keys: against the vectors of the format, and the definition bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.kernels import zaphash

POLYNOMIAL = 0xC96C5795D7870F42
U64 = st.integers(0, (1 << 64) - 1)

VECTORS = [
    (0x1, b"a", 0x9F8169BA49A54B33),
    (0x1, b"", 0x1),
    (0x1, b"VERSION", 0x4139F0ACAF56A2D1),
    (0x123456789ABCDEF1, b"config", 0x21F98642503B6CF4),
    (0x123456789ABCDEF1, b"root_dataset", 0xE72AB4DD56B6ED7C),
    (0xFFFFFFFFFFFFFFFF, b"ROOT", 0xB71FCDAAC9A17B34),
]


def by_bits(salt: int, data: bytes) -> int:
    h = salt
    for byte in data:
        h ^= byte
        for _ in range(8):
            h = h >> 1 ^ (POLYNOMIAL if h & 1 else 0)
    return h


@pytest.mark.parametrize(("salt", "name", "want"), VECTORS)
def test_vectors(salt: int, name: bytes, want: int) -> None:
    assert zaphash.hash_name(salt, name) == want


def test_vector_of_a_bookmark_zap() -> None:
    """Stored by OpenZFS: the upper 28 bits of the hash of "snap2" in upper case."""
    assert zaphash.hash_name(0x15798D189, b"SNAP2") >> 36 << 36 == 0x80A3552000000000


@given(U64, st.binary(max_size=300))
def test_names(salt: int, name: bytes) -> None:
    assert zaphash.hash_name(salt, name) == by_bits(salt, name)


@given(U64, st.lists(U64, max_size=10))
def test_words(salt: int, words: list[int]) -> None:
    array = np.array(words, dtype=np.uint64)
    want = by_bits(salt, array.astype("<u8").tobytes())
    assert zaphash.hash_words(salt, array) == want
    assert zaphash.hash_words(salt, array.reshape(-1, 1)) == want


@given(U64, st.lists(st.binary(max_size=50), max_size=20))
def test_many_names(salt: int, names: list[bytes]) -> None:
    out = np.zeros(len(names), dtype=np.uint64)
    zaphash.hash_names(salt, names, out)
    assert out.tolist() == [by_bits(salt, name) for name in names]


def test_refusals() -> None:
    with pytest.raises(OverflowError):
        zaphash.hash_name(1 << 64, b"a")
    with pytest.raises(OverflowError):
        zaphash.hash_name(-1, b"a")
    with pytest.raises(TypeError):
        zaphash.hash_name(1, "a")  # type: ignore[arg-type]
    for bad in (*(np.zeros(2, dtype=kind) for kind in ("i8", "f8", ">u8")), b"12345678"):
        with pytest.raises(ValueError, match="unsigned 64-bit"):
            zaphash.hash_words(1, bad)
    with pytest.raises(ValueError, match="contiguous"):
        zaphash.hash_words(1, np.zeros(8, dtype=np.uint64)[::2])
    with pytest.raises(ValueError, match="1 names"):
        zaphash.hash_names(1, [b"a"], np.zeros(2, dtype=np.uint64))
    with pytest.raises(TypeError, match="name 1"):
        zaphash.hash_names(1, [b"a", "b"], np.zeros(2, dtype=np.uint64))  # type: ignore[list-item]
