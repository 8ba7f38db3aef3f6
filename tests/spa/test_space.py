"""Sizes: sums over space maps equal what zdb finds by walking, and what datasets may still take."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.ondisk import blkptr
from uberblock.pool.spa import space

#: Pools in which no block is referred to twice: there every allocated byte belongs to one pointer.
ONCE = ["mirror", "raidz-expansion", "removal", "version28", "ganging", "draid"]


@pytest.mark.judge
@pytest.mark.parametrize("kind", ONCE)
def test_allocated_is_what_zdb_counts(pools, judge, kind: str) -> None:
    golden = pools(kind)
    command = [judge("zdb"), "-e", "-p", str(golden.dir), "-b", golden.manifest["pool"]]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    counted = re.search(r"bp allocated:\s+(\d+)", report)
    assert counted is not None
    with import_pool(search=golden.dir) as pool:
        assert pool.allocated == int(counted[1])


@pytest.mark.judge
@pytest.mark.parametrize("kind", ["mirror", "raidz2"])
def test_fragmentation_is_what_zdb_shows(pools, judge, kind: str) -> None:
    golden = pools(kind)
    command = [judge("zdb"), "-e", "-p", str(golden.dir), "-mm", golden.manifest["pool"]]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    shown = [int(n) for n in re.findall(r"fragmentation (\d+)", report)]
    with import_pool(search=golden.dir) as pool:
        (vdev,) = pool.spa.space.vdevs
        assert vdev.fragmentation == sum(shown) // vdev.metaslabs


def test_available_space_of_datasets(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    if golden.manifest["properties"]["readonly"] != "on":
        return  # OpenZFS wrote to the pool before it showed this
    with import_pool(search=golden.dir) as pool:
        for name, dataset in golden.manifest["datasets"].items():
            if "available" in dataset["properties"]:
                assert pool.dataset(name).get("available").exact == dataset["properties"]["available"], name


def test_deflated_sizes(pools) -> None:
    with import_pool(search=pools("raidz-expansion").dir) as pool:
        tree = pool.tree
        assert space.deflate_ratio(tree, tree.tops[0]) == 341 or space.deflate_ratio(tree, tree.tops[0]) < 512
        dsize = space.dsize_of(tree)
        bps = np.zeros(3, dtype=blkptr.BLKPTR)
        bps["dva"][0, 0, 0] = 8
        bps["dva"][0, 0, 1] = 8
        bps["dva"][2, :, 0] = 0xFFFFFF << 32 | 8  # a vdev that does not exist
        assert dsize(bps).tolist()[1] == 0 and dsize(bps)[0] == 8 * space.deflate_ratio(tree, tree.tops[0])


def test_fragmentation_of_one_metaslab() -> None:
    assert space.fragmentation_of((), 9) is None
    assert space.fragmentation_of((0,) * 32, 9) == 0
    assert space.fragmentation_of((5, *(0,) * 31), 9) == 100
    assert space.fragmentation_of((*(0,) * 31, 1), 16) == 0
