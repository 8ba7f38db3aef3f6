"""The intent log as it is written: what was asked for is there after a crash, and only that."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool import import_pool
from uberblock.pool.alloc.allocator import AllocClass
from uberblock.pool.env import Env
from uberblock.pool.errors import DeviceError, PoolError, UsageError
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.faults import FailingFlush, FaultyDevice, WriteError
from uberblock.pool.lab.journal import Journal, Kind
from uberblock.pool.lab.judges import zdb_complaints
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.lab.save import write_images
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk.zilrecord import Record, TxType, Write
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.logs import waiting_logs
from uberblock.pool.zil import chain
from uberblock.pool.zil.intentlog import GROUP_MAX, IntentLog
from uberblock.pool.zio.writer import ZioWriter

ENV = Env.fixed(3)


class Machine:
    """A pool on simulated disks, and what a power cut leaves of it."""

    def __init__(self, layout: str = "single", **properties: str) -> None:
        self.journal = Journal()
        self.disks, words = make_disks(layout, self.journal)
        self.pool = create_pool("lab", words, ashift=12, env=ENV, txg_seconds=0, dataset_properties=properties)

    def logged(self) -> list[Record]:
        """The records of the log as it is on disk."""
        with import_pool(None, self.copies()) as pool:
            return [record for log in waiting_logs(pool.spa) for record in chain.read_chain(pool.spa.zio, log.header)]

    def copies(self) -> list[SimDisk]:
        """The disks as they are; nothing is lost that was written."""
        return [SimDisk(disk.content.fork(), disk.name) for disk in self.disks]

    @contextmanager
    def crashed(self) -> Iterator[WritablePool]:
        """The pool after a crash and an import. Afterwards it is exported, and all of it is checked."""
        copies = self.copies()
        with open_pool(None, copies, env=ENV, txg_seconds=0, force=True) as pool:
            yield pool
        for copy in copies:
            copy.reopen()
        assert [line for line in examine(copies).problems if not line.startswith("unchecked: ")] == []

    def flushes(self, disk: int = 0) -> int:
        return sum(event.kind is Kind.FLUSH_END and event.disk == disk for event in self.journal.events)


def begun(layout: str = "single", **properties: str) -> Machine:
    """One whose log has begun: what follows goes into it."""
    machine = Machine(layout, **properties)
    machine.pool.fs().write_bytes("/first", b"1")
    machine.pool.fs().fsync("/first")
    return machine


def test_a_log_begins_with_a_txg_and_goes_on_without() -> None:
    machine = begun()
    fs, txg, flushes = machine.pool.fs(), machine.pool.txg, machine.flushes()
    with fs.open("/first", "rb+") as file:
        for number in range(5):
            file.pwrite(bytes([number]) * 100, 100 * number)
            file.fsync()
    assert machine.pool.txg == txg
    assert machine.flushes() == flushes + 5, "one flush for each"
    with machine.crashed() as pool:
        assert pool.fs().read_bytes("/first") == b"".join(bytes([number]) * 100 for number in range(5))


def test_what_was_not_asked_for_is_not_there() -> None:
    machine = begun()
    fs = machine.pool.fs()
    fs.write_bytes("/other", b"o" * 10)
    fs.fsync("/first")
    with fs.open("/other", "rb+") as file:
        file.write(b"x" * 10)
    with fs.open("/first", "rb+") as file:
        file.write(b"y")
        file.fsync()
    fs.mkdir("/late")
    with machine.crashed() as pool:
        assert pool.fs().read_bytes("/first") == b"y"
        # Its name was made before; what was written after that was not asked for.
        assert pool.fs().read_bytes("/other") == b"o" * 10
        assert not pool.fs().exists("/late")


def test_every_operation_is_told() -> None:
    machine = begun()
    fs = machine.pool.fs()
    fs.mkdir("/d")
    fs.write_bytes("/d/f", b"f" * 5000)
    fs.link("/d/f", "/g")
    fs.symlink("d/f", "/s")
    fs.mknod("/p", 0o010600)
    fs.rename("/d/f", "/d/h")
    fs.write_bytes("/old", b"old")
    fs.rename("/old", "/first")  # which goes
    fs.exchange("/d/h", "/first")
    fs.chmod("/g", 0o640)
    fs.chown("/g", 5, 6)
    fs.utime("/g", ns=(10**9 + 1, -(10**9) + 2))
    fs.setxattr("/g", "user.a", b"value")
    fs.setxattr("/g", "user.b", b"value")
    fs.removexattr("/g", "user.b")
    fs.punch("/g", 100, 300)
    fs.truncate("/g", 4000)
    fs.write_bytes("/gone", b"x")
    fs.unlink("/gone")
    fs.mkdir("/empty")
    fs.rmdir("/empty")
    txg = machine.pool.txg
    fs.syncfs()
    assert machine.pool.txg == txg
    kinds = {record.type for record in machine.logged()}
    assert kinds == {
        TxType.MKDIR, TxType.CREATE, TxType.WRITE, TxType.LINK, TxType.SYMLINK, TxType.RENAME, TxType.RENAME_EXCHANGE,
        TxType.SETATTR, TxType.SETSAXATTR, TxType.TRUNCATE, TxType.REMOVE, TxType.RMDIR,
    }  # fmt: skip
    with machine.crashed() as pool:
        fs = pool.fs()
        assert sorted(fs.listdir("/")) == ["d", "first", "g", "p", "s"]
        znode = fs.znode("/g")
        assert (znode.mode & 0o7777, znode.uid, znode.gid, znode.nlink) == (0o640, 5, 6, 2)
        assert znode.atime == 10**9 + 1
        assert fs.xattrs_of(znode) == {"user.a": b"value"}
        content = b"f" * 100 + bytes(300) + b"f" * 3600
        assert fs.read_bytes("/g") == fs.read_bytes("/first") == content and fs.read_bytes("/d/h") == b"old"
        assert fs.readlink("/s") == "d/f" and fs.znode("/p").type == "fifo"


@pytest.mark.parametrize(
    ("layout", "properties", "indirect"),
    [("single", {}, True), ("log", {}, False), ("log", {"logbias": "throughput"}, True), ("mirrored-log", {}, False)],
    ids=["none", "device", "throughput", "mirror"],
)
def test_forms_of_writes(layout: str, properties: dict[str, str], indirect: bool) -> None:
    machine = begun(layout, **properties)
    fs = machine.pool.fs()
    data = bytes(range(256)) * 400
    fs.write_bytes("/first", data)
    fs.fsync("/first")
    writes = [one for one in machine.logged() if isinstance(one, Write) and one.size > 1]
    assert all((one.bp is not None) == indirect for one in writes) and writes
    stats = machine.pool.zil_stats
    assert (stats.bytes_log > 0, stats.bytes_normal > 0) == (layout != "single", layout == "single")
    with machine.crashed() as pool:
        assert pool.fs().read_bytes("/first") == data


def test_groups_over_datasets_wait_for_a_txg() -> None:
    machine = begun()
    pool = machine.pool
    pool.create_filesystem("lab/a")
    pool.sync()
    pool.fs("lab/a").fsync("/")
    txg = pool.txg
    with pool.transaction():
        pool.fs().write_bytes("/one", b"1")
        pool.fs("lab/a").write_bytes("/two", b"2")
    pool.fs().fsync("/one")
    assert pool.txg > txg
    with machine.crashed() as after:
        assert after.fs().exists("/one") and after.fs("lab/a").exists("/two")


def test_a_group_that_is_taken_back_leaves_nothing_in_the_log() -> None:
    machine = begun()
    fs = machine.pool.fs()

    def fail() -> None:
        with fs.transaction():
            fs.write_bytes("/kept", b"k")
            with pytest.raises(KeyError), fs.transaction():
                fs.write_bytes("/inner", b"i")
                raise KeyError
        with fs.transaction():
            fs.unlink("/first")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    fs.syncfs()
    assert [record.type for record in machine.logged()] == [TxType.CREATE, TxType.WRITE]
    with machine.crashed() as pool:
        assert sorted(pool.fs().listdir("/")) == ["first", "kept"]


def test_what_changes_nothing_is_not_told() -> None:
    machine = begun()
    fs = machine.pool.fs()
    fs.link("/first", "/other")
    fs.syncfs()
    fs.rename("/first", "/other")  # two names of one file stay as they are
    with fs.open("/first", "rb+") as file:
        file.write(b"x")
    fs.syncfs()
    assert [record.type for record in machine.logged()] == [TxType.LINK, TxType.WRITE]


def test_very_large_groups_wait_for_a_txg() -> None:
    machine = begun()
    fs = machine.pool.fs()
    for count, by_txg in ((GROUP_MAX // 2, False), (GROUP_MAX + 1, True)):
        txg = machine.pool.txg
        with fs.transaction():
            fs.mkdir(f"/{count}")
            for number in range(count - 1):
                fs.mkdir(f"/{count}/{number}")
        fs.syncfs()
        assert (machine.pool.txg > txg) == by_txg
    with machine.crashed() as pool:
        assert all(len(pool.fs().listdir(f"/{count}")) == count - 1 for count in (GROUP_MAX // 2, GROUP_MAX + 1))


def test_nothing_is_durable_inside_a_transaction() -> None:
    machine = begun()
    fs = machine.pool.fs()
    with fs.transaction(), pytest.raises(UsageError, match="inside a transaction"):
        fs.fsync("/first")


def test_o_sync() -> None:
    machine = begun()
    fs = machine.pool.fs()
    with fs.open("/first", "rb+", sync=True) as file:
        file.write(b"abc")
        with machine.crashed() as pool:
            assert pool.fs().read_bytes("/first") == b"abc"
        with fs.transaction():
            file.write(b"def")
            fs.mkdir("/d")
        with machine.crashed() as pool:
            assert pool.fs().read_bytes("/first") == b"abcdef" and pool.fs().is_dir("/d")


@pytest.mark.parametrize("sync", ["always", "disabled"])
def test_property_sync(sync: str) -> None:
    machine = begun()
    machine.pool.set("lab", "sync", sync)
    machine.pool.sync()
    fs, callers = machine.pool.fs(), machine.pool.zil_stats.callers
    fs.mkdir("/d")
    fs.write_bytes("/d/f", b"f")
    fs.unlink("/first")
    fs.fsync("/d/f")
    with machine.crashed() as pool:
        assert pool.fs().exists("/d/f") == (sync == "always")
        assert pool.fs().exists("/first") == (sync != "always")
    assert (machine.pool.zil_stats.callers > callers) == (sync == "always")
    machine.pool.set("lab", "sync", "standard")
    fs.fsync("/d")  # what was not noted is there, too
    with machine.crashed() as pool:
        assert pool.fs().exists("/d/f")


def test_volumes() -> None:
    machine = Machine()
    machine.pool.create_volume("lab/v", 1 << 20)
    volume: Any = machine.pool.volume("lab/v")
    volume.fsync()
    with volume.open() as file:
        file.pwrite(b"v" * 70000, 5000)
        file.discard(16384, 8192)
        txg = machine.pool.txg
        file.fsync()
    with volume.open(sync=True) as file:
        file.pwrite(b"w" * 10, 0)
    assert machine.pool.txg == txg
    expected = bytearray(1 << 20)
    expected[5000:75000] = b"v" * 70000
    expected[16384:24576] = bytes(8192)
    expected[:10] = b"w" * 10
    with machine.crashed() as pool, pool.volume("lab/v").open() as found:
        assert found.read() == bytes(expected)


def test_an_exported_pool_has_no_log(tmp_path: Path) -> None:
    machine = begun("log")
    machine.pool.fs().fsync("/first")
    machine.pool.close()
    for disk in machine.disks:
        disk.reopen()
    with import_pool(None, machine.disks) as pool:
        assert waiting_logs(pool.spa) == []
    for disk in machine.disks:
        disk.reopen()
    assert examine(machine.disks).problems == ()


def test_blocks_of_the_log_are_freed_when_writers_need_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of blocks used to be freed while the txg was closed and nobody could write."""
    machine = begun()
    pool, lock, freed = machine.pool, machine.pool.engine.tx.lock, []
    plain = ZioWriter.free

    def free(writer: ZioWriter, bps: Any, txg: int) -> None:
        def write() -> None:
            taken = lock.acquire(timeout=5)
            freed.append((len(bps), taken))
            if taken:
                lock.release()

        other = threading.Thread(target=write)
        other.start()
        other.join()
        plain(writer, bps, txg)

    with pool.fs().open("/first", "rb+") as file:
        for number in range(40):
            file.pwrite(b"x" * 100, 100 * number)
            file.fsync()
    monkeypatch.setattr(ZioWriter, "free", free)
    for _ in range(2):
        pool.fs().write_bytes("/second", b"2")
        pool.sync()
    assert max(freed) >= (40, True) and all(taken for _, taken in freed)
    monkeypatch.undo()
    pool.close()
    with machine.crashed():
        pass


