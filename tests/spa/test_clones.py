"""Clones that OpenZFS made are written and destroyed: they give up the list of their blocks, and everything adds up."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool import Pool, import_pool
from uberblock.pool.env import Env
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.spa.blocks import BlockCheck
from uberblock.pool.spa.featurecounts import feature_counts


def check(pool: Pool) -> None:
    assert BlockCheck(pool.spa, threads=1).run().balanced
    assert [one for one in feature_counts(pool.spa) if not one.right] == []


def content(pool: Pool, name: str) -> dict[str, bytes]:
    fs = pool.fs(name)
    return {path: fs.read_bytes(path) for path, node in fs.tree("/") if node.type == "file" and node.size < 1 << 24}


def test_clones_are_written_and_destroyed(pools, tmp_path: Path) -> None:
    pools("classes").copy(tmp_path)
    name, clone = "tank-classes", "tank-classes/clone"
    with import_pool(search=tmp_path) as pool:
        assert pool.dataset(clone).dsl.dir.livelist is not None
        origin, before = content(pool, f"{name}/home@one"), content(pool, clone)
        listed = pool.spa.features.refcounts["com.delphix:livelist"]
    with open_pool(None, [str(tmp_path)], env=Env.fixed(1), txg_seconds=0, force=True) as pool:
        fs = pool.fs(clone)
        assert pool.dataset(clone).dsl.dir.livelist is not None  # looking at it changes nothing
        changed = sorted(before)[0]
        fs.write_bytes(changed, b"other" * 30000)
        fs.write_bytes("/new", b"new" * 50000)
    before |= {changed: b"other" * 30000, "/new": b"new" * 50000}
    with import_pool(search=tmp_path) as pool:
        assert pool.dataset(clone).dsl.dir.livelist is None
        assert pool.spa.features.refcounts["com.delphix:livelist"] == listed - 1
        assert {path.strip("/"): data for path, data in content(pool, clone).items()} == {
            path.strip("/"): data for path, data in before.items()
        }
        assert content(pool, f"{name}/home@one") == origin
        check(pool)
    with open_pool(None, [str(tmp_path)], env=Env.fixed(1), txg_seconds=0) as pool:
        pool.destroy(clone)
        pool.destroy(f"{name}/volclone")  # of a volume, as it is
    with import_pool(search=tmp_path) as pool:
        assert pool.spa.features.refcounts["com.delphix:livelist"] == 0
        assert content(pool, f"{name}/home@one") == origin
        assert not pool.dataset(f"{name}/home@one").dsl.clones()
        check(pool)
