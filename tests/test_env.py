"""The world: the real one has a name and a clock, the fixed one repeats itself."""

from __future__ import annotations

import struct
import time
from pathlib import Path

from uberblock.pool.env import Env, read_hostid, state_folder


def test_the_fixed_world_repeats_itself() -> None:
    first, again, other = Env.fixed(7), Env.fixed(7), Env.fixed(8)
    assert [first.guid() for _ in range(5)] == [again.guid() for _ in range(5)]
    assert first.random_bytes(32) == again.random_bytes(32) != other.random_bytes(32)
    assert first.now() == again.now() == first.now()
    assert (first.hostname, first.hostid) == ("localhost", 0)


def test_guids_are_new_and_not_zero() -> None:
    numbers = iter([bytes(8), b"\1" + bytes(7), b"\2" + bytes(7)])
    env = Env(random_bytes=lambda size: next(numbers))
    assert env.guid(taken={1}) == 2
    real = Env.host()
    assert len({real.guid() for _ in range(100)}) == 100


def test_the_real_world() -> None:
    env = Env.host()
    assert env.hostname
    assert abs(env.now() - time.time()) < 5
    assert 0 <= env.hostid < 1 << 32


def test_hostid(tmp_path: Path) -> None:
    module, file = tmp_path / "module", tmp_path / "file"
    assert read_hostid(str(module), str(file)) == 0
    file.write_bytes(struct.pack("=I", 0xBAB10C))
    assert read_hostid(str(module), str(file)) == 0xBAB10C
    module.write_text("0\n")
    assert read_hostid(str(module), str(file)) == 0xBAB10C
    module.write_text("12235020\n")
    assert read_hostid(str(module), str(file)) == 12235020
    module.write_text("nonsense")
    file.write_bytes(b"ab")
    assert read_hostid(str(module), str(file)) == 0


def test_state_folder(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "uberblock"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert state_folder() == tmp_path / "me" / ".local" / "state" / "uberblock"
