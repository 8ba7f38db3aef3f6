"""Copying out of pools: into folders, tar streams and images, and never anywhere else."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool import import_pool
from uberblock.pool.errors import ChecksumError, CorruptError, NotFoundError, PoolError
from uberblock.pool.extract import content, copy_out, copy_volume, folder, pax, tar_out
from uberblock.pool.ondisk.zap import ZapEntry
from uberblock.pool.zpl import directory
from uberblock.pool.zpl.znode import Znode

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def golden(pools: Callable[[str], Any]) -> Any:
    return pools("classes")


@pytest.fixture(scope="module")
def pool(golden: Any) -> Iterator[Any]:
    with import_pool(search=[golden.dir]) as found:
        yield found


@pytest.fixture
def home(pool: Any) -> Any:
    return pool.fs("tank-classes/home@one")


@pytest.fixture
def tree(golden: Any) -> Any:
    return golden.manifest["datasets"]["tank-classes/home@one"]["tree"]


def content_of(path: Path, facts: dict[str, Any]) -> None:
    """Compare a file's bytes with what the manifest says of them."""
    if "large" in facts:
        with path.open("rb") as file:
            for offset, length, digest in facts["large"]["nonzero_runs"]:
                file.seek(offset)
                assert hashlib.sha256(file.read(length)).hexdigest() == digest
    else:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["sha256"]


def same(path: Path, facts: dict[str, Any], *, owners: bool) -> None:
    """Compare what is on this machine with what the manifest says."""
    found = path.lstat()
    kinds = {"file": stat.S_ISREG, "dir": stat.S_ISDIR, "symlink": stat.S_ISLNK, "fifo": stat.S_ISFIFO}
    kinds |= {"socket": stat.S_ISSOCK, "char": stat.S_ISCHR, "block": stat.S_ISBLK}
    assert kinds[facts["type"]](found.st_mode)
    assert found.st_mtime_ns == facts["mtime_ns"]
    if owners:
        assert (found.st_uid, found.st_gid) == (facts["uid"], facts["gid"])
        if facts["type"] in ("file", "dir"):
            assert stat.S_IMODE(found.st_mode) == int(facts["mode"], 8)
    if facts["type"] == "file":
        assert (found.st_size, found.st_nlink) == (facts["size"], facts["nlink"])
        content_of(path, facts)
    if facts["type"] == "symlink":
        assert str(path.readlink()) == facts["target"]
    if "rdev" in facts:
        assert found.st_rdev == os.makedev(*facts["rdev"])


def test_a_whole_tree(home: Any, tree: Any, tmp_path: Path) -> None:
    target = tmp_path / "out"
    done: list[int] = []
    told = copy_out(home, "/", target, progress=done.append)
    # What this machine's file system cannot keep is told, and nothing else goes wrong.
    assert all(" x " in line for line in told)
    skipped = {"char", "block"} if not ROOT else set()
    for path, facts in tree.items():
        if facts["type"] not in skipped:
            same(target / path, facts, owners=ROOT)
    there = {str(p.relative_to(target)) for p in target.rglob("*")} | {"."}
    assert there == {path for path, facts in tree.items() if facts["type"] not in skipped}
    # Holes stay holes: there is a terabyte among the files.
    assert sum(p.lstat().st_blocks * 512 for p in target.rglob("*")) < 200 << 20
    assert 0 < sum(done) < 200 << 20
    # Hard links stay links.
    names = [p for p in tree if tree[p].get("object") == tree["links/target"]["object"]]
    assert len({(target / name).stat().st_ino for name in names}) == 1


def test_again_into_the_same_folder(home: Any, tree: Any, tmp_path: Path) -> None:
    copy_out(home, "/links", tmp_path / "out")
    (tmp_path / "out" / "target").write_bytes(b"other content")
    (tmp_path / "out" / "short").unlink()
    (tmp_path / "out" / "short").symlink_to("elsewhere")
    copy_out(home, "/links", tmp_path / "out")
    for path, facts in tree.items():
        if path.startswith("links/") and facts["type"] in ("file", "symlink"):
            same(tmp_path / "out" / path[6:], facts, owners=False)


