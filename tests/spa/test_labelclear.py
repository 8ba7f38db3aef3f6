"""Clearing labels."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.errors import DeviceBusyError, NotFoundError, ReadOnlyError
from uberblock.pool.ondisk import label
from uberblock.pool.spa.inuse import use_of
from uberblock.pool.spa.labelclear import label_clear


def test_an_exported_member(disks: Any) -> None:
    disk = disks("mirror")[0]
    with pytest.raises(DeviceBusyError, match="is a member of exported pool 'tank'; use '-f' to override"):
        label_clear(disk)
    guid = disk.config()["guid"]
    with pytest.raises(DeviceBusyError, match=r"\(ACTIVE\) of pool 'tank'"):
        label_clear(disk, force=True, listed={guid: "tank"})
    data = disk.read(2 * label.LABEL_SIZE, disk.size - 4 * label.LABEL_SIZE)
    assert use_of(disk) is not None
    assert label_clear(disk, force=True) == [0, 1, 2, 3]
    assert use_of(disk) is None
    assert disk.read(2 * label.LABEL_SIZE, disk.size - 4 * label.LABEL_SIZE) == data
    for index in range(4):
        at = label.offset(disk.size, index)
        assert not any(disk.read(at + label.CONFIG_OFFSET, label.LABEL_SIZE - label.CONFIG_OFFSET))
    with pytest.raises(NotFoundError, match="failed to clear label"):
        label_clear(disk, force=True)


def test_states(disks: Any) -> None:
    disk = disks("mirror")[0]
    config = disk.config()
    config["state"] = label.STATE_ACTIVE
    disk.put_config(config)
    with pytest.raises(DeviceBusyError, match="potentially active"):
        label_clear(disk)
    config["state"] = label.STATE_DESTROYED
    disk.put_config(config, (0, 1, 2))
    disk.spoil_label(3)
    assert label_clear(disk) == [0, 1, 2], "only what says anything"


def test_a_provisional_label_is_free(disks: Any) -> None:
    disk = disks("mirror")[0]
    config = disk.config()
    config["txg"] = 0
    disk.put_config(config)
    assert label_clear(disk) == [0, 1, 2, 3]


def test_spares_and_caches(disks: Any) -> None:
    found = {use.state: disk for disk in disks("classes") if (use := use_of(disk)) is not None}
    spare, cache = found["spare"], found["l2cache"]
    with pytest.raises(DeviceBusyError, match=r"\(SPARE\)"):
        label_clear(spare, force=True, listed={spare.config()["guid"]: "tank"})
    assert label_clear(spare) == [0, 1, 2, 3]
    assert any(cache.read(label.DATA_START, 512)), "it has a header for rebuilding what it caches"
    label_clear(cache)
    assert not any(cache.read(label.DATA_START, 512))


def test_nothing_to_clear() -> None:
    for size in (100, 1 << 20, 64 << 20):
        with pytest.raises(NotFoundError):
            label_clear(MemoryDevice(size))


def test_read_only(pools: Any) -> None:
    with FileDevice(pools("mirror").images[0]) as device, pytest.raises(ReadOnlyError):
        label_clear(device, force=True)


@pytest.mark.judge
def test_zdb_finds_nothing(pools: Any, tmp_path: Path, judge: Any) -> None:
    folder = pools("mirror").copy(tmp_path)
    image = sorted(folder.glob("*.img"))[0]
    image.chmod(0o644)
    with FileDevice(image, readonly=False) as device:
        label_clear(device, force=True)
    result = subprocess.run([judge("zdb"), "-l", str(image)], capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "failed to unpack label 0" in result.stdout
