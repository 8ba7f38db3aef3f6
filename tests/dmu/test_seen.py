"""The table of blocks met a moment ago."""

from __future__ import annotations

import numpy as np
from uberblock.pool.dmu.seen import SeenBlocks
from uberblock.pool.ondisk.blkptr import BLKPTR


def blocks(*offsets: int, birth: int = 5) -> np.ndarray:
    bps = np.zeros(len(offsets), dtype=BLKPTR)
    bps["dva"][:, 0, 0] = 1
    bps["dva"][:, 0, 1] = offsets
    bps["birth"] = birth
    return bps


def test_blocks_are_known_when_they_come_again() -> None:
    seen = SeenBlocks()
    assert seen.add(blocks(1, 2, 1)).tolist() == [False, False, True]
    assert seen.add(blocks(2, 3)).tolist() == [True, False]
    assert seen.add(blocks(2, birth=6)).tolist() == [False]
    assert seen.add(blocks()).tolist() == []


def test_embedded_blocks_are_never_known() -> None:
    seen = SeenBlocks()
    bps = blocks(1, 1)
    bps["prop"] = 1 << 39
    assert not seen.add(bps).any()
    assert not seen.add(bps).any()


def test_a_full_table_forgets() -> None:
    seen = SeenBlocks(slots=4)
    assert not seen.add(blocks(*range(100))).any()
    assert seen.add(blocks(*range(100))).sum() <= 4


def test_a_growing_table_keeps_what_it_knows() -> None:
    seen = SeenBlocks()
    met = []
    for start in range(0, 3000, 50):
        met.append(blocks(*range(start, start + 50)))
        assert not seen.add(met[-1]).any()
    assert sum(int(seen.add(one).sum()) for one in met) > 2000  # some fell on one slot
    assert SeenBlocks()._keys.nbytes < 100_000
