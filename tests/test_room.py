"""What there is room for: full pools, quotas, classes, and what waits and is not compressed yet."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from uberblock.pool import import_pool
from uberblock.pool.alloc.slop import slop_space
from uberblock.pool.errors import (
    NoSpaceError,
)
from uberblock.pool.lab.checker import examine
from writing import MIB, again, make


def test_full_pool(tmp_path: Path) -> None:
    """No half of anything, and what is removed makes room again."""
    pool = make(tmp_path)
    fs = pool.fs()
    data = random.Random(1).randbytes(2 * MIB)
    count = 0
    with pytest.raises(NoSpaceError):
        while True:
            fs.write_bytes(f"/f{count}", data)
            pool.sync()
            count += 1
    assert count > 5
    assert sorted(fs.listdir("/")) == sorted(f"f{n}" for n in range(count))
    for number in range(count):
        fs.unlink(f"/f{number}")
    for _ in range(3):
        fs.write_bytes("/t", b"x")
        pool.sync()
    fs.write_bytes("/f", data)
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert reader.verify().clean and reader.fs("tank").read_bytes("/f") == data


def test_vdevs_count_before_anything_is_on_them(tmp_path: Path) -> None:
    """Their space is part of the pool's, and they are still for what they were made for when it is opened again."""
    pool = make(tmp_path, "d0 special d1 dedup d2 log d3")
    for _ in range(2):
        found = pool.spa.space.vdevs
        assert [one.cls for one in found] == ["normal", "special", "dedup", "log"]
        assert pool.spa.space.size == sum(one.size for one in found[:3]) and found[2].allocated == 0
        pool.fs().write_bytes("/f", bytes(range(256)) * 8192)
        pool.close()
        pool = again(tmp_path)
    assert pool.spa.space.vdevs[2].allocated == 0
    pool.close()


@pytest.mark.parametrize("layout", ["d0 special d1", "raidz1 d0 d1 d2 special mirror d3 d4"])
def test_what_special_vdevs_hold_is_kept_free_of_the_others(tmp_path: Path, layout: str) -> None:
    """Before 2.4.1 OpenZFS counts it as used, not as space: it could not even scrub a pool filled further than this."""
    pool = make(tmp_path, layout, dataset_properties={"special_small_blocks": "1M"})
    fs = pool.fs()
    data = random.Random(1).randbytes(MIB)
    with pytest.raises(NoSpaceError):
        for number in range(1000):
            fs.write_bytes(f"/f{number}", data)
            pool.sync()
    normal, special = pool.spa.space.vdevs
    charged = [one.allocated // 512 * one.deflate for one in (normal, special)]
    size = normal.size // 512 * normal.deflate
    assert charged[1] > size // 4, "the special vdev has most of it"
    assert size - slop_space(size) - sum(charged) in range(4 * MIB)
    for number in range(5):
        fs.unlink(f"/f{number}")
    pool.close()


@pytest.mark.parametrize(("recordsize", "piece"), [("8K", MIB), ("128K", MIB), ("128K", 100 * MIB)])
def test_compressible_data_takes_what_it_takes(tmp_path: Path, recordsize: str, piece: int) -> None:
    """Three times as much as the pool has room for, before compression; it used to be refused as too much."""
    pool = make(tmp_path, size=128 * MIB, dataset_properties={"recordsize": recordsize})
    text = b"The pool is not full. " * (piece // 22)
    for name, data in (("/zeros", bytes(piece)), ("/text", text)):
        with pool.fs().open(name, "wb") as file:
            for _ in range(100 * MIB // piece):
                file.write(data)
    assert pool.fs().stat("/text").size == 100 * MIB // piece * len(text)
    noise = random.Random(1).randbytes(MIB)
    with pytest.raises(NoSpaceError), pool.fs().open("/noise", "wb") as file:
        for _ in range(200):
            file.write(noise)
    size = pool.fs().stat("/noise").size
    assert 20 * MIB < size < 128 * MIB and size % MIB == 0
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert reader.verify().clean and reader.fs("tank").read_bytes("/noise") == noise * (size // MIB)
        with reader.fs("tank").open("/text") as file:
            assert file.read(len(text)) == text


def test_one_large_compressible_write_into_little_room(tmp_path: Path) -> None:
    """More at once than there is room for, if it were not compressed: it goes in smaller pieces then."""
    with make(tmp_path, size=128 * MIB) as pool:
        pool.create_filesystem("tank/a", {"quota": "20M"})
        with pool.fs("tank/a").open("/text", "wb") as file:
            assert file.write(b"x" * (64 * MIB)) == 64 * MIB
        with pytest.raises(NoSpaceError, match="quota"):
            pool.fs("tank/a").write_bytes("/noise", random.Random(1).randbytes(64 * MIB))
        assert pool.fs("tank/a").stat("/text").size == 64 * MIB


def test_a_quota_counts_what_is_stored(tmp_path: Path) -> None:
    pool = make(tmp_path, size=128 * MIB)
    pool.create_filesystem("tank/a", {"quota": "8M"})
    with pool.fs("tank/a").open("/text", "wb") as file:
        for _ in range(60):
            file.write(b"x" * MIB)
    noise = random.Random(1).randbytes(MIB)
    with pytest.raises(NoSpaceError, match="quota"), pool.fs("tank/a").open("/noise", "wb") as file:
        for _ in range(20):
            file.write(noise)
    assert 4 * MIB <= pool.fs("tank/a").stat("/noise").size <= 8 * MIB
    pool.close()


def test_space_that_waits_is_waited_for(tmp_path: Path) -> None:
    """What was removed from a full pool is there for the next one who writes; nobody has to write empty txgs first."""
    pool = make(tmp_path)
    fs = pool.fs()
    data = random.Random(1).randbytes(2 * MIB)
    with pytest.raises(NoSpaceError):
        for number in range(1000):
            fs.write_bytes(f"/f{number}", data)
            pool.sync()
    fs.unlink("/f0")
    fs.unlink("/f1")
    pool.sync()
    txg = pool.txg
    fs.write_bytes("/again", data)
    assert pool.txg > txg and fs.read_bytes("/again") == data
    pool.sync()
    txg = pool.sync()
    pool.sync()
    assert pool.sync() <= txg + 3, "an idle pool writes nothing"
    pool.close()
    assert not examine([str(tmp_path)]).problems


def test_a_file_written_over_and_over_does_not_fill_the_pool(tmp_path: Path) -> None:
    """Blocks that were written at once and then written again are free only when their txg is over."""
    with make(tmp_path, dataset_properties={"compression": "off"}) as pool:
        fs = pool.fs()
        with fs.open("f", "wb+") as file:
            for k in range(100):
                file.seek(0)
                file.write(bytes([k + 1]) * MIB)
        for k in range(100):
            fs.write_bytes("g", bytes([k + 1]) * MIB)
            fs.unlink("g")
        assert fs.read_bytes("f") == bytes([100]) * MIB
    assert not examine([tmp_path]).problems


def test_a_small_block_does_not_make_the_large_ones_expensive(tmp_path: Path) -> None:
    """What waits was all charged with the overhead of the block that came last: small files were refused."""
    pool = make(tmp_path)
    fs = pool.fs()
    with pool.transaction():
        fs.write_bytes("/large", bytes(range(256)) * (20 << 12))
        fs.write_bytes("/small", b"x")
    pool.close()
