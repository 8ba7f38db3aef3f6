"""Properties of vdevs."""

from __future__ import annotations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.dmu.zap import ZapEntry
from uberblock.pool.errors import UsageError
from uberblock.pool.spa import vdevprops
from uberblock.pool.spa.vdevprops import ORDER, find_vdevs, vdev_properties


def test_every_vdev_of_a_pool_with_classes(pools) -> None:
    golden = pools("classes")
    with import_pool(search=golden.dir) as pool:
        root, *rest = find_vdevs(pool.spa, "all-vdevs")
        values = vdev_properties(pool.spa, root)
        assert tuple(values) == ORDER
        for name in ("size", "allocated", "free", "capacity"):
            assert values[name].value == pool.get(name).value
        assert values["children"].value == "mirror-0,d2.img,mirror-2" and values["numchildren"].value == "3"
        assert {vdev_properties(pool.spa, vdev)["parent"].value for vdev in rest} == {"root-0", "mirror-0", "mirror-2"}
        (leaf,) = find_vdevs(pool.spa, "d0.img")
        values = vdev_properties(pool.spa, leaf)
        assert values["path"].value == str(golden.dir / "d0.img") and values["size"].value == "-"
        assert int(values["asize"].value) <= int(values["psize"].value) < golden.images[0].stat().st_size
        assert (values["failfast"].value, values["failfast"].source) == ("on", "default")
        assert find_vdevs(pool.spa, str(leaf.guid)) == find_vdevs(pool.spa, values["path"].value) == [leaf]


def test_expansion(pools) -> None:
    with import_pool(search=pools("raidz-expansion").dir) as pool:
        (top,) = find_vdevs(pool.spa, "raidz1-0")
        values = vdev_properties(pool.spa, top)
        assert (values["raidz_expanding"].value, values["parity"].value) == ("off", "1")


def test_what_was_set(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    with import_pool(search=pools("classes").dir) as pool:
        leaf = pool.tree.leaves[0]
        found = [
            ZapEntry(b"failfast", 8, (0,)),
            ZapEntry(b"checksum_n", 8, (12,)),
            ZapEntry(b"comment", 1, tuple(b"left bay\0")),
            ZapEntry(b"org.example:bay", 1, tuple(b"3\0")),
            ZapEntry(b"com.delphix:next_offset_to_initialize", 8, (1,)),
        ]

        def entries(mos, number, what):
            assert number == leaf.config["com.delphix:vdev_zap_leaf"]
            return [(one.name.decode(), one) for one in found]

        monkeypatch.setattr(vdevprops, "entries", entries)
        values = vdev_properties(pool.spa, leaf)
        local = {name: prop.value for name, prop in values.items() if prop.source == "local"}
        assert local == {"failfast": "off", "checksum_n": "12", "comment": "left bay", "org.example:bay": "3"}


def test_no_such_vdev(pools) -> None:
    with import_pool(search=pools("classes").dir) as pool, pytest.raises(UsageError, match=r"d9.*all-vdevs"):
        find_vdevs(pool.spa, "d9")
