"""Checksums of files and volumes, many small ones at a time.

Small files are read in batches over all of them; large ones in pieces, each hashed in another thread while the next
is being read. Files that share all their blocks with one seen before (in snapshots and clones most do) are not read
again: equal block pointers are equal content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np

from ..dmu.dnode import Dnode
from ..errors import LimitError, PoolError
from ..zpl.batch import read_small
from ..zpl.file import ObjectFile

PIECE = 8 << 20
SEEN_MAX = 1 << 18  # checksums remembered
RUNS_MAX = 1 << 18  # ranges of one file that are described

EMPTY = hashlib.sha256().hexdigest()
_ZEROS = bytes(1 << 20)

#: A checksum, or why there is none.
Result = str | PoolError


class Seen:
    """Checksums by block pointers: of files whose content is in exactly the same blocks."""

    def __init__(self) -> None:
        self._known: dict[bytes, str] = {}

    @staticmethod
    def key(dnode: Dnode, size: int) -> bytes:
        """What content depends on: size, shape of the block tree, and its topmost pointers."""
        shape = (size, dnode.datablksz, dnode.nlevels, dnode.indblkshift, dnode.maxblkid)
        return repr(shape).encode() + hashlib.blake2b(dnode.blkptr.tobytes(), digest_size=32).digest()

    def get(self, key: bytes) -> str | None:
        """The checksum, if known."""
        return self._known.get(key)

    def put(self, key: bytes, value: str) -> None:
        """Remember a checksum."""
        if len(self._known) >= SEEN_MAX:
            self._known.clear()
        self._known[key] = value


def hash_zeros(update: Callable[[Any], object], length: int) -> None:
    """Hash so many zero bytes."""
    for _ in range(length // len(_ZEROS)):
        update(_ZEROS)
    update(memoryview(_ZEROS)[: length % len(_ZEROS)])


def sha256_of(content: ObjectFile, executor: Executor | None = None) -> str:
    """SHA-256 of a whole file or volume, in hex. Holes are not read.

    Raises:
        ChecksumError, MissingDeviceError ...: it cannot be read.
    """
    digest = hashlib.sha256()
    at = 0
    for start, length in content.data_ranges():
        hash_zeros(digest.update, start - at)
        stream(content, start, length, digest.update, executor)
        at = start + length
    hash_zeros(digest.update, content.size - at)
    return digest.hexdigest()


def stream(
    content: ObjectFile, start: int, length: int, use: Callable[[memoryview], object], executor: Executor | None
) -> None:
    """Hand a range in pieces to ``use``; with an executor the next piece is read meanwhile."""
    size = min(PIECE, length)
    buffers = [bytearray(size) for _ in range(2 if executor and length > PIECE else 1)]
    pending = None
    for number, at in enumerate(range(start, start + length, PIECE)):
        view = memoryview(buffers[number % len(buffers)])[: min(PIECE, start + length - at)]
        try:
            content.pread(view, at)
        finally:
            # The buffer that is hashed now is the one to be filled next.
            if pending is not None:
                pending.result()
        if executor is None or len(buffers) == 1:
            use(view)
        else:
            pending = executor.submit(use, view)
    if pending is not None:
        pending.result()


def nonzero_runs(content: ObjectFile, executor: Executor | None = None) -> list[tuple[int, int, str]]:
    """(offset, length, SHA-256) of what is left of each range of data without the zeros at its ends.

    Raises:
        LimitError: more of them than there is room for; ChecksumError ...: it cannot be read.
    """
    runs = []
    for start, length in content.data_ranges():
        trimmer = _Trimmer(start)
        stream(content, start, length, trimmer.add, executor)
        if trimmer.length:
            runs.append((trimmer.offset, trimmer.length, trimmer.digest.hexdigest()))
        if len(runs) > RUNS_MAX:
            raise LimitError("a file is in too many pieces to describe each", limit=RUNS_MAX)
    return runs


class _Trimmer:
    """Hashes a range without leading and trailing zeros, of which nobody knows how many will come."""

    def __init__(self, start: int) -> None:
        self.at = start
        self.offset = start
        self.length = 0
        self.waiting = 0  # zeros that count only if something else follows
        self.digest = hashlib.sha256()

    def add(self, piece: memoryview) -> None:
        data = np.frombuffer(piece, dtype=np.uint8)
        here = np.flatnonzero(data)
        size = len(data)
        if not len(here):
            self.waiting += size if self.length else 0
            self.at += size
            return
        first, last = int(here[0]), int(here[-1])
        if self.length:
            hash_zeros(self.digest.update, self.waiting)
            self.length += self.waiting
            first = 0
        else:
            self.offset = self.at + first
        self.digest.update(piece[first : last + 1])
        self.length += last + 1 - first
        self.waiting = size - last - 1
        self.at += size


# ---- batches of small files ---------------------------------------------------------------


def hash_small(files: Sequence[ObjectFile]) -> list[Result]:
    """SHA-256 of several files of one file system, read as one batch."""
    results: list[Result] = []
    for file, pieces in zip(files, read_small(files)):
        if isinstance(pieces, PoolError):
            results.append(pieces)
            continue
        digest = hashlib.sha256()
        at = 0
        for offset, data in pieces:
            hash_zeros(digest.update, offset - at)
            digest.update(data)
            at = offset + len(data)
        hash_zeros(digest.update, file.size - at)
        results.append(digest.hexdigest())
    return results
