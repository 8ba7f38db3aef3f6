"""Lost disks: everything reads right as long as redundancy makes up for them, and nothing reads wrong beyond that.

Disks are lost in several ways: not there at all; cut off behind the first two labels; garbage between good labels, so
that checksums must find out and reconstruction guess which disks lie; all data there and no label that says so; and
each lost disk in another of these ways.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from golden import choose, compare_all, compare_some, params
from losses import COMBINATIONS, ENTRIES, HURT, LOGGED, REDUNDANT, WAYS, LosingPool, beyond, pick, share
from uberblock.pool import Pool, PoolError
from uberblock.pool.errors import MissingDeviceError, NotFoundError

BEYOND = max(3, COMBINATIONS // 4)


@pytest.fixture(scope="session")
def losing(pools, pools_base: Path) -> Callable[[str], LosingPool]:
    """``losing("raidz2")``: a pool, and a folder for the stand-ins of its disks that all tests share."""

    @cache
    def get(kind: str) -> LosingPool:
        folder = pools_base / f"{kind}-lost"
        folder.mkdir(exist_ok=True)
        return LosingPool(pools(kind), folder)

    return get


@pytest.mark.parametrize("way", [*WAYS, "mixed"])
@pytest.mark.parametrize("kind", params(REDUNDANT))
def test_within_redundancy(losing, kind: str, way: str) -> None:
    pool_of = losing(kind)
    losses = [loss for loss in pool_of.bearable if way != "mixed" or len(loss) > 1]
    for loss in share(losses, COMBINATIONS, way, kind):
        lost = pool_of.ways(loss, way)
        with pool_of.opened(lost) as pool:
            outcome = pool_of.compare(pool, loss, way)
            assert outcome.all_right, (sorted(loss), outcome)
            sound = kind != "degraded" and set(lost.values()) == {"garbage"}
            assert pool.health == ("ONLINE" if sound else "DEGRADED")


@pytest.mark.parametrize("kind", params(REDUNDANT))
def test_all_of_it(losing, kind: str) -> None:
    """As many disks lost as can be, in mixed ways: every entry of the pool, and no damage but on those disks."""
    pool_of = losing(kind)
    most = max(len(loss) for loss in pool_of.bearable)
    widest = [loss for loss in pool_of.bearable if len(loss) == most]
    loss = random.Random(kind).choice(widest)
    names = sorted(loss)
    lost = {name: "garbage" if k % 2 == 0 else "missing" for k, name in enumerate(names)}
    with pool_of.opened(lost) as pool:
        outcome = compare_all(pool, pool_of.manifest["datasets"], only_snapshots=kind in LOGGED)
        assert outcome.all_right, (lost, outcome)
        report = pool.verify()
        lying = {f"garbage-{name}" for name in names[::2]}
        assert report.lost_blocks == 0 and not report.unreadable
        if kind == "degraded":  # what is stale is not looked at
            assert report.clean
        else:
            assert lying <= set(report.errors_by_vdev) <= lying | HURT.get(kind, set())
            assert report.damaged_blocks > 20


# ---- one more --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", params(REDUNDANT))
def test_beyond_redundancy(losing, kind: str, way: str) -> None:
    """One disk more: refused in one line that tells which; opened all the same if asked to, and never a wrong byte."""
    pool_of = losing(kind)
    for number, loss in pick(beyond(pool_of.tops), BEYOND, kind + way):
        lost = pool_of.ways(loss, way)
        refusal = _refusal(pool_of, lost)
        if way == "garbage":
            # Labels say that all is well; where it matters a checksum says it is not.
            assert refusal is None or not isinstance(refusal, MissingDeviceError)
        elif len(loss) == len(pool_of.disks.images) and way in ("missing", "unlabelled"):
            assert isinstance(refusal, NotFoundError)
        else:
            assert isinstance(refusal, MissingDeviceError)
            if way == "truncated" or set(pool_of.tops[number][0]) > loss:  # else nothing is left to tell their names
                assert all(name.removesuffix(".img") in str(refusal) for name in loss), refusal
        try:
            with pool_of.opened(lost, missing_ok=True) as pool:
                _never_wrong(pool_of, pool, way)
        except PoolError as error:
            assert "\n" not in str(error) and "allow missing" not in str(error)
            assert pool_of.name in str(error) or way in ("missing", "unlabelled")
            assert _metadata_is_lost(pool_of, number), error


def _refusal(pool_of: LosingPool, lost: dict[str, str]) -> PoolError | None:
    try:
        with pool_of.opened(lost):
            return None
    except PoolError as error:
        assert "\n" not in str(error)
        return error


def _metadata_is_lost(pool_of: LosingPool, number: int) -> bool:
    """Without this top-level vdev no copy of the pool's own metadata is left."""
    if pool_of.kind == "classes":  # all metadata is on the special vdev, the last one
        return number == len(pool_of.tops) - 1
    return sum(1 for names, _ in pool_of.tops if len(names) > 1) == 1


def _never_wrong(pool_of: LosingPool, pool: Pool, way: str) -> None:
    found = {one.name for one in pool.datasets()}
    assert found <= pool_of.names
    datasets = {name: one for name, one in pool_of.datasets.items() if name in found}
    outcome = compare_some(pool, datasets, choose(datasets, ENTRIES, random.Random(way)))
    assert outcome.wrong == []
    assert outcome.right > 0
    assert all("\n" not in line for line in outcome.unreadable)


@pytest.mark.parametrize("kind", params(["classes", "stripes"]))
def test_whole_files_are_left(losing, kind: str) -> None:
    """Half of a pool is gone for good: every entry reads right or says why not, and verify counts what is lost."""
    pool_of = losing(kind)
    _, loss = beyond(pool_of.tops)[-1 if kind == "stripes" else 0]
    with pool_of.opened(pool_of.ways(loss, "missing"), missing_ok=True) as pool:
        assert pool.health == "UNAVAIL"
        outcome = compare_all(pool, pool_of.datasets)
        assert outcome.wrong == [] and outcome.right > 500 and outcome.unreadable
        report = pool.verify()
        assert report.lost_blocks and not report.errors_by_vdev
