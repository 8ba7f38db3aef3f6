"""Holding an open pool against what OpenZFS showed of it: entry by entry, all of them or a sample.

The manifests of the collection were taken from mounted pools. Nothing of the package's own comparison is used here,
so that an error in it cannot hide one in the reading.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SHIPPED, pool_kinds
from uberblock.pool import Pool, PoolError
from uberblock.pool.manifest import entries

Datasets = Mapping[str, Any]
#: Beyond this a file's manifest has runs of data in place of one checksum; samples leave such files out.
LARGE_FILE = 1 << 30
XATTR_INLINE = 64


def shipped() -> set[str]:
    """Kinds of pools that come with the sources."""
    return {path.parent.name for path in SHIPPED.glob("*/pool.tar.xz")}


def params(kinds: Iterable[str] | None = None) -> list[Any]:
    """Test parameters: the kinds that can be had here; those that are not shipped carry the mark ``pools``."""
    here = shipped()
    wanted = pool_kinds() if kinds is None else kinds
    return [kind if kind in here else pytest.param(kind, marks=pytest.mark.pools) for kind in wanted]


def is_pool(kind: str) -> bool:
    """It has disks (and not send streams)."""
    return kind != "sends"


# ---- everything ------------------------------------------------------------------------------------------------------


def differences(pool: Pool, datasets: Datasets, *, only_snapshots: bool = False) -> list[str]:
    """How a pool differs from the datasets of a manifest, in names, kinds, and every entry of every tree."""
    wrong = dataset_differences(pool, datasets)
    wanted = dict(_wanted(datasets, only_snapshots))
    for entry in entries(pool):
        name, path = entry.pop("dataset"), entry.pop("path", "")
        if only_snapshots and "@" not in name:
            continue
        expected = wanted.pop((name, path), None)
        if expected is None:
            wrong.append(f"{name}:{path} is not in the manifest: {entry}")
            continue
        if path == "." and "@" in name:
            # A mounted snapshot's top folder has another number than its object.
            expected.pop("object", None)
        if not path:
            entry.pop("size", None)
        if entry != expected:
            wrong.append(f"{name}:{path} is {entry}, in the manifest {expected}")
    return wrong + [f"{name}:{path} is missing" for name, path in wanted]


def _wanted(datasets: Datasets, only_snapshots: bool) -> Iterable[tuple[tuple[str, str], dict[str, Any]]]:
    for name, dataset in datasets.items():
        if only_snapshots and "@" not in name:
            continue
        if "volume_sha256" in dataset:
            yield (name, ""), {"type": "volume", "sha256": dataset["volume_sha256"]}
        for path, facts in dataset.get("tree", {}).items():
            yield (name, path), dict(facts)


def dataset_differences(pool: Pool, datasets: Datasets) -> list[str]:
    """Datasets, snapshots and bookmarks: names, kinds, guids."""
    kinds = ("filesystem", "volume", "snapshot", "bookmark")
    found = {one.name: (one.type, str(one.guid)) for one in pool.datasets(types=kinds)}
    wanted = {name: (one["type"], one["properties"]["guid"]) for name, one in datasets.items()}
    return [
        f"{name} is {found.get(name, 'missing')}, in the manifest {wanted.get(name, 'missing')}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]


# ---- a sample --------------------------------------------------------------------------------------------------------


def choose(datasets: Datasets, count: int, rng: random.Random) -> list[tuple[str, list[str]]]:
    """Some volumes, and some entries of some datasets: (dataset, paths); volumes have no paths."""
    trees = [name for name, one in datasets.items() if one.get("tree")]
    volumes = [name for name, one in datasets.items() if "volume_sha256" in one]
    chosen: list[tuple[str, list[str]]] = [(name, []) for name in rng.sample(volumes, min(1, len(volumes)))]
    names = rng.sample(trees, min(max(1, count // 8), len(trees)))
    for name in names:
        tree = datasets[name]["tree"]
        small = [path for path, facts in tree.items() if facts["size"] < LARGE_FILE or facts["type"] != "file"]
        files = [path for path in small if "sha256" in tree[path]]
        few = count // len(names) + 1
        paths = rng.sample(files, min(few, len(files))) + rng.sample(small, min(few // 4 + 1, len(small)))
        chosen.append((name, paths))
    return chosen


def sample_differences(pool: Pool, datasets: Datasets, chosen: Iterable[tuple[str, list[str]]]) -> list[str]:
    """How entries that ``choose`` chose differ; what cannot be read is a difference."""
    wrong = []
    for name, paths in chosen:
        try:
            wrong += _volume(pool, name, datasets[name]) if not paths else []
            vfs = pool.fs(name) if paths else None
        except PoolError as error:
            wrong.append(f"{name}: {error}")
            continue
        for path in paths:
            try:
                found = describe(vfs, path)
            except PoolError as error:
                wrong.append(f"{name}:{path}: {error}")
                continue
            expected = dict(datasets[name]["tree"][path])
            if path == "." and "@" in name:
                expected["object"] = found["object"]
            if found != expected:
                wrong.append(f"{name}:{path} is {found}, in the manifest {expected}")
    return wrong


def _volume(pool: Pool, name: str, expected: Mapping[str, Any]) -> list[str]:
    digest = hashlib.sha256(pool.volume(name).open().readall()).hexdigest()
    return [] if digest == expected["volume_sha256"] else [f"{name} has other content"]


def describe(vfs: Any, path: str) -> dict[str, Any]:
    """A manifest's entry, made from what the file system view says."""
    place = "/" if path == "." else "/" + path
    stat = vfs.stat(place)
    facts = {
        "type": stat.type, "mode": f"{stat.mode & 0o7777:04o}", "uid": stat.uid, "gid": stat.gid, "nlink": stat.nlink,
        "size": stat.size, "mtime_ns": stat.mtime_ns, "object": stat.object,
    }  # fmt: skip
    if stat.type == "file":
        facts["sha256"] = hashlib.sha256(vfs.read_bytes(place)).hexdigest()
    if stat.type == "symlink":
        facts["target"] = vfs.readlink(place)
    if stat.rdev is not None:
        facts["rdev"] = list(stat.rdev)
    if xattrs := vfs.xattrs(place):
        facts["xattr"] = {name: _value(value) for name, value in xattrs.items()}
    return facts


def _value(value: bytes) -> str | dict[str, Any]:
    if len(value) <= XATTR_INLINE:
        return value.hex()
    return {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}


# ---- images ----------------------------------------------------------------------------------------------------------


def digest_of(image: Path) -> str:
    """SHA-256 of an image."""
    with image.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
