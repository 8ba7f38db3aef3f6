"""Small writes into a block that waits: the same as all others, however the file changes in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uberblock.pool.env import Env
from uberblock.pool.errors import ReadOnlyError
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.zpl.patched import PatchedBlock

RECORD = 8 << 10
TOP = 6 * RECORD

places = st.integers(0, TOP)
STEPS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 1), places, st.integers(0, RECORD // 4 + 1)),
    st.tuples(st.just("next"), st.integers(0, 1), st.integers(1, 6), st.integers(1, 700)),
    st.tuples(st.just("undone"), st.integers(0, 1), places, st.integers(1, 700)),
    st.tuples(st.just("truncate"), st.integers(0, 1), places, st.just(0)),
    st.tuples(st.just("punch"), st.integers(0, 1), places, st.integers(1, RECORD)),
    st.tuples(st.sampled_from(["sync", "fsync", "chmod", "xattr", "crash"]), st.integers(0, 1), st.just(0), st.just(0)),
)


class Taken:
    """Counts the writes that were made the short way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        plain = PatchedBlock.write

        def write(block: PatchedBlock, offset: int, data: memoryview) -> bool:
            done = plain(block, offset, data)
            self.count += done
            return done

        monkeypatch.setattr(PatchedBlock, "write", write)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Taken:
    return Taken(monkeypatch)


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WritablePool]:
    props = {"recordsize": RECORD}
    made = create_pool(
        "tank", [str(tmp_path / "d0")], size=96 << 20, env=Env.fixed(5), txg_seconds=0, dataset_properties=props
    )
    with made:
        yield made


class Trial:
    """A file, two who have it open, and what must be in it now and after a crash."""

    def __init__(self, pool: WritablePool, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        pool.fs().write_bytes("/f", b"")
        self.content = bytearray()
        self.durable = b""
        self.stamp = 0
        self.open()
        self.sync()

    def open(self) -> None:
        self.files: list[Any] = [self.pool.fs().open("/f", "rb+") for _ in range(2)]

    def sync(self) -> None:
        self.pool.sync()
        self.durable = bytes(self.content)

    def bytes(self, count: int) -> bytes:
        self.stamp += 1
        return bytes((self.stamp + 7 * n) % 255 + 1 for n in range(count))

    def put(self, at: int, data: bytes) -> None:
        if data:
            self.content.extend(bytes(max(0, at + len(data) - len(self.content))))
            self.content[at : at + len(data)] = data

    def step(self, what: str, who: int, at: int, count: int) -> None:
        file, fs = self.files[who], self.pool.fs()
        if what == "write":
            data = self.bytes(count)
            assert file.pwrite(data, at) == count
            self.put(at, data)
        elif what == "next":
            file.seek(0, 2)
            for _ in range(at):
                data = self.bytes(count)
                self.put(len(self.content), data)
                file.write(data)
                file.seek(0, 2)
        elif what == "undone":
            with suppress(ZeroDivisionError), self.pool.transaction():
                file.pwrite(self.bytes(count), at)
                file.pwrite(self.bytes(count), at + 1)
                raise ZeroDivisionError
        elif what == "truncate":
            file.truncate(at)
            self.content = self.content[:at] + bytes(max(0, at - len(self.content)))
        elif what == "punch":
            file.punch(at, count)
            end = min(at + count, len(self.content))
            self.content[at:end] = bytes(max(0, end - at))
        elif what == "sync":
            self.sync()
        elif what == "fsync":
            file.fsync()
            self.durable = bytes(self.content)
        elif what == "chmod":
            fs.chmod("/f", 0o600 + self.stamp % 8)
        elif what == "xattr":
            fs.setxattr("/f", "user.x", self.bytes(self.stamp % 300 + 1))
        else:
            self.crash()
        self.check()

    def crash(self) -> None:
        self.pool.abandon()
        self.pool = open_pool("tank", [str(self.folder)], env=Env.fixed(self.stamp), txg_seconds=0)
        self.content = bytearray(self.durable)
        self.open()

    def check(self) -> None:
        fs = self.pool.fs()
        assert fs.read_bytes("/f") == self.content
        assert fs.stat("/f").size == len(self.content)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=30))
