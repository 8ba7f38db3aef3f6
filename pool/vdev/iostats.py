"""How much each leaf has read and written since its pool was opened.

Whoever moves a batch hands over its columns as they are; they are added up when somebody asks, or when enough of them
wait, so that counting costs a hot path next to nothing.

A column of a block is one operation, whether or not the kernel moves adjacent ones in one call. Parity read to rebuild
a block counts where the block's data turned out to be wrong.

Source: OpenZFS, vdev.c (``vdev_stat_update``), of which operations, bytes and flushes are kept here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock
from time import monotonic

import numpy as np

from .layout import Bools, Columns

#: Batches that may wait, and columns in all; more are added up at once.
WAITING_MAX, COLUMNS_MAX = 256, 1 << 14

_READS, _READ_BYTES, _WRITES, _WRITE_BYTES, _FLUSHES = range(5)


@dataclass(frozen=True, slots=True)
class LeafIo:
    """What one leaf (or several together) did: operations, bytes moved, flushes."""

    reads: int = 0
    read_bytes: int = 0
    writes: int = 0
    write_bytes: int = 0
    flushes: int = 0

    def __add__(self, other: LeafIo) -> LeafIo:
        return LeafIo(*(a + b for a, b in zip(self.values(), other.values())))

    def __sub__(self, other: LeafIo) -> LeafIo:
        return LeafIo(*(a - b for a, b in zip(self.values(), other.values())))

    def values(self) -> tuple[int, int, int, int, int]:
        """The five figures, in their order."""
        return self.reads, self.read_bytes, self.writes, self.write_bytes, self.flushes


class IoStats:
    """Counters of the leaves of one pool. Any thread may count and ask."""

    def __init__(self) -> None:
        self._started = monotonic()
        self._waiting: deque[tuple[int, Columns, Bools | bool]] = deque()
        self._columns = 0  # about how many wait; only says when to add up
        self._sums = np.zeros((5, 0), np.int64)
        self._others: dict[int, list[int]] = {}  # by leaf, not in the sums yet: a list is quicker than an array
        self._lock = Lock()

    @property
    def seconds(self) -> float:
        """How long it has been counting."""
        return monotonic() - self._started

    def read(self, columns: Columns, parity: Bools | bool) -> None:
        """Columns were read: data, and where ``parity`` says so (everywhere, nowhere, in these) parity too."""
        self._put(_READS, columns, parity)

    def written(self, columns: Columns) -> None:
        """Columns were written."""
        self._put(_WRITES, columns, True)

    def count(self, leaf: int, *, reads: int = 0, writes: int = 0, size: int = 0, flushes: int = 0) -> None:
        """Operations of other kinds on one leaf: labels and uberblocks, log blocks, flushes.

        Args:
            size: bytes of the reads or writes.
        """
        with self._lock:
            row = self._others.get(leaf)
            if row is None:
                row = self._others[leaf] = [0] * 5
            row[_READS] += reads
            row[_READ_BYTES] += size if reads else 0
            row[_WRITES] += writes
            row[_WRITE_BYTES] += size if writes else 0
            row[_FLUSHES] += flushes

    def of(self, leaf: int) -> LeafIo:
        """What leaf number ``leaf`` did so far."""
        self._fold()
        with self._lock:
            if leaf >= self._sums.shape[1]:
                return LeafIo()
            return LeafIo(*self._sums[:, leaf].tolist())

    def total(self) -> LeafIo:
        """What all leaves did so far."""
        self._fold()
        with self._lock:
            return LeafIo(*self._sums.sum(axis=1).tolist())

    def _put(self, kind: int, columns: Columns, parity: Bools | bool) -> None:
        self._waiting.append((kind, columns, parity))
        self._columns += len(columns)
        if len(self._waiting) >= WAITING_MAX or self._columns >= COLUMNS_MAX:
            self._fold()

    def _fold(self) -> None:
        with self._lock:
            for leaf, row in self._others.items():
                self._grow(leaf + 1)
                self._sums[:, leaf] += row
            self._others.clear()
            self._columns = 0
            while True:
                try:
                    kind, columns, parity = self._waiting.popleft()
                except IndexError:
                    return
                self._add(kind, columns, parity)

    def _add(self, kind: int, columns: Columns, parity: Bools | bool) -> None:
        moved = (columns["leaf"] >= 0) & (columns["stored"] != 0) & ((columns["parity"] < 0) | parity)
        leaf = columns["leaf"][moved]
        if not len(leaf):
            return
        self._grow(int(leaf.max()) + 1)
        self._sums[kind] += np.bincount(leaf, minlength=self._sums.shape[1])
        # Sums of 64-bit floats are exact below 8 PiB, and a batch is far smaller.
        self._sums[kind + 1] += np.bincount(leaf, columns["stored"][moved], self._sums.shape[1]).astype(np.int64)

    def _grow(self, count: int) -> None:
        have = self._sums.shape[1]
        if count > have:
            self._sums = np.concatenate([self._sums, np.zeros((5, count - have), np.int64)], axis=1)
