"""Space figures: OpenZFS's own must agree with each other in the way the rules say, on every dataset of real pools."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from uberblock.pool.alloc.slop import slop_space
from uberblock.pool.dsl.accounting import (
    PoolSpace,
    available,
    directory_available,
    ratio,
    used_breakdown,
    written,
    written_since,
)
from uberblock.pool.dsl.deadlist import TXG_MAX
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.dsl.props import get
from uberblock.pool.ondisk.dsl import BookmarkFlags, BookmarkPhys

from .conftest import FakeMos, Opener

KINDS = [
    "block-cloning",
    "checkpoint",
    "classes",
    "damaged",
    "dedup",
    "draid",
    "encrypted",
    "names",
    "removal",
    "version28",
]
MIB = 1 << 20


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_used_space_add_up(open_kind: Opener, kind: str) -> None:
    for directory in open_kind(kind).dsl.dirs(hidden=True):
        parts = used_breakdown(directory)
        phys = directory.phys
        assert parts is not None
        assert parts.dataset + parts.snapshots + parts.children + parts.refreservation == phys.used_bytes
        children = directory.children(hidden=True)
        reserved = sum(max(child.phys.reserved - child.phys.used_bytes, 0) for child in children)
        assert parts.children == sum(child.phys.used_bytes for child in children) + reserved


@pytest.mark.parametrize("kind", KINDS)
def test_deadlists_agree_with_the_figures(open_kind: Opener, kind: str) -> None:
    """What snapshots keep, what is unique to each, and what a head shares, all follow from the deadlists."""
    for head in open_kind(kind).dsl.datasets(snapshots=False):
        chain = [*head.snapshots(), head]
        origin = head.dir.origin
        since = 1 if origin is None else origin.phys.creation_txg
        parts = used_breakdown(head.dir)
        assert parts is not None
        assert parts.snapshots == sum(item.deadlist.space(since).used for item in chain)
        for item, following in itertools.pairwise(chain):
            assert item.phys.unique_bytes == following.deadlist.space(item.phys.prev_snap_txg).used
        previous = head.prev
        assert previous is not None
        shared = previous.phys.referenced_bytes - head.deadlist.used
        assert head.phys.unique_bytes == head.phys.referenced_bytes - shared
        for item in chain:
            assert item.deadlist.space(0, TXG_MAX) == item.deadlist.total
            txgs = list(item.deadlist.entries)
            assert txgs == sorted(txgs) and (not txgs or txgs[0] == 0)


@pytest.mark.parametrize("kind", ["checkpoint", "encrypted", "version28"])
def test_written_in_steps_and_at_once(open_kind: Opener, kind: str) -> None:
    for head in open_kind(kind).dsl.datasets(snapshots=False):
        chain = [*head.snapshots(), head]
        for start in range(len(chain) - 1):
            mark = chain[start].as_bookmark()
            assert written_since(chain[start + 1], mark) == written(chain[start + 1])
            whole = written_since(head, mark)
            assert whole is not None and whole <= sum(written(item) or 0 for item in chain[start + 1 :])


def test_the_pool_itself(open_kind: Opener) -> None:
    """Without parity, dedup and clones the pool's usable size follows from its plain size."""
    for kind in ("encrypted", "ganging", "names", "version28"):
        opened = open_kind(kind)
        size = int(opened.manifest["properties"]["size"])
        space = PoolSpace(size, slop_space(size), deferred=opened.dsl.deferred_bytes)
        root = opened.manifest["datasets"][opened.dsl.name]["properties"]
        assert space.usable == int(root["available"]) + int(root["used"])
        assert opened.dsl.space == space


def test_ratio() -> None:
    assert ratio(0, 0) == 100
    assert ratio(300, 200) == 150
    assert ratio(1999, 1000) == 199


def test_usable_is_never_negative() -> None:
    assert PoolSpace(size=10, slop=20).usable == 0
    assert PoolSpace(size=100, slop=20, checkpoint=10, deferred=5).usable == 65


# -- rules of availability --------------------------------------------------------------------------------


def nested(mos: FakeMos, root: dict[str, int], a: dict[str, int], b: dict[str, int]) -> DslPool:
    mos.directory(2, children={"a": 3}, head_dataset_obj=20, **root)
    mos.directory(3, parent_obj=2, children={"b": 4}, head_dataset_obj=30, **a)
    mos.directory(4, parent_obj=3, head_dataset_obj=40, **b)
    for number in (2, 3, 4):
        mos.dataset(number * 10, dir_obj=number, snapshots={}, referenced_bytes=4, unique_bytes=4)
    return mos.open()


