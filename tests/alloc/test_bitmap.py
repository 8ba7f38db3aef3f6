"""Bit maps of units: against sets of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.alloc import bitmap
from uberblock.pool.alloc.bitmap import BitMap, Ranges, joined, nothing

SIZE = 700

spans = st.tuples(st.integers(0, SIZE), st.integers(0, 200)).map(lambda t: (t[0], min(t[0] + t[1], SIZE)))


def arrays(found: list[tuple[int, int]]) -> Ranges:
    table = np.array(found, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def units(found: Ranges) -> list[int]:
    return [unit for start, end in zip(*(side.tolist() for side in found)) for unit in range(start, end)]


def disjoint(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if not result or start >= result[-1][1]:
            result.append((start, end))
    return result


def held(bits: BitMap) -> set[int]:
    return {unit for found in bits.runs() for unit in units(found)}


@pytest.fixture(params=["as it is", "in small steps"], autouse=True)
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "as it is":
        monkeypatch.setattr(bitmap, "STEP", 3)
        monkeypatch.setattr(bitmap, "LONG", 2)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["set", "clear", "take", "test"]), st.lists(spans, max_size=8)), max_size=6))
def test_it_does_what_a_set_does(changes: list[tuple[str, list[tuple[int, int]]]]) -> None:
    bits, model = BitMap(SIZE), set()
    for what, found in changes:
        if what == "take":
            wanted = [unit for start, end in found for unit in range(start, end)]
            # The first who wants a unit gets it; whoever comes too late is told so.
            missing = sorted(wanted)
            for unit in set(wanted) & model:
                missing.remove(unit)
            assert sorted(units(bits.take(*arrays(found)))) == missing
            model -= set(wanted)
        elif what == "test":
            wanted = [start for start, _ in found if start < SIZE]
            before = [unit in model or unit in wanted[:at] for at, unit in enumerate(wanted)]
            assert bits.test_and_set(np.array(wanted, dtype=np.int64)).tolist() == before
            model |= set(wanted)
        else:
            chosen = disjoint(found)
            touched = {unit for start, end in chosen for unit in range(start, end)}
            wrong = units(getattr(bits, what)(*arrays(chosen)))
            assert wrong == sorted(touched & model if what == "set" else touched - model)
            model = model | touched if what == "set" else model - touched
        assert held(bits) == model
        assert bits.any() == bool(model)


def test_runs_are_whole() -> None:
    bits = BitMap(SIZE)
    bits.set(*arrays([(0, 64), (64, 200), (202, 203), (690, 700)]))
    starts, ends = joined(list(bits.runs()))
    assert list(zip(starts.tolist(), ends.tolist())) == [(0, 200), (202, 203), (690, 700)]


def test_nothing() -> None:
    bits = BitMap(0)
    assert list(bits.runs()) == [] and not bits.any()
    assert units(bits.take(*nothing())) == [] and units(joined([])) == []


def test_a_large_map_takes_no_memory_before_it_is_used() -> None:
    bits = BitMap(1 << 36)
    bits.set(*arrays([((1 << 36) - 5, 1 << 36)]))
    assert not len(bits.clear(*arrays([((1 << 36) - 5, 1 << 36)]))[0])
