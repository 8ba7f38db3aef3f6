"""Pools as ztest leaves them: OpenZFS's own engine, a few seconds of everything at once, never exported.

No two runs are alike. Each pool opens, verifies clean, and has as many blocks as zdb finds in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import STDOUT, Popen

import pytest
from uberblock.pool import find_pools, import_pool
from uberblock.pool.cli.main import main

pytestmark = [pytest.mark.judge, pytest.mark.slow]

COMMON = ["-T", "6", "-P", "6", "-k", "0", "-s", "256m", "-v", "2"]
SHAPES = {
    "mirror": "-K raidz -r 1 -m 2",
    "raidz": "-K raidz -R 2 -r 5 -m 1 -a 12",
    "draid": "-K draid -R 1 -D 3 -S 1 -r 6 -m 1",
    "expanding": "-K eraidz -R 1 -r 4 -m 1",
}
SECONDS = 120
FIGURES = ("bp count", "ganged count", "bp logical", "bp physical", "bp allocated")


@pytest.fixture(scope="module")
def ztest_runs(judge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Popen[bytes]]]]:
    """All of them at once: most of the time they wait."""
    program = judge("ztest")
    runs = {shape: start(program, tmp_path_factory.mktemp(shape), shape) for shape in SHAPES}
    yield runs
    for folder, process in runs.values():
        process.kill()
        process.wait()
        shutil.rmtree(folder)


@pytest.fixture(params=SHAPES)
def ztest_pool(request, ztest_runs, judge) -> Path:
    """A folder with a pool that ztest has just made."""
    folder, process = ztest_runs[request.param]
    status = process.wait(SECONDS)
    if status:  # it aborts on an assertion of its own now and then: once more, with other chance
        folder, process = ztest_runs[request.param] = start(judge("ztest"), folder / "again", request.param)
        status = process.wait(SECONDS)
    if status:
        tail = (folder / "ztest.log").read_text(errors="replace").splitlines()[-5:]
        pytest.fail(f"ztest itself ended with status {status}, twice: {' | '.join(tail)}")
    return folder


def start(program: str, folder: Path, shape: str) -> tuple[Path, Popen[bytes]]:
    """Begin a run of ztest in a new folder. It takes its seed from the clock."""
    folder.mkdir(exist_ok=True)
    with (folder / "ztest.log").open("wb") as log:
        command = [program, "-f", str(folder), *COMMON, *SHAPES[shape].split()]
        return folder, Popen(command, stdout=log, stderr=STDOUT)


def figures(text: str) -> dict[str, int]:
    """The numbers behind zdb's words."""
    found = {}
    for name in FIGURES:
        match = re.search(rf"^\s*{name}:\s+(\d+)", text, re.MULTILINE)
        assert match is not None, (name, text)
        found[name] = int(match[1])
    return found


def test_pool_of_ztest(ztest_pool: Path, judge, capsys) -> None:
    (candidate,) = find_pools(ztest_pool)
    assert candidate.name == "ztest" and candidate.state_name == "ACTIVE"
    with import_pool(search=ztest_pool) as pool:
        assert pool.health in ("ONLINE", "DEGRADED")
        report = pool.verify()
        # Reported in full: ztest's pools are random, and what went wrong is gone with the run.
        shown = (report.damaged[:3], report.unreadable[:3], str(pool.status()))
        assert report.lost_blocks == 0 and not report.unreadable, shown
        # It injects damage now and then, and may be stopped before it has been repaired.
        assert report.clean or set(report.errors_by_vdev) <= vdevs_with_errors(pool), shown
        assert pool.status() and pool.properties() and pool.history()
        for dataset in pool.datasets():
            assert dataset.properties()
            read(dataset)
        allocated = report.bytes
    command = [judge("zdb"), "-e", "-p", str(ztest_pool), "-b", "ztest"]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    assert main(["zdb", "-p", str(ztest_pool), "-b", "ztest"]) == 0
    ours = capsys.readouterr().out
    assert figures(ours) == figures(theirs)
    assert "No leaks" in ours and "No leaks" in theirs
    assert report.blocks <= figures(theirs)["bp count"] and allocated <= figures(theirs)["bp allocated"]


def vdevs_with_errors(pool) -> set[str]:
    """Leaves that do not hold all they should, as far as the pool itself knows."""
    return {leaf.name for leaf in pool.tree.leaves if leaf.dtl or leaf.state_text != "ONLINE"}


def read(dataset) -> None:
    """ztest puts plain objects into datasets: some bytes of each, decompressed, of what is not encrypted."""
    for dnode in dataset.dsl.objset(raw=True).objects():
        at = dnode.next_data(0)
        if at is not None and not dataset.encrypted:
            assert len(dnode.read(at, 1 << 16)) == min(1 << 16, dnode.size - at)
