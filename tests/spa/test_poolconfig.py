"""Configurations made from a live tree, against those OpenZFS wrote: the same bytes, in labels and in the MOS."""

from __future__ import annotations

from typing import Any

import pytest
from uberblock.pool import import_pool  # noqa: F401  (the package must be importable as users do)
from uberblock.pool.env import Env
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import label, nvlist
from uberblock.pool.ondisk.nvlist import NVList, NvType
from uberblock.pool.spa import mos as metadata
from uberblock.pool.spa import poolconfig
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.scan import ScanResult, scan_all
from uberblock.pool.spa.spa import Spa
from uberblock.pool.vdev.tree import VdevTree, build


def opened(pools: Any, kind: str) -> tuple[ScanResult, Spa, VdevTree]:
    """A golden pool, and its tree as it is on disk: with the paths it had when it was written."""
    found = scan_all([pools(kind).dir])
    spa = load(found.candidates[0])
    return found, spa, build(spa.config.nvlist("vdev_tree"), {})


def test_the_same_bytes_as_openzfs(pools: Any, every_kind: str) -> None:
    found, spa, tree = opened(pools, every_kind)
    try:
        facts = poolconfig.facts_of(spa.config)
        made = poolconfig.mos_config(facts, tree, spa.config.u64("txg"))
        assert list(made) == list(spa.config)
        assert nvlist.encode(made) == nvlist.encode(spa.config)
        assert poolconfig.guid_sum(tree) == spa.uberblock.guid_sum
        compared = 0
        for member in found.members:
            if member.is_aux or member.txg != spa.config.u64("txg"):
                continue  # a stale device's label is older than the configuration
            leaf = tree.by_guid[member.guid]
            made = poolconfig.label_config(facts, leaf, member.txg)  # type: ignore[arg-type]
            assert nvlist.encode(made) == nvlist.encode(member.config), member.source.name
            compared += 1
        assert compared
    finally:
        spa.close()


@pytest.mark.parametrize("kind", ["classes", "draid"])
def test_spare_and_cache_lists_and_labels(pools: Any, kind: str) -> None:
    found, spa, tree = opened(pools, kind)
    seen = 0
    for name in ("spares", "l2cache"):
        number = spa.directory.number(name, 0)
        if not number:
            continue
        written = metadata.packed(spa.mos, number, name)
        leaves = [tree.aux(entry, {}) for entry in written.nvlists(name)]
        assert nvlist.encode(poolconfig.aux_list(name, leaves)) == nvlist.encode(written)
        for leaf in leaves:
            for member in found.members:
                if member.guid == leaf.guid:
                    made = poolconfig.aux_label(leaf, cache=name == "l2cache")
                    assert nvlist.encode(made) == nvlist.encode(member.config)
                    seen += 1
    assert seen == (2 if kind == "classes" else 0)
    spa.close()


def test_provisional_labels(pools: Any) -> None:
    _, spa, tree = opened(pools, "classes")
    facts = poolconfig.facts_of(spa.config)
    made = poolconfig.provisional_label(facts, tree.leaves[0], 4)
    assert made.u64("txg") == 0 and made.u64("create_txg") == 4
    rest = poolconfig.label_config(facts, tree.leaves[0], 0)
    del made["create_txg"]
    assert made == rest
    spa.close()


def test_a_round_of_labels(pools: Any) -> None:
    _, spa, tree = opened(pools, "classes")
    facts = poolconfig.facts_of(spa.config)
    final, provisional = poolconfig.label_maker(facts, 9), poolconfig.label_maker(facts, 9, create_txg=4)
    for leaf in tree.leaves:
        assert final(leaf) == poolconfig.label_config(facts, leaf, 9)
        assert nvlist.encode(provisional(leaf)) == nvlist.encode(poolconfig.provisional_label(facts, leaf, 4))
    spa.close()