def test_a_dataset_goes_with_its_log() -> None:
    machine = begun()
    machine.pool.create_filesystem("lab/a")
    fs = machine.pool.fs("lab/a")
    fs.fsync("/")
    fs.mkdir("/d")
    fs.syncfs()
    machine.pool.destroy("lab/a")
    machine.pool.sync()
    machine.pool.abandon()
    assert examine(machine.copies()).problems == ()


def test_callers_share_a_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = begun()
    fs, entered, go = machine.pool.fs(), threading.Event(), threading.Event()
    files = [fs.open(f"/f{number}", "wb") for number in range(6)]
    fs.syncfs()
    plain = SimDisk.flush

    def slow(self: SimDisk) -> None:
        entered.set()
        assert go.wait(30)
        plain(self)

    monkeypatch.setattr(SimDisk, "flush", slow)

    def work(file: Any) -> None:
        file.write(b"x" * 100)
        file.fsync()

    threads = [threading.Thread(target=work, args=(file,)) for file in files]
    stats = machine.pool.zil_stats
    callers, commits = stats.callers, stats.commits
    threads[0].start()
    assert entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    log = next(iter(machine.pool._logs.values()))
    while len(log._callers) < 5:
        threads[1].join(0.01)
    go.set()
    for thread in threads:
        thread.join(30)
    assert (stats.callers - callers, stats.commits - commits) == (6, 2)
    with machine.crashed() as pool:
        assert all(pool.fs().read_bytes(f"/f{number}") == b"x" * 100 for number in range(6))


