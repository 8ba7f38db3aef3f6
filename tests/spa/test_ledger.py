"""The books of a pool: claiming all that is allocated, more, less, and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.spa import ledger as ledgers
from uberblock.pool.spa.findings import Fault
from uberblock.pool.spa.ledger import Ledger
from uberblock.pool.spa.metaslabs import allocations


def raised(what: str, error: PoolError) -> None:
    raise AssertionError(f"{what}: {error}")


@pytest.fixture
def books(pools) -> Iterator[tuple[Ledger, np.ndarray, np.ndarray]]:
    """A pool's ledger with everything in one window, and the ranges that are allocated."""
    with import_pool(search=pools("rewind").dir) as pool:
        one = Ledger(pool.spa, raised)
        (slots,) = one.space.windows(1 << 40)
        one.open(slots)
        (found,) = allocations(pool.spa.mos, pool.spa.directory, pool.spa.tree.tops)
        yield one, found.allocated.starts.astype(np.int64), found.allocated.ends.astype(np.int64)


def claim(one: Ledger, starts: Any, ends: Any, vdev: int = 0, shared: bool | None = None) -> None:
    first, last = np.atleast_1d(np.asarray(starts, np.int64)), np.atleast_1d(np.asarray(ends, np.int64))
    loose = None if shared is None else np.full(len(first), shared)
    one.claim(np.full(len(first), vdev), first, last, loose)


def faults(one: Ledger) -> dict[str, list[tuple[int, int]]]:
    return {f.name: [(s.offset, s.size) for s in found] for f, found in one.faults.items() if found}


def test_everything_claimed_once_balances(books) -> None:
    one, starts, ends = books
    claim(one, starts, ends)
    one.close()
    assert faults(one) == {}


def test_what_nobody_claims_is_leaked(books) -> None:
    one, starts, ends = books
    claim(one, starts[1:], ends[1:])
    one.close()
    assert faults(one) == {"LEAKED": [(int(starts[0]), int(ends[0] - starts[0]))]}


def test_twice_and_free(books) -> None:
    one, starts, ends = books
    claim(one, starts, ends)
    claim(one, starts[3], ends[3] + 512)
    one.close()
    size = int(ends[3] - starts[3])
    assert faults(one) == {"SHARED": [(int(starts[3]), size)], "FREE": [(int(ends[3]), 512)]}


def test_shared_blocks_are_taken_once(books) -> None:
    one, starts, ends = books
    claim(one, starts, ends, shared=True)
    claim(one, starts, ends, shared=True)
    one.close()
    assert faults(one) == {}


def test_places_that_do_not_exist(books) -> None:
    one, starts, ends = books
    claim(one, starts, ends)
    claim(one, [1 << 50, -1], [(1 << 50) + 512, 511])
    claim(one, 0, 512, vdev=9)
    claim(one, 100 << 20, (100 << 20) + 512)  # a metaslab that was never used
    one.close()
    assert faults(one) == {"NOWHERE": [(1 << 50, 512), (-1, 512), (0, 512)], "FREE": [(100 << 20, 512)]}


def test_too_much_to_be_listed(books, monkeypatch: pytest.MonkeyPatch) -> None:
    one, starts, ends = books
    monkeypatch.setattr(ledgers, "MISSING_MAX", 1)
    claim(one, starts, ends)
    for at in range(4):
        claim(one, starts[at], ends[at])
    one.close()
    assert len(faults(one)["SHARED"]) == 1
    assert len(one.notes) == 1 and "more" in one.notes[0]


def test_removed_vdevs_lead_to_others(pools) -> None:
    with import_pool(search=pools("removal").dir) as pool:
        one = Ledger(pool.spa, raised)
        (slots,) = one.space.windows(1 << 40)
        one.open(slots)
        ((vdev, mapped),) = one.mapped.items()
        # What is obsolete of a mapping leads to space that is others' by now.
        whole = mapped.counted(pool.spa.mos, pool.spa.directory) == 0
        starts, ends = mapped.starts[whole], mapped.ends[whole]
        assert len(starts)
        claim(one, starts, ends, vdev=vdev)
        claim(one, starts[0], ends[0], vdev=vdev)
        one.close()
        assert not mapped.found[whole].any() and mapped.found[~whole].all()
        size = int(ends[0] - starts[0])
        assert [(s.vdev, s.size) for s in one.faults[Fault.SHARED]] == [(0, size), (vdev, size)]
        assert not one.faults[Fault.FREE]
        allocated = sum(v.allocated for v in pool.spa.space.vdevs)
        assert one.faults[Fault.LEAKED].bytes == allocated - int((ends - starts).sum())


def test_a_vdev_whose_maps_cannot_be_read(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def broken(*_: Any) -> Any:
        raise PoolError("broken")

    with import_pool(search=pools("rewind").dir) as pool:
        monkeypatch.setattr(ledgers, "VdevMaps", broken)
        one = Ledger(pool.spa, lambda what, error: told.append(what))
        (slots,) = one.space.windows(1 << 40)
        one.open(slots)
        claim(one, 0, 512)
        one.close()
    assert one.unknown == [0] and faults(one) == {} and len(told) == 1
