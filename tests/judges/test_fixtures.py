"""The pools that come with OpenZFS's own test suite: written by Solaris and illumos since 2006, on x86 and SPARC.

They are unpacked from the installed package ``zfs-test``. Each opens, verifies clean, and lists datasets and objects as
zdb does.
"""

from __future__ import annotations

import bz2
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import cannot_run
from uberblock.pool import Volume, find_pools, import_pool
from uberblock.pool.cli.main import main
from uberblock.pool.errors import KeyUnavailableError, UnsupportedFeatureError

pytestmark = pytest.mark.judge

SUITE = Path("/usr/share/zfs/zfs-tests/tests/functional")
PLACES = ("cli_root/zpool_import/blockfiles", "cli_root/zpool_upgrade/blockfiles", "history")
#: Disks of one pool have a digit behind its name.
NAME = re.compile(r"(?P<pool>.*?(?:mirror|raidz2(?=\d)|raidz|stripe|hotspare))\d$")
REFUSED = "zfs-pool-v999"
CHUNK = 1 << 20
ZEROS = bytes(4096)


def archives() -> dict[str, list[Path]]:
    """Packed images by pool."""
    found: dict[str, list[Path]] = {}
    for place in PLACES:
        for path in sorted((SUITE / place).glob("*")):
            if re.search(r"\.(dat\.bz2|dat\.z)$", path.name, re.IGNORECASE):
                stem = re.sub(r"\.dat\.\w+$", "", path.name, flags=re.IGNORECASE)
                match = NAME.match(stem)
                name = match["pool"] if match else stem
                found.setdefault(f"{name}-{Path(place).name}" if place == "history" else name, []).append(path)
    return found


ARCHIVES = archives()


def pieces(path: Path) -> Iterator[bytes]:
    """The content of a packed image, in pieces."""
    if path.suffix == ".bz2":
        with bz2.open(path) as stream:
            while data := stream.read(CHUNK):
                yield data
        return
    # compress(1) of old; gzip still knows it.
    with subprocess.Popen(["gzip", "-dc", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while data := process.stdout.read(CHUNK):
            yield data
    assert process.returncode == 0


def unpack(path: Path, target: Path) -> None:
    """Unpack an image, zeros as holes."""
    with target.open("wb") as out:
        at = 0
        for data in pieces(path):
            for start in range(0, len(data), len(ZEROS)):
                part = data[start : start + len(ZEROS)]
                if part != ZEROS:
                    out.seek(at + start)
                    out.write(part)
            at += len(data)
        out.truncate(at)


@pytest.fixture
def fixture_pool(tmp_path: Path) -> Callable[[str], Path]:
    """``fixture_pool(name)``: folder with the images of that pool."""

    def get(name: str) -> Path:
        if name not in ARCHIVES:
            cannot_run("OpenZFS's test suite (zfs-test) is not installed")
        for path in ARCHIVES[name]:
            unpack(path, tmp_path / path.stem)
        return tmp_path

    return get


def zdb_lines(judge, *words: str) -> list[str]:
    """What zdb prints. Objects of pools before version 5 it counts otherwise than they did, hence -AAA."""
    command = [judge("zdb"), "-AAA", "-e", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


NAMES = sorted(ARCHIVES) or ["zfs-pool-v1"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != REFUSED])
def test_pool_of_the_test_suite(fixture_pool, judge, capsys, name: str) -> None:
    folder = fixture_pool(name)
    (candidate,) = find_pools(folder)
    broken = "broken-mirror" in name
    with import_pool(search=folder) as pool:
        assert pool.notes == []
        assert pool.health == ("DEGRADED" if broken else "ONLINE")
        report = pool.verify()
        assert report.clean and report.blocks > 20
        assert bool(report.unchecked) == broken
        assert not any(leaf.read_errors or leaf.checksum_errors for leaf in pool.tree.leaves)
        files = read_everything(pool)
        assert pool.name == candidate.name and pool.spa.uberblock.version == candidate.version
        assert pool.history() or pool.spa.version < 4
        assert pool.status()
    assert files >= (300 if re.search(r"-v[12](mirror|raidz)$|-v1$", name) else 0)
    theirs = zdb_lines(judge, "-p", str(folder), "-dd", candidate.name)
    assert main(["zdb", "-p", str(folder), "-dd", candidate.name]) == 0
    ours = capsys.readouterr().out.splitlines()
    assert objects(ours) == objects(theirs)
    assert len(objects(ours)) > 15


def objects(lines: list[str]) -> list[str]:
    """Lines of datasets and of objects, runs of spaces as one; the order of datasets is left to everybody."""
    flat = (" ".join(line.split()) for line in lines)
    return sorted(line for line in flat if re.match(r"Dataset |-?\d+ \d ", line))


def read_everything(pool) -> int:
    """Read all files, volumes and attributes; gives how many files there were."""
    files = 0
    for dataset in pool.datasets():
        try:
            if isinstance(dataset, Volume):
                assert len(dataset.open().read(1 << 20))
                continue
            vfs = dataset.fs()
        except KeyUnavailableError:
            assert dataset.encrypted
            continue
        for path, znode in vfs.tree("/"):
            vfs.xattrs_of(znode)
            if znode.type == "file":
                assert len(vfs.read_bytes("/" + path)) == znode.size
                files += 1
    return files


def test_an_unknown_version_is_refused(fixture_pool) -> None:
    folder = fixture_pool(REFUSED)
    (candidate,) = find_pools(folder)
    assert candidate.version == 999
    with pytest.raises(UnsupportedFeatureError, match=r"version 999.*v999-pool"):
        import_pool(search=folder)


def test_a_spare_in_use(fixture_pool) -> None:
    with import_pool(search=fixture_pool("zfs-pool-v3hotspare")) as pool:
        (top,) = pool.tree.tops
        assert top.type == "spare" and len(top.children) == 2
        assert "INUSE" in str(pool.status()) and "AVAIL" in str(pool.status())


@pytest.mark.parametrize("name", ["cryptv0", "missing_ivset"])
def test_encryption_of_the_first_releases(fixture_pool, name: str) -> None:
    """Keys without a version, snapshots without IV set guids: everything reads, and the erratum is told."""
    folder = fixture_pool(name)
    keys = dict.fromkeys((f"{name}/testfs", f"{name}/testvol"), "password")
    with import_pool(search=folder, keys=keys) as pool:
        status = str(pool.status())
        assert "Errata #4" in status and "ZFS-8000-ER" in status
        for dataset in pool.datasets():
            if isinstance(dataset, Volume):
                assert len(dataset.open().read()) == dataset.size > 0
        assert read_everything(pool)
