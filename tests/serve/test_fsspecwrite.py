"""The fsspec adapter, writing: fsspec's own tests over a real pool, and what is this one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

fsspec = pytest.importorskip("fsspec", reason="the extra 'fsspec' is not installed")

from fsspec.tests.abstract import (  # noqa: E402
    AbstractCopyTests,
    AbstractFixtures,
    AbstractGetTests,
    AbstractOpenTests,
    AbstractPipeTests,
    AbstractPutTests,
)
from uberblock.pool import import_pool  # noqa: E402
from uberblock.pool.env import Env  # noqa: E402
from uberblock.pool.errors import NotEmptyError, ReadOnlyError, UsageError  # noqa: E402
from uberblock.pool.poolcreate import create_pool  # noqa: E402
from uberblock.pool.serve.fsspec import ZFSFileSystem  # noqa: E402

fsspec.register_implementation("zfs", ZFSFileSystem, clobber=True)


def make(folder: Path) -> None:
    with create_pool("tank", [str(folder / "a.img")], size=64 << 20, env=Env.fixed(5)) as pool:
        pool.create_filesystem("tank/data")
        pool.create_volume("tank/vol", 1 << 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path)
    return tmp_path


def opened(folder: Path, **options: Any) -> Any:
    return fsspec.filesystem("zfs", search=[str(folder)], readonly=False, skip_instance_cache=True, **options)


@pytest.fixture
def fs(folder: Path) -> Iterator[Any]:
    found = opened(folder)
    yield found
    found.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One pool for all of fsspec's tests, which clear away what they made."""
    folder = tmp_path_factory.mktemp("pool")
    make(folder)
    found = opened(folder)
    yield found
    found.close()


class OverPool(AbstractFixtures):
    """A place for fsspec's tests."""

    @pytest.fixture
    def fs(self, shared: Any) -> Any:
        return shared

    @pytest.fixture
    def fs_path(self) -> str:
        return "tank/data"


class TestCopy(OverPool, AbstractCopyTests): ...


class TestGet(OverPool, AbstractGetTests): ...


class TestPut(OverPool, AbstractPutTests): ...


class TestPipe(OverPool, AbstractPipeTests): ...


class TestOpen(OverPool, AbstractOpenTests): ...


def test_modes(fs: Any) -> None:
    with fs.open("tank/data/a", "w") as text:
        text.write("one\n")
    with fs.open("tank/data/a", "a") as text:
        text.write("two\n")
    assert fs.cat("tank/data/a") == b"one\ntwo\n"
    with fs.open("tank/data/a", "r+b") as file:
        file.seek(1)
        file.write(b"NE")
        file.seek(0)
        assert file.read() == b"oNE\ntwo\n"
    with pytest.raises(FileExistsError):
        fs.open("tank/data/a", "xb")
    with pytest.raises(FileNotFoundError):
        fs.open("tank/data/b", "r+b")
    with pytest.raises(IsADirectoryError):
        fs.open("tank/data", "wb")
    with pytest.raises(UsageError):
        fs.open("tank/data/a", "zb")


def test_names(fs: Any) -> None:
    fs.pipe("tank/data/d/e/f", b"x")
    with pytest.raises(FileNotFoundError):
        opened_strictly = type(fs)(search=fs._search, readonly=False, auto_mkdir=False, skip_instance_cache=True)
        opened_strictly._pools = fs._pools
        opened_strictly.touch("tank/data/none/f")
    fs.mkdir("tank/data/m", create_parents=False)
    with pytest.raises(FileExistsError):
        fs.mkdir("tank/data/m")
    with pytest.raises(FileExistsError):
        fs.makedirs("tank/data")
    with pytest.raises(FileNotFoundError):
        fs.mkdir("tank/data/n/o", create_parents=False)
    with pytest.raises(NotEmptyError):
        fs.rmdir("tank/data/d")
    fs.mv("tank/data/d", "tank/data/m", recursive=True)
    assert fs.find("tank/data") == ["tank/data/m/d/e/f"]
    with pytest.raises(IsADirectoryError):
        fs.mv("tank/data/m/d", "tank/there")
    fs.mv("tank/data/m/d", "tank/there", recursive=True)  # another dataset
    assert fs.find("tank/there") == ["tank/there/e/f"] and fs.cat("tank/there/e/f") == b"x"
    with pytest.raises(IsADirectoryError):
        fs.rm("tank/there")
    fs.rm("tank/there", recursive=True)
    assert not fs.exists("tank/there") and fs.ls("tank/data/m") == []
    for call in (fs.rm_file, fs.rmdir, lambda path: fs.mv(path, "tank/x"), fs.touch):
        with pytest.raises(UsageError):
            call("tank/data")


def test_touch(fs: Any) -> None:
    fs.pipe("tank/data/t", b"abc")
    before = fs.info("tank/data/t")["mtime_ns"]
    fs.touch("tank/data/t", truncate=False)
    assert fs.cat("tank/data/t") == b"abc" and fs.info("tank/data/t")["mtime_ns"] > before
    fs.touch("tank/data/t")
    assert fs.info("tank/data/t")["size"] == 0


def test_volumes(fs: Any) -> None:
    with fs.open("tank/vol", "r+b") as file:
        file.seek(5000)
        file.write(b"sector")
    assert fs.cat_file("tank/vol", 5000, 5006) == b"sector" and fs.info("tank/vol")["size"] == 1 << 20
    with pytest.raises(UsageError):
        fs.open("tank/vol", "wb")
    with pytest.raises(NotADirectoryError):
        fs.pipe("tank/vol/x", b"")


def test_a_transaction_is_one_txg_or_nothing(fs: Any, folder: Path) -> None:
    with fs.transaction:
        fs.pipe("tank/data/1", b"1")
        with fs.open("tank/2", "wb") as file:
            file.write(b"2")
    with pytest.raises(ZeroDivisionError), fs.transaction:
        fs.rm("tank/2")
        fs.pipe("tank/data/1", b"changed")
        fs.open("tank/data/3", "wb").write(b"3")
        raise ZeroDivisionError
    assert fs.cat("tank/data/1") == b"1" and fs.cat("tank/2") == b"2" and not fs.exists("tank/data/3")
    txg = fs.pool("tank").txg
    fs.sync()
    assert fs.pool("tank").txg > txg
    fs.pipe("tank/later", b"")  # outside of it, as ever
    fs.close()
    with import_pool("tank", folder) as pool:
        assert pool.fs("tank").open("/2").read() == b"2" and pool.fs("tank").exists("/later")


def test_what_is_never_written(folder: Path) -> None:
    reading = fsspec.filesystem("zfs", search=[str(folder)], skip_instance_cache=True)
    with pytest.raises(ReadOnlyError, match="readonly=False"):
        reading.pipe("tank/x", b"")
    reading.sync()
    reading.close()
    with pytest.raises(UsageError):
        opened(folder, txg=4)


def test_urls(folder: Path) -> None:
    url = "zfs://tank/data/new.txt"
    with fsspec.open(url, "w", search=[str(folder)], readonly=False) as file:
        file.write("hello")
    fsspec.filesystem("zfs", search=[str(folder)], readonly=False).close()
    with fsspec.open(url, search=[str(folder)], skip_instance_cache=True) as file:
        assert file.read() == b"hello"