@pytest.mark.parametrize("where", ["_prepare", "_store"])
@pytest.mark.parametrize("late", [False, True])
def test_a_request_that_is_interrupted(monkeypatch: pytest.MonkeyPatch, where: str, late: bool) -> None:
    """A ^C before or after a step of it: what the log was to tell is there after the next request."""
    machine = begun()
    fs = machine.pool.fs()
    plain = getattr(IntentLog, where)

    def interrupted(log: IntentLog, what: Any) -> Any:
        if late:
            plain(log, what)
        raise KeyboardInterrupt

    with fs.open("/first", "rb+") as file:
        for number in range(3):
            file.pwrite(b"yes", 3 * number)
            monkeypatch.setattr(IntentLog, where, interrupted if number == 1 else plain)
            if number == 1:
                with pytest.raises(KeyboardInterrupt):
                    file.fsync()
            else:
                file.fsync()
        with machine.crashed() as pool:
            assert pool.fs().read_bytes("/first") == b"yes" * 3


def test_an_interrupt_is_for_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who shared the request are served by one of them."""
    machine = begun()
    fs = machine.pool.fs()
    lock, callers = threading.Event(), fs.filesystem.log._callers  # type: ignore[attr-defined]
    plain = callers._serve
    calls: list[set[int] | None] = []

    def serve(objects: set[int] | None) -> float:
        calls.append(objects)
        lock.wait(10)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return float(plain(objects))

    monkeypatch.setattr(callers, "_serve", serve)
    outcomes: list[str] = []

    def ask(name: str) -> None:
        fs.write_bytes(name, name.encode())
        try:
            fs.fsync(name)
            outcomes.append("durable")
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    threads = [threading.Thread(target=ask, args=(f"/t{number}",)) for number in range(4)]
    for one in threads:
        one.start()
    while len(callers) < 3:
        time.sleep(0.001)
    lock.set()
    for one in threads:
        one.join()
    assert sorted(outcomes) == ["durable"] * 3 + ["interrupted"] and [len(one or ()) for one in calls] == [1, 3, 2]
    with machine.crashed() as pool:
        assert sum(pool.fs().exists(f"/t{number}") for number in range(4)) >= 3


def test_many_threads() -> None:
    machine = begun("mirrored-log")
    fs, errors = machine.pool.fs(), list[BaseException]()

    def work(number: int) -> None:
        try:
            with fs.open(f"/t{number}", "wb") as file:
                for turn in range(12):
                    file.write(bytes([number]) * 50)
                    if turn % 4 == number % 4:
                        fs.mkdir(f"/d{number}-{turn}")
                    file.fsync()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        machine.pool.sync()
    for thread in threads:
        thread.join()
    assert not errors
    with machine.crashed() as pool:
        assert [pool.fs().read_bytes(f"/t{number}") for number in range(8)] == [bytes([n]) * 600 for n in range(8)]
        assert len([name for name in pool.fs().listdir("/") if name[0] == "d"]) == 24


def faulty(machine: Machine, disk: int, fault: Callable[[], Any]) -> WritablePool:
    """The pool opened again, with something wrong with a disk that shows once the log has begun."""
    machine.pool.close()
    for one in machine.disks:
        one.reopen()
    device = FaultyDevice(machine.disks[disk], [])
    shown = [device if one is machine.disks[disk] else one for one in machine.disks]
    pool = open_pool(None, shown, env=ENV, txg_seconds=0)
    pool.fs().fsync("/first")
    pool.fs().mkdir("/sound")
    pool.fs().fsync("/sound")
    device.faults.append(fault())
    machine.pool = pool
    return pool


@pytest.mark.parametrize("fault", [WriteError, FailingFlush])
def test_a_failing_log_device(fault: Callable[[], Any]) -> None:
    """A txg does what the log cannot, and later requests do not depend on the device."""
    machine = begun("log")
    pool = faulty(machine, 1, fault)
    txg = pool.txg
    pool.fs().write_bytes("/a", b"a")
    pool.fs().fsync("/a")
    assert pool.txg > txg and pool.zil_stats.failures
    for name in "bc":
        pool.fs().write_bytes(f"/{name}", b"x")
        pool.fs().fsync(f"/{name}")
    with machine.crashed() as after:
        assert {"a", "b", "c", "sound"} <= set(after.fs().listdir("/"))


def test_a_failing_side_of_a_mirrored_log() -> None:
    machine = begun("mirrored-log")
    pool = faulty(machine, 2, WriteError)
    pool.fs().write_bytes("/a", b"a")
    pool.fs().fsync("/a")
    without = [SimDisk(disk.content.fork(), disk.name) for disk in machine.disks if disk.name != "d2"]
    with open_pool(None, without, env=ENV, txg_seconds=0, force=True) as after:
        assert after.fs().read_bytes("/a") == b"a"


def test_a_write_that_fails_on_the_only_disk_is_left_to_a_txg() -> None:
    """Only a flush that failed puts in doubt what was written; after a failed write the pool goes on."""
    machine = begun()
    pool = faulty(machine, 0, lambda: WriteError(times=3))
    txg = pool.txg
    pool.fs().write_bytes("/a", b"a")
    pool.fs().fsync("/a")
    assert pool.txg > txg and pool.zil_stats.failures == 1
    with machine.crashed() as after:
        assert after.fs().read_bytes("/a") == b"a"


def test_nobody_is_told_a_lie() -> None:
    """A flush that fails on the only disk: the request fails, and so does everything after it."""
    machine = begun()
    pool = faulty(machine, 0, lambda: FailingFlush(times=1))
    pool.fs().write_bytes("/a", b"a")
    with pytest.raises(DeviceError):
        pool.fs().fsync("/a")
    with pytest.raises(PoolError, match="suspended"):
        pool.fs().fsync("/a")
    with pytest.raises(PoolError, match="suspended"):
        pool.fs().mkdir("/b")
    pool.abandon()


def test_a_full_pool_still_keeps_its_promises() -> None:
    machine = begun()
    fs = machine.pool.fs()
    with fs.open("/big", "wb") as file:
        with pytest.raises(PoolError, match="full"):
            while True:
                file.write(bytes(range(256)) * 4096)
                file.fsync()
        size = file.size
    fs.fsync("/big")
    fs.unlink("/first")
    fs.fsync("/")
    with machine.crashed() as pool:
        assert pool.fs().znode("/big").size == size and not pool.fs().exists("/first")


@pytest.mark.parametrize("layout", ["single", "raidz1"])
def test_a_log_leaves_room_for_the_txg(layout: str) -> None:
    machine = begun(layout)
    pool, data = machine.pool, bytes(range(256)) * 64
    with pool.fs().open("/first", "rb+") as file:
        while pool.zil_stats.bytes_normal < 2 * machine.disks[0].size:
            file.pwrite(data, pool.zil_stats.commits % 100 * len(data))
            file.fsync()
        assert pool.zil_stats.txgs < 10  # they are written because room is short, before a log finds none
        file.pwrite(b"the last word", 0)
        file.fsync()
        wanted = pool.fs().read_bytes("/first")
    with machine.crashed() as pool:
        assert pool.fs().read_bytes("/first") == wanted


def test_an_interrupt_while_a_log_asks_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = begun()
    pool, tx = machine.pool, machine.pool.engine.tx
    allocated = pool.engine.allocator.allocated(AllocClass.NORMAL)
    pool.fs().write_bytes("/first", b"2" * 5000)  # needs another size of blocks

    def interrupted(more: int) -> None:
        assert more == 0 and pool.engine.allocator.allocated(AllocClass.NORMAL) > allocated
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tx, "admit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pool.fs().fsync("/first")
    assert pool.engine.allocator.allocated(AllocClass.NORMAL) <= allocated
    pool.fs().fsync("/first")
    with machine.crashed() as pool:
        assert pool.fs().read_bytes("/first") == b"2" * 5000


@pytest.mark.judge
def test_zdb_reads_our_logs(judge: Callable[[str], str], tmp_path: Path) -> None:
    machine = begun("mirrored-log")
    fs = machine.pool.fs()
    for number in range(12):
        fs.write_bytes(f"/f{number}", bytes([number]) * (number * 9000))
        if number % 3 == 2:
            fs.syncfs()
    fs.rename("/f1", "/g")
    fs.setxattr("/g", "user.a", b"value")
    fs.fsync("/g")
    crash, after = tmp_path / "crash", tmp_path / "after"
    for folder in (crash, after):
        folder.mkdir()
    write_images([disk.content for disk in machine.disks], [disk.name for disk in machine.disks], crash)
    words = [judge("zdb"), "-e", "-p", str(crash), "-iii", "lab"]
    said = subprocess.run(words, capture_output=True, text=True, errors="replace", check=True).stdout
    kinds = Counter(record.name_of_type for record in machine.logged())
    assert sum(kinds.values()) == int(re.search(r"Total\s+(\d+)", said)[1])  # type: ignore[index]
    for kind, count in kinds.items():
        assert re.search(rf"^\s+{kind}\s+{count}$", said, re.MULTILINE), kind
    assert zdb_complaints(judge("zdb"), crash, "lab") == []
    copies = machine.copies()
    with open_pool(None, copies, env=ENV, txg_seconds=0, force=True):
        pass
    write_images([disk.content for disk in copies], [disk.name for disk in copies], after)
    assert zdb_complaints(judge("zdb"), after, "lab") == []