def test_against_a_model(tmp_path: Path, steps: list[tuple[str, int, int, int]]) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    props = {"recordsize": RECORD}
    pool = create_pool(
        "tank", [str(tmp_path / "d0")], size=64 << 20, env=Env.fixed(5), txg_seconds=0, dataset_properties=props
    )
    trial = Trial(pool, tmp_path)
    for step in steps:
        trial.step(*step)
    trial.crash()
    trial.check()
    assert trial.pool.verify().clean
    trial.pool.close()


def test_they_are_taken_the_short_way(pool: WritablePool, taken: Taken) -> None:
    with pool.fs().open("/f", "wb") as file:
        file.write(b"x" * 3 * RECORD)
        for number in range(32):
            file.pwrite(b"y" * 100, RECORD + 100 * number)
        assert taken.count == 31
        pool.sync()
        file.pwrite(b"z", RECORD)
        assert taken.count == 31, "another txg"
        file.pwrite(b"z", RECORD)
        assert taken.count == 32
        with pool.transaction():
            file.pwrite(b"z", RECORD)
        assert taken.count == 32, "inside of a transaction they can be taken back"
    assert pool.fs().read_bytes("/f") == b"x" * RECORD + b"z" + b"y" * 3199 + b"x" * (2 * RECORD - 3200)


def test_times_follow(pool: WritablePool, taken: Taken) -> None:
    now = [1.7e9]
    pool.fs().filesystem.clock = lambda: int(now[0] * 1e9)
    with pool.fs().open("/f", "wb") as file:
        file.write(b"x" * RECORD)
        for number in range(3):
            now[0] += 60
            file.pwrite(b"y", number)
            found = pool.fs().stat("/f")
            assert found.mtime_ns == found.ctime_ns == int(now[0] * 1e9)
    assert taken.count == 2


def test_a_file_system_that_is_read_only_now(pool: WritablePool, taken: Taken) -> None:
    with pool.fs().open("/f", "wb") as file:
        file.write(b"x" * RECORD)
        for number in range(3):
            file.pwrite(b"y", number)
        pool.set("tank", "readonly", "on")
        with pytest.raises(ReadOnlyError):
            file.pwrite(b"z", 0)
        pool.set("tank", "readonly", "off")
    assert taken.count == 2 and pool.fs().read_bytes("/f") == b"yyy" + b"x" * (RECORD - 3)


@pytest.mark.parametrize("sync", ["always", "disabled"])
def test_the_property_sync(pool: WritablePool, taken: Taken, tmp_path: Path, sync: str) -> None:
    """With ``always`` each is in the log; with ``disabled`` none is, and not those after it either before a txg."""
    pool.fs().write_bytes("/f", b"x" * RECORD)
    pool.set("tank", "sync", sync)
    pool.sync()
    with pool.fs().open("/f", "rb+") as file:
        for number in range(5):
            file.pwrite(b"y", number)
        assert taken.count == 4
        if sync == "disabled":
            pool.set("tank", "sync", "standard")
            file.pwrite(b"y", 5)
            file.fsync()
        pool.abandon()
    with open_pool("tank", [str(tmp_path)], env=Env.fixed(6), txg_seconds=0) as again:
        want = b"y" * (5 if sync == "always" else 6)
        assert again.fs().read_bytes("/f") == want + b"x" * (RECORD - len(want))


def test_threads_in_one_block(pool: WritablePool, taken: Taken) -> None:
    """Each byte is who wrote it last, and the size is what the furthest write made it."""
    pool.fs().write_bytes("/f", b"\0" * RECORD)

    def work(who: int) -> None:
        with pool.fs().open("/f", "rb+") as file:
            for number in range(300):
                file.pwrite(bytes([who + 1]) * 16, who * 1024 + number % 64 * 16)
                if number % 50 == who:
                    file.fsync()

    threads = [Thread(target=work, args=(who,)) for who in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    want = b"".join(bytes([who + 1]) * 1024 for who in range(4)) + bytes(4096)
    assert pool.fs().read_bytes("/f") == want and taken.count > 0