@pytest.mark.parametrize(
    ("root", "a", "b", "left"),
    [
        ({"used_bytes": 30}, {"used_bytes": 20}, {"used_bytes": 10}, (70, 70, 70)),
        ({"used_bytes": 30, "quota": 50}, {"used_bytes": 20}, {"used_bytes": 10}, (20, 20, 20)),
        ({"used_bytes": 30, "quota": 500}, {"used_bytes": 20}, {"used_bytes": 10}, (70, 70, 70)),
        ({"used_bytes": 30}, {"used_bytes": 20, "quota": 25}, {"used_bytes": 10}, (70, 5, 5)),
        ({"used_bytes": 30}, {"used_bytes": 20}, {"used_bytes": 10, "quota": 5}, (70, 70, 0)),
        ({"used_bytes": 30}, {"used_bytes": 20, "reserved": 40}, {"used_bytes": 10}, (70, 90, 90)),
        (
            {"used_bytes": 30},
            {"used_bytes": 20, "reserved": 40, "quota": 45},
            {"used_bytes": 10},
            (70, 25, 25),
        ),
        ({"used_bytes": 130}, {"used_bytes": 20}, {"used_bytes": 10, "reserved": 15}, (0, 0, 5)),
    ],
)
def test_quotas_and_reservations(
    mos: FakeMos, root: dict[str, int], a: dict[str, int], b: dict[str, int], left: tuple[int, int, int]
) -> None:
    dsl = nested(mos, root, a, b)
    names = ("tank", "tank/a", "tank/a/b")
    assert tuple(directory_available(dsl.directory_of(name), PoolSpace(100, 0)) for name in names) == left


@pytest.mark.parametrize(
    ("refquota", "refreservation", "left"), [(0, 0, 70), (10, 0, 6), (3, 0, 0), (0, 9, 75), (50, 9, 46)]
)
def test_limits_of_the_dataset_alone(mos: FakeMos, refquota: int, refreservation: int, left: int) -> None:
    dsl = nested(mos, {"used_bytes": 30}, {"used_bytes": 20}, {"used_bytes": 10})
    assert available(dsl.dataset("tank/a/b"), PoolSpace(100, 0), refquota, refreservation) == left


def test_available_without_figures(mos: FakeMos) -> None:
    dsl = nested(mos, {}, {}, {})
    assert not get(dsl.dataset("tank"), "available").is_set


def test_pools_too_old_for_the_parts(mos: FakeMos) -> None:
    dsl = nested(mos, {"used_bytes": 30}, {}, {})
    assert used_breakdown(dsl.root) is None
    assert not get(dsl.dataset("tank"), "usedbydataset").is_set
    assert not get(dsl.dataset("tank"), "written").is_set  # no hidden empty snapshot before the first


def test_bookmarks_bring_their_own_figures(mos: FakeMos) -> None:
    mos.directory(2, head_dataset_obj=20)
    lists: dict[str, Any] = {"0": mos.bpobj(500, 11, 0, 0), "5": mos.bpobj(501, 7, 0, 0)}
    mos.deadlist(60, lists, (18, 0, 0))
    mos.dataset(
        20,
        dir_obj=2,
        snapshots={"s": 31},
        prev_snap_obj=31,
        prev_snap_txg=9,
        referenced_bytes=100,
        deadlist_obj=60,
    )
    mos.dataset(31, dir_obj=2, num_children=1, creation_txg=9, guid=3, referenced_bytes=80)
    head = mos.open().dataset("tank")
    assert written_since(head, head.snapshots()[0].as_bookmark()) == 100 - 80 + 18
    mark = BookmarkPhys(
        guid=1, creation_txg=5, referenced_bytes=60, flags=BookmarkFlags.HAS_FBN, freed_referenced=2
    )
    assert written_since(head, mark) == 100 - 60 + 11 + 2  # its snapshot is gone
    assert written_since(head, BookmarkPhys(guid=4, creation_txg=9, referenced_bytes=80)) is None
    young = BookmarkPhys(
        guid=3, creation_txg=9, referenced_bytes=80, flags=BookmarkFlags.HAS_FBN, freed_referenced=2
    )
    assert written_since(head, young) == 22
