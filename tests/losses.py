"""Disks of a golden pool, lost in various ways: as files that stand in for the images."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any

from uberblock.pool import Pool
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
            {"truncated": truncate, "garbage": overwrite, "unlabelled": unlabel}[way](image, target)
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
