"""Simulated disks keep the contract of a device, and note what was done to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from uberblock.pool.device.testing import SIZE, DeviceContract, pattern
from uberblock.pool.errors import DeviceError
from uberblock.pool.lab.crash import CrashState, States
from uberblock.pool.lab.journal import Journal, Kind
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.simdisk import SimDisk


class TestSimDisk(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> SimDisk:
        return SimDisk(Pages.of(content), journal=Journal())


class TestSimDiskWriteThrough(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> SimDisk:
        return SimDisk(Pages.of(content), journal=Journal(), cache="writethrough", sector=4096)


class TestSimDiskReadOnly(DeviceContract):
    writable = False

    def create(self, tmp_path: Path, content: bytes) -> SimDisk:
        return SimDisk(Pages.of(content), readonly=True)


def test_everything_is_noted_in_one_order() -> None:
    journal = Journal()
    one, two = SimDisk(8192, "one", journal), SimDisk(8192, "two", journal)
    one.writev([0, 4096], [3, 2], b"abcde", [0, 3])
    two.write(512, b"x")
    one.flush()
    two.discard(0, 1024)
    journal.mark("done", txg=4)
    assert [str(event) for event in journal.events] == [
        "disk 0 write 0x0+0x3",
        "disk 0 write 0x1000+0x2",
        "disk 1 write 0x200+0x1",
        "disk 0 flush begin",
        "disk 0 flush end",
        "disk 1 discard 0x0+0x400",
        "mark done txg=4",
    ]
    assert [event.data for event in journal.events[:3]] == [b"abc", b"de", b"x"]
    assert journal.bytes_written() == 6
    assert [mark.facts["txg"] for _, mark in journal.marks()] == [4] and not list(journal.marks(6))
    assert two.read(512, 1) == b"\0"


def test_the_buffer_of_a_write_may_be_used_again() -> None:
    journal, buffer = Journal(), bytearray(b"old")
    disk = SimDisk(4096, journal=journal)
    disk.write(0, buffer)
    buffer[:] = b"new"
    assert journal.events[0].data == b"old" and disk.read(0, 3) == b"old"


def test_cache_modes() -> None:
    for cache, kinds in (
        ("writeback", [Kind.WRITE, Kind.FLUSH_BEGIN, Kind.FLUSH_END]),
        ("unsafe", [Kind.WRITE, Kind.FLUSH_LOST]),
        ("writethrough", [Kind.WRITE, *[Kind.FLUSH_BEGIN, Kind.FLUSH_END] * 2]),
    ):
        journal = Journal()
        disk = SimDisk(4096, journal=journal, cache=cache)  # type: ignore[arg-type]
        disk.write(0, b"x")
        disk.flush()
        assert [event.kind for event in journal.events] == kinds
        states = States(journal)
        (left,) = states.build(CrashState(len(journal), "none"))
        assert (left.read(0, 1) == b"x") is (cache != "unsafe")


def test_watching_reads_and_opening_again() -> None:
    disk, seen = SimDisk(Pages.of(pattern(SIZE))), []
    disk.watcher = lambda offset, length: seen.append((offset, length))
    disk.read(5, 6)
    assert seen == [(5, 6)]
    disk.close()
    with pytest.raises(DeviceError):
        disk.read(0, 1)
    disk.reopen()
    assert disk.read(0, 9) == pattern(SIZE)[:9]


def test_same_run_same_digest() -> None:
    def run(last: bytes) -> str:
        journal = Journal()
        disk = SimDisk(Pages.of(pattern(SIZE)), journal=journal)
        disk.write(7, b"seven")
        journal.mark("not part of it", time=id(disk))
        disk.flush()
        disk.write(9, last)
        return journal.digest()

    assert run(b"a") == run(b"a") != run(b"b")


def test_nonsense_is_refused() -> None:
    for bad in ({"sector": 100}, {"sector": 768}, {"cache": "perhaps"}):
        with pytest.raises(ValueError):
            SimDisk(4096, **bad)  # type: ignore[arg-type]
