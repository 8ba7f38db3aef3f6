"""What a pool keeps back: the figures that zpool and zfs give for pools of these sizes."""

from __future__ import annotations

from uberblock.pool.alloc.slop import slop_space

MIB = 1 << 20


def test_slop() -> None:
    assert slop_space(112 * MIB) == 56 * MIB  # half of a small pool
    assert slop_space(1 << 30) == 128 * MIB
    assert slop_space(1 << 40) == 32 << 30
    assert slop_space(1 << 50) == 128 << 30
    assert slop_space(1 << 40, embedded_log=8 << 30) == 24 << 30
    assert slop_space(1 << 40, embedded_log=1 << 39) == 16 << 30  # at most half of it
    assert slop_space(0) == 0
