"""ZAPs and lists of block pointers on a disk: changed over many txgs, with transactions taken back, and read again."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uberblock.pool import create_pool
from uberblock.pool.dmu.bpobj import Bpobj
from uberblock.pool.dmu.bpobjwrite import create_bpobj
from uberblock.pool.dmu.bpsizes import Sizes, sizes_of
from uberblock.pool.dmu.mutablezap import MutableZap, create_zap
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.spa.datasets import open_dataset

from .test_bpobjwrite import pointers
from .test_mutable import World
from .zapcheck import check_fat


class TakenBack(Exception):
    pass


def contents(zap: Zap) -> dict[bytes, Any]:
    return {e.name: e.values[0] if len(e.values) == 1 else e.values for e in zap.items()}


def change(zap: MutableZap, model: dict[bytes, Any], rng: random.Random, count: int, wide: bool) -> None:
    for _ in range(count):
        name = b"n%d" % rng.randrange(2600) if rng.random() < 0.95 else b"long" * 15 + b"%d" % rng.randrange(40)
        if not wide:
            name = name[:49]
        roll = rng.random()
        if roll < 0.75:
            model[name] = (rng.getrandbits(64), rng.getrandbits(64)) if wide and roll < 0.05 else rng.getrandbits(64)
            zap.update(name, model[name])
        elif name in model:
            zap.remove(name)
            del model[name]


@pytest.mark.parametrize("shape", [{}, {"flags": 1, "block_size": 1024}, {"normflags": 2}])
def test_a_zap_over_many_txgs(shape: dict[str, int]) -> None:
    world = World()
    rng = random.Random(7)
    tx = world.tx
    with tx.transaction():
        zap = create_zap(world.objset, 20, rng.randbytes, **shape)
    model: dict[bytes, Any] = {}
    for round_ in range(24):
        kept = dict(model)
        try:
            with tx.transaction():
                change(zap, model, rng, rng.choice([1, 20, 300]), round_ > 12)
                before = dict(model)
                with pytest.raises(TakenBack), tx.transaction():
                    change(zap, model, rng, 30, round_ > 12)
                    raise TakenBack
                model = before
                assert contents(zap) == model
                if rng.random() < 0.25:
                    raise TakenBack
        except TakenBack:
            model = kept
        assert contents(zap) == model and len(zap) == len(model)
        if round_ % 3 == 0:
            found = Zap(world.sync().dnode(zap.dnode.number))
            assert contents(found) == model and len(found) == len(model)
            assert all(found.get(name) == model[name] for name in rng.sample(sorted(model), min(20, len(model))))
            if not found.is_micro:
                check_fat(found.dnode)
    assert not zap.is_micro and len(model) > 500


def test_a_list_over_many_txgs() -> None:
    world = World()
    rng = random.Random(8)
    with world.tx.transaction():
        top = create_bpobj(world.objset, block_size=4096)
    model: list[int] = []
    count = 0
    for round_ in range(60):
        with world.tx.transaction():
            n = rng.randrange(1, 90)
            what = rng.randrange(4)
            if what < 2:
                top.append(pointers(count, n))
                model += range(count, count + n)
            elif what == 2:
                other = create_bpobj(world.objset, block_size=4096)
                other.append(pointers(count, n))
                top.take_over(other.number)
                model += range(count, count + n)
            else:
                taken = set(top.take(n)["birth"].tolist())
                model = [b for b in model if b not in taken]
            count += n
        if round_ % 6 == 0:
            found = Bpobj(world.sync(), top.number)
            assert sorted(int(b) for batch in found.batches() for b in batch["birth"]) == sorted(model)
            bps = np.concatenate([pointers(b, 1) for b in model] or [pointers(0, 0)])
            sums = sizes_of(bps, world.dsize)
            assert Sizes(found.header.bytes, found.header.comp, found.header.uncomp) == sums


@pytest.mark.judge
def test_zdb_reads_what_was_written(tmp_path: Path, judge: Callable[[str], str]) -> None:
    """Small, full, fat, with an external table: zdb finds every entry, and every block in its place."""
    rng = random.Random(9)
    shapes: list[tuple[dict[str, int], int]] = [({}, 100), ({}, 2500), ({"flags": 1, "block_size": 1024}, 2500)]
    expected: dict[int, dict[str, str]] = {}
    with create_pool("zt", [str(tmp_path / "a.img")], size=256 << 20, txg_seconds=0) as pool:
        pool.create_volume("zt/v", 1 << 20)
        objset = open_dataset(pool.engine, pool.dataset("zt/v")._live).objset
        for shape, count in shapes:
            with pool.transaction():
                zap = create_zap(objset, 27, rng.randbytes, **shape)
                for i in range(count):
                    zap.add(f"name{i}", i)
            pool.sync()
            with pool.transaction():
                for i in range(0, count, 5):
                    zap.remove(f"name{i}")
            expected[zap.dnode.number] = {f"name{i}": str(i) for i in range(count) if i % 5}
        header = zap.header
        assert header is not None and header.table_numblks
    zdb = [judge("zdb"), "-e", "-p", str(tmp_path)]
    for number, entries in expected.items():
        done = subprocess.run([*zdb, "-dddd", "zt/v", str(number)], capture_output=True, text=True, check=True)
        assert dict(re.findall(r"^\t\t(name\d+) = (\d+) $", done.stdout, re.M)) == entries
    done = subprocess.run([*zdb, "-bcc", "zt"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "No leaks" in done.stdout
