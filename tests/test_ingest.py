"""Copying into pools: from folders, tar streams, in batches; what is refused, and what a failure leaves."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.env import Env
from uberblock.pool.errors import (
    CorruptError,
    ExistsError,
    IsADirectoryInPoolError,
    NotADirectoryInPoolError,
    NotFoundError,
    UsageError,
)
from uberblock.pool.ingest import copy_in, maker, tar_in
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.vfswrite import MutableVfs
from uberblock.pool.zpl.attributes import NewFile
from uberblock.pool.zpl.bulk import NewFiles, first_block_size


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WritablePool]:
    (tmp_path / "pool").mkdir()
    made = create_pool("tank", [str(tmp_path / "pool" / "a.img")], size=256 << 20, env=Env.fixed(5), txg_seconds=0)
    yield made
    made.close()


@pytest.fixture
def fs(pool: WritablePool) -> MutableVfs:
    return pool.fs()


def archive(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> io.BytesIO:
    """A tar stream."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as out:
        for info, data in entries:
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    stream.seek(0)
    return stream


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **pax: str) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode, found.pax_headers = kind, link, 0o644, dict(pax)
    return found


def test_many_small_files_in_many_batches(
    fs: MutableVfs, pool: WritablePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "BATCH_FILES", 7)
    top = tmp_path / "src"
    for folder in range(3):
        (top / str(folder)).mkdir(parents=True)
        for number in range(40):
            (top / str(folder) / f"f{number}").write_bytes(bytes([number]) * (number * 97))
    done = []
    assert copy_in(fs, top, "/", progress=done.append) == []
    assert sum(done) == 3 * sum(number * 97 for number in range(40))
    pool.close()
    with open_pool("tank", [str(tmp_path / "pool")], env=Env.fixed(6), txg_seconds=0) as again:
        vfs = again.fs()
        for folder in range(3):
            assert len(vfs.listdir(f"/{folder}")) == 40 == vfs.stat(f"/{folder}").size - 2
            for number in range(40):
                assert vfs.open(f"/{folder}/f{number}").readall() == bytes([number]) * (number * 97)
        assert again.verify().clean


def test_what_is_in_the_way_makes_way_but_directories_do_not(fs: MutableVfs, tmp_path: Path) -> None:
    top = tmp_path / "src"
    top.mkdir()
    (top / "a").write_bytes(b"new")
    fs.write_bytes("/a", b"old")
    fs.link("/a", "/kept")
    copy_in(fs, top, "/")
    assert (fs.open("/a").readall(), fs.open("/kept").readall()) == (b"new", b"old")
    fs.unlink("/a")
    fs.mkdir("/a")
    with pytest.raises(IsADirectoryInPoolError):
        copy_in(fs, top, "/")
    fs.write_bytes("/d", b"")
    (top / "d").mkdir()
    (top / "a").unlink()
    with pytest.raises(ExistsError):
        copy_in(fs, top, "/")
    assert fs.listdir("/a") == []


