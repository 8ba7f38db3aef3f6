"""Headers of lists of block pointers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import bpobj
from uberblock.pool.ondisk.bpobj import BpobjHeader

WORD = st.integers(0, (1 << 64) - 1)
COUNT = st.integers(0, 1 << 30)


@given(COUNT, WORD, WORD, WORD, WORD, COUNT, WORD, st.sampled_from(sorted(bpobj.FIELDS)), st.sampled_from("<>"))
def test_round_trip(n: int, a: int, b: int, c: int, subobjs: int, m: int, freed: int, size: int, order: str) -> None:
    raw = bpobj.encode(BpobjHeader(n, a, b, c, subobjs, m, freed), size, order)
    assert len(raw) == size
    found = bpobj.decode(raw, order)
    kept = [n, a, b, c, subobjs, m, freed][: bpobj.FIELDS[size]] + [0] * (7 - bpobj.FIELDS[size])
    assert found == BpobjHeader(*kept, has_sums=size > bpobj.SIZE_V0)
    assert bpobj.encode(found, size, order) == raw


def test_hostile() -> None:
    for length in range(16):
        with pytest.raises(CorruptError, match="too early"):
            bpobj.decode(bytes(length))
    for header in (BpobjHeader(1 << 41, 0), BpobjHeader(0, 0, num_subobjs=1 << 31)):
        with pytest.raises(LimitError):
            bpobj.decode(bpobj.encode(header))


def test_a_golden_vector() -> None:
    """The header of a deadlist's list in a pool written by OpenZFS 2.3.2: four blocks, no sub-lists."""
    words = [4, 2048, 2048, 66048, 0, 0]
    assert bpobj.decode(b"".join(w.to_bytes(8, "little") for w in words)) == BpobjHeader(*words)
