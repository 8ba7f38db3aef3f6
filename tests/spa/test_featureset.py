"""Features of new pools: which, in what order, and what the feature ZAPs then hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.dsl.mosobj import numbers
from uberblock.pool.errors import UsageError
from uberblock.pool.ondisk.features import BY_NAME, FEATURES, check, check_label
from uberblock.pool.spa import featureset
from uberblock.pool.spa.compatsets import SETS, Compatibility, load
from uberblock.pool.spa.featureset import FeatureCounts, choose, initial
from uberblock.pool.spa.importer import load as open_pool
from uberblock.pool.spa.scan import scan_all


def active(counts: dict[str, int]) -> dict[str, int]:
    return {guid.partition(":")[2]: count for guid, count in counts.items() if count}


def test_counts_of_a_pool_with_every_feature() -> None:
    """As OpenZFS 2.3.2 has them right after creation (the space maps and their log apart, which are none of this)."""
    counts = initial(choose(compatibility=load("openzfs-2.3", ())), 4, {"vdev_zaps_v2": 1})
    ones = {"embedded_data": 1, "vdev_zaps_v2": 1, "head_errlog": 1, "lz4_compress": 1, "hole_birth": 1}
    assert active(counts.read) == ones
    assert active(counts.write) == {"spacemap_v2": 1, "enabled_txg": 39}
    assert len(counts.read) + len(counts.write) == len(counts.descriptions) == 44
    assert set(counts.enabled_txg.values()) == {4} and len(counts.enabled_txg) == 39
    assert check(counts.read, counts.write, writing=True).writable
    assert [BY_NAME[n].guid for n in ("hole_birth", "embedded_data", "vdev_zaps_v2")] == list(counts.label_features)


@pytest.mark.parametrize("kind", ["mirror", "classes", "draid"])
def test_against_real_pools(pools: Any, kind: str) -> None:
    """The same features as a real pool has enabled: in the same ZAPs, with enabled-txg entries for the same ones."""
    spa = open_pool(scan_all([pools(kind).dir]).candidates[0])
    read, write, when = (
        numbers(spa.mos, spa.directory.number(name), name)
        for name in ("features_for_read", "features_for_write", "feature_enabled_txg")
    )
    wanted = {f"feature@{f.name}": "enabled" for f in FEATURES if f.guid in read or f.guid in write}
    counts = initial(choose(wanted, none=True), 4)
    assert set(counts.read) == set(read) and set(counts.write) == set(write)
    assert set(counts.enabled_txg) == set(when)
    enabled_txg = BY_NAME["enabled_txg"].guid
    assert counts.write[enabled_txg] == write[enabled_txg] == len(when)
    spa.close()


def test_the_default_is_what_openzfs_2_2_imports() -> None:
    names = choose().names
    assert names == SETS["openzfs-2.2"] - {"log_spacemap"}
    assert not choose().pulled_in and not choose().warnings
    check_label(initial(choose(), 4).label_features)


def test_choices() -> None:
    assert choose(none=True).features == ()
    assert choose({"feature@sha512": "enabled"}, none=True).names == {"sha512", "extensible_dataset"}
    assert choose({"feature@sha512": "enabled"}, none=True).pulled_in == ("extensible_dataset",)
    assert choose({"feature@com.delphix:async_destroy": "enabled"}, none=True).names == {"async_destroy"}
    assert "edonr" not in choose({"feature@edonr": "disabled"}).names
    stubborn = choose({"feature@enabled_txg": "disabled"})
    assert "enabled_txg" in stubborn.names and stubborn.pulled_in == ("enabled_txg",)
    assert choose(compatibility=load("zol-0.7", ())).names == SETS["zol-0.7"]
    assert choose(compatibility=load("legacy")).features == ()
    assert choose(compatibility=load("off")).names == featureset.DEFAULT
    over = choose({"feature@blake3": "enabled"}, load("zol-0.7", ()))
    assert "blake3" in over.names
    assert over.warnings == (
        "feature \"blake3\" enabled but is not in specified 'compatibility' feature set.",
    )
    odd = Compatibility(frozenset(), ("strange",))
    assert "unrecognized feature name(s)" in choose(compatibility=odd).warnings[0]
    for name, value in (("feature@nosuch", "enabled"), ("feature@sha512", "active"), ("feature@sha512", "")):
        with pytest.raises(UsageError):
            choose({name: value})


@given(st.dictionaries(st.sampled_from([f.name for f in FEATURES]), st.sampled_from(["enabled", "disabled"])))
def test_dependencies_come_first(wanted: dict[str, str]) -> None:
    choice = choose(wanted, none=True)
    seen: set[str] = set()
    for feature in choice.features:
        assert set(feature.depends) <= seen
        seen.add(feature.name)
    counts = initial(choice, 7)
    assert len(counts.descriptions) == len(choice.features)
    enabled = counts.count("enabled_txg")
    assert (enabled or 0) == len(counts.enabled_txg)


def test_order_of_the_pairs_in_a_label_follows_activation_rules() -> None:
    counts = initial(choose(), 4, {"org.openzfs:draid": 2, "allocation_classes": 0})
    assert counts.count("draid") == 2 and counts.count("allocation_classes") == 0
    assert "org.openzfs:draid" in counts.label_features
    with pytest.raises(UsageError, match="needs the feature 'draid', which is disabled"):
        initial(choose({"feature@draid": "disabled"}), 4, {"draid": 1})


def test_counting() -> None:
    counts = FeatureCounts()
    counts.enable(BY_NAME["draid"], 5)
    counts.enable(BY_NAME["sha512"], 5)
    assert counts.enabled_txg == {} and counts.count("edonr") is None
    assert counts.add("draid") is True, "labels have to name it now"
    assert counts.add("draid") is False
    assert counts.add("draid", -1) is False
    assert counts.add("draid", -1) is True
    assert counts.add("sha512", 3) is False
    with pytest.raises(ValueError, match="would become -1"):
        counts.add("sha512", -4)
    with pytest.raises(UsageError):
        counts.add("edonr")
    counts.enable(BY_NAME["sha512"], 9)
    assert counts.count("sha512") == 3, "enabling again changes nothing"
