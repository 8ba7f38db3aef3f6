"""What a dataset looks like as a file system."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError, IsADirectoryInPoolError, NotFoundError, PoolError, UsageError
from uberblock.pool.vfs import PoolPath, Vfs, device_number, parse_path
from uberblock.pool.zpl import directory


@pytest.fixture(scope="module")
def golden(pools: Callable[[str], Any]) -> Any:
    return pools("classes")


@pytest.fixture(scope="module")
def pool(golden: Any) -> Iterator[Any]:
    with import_pool(search=[golden.dir]) as found:
        yield found


@pytest.fixture
def home(pool: Any) -> Vfs:
    return pool.fs("tank-classes/home@one")


@pytest.fixture
def tree(golden: Any) -> Any:
    return golden.manifest["datasets"]["tank-classes/home@one"]["tree"]


@pytest.mark.parametrize(
    ("text", "dataset", "path"),
    [
        ("tank", "tank", "/"),
        ("tank:", "tank", "/"),
        ("tank:/", "tank", "/"),
        ("tank/home@one:/a/b", "tank/home@one", "/a/b"),
        ("tank/a:b:/c", "tank/a:b", "/c"),
        ("tank:/a:/b", "tank", "/a:/b"),
        ("tank/with space:/x@y", "tank/with space", "/x@y"),
    ],
)
def test_paths(text: str, dataset: str, path: str) -> None:
    found = parse_path(text)
    assert found == PoolPath(dataset, path)
    assert found.pool == "tank"
    assert parse_path(str(found)) == found


@pytest.mark.parametrize("text", ["", ":/x", "/tank:/x", "tank/:/x", "tank//a", "tank@:/x", "tank@a@b:/x", "@a:/x"])
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(UsageError):
        parse_path(text)


@given(st.text())
def test_any_text(text: str) -> None:
    try:
        found = parse_path(text)
    except UsageError:
        return
    assert found.path.startswith("/")
    assert found.pool


def test_stat(home: Vfs, tree: Any) -> None:
    for path, facts in tree.items():
        found = home.stat(path)
        assert (found.type, found.size, found.mtime_ns) == (facts["type"], facts["size"], facts["mtime_ns"])
        assert (found.st_uid, found.st_gid, found.st_nlink) == (facts["uid"], facts["gid"], facts["nlink"])
        assert stat.S_IMODE(found.st_mode) == int(facts["mode"], 8)
        if "rdev" in facts:
            assert found.st_rdev == os.makedev(*facts["rdev"])
    assert all(device_number(a, b) == os.makedev(a, b) for a in (0, 5, 259, 70000) for b in (0, 3, 255, 70000))
    file = home.stat("/text/t300001.txt")
    assert file.st_blocks * 512 >= file.used_bytes
    assert (file.st_mtime, file.st_ino) == (file.mtime_ns / 1e9, file.object)
    assert file.st_blksize == 131072
    assert home.stat("/links/short").type == "symlink"
    assert home.stat("/links/short", follow=True).type == "file"


def test_listings(home: Vfs, tree: Any) -> None:
    assert sorted(home.listdir("/")) == sorted(path for path in tree if "/" not in path and path != ".")
    entries = {entry.name: entry for entry in home.scandir("/links")}
    assert entries["target"].is_file()
    assert entries["short"].is_symlink()
    assert entries["chr"].type == "char"
    assert not entries["chr"].is_dir()
    assert entries["target"].path == "/links/target"
    assert entries["target"].stat().object == tree["links/target"]["object"]
    assert "self-dir" in home.listdir("/links/self-dir")


def test_walk_and_tree(home: Vfs, tree: Any) -> None:
    walked = {}
    for folder, folders, files in home.walk("/"):
        assert folders == sorted(folders)
        for name in [*folders, *files]:
            walked[f"{folder.rstrip('/')}/{name}".lstrip("/")] = name in folders
    assert walked == {path: facts["type"] == "dir" for path, facts in tree.items() if path != "."}
    paths = [path for path, _ in home.tree()]
    assert sorted(paths) == sorted(tree)
    assert paths[0] == "."
    assert [path for path, _ in home.tree("/links/target")] == ["."]
    for folder, folders, _ in home.walk("/"):
        assert folder in ("/", "/text")
        folders[:] = [name for name in folders if name == "text"]


def test_files(home: Vfs, tree: Any) -> None:
    assert len(home.read_bytes("/text/t97.txt")) == 97
    assert home.open("/links/short").readall() == home.read_bytes("/links/target")
    assert home.readlink("/links/unicode") == tree["links/unicode"]["target"]
    assert home.acl("/links/target").aces
    assert home.exists("/links/dangling")
    assert not home.exists("/links/nothing")
    assert not home.exists("/links/target/x")
    assert home.is_dir("/links/self-dir")
    assert not home.is_dir("/links/dangling")
    assert home.is_file("/links/short")
    assert not home.is_file("/links/dangling")


def test_errors_are_what_python_expects(home: Vfs) -> None:
    with pytest.raises(FileNotFoundError):
        home.stat("/nothing")
    with pytest.raises(NotADirectoryError):
        home.listdir("/links/target")
    with pytest.raises(IsADirectoryError):
        home.open("/links")
    assert issubclass(IsADirectoryInPoolError, PoolError)
    with pytest.raises(PermissionError):
        home.open("/links/target", "wb")
    with pytest.raises(UsageError):
        home.readlink("/links/target")
    with pytest.raises(UsageError):
        home.open("/links/chr")
    with pytest.raises(NotFoundError) as caught:
        home.stat("/a\nb")
    assert "\n" not in str(caught.value)


def test_a_visible_snapshot_folder_is_a_link_more(pools: Callable[[str], Any]) -> None:
    golden = pools("names")
    with import_pool(search=[golden.dir]) as pool:
        for name in ("tank-names/rm", "tank-names/rm@s", "tank-names/ci"):
            assert pool.fs(name).stat("/").nlink == golden.manifest["datasets"][name]["tree"]["."]["nlink"]


def test_a_directory_in_two_places_ends_the_walk(home: Vfs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged pool may have a directory below itself."""
    root = home.filesystem.root_object
    real = directory.iterate

    def looped(folder: Any, **kwargs: Any) -> Iterator[Any]:
        yield from real(folder, **kwargs)
        if folder.object == home.znode("/links").object:
            yield directory.DirEntry("again", b"again", root, 4)

    monkeypatch.setattr(directory, "iterate", looped)
    with pytest.raises(CorruptError, match="two places"):
        list(home.walk("/"))
    with pytest.raises(CorruptError, match="two places"):
        list(home.tree("/"))
    told: list[str] = []
    paths = [path for path, _ in home.tree("/", damaged=lambda path, _: told.append(path))]
    assert told == ["links/again"]
    assert "xattr/one" in paths
