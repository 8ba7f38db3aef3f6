"""How long writers are held up, and the thread that writes txgs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool import create_pool
from uberblock.pool.spa.txgthread import DELAY_FROM, DELAY_MAX, DELAY_MIDDLE, TxgThread, delay

MIB = 1 << 20


@given(st.integers(1, 1 << 40), st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted))
def test_the_more_waits_the_longer(limit: int, shares: list[float]) -> None:
    less, more = (delay(int(share * limit), limit) for share in shares)
    assert more is None or (less is not None and 0 <= less <= more <= DELAY_MAX)


def test_where_it_begins_and_ends() -> None:
    limit = 1000 * MIB
    assert delay(0, limit) == delay(int(DELAY_FROM * limit), limit) == 0.0
    assert delay(800 * MIB, limit) == pytest.approx(DELAY_MIDDLE), "half-way between 600 and 1000"
    assert delay(limit - 1, limit) == DELAY_MAX
    assert delay(limit, limit) is None and delay(0, 0) is None


def test_the_thread() -> None:
    calls: list[str] = []
    twice = threading.Event()

    def write(why: str) -> bool:
        calls.append(why)
        if len(calls) == 2:
            twice.set()
        return True

    thread = TxgThread(write, 0.02)
    assert twice.wait(10)
    thread.stop()
    assert set(calls) == {"time"}
    seen = len(calls)
    time.sleep(0.05)
    assert len(calls) == seen, "it has stopped"
    calls.clear()
    twice.clear()
    thread = TxgThread(write, 3600)
    for _ in range(200):
        thread.wake()
        if twice.wait(0.05):
            break
    thread.stop()
    assert calls[:2] == ["dirty", "dirty"]


def test_writers_are_held_up_rather_than_memory_filled(tmp_path: Path) -> None:
    """What waits stays below the limit, and txgs are written before it is reached."""
    limit = 4 * MIB
    with create_pool("tank", [str(tmp_path / "d")], size=160 * MIB, txg_seconds=3600, dirty_max=limit) as pool:
        fs, tx, most = pool.fs(), pool.engine.tx, 0
        for number in range(400):
            fs.write_bytes(f"/f{number}", bytes([number % 255 + 1]) * 60_000)
            most = max(most, tx.waiting.dirty_bytes + tx.closed.dirty_bytes)
        assert limit // 2 <= most <= limit + 200_000
        whys = {one.why for one in pool.txg_history()[1:-1]}
        assert "dirty" in whys and pool.txg_history()[-1].txg > 8
        assert all(fs.read_bytes(f"/f{number}") == bytes([number % 255 + 1]) * 60_000 for number in range(400))
