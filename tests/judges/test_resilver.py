"""Pools written here while they lack disks, or while one fails: OpenZFS resilvers what the disks missed.

Of the program that drives OpenZFS's engine ``import``, ``txgs``, ``wait``, ``scrub``, ``status`` and ``export`` are
used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import IN_CI, Engine
from uberblock.pool import Pool, import_pool
from uberblock.pool.device.open import open_device
from uberblock.pool.errors import PoolError
from uberblock.pool.lab.faults import FailingFlush, Fault, FaultyDevice, Vanished, WriteError
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool

pytestmark = pytest.mark.judge

POOL = "tank"
SCAN = re.compile(r"scan func (\d) state (\d) examined \d+ issued \d+ processed (\d+) errors (\d+)")
ERRORS = re.compile(r"R (\d+) W (\d+) C (\d+)")
SCRUB, RESILVER, FINISHED = 1, 2, 2
IMPORTS = 4  # until the resilver that an import asks for was seen: it begins a little later

NO_FAULTS: Mapping[int, Fault] = {}

class Trial:
    """A pool on images some of which are away at times, and what is in it."""

    def __init__(self, folder: Path, layout: str) -> None:
        self.rng = random.Random(layout)
        self.images: list[Path] = []
        self.files: dict[str, bytes] = {}
        self.volume = self.rng.randbytes(1 << 20)
        words: list[str] = []
        for word in layout.split():
            if word == ".":
                self.images.append(folder / f"d{len(self.images)}.img")
                word = str(self.images[-1])
            words.append(word)
        with create_pool(POOL, words, size=128 << 20, txg_seconds=0) as pool:
            pool.create_volume(f"{POOL}/v", len(self.volume))
            pool.volume(f"{POOL}/v").open().pwrite(self.volume, 0)  # type: ignore[attr-defined]
            self.change(pool)

    def change(self, pool: WritablePool) -> None:
        """Files come, are written again and go, over some txgs; the volume is written."""
        for _ in range(3):
            for _ in range(6):
                name = f"f{self.rng.randrange(30)}"
                self.files[name] = self.rng.randbytes(self.rng.choice((100, 5000, 300_000)))
                pool.fs().write_bytes(name, self.files[name])
            name = self.rng.choice(sorted(self.files))
            pool.fs().unlink(name)
            del self.files[name]
            offset, data = self.rng.randrange(900_000), self.rng.randbytes(50_000)
            pool.volume(f"{POOL}/v").open().pwrite(data, offset)  # type: ignore[attr-defined]
            self.volume = self.volume[:offset] + data + self.volume[offset + len(data) :]
            pool.sync()

    def write(self, lost: Iterable[int] = (), faults: Mapping[int, Fault] = NO_FAULTS) -> None:
        """Open the pool with what is left and change it; close it, or crash if there are faults."""
        found = [number for number in range(len(self.images)) if number not in lost]
        with ExitStack() as stack:
            files = [stack.enter_context(closing(open_device(self.images[number], readonly=False))) for number in found]
            devices = [
                FaultyDevice(file, [faults[number]] if number in faults else [])
                for number, file in zip(found, files, strict=True)
            ]
            pool = open_pool(POOL, devices, txg_seconds=0)
            assert pool.health == ("DEGRADED" if lost else "ONLINE")
            self.change(pool)
            if faults:
                pool.abandon()
            else:
                pool.close()

    def read(self, lost: Iterable[int] = ()) -> Pool:
        return import_pool(POOL, [str(image) for number, image in enumerate(self.images) if number not in lost])

    def missed(self) -> set[int]:
        """The disks that have a DTL."""
        with self.read() as pool:
            stale = {Path(leaf.path).name for leaf in pool.tree.leaves if leaf.dtl}
        return {number for number, image in enumerate(self.images) if image.name in stale}

    def check(self, lost: Iterable[int] = ()) -> None:
        """What can be read without some of the disks is what was written."""
        with self.read(lost) as pool:
            fs = pool.fs(POOL)
            assert {name: fs.read_bytes(name) for name in fs.listdir("/")} == self.files
            assert pool.volume(f"{POOL}/v").open().readall() == self.volume


def scans(text: str) -> list[list[int]]:
    """Of every scan: what it is, its state, repaired bytes, errors."""
    return [[int(figure) for figure in found] for found in SCAN.findall(text)]


def resilver(engine: Engine, folder: Path) -> int:
    """Import the pool until a resilver of it has finished; the repaired bytes."""
    for _ in range(IMPORTS):
        text = engine(folder, f"import {POOL}", *[f"txgs {POOL} 4", f"wait {POOL} resilver"] * 5, f"export {POOL}")
        for kind, state, repaired, errors in scans(text):
            if kind == RESILVER and state == FINISHED:
                assert errors == 0, text
                return repaired
    raise AssertionError(f"no resilver after {IMPORTS} imports: {text}")


@pytest.mark.parametrize(
    ("layout", "lost", "others"),
    [
        ("mirror . .", [1], [0]),
        ("mirror . . .", [0, 2], [1]),
        ("raidz1 . . .", [0], [2]),
        ("raidz2 . . . .", [1, 2], [0, 3]),
        ("raidz3 . . . . .", [0, 2, 4], [1, 3]),
        ("draid1:3d:5c:1s . . . . .", [1], [3]),
        ("mirror . . special mirror . .", [0, 3], [1, 2]),
    ],
)
def test_openzfs_resilvers(engine: Engine, tmp_path: Path, layout: str, lost: list[int], others: list[int]) -> None:
    """In the end the disks that were away make up for others that go."""
    trial = Trial(tmp_path, layout)
    trial.write(lost)
    trial.write()  # they are back, but not resilvered
    trial.write(lost)
    trial.check()
    assert trial.missed() == set(lost)
    assert resilver(engine, tmp_path) > 500_000
    resilvered(trial, engine, tmp_path)
    trial.check(others)
    trial.write(others)
    trial.check(others)


#: In CI two that differ most; everywhere else all there are.
IN_CI_ONLY = ("vanishes", "does not flush")
FAULTS: dict[str, Callable[[], Fault]] = {
    "vanishes": lambda: Vanished(after=30),
    "does not write": lambda: WriteError(after=30),
    "does not flush": lambda: FailingFlush(after=3),
    "does not write once": lambda: WriteError(after=40, times=1),
}


@pytest.mark.parametrize(("layout", "other"), [("mirror . .", 0), ("raidz1 . . .", 2)])
@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind in IN_CI_ONLY or not IN_CI])
def test_openzfs_resilvers_what_failed(engine: Engine, tmp_path: Path, layout: str, other: int, kind: str) -> None:
    """A disk fails while the pool is written, and the machine crashes; what the disk did not get, it gets then."""
    trial = Trial(tmp_path, layout)
    trial.write(faults={1: FAULTS[kind]()})
    assert trial.missed() == {1}
    assert resilver(engine, tmp_path) > 0
    resilvered(trial, engine, tmp_path)
    trial.check([other])


def resilvered(trial: Trial, engine: Engine, folder: Path) -> None:
    """Nothing is missed any more, a scrub has nothing to repair, and the content is right."""
    assert trial.missed() == set()
    text = engine(folder, f"import {POOL}", f"scrub {POOL}", f"status {POOL}", f"export {POOL}")
    assert scans(text) == [[SCRUB, FINISHED, 0, 0]], text
    leaves = ERRORS.findall(text)
    assert len(leaves) >= len(trial.images) and set(leaves) == {("0", "0", "0")}, text
    trial.check()


def test_what_was_missed_is_gone_without_a_resilver(tmp_path: Path) -> None:
    """That the other test sees a resilver: before it, the disk that was away cannot make up for another."""
    trial = Trial(tmp_path, "raidz1 . . .")
    trial.write([0])
    with pytest.raises(PoolError):
        trial.check([2])
