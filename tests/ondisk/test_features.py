from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.errors import UnsupportedFeatureError
from uberblock.pool.ondisk.features import BY_GUID, BY_NAME, FEATURES, check, check_label

LZ4 = "org.illumos:lz4_compress"
ODD = "com.example:teleport"


def test_the_table_is_sound() -> None:
    place = {feature.name: n for n, feature in enumerate(FEATURES)}
    for feature in FEATURES:
        assert feature.guid.endswith(":" + feature.name)
        for needed in feature.depends:
            assert place[needed] < place[feature.name], f"{feature.name} comes before {needed}"
    assert sum(f.label for f in FEATURES) == 8
    assert sum(f.active_at_once for f in FEATURES) == 5
    assert sum(f.per_dataset for f in FEATURES) == 15
    assert not any(f.label and f.read_only_compatible for f in FEATURES)


def test_what_is_active_and_known_passes() -> None:
    report = check({LZ4: 1, "org.illumos:skein": 0}, {"com.delphix:spacemap_v2": 1, "com.delphix:bookmarks": 3})
    assert report.active == ("com.delphix:bookmarks", "com.delphix:spacemap_v2", LZ4)
    assert report.writable
    assert report.state("lz4_compress") == "active"
    assert report.state("skein") == "enabled"
    assert report.state("draid") == "disabled"
    assert report.state("org.illumos:skein") == "enabled"


def test_unknown_and_unused_does_no_harm() -> None:
    report = check({ODD: 0}, {"com.example:other": 0}, writing=True)
    assert report.unknown_unused == ("com.example:other", ODD)


def test_unknown_and_active_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeatureError, match=r"com.example:teleport \(moves blocks\)") as caught:
        check({ODD: 2, LZ4: 1}, {}, descriptions={ODD: "moves blocks"})
    assert caught.value.features == (ODD,)


def test_unknown_read_only_compatible_only_hinders_writing() -> None:
    report = check({}, {ODD: 1})
    assert report.unknown_write == (ODD,) and not report.writable
    with pytest.raises(UnsupportedFeatureError, match="read-only"):
        check({}, {ODD: 1}, writing=True)


def test_labels() -> None:
    check_label([f.guid for f in FEATURES if f.label])
    with pytest.raises(UnsupportedFeatureError):
        check_label(["com.delphix:hole_birth", ODD])


@pytest.mark.parametrize("kind", ["raidz-expansion", "draid", "encrypted", "dedup"])
def test_the_table_knows_all_that_real_pools_enable(pools: Callable[[str], Any], kind: str) -> None:
    listed = pools(kind).manifest["features"]
    assert set(listed) <= set(BY_NAME)
    after = {"2.4", "after 2.4"}
    assert set(BY_NAME) - set(listed) == {f.name for f in FEATURES if f.since in after}
    states = {BY_NAME[name].guid: int(state == "active") for name, state in listed.items()}
    assert check({g: n for g, n in states.items() if not BY_GUID[g].read_only_compatible}, {}).states()
