"""The fsspec adapter, reading real pools."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

fsspec = pytest.importorskip("fsspec", reason="the extra 'fsspec' is not installed")

from uberblock.pool.errors import UsageError  # noqa: E402
from uberblock.pool.serve.fsspec import ZFSFileSystem  # noqa: E402

fsspec.register_implementation("zfs", ZFSFileSystem, clobber=True)


@pytest.fixture(scope="module")
def fs(pools: Callable[[str], Any]) -> Iterator[Any]:
    found = fsspec.filesystem("zfs", search=[str(pools("classes").dir)], skip_instance_cache=True)
    yield found
    found.close()


@pytest.fixture
def tree(pools: Callable[[str], Any]) -> Any:
    return pools("classes").manifest["datasets"]["tank-classes/home@one"]["tree"]


HOME = "tank-classes/home@one"


def test_ls(fs: Any, tree: Any) -> None:
    assert fs.ls("", detail=False) == ["tank-classes"]
    names = fs.ls("zfs://" + HOME, detail=False)
    assert names == sorted(f"{HOME}/{path}" for path in tree if "/" not in path and path != ".")
    # Child datasets lie over directories of the same name, and volumes are files.
    listed = {info["name"]: info for info in fs.ls("tank-classes")}
    assert listed["tank-classes/home"]["dataset"] == "tank-classes/home"
    assert listed["tank-classes/vol"]["type"] == "file"
    assert fs.ls(f"{HOME}/text/t97.txt", detail=False) == [f"{HOME}/text/t97.txt"]
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{HOME}/nothing")
    with pytest.raises(FileNotFoundError):
        fs.ls("no-such-pool")


def test_info(fs: Any, tree: Any) -> None:
    for path in ("text/t97.txt", "links/chr", "links/fifo", "text"):
        if path not in tree:
            continue
        info = fs.info(f"{HOME}/{path}")
        facts = tree[path]
        assert info["type"] == {"dir": "directory", "file": "file"}.get(facts["type"], "other")
        assert info["mode"] & 0o7777 == int(facts["mode"], 8)
        assert (info["mtime_ns"], info["ino"]) == (facts["mtime_ns"], facts["object"])
    link = fs.info(f"{HOME}/links/short")
    assert (link["type"], link["islink"], link["destination"]) == ("file", True, "target")
    assert link["size"] == tree["links/target"]["size"]
    assert fs.info(f"{HOME}/links/dangling")["type"] == "link"
    assert fs.info(HOME)["type"] == "directory"
    assert fs.info("")["type"] == "directory"
    assert fs.exists(HOME)
    assert not fs.exists(f"{HOME}/x")
    assert fs.isfile("tank-classes/vol@one")
    assert fs.modified(f"{HOME}/text/t97.txt").timestamp() == pytest.approx(tree["text/t97.txt"]["mtime_ns"] / 1e9)
    with pytest.raises(UsageError):
        fs.created("tank-classes")


def test_find_walk_glob(fs: Any, tree: Any) -> None:
    below = {path: facts for path, facts in tree.items() if path.startswith("text/")}
    assert fs.find(f"{HOME}/text") == sorted(f"{HOME}/{path}" for path in below)
    assert set(fs.find(HOME)) >= {f"{HOME}/{path}" for path, facts in tree.items() if facts["type"] == "file"}
    walked = {root: (dirs, files) for root, dirs, files in fs.walk(f"{HOME}/links")}
    # A link to its own directory is a directory, and is not gone into.
    assert "self-dir" in walked[f"{HOME}/links"][0]
    assert all("self-dir" not in root for root in walked)
    assert [root for root, *_ in fs.walk(f"{HOME}/xattr", topdown=False)][-1] == f"{HOME}/xattr"
    assert [root for root, *_ in fs.walk(HOME, maxdepth=1)] == [HOME]
    assert fs.glob(f"{HOME}/text/t13*.txt") == [f"{HOME}/text/t13107{n}.txt" for n in (1, 2, 3)]


def test_open_and_cat(fs: Any, tree: Any, tmp_path: Path) -> None:
    path = f"{HOME}/text/t300001.txt"
    facts = tree["text/t300001.txt"]
    whole = fs.cat(path)
    assert hashlib.sha256(whole).hexdigest() == facts["sha256"]
    assert fs.cat_file(path, 10, 20) == whole[10:20]
    assert fs.cat_file(path, -5) == whole[-5:]
    assert fs.cat_file(path, 5, 5) == b""
    assert fs.cat_ranges([path, path], [0, 100], [5, 105]) == [whole[:5], whole[100:105]]
    assert fs.head(path, 7) == whole[:7]
    assert fs.tail(path, 7) == whole[-7:]
    with fs.open(path) as file:
        file.seek(1000)
        assert file.read(10) == whole[1000:1010]
    with fs.open(path, "r") as text:
        assert text.readline() == whole.decode().splitlines(keepends=True)[0]
    fs.get(path, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == whole
    fs.get(f"{HOME}/text", str(tmp_path / "text"), recursive=True)
    assert {p.name for p in (tmp_path / "text").iterdir()} == {p[5:] for p in tree if p.startswith("text/")}
    with pytest.raises(IsADirectoryError):
        fs.open(f"{HOME}/text")


def test_volumes_are_files(fs: Any, pools: Callable[[str], Any]) -> None:
    datasets = pools("classes").manifest["datasets"]
    for name in ("tank-classes/vol", "tank-classes/vol@one"):
        data = fs.cat(name)
        assert hashlib.sha256(data).hexdigest() == datasets[name]["volume_sha256"]
        assert fs.info(name)["size"] == len(data)
    with pytest.raises(NotADirectoryError):
        fs.info("tank-classes/vol/x")


def test_urls(pools: Callable[[str], Any], tree: Any) -> None:
    golden = pools("rewind")
    name, facts = next(
        (name, data["tree"]) for name, data in golden.manifest["datasets"].items() if data["type"] == "filesystem"
    )
    path = next(path for path, entry in facts.items() if entry["type"] == "file" and entry["size"])
    image = golden.images[0]
    url = f"zfs://{name}/{path}"
    with fsspec.open(url, "rb", search=[str(golden.dir)]) as file:
        assert hashlib.sha256(file.read()).hexdigest() == facts[path]["sha256"]
    with fsspec.open(f"{url}::file://{image}", "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == facts[path]["sha256"]
    with pytest.raises(UsageError):
        ZFSFileSystem(fo="x", target_protocol="http", skip_instance_cache=True)


def test_pickled(fs: Any) -> None:
    twin = pickle.loads(pickle.dumps(fs))
    assert twin.ls(HOME) == fs.ls(HOME)
    twin.close()


def test_encrypted(pools: Callable[[str], Any]) -> None:
    golden = pools("encrypted")
    locked = fsspec.filesystem("zfs", search=[str(golden.dir)], skip_instance_cache=True)
    assert "tank-encrypted/enc" in locked.ls("tank-encrypted", detail=False)
    with pytest.raises(PermissionError):
        locked.ls("tank-encrypted/enc")
    keyed = fsspec.filesystem("zfs", search=[str(golden.dir)], keys=golden.manifest["keys"], skip_instance_cache=True)
    assert keyed.ls("tank-encrypted/enc")
    locked.close()
    keyed.close()


@pytest.mark.parametrize("name", ["mkdir", "makedirs", "rmdir", "rm", "rm_file", "touch"])
def test_nothing_is_written(fs: Any, name: str) -> None:
    with pytest.raises(PermissionError):
        getattr(fs, name)(f"{HOME}/text")


def test_nothing_is_written_either(fs: Any, tmp_path: Path) -> None:
    for work in (
        lambda: fs.open(f"{HOME}/new", "wb"),
        lambda: fs.pipe(f"{HOME}/new", b"x"),
        lambda: fs.put(__file__, f"{HOME}/new"),
        lambda: fs.cp(f"{HOME}/text/t1.txt", f"{HOME}/new"),
        lambda: fs.mv(f"{HOME}/text/t1.txt", f"{HOME}/new"),
    ):
        with pytest.raises(PermissionError):
            work()