def test_a_source_that_cannot_be_read(fs: MutableVfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tmp_path / "src"
    top.mkdir()
    for name in "abc":
        (top / name).write_bytes(name.encode())
    opener = os.open

    def refuse(path: object, *args: object, **more: object) -> int:
        if os.fsencode(path).endswith(b"/b"):  # type: ignore[arg-type]
            raise PermissionError(13, "Permission denied", path)
        return opener(path, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        copy_in(fs, top, "/")
    assert fs.listdir("/") == []  # the batch was taken back
    told = copy_in(fs, top, "/", keep_going=True)
    assert told.damaged and len(told) == 1 and "/b" in told[0]
    assert sorted(fs.listdir("/")) == ["a", "c"]


def test_tar_entries_of_every_kind(fs: MutableVfs) -> None:
    device = info("dev", tarfile.CHRTYPE)
    device.devmajor, device.devminor = 5, 1
    folder = info("./d", tarfile.DIRTYPE)
    folder.mode, folder.mtime = 0o710, 1234
    stream = archive(
        (folder, b""),
        (info("d/f", mtime="1000000000.123456789", atime="-1.5", **{"SCHILY.xattr.user.k": "v\n1"}), b"content"),
        (info("/absolute"), b"1"),
        (info("d/hard", tarfile.LNKTYPE, "./d/f"), b""),
        (info("d/soft", tarfile.SYMTYPE, "../x"), b""),
        (device, b""),
        (info("implied/a/b"), b"2"),
        (info("absolute"), b"again"),
        (info("long/" + "n" * 200), b"3"),
    )
    assert tar_in(fs, stream, "/") == []
    found = fs.stat("/d/f")
    assert (found.mtime_ns, found.atime_ns, found.nlink) == (1000000000123456789, -1500000000, 2)
    assert fs.getxattr("/d/f", "user.k") == b"v\n1"
    assert fs.open("/d/hard").readall() == b"content"
    assert fs.readlink("/d/soft") == "../x"
    assert fs.stat("/dev").rdev == (5, 1)
    assert fs.open("/absolute").readall() == b"again"
    assert fs.open("/implied/a/b").readall() == b"2"
    folder_found = fs.stat("/d")
    assert (folder_found.mode & 0o7777, folder_found.mtime_ns) == (0o710, 1234 * 10**9)


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (lambda: archive((info("../x"), b"")), UsageError),
        (lambda: archive((info("a/../../x"), b"")), UsageError),
        (lambda: archive((info("l", tarfile.LNKTYPE, "nowhere"), b"")), NotFoundError),
        (lambda: archive((info("s", tarfile.SYMTYPE, "/etc"), b""), (info("s/x"), b"")), ExistsError),
        (lambda: archive((info("d", tarfile.DIRTYPE), b""), (info("d"), b"")), NotADirectoryInPoolError),
        (lambda: archive((info("t", mtime="soon"), b"")), CorruptError),
        (lambda: io.BytesIO(archive((info("f"), b"x" * 5000)).getvalue()[:3000]), CorruptError),
    ],
)
def test_hostile_streams(fs: MutableVfs, stream: Callable[[], io.BytesIO], error: type[Exception]) -> None:
    with pytest.raises(error):
        tar_in(fs, stream(), "/t")
    assert fs.listdir("/t") == []


def test_what_is_no_archive_leaves_nothing(fs: MutableVfs) -> None:
    """The directory it was to be unpacked into was made before it was looked at."""
    for stream in (b"this is no tar stream" * 100, b""):
        with pytest.raises(CorruptError):
            tar_in(fs, io.BytesIO(stream), "/t")
        assert not fs.exists("/t")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300_000), st.sampled_from([0o600, 0o755, 0o4711])), max_size=6))
def test_patterns_give_what_the_general_way_gives(sizes: list[tuple[int, int]]) -> None:
    fs = _SHARED.fs()
    made = NewFiles(fs.filesystem)
    with fs.transaction():
        for number, (size, mode) in enumerate(sizes):
            new = NewFile(
                mode=0o100000 | mode, uid=number, gid=7, parent=34, gen=9, now_ns=10**18 + number, size=size,
                mtime_ns=-number, projid=fs.filesystem.new_projid,
            )  # fmt: skip
            dn = made.allocate(new, first_block_size(size, 128 << 10))
            assert dn.bonus == fs.filesystem.allocate(new).bonus
            assert dn.datablksz == min(128 << 10, max(512, -(-size // 512) * 512))


_SHARED: WritablePool


@pytest.fixture(scope="module", autouse=True)
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    global _SHARED
    path = tmp_path_factory.mktemp("shared") / "a.img"
    with create_pool("tank", [str(path)], size=128 << 20, env=Env.fixed(8), txg_seconds=0) as _SHARED:
        yield


def test_pieces_may_share_a_buffer(fs: MutableVfs) -> None:
    """A piece is good until the next one is asked for; what is longer than it was said to be is refused."""
    buffer = bytearray(100)

    def pieces() -> Iterator[tuple[int, memoryview]]:
        for number, offset in ((1, 0), (2, 200)):
            buffer[:] = bytes([number]) * 100
            yield offset, memoryview(buffer)

    with maker.Maker(fs) as made:
        top = made.open(fs.znode("/"))
        made.file(top, b"shared", maker.Source(mode=0o100644), 300, pieces())
    assert fs.read_bytes("/shared") == b"\1" * 100 + bytes(100) + b"\2" * 100
    with pytest.raises(CorruptError, match="more bytes than it said"), maker.Maker(fs) as made:
        made.file(made.open(fs.znode("/")), b"long", maker.Source(mode=0o100644), 250, pieces())
    assert not fs.exists("/long")
