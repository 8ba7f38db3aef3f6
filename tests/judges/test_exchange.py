"""One pool in two hands: we write it, OpenZFS's engine imports it, writes, scrubs and exports it, and we go on.

What OpenZFS reads of our files comes back to us as well: it sends a snapshot of them into a pool of its own, which we
read then. Of the program that drives the engine ``import``, ``export``, ``create``, ``dataset``, ``write``, ``churn``,
``read``, ``snap``, ``send``, ``recv``, ``scrub`` and ``status`` are used.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from conftest import IN_CI, Engine
from uberblock.pool import import_pool
from uberblock.pool.env import Env
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.judges import zdb_complaints
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.vfs import Vfs

pytestmark = pytest.mark.judge

POOL, COPY = "tank", "copy"
THEIRS = (f"{POOL}/their-text", f"{POOL}/their-noise")
LAYOUTS = {
    "disk": ". .",
    "mirror": "mirror . . log .",
    "raidz1": "raidz1 . . .",
    "raidz2": "raidz2 . . . . . special mirror . . .",
    "raidz3": "raidz3 . . . . . .",
    "draid": "draid2:2d:6c:1s . . . . . .",
}
#: In CI those that differ most; everywhere else all there are.
CHOSEN = ("mirror", "raidz2", "draid") if IN_CI else tuple(LAYOUTS)
PROPERTIES = {
    "plain": {},
    "text": {"compression": "zstd", "checksum": "sha512"},
    "small": {"recordsize": "4K", "compression": "lz4", "copies": "2", "dnodesize": "auto"},
    "large": {"recordsize": "1M", "compression": "gzip-6", "checksum": "blake3"},
}  # fmt: skip

Files = dict[str, dict[str, bytes]]  # dataset -> path -> content


def change(pool: WritablePool, files: Files, rng: random.Random) -> None:
    """Files of every dataset come, grow, lose their middle and go, over some txgs."""
    words = [rng.randbytes(6) for _ in range(50)]
    for _ in range(3):
        for name, known in files.items():
            fs = pool.fs(f"{POOL}/{name}")
            for _ in range(8):
                path = f"/{rng.choice('ab')}/{rng.randrange(12)}"
                fs.makedirs(str(Path(path).parent), exist_ok=True)
                size = rng.choice((0, 60, 5000, 140_000, 1_500_000))
                known[path] = rng.choice((rng.randbytes(size), b" ".join(rng.choices(words, k=size // 7)), bytes(size)))
                fs.write_bytes(path, known[path])
            path = rng.choice(sorted(known))
            fs.unlink(path)
            del known[path]
            path = rng.choice(sorted(known))
            at, patch = rng.randrange(len(known[path]) + 3000), rng.randbytes(3000)
            with fs.open(path, "r+b") as file:
                file.seek(at)
                file.write(patch)
            old = known[path].ljust(at, b"\0")
            known[path] = old[:at] + patch + old[at + len(patch) :]
        pool.sync()


def content(fs: Vfs) -> dict[str, bytes]:
    return {
        f"{folder}/{name}": fs.read_bytes(f"{folder}/{name}") for folder, _, names in fs.walk("/") for name in names
    }


def check(folder: Path) -> None:
    """Every block reads, and all space is accounted for."""
    found = examine([str(path) for path in sorted(folder.glob("*.img"))]).problems
    assert not [line for line in found if "is not a file system (type 4)" not in line]


def scrubbed(text: str, leaves: int) -> None:
    """A scrub ended with nothing repaired and no error on any disk."""
    assert re.findall(r"scan func 1 state (\d) .* processed (\d+) errors (\d+)", text) == [("2", "0", "0")], text
    errors = re.findall(r"R (\d+) W (\d+) C (\d+)", text)
    assert len(errors) >= leaves and set(errors) == {("0", "0", "0")}, text


@pytest.mark.parametrize("layout", CHOSEN)
def test_in_turn(engine: Engine, judge, tmp_path: Path, layout: str) -> None:
    rng = random.Random(layout)
    disks, other = tmp_path / "disks", tmp_path / "other"
    disks.mkdir()
    other.mkdir()
    words = [str(disks / f"{k}.img") if word == "." else word for k, word in enumerate(LAYOUTS[layout].split())]
    leaves = sum(word.endswith(".img") for word in words)
    files: Files = {name: {} for name in PROPERTIES}
    with create_pool(POOL, words, size=160 << 20, env=Env.fixed(1), txg_seconds=0) as pool:
        for name, properties in PROPERTIES.items():
            pool.create_filesystem(f"{POOL}/{name}", properties)
        change(pool, files, rng)

    snapshots = [f"{POOL}/{name}@then" for name in files]
    streams = [f"{other}/{name}.zfs" for name in files]
    text = engine(
        disks,
        f"import {POOL}", *[f"dataset -o compression=lz4 {name}" for name in THEIRS],
        f"write -m 12 -r 131072 -p text -s 7 {THEIRS[0]}", f"write -m 6 -r 8192 -p random -s 8 {THEIRS[1]}",
        *[f"churn -n 200 {name}" for name in THEIRS], f"snap {' '.join(snapshots)}",
        *[f"send -L {snapshot} {stream}" for snapshot, stream in zip(snapshots, streams, strict=True)],
        f"scrub {POOL}", f"status {POOL} v", f"export {POOL}",
        f"create -s 512M {COPY} {other}/copy.img",
        *[f"recv {COPY}/{name}@then {stream}" for name, stream in zip(files, streams, strict=True)],
        f"export {COPY}",
    )  # fmt: skip
    scrubbed(text, leaves)
    check(disks)
    with import_pool(COPY, [str(other)]) as copy:
        assert {name: content(copy.fs(f"{COPY}/{name}")) for name in files} == files

    with open_pool(POOL, [str(disks)], env=Env.fixed(2), txg_seconds=0) as pool:
        assert {name: content(pool.fs(f"{POOL}/{name}")) for name in files} == files
        change(pool, files, rng)
    check(disks)

    text = engine(
        disks,
        f"import {POOL}", *[f"read {name}" for name in THEIRS], *[f"churn -n 100 -s 3 {name}" for name in THEIRS],
        f"scrub {POOL}", f"status {POOL} v", f"export {POOL}",
    )  # fmt: skip
    scrubbed(text, leaves)
    check(disks)
    assert not zdb_complaints(judge("zdb"), disks, POOL)
    with import_pool(POOL, [str(disks)]) as pool:
        assert {name: content(pool.fs(f"{POOL}/{name}")) for name in files} == files
        then = pool.fs(f"{POOL}/plain@then")
        assert content(then) != files["plain"], "the snapshot keeps what was"
