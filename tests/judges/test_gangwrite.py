"""Pools full of gang blocks, nested ones too: zdb finds every block right, and no sector unaccounted for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uberblock.pool.alloc.allocator import Allocator
from uberblock.pool.poolcreate import create_pool, open_pool

pytestmark = pytest.mark.judge

LARGEST = 16384  # stored bytes for which there is room in one piece


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """No allocator has room for more than ``LARGEST`` in one piece."""
    whole = Allocator.allocate

    def allocate(self: Allocator, psizes: Any, *, txg: int, copies: int = 1, **more: Any) -> Any:
        sizes = np.asarray(psizes)
        result = np.zeros((len(sizes), copies, 3), np.uint64)
        small = np.flatnonzero(sizes <= LARGEST)
        if len(small):
            result[small] = whole(self, sizes[small], txg=txg, copies=copies, **more)
        return result

    monkeypatch.setattr(Allocator, "allocate", allocate)


@pytest.mark.parametrize("words", ["", "mirror 2", "raidz2 5"])
def test_zdb_agrees(judge: Callable[[str], str], small_pieces: None, tmp_path: Path, words: str) -> None:
    kind, _, number = words.partition(" ")
    disks = [str(tmp_path / f"disk{k}.img") for k in range(int(number or 1))]
    contents = {f"/file{k}": np.random.default_rng(k).bytes(300000 + 777 * k) for k in range(5)}
    pool = create_pool("tank", [*([kind] if kind else []), *disks], size=128 << 20)
    for path, data in contents.items():
        with pool.fs().open(path, "wb") as file:
            file.write(data)
    pool.sync()
    pool.fs().unlink("/file1")
    pool.export()
    pool.close()
    command = [judge("zdb"), "-e", "-p", str(tmp_path), "-bcc", "tank"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "No leaks" in done.stdout, done.stdout + done.stderr
    ganged = re.search(r"ganged count: +(\d+)", done.stdout)
    assert ganged is not None and int(ganged[1]) >= 20
    pool = open_pool("tank", disks)
    for path, data in contents.items():
        if path != "/file1":
            assert pool.fs().read_bytes(path) == data
    pool.close()
