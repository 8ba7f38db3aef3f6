"""Features counted anew against the pool's own counters."""

from __future__ import annotations

from collections import Counter

import pytest
from uberblock.pool import import_pool
from uberblock.pool.spa import featurecounts
from uberblock.pool.spa.featurecounts import ORDER, feature_counts


def test_every_pool_counts_rightly(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    with import_pool(search=golden.dir) as pool:
        counts = list(feature_counts(pool.spa))
        assert [one for one in counts if not one.right] == []
        names = [one.name for one in counts]
        assert names == [name for name in ORDER if name in names] and names[-2:] == list(featurecounts.REMOVALS)


def test_what_is_counted(pools) -> None:
    found: Counter[str] = Counter()
    for kind in ("encrypted", "removal", "algorithms", "names"):
        with import_pool(search=pools(kind).dir) as pool:
            found += Counter({one.name: one.found for one in feature_counts(pool.spa)})
    for name in ("encryption", "device_removal", "obsolete_counts", "livelist", "blake3", "edonr", "zstd_compress"):
        assert found[name], name


def test_a_wrong_counter_is_told(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    with import_pool(search=pools("encrypted").dir) as pool:
        monkeypatch.setitem(pool.spa.features.refcounts, "com.datto:encryption", 99)
        (wrong,) = [one for one in feature_counts(pool.spa) if not one.right]
        assert (wrong.name, wrong.found, wrong.counted) == ("encryption", 9, 99)
