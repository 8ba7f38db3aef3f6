"""Disks of a golden pool, lost in various ways: as files that stand in for the images."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, product
from pathlib import Path
from typing import Any

from conftest import GoldenPool
from golden import Outcome, choose, compare_some, dataset_differences
from uberblock.pool import Pool, import_pool
from uberblock.pool.ondisk import label
from uberblock.pool.vdev.vdev import Vdev

WAYS = ("missing", "truncated", "garbage", "unlabelled")
SHORT = 1 << 20  # bytes left of a truncated image

Loss = frozenset[str]  # names of images


class LostDisks:
    """Makes the stand-ins of one pool's images, each once.

    Args:
        images: the pool's.
        folder: where the stand-ins go.
    """

    def __init__(self, images: list[Path], folder: Path) -> None:
        self.images = images
        self.folder = folder

    def search(self, lost: dict[str, str]) -> list[Path]:
        """Where to look for the pool when some images (by name) are lost, each in its way."""
        found = []
        for image in self.images:
            way = lost.get(image.name)
            if way is None:
                found.append(image)
            elif way != "missing":
                found.append(self._stand_in(image, way))
        return found

    def _stand_in(self, image: Path, way: str) -> Path:
        target = self.folder / f"{way}-{image.name}"
        if not target.exists():
            # Another worker may be making it too: both make the same.
            new = target.with_suffix(f".{os.getpid()}")
            {"truncated": truncate, "garbage": overwrite, "unlabelled": unlabel}[way](image, new)
            new.chmod(0o444)
            new.replace(target)
        return target


def truncate(image: Path, target: Path) -> None:
    """Only the first MiB: the two labels in front, and nothing of the data."""
    with image.open("rb") as source:
        target.write_bytes(source.read(SHORT))


def overwrite(image: Path, target: Path) -> None:
    """Good labels, and between them garbage wherever there was data."""
    rng = random.Random(image.name)
    size = image.stat().st_size
    inner = (label.DATA_START, size - label.END_SIZE)
    with image.open("rb") as source, target.open("wb") as out:
        out.truncate(size)
        for start, end in extents(source.fileno()):
            source.seek(start)
            data = source.read(end - start)
            low, high = max(start, inner[0]), min(end, inner[1])
            if low < high:
                data = data[: low - start] + rng.randbytes(high - low) + data[high - start :]
            out.seek(start)
            out.write(data)


def unlabel(image: Path, target: Path) -> None:
    """All data, and no label."""
    with image.open("rb") as source, target.open("wb") as out:
        size = os.fstat(source.fileno()).st_size
        out.truncate(size)
        for start, end in extents(source.fileno()):
            source.seek(start)
            out.seek(start)
            out.write(source.read(end - start))
        for index in range(label.LABELS):
            out.seek(label.offset(size, index))
            out.write(bytes(label.LABEL_SIZE))


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Where a file has data."""
    at, size = 0, os.fstat(descriptor).st_size
    while at < size:
        try:
            start = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:
            return
        at = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, at


# ---- what may be lost ------------------------------------------------------------------------------------------------


def tolerances(pool: Pool) -> list[tuple[list[str], int]]:
    """For every top-level vdev its images that are there, and how many more of them it can lose (a log: none)."""
    found = []
    for top in pool.tree.tops:
        leaves = [leaf for leaf in top.leaves() if leaf.device is not None] if top.asize else []
        if leaves:
            found.append(([Path(leaf.path).name for leaf in leaves], _spare(top)))
    return found


def _spare(top: Vdev) -> int:
    if top.nparity:
        gone = sum(1 for child in top.children if not any(leaf.device is not None for leaf in child.leaves()))
        return top.nparity - gone
    return max(0, len(list(top.leaves())) - 1)


def within(tops: list[tuple[list[str], int]]) -> list[Loss]:
    """Every combination of lost images that redundancy makes up for, but for losing nothing."""
    choices = [
        [frozenset(some) for count in range(most + 1) for some in combinations(names, count)] for names, most in tops
    ]
    every = [frozenset().union(*some) for some in product(*choices)]
    return sorted((loss for loss in every if loss), key=lambda loss: (len(loss), sorted(loss)))


