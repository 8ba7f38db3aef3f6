"""``zdb -b``, ``-c`` and ``-m``: line by line what zdb prints, and exit statuses that tell more."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import pool_kinds
from forge import Forger, Source
from uberblock.pool import import_pool
from uberblock.pool.cli import zdbblocks
from uberblock.pool.cli.histogram import histogram_lines
from uberblock.pool.spa.metaslabs import VdevMaps

#: What is not compared: zdb leaves the logs out of what classes use, and tells how large mappings are in memory.
OWN = re.compile(r"^\t((Normal|Special|Dedup|Log|Embedded log) class|indirect vdev id)")


def zdb(program: str, golden: Any, *words: str) -> list[str]:
    command = [program, "-e", "-p", str(golden.dir), *words, golden.manifest["pool"]]
    text = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    return text.splitlines()


def lines(found: list[str]) -> list[str]:
    return [line for line in found if not OWN.match(line)]


@pytest.mark.judge
@pytest.mark.parametrize(("kind", "option"), [("mirror", "-bbbb"), ("ganging", "-bbbbcc"), ("removal", "-bbc")])
def test_blocks_as_zdb_prints_them(run, pools, judge, kind: str, option: str) -> None:
    golden = pools(kind)
    ours = run("zdb", "-p", golden.dir, option, golden.manifest["pool"])
    assert ours.status == 0
    assert lines(ours.lines) == lines(zdb(judge("zdb"), golden, option))


@pytest.mark.judge
@pytest.mark.parametrize(("kind", "option"), [("log-spacemap", "-m"), ("draid", "-mm"), ("version28", "-mmm")])
def test_metaslabs_as_zdb_prints_them(run, pools, judge, kind: str, option: str) -> None:
    golden = pools(kind)
    ours = run("zdb", "-p", golden.dir, option, golden.manifest["pool"])
    assert ours.lines == zdb(judge("zdb"), golden, option)


@pytest.mark.judge
def test_space_map_entries_and_mappings_as_zdb_prints_them(run, pools, judge) -> None:
    golden = pools("removal")

    def entries(found: list[str]) -> list[str]:
        # What is free in memory zdb shows without the logs.
        kept, skip = [], False
        for line in found:
            skip = line.startswith("\tIn-memory") or (skip and line.startswith("\t\t\t"))
            if not skip and " segments " not in line:
                kept.append(line)
        return kept

    ours = run("zdb", "-p", golden.dir, "-mmmm", golden.manifest["pool"])
    assert entries(ours.lines) == entries(zdb(judge("zdb"), golden, "-mmmm"))


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("option", ["-bbb", "-mm"])
@pytest.mark.parametrize("kind", pool_kinds())
def test_all_pools_as_zdb_prints_them(run, pools, judge, kind: str, option: str) -> None:
    golden = pools(kind)
    ours = run("zdb", "-p", golden.dir, option, golden.manifest["pool"])
    theirs = zdb(judge("zdb"), golden, option)
    if "Checkpointed uberblock found:" in theirs:
        theirs = theirs[: theirs.index("Checkpointed uberblock found:") - 1]
    assert lines(ours.lines) == lines(theirs)


def test_json(run, pools) -> None:
    golden = pools("mirror")
    found = json.loads(run("zdb", "-p", golden.dir, "-bj", golden.manifest["pool"]).out)
    assert found["balanced"] and found["readable"] and found["found"] == found["allocated"] == found["total"]["asize"]
    assert sum(row["count"] for row in found["types"].values()) == found["total"]["count"]
    assert not any(fault["count"] for fault in found["faults"].values())
    space = json.loads(run("zdb", "-p", golden.dir, "-mj", golden.manifest["pool"]).out)
    (vdev,) = space["vdevs"]
    assert sum(one["allocated"] for one in vdev["metaslabs"]) == found["allocated"]


def test_without_leaks(run, pools) -> None:
    golden = pools("mirror")
    result = run("zdb", "-p", golden.dir, "-bL", golden.manifest["pool"])
    assert result.status == 0 and "leak" not in result.out and "Traversing all blocks ..." in result.out


# --- exit statuses --------------------------------------------------------------------------------------------------


@pytest.fixture
def image(pools, tmp_path: Path) -> Path:
    return pools("rewind").copy(tmp_path / "copy") / pools("rewind").images[0].name


def test_leaks_are_exit_status_2(run, pools, tmp_path: Path) -> None:
    source = Source(pools("rewind").images)
    forger = Forger(source)
    try:
        number = VdevMaps(forger.spa.mos, forger.spa.tree.tops[0]).objects[0]
        forger.change_block(forger.spa.mos, number, 0, 0, lambda data: None)
        target = tmp_path / "forged.img"
        target.write_bytes(bytes(forger.device.view() or b""))
    finally:
        forger.close()
        source.close()
    result = run("zdb", "-p", tmp_path, "-b", "tank-rewind")
    assert result.status == zdbblocks.STATUS_UNBALANCED
    assert re.search(r"^leaked space: vdev 0, offset 0x[0-9a-f]+, size \d+$", result.out, re.M)
    assert re.search(r"^space that does not exist: vdev 0, .*\n    mos, object.*", result.out, re.M)
    assert f"    mos, object {number}, level 0 block 0" in result.lines
    assert re.search(r"block traversal size \d+ != alloc \d+ \(leaked -?\d+\)", result.out)
    assert "No leaks" not in result.out and "bp count:" in result.out


def test_unreadable_blocks_are_exit_status_3(run, image: Path) -> None:
    with import_pool(search=image.parent) as pool:
        (dataset,) = pool.spa.dsl.datasets(snapshots=False)
        dnode = next(d for d in dataset.objset().objects() if d.type == 19 and d.used_bytes > 4096)
        bp = dnode.bps(0, 1)[0]
        at = 0x400000 + (int(bp["dva"][0, 1]) << 9)
        number = dataset.obj
    image.chmod(0o644)
    with image.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\xa5" * 4096)
    assert run("zdb", "-p", image.parent, "-bc", "tank-rewind").status == 0
    result = run("zdb", "-p", image.parent, "-bcc", "tank-rewind")
    assert result.status == zdbblocks.STATUS_UNREADABLE
    assert f"Got error 52 reading <{number}, {dnode.number}, 0, 0> (tank-rewind, object {dnode.number}" in result.out
    assert "\t   52  1" in result.lines and "but not everything could be read" in result.out
    found = json.loads(run("zdb", "-p", image.parent, "-bccj", "tank-rewind").out)
    assert found["error_counts"] == {"52": 1} and not found["readable"] and found["balanced"]


# --- histograms -------------------------------------------------------------------------------------------------------


def test_histograms() -> None:
    assert histogram_lines([0, 3, 0, 1, 0], 9) == ["\t\t\t 10:      3 ***", "\t\t\t 11:      0 ", "\t\t\t 12:      1 *"]
    assert histogram_lines([80, 1]) == [f"\t\t\t  0:     80 {'*' * 40}", "\t\t\t  1:      1 *"]
    assert histogram_lines([0, 0]) == []
