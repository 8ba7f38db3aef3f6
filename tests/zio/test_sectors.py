"""Which sectors are wrong: runs of them, in data, parity and padding, and nothing that has no meaning."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.kernels import raidz
from uberblock.pool.vdev.layout import COLUMN, GROUP, Layout
from uberblock.pool.zio.sectors import WrongSectors, wrong_sectors

SECTOR = 4096
DATA_START = 4 << 20


def layout_of(groups: list[tuple[int, list[tuple[int, int, int, int, int, int]]]]) -> Layout:
    """A one-block layout from (parity columns, columns) of each group."""
    columns = [column for _, some in groups for column in some]
    table = np.array(columns, dtype=COLUMN)
    rows, first = [], 0
    for nparity, some in groups:
        rows.append((first, len(some), nparity, max(length for *_, length, _ in some)))
        first += len(some)
    return Layout(table, np.array(rows, dtype=GROUP), np.array([0, len(rows)], np.uint32))


def test_runs_in_a_copy(bench, make) -> None:
    """Two runs of sectors; bytes behind the end of the block count for nothing."""
    pool = bench(make.top("single", [make.leaf(2)]))
    data = make.noise(9 * SECTOR + 512)
    pool.store(data.ljust(10 * SECTOR, b"\xee"), 0, 0)
    layout = pool.tree.layout(0, 0, [0], [len(data)], [10], scrub=True)
    assert list(wrong_sectors(pool.tree, layout, data)) == []
    for at in (0, SECTOR + 5, 3 * SECTOR, 9 * SECTOR + 511):
        pool.spoil(2, at, 1)
    expected = [(0, 2 * SECTOR), (3 * SECTOR, SECTOR), (9 * SECTOR, SECTOR)]
    found = list(wrong_sectors(pool.tree, layout, data))
    assert found == [WrongSectors(0, DATA_START + at, size, False) for at, size in expected]


@pytest.mark.parametrize("nparity", [1, 2, 3])
def test_parity_and_padding(bench, make, nparity: int) -> None:
    """A group as a draid has it: the last column is stored as long as the others, its end zeros."""
    width = nparity + 3
    pool = bench(make.top("raidz", [make.leaf(2 + k) for k in range(width)], nparity=nparity))
    data = make.noise(5 * SECTOR)
    at = DATA_START
    columns = [(k, k, at, 0, 2 * SECTOR, 2 * SECTOR) for k in range(nparity)]
    lengths = [2 * SECTOR, 2 * SECTOR, SECTOR]
    columns += [(nparity + k, -1, at, 2 * k * SECTOR, lengths[k], 2 * SECTOR) for k in range(3)]
    parts = [data[2 * k * SECTOR :][: lengths[k]] for k in range(3)]
    parity = [bytearray(2 * SECTOR) for _ in range(nparity)]
    raidz.generate(parts, parity)
    for k, body in enumerate([*parity, *parts]):
        content = pool.bytes[pool.tree.leaves[k].guid]
        content[at : at + 2 * SECTOR] = bytes(body).ljust(2 * SECTOR, b"\0")
    layout = layout_of([(nparity, columns)])
    assert list(wrong_sectors(pool.tree, layout, data)) == []
    for number in range(width):
        pool.spoil(pool.tree.leaves[number].guid, SECTOR, 1)
        padding = number == width - 1
        assert list(wrong_sectors(pool.tree, layout, data)) == [
            WrongSectors(number, DATA_START + SECTOR, SECTOR, padding)
        ]
        pool.spoil(pool.tree.leaves[number].guid, SECTOR, 1)
    # A device that is not there has nothing wrong.
    pool.spoil(pool.tree.leaves[0].guid, 0)
    pool.reopen(missing=(pool.tree.leaves[0].guid,))
    assert list(wrong_sectors(pool.tree, layout, data)) == []


def test_one_bad_copy_beyond_repair_beside_a_good_one(bench, make) -> None:
    """Of two copies on a raidz1 one has two bad columns: the other copy tells exactly which sectors."""
    pool = bench(make.top("raidz", [make.leaf(2 + k) for k in range(4)], nparity=1))
    bp = pool.write(make.noise(6 * SECTOR), (0, 0), (0, 1 << 20))
    layout = pool.tree.layout(0, 0, [0], [6 * SECTOR], [10], scrub=True)
    want = set()
    for number, row in ((1, 1), (3, 0)):
        column = layout.columns[number]
        pool.spoil(pool.tree.leaves[column["leaf"]].guid, int(column["offset"]) - DATA_START + row * SECTOR, 1)
        want.add((int(column["leaf"]), int(column["offset"]) + row * SECTOR, SECTOR, "checksum"))
    result = pool.zio.scrub(bp)
    assert result.status.tolist() == [1]
    assert {(d.leaf, d.offset, d.length, d.kind) for d in result.damage} == want
    assert {d.dva for d in result.damage} == {0}