def beyond(tops: list[tuple[list[str], int]]) -> list[tuple[int, Loss]]:
    """One more than can be made up for, on one top-level vdev: (which, images)."""
    return [
        (number, frozenset(some))
        for number, (names, most) in enumerate(tops)
        for some in combinations(names, most + 1)
    ]


def pick(every: list[Any], count: int, seed: str) -> list[Any]:
    """All, or if there are many some of them in their order."""
    if len(every) <= count:
        return every
    return [every[k] for k in sorted(random.Random(seed).sample(range(len(every)), count))]


def share(every: list[Any], count: int, way: str, seed: str) -> list[Any]:
    """All, or if there are many a part of them: of several ways together as many different ones as can be."""
    if len(every) <= count:
        return every
    order = random.Random(seed).sample(range(len(every)), len(every))
    first = (*WAYS, "mixed").index(way) * count
    return [every[k] for k in sorted({order[(first + k) % len(every)] for k in range(count)})]


# ---- golden pools that lose disks ------------------------------------------------------------------------

REDUNDANT = [
    "checkpoint", "classes", "compat", "compat-old", "damaged", "damaged-mirror", "degraded", "draid", "mirror",
    "raidz-expansion", "raidz1", "raidz2", "raidz3", "stripes", "version28", "zil-slog",
]  # fmt: skip

#: Disks with damage, or stale: redundancy is used up but for these very disks.
HURT = {"damaged": {"d1.img", "d2.img"}, "damaged-mirror": {"d0.img"}, "degraded": {"d1.img"}}

LOGGED = {"zil-slog"}
#: Of more combinations than these a part is taken, another one for each way. UBERBLOCK_LOSSES: for longer runs.
COMBINATIONS = int(os.environ.get("UBERBLOCK_LOSSES", "12"))
ENTRIES = 2 * COMBINATIONS  # compared of each; all are compared in ``test_all_of_it``


class LosingPool:
    """A golden pool some of whose disks get lost."""

    def __init__(self, golden: GoldenPool, folder: Path) -> None:
        self.kind = golden.kind
        self.name = golden.manifest["pool"]
        self.manifest = golden.manifest
        self.datasets = golden.manifest["datasets"]
        if golden.kind in LOGGED:
            self.datasets = {name: one for name, one in self.datasets.items() if "@" in name}
        self.keys = golden.manifest["keys"]
        self.disks = LostDisks(golden.images, folder)
        with import_pool(search=golden.dir) as pool:
            self.tops = tolerances(pool)
            self.names = {one.name for one in pool.datasets()}

    @property
    def bearable(self) -> list[Loss]:
        """Every combination of lost disks that redundancy still makes up for."""
        hurt = HURT.get(self.kind)
        return [loss for loss in within(self.tops) if hurt is None or loss <= hurt]

    def ways(self, loss: Loss, way: str) -> dict[str, str]:
        """How each disk of a loss is lost."""
        if way != "mixed":
            return dict.fromkeys(loss, way)
        rng = random.Random(f"{self.kind} {sorted(loss)}")
        return {name: rng.choice(WAYS) for name in sorted(loss)}

    @contextmanager
    def opened(self, lost: dict[str, str], **options: bool) -> Iterator[Pool]:
        """The pool without some images (by name), each lost in its way."""
        with import_pool(search=self.disks.search(lost), keys=self.keys, **options) as pool:
            yield pool

    def compare(self, pool: Pool, loss: Loss, seed: str) -> Outcome:
        """Hold datasets, and some of what is in them, against the manifest."""
        chosen = choose(self.datasets, ENTRIES, random.Random(f"{seed} {sorted(loss)}"))
        outcome = compare_some(pool, self.datasets, chosen)
        outcome.wrong += dataset_differences(pool, self.manifest["datasets"])
        return outcome
