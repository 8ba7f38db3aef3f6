"""Shared blocks: references counted against tables, first and further ones told apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.blkptr import BpArray
from uberblock.pool.spa.ledger import Ledger
from uberblock.pool.spa.references import references
from uberblock.pool.spa.shared import SharedBlocks


def raised(what: str, error: PoolError) -> None:
    raise AssertionError(f"{what}: {error}")


@pytest.fixture(params=["dedup", "dedup-legacy", "block-cloning"])
def opened(pools, request: pytest.FixtureRequest) -> Iterator[tuple[Any, SharedBlocks, BpArray]]:
    """A pool, its tables with everything in one window, and the pointers to blocks that are shared."""
    with import_pool(search=pools(request.param).dir) as pool:
        space = Ledger(pool.spa, raised).space
        (slots,) = space.windows(1 << 40)
        space.open(slots)
        shared = SharedBlocks(pool.spa, raised)
        assert shared.any and shared.weights(space).sum() > 0
        list(shared.open(space))
        bps = np.concatenate([batch.bps for batch in references(pool.spa, raised)])
        yield pool, shared, bps


def test_every_reference_is_counted(opened) -> None:
    _, shared, bps = opened
    verdict = shared.judge(bps)
    again = int(verdict.again.sum())
    assert again > 0 and not (verdict.again & ~verdict.loose).any()
    shared.close()
    assert not shared.over and not shared.under
    # Of each shared block exactly one reference is the first.
    known = verdict.loose
    blocks = np.unique(bps["dva"][known, 0], axis=0)
    assert int(known.sum()) - again == len(blocks)


def test_the_same_in_pieces(opened) -> None:
    _, shared, bps = opened
    again = np.concatenate([shared.judge(bps[at : at + 50]).again for at in range(0, len(bps), 50)])
    shared.close()
    assert not shared.over and not shared.under and again.sum() > 0


def test_too_few_and_too_many(opened) -> None:
    _, shared, bps = opened
    dedup = bool(blkptr.is_dedup(bps).any())
    further = np.flatnonzero(shared.judge(bps).again)
    shared.judge(bps[further[:1]])
    shared.judge(bps[further[:1]], counted_only=True)
    shared.close()
    (over,) = shared.over
    assert over.found == over.counted + 2 and over.table == ("dedup" if dedup else "clones")
    assert over.offset == int(blkptr.dva_offset(bps[further[0]])[0])
    assert (shared.over_count, shared.under_count) == (1, 0)


def test_a_pool_that_shares_nothing(pools) -> None:
    with import_pool(search=pools("rewind").dir) as pool:
        shared = SharedBlocks(pool.spa, raised)
        assert not shared.any
        bps = pool.spa.uberblock.rootbp.reshape(1)
        verdict = shared.judge(bps)
        assert verdict.bps is bps and not verdict.again.any() and not verdict.loose.any()
