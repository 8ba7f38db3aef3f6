"""Ranges that something is wrong with."""

from __future__ import annotations

import numpy as np
from uberblock.pool.spa.findings import Fault, Segments


def add(segments: Segments, *found: tuple[int, int, int]) -> None:
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    segments.add(table[:, 0], table[:, 1], table[:, 2])


def test_ranges_that_touch_are_one() -> None:
    segments = Segments(Fault.LEAKED)
    assert not segments
    add(segments, (0, 0, 512), (0, 512, 1024), (1, 1024, 2048))
    add(segments, (1, 2048, 4096), (1, 8192, 8704))
    assert [(s.vdev, s.offset, s.size) for s in segments] == [(0, 0, 1024), (1, 1024, 3072), (1, 8192, 512)]
    assert len(segments) == segments.count == 3 and segments.bytes == 4608 and segments.complete


def test_beyond_a_limit_they_are_counted() -> None:
    segments = Segments(Fault.FREE, kept=2)
    add(segments, (0, 0, 1), (0, 2, 3), (0, 4, 5))
    add(segments, (0, 6, 7))
    add(segments)
    assert (len(list(segments)), segments.count, segments.bytes, segments.complete) == (2, 4, 4, False)
