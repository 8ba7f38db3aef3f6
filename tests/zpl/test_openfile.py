"""Files that are open while their file system changes, and the time they were read last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.env import Env
from uberblock.pool.errors import NoSpaceError
from uberblock.pool.poolcreate import create_pool

DAY = 24 * 3600


class Clock:
    """A clock that is set by hand."""

    now = 1_600_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(tmp_path: Path, clock: Clock) -> Iterator[Any]:
    env = replace(Env.fixed(4), clock=clock)
    with create_pool("tank", [str(tmp_path / "a.img")], size=64 << 20, env=env) as found:
        found.fs().write_bytes("/file", b"content")
        yield found


def read(pool: Any, path: str = "/file") -> None:
    assert pool.fs().read_bytes(path)


def atime(pool: Any, path: str = "/file") -> float:
    return float(pool.fs().stat(path).atime_ns / 1e9)


def test_relatime(pool: Any, clock: Clock) -> None:
    clock.now += 10
    read(pool)
    assert atime(pool) == clock.now  # it was written since it was read last
    first = clock.now
    changed = pool.fs().stat("/file").ctime_ns
    clock.now += DAY - 1
    read(pool)
    assert atime(pool) == first
    clock.now += 1
    read(pool)
    assert atime(pool) == clock.now
    assert pool.fs().stat("/file").ctime_ns == changed


def test_every_time_or_never(pool: Any, clock: Clock) -> None:
    pool.set("tank", "relatime", "off")
    for _ in range(2):
        clock.now += 1
        read(pool)
        assert atime(pool) == clock.now
    pool.set("tank", "atime", "off")
    before = atime(pool)
    clock.now += DAY
    read(pool)
    assert list(pool.fs().scandir("/")) and atime(pool) == before
    txg = pool.sync()
    read(pool)
    assert pool.sync() == txg  # reading writes nothing


def test_what_was_not_read(pool: Any, clock: Clock) -> None:
    clock.now += 10
    before = atime(pool)
    pool.fs().open("/file").close()
    with pool.fs().open("/file", "ab") as file:
        file.write(b"more")
    assert atime(pool) == before
    with pool.fs().open("/file", "rb+") as file:
        assert file.read(4) == b"cont"
    assert atime(pool) == clock.now


def test_directories(pool: Any, clock: Clock) -> None:
    clock.now += 10
    assert pool.fs().listdir("/") == ["file"] and atime(pool, "/") == clock.now
    clock.now += DAY
    assert [entry.name for entry in pool.fs().scandir("/")] == ["file"] and atime(pool, "/") == clock.now


def test_a_full_pool_is_read_on(pool: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise NoSpaceError("the pool is full")

    pool.sync()
    before = atime(pool)
    clock.now += 10
    monkeypatch.setattr(pool.fs().filesystem, "change", full)
    read(pool)
    assert atime(pool) == before


def test_a_file_outlives_its_name(pool: Any) -> None:
    """One that is open for reading only was freed with its last name, and its object could become another's."""
    file = pool.fs().open("/file")
    pool.fs().unlink("/file")
    pool.sync()
    for number in range(40):
        pool.fs().write_bytes(f"/{number}", b"other")
    pool.sync()
    assert file.read() == b"content"
    file.close()
    assert not pool.fs().filesystem.unlinked()


def test_a_file_that_grows_while_it_is_read(pool: Any) -> None:
    with pool.fs().open("/file") as file:
        assert file.read() == b"content"
        with pool.fs().open("/file", "ab") as more:
            more.write(b"more")
        assert file.read() == b"more"


def test_closed_when_its_removal_was_taken_back(pool: Any) -> None:
    fs = pool.fs()
    file = fs.open("/file", "rb")
    with pytest.raises(KeyError), pool.transaction():
        fs.unlink("/file")
        raise KeyError
    file.close()
    assert fs.read_bytes("/file") == b"content" and not fs.filesystem.unlinked()


def test_closed_in_a_transaction_that_is_taken_back(pool: Any) -> None:
    """Its space comes back all the same, at the next closing."""
    fs = pool.fs()
    file = fs.open("/file", "rb")
    fs.unlink("/file")
    [number] = fs.filesystem.unlinked()
    with pytest.raises(KeyError), pool.transaction():
        file.close()
        assert not fs.filesystem.unlinked()
        raise KeyError
    assert fs.filesystem.unlinked() == [number]
    fs.filesystem.hold(number)
    fs.filesystem.release(number)
    assert not fs.filesystem.unlinked()


def test_space_by_owner_is_not_read_while_it_is_counted(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A txg that is being written is waited for: its thread changes the figures without the lock."""
    filesystem = pool.fs().filesystem
    waited: list[bool] = []
    original = filesystem.tx.wait
    monkeypatch.setattr(filesystem.tx, "wait", lambda: waited.append(True) or original())
    pool.sync()
    before = filesystem.used("user")
    assert waited and filesystem.quotas("user") == {}
    pool.fs().write_bytes("/more", os.urandom(100_000))
    pool.sync()
    assert sum(filesystem.used("user").values()) >= sum(before.values()) + 100_000
