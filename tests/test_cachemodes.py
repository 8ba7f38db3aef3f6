"""Cache modes of a whole pool: what each asks of the operating system, and what is said of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import cannot_run, program_or_skip
from uberblock.pool import create_pool, import_pool
from uberblock.pool.cli.main import main
from uberblock.pool.device.cachemode import CACHE_MODES
from uberblock.pool.device.direct import DirectFileDevice
from uberblock.pool.env import Env
from uberblock.pool.errors import DeviceError, UsageError


def needs_direct(folder: Path, mode: str) -> None:
    if mode in ("none", "directsync"):
        (folder / "probe").write_bytes(bytes(8192))
        try:
            DirectFileDevice(folder / "probe").close()
        except DeviceError as error:
            assert error.errno == errno.EINVAL
            pytest.skip("this file system has no direct I/O")


@pytest.mark.parametrize("mode", CACHE_MODES)
def test_a_pool_in_every_mode(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pool comes out, and flushes are what the mode says."""
    needs_direct(tmp_path, mode)
    calls: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: calls.append(fd) or real(fd))
    paths = [str(tmp_path / f"{name}.img") for name in "abc"]
    env = Env.fixed(7)
    with create_pool("tank", ["raidz1", *paths], size=64 << 20, env=env, cache=mode, txg_seconds=0) as pool:
        pool.fs().write_bytes("first", b"x")
        pool.sync()  # which also writes labels
        calls.clear()
        for number in range(5):
            pool.fs().write_bytes(f"f{number}", bytes([number]) * 100_000)
        assert not calls
        pool.sync()
        barriers = len(calls)
        assert bool(barriers) == (mode in ("writeback", "none"))
        assert barriers % len(paths) == 0
        for number in range(30):
            pool.fs().write_bytes(f"g{number}", bytes([number]) * 3000)
        pool.sync()
        assert len(calls) == 2 * barriers, "a txg's barriers depend on what it holds"
        assert ("unsafe" in str(pool.status())) == (mode == "unsafe")
        assert any("unsafe" in note for note in pool.notes) == (mode == "unsafe")
    with import_pool("tank", search=paths, cache=mode) as pool:
        assert pool.fs("tank").read_bytes("f3") == b"\3" * 100_000
        assert "unsafe" not in str(pool.status()), "what is only read cannot be lost"
    assert [Path(path).stat().st_size for path in paths] == [64 << 20] * 3


def test_every_mode_writes_the_same_bytes(tmp_path: Path) -> None:
    needs_direct(tmp_path, "none")
    images = []
    for mode in CACHE_MODES:
        path = tmp_path / "disk.img"
        with create_pool("tank", [str(path)], size=64 << 20, env=Env.fixed(3), cache=mode, txg_seconds=0) as pool:
            pool.fs().write_bytes("a", b"content" * 9000)
        images.append(path.read_bytes())
        path.unlink()
    assert all(image == images[0] for image in images)


def test_an_unknown_mode(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="directsync"):
        create_pool("tank", [str(tmp_path / "a.img")], size=64 << 20, cache="fast")
    assert not (tmp_path / "a.img").exists()
    with pytest.raises(UsageError, match="directsync"):
        import_pool("tank", search=[tmp_path], cache="fast")


def test_commands_take_a_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs_direct(tmp_path, "directsync")
    disk, source = str(tmp_path / "a.img"), tmp_path / "file"
    source.write_bytes(b"x" * 50_000)
    assert main(["zpool", "create", "--cache", "none", "--size", "64M", "tank", disk]) == 0
    assert main(["cp", "--cache", "directsync", "-d", disk, str(source), "tank:/file"]) == 0
    assert main(["verify", "--cache", "none", "-d", disk, "tank"]) == 0
    assert main(["zpool", "history", "-d", disk, "tank"]) == 0
    assert "--cache" not in capsys.readouterr().out
    assert main(["zpool", "status", "--cache", "fast", "-d", disk]) == 2


COMMITS = """
import os, sys
from uberblock.pool import create_pool
pool = create_pool("tank", sys.argv[1:], size=64 << 20, txg_seconds=0)
with pool.fs().open("/file", "wb") as file:
    file.fsync()
    os.getpgid(0)
    for number in range(10):
        file.write(b"x" * 1000)
        file.fsync()
    os.getpgid(0)
pool.abandon()
"""

TRACED = """
import os, sys, time
from uberblock.pool import create_pool
def phase(): os.getpgid(0)
pool = create_pool("tank", sys.argv[1:], size=64 << 20, txg_seconds=0.25)
pool.sync()
phase()
time.sleep(0.7)
phase()
before = pool.txg
for number in range(40):
    pool.fs().write_bytes("f%d" % number, bytes([number]) * 5000)
    time.sleep(0.015)
time.sleep(0.4)
phase()
print(pool.txg - before)
pool.abandon()
"""


def traced(tmp_path: Path, script: str, *words: str) -> tuple[str, list[list[str]]]:
    """What a script prints, and its barriers, phase by phase."""
    strace = program_or_skip("strace", "strace")
    log = tmp_path / "log"
    command = [strace, "-f", "-qq", "-e", "trace=fdatasync,fsync,sync_file_range,msync,getpgid", "-o", str(log)]
    result = subprocess.run(
        [*command, sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )
    if "PTRACE" in result.stderr or "ptrace" in result.stderr:
        cannot_run("strace may not trace here")
    assert result.returncode == 0, result.stderr
    phases: list[list[str]] = [[]]
    for line in log.read_text().splitlines():
        call = line.split(maxsplit=1)[1]
        if call.startswith("getpgid"):
            phases.append([])
        elif "resumed" not in call:
            phases[-1].append(call)
    return result.stdout, phases


def test_strace_sees_one_barrier_for_a_commit(tmp_path: Path) -> None:
    _, (_, commits, _) = traced(tmp_path, COMMITS, "mirror", str(tmp_path / "a.img"), str(tmp_path / "b.img"))
    assert len(commits) == 10 * 2 and all(call.startswith("fdatasync") for call in commits)


def test_strace_sees_one_group_of_barriers_for_a_txg(tmp_path: Path) -> None:
    """An idle pool asks for nothing; a busy one asks each disk a few times a txg, however many writes there were."""
    disks = [str(tmp_path / name) for name in ("a.img", "b.img")]
    said, (_, idle, busy, _) = traced(tmp_path, TRACED, "mirror", *disks)
    txgs = int(said)
    assert idle == []
    assert 2 <= txgs < 20
    assert all(call.startswith("fdatasync") for call in busy)
    each, rest = divmod(len(busy), txgs)
    assert not rest and 2 * len(disks) <= each <= 5 * len(disks), f"{len(busy)} barriers in {txgs} txgs"

