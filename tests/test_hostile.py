"""Hostile pools: real ones, forged, with every checksum right.

Each case changes bytes somewhere - labels, uberblocks, nvlists, the MOS, ZAPs, dnodes, space maps, compressed streams,
block pointers - so that the damage reaches the parsers, and then reads what there is. Only errors of this package
may come out, each in one line, in bounded time and memory. A case is known by its seed: a failure prints it.

UBERBLOCK_HOSTILE_CASES sets how many cases are made of each kind on each pool; without it, more on the pools that are
read faster. For longer runs: ``python -m tests.fuzz pools``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exercise import exercise
from forge import Forger, Source
from hostile import cases
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.ondisk import label

#: Small pools with different things in them, all of which ship, and how many cases are made of each kind.
POOLS = {"rewind": 10, "ganging": 10, "dedup": 8, "block-cloning": 8, "names": 4, "algorithms": 3, "encrypted": 3}
if given := os.environ.get("UBERBLOCK_HOSTILE_CASES"):
    POOLS = dict.fromkeys(POOLS, int(given))


@pytest.fixture(scope="module")
def source(pools: Callable[[str], Any]) -> Callable[[str], Source]:
    """A pool to make forgeries of, opened once."""

    @lru_cache
    def get(kind: str) -> Source:
        golden = pools(kind)
        return Source(golden.images, golden.manifest.get("keys"))

    return get


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", cases.KINDS)
def test_hostile(source: Callable[[str], Source], pool: str, kind: str) -> None:
    only = os.environ.get("UBERBLOCK_HOSTILE_SEED")
    seeds = [int(only)] if only else [cases.seed_of(pool, kind, case) for case in range(POOLS[pool])]
    made = 0
    for seed in seeds:
        try:
            cases.run(source(pool), kind, seed)
        except cases.NothingToForgeError:
            continue
        made += 1
    if not made:
        pytest.skip("this pool has nothing of the kind")


# --- what needs no chance -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 511, 512, 262144, 524288, 4 << 20, 5 << 20, 63 << 20, 64 << 20])
def test_truncated(pools: Callable[[str], Any], tmp_path: Path, size: int) -> None:
    image = pools("rewind").images[0]
    short = tmp_path / "d0.img"
    with image.open("rb") as stream:
        short.write_bytes(stream.read(size))
    with OverlayDevice(FileDevice(short)) as device:
        exercise(device, rng=random.Random(size))


def test_a_forged_pool_without_damage_reads_as_before(source: Callable[[str], Source]) -> None:
    """The forger itself: rewriting blocks unchanged must not make a difference, or the cases above prove nothing."""
    forger = Forger(source("names"))
    try:
        untouched = exercise(*forger.devices, rng=random.Random(1))
        for objset in forger.source.objsets[:3]:
            forger.change_block(forger.again(objset), 0, 0, 0, lambda data: None)
            forger.reopen()
        assert exercise(*forger.devices, rng=random.Random(1)) == untouched
        with_damage = np.zeros(512, dtype=np.uint8)
        forger.change_objset(forger.spa.mos, lambda data: data.__setitem__(slice(0, 512), with_damage.tobytes()))
        assert exercise(*forger.devices, rng=random.Random(1)) != untouched
    finally:
        forger.close()


@pytest.mark.parametrize("kind", ["damaged", "draid", "raidz-expansion", "removal", "version28", "classes"])
def test_pools_of_several_disks_can_be_forged(source: Callable[[str], Source], kind: str) -> None:
    forger = Forger(source(kind))
    try:
        untouched = exercise(*forger.devices, rng=random.Random(2))
        forger.change_block(forger.spa.mos, 0, 0, 0, lambda data: None)
        assert exercise(*forger.devices, rng=random.Random(2)) == untouched
    finally:
        forger.close()


def test_every_error_names_what_and_where(source: Callable[[str], Source]) -> None:
    forger = Forger(source("names"))
    try:
        device = forger.device
        for index in range(label.LABELS):
            at = label.offset(device.size, index)
            device.write(at + label.RING_OFFSET, bytes(label.RING_SIZE))
        errors = exercise(device)
        assert any("tank-names" in error for error in errors), errors
    finally:
        forger.close()
