"""Finding pools in folders, files, devices and partitions, and not finding what is none."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from uberblock.pool import import_pool
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.errors import NotFoundError
from uberblock.pool.ondisk import label
from uberblock.pool.spa import partitions
from uberblock.pool.spa.scan import scan, scan_all

GPT_SECTOR = 512


def test_every_leaf_of_a_folder(pools) -> None:
    pool = pools("classes")
    (found,) = scan([pool.dir])
    names = sorted(Path(p).name for p in found.paths)
    assert found.name == pool.manifest["pool"] and found.state_name == "EXPORTED"
    assert len(names) + len(found.spares) == len(pool.images)
    assert [c.string("type") for c in found.config.nvlist("vdev_tree").nvlists("children")] == [
        "mirror",
        "disk",
        "mirror",
    ]
    assert not found.notes


def test_files_named_one_by_one(pools) -> None:
    pool = pools("stripes")
    (found,) = scan(pool.images[:3])
    tops = found.config.nvlist("vdev_tree").nvlists("children")
    assert [t.string("type") for t in tops] == ["raidz", "missing"]


def test_what_is_no_pool_is_left_alone(pools, tmp_path) -> None:
    for number in range(300):
        (tmp_path / f"f{number}").write_bytes(b"x" * 10)
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(100 << 20)
    (tmp_path / "text").write_bytes(b"no label" * 100000)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "null").symlink_to("/dev/zero")
    (tmp_path / "one").symlink_to(pools("mirror").images[0])
    (tmp_path / "same").symlink_to(pools("mirror").images[0])
    result = scan_all([tmp_path])
    assert [c.name for c in result.candidates] == ["tank"]
    assert len(result.members) == 1, "one device under two names"
    assert list(result.unreadable) == [str(tmp_path / "dangling")]


def test_a_place_that_is_not_there(tmp_path) -> None:
    with pytest.raises(NotFoundError):
        scan([tmp_path / "nothing"])
    assert scan([tmp_path]) == []


def test_devices_in_memory(pools) -> None:
    data = pools("compat-old").images[0].read_bytes()
    (found,) = scan([MemoryDevice(bytearray(data), name="mem0")])
    assert found.paths == ["mem0"]


def test_a_copy_is_noted_and_the_better_one_used(pools, tmp_path) -> None:
    data = bytearray(pools("mirror").images[0].read_bytes())
    (tmp_path / "b").write_bytes(data)
    at = label.offset(len(data), 1) + label.CONFIG_OFFSET
    data[at : at + 1000] = bytes(1000)
    (tmp_path / "a").write_bytes(data)
    (found,) = scan([tmp_path])
    assert "more than once" in found.notes[0]
    assert found.paths == [str(tmp_path / "b")]


@pytest.mark.parametrize("table", ["gpt", "gpt4k", "mbr"])
def test_partitions_of_an_image(pools, tmp_path, table: str) -> None:
    image = pools("version28").images[0].read_bytes()
    start = 1 << 20
    data = bytearray(start + len(image) + (2 << 20))
    data[start : start + len(image)] = image
    if table == "mbr":
        data[446:462] = struct.pack("<4xB3xII", 0x83, start // 512, len(image) // 512)
        data[510:512] = b"\x55\xaa"
    else:
        sector = 4096 if table == "gpt4k" else 512
        data[sector : sector + 8] = partitions.GPT_SIGNATURE
        struct.pack_into("<QII", data, sector + 72, 2, 128, 128)
        last = (start + len(image)) // sector - 1
        struct.pack_into("<16s16sQQ", data, 2 * sector + 128, b"t" * 16, b"u" * 16, start // sector, last)
    (tmp_path / "disk.img").write_bytes(data)
    (found,) = scan([tmp_path])
    (member,) = found.best()
    assert member.source.name.endswith("-part1" if table == "mbr" else "-part2") and member.verified
    with member.source.open() as device:
        assert device.size == len(image)
        assert device.read(16384, 4096) == image[16384 : 16384 + 4096]


def test_hostile_partition_tables() -> None:
    for entry_size, count, at in (
        (0, 5, 2),
        (128, 0xFFFFFFFF, 2),
        (128, 128, (1 << 64) - 1),
        (1 << 31, 128, 2),
    ):
        data = bytearray(8192)
        data[512:520] = partitions.GPT_SIGNATURE
        struct.pack_into("<QII", data, 512 + 72, at, count, entry_size)
        data[1024:] = b"\xff" * (len(data) - 1024)
        assert partitions.partitions(lambda o, n, d=bytes(data): d[o : o + n], len(data)) == []


def test_labels_cut_damaged_or_from_elsewhere(pools, tmp_path) -> None:
    image = pools("mirror").images[0].read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(image[: 70 << 20])
    (found,) = scan([cut])
    (member,) = found.best()
    assert [one.verified for one in member.labels] == [True, True, False, False]

    moved = tmp_path / "moved"
    moved.write_bytes(bytes(1 << 18) + image)
    (found,) = scan([moved])
    assert not found.best()[0].verified, "found by its text, but nothing vouches for it"


def test_labels_that_say_nonsense(pools, tmp_path) -> None:
    image = bytearray(pools("mirror").images[0].read_bytes())
    base = label.decode(image[: label.LABEL_SIZE], 0).config
    changes = {
        "state": 77,
        "guid": 0,
        "txg": 0,
        "pool_guid": "text",
        "vdev_children": 1 << 60,
        "vdev_tree": 5,
        "name": 9,
        "hole_array": 3,
        "features_for_read": "none",
    }
    for number, (name, value) in enumerate(changes.items()):
        config = base.copy()
        config.add(name, value)
        for index in range(4):
            at = label.offset(len(image), index)
            image[at + label.CONFIG_OFFSET : at + label.RING_OFFSET] = label.encode_config(config, at)
        result = scan_all([MemoryDevice(bytearray(image), name=f"m{number}")])
        assert len(result.candidates) == (name not in ("state", "guid", "txg", "pool_guid"))
        for found in result.candidates:
            assert len(found.config.nvlist("vdev_tree").nvlists("children")) <= 1
            assert isinstance(found.name, str) and repr(found)


def test_labels_of_old_versions_do_not_count_vdevs(disks) -> None:
    """Before version 19 labels had no ``vdev_children``; that was taken for an impossible number of them."""
    devices = disks("version28")
    for disk in devices:
        config = disk.config()
        del config["vdev_children"]
        disk.put_config(config)
    (found,) = scan_all(devices).candidates
    assert found.notes == [] and len(found.config.nvlist("vdev_tree").nvlists("children")) == 1
    with import_pool(search=devices) as pool:
        assert pool.notes == [] and pool.health == "ONLINE"
