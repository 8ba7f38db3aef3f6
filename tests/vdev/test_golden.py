"""Every block of real pools: found, intact, of the right allocated size, its parity as OpenZFS wrote it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from uberblock.pool.vdev.indirect import IndirectVdev
from uberblock.pool.vdev.raidz import RaidzVdev
from uberblock.pool.vdev.tree import VdevTree, build

SAMPLE = 100  # blocks of each top-level vdev that are read


def check_blocks(pool: Any, tree: VdevTree, top: int, blocks: Any) -> int:
    """Every way of reading every one of the blocks gives what its checksum says."""
    at, sizes, births = blocks["offset"], blocks["psize"], blocks["birth"]
    assert tree.check(top, at, blocks["asize"], sizes, births).all()
    assert (tree.asizes(top, sizes, births) == blocks["asize"]).all()
    assert (tree.tops[top].psizes(blocks["asize"], births) >= sizes).all()
    step = max(1, len(blocks) // SAMPLE)
    for scrub in (False, True):
        for way in range(tree.ways(top, scrub=scrub)):
            layout = tree.layout(top, way, at, sizes, births, scrub=scrub)
            for number in range(0, len(blocks), step):
                data = pool.read_block(tree, layout, number, int(sizes[number]))
                assert pool.is_intact(blocks[number], data), f"{tree.tops[top].name}:{int(at[number]):#x} way {way}"
    return len(blocks)


@pytest.mark.judge
@pytest.mark.parametrize(
    "kind",
    ["classes", "degraded", "draid", "raidz-expansion", "raidz1", "raidz3", "stripes"],
)
def test_blocks_of_real_pools(kind: str, golden: Callable[[str], Any], judge: Callable[[str], str]) -> None:
    pool = golden(kind)
    blocks, tree = pool.blocks(judge("zdb")), pool.tree()
    assert sum(check_blocks(pool, tree, top, blocks[blocks["vdev"] == top]) for top in np.unique(blocks["vdev"])) > 300


@pytest.mark.judge
def test_an_expanded_pool_has_blocks_of_both_widths(
    golden: Callable[[str], Any], judge: Callable[[str], str]
) -> None:
    pool = golden("raidz-expansion")
    top = pool.tree().tops[0]
    assert isinstance(top, RaidzVdev)
    widths = top.widths(pool.blocks(judge("zdb"))["birth"])
    assert set(widths.tolist()) == {3, 4}


@pytest.mark.judge
def test_blocks_of_a_removed_vdev(golden: Callable[[str], Any], judge: Callable[[str], str]) -> None:
    pool, zdb = golden("removal"), judge("zdb")
    top = {"type": "indirect", "id": 1, "guid": 99, "ashift": 9, "asize": 95944704}
    tree = build({**pool.config, "children": [pool.config["children"][0], top]}, pool.devices)
    removed = tree.tops[1]
    assert isinstance(removed, IndirectVdev)
    command = [zdb, "-e", "-p", str(pool.dir), "-mmmmm", pool.name]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    entries = [
        [int(word, 16) for word in match]
        for match in re.findall(r"<1:([0-9a-f]+):([0-9a-f]+)> -> <(\d+):([0-9a-f]+):[0-9a-f]+>", listing)
    ]
    assert len(entries) == 18
    source, size, target, offset = np.array(entries, np.uint64).T
    shift = np.uint64(9)
    removed.set_mapping(source, np.stack([target << np.uint64(32) | size >> shift, offset >> shift], 1), size)
    ends, txgs = zip(*re.findall(r"offset ([0-9a-f]+) -> txg (\d+)", listing))
    removed.set_births([int(end, 16) for end in ends], [int(txg) for txg in txgs])

    blocks = pool.blocks(zdb)
    for top in (0, 1):
        assert check_blocks(pool, tree, top, blocks[blocks["vdev"] == top]) > 100
    pieces = tree.remap(1, source, size, np.zeros(len(source)))
    assert set(pieces.top.tolist()) == {0}
    assert (pieces.birth == int(txgs[0])).all()
    assert int(pieces.length.sum()) == int(size.sum())


def test_asizes_of_real_vdevs(golden: Callable[[str], Any]) -> None:
    for kind in ("raidz-expansion", "draid", "classes", "raidz2"):
        tree = golden(kind).tree()
        for top in tree.tops:
            sizes = [leaf.device.size for leaf in top.leaves() if leaf.device is not None]
            if sizes:
                assert top.space(min(sizes) - (4 << 20) - (512 << 10)) == top.asize
