"""Pools made and changed by this package, against a plain model, and what holds after they were opened again."""

from __future__ import annotations

import errno
import io
import random
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool import create_pool, import_pool
from uberblock.pool.alloc.allocator import AllocClass
from uberblock.pool.dmu import mutable
from uberblock.pool.dmu.mutablezap import MutableZap
from uberblock.pool.env import Env
from uberblock.pool.errors import (
    DeviceBusyError,
    DeviceError,
    ExistsError,
    FileLimitError,
    NotEmptyError,
    NotFoundError,
    ReadOnlyError,
    UsageError,
)
from uberblock.pool.lab.checker import examine
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.spa.newvdevs import NewOptions
from uberblock.pool.vfswrite import MutableVfs
from writing import MIB, again, make

LAYOUTS = {
    "disk": "d0",
    "mirror": "mirror d0 d1",
    "raidz2": "raidz2 d0 d1 d2 d3",
    "draid": "draid1:2d:5c:1s d0 d1 d2 d3 d4",
    "special": "d0 special d1",
}


class Model:
    """Files and what is in them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.files: dict[str, bytearray] = {}

    def step(self, fs: MutableVfs) -> None:
        rng, files = self.rng, self.files
        what, names = rng.random(), list(files)
        if what < 0.35 or not names:
            name = f"/f{rng.randrange(60)}"
            content = rng.choice([rng.randbytes, lambda n: b"text " * (n // 5), bytes])(
                rng.choice([0, 1, 100, 3000, 20000, 150000])
            )
            fs.write_bytes(name, content)
            files[name] = bytearray(content)
            return
        name = rng.choice(names)
        content_now = files[name]
        if what < 0.6:
            at, data = rng.randrange(len(content_now) + 50000), rng.randbytes(rng.randrange(1, 30000))
            with fs.open(name, "rb+") as file:
                file.pwrite(data, at)  # type: ignore[attr-defined]
            content_now.extend(bytes(max(0, at + len(data) - len(content_now))))
            content_now[at : at + len(data)] = data
        elif what < 0.7:
            fs.unlink(name)
            del files[name]
        elif what < 0.8:
            size = rng.randrange(len(content_now) * 2 + 10)
            fs.truncate(name, size)
            content_now.extend(bytes(max(0, size - len(content_now))))
            del content_now[size:]
        elif what < 0.87 and len(content_now) > 2:
            at, length = rng.randrange(len(content_now)), rng.randrange(1, len(content_now))
            fs.punch(name, at, length)
            end = min(len(content_now), at + length)
            content_now[at:end] = bytes(end - at)
        elif what < 0.95:
            target = f"/g{rng.randrange(60)}"
            fs.rename(name, target)
            files[target] = files.pop(name)
        else:
            with pytest.raises(KeyError), fs.transaction():
                fs.write_bytes(f"/gone{rng.random()}", b"x" * 5000)
                fs.unlink(name)
                raise KeyError

    def check(self, fs: MutableVfs) -> None:
        assert sorted("/" + name for name in fs.listdir("/")) == sorted(self.files)
        for name, content in self.files.items():
            assert fs.read_bytes(name) == content


@pytest.mark.parametrize("layout", LAYOUTS)
def test_random_changes(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On every kind of vdev the same content is read back: at once, after opening again, by a reader that verifies."""
    if layout in ("disk", "raidz2"):  # whole blocks are written at once, not kept
        monkeypatch.setattr(mutable, "PLACE_BYTES", 32768)
    model = Model(7)
    pool = make(tmp_path, LAYOUTS[layout], dataset_properties={"recordsize": 16384})
    for _ in range(2):
        fs = pool.fs()
        for _ in range(2):
            for _ in range(20):
                model.step(fs)
            pool.sync()
        model.check(fs)
        pool.close()
        pool = again(tmp_path)
        model.check(pool.fs())
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        report = reader.verify()
        assert report.clean
        assert reader.fs("tank").filesystem.used("userobj") == {0: len(model.files) + 1}


