"""Many names at once come out as they do one by one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.dmu import zapbulk
from uberblock.pool.dmu.zapbulk import add_many
from uberblock.pool.errors import ExistsError, UsageError

from .test_mutablezap import NAMES, made, same

ENTRIES = st.dictionaries(NAMES, st.integers(0, 2**64 - 1), max_size=80)


@settings(max_examples=60)
@given(ENTRIES, ENTRIES, st.sampled_from([{}, {"normflags": 2}, {"flags": 1, "block_size": 1024}]))
def test_as_one_by_one(first: dict[bytes, int], second: dict[bytes, int], shape: dict[str, int]) -> None:
    objset, zap = made(**shape)
    second = {name: value for name, value in second.items() if name not in first}
    for some in (first, second):
        with objset.transaction():
            add_many(zap, some)
    same(zap, {**first, **second})


def test_thousands_of_names_become_a_fat_zap() -> None:
    objset, zap = made()
    numbers = random.Random(5)
    model: dict[bytes, int] = {}
    for count in (1500, 1500, 1, 3000):
        some = {b"file %d" % numbers.getrandbits(40): numbers.getrandbits(64) for _ in range(count)}
        model.update(some)
        with objset.transaction():
            add_many(zap, some)
        same(zap, model)
    assert not zap.is_micro


def test_fat_leaves_are_changed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    objset, zap = made()
    with objset.transaction():
        add_many(zap, {b"n%d" % n: n for n in range(3000)})
        before = zap.dnode.version
        add_many(zap, {b"m%d" % n: n for n in range(100)})
    assert zap.dnode.version - before < 60
    assert zapbulk.MICRO_LIMIT == 128 << 10


@pytest.mark.parametrize("there", [3, 3000])
def test_a_name_that_is_there_takes_all_back(there: int) -> None:
    objset, zap = made()
    with objset.transaction():
        add_many(zap, {b"n%d" % n: n for n in range(there)})
    with pytest.raises(ExistsError), objset.transaction():
        add_many(zap, {b"new": 1, b"n2": 5, b"other": 3})
    same(zap, {b"n%d" % n: n for n in range(there)})


@pytest.mark.parametrize("there", [3, 3000])
@pytest.mark.parametrize("name", [b"", b"nul\0", b"x" * 256])
def test_a_name_that_cannot_be(there: int, name: bytes) -> None:
    objset, zap = made()
    with objset.transaction():
        add_many(zap, {b"n%d" % n: n for n in range(there)})
    with pytest.raises(UsageError), objset.transaction():
        add_many(zap, {b"new": 1, name: 5})
    same(zap, {b"n%d" % n: n for n in range(there)})
