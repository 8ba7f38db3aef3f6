"""Threads that change a pool while its txgs are written in the background, and what a crash leaves of that.

No run is like the other here, since threads and a clock decide; what must hold holds for each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from uberblock.pool.alloc.allocator import Allocator
from uberblock.pool.dmu.tx import TxManager
from uberblock.pool.env import Env
from uberblock.pool.errors import NoSpaceError, NotFoundError, PoolError, UsageError
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.crash import Plan, States, enumerate_states, sample
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.engine import Engine

THREADS, ROUNDS = 3, 40
DONE, LOGGED, BOOKED = "done", "logged", "booked"


def content(thread: int, number: int) -> bytes:
    return f"{thread} {number} ".encode() * (1 + number * 37 % 900)


def one_round(pool: WritablePool, journal: Journal, thread: int, number: int, book: Any) -> None:
    a, b = pool.fs("tank/a"), pool.fs("tank/b")
    for line in range(4 * number - 3, 4 * number + 1):
        book.pwrite(line.to_bytes(8, "little"), 8 * line)
    if number % 3 == thread:
        book.fsync()
        journal.mark(BOOKED, thread=thread, number=number)
    with pool.transaction():
        a.write_bytes(f"/{thread}/count", str(number).encode())
        a.write_bytes(f"/{thread}/file{number % 5}", content(thread, number))
        if number % 7 == 3:
            a.remove(f"/{thread}/file{(number - 2) % 5}")
        b.write_bytes(f"/{thread}/count", str(number).encode())
    if number % 9 == thread:
        pool.sync()
        journal.mark(DONE, thread=thread, number=number)
    if number % 4 == 1:
        a.write_bytes(f"/{thread}/log", str(number).encode())
        a.fsync(f"/{thread}/log")
        journal.mark(LOGGED, thread=thread, number=number)
    if thread == 0 and number % 8 == 5:
        name = f"tank/more{number}"
        pool.create_filesystem(name).write_bytes("/x", b"x" * 5000)
        pool.set(name, "compression", "zstd")
        if number % 16 == 5:
            pool.destroy(name)


def record(layout: str, **more: float) -> Journal:
    journal = Journal()
    _, words = make_disks(layout, journal)
    pool = create_pool("tank", words, ashift=12, env=Env.fixed(1), **more)  # type: ignore[arg-type]
    for name in ("a", "b"):
        fs = pool.create_filesystem(f"tank/{name}")
        for thread in range(THREADS):
            fs.mkdir(f"/{thread}")
            fs.write_bytes(f"/{thread}/book", bytes(8 << 10))
    pool.sync()
    journal.mark(DONE, thread=-1, number=0)

    def work(thread: int) -> None:
        with pool.fs("tank/a").open(f"/{thread}/book", "rb+") as book:
            for number in range(1, ROUNDS + 1):
                one_round(pool, journal, thread, number, book)

    with ThreadPoolExecutor(THREADS) as threads:
        for done in [threads.submit(work, thread) for thread in range(THREADS)]:
            done.result()
    for thread in range(THREADS):
        assert check(pool, thread) == booked(pool, thread) == ROUNDS
    pool.abandon()
    return journal


def count_in(pool: WritablePool, path: str, fs: str = "tank/a") -> int:
    try:
        return int(pool.fs(fs).read_bytes(path) or b"0")
    except NotFoundError:
        return 0


def booked(pool: WritablePool, thread: int) -> int:
    """Rounds whose lines are in the book, which was written line by line."""
    lines = np.frombuffer(pool.fs("tank/a").read_bytes(f"/{thread}/book"), "<u8")
    count = int(np.count_nonzero(lines))
    assert np.array_equal(lines[: count + 1], np.arange(count + 1)), "small writes are there in their order"
    return count // 4


def check(pool: WritablePool, thread: int) -> int:
    """What one thread left is what it had made at one moment; gives which."""
    number = count_in(pool, f"/{thread}/count")
    assert count_in(pool, f"/{thread}/count", "tank/b") == number, "a transaction over two datasets"
    for slot in range(5):
        last = number - (number - slot) % 5
        path = f"/{thread}/file{slot}"
        gone = any(n % 7 == 3 and n - 2 == last for n in range(last + 1, number + 1))
        if last <= 0 or gone:
            with pytest.raises(NotFoundError):
                pool.fs("tank/a").read_bytes(path)
        else:
            assert pool.fs("tank/a").read_bytes(path) == content(thread, last)
    return number


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mirrored-log", "raidz1"])
def test_crashes(layout: str) -> None:
    journal = record(layout, txg_seconds=0.03, dirty_max=256 << 10)
    start = next(number for number, mark in journal.marks() if mark.text == DONE)
    every = list(enumerate_states(journal, Plan(seed=3, random_sets=1), start=start + 1))
    states = States(journal)
    for state in sorted(sample(every, 40, 3), key=lambda one: one.cut):
        disks = states.disks(state)
        promised = {(mark.text, mark.facts["thread"]): mark.facts["number"] for _, mark in journal.marks(state.cut)}
        with open_pool(None, disks, env=Env.fixed(2), txg_seconds=0, force=True) as pool:
            for thread in range(THREADS):
                number, logged = check(pool, thread), count_in(pool, f"/{thread}/log")
                assert number >= promised.get((DONE, thread), 0), state
                assert logged >= promised.get((LOGGED, thread), 0), state
                assert booked(pool, thread) >= promised.get((BOOKED, thread), 0), state
        for disk in disks:
            disk.reopen()
        assert list(examine(disks).problems) == [], state


def test_a_txg_takes_changes_while_the_one_before_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are changed while a txg cannot go on; what needs it waits."""
    with create_pool("tank", [str(tmp_path / "d")], size=80 << 20, txg_seconds=3600) as pool:
        fs = pool.fs()
        fs.write_bytes("/a", b"first")
        held, reached = threading.Event(), threading.Event()
        take = Allocator.take_changes

        def waits(self: Allocator, txg: int | None = None) -> object:
            reached.set()
            assert held.wait(20)
            return take(self, txg)

        with ThreadPoolExecutor(3) as threads:
            with monkeypatch.context() as patch:
                patch.setattr(Allocator, "take_changes", waits)
                writing = threads.submit(pool.sync)
                assert reached.wait(20)
                fs.write_bytes("/a", b"second")
                fs.write_bytes("/b", bytes(1 << 20) + b"end")
                fs.mkdir("/d")
                fs.rename("/b", "/d/b")
                assert fs.read_bytes("/a") == b"second" and [one.state for one in pool.txg_history()[-2:]] == ["S", "O"]
                made = threads.submit(pool.create_filesystem, "tank/more")
                other = threads.submit(pool.sync)
                assert not writing.done() and not made.done() and not other.done()
                held.set()
                assert other.result(20) > writing.result(20)
            made.result(20)
        assert fs.read_bytes("/a") == b"second" and fs.read_bytes("/d/b")[-3:] == b"end"
    with open_pool("tank", [str(tmp_path)]) as pool:
        assert pool.fs().read_bytes("/a") == b"second" and pool.fs("tank/more").listdir("/") == []
    assert list(examine([str(tmp_path / "d")]).problems) == []


