"""Holding an open pool against what OpenZFS showed of it: entry by entry, all of them or a sample.

The manifests of the collection were taken from mounted pools. Nothing of the package's own comparison is used here,
so that an error in it cannot hide one in the reading.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import SHIPPED, pool_kinds
from uberblock.pool import Pool, PoolError
from uberblock.pool.manifest import entries
from uberblock.pool.vfs import Vfs

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


@dataclass(slots=True)
class Outcome:
    """What came of a comparison: how many entries are right, what is wrong, and what the pool says it cannot read."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, place: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """One entry, of the pool and of the manifest."""
        if found == expected:
            self.right += 1
        elif "error" in found:
            self.unreadable.append(f"{place}: {found['error']}")
        else:
            self.wrong.append(f"{place} is {found}, in the manifest {expected}")

    @property
    def all_right(self) -> bool:
        """Everything could be read, and is as it should be."""
        return self.right > 0 and not self.wrong and not self.unreadable


# ---- everything ------------------------------------------------------------------------------------------------------


def compare_all(pool: Pool, datasets: Datasets, *, only_snapshots: bool = False) -> Outcome:
    """Hold a pool against the datasets of a manifest: names, kinds, and every entry of every tree."""
    outcome = Outcome(wrong=dataset_differences(pool, datasets))
    wanted = dict(_wanted(datasets, only_snapshots))
    for entry in entries(pool):
        name, path = entry.pop("dataset"), entry.pop("path", "")
        if only_snapshots and "@" not in name:
            continue
        place = f"{name}:{path}"
        expected = wanted.pop((name, path), None)
        if expected is None and "error" not in entry:
            outcome.wrong.append(f"{place} is not in the manifest: {entry}")
            continue
        if path == "." and "@" in name and expected is not None:
            # A mounted snapshot's top folder has another number than its object.
            expected.pop("object", None)
        if not path:
            entry.pop("size", None)
        outcome.add(place, entry, expected or {})
    # What is in a folder that cannot be read is not seen at all.
    missing = [f"{name}:{path} is missing" for name, path in wanted]
    (outcome.unreadable if outcome.unreadable else outcome.wrong).extend(missing)
    return outcome


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

Chosen = list[tuple[str, list[str]]]


def choose(datasets: Datasets, count: int, rng: random.Random) -> Chosen:
    """Some volumes, and some entries of some datasets: (dataset, paths); volumes have no paths."""
    trees = [name for name, one in datasets.items() if one.get("tree")]
    volumes = [name for name, one in datasets.items() if "volume_sha256" in one]
    chosen: Chosen = [(name, []) for name in rng.sample(volumes, min(1, len(volumes)))]
    names = rng.sample(trees, min(max(1, count // 8), len(trees)))
    for name in names:
        tree = datasets[name]["tree"]
        small = [path for path, facts in tree.items() if facts["size"] < LARGE_FILE or facts["type"] != "file"]
        files = [path for path in small if "sha256" in tree[path]]
        few = count // len(names) + 1
        paths = rng.sample(files, min(few, len(files))) + rng.sample(small, min(few // 4 + 1, len(small)))
        chosen.append((name, paths))
    return chosen


def compare_some(pool: Pool, datasets: Datasets, chosen: Chosen) -> Outcome:
    """Hold entries that ``choose`` chose against the manifest."""
    outcome = Outcome()
    for name, paths in chosen:
        if not paths:
            outcome.add(name, _volume(pool, name), {"sha256": datasets[name]["volume_sha256"]})
            continue
        try:
            vfs = pool.fs(name)
        except PoolError as error:
            outcome.unreadable.append(f"{name}: {error}")
            continue
        for path in paths:
            expected = dict(datasets[name]["tree"][path])
            found = describe(vfs, path)
            if path == "." and "@" in name:
                expected["object"] = found.get("object")
            outcome.add(f"{name}:{path}", found, expected)
    return outcome


def _volume(pool: Pool, name: str) -> dict[str, Any]:
    try:
        return {"sha256": hashlib.sha256(pool.volume(name).open().readall()).hexdigest()}
    except PoolError as error:
        return {"error": error}


def describe(vfs: Vfs, path: str) -> dict[str, Any]:
    """A manifest's entry, made from what the file system view says; or the error."""
    try:
        return _describe(vfs, "/" if path == "." else "/" + path)
    except PoolError as error:
        return {"error": error}


def _describe(vfs: Vfs, place: str) -> dict[str, Any]:
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