def test_adding_vdevs(pools: Any) -> None:
    _, spa, tree = opened(pools, "classes")
    _, other, more = opened(pools, "draid")
    root = poolconfig.with_more(tree, more)
    joined = build(root, {})
    assert [top.id for top in joined.tops] == list(range(len(tree.tops) + 1))
    assert joined.tops[-1].guid == more.tops[0].guid and joined.root.guid == tree.root.guid
    assert nvlist.encode(poolconfig.vdev_config(joined.tops[0])) == nvlist.encode(poolconfig.vdev_config(tree.tops[0]))
    spa.close()
    other.close()


def test_what_changes_shows(pools: Any) -> None:
    _, spa, tree = opened(pools, "classes")
    facts = poolconfig.facts_of(spa.config)
    leaf = tree.leaves[0]
    poolconfig.set_pair(leaf, "DTL", 77)
    poolconfig.set_pair(leaf, "offline", 1)
    poolconfig.set_pair(leaf.top, "metaslab_array", 99)
    leaf.path = "/elsewhere/d0"
    leaf.top.asize += 1 << 24
    made = poolconfig.label_config(facts, leaf, 200).nvlist("vdev_tree")
    assert made.u64("metaslab_array") == 99 and made.u64("asize") == leaf.top.asize
    child = made.nvlists("children")[0]
    assert list(child) == ["type", "id", "guid", "path", "whole_disk", "DTL", "create_txg", "offline"]
    assert child["path"] == "/elsewhere/d0"
    poolconfig.set_pair(leaf, "offline", None)
    poolconfig.set_pair(leaf, "offline", None)
    assert "offline" not in poolconfig.vdev_config(leaf)
    spa.close()


def test_zap_objects_are_named_in_the_mos_only(pools: Any) -> None:
    _, spa, tree = opened(pools, "classes")
    zaps = {"com.delphix:vdev_zap_top", "com.delphix:vdev_zap_leaf", "com.klarasystems:vdev_zap_root"}
    assert zaps & set(poolconfig.vdev_config(tree.root, mos=True))
    assert not zaps & set(poolconfig.vdev_config(tree.tops[0]))
    spa.close()


def test_unknown_pairs_are_kept() -> None:
    children = [NVList({"type": "file", "id": 0, "guid": 2, "ashift": 12, "asize": 1 << 30, "org.example:odd": "x"})]
    children[0].add("org.example:bit", True, NvType.BOOLEAN)
    root = NVList({"type": "root", "id": 0, "guid": 1, "children": children})
    config = NVList({"version": 5000, "name": "tank", "state": 0, "txg": 9, "pool_guid": 1, "hostname": "h"})
    config |= {"vdev_children": 1, "vdev_tree": root, "org.example:more": 7, "features_for_read": NVList()}
    made = poolconfig.mos_config(poolconfig.facts_of(config), build(root, {}), 10)
    assert made["org.example:more"] == 7
    assert made.nvlist("vdev_tree").nvlists("children")[0] == children[0]
    assert made.nvlist("vdev_tree").nvlists("children")[0].types["org.example:bit"] == NvType.BOOLEAN
    assert "errata" not in made and poolconfig.HAS_VDEV_ZAPS not in made


def test_features_and_hosts() -> None:
    facts = poolconfig.PoolFacts("tank", 1, features=("com.delphix:hole_birth", "org.example:unknown"))
    more = facts.with_features(["org.openzfs:draid", "com.delphix:hole_birth", "com.delphix:async_destroy"])
    assert more.features == ("com.delphix:hole_birth", "org.example:unknown", "org.openzfs:draid")
    assert facts.with_features([]).features == ("org.example:unknown",)
    here = facts.on_host(Env.fixed(hostname="box", hostid=5))
    assert (here.hostname, here.hostid) == ("box", 5)


def test_a_broken_configuration_is_refused() -> None:
    with pytest.raises(CorruptError):
        poolconfig.facts_of(NVList({"version": 5000, "name": "tank"}))
    assert poolconfig.PoolFacts("a", 1).state == label.STATE_ACTIVE
