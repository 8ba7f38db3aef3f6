"""Pools that OpenZFS wrote, opened for writing: changed in every dataset, closed, and judged by zdb.

What is refused is refused by name, and nothing has been written then.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import IN_CI, pool_kinds
from golden import is_pool, params
from uberblock.pool import Dataset, Volume
from uberblock.pool.env import Env
from uberblock.pool.errors import NotEmptyError, PoolError, UnsupportedError
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.judges import zdb_complaints
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.poolwrite import WritablePool

pytestmark = pytest.mark.judge

#: Why some pools of the collection are not written.
REFUSED = {
    "block-cloning": "block_cloning", "checkpoint": "zpool_checkpoint",
    "dedup": "fast_dedup", "dedup-legacy": "deduplication", "raidz-expansion": "raidz_expansion",
    "removal": "device_removal", "version28": "version 28",
}  # fmt: skip


def open_writable(folder: Path) -> WritablePool:
    return open_pool(None, [str(folder)], env=Env.fixed(1), txg_seconds=0, force=True)


#: In CI a few that differ most; everywhere else all there are.
IN_CI_ONLY = {"classes", "draid", "ganging", "names", "zil"}
WRITTEN = [
    kind for kind in pool_kinds() if is_pool(kind) and kind not in REFUSED and (kind in IN_CI_ONLY or not IN_CI)
]


@pytest.mark.parametrize("kind", params(WRITTEN))
def test_written_further(pools, judge, tmp_path: Path, kind: str) -> None:
    pools(kind).copy(tmp_path)
    pool = open_writable(tmp_path)
    name, damaged = pool.name, "damaged" in kind
    rng = random.Random(kind)
    changed = 0
    for dataset in some(list(pool.datasets(types=("filesystem", "volume"))), rng):
        try:
            changed += change(pool, dataset.name, isinstance(dataset, Volume), rng)
        except UnsupportedError as error:
            assert dataset.name in str(error)
    pool.sync()
    assert changed
    destroyed = 0
    for dataset in reversed(some(list(pool.datasets(types=("filesystem", "volume"))), rng)):
        try:
            pool.destroy(dataset.name)
            destroyed += 1
        except (UnsupportedError, NotEmptyError):
            continue
        except PoolError as error:
            assert dataset.name == name, error
    pool.create_filesystem(f"{name}/made here").write_bytes("/x", rng.randbytes(200_000))
    pool.close()
    if not damaged:
        found = examine([str(path) for path in sorted(tmp_path.glob("*.img"))]).problems
        # Of some it is encrypted, or larger than memory; of one pool a disk is missing.
        assert not [line for line in found if not line.startswith(("content cannot be read", "unchecked"))]
    said = zdb_complaints(judge("zdb"), tmp_path, name)
    assert not said or damaged, said


def some(every: list[Dataset], rng: random.Random) -> list[Dataset]:
    """All datasets; of many ten, in their order."""
    return [every[k] for k in sorted(rng.sample(range(len(every)), min(10, len(every))))]


def change(pool: WritablePool, name: str, volume: bool, rng: random.Random) -> int:
    """Change a dataset in a few ways; gives how many."""
    data = rng.randbytes(150_000)
    if volume:
        opened = pool.volume(name).open()
        opened.pwrite(data[:8192], 0)  # type: ignore[attr-defined]
        opened.discard(16384, 32768)  # type: ignore[attr-defined]
        return 2
    vfs = pool.fs(name)
    if vfs.filesystem.readonly:
        return 0
    every = [(path, znode) for path, znode in vfs.tree("/") if path != "."]
    files = [path for path, znode in every if znode.type == "file" and znode.size < 1 << 20]
    for path in rng.sample(files, min(12, len(files))):
        place = rng.randrange(5)
        if place == 0:
            vfs.unlink(path)
        elif place == 1:
            vfs.setxattr(path, "user.more", data[:3000])
        elif place == 2:
            vfs.truncate(path, rng.randrange(300_000))
        else:
            with vfs.open(path, "rb+") as file:
                file.seek(rng.randrange(200_000))
                file.write(data[: rng.randrange(150_000)])
    vfs.makedirs("/made/here")
    for number in range(40):
        vfs.write_bytes(f"/made/here/{number}", data[: number * 100])
    return len(every)


@pytest.mark.parametrize("kind", params([kind for kind in pool_kinds() if kind in REFUSED]))
def test_refused_by_name(pools, tmp_path: Path, kind: str) -> None:
    pools(kind).copy(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with pytest.raises(UnsupportedError, match=REFUSED[kind]):
        open_writable(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
