"""Layouts of many blocks."""

from __future__ import annotations

import random

import numpy as np
from uberblock.pool.vdev.layout import Layout, empty, gather, merge, single


def random_layout(rng: random.Random, first: int, count: int) -> Layout:
    """Blocks of zero to three groups of one to four columns; block i's columns say first + i."""
    shape = [[rng.randrange(1, 5) for _ in range(rng.randrange(4))] for _ in range(count)]
    ncols = [n for groups in shape for n in groups]
    layout = empty(sum(ncols), len(ncols), count)
    layout.blocks[:] = np.cumsum([0] + [len(groups) for groups in shape])
    layout.groups["ncols"] = ncols
    layout.groups["first"] = np.cumsum([0, *ncols])[:-1]
    layout.groups["nparity"] = 0
    layout.columns["where"] = np.repeat(np.arange(first, first + count), [sum(groups) for groups in shape])
    layout.columns["offset"] = np.arange(sum(ncols))
    return layout


def test_merging_keeps_every_block_whole() -> None:
    rng = random.Random(5)
    for _ in range(50):
        counts = [rng.randrange(6) for _ in range(3)]
        order = list(range(sum(counts)))
        rng.shuffle(order)
        picks, parts, at = [], [], 0
        for number, count in enumerate(counts):
            picks.append(np.array(sorted(order[at : at + count]), np.int64))
            parts.append(random_layout(rng, 100 * number, count))
            at += count
        merged = merge(parts, picks)
        assert len(merged) == sum(counts)
        for part, pick, number in zip(parts, picks, range(3)):
            for i, block in enumerate(pick.tolist()):
                expected, found = part.block_columns(i), merged.block_columns(block)
                assert found.tolist() == expected.tolist()
                assert set(found["where"].tolist()) <= {100 * number + i}
        owners = merged.block_of_column()
        for block in range(len(merged)):
            assert merged.columns[owners == block].tolist() == merged.block_columns(block).tolist()


def test_single_pieces() -> None:
    layout = single(np.array([3, -1], np.int32), np.array([5, 6], np.uint64), np.array([512, 1024], np.uint64))
    assert layout.block_columns(1).tolist() == [(-1, -1, 6, 0, 1024, 1024)]
    assert layout.groups.tolist() == [(0, 1, 0, 512), (1, 1, 0, 1024)]
    assert layout.group_columns(0)["leaf"].tolist() == [3]
    assert layout.block_of_column().tolist() == [0, 1]


def test_gather() -> None:
    assert gather(np.array([10, 20, 30]), np.array([2, 0, 3]), np.array([2, 0, 1])).tolist() == [30, 31, 32, 10, 11]
