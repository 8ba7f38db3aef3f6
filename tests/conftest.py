"""Pools written by OpenZFS, for every test.

``pools(kind)`` unpacks one of them, once a session, and gives its folder and its manifest. A small choice ships in
``tests/data``; the whole collection is used where it lies beside the repository (or where UBERBLOCK_POOLS points).
"""

from __future__ import annotations

import fcntl
import json
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

# How long an example takes depends on what else the machine does; a hang is what time limits are for.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

HERE = Path(__file__).resolve().parent
SHIPPED = HERE / "data" / "pools"
COLLECTION = Path(os.environ.get("UBERBLOCK_POOLS", HERE.parent.parent / "shared" / "pools"))
IN_CI = os.environ.get("CI", "").lower() == "true"


def pool_kinds() -> list[str]:
    """Every kind of pool that can be had here, shipped or collected."""
    found = {p.parent.name for folder in (SHIPPED, COLLECTION) for p in folder.glob("*/pool.tar.xz")}
    return sorted(found)


@dataclass(frozen=True)
class GoldenPool:
    """One unpacked pool: its folder of images (never to be written to) and what OpenZFS says is in it."""

    kind: str
    dir: Path
    source: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        with lzma.open(self.source / "manifest.json.xz") as stream:
            result: dict[str, Any] = json.load(stream)
        return result

    @property
    def images(self) -> list[Path]:
        return sorted(self.dir.glob("*.img"))

    def copy(self, to: Path) -> Path:
        """A writable copy of the images, holes kept."""
        to.mkdir(parents=True, exist_ok=True)
        for image in self.images:
            copy_sparse(image, to / image.name)
        return to


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file and keep its holes."""
    with source.open("rb") as src, target.open("wb") as dst:
        end = os.fstat(src.fileno()).st_size
        dst.truncate(end)
        at = 0
        while at < end:
            try:
                start = os.lseek(src.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(src.fileno(), start, os.SEEK_HOLE)
            src.seek(start)
            dst.seek(start)
            dst.write(src.read(at - start))


def cannot_run(why: str) -> NoReturn:
    """A test lacks something it needs: it is skipped, but fails under CI, which must have it."""
    if IN_CI:
        pytest.fail(f"{why}, and CI must have it")
    pytest.skip(why)


def unpack(kind: str, base: Path) -> GoldenPool:
    """Unpack one pool below ``base``, unless another worker of the session has done so."""
    source = next((f / kind for f in (SHIPPED, COLLECTION) if (f / kind / "pool.tar.xz").exists()), None)
    if source is None:
        cannot_run(f"the pool {kind!r} is not shipped; set UBERBLOCK_POOLS to a folder that has it")
    target = base / kind
    with (base / f"{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / ".done").exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            with tarfile.open(source / "pool.tar.xz") as archive:
                archive.extractall(target, filter="data")
            for image in target.glob("*.img"):
                image.chmod(0o444)
            (target / ".done").touch()
    return GoldenPool(kind, target, source)


@pytest.fixture(scope="session")
def pools_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder shared by all workers of one session."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    folder = base / "golden-pools"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def pools(pools_base: Path) -> Callable[[str], GoldenPool]:
    """``pools("mirror")``: a pool written by OpenZFS, unpacked once a session."""
    cache: dict[str, GoldenPool] = {}

    def get(kind: str) -> GoldenPool:
        if kind not in cache:
            cache[kind] = unpack(kind, pools_base)
        return cache[kind]

    return get


def find_program(name: str) -> str | None:
    """Path of one of OpenZFS's programs, or None."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def program_or_skip(name: str, package: str, path: str | None = None) -> str:
    """Path of a program. Where it is missing the test is skipped, but fails under CI."""
    path = path or find_program(name)
    if path is None:
        cannot_run(f"{name} ({package}) is not installed")
    return path


@pytest.fixture(scope="session")
def judge() -> Callable[[str], str]:
    """``judge("zdb")``: path of OpenZFS's program. Where it is missing the test is skipped, but fails under CI."""
    return lambda name: program_or_skip(name, "OpenZFS")


#: ``engine(folder, "import tank", "scrub tank")``: what OpenZFS's engine prints, with the pools in a folder.
Engine = Callable[..., str]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """OpenZFS's storage engine in user space: ``realzfs`` in PATH, or what UBERBLOCK_REALZFS names.

    A program that takes commands separated by a lone comma, in zpool's and zfs's words, and exports what is open when
    it ends. Where it is missing the test is skipped, but fails under CI.
    """
    program = program_or_skip("realzfs", "OpenZFS's engine", os.environ.get("UBERBLOCK_REALZFS"))

    def run(folder: Path, *commands: str) -> str:
        words = " , ".join(commands).split()
        done = subprocess.run(
            [program, "-q", "-d", str(folder), *words], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
