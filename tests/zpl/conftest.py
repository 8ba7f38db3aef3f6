"""Pools written by OpenZFS, opened once a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool import import_pool


@pytest.fixture(scope="session")
def opened(pools: Callable[[str], Any]) -> Iterator[Callable[[str], Any]]:
    """``opened("names")``: the pool, open, with its keys loaded and ``manifest`` beside it."""
    with ExitStack() as stack:
        cache: dict[str, Any] = {}

        def get(kind: str) -> Any:
            if kind not in cache:
                golden = pools(kind)
                pool = stack.enter_context(import_pool(search=[golden.dir], keys=golden.manifest["keys"]))
                pool.manifest = golden.manifest
                pool.dir = golden.dir
                cache[kind] = pool
            return cache[kind]

        yield get


FIXTURES = Path("/usr/share/zfs/zfs-tests/tests/functional/cli_root/zpool_upgrade/blockfiles")


@pytest.fixture(scope="session")
def old_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """``old_pool("v5")``: a pool of the OpenZFS test suite, made by software of those days."""
    import bz2

    folder = tmp_path_factory.mktemp("old")
    with ExitStack() as stack:
        cache: dict[str, Any] = {}

        def get(version: str) -> Any:
            source = FIXTURES / f"zfs-pool-{version}.dat.bz2"
            if not source.exists():
                missing = "the OpenZFS test suite (package zfs-test) is not installed"
                if os.environ.get("CI", "").lower() == "true":
                    pytest.fail(f"{missing}, and CI must have it")
                pytest.skip(missing)
            if version not in cache:
                (folder / version).mkdir()
                image = folder / version / "pool.img"
                image.write_bytes(bz2.decompress(source.read_bytes()))
                pool = stack.enter_context(import_pool(search=[folder / version]))
                pool.dir = folder / version
                cache[version] = pool
            return cache[version]

        yield get