def test_written_at_once(tmp_path: Path) -> None:
    """Large writes go to disk from the caller's memory; they are part of the transaction all the same."""
    pool = make(tmp_path, dataset_properties={"recordsize": 131072})
    fs = pool.fs()
    data = random.Random(3).randbytes(3 * MIB)
    before = pool.engine.allocator.allocated(AllocClass.NORMAL)
    with pytest.raises(KeyError), pool.transaction():
        fs.write_bytes("/gone", data)
        raise KeyError
    with fs.open("/x", "wb+") as file:
        file.write(data)
        assert pool.engine.tx.waiting.placed_bytes >= 2 * MIB and pool.engine.tx.waiting.dirty_bytes < MIB
        file.seek(0)
        assert file.readall() == data
        file.pwrite(b"small", MIB)  # type: ignore[attr-defined]
        file.truncate(2 * MIB)
    wanted = data[:MIB] + b"small" + data[MIB + 5 : 2 * MIB]
    assert fs.read_bytes("/x") == wanted
    pool.sync()
    assert fs.read_bytes("/x") == wanted
    for _ in range(3):
        fs.write_bytes("/t", b"x")
        pool.sync()
    assert pool.engine.allocator.allocated(AllocClass.NORMAL) - before < 2.5 * MIB
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert reader.fs("tank").read_bytes("/x") == wanted and reader.verify().clean


@pytest.mark.parametrize("before", [b"", b"was here before" * 50_000])
def test_written_at_once_and_removed(tmp_path: Path, before: bytes) -> None:
    """Blocks that were on disk already when their file went, in the same txg, used to stay allocated for ever."""
    pool = make(tmp_path)
    fs = pool.fs()
    fs.write_bytes("/x", before)
    pool.sync()
    data = random.Random(4).randbytes(MIB)
    fs.write_bytes("/x", data)
    with pytest.raises(KeyError), pool.transaction():
        fs.unlink("/x")
        raise KeyError
    assert fs.read_bytes("/x") == data
    fs.unlink("/x")
    pool.close()
    assert not examine([str(tmp_path)]).problems


def test_names(tmp_path: Path) -> None:
    pool = make(tmp_path)
    fs = pool.fs()
    fs.makedirs("/a/b/c")
    fs.write_bytes("/a/x", b"1")
    fs.link("/a/x", "/a/b/y")
    fs.symlink("../x", "/a/b/l")
    fs.mknod("/a/null", 0o020666, (1, 3))
    fs.mknod("/a/pipe", 0o010600)
    assert fs.stat("/a/x").nlink == 2 and fs.stat("/a").nlink == 3 and fs.stat("/a").size == 6
    assert fs.readlink("/a/b/l") == "../x" and fs.read_bytes("/a/b/l") == b"1"
    assert fs.stat("/a/null").rdev == (1, 3)
    with pytest.raises(NotEmptyError):
        fs.rmdir("/a/b")
    with pytest.raises(ExistsError):
        fs.mkdir("/a/b")
    with pytest.raises(UsageError):
        fs.rename("/a", "/a/b/c/a")
    fs.rename("/a/b", "/b")
    assert fs.stat("/a").nlink == 2 and fs.stat("/").nlink == 4
    fs.exchange("/b", "/a/x")
    assert fs.read_bytes("/b") == b"1" and fs.is_dir("/a/x/c")
    fs.unlink("/a/x/y")
    assert fs.stat("/b").nlink == 1
    fs.rmtree("/a")
    assert fs.listdir("/") == ["b"]
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert reader.fs("tank").read_bytes("/b") == b"1"


