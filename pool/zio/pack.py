"""How new blocks are stored: as nothing, in their pointers, compressed, or as they are.

The rules are OpenZFS's: a block of zeros is a hole; compression must save an eighth of the block and whole sectors of
the smallest allocation there is; what compresses into 112 bytes can go into the pointer. Sizes are rounded up to that
smallest allocation, so a stored size is not always a multiple of a vdev's sector.

Source: OpenZFS, zio.c (zio_write_compress), zio_compress.c, spa_misc.c (spa_min_alloc, spa_gcd_alloc).
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockwrite

from ..ondisk.blkptr import EMBEDDED_MAX
from ..vdev.tree import VdevTree
from . import compress
from .compress import Compression
from .gang import min_alloc

U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rounding:
    """Sizes of allocations: the smallest of any vdev with data, and the greatest common divisor of these."""

    least: int = 512
    unit: int = 512

    @classmethod
    def of(cls, tree: VdevTree) -> Rounding:
        """That of a pool. Logs do not count."""
        tops = [top for top in tree.tops if not top.is_log and top.type not in ("indirect", "hole", "missing")]
        sizes = [min_alloc(top) for top in tops]
        return cls(min(sizes), gcd(*sizes)) if sizes else cls()

    def up(self, size: int) -> int:
        """A stored size."""
        return self.least if size <= self.least else -(-size // self.unit) * self.unit


@dataclass(slots=True)
class Packed:
    """What is to be done with each of n blocks.

    Attributes:
        hole: nothing is stored.
        embedded: number -> bytes that go into the pointer.
        psize: stored bytes; compress: id. Of blocks neither hole nor embedded.
        sources: buffers; source, at: index of the one with a block's stored bytes, and their place there.
    """

    hole: Bools
    embedded: dict[int, bytes]
    psize: U64
    compress: NDArray[np.uint8]
    sources: list[Any]
    source: NDArray[np.uint32]
    at: U64

    @property
    def stored(self) -> NDArray[np.int64]:
        """Numbers of the blocks that need room on a vdev."""
        there = ~self.hole
        there[list(self.embedded)] = False
        return np.flatnonzero(there)


def sources_of(data: Any, lsize: int) -> tuple[list[Any], int]:
    """The caller's blocks as buffers, and how many blocks there are: one buffer with all of them, or one each.

    Raises:
        ValueError: not uint8 (n, lsize), or a buffer of another size.
    """
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != lsize or not data.flags.c_contiguous:
            raise ValueError(f"an array of blocks is uint8, (n, {lsize}) and contiguous; got {data.dtype} {data.shape}")
        return [data], len(data)
    buffers = list(data)
    for number, buffer in enumerate(buffers):
        size = buffer.nbytes if isinstance(buffer, np.ndarray | memoryview) else len(buffer)
        if size != lsize:
            raise ValueError(f"block {number} has {size} bytes instead of {lsize}")
    return buffers, len(buffers)


def pack(
    data: Any,
    lsize: int,
    number: int,
    level: int,
    *,
    embed: bool,
    rounding: Rounding,
    executor: Executor | None = None,
) -> Packed:
    """Decide for a batch.

    Args:
        data: uint8 (n, lsize), or n contiguous buffers of lsize bytes.
        lsize: bytes, a multiple of 512.
        number: compression id, ``Compression.OFF`` for none; ``Compression.EMPTY`` for none but of zeros.
        level: of zstd, as on disk; 0: the default.
        embed: small results may go into the pointer.
        executor: threads for compressing.

    Raises:
        UnsupportedError: an unknown compression.
    """
    sources, count = sources_of(data, lsize)
    shared = isinstance(data, np.ndarray)
    order = np.arange(count, dtype=np.uint64)
    at = order * np.uint64(lsize) if shared else np.zeros(count, np.uint64)
    source = np.zeros(count, np.uint32) if shared else order.astype(np.uint32)
    result = Packed(
        hole=np.zeros(count, bool),
        embedded={},
        psize=np.full(count, lsize, np.uint64),
        compress=np.full(count, Compression.OFF, np.uint8),
        sources=sources,
        source=source,
        at=at,
    )
    if number == Compression.OFF or not count:
        return result
    blockwrite.are_zero(sources, at, result.psize, result.hole.view(np.uint8))
    if number != Compression.EMPTY:
        _squeeze(result, lsize, number, level, embed, rounding, executor)
    return result


def limit(lsize: int, number: int, rounding: Rounding) -> int:
    """The most bytes a compressed block may have to be kept."""
    most = lsize - lsize // 8
    if number != Compression.ZLE:
        most -= most % rounding.unit
    return most if most >= rounding.least else EMBEDDED_MAX


def _squeeze(
    result: Packed,
    lsize: int,
    number: int,
    level: int,
    embed: bool,
    rounding: Rounding,
    executor: Executor | None,
) -> None:
    """Compress what is no hole, and keep what has become small enough."""
    most = limit(lsize, number, rounding)
    encode = compress.encoder(number, level)
    views = [memoryview(buffer).cast("B") for buffer in result.sources]
    rows = np.flatnonzero(~result.hole).tolist()

    def one(row: int) -> bytes | None:
        at = int(result.at[row])
        return encode(views[int(result.source[row])][at : at + lsize], most)

    done = list(executor.map(one, rows) if executor is not None and len(rows) > 1 else map(one, rows))
    kept: list[tuple[int, bytes]] = []
    for row, packed in zip(rows, done):
        if packed is None:
            continue
        if embed and len(packed) <= EMBEDDED_MAX:
            result.embedded[row] = packed
        elif rounding.up(len(packed)) < lsize:
            kept.append((row, packed))
    if not kept:
        return
    which = np.array([row for row, _ in kept])
    lengths = np.array([rounding.up(len(packed)) for _, packed in kept], np.uint64)
    start = np.cumsum(lengths) - lengths
    arena = b"".join(packed.ljust(size, b"\0") for (_, packed), size in zip(kept, lengths.tolist()))
    result.psize[which], result.at[which] = lengths, start
    result.source[which] = len(result.sources)
    result.compress[which] = number
    result.sources.append(arena)
