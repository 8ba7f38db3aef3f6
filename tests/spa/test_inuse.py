"""What labels say of a device's use."""

from __future__ import annotations

from pathlib import Path

from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.ondisk import label
from uberblock.pool.spa.inuse import complaint, use_of
from uberblock.pool.spa.signatures import MARKS, foreign


def test_members_of_real_pools(disks) -> None:
    mirror = disks("mirror")[0]
    use = use_of(mirror)
    assert use is not None and use.state == "exported" and use.pool == "tank" and not use.free
    assert complaint(mirror, "/d0") == "/d0 is part of exported pool 'tank'"
    assert complaint(mirror, "/d0", force=True) == ""
    assert complaint(mirror, "/d0", force=True, listed={use.member.guid: "tank"}) == "/d0 is part of active pool 'tank'"


def change(disk, **pairs: int) -> None:  # type: ignore[no-untyped-def]
    config = disk.config()
    config |= pairs
    disk.put_config(config)


def test_states(disks) -> None:
    disk = disks("mirror")[0]
    for state, text in ((label.STATE_ACTIVE, "potentially active"), (label.STATE_EXPORTED, "exported")):
        change(disk, state=state)
        assert complaint(disk, "d") == f"d is part of {text} pool 'tank'"
    change(disk, state=label.STATE_DESTROYED)
    use = use_of(disk)
    assert use is not None and use.free and complaint(disk, "d") == ""
    change(disk, state=label.STATE_ACTIVE, txg=0, create_txg=4)
    assert use_of(disk) is None, "a device whose pool never came to be"


def test_a_spare_in_use_may_be_a_spare_of_others(disks) -> None:
    disk = disks("mirror")[0]
    change(disk, is_spare=1)
    listed = {disk.config()["guid"]: "tank"}
    assert complaint(disk, "d", listed=listed) == "d is reserved as a hot spare for pool tank"
    assert complaint(disk, "d", listed=listed, spare=True) == ""


def test_spares_and_caches(disks) -> None:
    found = {use.state: (disk, use) for disk in disks("classes") if (use := use_of(disk)) is not None}
    assert set(found) == {"exported", "spare", "l2cache"}
    for state in ("spare", "l2cache"):
        disk, use = found[state]
        assert use.free and complaint(disk, "d") == "", "no pool is known that has it"
        assert complaint(disk, "d", listed={use.member.guid: "tank"})
    disk, use = found["l2cache"]
    assert complaint(disk, "d", listed={use.member.guid: "tank"}, force=True) == ""


def test_blank_and_damaged(disks) -> None:
    assert use_of(MemoryDevice(64 << 20)) is None
    assert use_of(MemoryDevice(100)) is None
    disk = disks("mirror")[0]
    for index in (0, 1, 2):
        disk.spoil_label(index)
    assert use_of(disk) is not None, "one label is enough"
    disk.spoil_label(3)
    assert use_of(disk) is None


def test_foreign_contents() -> None:
    assert foreign(MemoryDevice(1 << 20)) == ""
    assert foreign(MemoryDevice(100)) == ""
    for at, mark, kind in MARKS:
        content = bytearray(1 << 20)
        content[at : at + len(mark)] = mark
        assert foreign(MemoryDevice(content)) == kind


def test_files_are_taken_whatever_is_in_them(tmp_path: Path) -> None:
    content = bytearray(1 << 20)
    content[0x438:0x43A] = b"\x53\xef"
    device = MemoryDevice(content)
    assert foreign(device) == "ext4" and complaint(device, "d") == ""