def test_a_failed_txg_is_told_to_all_who_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = create_pool("tank", [str(tmp_path / "d")], size=80 << 20, txg_seconds=3600)
    pool.fs().write_bytes("/a", b"first")
    reached, held = threading.Event(), threading.Event()

    def fails(self: Engine) -> None:
        reached.set()
        assert held.wait(20)
        raise PoolError("no")

    monkeypatch.setattr(Engine, "_flush_tree", fails)
    calls: list[Callable[[], object]] = [pool.sync, lambda: pool.create_filesystem("tank/x")]
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(pool.sync)
        assert reached.wait(20)
        waiting = [threads.submit(call) for call in calls]
        held.set()
        with pytest.raises(PoolError, match="no"):
            first.result(20)
        for one in waiting:
            with pytest.raises(UsageError, match="suspended"):
                one.result(20)
    pool.abandon()


def test_the_writers_of_txgs_are_told_apart() -> None:
    tx = TxManager(7)
    with tx.lock:
        assert tx.close() == 7
    seen = (tx.txg, tx.final, tx.active)

    def elsewhere() -> None:
        assert (tx.txg, tx.final, tx.active) == (8, False, False)
        with tx.transaction():
            assert (tx.txg, tx.final, tx.active) == (8, False, True)
        assert not tx.active, "its transaction is over, though a txg is being written"

    with ThreadPoolExecutor(1) as other:
        other.submit(elsewhere).result()
    assert seen == (7, True, True)
    tx.written()
    assert (tx.txg, tx.final, tx.active) == (8, False, False)


def test_quotas_hold_while_txgs_are_written(tmp_path: Path) -> None:
    """What waits, what is being written and what is used are never counted too little, nor for long too much."""
    quota = 8 << 20
    with create_pool(
        "tank", [str(tmp_path / "d")], size=256 << 20, txg_seconds=0.02, dirty_max=2 << 20, env=Env.host()
    ) as pool:
        fs = pool.create_filesystem("tank/a", {"quota": quota, "compression": "off"})
        rng, written = Random(5), 0
        with pytest.raises(NoSpaceError, match="quota"):
            for number in range(1000):
                fs.write_bytes(f"/f{number}", rng.randbytes(50_000))
                written += 50_000
        pool.sync()
        used = pool.dataset("tank/a").used
        assert quota * 7 // 8 < used <= quota + 100_000
        for name in ("/f0", "/f1", "/f2", "/f3"):
            fs.remove(name)
        pool.sync()
        fs.write_bytes("/again", rng.randbytes(40_000))
