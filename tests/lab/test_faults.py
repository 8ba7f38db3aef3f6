"""Each fault does what it says, to the requests it should, as often as it should."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.testing import SIZE, DeviceContract, pattern
from uberblock.pool.errors import DeviceError
from uberblock.pool.lab.faults import (
    BitRot,
    FailingFlush,
    Fault,
    FaultyDevice,
    Full,
    IgnoredFlush,
    LostWrite,
    MisdirectedRead,
    MisdirectedWrite,
    ReadError,
    Slow,
    StaleDisk,
    Switchboard,
    TornWrite,
    Vanished,
    WriteError,
)
from uberblock.pool.lab.journal import Journal, Kind
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.simdisk import SimDisk

CONTENT = pattern(SIZE)


class TestFaultyDeviceWithoutFaults(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> FaultyDevice:
        return FaultyDevice(MemoryDevice(bytearray(content)))


class TestFaultyDeviceWithFaultsThatNeverStrike(DeviceContract):
    def create(self, tmp_path: Path, content: bytes) -> FaultyDevice:
        never: list[Fault] = [LostWrite(after=10**9), ReadError(after=10**9), FailingFlush(times=0), Vanished(times=0)]
        return FaultyDevice(MemoryDevice(bytearray(content)), never, switchboard=Switchboard())


def faulty(*faults: Fault) -> tuple[FaultyDevice, MemoryDevice]:
    base = MemoryDevice(bytearray(CONTENT))
    return FaultyDevice(base, faults), base


def error_of(device: FaultyDevice, offset: int = 0, length: int = 512) -> int:
    try:
        device.read(offset, length)
    except DeviceError as error:
        return error.errno or -1
    return 0


def test_read_errors_sticky_and_passing() -> None:
    device, _ = faulty(ReadError(4096, 512))
    assert [error_of(device, at) for at in (0, 4096, 4096, 4608, 3584)] == [0, 5, 5, 0, 0]
    assert error_of(device, 4000, 97) == errno.EIO
    device, _ = faulty(ReadError(4096, 512, after=1, times=2))
    assert [error_of(device, 4096) for _ in range(4)] == [0, 5, 5, 0]


def test_a_sector_that_is_overwritten_is_remapped_unless_it_cannot_be() -> None:
    device, _ = faulty(ReadError(4096, 1024))
    device.write(4096, b"n" * 512)
    assert device.read(4096, 512) == b"n" * 512
    assert error_of(device, 4096, 1024) == errno.EIO
    device.write(4608, b"m" * 512)
    assert device.read(4096, 1024) == b"n" * 512 + b"m" * 512
    device, _ = faulty(ReadError(4096, 512, remaps=False))
    device.write(4096, b"n" * 512)
    assert error_of(device, 4096) == errno.EIO


def test_one_bad_request_hides_no_other() -> None:
    device, _ = faulty(ReadError(4096, 512), WriteError(8192, 512))
    out = bytearray(30)
    assert device.readv([0, 4096, 9000], [10, 10, 10], out, [0, 10, 20]).tolist() == [0, errno.EIO, 0]
    assert out[20:] == CONTENT[9000:9010]
    assert device.writev([0, 8200, 9000], [1, 1, 1], b"abc", [0, 1, 2]).tolist() == [0, errno.EIO, 0]
    assert device.read(0, 1) == b"a" and device.read(8200, 1) == CONTENT[8200:8201] and device.read(9000, 1) == b"c"


def test_lost_and_torn_writes() -> None:
    device, _ = faulty(LostWrite(after=1, times=1))
    for at in range(3):
        device.write(at * 512, b"x" * 512)
    assert device.read(0, 1536) == b"x" * 512 + CONTENT[512:1024] + b"x" * 512
    device, _ = faulty(TornWrite(keep=512))
    device.write(0, b"y" * 2048)
    assert device.read(0, 2048) == b"y" * 512 + CONTENT[512:2048]


def test_bit_rot_stays_until_overwritten() -> None:
    device, base = faulty(BitRot(5000, bit=3))
    assert device.read(5000, 1)[0] == CONTENT[5000] ^ 8 == device.read(4096, 4096)[904]
    assert device.read(5001, 10) == CONTENT[5001:5011] and base.read(5000, 1) == CONTENT[5000:5001]
    device.write(5000, b"\0")
    assert device.read(5000, 1) == b"\0"


def test_misdirected_writes_have_two_halves() -> None:
    for loses, lands in ((True, True), (True, False), (False, True)):
        device, _ = faulty(MisdirectedWrite(0, 512, times=1, shift=8192, loses=loses, lands=lands))
        device.write(0, b"w" * 512)
        assert device.read(0, 512) == (CONTENT[:512] if loses else b"w" * 512)
        assert device.read(8192, 512) == (b"w" * 512 if lands else CONTENT[8192:8704])
    device, _ = faulty(MisdirectedWrite(shift=-4096))
    device.write(0, b"gone")  # beyond the disk: it is merely lost
    assert device.read(0, SIZE) == CONTENT


def test_misdirected_reads() -> None:
    device, _ = faulty(MisdirectedRead(0, 512, times=1, shift=4096))
    assert device.read(0, 512) == CONTENT[4096:4608]
    assert device.read(0, 512) == CONTENT[:512]


def test_flushes_that_fail_and_that_are_ignored() -> None:
    device, _ = faulty(FailingFlush(after=1, times=1))
    device.flush()
    with pytest.raises(DeviceError) as caught:
        device.flush()
    assert caught.value.errno == errno.EIO and device.name in str(caught.value)
    device.flush()
    journal = Journal()
    liar = FaultyDevice(SimDisk(8192, journal=journal), [IgnoredFlush(times=1)])
    liar.flush()
    liar.flush()
    assert [event.kind for event in journal.events] == [Kind.FLUSH_LOST, Kind.FLUSH_BEGIN, Kind.FLUSH_END]


def test_full_vanished_slow() -> None:
    device, _ = faulty(Full(65536, SIZE))
    device.write(0, b"x")
    with pytest.raises(DeviceError) as caught:
        device.write(70000, b"x")
    assert caught.value.errno == errno.ENOSPC
    device, _ = faulty(Vanished(after=1, times=3))
    assert error_of(device) == 0
    assert device.writev([0], [1], b"x", [0]).tolist() == [errno.ENXIO]
    for call in (device.flush, lambda: device.discard(0, 512)):
        with pytest.raises(DeviceError) as caught:
            call()
        assert caught.value.errno == errno.ENXIO
    assert error_of(device) == 0
    waited: list[float] = []
    slow = FaultyDevice(MemoryDevice(512), [Slow(seconds=0.5)], sleep=waited.append)
    slow.read(0, 1)
    slow.flush()
    assert waited == [0.5, 0.5]


def test_a_stale_disk_holds_what_it_held() -> None:
    disk = SimDisk(8192, "d0")
    disk.write(0, b"then")
    then = disk.content.fork()
    disk.write(0, b"now!")
    stale = StaleDisk(disk, then)
    assert stale.read(0, 4) == b"then" and stale.name == "d0" and disk.read(0, 4) == b"now!"


def run(board: Switchboard) -> str:
    """A small operation on two devices, which says how far it got."""
    one, two = (FaultyDevice(MemoryDevice(4096, name), switchboard=board) for name in ("one", "two"))
    try:
        one.write(0, b"a")
        two.write(0, b"b")
        one.flush()
        two.flush()
        one.discard(0, 512)
        two.read(0, 1)
    except DeviceError as error:
        return str(error)
    return "through"


def test_every_call_fails_once() -> None:
    counting = Switchboard()
    assert run(counting) == "through" and counting.count == 6 and not counting.failed
    outcomes = []
    for n in range(1, 8):
        board = Switchboard(n)
        outcomes.append(run(board))
        assert (board.failed == []) is (n == 7)
    assert [("one" in text, "two" in text) for text in outcomes[:6]] == [(True, False), (False, True)] * 3
    assert outcomes[6] == "through"
    only_flushes = Switchboard(2, calls=["flush"], code=errno.ENXIO)
    assert "two" in run(only_flushes) and only_flushes.failed == ["call 2: flush of two"]


def test_all_calls_fail_from_one_on() -> None:
    board = Switchboard(2, onward=True)
    run(board)
    assert run(board).startswith("cannot write") and len(board.failed) == 2


def test_faults_say_what_they_are() -> None:
    lines = [str(f) for f in (ReadError(4096, 512, times=2), TornWrite(after=3), BitRot(7, bit=2), MisdirectedWrite())]
    assert lines == [
        "ReadError 0x1000+0x200 times 2",
        "TornWrite after 3 keep 512",
        "BitRot 0x7 bit 2",
        "MisdirectedWrite shift 4096",
    ]


def test_stale_content_is_independent() -> None:
    then = Pages(4096)
    stale = StaleDisk(SimDisk(4096, "d"), then)
    stale.write(0, b"x")
    assert then.read(0, 1) == b"\0"
