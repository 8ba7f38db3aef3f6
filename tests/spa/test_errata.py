"""Errata are told of the pools they concern; tests/judges/test_fixtures.py has pools with real ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError
from uberblock.pool.spa import errata


def spa(directories, config=None, feature="active"):
    keys = {id(d): d.key for d in directories}
    return SimpleNamespace(
        config=config or {},
        features=SimpleNamespace(state=lambda name: feature),
        dsl=SimpleNamespace(
            dirs=lambda: directories, keys=SimpleNamespace(key_object=lambda d: keys[id(d)])
        ),
    )


def directory(version, *ivsets):
    key = None if version is None else SimpleNamespace(version=version)
    snapshots = [SimpleNamespace(ivset_guid=guid) for guid in ivsets]
    return SimpleNamespace(key=key, head=SimpleNamespace(snapshots=lambda: snapshots))


@pytest.mark.parametrize(
    ("directories", "expected"),
    [
        ([], 0),
        ([directory(None, None)], 0),
        ([directory(1, 5, 6)], 0),
        ([directory(1, 5), directory(0)], errata.KEY_WITHOUT_VERSION),
        ([directory(0), directory(1, 5, None)], errata.SNAPSHOT_WITHOUT_IVSET),
    ],
)
def test_what_is_lacking(directories, expected) -> None:
    assert errata.erratum(spa(directories)) == expected
    assert errata.erratum(spa(directories, feature="enabled")) == 0
    assert errata.erratum(spa(directories, config={"errata": 2})) == 2


def test_damage_is_no_erratum() -> None:
    broken = directory(0)

    def fail():
        raise CorruptError("a snapshot is damaged")

    broken.head.snapshots = fail
    assert errata.erratum(spa([broken])) == errata.KEY_WITHOUT_VERSION


@pytest.mark.parametrize("kind", ["encrypted", "rewind"])
def test_pools_of_today_have_none(pools, kind: str) -> None:
    with import_pool(search=pools(kind).dir) as pool:
        assert errata.erratum(pool.spa) == 0 and "rrata" not in str(pool.status())
