"""``zpool iostat``: of a pool nobody has open, and of one another process is writing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uberblock.pool.cli.zpooliostat import Sample, rates, split_words
from uberblock.pool.env import Env
from uberblock.pool.errors import UsageError
from uberblock.pool.poolcreate import create_pool
from uberblock.pool.spa.iostat import VdevIo
from uberblock.pool.vdev.iostats import LeafIo

WRITER = """
import os, sys
from uberblock.pool import import_pool
from uberblock.pool.serve.control import ControlServer
with import_pool("tank", sys.argv[1], readonly=False) as pool, ControlServer(pool):
    with pool.fs().open("/file", "wb") as file:
        file.write(os.urandom(1 << 20))
    pool.sync()
    print("written", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def tank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    images = [str(tmp_path / f"{letter}.img") for letter in "abc"]
    create_pool("tank", ["raidz1", *images], size=64 << 20, env=Env.fixed(3)).close()
    return tmp_path


def test_a_pool_nobody_has_open(run, tank: Path) -> None:
    result = run("zpool", "iostat", "-v", "-d", tank, "tank")
    assert (result.status, result.err) == (0, "")
    head, names, rule, pool, top, *leaves = result.lines
    assert head.split() == ["capacity", "operations", "bandwidth"]
    assert names.split() == ["pool", "alloc", "free", "read", "write", "read", "write"] and set(rule) == {"-", " "}
    assert pool.split()[0] == "tank" and top.startswith("  raidz1-0 ") and leaves[0].startswith("    a.img ")
    assert int(run("zpool", "iostat", "-Hp", "-d", tank, "tank").out.split()[3]) > 0
    assert run("zpool", "iostat", "-y", "-d", tank, "tank").status == 2


def test_a_pool_that_is_being_written(run, tank: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "written\n"
        result = run("zpool", "iostat", "-jv", "--json-int", "-p", "-d", tank, "tank", "0.2", "1")
        found = json.loads(result.out)["pools"]["tank"]
        leaves = sum(one["write_bytes"] for one in found["vdevs"] if one["name"].endswith(".img"))
        assert found["write_bytes"] > 0 and abs(found["write_bytes"] - leaves) <= 3  # each is rounded
        assert found["flushes"] >= 0
        idle = run("zpool", "iostat", "-Hp", "-y", "-d", tank, "tank", "0.1", "2").lines
        assert len(idle) == 2 and all(line.split("\t")[4] == "0" for line in idle)
        writer.communicate()
    assert writer.returncode == 0


def test_txgs_of_a_pool_that_is_being_written(run, tank: Path) -> None:
    assert run("zpool", "txgs", "-d", tank, "tank").status == 1
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "written\n"
        header, *rows = run("zpool", "txgs", "-d", tank, "tank").lines
        assert header.split()[:4] == ["TXG", "STATE", "WHY", "DIRTY"] and rows[-1].split()[1] == "O"
        found = json.loads(run("zpool", "txgs", "-j", "-d", tank, "tank").out)
        done, now = found["txgs"][-2:]
        assert done["state"] == "C" and done["write_bytes"] > 0 and done["flushes"] > 0 and done["sync"] > 0
        assert now["txg"] == done["txg"] + 1 and found["zil"]["commits"] == 0
        exact = run("zpool", "txgs", "-Hp", "-l", "-n", "1", "-d", tank, "tank").lines
        assert exact[0].split("\t")[1] == "O" and exact[1].split("\t")[0] == "requests"
        writer.communicate()


def test_rates_are_differences_over_time() -> None:
    def sample(seconds: float, writes: int) -> Sample:
        return Sample(seconds, [VdevIo("tank", 1, 0, "", LeafIo(writes=writes)), VdevIo("logs", 0, 0, "logs", None)])

    first = rates(None, sample(4, 100))
    assert first[0].io == LeafIo(writes=25) and first[1].io is None
    assert rates(sample(4, 100), sample(6, 160))[0].io == LeafIo(writes=30)


def test_words() -> None:
    assert split_words(["tank"]) == (["tank"], None, None)
    assert split_words(["tank", "0.5"]) == (["tank"], 0.5, None)
    assert split_words(["5", "3"]) == ([], 5.0, 3)
    assert split_words(["17819557061801520753", "5"]) == (["17819557061801520753"], 5.0, None)
    for words in (["tank", "0"], ["tank", "1", "0"], ["tank", "1", "1.5"]):
        with pytest.raises(UsageError):
            split_words(words)
