"""Manifests: what OpenZFS shows of a pool is what we find in it, entry by entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import LimitError, NotFoundError, UsageError
from uberblock.pool.manifest import compare, digest, entries, read_manifest
from uberblock.pool.zpl.file import ObjectFile

SHIPPED = ["names", "version28", "rewind", "encrypted", "dedup", "block-cloning"]
COLLECTION = [
    "algorithms", "ashift13", "ashift16", "ashift9", "checkpoint", "classes", "compat", "compat-old", "damaged",
    "damaged-mirror", "dedup-legacy", "degraded", "draid", "ganging", "l2arc", "log-spacemap", "mirror",
    "raidz-expansion", "raidz1", "raidz2", "raidz3", "removal", "single", "stripes",
]  # fmt: skip


def differences(golden: Any, **options: Any) -> list[str]:
    keys = golden.manifest["keys"]
    reference = read_manifest(json.dumps(golden.manifest))
    with import_pool(search=[golden.dir], keys=keys, **options) as pool:
        result = compare(entries(pool), reference)
    assert result.compared == len(reference)
    return result.differences


@pytest.mark.parametrize("kind", SHIPPED)
def test_shipped_pools(pools: Callable[[str], Any], kind: str) -> None:
    assert differences(pools(kind)) == []


@pytest.mark.pools
@pytest.mark.slow
@pytest.mark.parametrize("kind", COLLECTION)
def test_the_collection(pools: Callable[[str], Any], kind: str) -> None:
    assert differences(pools(kind)) == []


def test_the_checkpoint(pools: Callable[[str], Any]) -> None:
    golden = pools("checkpoint")
    reference = read_manifest(json.dumps(golden.manifest["checkpoint"]))
    with import_pool(search=[golden.dir], checkpoint=True) as pool:
        assert compare(entries(pool), reference).differences == []


def test_earlier_txgs(pools: Callable[[str], Any]) -> None:
    golden = pools("rewind")
    assert golden.manifest["rewinds"]
    for txg, datasets in golden.manifest["rewinds"].items():
        reference = read_manifest(json.dumps({"datasets": datasets}))
        with import_pool(search=[golden.dir], txg=int(txg)) as pool:
            assert compare(entries(pool), reference).differences == []


def test_entries_are_those_of_the_collection(pools: Callable[[str], Any]) -> None:
    """Not only equal under comparison: the same names and values."""
    golden = pools("names")
    with import_pool(search=[golden.dir]) as pool:
        found = list(entries(pool))
    trees: dict[str, dict[str, Any]] = {}
    for entry in found:
        trees.setdefault(entry.pop("dataset"), {})[entry.pop("path")] = entry
    wanted = {n: d["tree"] for n, d in golden.manifest["datasets"].items() if "tree" in d}
    assert trees == wanted


def test_one_dataset_or_snapshot(pools: Callable[[str], Any]) -> None:
    golden = pools("encrypted")
    reference = read_manifest(json.dumps(golden.manifest))
    done: list[int] = []
    with import_pool(search=[golden.dir], keys=golden.manifest["keys"]) as pool:
        for below in ("tank-encrypted/enc", "tank-encrypted/enc@s"):
            found = list(entries(pool, below, progress=done.append))
            assert {entry["dataset"].startswith(below) for entry in found} == {True}
            assert compare(found, reference, below=below).differences == []
            assert sum(done) == len(found)
            done.clear()
        with pytest.raises(NotFoundError):
            list(entries(pool, "tank-encrypted/nothing"))


def test_without_keys_datasets_have_errors(pools: Callable[[str], Any]) -> None:
    golden = pools("encrypted")
    with import_pool(search=[golden.dir]) as pool:
        found = {entry["dataset"]: entry for entry in entries(pool) if "error" in entry}
        assert "load the key" in found["tank-encrypted/enc"]["error"]
        result = compare(entries(pool), read_manifest(json.dumps(golden.manifest)))
    assert any("load the key" in line for line in result)


def test_lines_and_back(pools: Callable[[str], Any]) -> None:
    golden = pools("version28")
    with import_pool(search=[golden.dir]) as pool:
        lines = "\n".join(json.dumps(entry) for entry in entries(pool)) + "\n"
        again = compare(entries(pool), read_manifest(lines))
    assert again.compared == len(lines.splitlines())
    assert len(again) == 0


FILE = {"dataset": "t", "path": "a", "type": "file", "size": 1, "sha256": "x", "object": 5}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"size": 2}, ["t:/a: size is 2, in the manifest 1"]),
        ({"object": 6}, ["t:/a: object is 6, in the manifest 5"]),
        ({"xattr": {"user.a": "00"}}, ['t:/a: xattr is {"user.a": "00"}, in the manifest absent']),
        ({"path": "b\n"}, ["t:/b\\n is not in the manifest", "t:/a is missing"]),
        ({"path": "b", "error": "lost"}, ["t:/b: lost", "t:/a is missing"]),
        ({"error": "lost"}, ["t:/a: lost"]),
    ],
)
def test_differences(change: dict[str, Any], expected: list[str]) -> None:
    assert compare([FILE | change], [FILE]).differences == expected


def test_what_is_not_told_is_not_compared() -> None:
    without = {name: value for name, value in FILE.items() if name != "object"}
    assert list(compare([FILE], [without])) == []
    other = {"dataset": "u@s", "path": ".", "type": "dir"}
    assert list(compare([FILE], [FILE, other], below="t")) == []
    assert list(compare([FILE], [FILE, other])) == ["u@s:/ is missing"]


def test_what_is_no_manifest() -> None:
    for text in ("nonsense", '{"dataset": 5}', "[1, 2]", '{"datasets": {"a": 5}}'):
        with pytest.raises(UsageError):
            read_manifest(text)
    assert read_manifest("") == []


# ---- checksums ------------------------------------------------------------------------------------


class Sparse(ObjectFile):
    """A file of some ranges of bytes."""

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        self.size = size
        self.parts = parts

    def data_ranges(self) -> list[tuple[int, int]]:
        return [(at, len(data)) for at, data in self.parts.items()]

    def pread(self, buffer: Any, offset: int, **_: Any) -> int:
        base = max(at for at in self.parts if at <= offset)
        view = memoryview(buffer)
        view[:] = self.parts[base][offset - base : offset - base + len(view)]
        return len(view)


def test_holes_count_as_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "PIECE", 100)
    whole = bytearray(5_000_000)
    whole[1000:1300], whole[4_000_000:4_000_001] = b"a" * 300, b"b"
    file = Sparse(len(whole), {1000: b"a" * 300, 4_000_000: b"b"})
    assert digest.sha256_of(file) == hashlib.sha256(whole).hexdigest()


@pytest.mark.parametrize("piece", [7, 100, 1 << 20])
def test_runs_without_zeros_at_their_ends(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(digest, "PIECE", piece)
    data = bytes(50) + b"abc" + bytes(40) + b"def" + bytes(60)
    file = Sparse(10**6, {512: data, 4096: bytes(300), 8192: b"x"})
    middle = b"abc" + bytes(40) + b"def"
    assert digest.nonzero_runs(file) == [
        (562, 46, hashlib.sha256(middle).hexdigest()),
        (8192, 1, hashlib.sha256(b"x").hexdigest()),
    ]


def test_too_many_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in millions of pieces would have become an entry of gigabytes."""
    monkeypatch.setattr(digest, "RUNS_MAX", 5)
    file = Sparse(10**6, dict.fromkeys(range(0, 1000, 2), b"x"))
    with pytest.raises(LimitError, match="too many pieces"):
        digest.nonzero_runs(file)


def test_damage_is_told_by_file(pools: Callable[[str], Any], tmp_path: Path) -> None:
    """One disk, no copies: a hit file has an error, its neighbours are whole."""
    folder = pools("dedup-legacy").copy(tmp_path / "images")
    reference = read_manifest(json.dumps(pools("dedup-legacy").manifest))
    with import_pool(search=[folder]) as pool:
        vfs = next(ds.fs() for ds in pool.datasets() if ds.type == "filesystem" and len(list(ds.fs().tree())) > 20)
        path, victim = next((p, z) for p, z in vfs.tree() if z.type == "file" and 4096 < z.size < 1 << 20)
        bp = victim.dnode.bps(0, 1)[0]
        offset = int((bp["dva"][0, 1] & (2**63 - 1)) << 9) + (4 << 20)
        name = vfs.name
    with next(folder.glob("*.img")).open("r+b") as image:
        image.seek(offset)
        image.write(b"damage" * 20)
    with import_pool(search=[folder]) as pool:
        result = compare(entries(pool), reference)
    assert any(line.startswith(f"{name}:/{path}: ") and "checksum" in line for line in result)
    assert result.compared == len(reference)
