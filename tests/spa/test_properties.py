"""Pool properties and features against what OpenZFS shows."""

from __future__ import annotations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import UsageError

#: Differ for good reason: chosen at import; OpenZFS does not work the last ones out for a read-only import.
ELSEWHERE = {"altroot", "cachefile", "load_guid", "readonly"}
SPACE = {"allocated", "capacity", "fragmentation", "free"}


def test_as_openzfs_shows_them(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    shown = golden.manifest["properties"]
    with import_pool(search=golden.dir) as pool:
        mine = pool.properties()
        for name, value in shown.items():
            if name not in ELSEWHERE | SPACE and not name.startswith("feature@"):
                assert mine[name].value == value, name
        assert pool.size == int(shown["size"])
        assert 0 < pool.allocated < pool.size
        for name, state in golden.manifest["features"].items():
            # Replaying the logs of a crashed pool may have changed what is in use.
            if golden.manifest["exported"] or state == "disabled":
                assert pool.features[name] == state, name


def test_one_by_one(pools) -> None:
    with import_pool(search=pools("compat").dir, altroot="/x") as pool:
        assert pool.get("compatibility").value == "openzfs-2.1-linux" and pool.get("compatibility").source == "local"
        assert pool.get("failmode").value == "wait" and pool.get("failmode").source == "default"
        assert pool.get("altroot").value == "/x"
        assert pool.get("feature@lz4_compress").value == "active"
        assert str(pool.get("readonly")) == "on"
        with pytest.raises(UsageError):
            pool.get("color")


def test_dedup_cloning_checkpoint(pools) -> None:
    for kind, names in (("dedup", ("dedupratio", "dedup_table_size")), ("checkpoint", ("checkpoint",))):
        golden = pools(kind)
        with import_pool(search=golden.dir) as pool:
            for name in names:
                assert pool.get(name).value == golden.manifest["properties"][name] != "-"
    golden = pools("block-cloning")
    with import_pool(search=golden.dir) as pool:
        assert int(pool.get("bclonesaved").value) > 0