def test_extended_attributes(home: Any, tree: Any, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.x", b"1")
    except OSError:
        pytest.skip("the file system of the temporary folder has no extended attributes")
    copy_out(home, "/xattr", tmp_path / "out")
    kept = 0
    for path, facts in tree.items():
        if path.startswith("xattr/"):
            for name, value in facts.get("xattr", {}).items():
                if name.startswith("user.") and isinstance(value, str):
                    assert os.getxattr(tmp_path / "out" / path[6:], name).hex() == value
                    kept += 1
    assert kept


def test_one_file(home: Any, tree: Any, tmp_path: Path) -> None:
    copy_out(home, "/text/t97.txt", tmp_path / "named")
    same(tmp_path / "named", tree["text/t97.txt"], owners=ROOT)
    copy_out(home, "/text/t97.txt", tmp_path)
    same(tmp_path / "t97.txt", tree["text/t97.txt"], owners=ROOT)
    with pytest.raises(NotFoundError):
        copy_out(home, "/nothing", tmp_path)
    with pytest.raises(FileExistsError):
        copy_out(home, "/text", tmp_path / "named")


def test_without_being_root(home: Any, tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    told = copy_out(home, "/links", tmp_path / "links")
    assert not (tmp_path / "links" / "chr").exists()
    assert any("only root" in line for line in told)
    told = copy_out(home, "/modes", tmp_path / "modes")
    mine = (tmp_path / "modes" / "m4755").stat()
    assert stat.S_IMODE(mine.st_mode) == 0o755
    assert any("set-id" in line for line in told)
    assert stat.S_IMODE((tmp_path / "modes" / "m0400").stat().st_mode) == 0o400


def test_deeper_than_descriptors_go(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_OPEN", 2)
    assert not [line for line in copy_out(home, "/", tmp_path / "out") if " x " not in line]
    for path, znode in home.tree("/"):
        if znode.is_dir:
            assert (tmp_path / "out" / path).stat().st_mtime_ns == znode.mtime


def test_volumes(pool: Any, golden: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = "tank-classes/vol@one"
    wanted = golden.manifest["datasets"][name]["volume_sha256"]
    volume = pool.volume(name)
    assert copy_volume(volume, tmp_path / "image") == []
    image = tmp_path / "image"
    assert image.stat().st_size == volume.size
    assert hashlib.sha256(image.read_bytes()).hexdigest() == wanted
    assert image.stat().st_blocks * 512 <= volume.size
    copy_volume(volume, "-")
    assert hashlib.sha256(capfdbinary.readouterr().out).hexdigest() == wanted


# ---- tar ------------------------------------------------------------------------------------------


def test_tar_read_by_python(home: Any, tree: Any) -> None:
    stream = io.BytesIO()
    told = tar_out(home, "/", stream)
    assert told == ["links/sock: a socket has no place in a tar archive"]
    stream.seek(0)
    seen = set()
    with tarfile.open(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:
        for member in archive:
            name = member.name.removeprefix("./") or "."
            facts = tree[name]
            seen.add(name)
            if not member.islnk():
                assert (f"{member.mode:04o}", member.uid, member.gid) == (facts["mode"], facts["uid"], facts["gid"])
            exact = member.pax_headers.get("mtime", str(member.mtime))
            whole, _, part = exact.partition(".")
            ns = int(part.ljust(9, "0")) if part else 0
            assert int(whole) * 10**9 + (-ns if whole.startswith("-") else ns) == facts["mtime_ns"]
            if member.issym():
                assert member.linkname == facts["target"]
            if member.ischr() or member.isblk():
                assert [member.devmajor, member.devminor] == facts["rdev"]
            for key, value in facts.get("xattr", {}).items():
                if isinstance(value, str) and not member.islnk():
                    found = member.pax_headers[f"SCHILY.xattr.{key}"]
                    assert found.encode("utf-8", "surrogateescape").hex() == value
            if facts["type"] == "file" and member.isreg():
                assert member.size == facts["size"]
                file = archive.extractfile(member)
                if "large" in facts:
                    for offset, length, digest in facts["large"]["nonzero_runs"]:
                        file.seek(offset)
                        assert hashlib.sha256(file.read(length)).hexdigest() == digest
                else:
                    assert hashlib.sha256(file.read()).hexdigest() == facts["sha256"]
    assert seen == set(tree) - {"links/sock"}


def test_tar_unpacked_by_tar(home: Any, tree: Any, tmp_path: Path) -> None:
    with (tmp_path / "archive.tar").open("wb") as stream:
        tar_out(home, "/", stream)
    assert (tmp_path / "archive.tar").stat().st_size < 100 << 20
    out = tmp_path / "out"
    out.mkdir()
    command = ["tar", "--warning=no-timestamp", "-xSpf", str(tmp_path / "archive.tar"), "-C", str(out)]
    command += ["--exclude=links/chr", "--exclude=links/blk"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for path, facts in tree.items():
        if facts["type"] not in ("socket", "char", "block"):
            same(out / path, facts, owners=ROOT)


def test_tar_without_holes(home: Any, tree: Any) -> None:
    stream = io.BytesIO()
    tar_out(home, "/text/t300001.txt", stream, sparse=False)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        (member,) = archive.getmembers()
        assert member.name == "t300001.txt"
        digest = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
    assert digest == tree["text/t300001.txt"]["sha256"]


@given(st.binary(min_size=1, max_size=50), st.binary(max_size=2000))
def test_pax_records_count_their_own_length(key: bytes, value: bytes) -> None:
    made = pax.record(key, value)
    length, _, rest = made.partition(b" ")
    assert int(length) == len(made)
    assert rest == key + b"=" + value + b"\n"


@pytest.mark.parametrize(
    ("ns", "text"), [(0, b"0"), (-1, b"-0.000000001"), (1_500_000_000, b"1.500000000"), (-2 * 10**9, b"-2")]
)
def test_times(ns: int, text: bytes) -> None:
    assert pax.seconds(ns) == text


def test_large_numbers_go_into_records() -> None:
    member = pax.Member(b"n" * 300, uid=3 << 30, gid=5, size=9 << 30, device=(1, 3 << 20), kind=pax.CHAR)
    member.xattrs["user.a=b%"] = b"\xff\0"
    made = pax.header(member)
    info = tarfile.TarFile.open(fileobj=io.BytesIO(made + pax.END), errors="surrogateescape").getmembers()[0]
    assert (info.name, info.uid, info.gid, info.size) == ("n" * 300, 3 << 30, 5, 9 << 30)
    assert info.pax_headers["SCHILY.xattr.user.a%3Db%25"] == "\udcff\0"
    assert info.pax_headers["SCHILY.devminor"] == str(3 << 20)


# ---- hostile pools --------------------------------------------------------------------------------

NASTY = ["..", ".", "", "a/b", "/etc/x", "../../escape", "nul\0l"]


def nasty(monkeypatch: pytest.MonkeyPatch, home: Any, *entries: directory.DirEntry) -> None:
    """Put entries into the directory /text that no sane writer would."""
    real = directory.open_zap
    number = home.znode("/text").object
    forged = [ZapEntry(entry.raw, 8, (entry.object | entry.type << 60,)) for entry in entries]

    def more(where: Any) -> Any:
        found = real(where)
        return SimpleNamespace(items=lambda: [*forged, *found.items()]) if where.object == number else found

    monkeypatch.setattr(directory, "open_zap", more)


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("to_tar", [False, True])
def test_names_that_lead_elsewhere(
    home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, to_tar: bool
) -> None:
    victim = home.znode("/links/target").object
    nasty(monkeypatch, home, directory.DirEntry(name, name.encode(), victim, 8))

    def run(keep_going: bool) -> list[str]:
        if to_tar:
            return tar_out(home, "/text", io.BytesIO(), keep_going=keep_going)
        return copy_out(home, "/text", tmp_path / "in" / "out", keep_going=keep_going)

    (tmp_path / "in").mkdir()
    with pytest.raises(CorruptError, match="no file can have"):
        run(keep_going=False)
    told = run(keep_going=True)
    assert any("no file can have" in line for line in told)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert all(p.name == "out" for p in (tmp_path / "in").iterdir())
    if not to_tar:
        assert (tmp_path / "in" / "out" / "t97.txt").exists()


def test_a_link_and_a_folder_of_one_name(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to elsewhere, then a folder with the same name: its content must not go through the link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link, folder_number = home.znode("/links/short").object, home.znode("/xattr").object
    monkeypatch.setattr(type(home.znode("/")), "target", lambda self: str(outside).encode())
    nasty(
        monkeypatch,
        home,
        directory.DirEntry("trap", b"trap", link, 10),
        directory.DirEntry("trap", b"trap", folder_number, 4),
        directory.DirEntry("t97.txt", b"t97.txt", link, 10),
    )
    copy_out(home, "/text", tmp_path / "out", keep_going=True)
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "out" / "t97.txt").is_symlink() or (tmp_path / "out" / "t97.txt").readlink() == outside


def test_what_is_in_the_way_is_not_followed(home: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    out = tmp_path / "out"
    out.mkdir()
    (out / "t97.txt").symlink_to(outside / "precious")
    copy_out(home, "/text", out)
    assert (outside / "precious").read_bytes() == b"precious"
    assert not (out / "t97.txt").is_symlink()
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "text").symlink_to(outside)
    copy_out(home, "/", whole)
    assert [p.name for p in outside.iterdir()] == ["precious"]


def damage(home: Any, monkeypatch: pytest.MonkeyPatch, bad: int) -> None:
    """Make block 0 of one object unreadable."""
    from uberblock.pool.dmu.dnode import Dnode

    real = Dnode.readinto

    def readinto(self: Any, buf: Any, offset: int = 0, *, damaged: Any = None) -> int:
        if self.number != bad or offset:
            return real(self, buf, offset, damaged=damaged)
        error = ChecksumError("no copy of a block matches its checksum")
        if damaged is None:
            raise error
        done = real(self, buf, offset)
        memoryview(buf)[:512] = bytes(512)
        damaged(0, 512, error)
        return done

    monkeypatch.setattr(Dnode, "readinto", readinto)
    batch = content.read_small

    def read_small(files: Any) -> Any:
        error = ChecksumError("no copy of a block matches its checksum")
        return [error if f.dnode.number == bad else found for f, found in zip(files, batch(files))]

    monkeypatch.setattr(content, "read_small", read_small)


@pytest.mark.parametrize("to_tar", [False, True])
def test_going_on_after_damage(
    home: Any, tree: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_tar: bool
) -> None:
    damage(home, monkeypatch, tree["text/t4097.txt"]["object"])
    stream = io.BytesIO()
    with pytest.raises(PoolError):
        tar_out(home, "/text", stream) if to_tar else copy_out(home, "/text", tmp_path / "first")
    stream = io.BytesIO()
    if to_tar:
        told = tar_out(home, "/text", stream, keep_going=True)
        stream.seek(0)
        data = tarfile.open(fileobj=stream).extractfile("t4097.txt").read()  # noqa: SIM115
    else:
        told = copy_out(home, "/text", tmp_path / "out", keep_going=True)
        data = (tmp_path / "out" / "t4097.txt").read_bytes()
    assert len(told) == 1
    assert told[0].startswith("t4097.txt: 512 bytes at 0 are lost")
    assert data[:512] == bytes(512)
    monkeypatch.undo()
    assert data[512:] == home.read_bytes("/text/t4097.txt")[512:]


def test_a_full_target_ends_the_copy(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "pwrite_all", full)
    with pytest.raises(OSError, match="No space"):
        copy_out(home, "/text", tmp_path / "out", keep_going=True)


def test_long_names_are_told(pools: Callable[[str], Any], tmp_path: Path) -> None:
    """Names beyond what Linux's other file systems can hold."""
    with import_pool(search=[pools("names").dir]) as pool:
        vfs = pool.fs("tank-names/long")
        told = copy_out(vfs, "/", tmp_path / "out")
        longest = [path for path, _ in vfs.tree() if len(path.encode()) > 255]
        assert len([line for line in told if "too long" in line]) == len(longest) > 0
        stream = io.BytesIO()
        assert tar_out(vfs, "/", stream) == []
        stream.seek(0)
        names = tarfile.open(fileobj=stream).getnames()  # noqa: SIM115
        assert set(longest) <= set(names)


def test_attributes_that_nothing_else_can_hold(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Znode, "mtime", property(lambda self: 1 << 95))
    monkeypatch.setattr(Znode, "uid", property(lambda self: (1 << 32) - 1))
    monkeypatch.setattr(Znode, "rdev", property(lambda self: (2**32 - 1, 2**32 - 1) if self.type == "char" else None))
    monkeypatch.setattr(Znode, "xattrs", lambda self: {"user.a\0b": b"1"})
    told = copy_out(home, "/links", tmp_path / "out")
    assert any("a time was not kept" in line for line in told)
    assert any("extended attribute" in line for line in told)
    assert (tmp_path / "out" / "target").read_bytes() == home.read_bytes("/links/target")
    assert not tar_out(home, "/links", io.BytesIO()).damaged


def test_a_file_of_an_impossible_size(home: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Znode.size
    number = home.znode("/links/target").object
    hostile = property(lambda self: 1 << 63 if self.object == number else real.fget(self))
    monkeypatch.setattr(Znode, "size", hostile)
    with pytest.raises(CorruptError, match="impossible size"):
        copy_out(home, "/links", tmp_path / "out")
    told = copy_out(home, "/links", tmp_path / "again", keep_going=True)
    assert told.damaged
    assert (tmp_path / "again" / "short").is_symlink()
