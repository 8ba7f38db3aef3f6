"""Sparse pages against a bytearray."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.lab.pages import PAGE, ZERO_PAGE, Pages

SIZE = 5 * PAGE + 700

writes = st.lists(
    st.tuples(st.integers(0, SIZE), st.binary(min_size=1, max_size=64), st.integers(1, 200), st.booleans()), max_size=12
)


@given(writes)
def test_same_as_a_bytearray(ops: list[tuple[int, bytes, int, bool]]) -> None:
    pages, model = Pages(SIZE), bytearray(SIZE)
    forks: list[tuple[Pages, bytes]] = []
    for offset, unit, times, fork in ops:
        if fork:
            forks.append((pages.fork(), bytes(model)))
        data = (unit * times)[: SIZE - offset]
        pages.write(offset, data)
        model[offset : offset + len(data)] = data
    assert pages.read(0, SIZE) == bytes(model)
    assert pages == Pages.of(model)
    for fork_pages, content in forks:
        assert fork_pages.read(0, SIZE) == content


def test_a_fork_and_its_origin_go_separate_ways() -> None:
    first = Pages.of(b"a" * SIZE)
    second = first.fork()
    first.write(10, b"first")
    second.zero(PAGE - 5, PAGE + 10)
    assert first.read(10, 5) == b"first" and first.read(PAGE - 5, PAGE + 10) == b"a" * (PAGE + 10)
    assert second.read(10, 5) == b"aaaaa" and second.read(PAGE - 6, PAGE + 12) == b"a" + bytes(PAGE + 10) + b"a"
    assert first.page(3) is second.page(3)
    assert first != second


def test_zeros_take_no_memory_and_are_not_listed() -> None:
    pages = Pages(1 << 40)
    pages.write(1 << 39, bytes(PAGE))
    pages.write(3 * PAGE, b"x")
    assert [number for number, _ in pages.used()] == [3]
    assert pages.page(1 << 27) is ZERO_PAGE


def test_beyond_the_end() -> None:
    pages = Pages(SIZE)
    for offset, length in ((-1, 1), (SIZE, 1), (0, SIZE + 1)):
        with pytest.raises(ValueError):
            pages.read(offset, length)
        with pytest.raises(ValueError):
            pages.write(offset, bytes(length))
        with pytest.raises(ValueError):
            pages.zero(offset, length)
