"""What a pool refers to: which blocks of a destroyed dataset are left, what a livelist leaves alive."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool import import_pool
from uberblock.pool.dmu.traverse import Visit
from uberblock.pool.errors import PoolError
from uberblock.pool.ondisk import bptree
from uberblock.pool.ondisk.blkptr import BLKPTR, BpArray
from uberblock.pool.spa import references
from uberblock.pool.spa.references import Kind


def raised(what: str, error: PoolError) -> None:
    raise AssertionError(f"{what}: {error}")


# --- a destroyed dataset ------------------------------------------------------------------------------------------


def entry(object_: int, blkid: int, objset: int = bptree.DESTROYED) -> Any:
    result = np.zeros(1, dtype=bptree.ENTRY)[0]
    result["objset"], result["object"], result["blkid"] = objset, object_, blkid
    return result


def visit(*places: tuple[int, int, int]) -> Visit:
    """Blocks at (object, level, block id); blocks of pointers have 1024 of them."""
    table = np.array(places, dtype=np.int64)
    bps = np.zeros(len(places), dtype=BLKPTR)
    bps["prop"] = (1 << 17 >> 9) - 1
    return Visit(bps, table[:, 0], table[:, 1].astype(np.int8), table[:, 2])


CASES = [
    # (place, freed when the bookmark stands at object 40, block 2000)
    ((0, -1, 0), False),  # the object set's own block comes last
    ((39, 0, 5000), True),
    ((39, 0, -1), True),  # a spill block
    ((39, 2, 0), True),
    ((40, 0, 1999), True),
    ((40, 0, 2000), False),
    ((40, 0, -1), False),  # comes after the data
    ((40, 1, 0), True),  # blocks 0 to 1023
    ((40, 1, 1), False),  # blocks 1024 to 2047
    ((40, 2, 0), False),
    ((41, 0, 0), False),
    ((0, 0, 0), True),  # dnodes 0 to 31
    ((0, 0, 1), False),  # dnodes 32 to 63
    ((0, 1, 0), False),
    ((-1, 0, 0), False),  # accounting comes after all others
]


@pytest.mark.parametrize(("place", "freed"), CASES, ids=[str(case[0]) for case in CASES])
def test_what_is_freed_of_a_destroyed_dataset(place: tuple[int, int, int], freed: bool) -> None:
    assert references._freed(visit(place), entry(40, 2000)).tolist() == [freed]


def test_a_bookmark_at_a_block_of_dnodes() -> None:
    places = [(0, 0, 0), (0, 0, 1), (31, 0, 9), (32, 0, 0), (63, 1, 0), (64, 0, 0)]
    # All that the dnodes 32 to 63 lead to has been freed; the block they lie in has not.
    assert references._freed(visit(*places), entry(0, 1)).tolist() == [True, False, True, True, True, False]


def test_without_a_bookmark_nothing_is_freed() -> None:
    places = visit((1, 0, 0), (0, 0, 0))
    assert not references._freed(places, entry(0, 0, objset=0)).any()


# --- livelists ----------------------------------------------------------------------------------------------------


def livelist(*records: tuple[int, int, bool]) -> BpArray:
    """Records (offset, birth, free)."""
    result = np.zeros(len(records), dtype=BLKPTR)
    for row, (offset, birth, free) in enumerate(records):
        result["dva"][row, 0] = (8, offset)
        result["birth"][row], result["fill"][row] = birth, free
    return result


def test_frees_make_up_for_allocations() -> None:
    alloc, free = False, True
    records = [(1, 5, alloc), (2, 5, alloc), (1, 5, free), (3, 6, alloc), (1, 7, alloc), (3, 6, alloc), (3, 6, free)]
    alive = references._alive(livelist(*records))
    assert sorted(zip(alive["dva"][:, 0, 1].tolist(), alive["birth"].tolist())) == [(1, 7), (2, 5), (3, 6)]
    assert len(references._alive(livelist())) == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(4, 6), st.booleans()), max_size=30))
def test_alive_is_what_is_left(records: list[tuple[int, int, bool]]) -> None:
    balance: dict[tuple[int, int], int] = {}
    for offset, birth, free in records:
        balance[offset, birth] = balance.get((offset, birth), 0) + (-1 if free else 1)
    alive = references._alive(livelist(*records))
    found = sorted(zip(alive["dva"][:, 0, 1].tolist(), alive["birth"].tolist()))
    assert found == sorted(key for key, count in balance.items() for _ in range(max(count, 0)))


class _List:
    """Stands in for a list of block pointers that is read in batches."""

    number = 1

    def __init__(self, bps: BpArray) -> None:
        self.bps = bps
        self.header = type("Header", (), {"num_blkptrs": len(bps)})

    def lists(self) -> list[_List]:
        return [self]

    def batches(self) -> list[BpArray]:
        return [self.bps[:70], self.bps[70:]]


def test_shares_of_a_livelist_keep_blocks_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    records = [(int(rng.integers(50)), 5, bool(rng.integers(2))) for _ in range(200)]
    bps = livelist(*records)
    monkeypatch.setattr(references, "SHARE", 32)
    shares = list(references._shares(_List(bps)))  # type: ignore[arg-type]
    assert len(shares) == 7 and sum(map(len, shares)) == 200
    places = [set(share["dva"][:, 0, 1].tolist()) for share in shares]
    assert sum(map(len, places)) == len(set().union(*places))
    alive = np.concatenate([references._alive(share) for share in shares])
    assert sorted(alive["dva"][:, 0, 1].tolist()) == sorted(references._alive(bps)["dva"][:, 0, 1].tolist())


# --- a pool -------------------------------------------------------------------------------------------------------


def test_every_kind_of_reference(pools) -> None:
    with import_pool(search=pools("zil").dir) as pool:
        found = list(references.references(pool.spa, raised))
        assert {batch.kind for batch in found} >= {Kind.TREE, Kind.LOG}
        names = {batch.name for batch in found if batch.kind == Kind.TREE}
        # A head that nothing was written to since its snapshot has no blocks of its own.
        heads = [d for d in pool.spa.dsl.datasets(hidden=True) if not d.is_empty]
        assert names == {"mos", *(d.name for d in heads if int(d.bp["birth"][0]) > d.phys.prev_snap_txg)}
        for batch in found:
            assert len(batch) == len(batch.object) == len(batch.level) == len(batch.blkid) > 0
            assert batch.name in batch.place(0)


def test_a_broken_log_does_not_hide_the_rest(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    with import_pool(search=pools("zil").dir) as pool:
        whole = sum(len(b) for b in references.references(pool.spa, raised) if b.kind == Kind.TREE)

        def broken(*_: object) -> Any:
            raise PoolError("broken")

        monkeypatch.setattr(references, "_log_header", broken)
        found = list(references.references(pool.spa, lambda what, error: told.append(what)))
    assert told and all("intent log" in what for what in told)
    assert {batch.kind for batch in found} <= {Kind.TREE, Kind.DEFERRED}
    assert sum(len(b) for b in found if b.kind == Kind.TREE) == whole
