"""Intel's ISA-L as a peer: ``xor_gen`` for P, ``pq_gen`` for P and Q, ``ec_encode_data`` for everything.

``pq_gen`` weighs vector i by 2^i, so raidz's Q comes out when the data columns are handed over in reverse order. The
library chooses its instruction set by itself. Tables for ``ec_encode_data`` are made once, before the measurement.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from . import gf256, turns
from .stripes import Stripes, Task, pointers


def address(library: ctypes.CDLL, name: str) -> int:
    value = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert value is not None
    return value


class Raid:
    """The functions for RAID; they do P, P and Q, and whatever a plain sum rebuilds."""

    def __init__(self, library: ctypes.CDLL, tag: str) -> None:
        self.library = library
        self.label = f"ISA-L raid{tag}"

    def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
        data = list(range(task.nparity, task.width))
        made = task.targets or tuple(range(task.nparity))
        plain = [c for c in task.sources if c != made[0]] if task.targets else data
        if made == (0, 1):
            vectors = [*reversed(data), 0, 1]
            name = "pq_gen"
        elif len(made) == 1 and (made[0] == 0 or 0 in task.sources):
            vectors = [*plain, made[0]]
            name = "xor_gen"
        else:
            return None
        table = stripes.picked(vectors)
        words = turns.rows(stripes.count, len(vectors), stripes.block, pointers(table))
        return turns.function(address(self.library, name), words, table)


class Codes:
    """The functions for erasure codes, with a matrix."""

    def __init__(self, library: ctypes.CDLL, tag: str) -> None:
        self.library = library
        self.label = f"ISA-L ec{tag}"
        self.kept: dict[Task, NDArray[np.uint8]] = {}

    def tables(self, task: Task, sources: Sequence[int], targets: Sequence[int]) -> NDArray[np.uint8]:
        if task not in self.kept:
            rows = gf256.rebuilding(task.ndata, task.nparity, sources, targets)
            matrix = np.array(rows, np.uint8)
            room = np.zeros(32 * matrix.size + 64, np.uint8)
            made = room[-room.ctypes.data % 64 :][: 32 * matrix.size]
            self.library.ec_init_tables(
                task.ndata, len(targets), ctypes.c_void_p(matrix.ctypes.data), ctypes.c_void_p(made.ctypes.data)
            )
            self.kept[task] = made
        return self.kept[task]

    def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
        sources = task.sources if task.targets else list(range(task.nparity, task.width))
        targets = list(task.targets) or list(range(task.nparity))
        tables = self.tables(task, sources, targets)
        src, dst = stripes.picked(sources), stripes.picked(targets)
        words = turns.rows(
            stripes.count, stripes.block, task.ndata, len(targets), tables.ctypes.data, pointers(src), pointers(dst)
        )
        return turns.function(address(self.library, "ec_encode_data"), words, (tables, src, dst))


def peers(paths: Sequence[str]) -> list[Raid | Codes]:
    """Peers out of the libraries named, or the installed one if there is one."""
    found = list(paths) or [p for p in [ctypes.util.find_library("isal")] if p]
    result: list[Raid | Codes] = []
    for i, path in enumerate(found):
        library = ctypes.CDLL(path)
        tag = f" #{i + 1}" if len(found) > 1 else ""
        result += [Raid(library, tag), Codes(library, tag)]
    return result
