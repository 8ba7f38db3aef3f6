from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool.dmu.bpsizes import Sizes, allocated_size, sizes_of
from uberblock.pool.dsl.deadlist import TXG_MAX, Deadlist
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.blkptr import BLKPTR

from .conftest import FakeMos, Opener

EMBEDDED, CRYPT = 1 << 39, 1 << 61


def pointer(
    *, lsize: int, psize: int, type: int = 19, level: int = 0, asizes: tuple[int, ...] = (), flags: int = 0
):  # type: ignore[no-untyped-def]
    bp = np.zeros(1, dtype=BLKPTR)
    for place, asize in enumerate(asizes):
        bp["dva"][0, place] = (asize >> 9, 1 + place)
    if flags & EMBEDDED:
        bp["prop"] = lsize - 1 | (psize - 1) << 25 | flags | type << 48 | level << 56
    else:
        bp["prop"] = (lsize >> 9) - 1 | ((psize >> 9) - 1) << 16 | flags | type << 48 | level << 56
    bp["birth"] = 5
    return bp


def test_what_blocks_count() -> None:
    data = pointer(lsize=131072, psize=4096, asizes=(4608, 4608))
    assert sizes_of(data) == Sizes(9216, 4096, 131072)
    indirect = pointer(lsize=131072, psize=4096, level=1, asizes=(4096,))
    assert sizes_of(indirect) == Sizes(4096, 4096, 4096)
    directory = pointer(lsize=16384, psize=512, type=20, asizes=(512,))
    assert sizes_of(directory) == Sizes(512, 512, 512)
    embedded = pointer(lsize=300, psize=100, flags=EMBEDDED)
    assert sizes_of(embedded) == Sizes(0, 0, 300)
    assert sizes_of(pointer(lsize=512, psize=100, type=20, flags=EMBEDDED)) == Sizes(0, 0, 0)
    hole = np.zeros(1, dtype=BLKPTR)
    assert sizes_of(hole) == Sizes()
    everything = np.concatenate([data, indirect, directory, embedded, hole])
    assert sizes_of(everything) == Sizes(9216 + 4096 + 512, 4096 + 4096 + 512, 131072 + 4096 + 512 + 300)
    assert sizes_of(everything[:0]) == Sizes()


def test_salt_is_not_space() -> None:
    bps = np.concatenate(
        [
            pointer(lsize=131072, psize=131072, asizes=(4096, 4096, 8192), flags=CRYPT),
            pointer(lsize=131072, psize=131072, asizes=(4096, 4096, 8192), flags=CRYPT, level=1),
            pointer(lsize=131072, psize=131072, asizes=(4096, 4096, 8192)),
        ]
    )
    assert allocated_size(bps).tolist() == [8192, 16384, 16384]


def test_ranges(mos: FakeMos) -> None:
    lists = {"a": mos.bpobj(10, 1, 2, 3), "0": mos.bpobj(11, 10, 20, 30), "ff": mos.bpobj(12, 100, 200, 300)}
    mos.deadlist(5, lists, (111, 222, 333))
    found = Deadlist(mos, 5)  # type: ignore[arg-type]
    assert not found.old_format
    assert list(found.entries.items()) == [(0, 11), (10, 10), (255, 12)]
    assert (found.used, found.compressed, found.uncompressed) == (111, 222, 333)
    assert found.space(0) == found.total
    assert found.space(0, 10) == Sizes(10, 20, 30)
    assert found.space(1, 256) == Sizes(101, 202, 303)
    assert found.space(256) == Sizes()


@pytest.mark.parametrize("lists", [{"zz": 10}, {"0": 99}, {"0": 5}, {"0": (1, 2)}, {"0": b"ab"}])
def test_damaged_ranges(mos: FakeMos, lists: dict[str, int]) -> None:
    mos.deadlist(5, lists)
    with pytest.raises(CorruptError):
        Deadlist(mos, 5).space(0, 3)  # type: ignore[arg-type]


def test_what_is_no_deadlist(mos: FakeMos) -> None:
    mos.zap(5, {})
    for number in (5, 6, 0):
        with pytest.raises(CorruptError):
            Deadlist(mos, number)  # type: ignore[arg-type]


def test_both_forms_agree(open_kind: Opener) -> None:
    """A real list of blocks, taken as a deadlist of the older form, has the sums its header says."""
    dsl = open_kind("version28").dsl
    checked = 0
    for dataset in dsl.datasets():
        for number in dataset.deadlist.entries.values():
            old = Deadlist(dsl.mos, number)
            assert old.old_format and old.entries == {0: number}
            by_block = old.space(0, TXG_MAX - 1)
            assert by_block == old.total == old.space(0)
            checked += by_block.used > 0
            births = np.concatenate(
                [batch["birth"] for batch in old.blocks().batches()] or [np.zeros(0, "u8")]
            )
            if len(births):
                middle = int(np.median(births))
                assert old.space(0, middle) + old.space(middle) == old.total
    assert checked > 1
