"""File systems whose blocks hold anything: only this package's errors come out.

Blocks are changed after their checksums were verified, which is what a forged pool amounts to.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.extract import copy_out, tar_out
from uberblock.pool.manifest.entries import _Manifest
from uberblock.pool.vfs import Vfs
from uberblock.pool.zio.reader import Blocks, Zio

WORDS = [0, 1, 2**64 - 1, 2**63, 2**32, 1 << 48]


class Forger:
    """Changes some of the blocks that are read."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rate = self.random.choice([0.01, 0.05, 0.2])

    def forged(self, data: bytes) -> bytes:
        rng = self.random
        if not data or rng.random() > self.rate:
            return data
        out = bytearray(data)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at = rng.randrange(len(out))
            if rng.random() < 0.6:
                out[at] = rng.choice([0, 255, 1, 127, 128, out[at] ^ 1 << rng.randrange(8)])
            else:
                at &= ~7
                word = rng.choice([*WORDS, rng.getrandbits(64)]).to_bytes(8, "little")
                out[at : at + 8] = word[: len(out) - at]
        return bytes(out)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one, many = Zio.read_one, Zio.read

        def read_one(zio: Zio, *args: Any, **options: Any) -> bytes:
            return self.forged(one(zio, *args, **options))

        def read(zio: Zio, *args: Any, **options: Any) -> Blocks:
            found = many(zio, *args, **options)
            parts = [self.forged(bytes(found.block(i))) for i in range(len(found))]
            data = np.frombuffer(b"".join(parts), dtype=np.uint8).copy()
            return Blocks(data, found.start, found.status)

        monkeypatch.setattr(Zio, "read_one", read_one)
        monkeypatch.setattr(Zio, "read", read)


def attempt(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except PoolError as error:
        assert str(error)
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("name", ["tank-names/ci@s", "tank-names/nfs4", "tank-names/quota"])
@pytest.mark.parametrize("seed", range(6))
def test_anything_may_be_in_a_block(
    pools: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, seed: int
) -> None:
    with import_pool(search=[pools("names").dir]) as pool:
        dataset = pool.dataset(name).dsl
        dataset.objset()
        Forger(seed).patch(monkeypatch)
        use(dataset, tmp_path / "out")


def use(dataset: Any, target: Path) -> None:
    """Everything that can be done with a file system."""
    vfs = attempt(lambda: Vfs.of(dataset))
    if vfs is None:
        return
    fs = vfs.filesystem
    attempt(lambda: list(vfs.walk("/")))
    attempt(fs.unlinked)
    attempt(lambda: fs.domains)
    for kind in ("user", "groupobj", "project"):
        attempt(lambda kind=kind: (fs.quotas(kind), fs.used(kind)))
    for path in ("/text/t97.txt", "/names/UPPER", "/links/short", "/links/self-dir/x"):
        attempt(lambda path=path: vfs.stat(path, follow=True))
    for _, z in list(vfs.tree("/", damaged=lambda path, error: None))[:60]:
        for work in (z.acl, z.xattrs, z.attribute_names, z.target, lambda z=z: vfs.stat_of(z).st_rdev):
            attempt(work)
        attempt(lambda z=z: z.open().read(1 << 16))
        attempt(lambda z=z: fs.path_of(z.object))
    attempt(lambda: copy_out(vfs, "/", target, keep_going=True))
    attempt(lambda: tar_out(vfs, "/", io.BytesIO(), keep_going=True))
    with ThreadPoolExecutor(1) as executor:
        assert all("dataset" in entry for entry in _Manifest(executor).dataset(dataset))