@pytest.mark.parametrize("count", [20, 3000], ids=["micro", "fat"])
def test_names_are_read_while_others_change_them(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lookup in the middle of a change used to put what it had read in the place of what the change had kept: later
    changes then went by a directory that was not there any more."""
    original = MutableZap._begin
    readers: list[Future[object]] = []
    with make(tmp_path) as pool, ThreadPoolExecutor(4) as threads:
        fs = pool.fs()
        names = [f"f{k}" for k in range(count)]
        fs.makedirs("d")
        with fs.transaction():
            for name in names:
                fs.write_bytes(f"d/{name}", b"")

        def begin(zap: MutableZap) -> None:
            original(zap)
            readers.extend((threads.submit(fs.exists, "d/f7"), threads.submit(fs.listdir, "d")))
            wait(readers, 0.01)

        monkeypatch.setattr(MutableZap, "_begin", begin)
        for k in range(3):
            fs.write_bytes(f"d/more{k}", b"")
            fs.rename(f"d/more{k}", f"d/other{k}")
            fs.unlink(f"d/f{k}")
        monkeypatch.undo()
        expected = sorted({*names, "other0", "other1", "other2"} - {"f0", "f1", "f2"})
        for found in readers:
            names_then = found.result()
            assert names_then is True or set(names[3:]) <= set(names_then)  # type: ignore[call-overload]
        assert sorted(fs.listdir("d")) == expected
        for name in expected:
            fs.unlink(f"d/{name}")
        assert fs.listdir("d") == []


def test_numbers_are_used_again(tmp_path: Path) -> None:
    """What is kept of a directory is not taken for another one's that has its number now."""
    pool = make(tmp_path, dataset_properties={"xattr": "dir"})
    fs = pool.fs()
    with pytest.raises(KeyError), pool.transaction():
        fs.mkdir("/given up")
        fs.write_bytes("/given up/x", b"x")
        raise KeyError
    fs.mkdir("/a")
    assert not fs.exists("/a/x")
    for number in range(40):
        fs.write_bytes(f"/a/{number}", b"x")
        fs.setxattr(f"/a/{number}", "user.a", b"v")
    pool.sync()
    for number in range(40):
        fs.unlink(f"/a/{number}")
    pool.sync()
    for number in range(120):
        fs.mkdir(f"/b{number}")
        assert not fs.exists(f"/b{number}/x")
        fs.write_bytes(f"/b{number}/x", b"y")
    pool.close()


def test_attributes(tmp_path: Path) -> None:
    pool = make(tmp_path)
    fs = pool.fs()
    fs.write_bytes("/x", b"1")
    fs.chmod("/x", 0o4711)
    fs.chown("/x", 1000, 100)
    fs.utime("/x", ns=(1, -5))
    fs.setxattr("/x", "user.small", b"v")
    fs.setxattr("/x", "user.large", b"w" * 40000)
    fs.setxattr("/x", "user.many", b"x" * 30000)
    with pytest.raises(NotFoundError):
        fs.removexattr("/x", "user.none")
    pool.close()
    pool = again(tmp_path)
    fs = pool.fs()
    found = fs.stat("/x")
    assert (found.mode & 0o7777, found.uid, found.gid, found.atime_ns, found.mtime_ns) == (0o4711, 1000, 100, 1, -5)
    assert fs.xattrs("/x") == {"user.small": b"v", "user.large": b"w" * 40000, "user.many": b"x" * 30000}
    assert [ace.mask for ace in fs.acl("/x").aces]
    fs.removexattr("/x", "user.large")
    fs.removexattr("/x", "user.many")
    assert fs.xattrs("/x") == {"user.small": b"v"}
    pool.sync()
    assert fs.filesystem.used("user")[1000] > 0
    pool.close()


def test_a_file_outlives_its_name(tmp_path: Path) -> None:
    """It is freed when it is closed; or, after a crash, when the file system is opened again."""
    pool = make(tmp_path)
    fs = pool.fs()
    fs.write_bytes("/x", b"still here")
    file = fs.open("/x", "rb+")
    fs.unlink("/x")
    pool.sync()
    assert file.readall() == b"still here"
    assert len(fs.filesystem.unlinked()) == 1
    pool.abandon()
    pool = again(tmp_path)
    assert pool.fs().filesystem.unlinked() == []
    pool.close()


def test_transactions_span_datasets(tmp_path: Path) -> None:
    pool = make(tmp_path)
    pool.create_filesystem("tank/a")
    with pytest.raises(KeyError), pool.transaction():
        pool.fs("tank/a").write_bytes("/x", b"1")
        pool.create_filesystem("tank/b").write_bytes("/y", b"2")
        raise KeyError
    assert not pool.fs("tank/a").exists("/x")
    with pytest.raises(NotFoundError):
        pool.dataset("tank/b")
    with pool.transaction():
        pool.fs("tank/a").write_bytes("/x", b"1")
        pool.create_filesystem("tank/b").write_bytes("/y", b"2")
    pool.sync()
    pool.fs("tank/a").write_bytes("/lost", b"3")
    pool.abandon()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert reader.fs("tank/a").listdir("/") == ["x"]
        assert reader.fs("tank/b").read_bytes("/y") == b"2"


def test_datasets_come_and_go(tmp_path: Path) -> None:
    pool = make(tmp_path)
    free = pool.engine.allocator.allocated(AllocClass.NORMAL)
    pool.create_filesystem("tank/a/b", parents=True).write_bytes("/x", bytes(range(256)) * 4000)
    volume = pool.create_volume("tank/v", 16 * MIB)
    assert volume.size == 16 * MIB
    with pytest.raises(NotEmptyError):
        pool.destroy("tank/a")
    for name in ("tank/a/b", "tank/a", "tank/v"):
        pool.destroy(name)
    assert [one.name for one in pool.datasets()] == ["tank"]
    pool.sync()
    assert pool.engine.allocator.allocated(0) <= free + MIB // 4  # type: ignore[arg-type]
    pool.close()


def test_volumes(tmp_path: Path) -> None:
    pool = make(tmp_path)
    volume = pool.create_volume("tank/v", MIB, volblocksize=8192)
    with volume.open() as disk:
        assert disk.pwrite(b"boot", 0) == 4
        assert disk.pwrite(b"x" * 100000, 500_000) == 100000
        assert disk.pwrite(b"y" * 100, MIB - 10) == 10
        pool.sync()
        disk.discard(510_000, 50_000)
        head = bytearray(4)
        disk.pread(head, 0)
        assert head == b"boot"
    volume.resize(2 * MIB)
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader, reader.volume("tank/v").open() as disk:
        data = disk.readall()
    assert len(data) == 2 * MIB and data[:4] == b"boot" and data[MIB - 10 : MIB] == b"y" * 10
    assert data[500_000:510_000] == b"x" * 10_000 and data[510_000:560_000] == bytes(50_000)
    assert data[560_000:600_000] == b"x" * 40_000 and not any(data[MIB:])


def test_writing_over_the_end_of_a_volume_ends(tmp_path: Path) -> None:
    """A write behind the end wrote nothing and said so: ``io.BufferedWriter`` tried it again for ever."""
    pool = make(tmp_path)
    disk = pool.create_volume("tank/v", MIB).open()
    with pytest.raises(OSError, match="ends before"), io.BufferedWriter(disk) as file:  # type: ignore[type-var]
        file.seek(MIB - 4)
        file.write(b"x" * 100)
        file.flush()
    again = pool.volume("tank/v").open()
    again.seek(MIB - 4)
    assert again.read() == b"xxxx" and again.write(b"") == 0
    with pytest.raises(UsageError):
        again.discard(-1, 5)  # type: ignore[attr-defined]
    pool.close()


def test_who_has_a_volume_open_sees_what_others_do(tmp_path: Path) -> None:
    pool = make(tmp_path)
    pool.create_volume("tank/v", MIB)
    disk, other = pool.volume("tank/v").open(), pool.volume("tank/v").open()
    assert disk.pwrite(b"x" * 100, MIB - 50) == 50  # type: ignore[attr-defined]
    pool.set("tank/v", "volsize", str(MIB // 2))
    with pytest.raises(FileLimitError, match="ends before") as caught:
        disk.pwrite(b"y" * 100, MIB - 50)  # type: ignore[attr-defined]
    assert caught.value.errno == errno.ENOSPC
    assert disk.pwrite(b"y" * 100, MIB // 2 - 10) == 10  # type: ignore[attr-defined]
    assert len(other.readall()) == MIB // 2 and other.pread(bytearray(4), MIB - 50) == 0
    with pytest.raises(ZeroDivisionError), pool.transaction():
        pool.volume("tank/v").resize(4 * MIB)  # type: ignore[attr-defined]
        assert disk.pwrite(b"z", 3 * MIB) == 1  # type: ignore[attr-defined]
        raise ZeroDivisionError
    assert pool.volume("tank/v").size == MIB // 2
    with pytest.raises(FileLimitError):
        disk.pwrite(b"z", 3 * MIB)  # type: ignore[attr-defined]
    pool.set("tank/v", "volsize", "2M")
    assert disk.pread(bytearray(100), MIB - 50) == 100 and other.seek(0, 2) == 2 * MIB
    pool.set("tank/v", "readonly", "on")
    with pytest.raises(ReadOnlyError):
        disk.pwrite(b"z", 0)  # type: ignore[attr-defined]
    pool.set("tank/v", "readonly", "off")
    pool.set("tank/v", "sync", "always")
    pool.sync()
    disk.pwrite(b"durable", 0)  # type: ignore[attr-defined]
    pool.abandon()
    pool = again(tmp_path)
    with pool.volume("tank/v").open() as disk:
        assert disk.read(7) == b"durable"
    pool.destroy("tank/v")
    pool.create_volume("tank/v", MIB)
    assert pool.volume("tank/v").size == MIB and not any(pool.volume("tank/v").open().readall())
    pool.close()


def test_a_volume_is_one_before_its_txg_is_written(tmp_path: Path) -> None:
    """Making another dataset in the same txg used to turn it into a file system for whoever asked."""
    pool = make(tmp_path)
    pool.create_volume("tank/v", MIB)
    pool.create_filesystem("tank/d")
    assert pool.volume("tank/v").size == MIB and pool.dataset("tank/d").type == "filesystem"
    with pytest.raises(ZeroDivisionError), pool.transaction():
        pool.create_volume("tank/gone", MIB)
        raise ZeroDivisionError
    assert len(pool.spa.unwritten) == 2
    pool.sync()
    assert pool.volume("tank/v").size == MIB and not pool.spa.unwritten
    pool.close()


def test_long_attributes_are_seen_before_their_txg_is_written(tmp_path: Path) -> None:
    """They go to a spill block, which only those on disk used to be looked for in."""
    pool = make(tmp_path)
    fs = pool.fs()
    for size in (0, 5, 300, 3000):
        fs.write_bytes(f"f{size}", b"x")
        fs.setxattr(f"f{size}", "user.a", b"v" * size)
        assert fs.xattrs(f"f{size}") == {"user.a": b"v" * size}
    fs.removexattr("f3000", "user.a")
    assert fs.xattrs("f3000") == {}
    pool.sync()
    assert [len(fs.xattrs(f"f{size}")) for size in (0, 5, 300, 3000)] == [1, 1, 1, 0]
    pool.close()


def test_labels_keep_paths(tmp_path: Path) -> None:
    """Paths asked for are in the labels, in place of those the files have here."""
    path = str(tmp_path / "d0")
    pool = make(tmp_path, options=NewOptions(size=80 * MIB, leaf_type="disk", label_paths={path: "/dev/sdx"}))
    pool.fs().write_bytes("/x", b"1")
    pool.close()
    image = Path(path).read_bytes()
    assert str(tmp_path).encode() not in image and b"/dev/sdx" in image


def test_what_is_not_written_is_refused(tmp_path: Path) -> None:
    make(tmp_path).close()
    (tmp_path / "other").mkdir()
    pool = make(tmp_path / "other", "mirror d0 d1", seed=5)
    with pytest.raises(Exception, match=r"in use|is open for writing"):
        again(tmp_path / "other")
    pool.close()


def test_another_machine_has_it(tmp_path: Path) -> None:
    """A pool that was not exported belongs to the machine that had it last."""
    words = [str(tmp_path / "d0")]
    env = Env.fixed(1, hostid=0xABC, hostname="elsewhere")
    pool = create_pool("tank", words, size=80 * MIB, env=env, txg_seconds=0)
    pool.abandon()
    with pytest.raises(DeviceBusyError, match="elsewhere"):
        again(tmp_path)
    open_pool("tank", words, env=Env.fixed(2), txg_seconds=0, force=True).close()
    again(tmp_path).close()


@pytest.mark.pools
def test_same_seed_same_bytes(tmp_path: Path) -> None:
    images = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        pool = make(folder, seed=11)
        pool.fs().write_bytes("/x", b"content" * 1000)
        pool.close()
        image = (folder / "d0").read_bytes()
        images.append(image.replace(str(folder).encode(), b""))
    assert len(images[0]) == len(images[1])
    assert images[0][4 * MIB : 70 * MIB] != bytes(66 * MIB)


def test_failed_writes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What redundancy bears is not silent; what it does not bear suspends the pool, and what was durable is there."""
    pool = make(tmp_path, "mirror d0 d1")
    pool.fs().write_bytes("/x", b"1")
    pool.sync()
    device = pool.tree.leaves[1].device
    with monkeypatch.context() as patch:
        patch.setattr(device, "flush", lambda: (_ for _ in ()).throw(DeviceError("flush", device="d1")))
        pool.fs().write_bytes("/y", b"2")
        pool.sync()
    assert any("d1 failed" in note and "resilver" in note for note in pool.notes)
    assert pool.health == "DEGRADED"

    def fail() -> None:
        raise DeviceError("flush", device="d0")

    monkeypatch.setattr(pool.engine.writer, "flush", fail)
    pool.fs().write_bytes("/z", b"3")
    with pytest.raises(DeviceError):
        pool.sync()
    with pytest.raises(UsageError, match="suspended"):
        pool.fs().write_bytes("/z", b"4")
    pool.close()
    with import_pool("tank", [str(tmp_path)]) as reader:
        assert sorted(reader.fs("tank").listdir("/")) == ["x", "y"]


def test_a_walk_sees_what_is_not_on_disk_yet(tmp_path: Path) -> None:
    """Directories below the first came from their old dnodes: with files that were gone, without new ones."""
    with create_pool("tank", [str(tmp_path / "a.img")], size=64 << 20, env=Env.fixed(2)) as pool:
        vfs = pool.fs()
        vfs.makedirs("/a/b")
        for name in "123":
            vfs.write_bytes(f"/a/b/{name}", b"old")
        pool.sync()
        vfs.unlink("/a/b/1")
        vfs.write_bytes("/a/b/2", b"newer")
        vfs.write_bytes("/a/b/4", b"")
        expected = {".": 0, "a": 0, "a/b": 0, "a/b/2": 5, "a/b/3": 3, "a/b/4": 0}
        assert {path: 0 if znode.is_dir else znode.size for path, znode in vfs.tree("/")} == expected


def test_what_is_open_of_a_destroyed_dataset(tmp_path: Path) -> None:
    """It is told so; in particular nobody begins an intent log for a dataset that is gone, whose blocks would leak."""
    with create_pool("tank", [str(tmp_path / "a.img")], size=64 << 20, env=Env.fixed(1), txg_seconds=0) as pool:
        fs = pool.create_filesystem("tank/x")
        fs.write_bytes("/f", b"hello")
        pool.create_volume("tank/v", 1 << 20)
        volume: Any = pool.volume("tank/v").open()
        pool.sync()
        file = fs.open("/f", "r+b")
        fs.write_bytes("/gone", b"gone")
        gone = fs.open("/gone", "rb")
        fs.unlink("/gone")
        pool.destroy("tank/x")
        pool.destroy("tank/v")
        for work in (
            lambda: fs.listdir("/"), lambda: fs.read_bytes("/f"), lambda: fs.write_bytes("/g", b""),
            lambda: fs.fsync("/f"), lambda: fs.syncfs(), lambda: file.read(), lambda: file.write(b"x"),
            lambda: volume.readall(), lambda: volume.pwrite(bytes(512), 0), lambda: volume.fsync(),
        ):  # fmt: skip
            with pytest.raises(NotFoundError, match="destroyed"):
                work()
        file.close()
        gone.close()
        with pytest.raises(KeyError), pool.transaction():
            fs = pool.create_filesystem("tank/taken-back")
            raise KeyError
        with pytest.raises(NotFoundError, match="destroyed"):
            fs.listdir("/")
        pool.create_filesystem("tank/x").write_bytes("/f", b"another")
        assert pool.fs("tank/x").read_bytes("/f") == b"another"
    assert not examine([str(tmp_path / "a.img")]).problems
