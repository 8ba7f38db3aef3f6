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
from uberblock.kernels import compress as packing

from ..ondisk.blkptr import EMBEDDED_MAX
from ..vdev.tree import VdevTree
from . import compress
from .compress import Compression
from .gang import min_alloc

#: Bytes of blocks a thread compresses at a time.
SLICE_BYTES = 1 << 20

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
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
    rows = np.flatnonzero(~result.hole)
    if not len(rows):
        return
    most = limit(lsize, number, rounding)
    # Rows of the arena have room for what a stream is rounded up to; zeros follow it there.
    stride = rounding.up(most)
    if number in compress.KERNEL_NAMES:
        arena, sizes = _in_kernel(result, rows, lsize, number, most, stride, executor)
    else:
        arena, sizes = _in_libraries(result, rows, lsize, number, level, most, stride, executor)
    there = sizes != 0
    if embed:
        for i in np.flatnonzero(there & (sizes <= EMBEDDED_MAX)).tolist():
            result.embedded[int(rows[i])] = arena[i * stride : i * stride + int(sizes[i])].tobytes()
        there &= sizes > EMBEDDED_MAX
    least, unit = np.uint64(rounding.least), np.uint64(rounding.unit)
    rounded = np.where(sizes <= least, least, (sizes + unit - np.uint64(1)) // unit * unit)
    kept = np.flatnonzero(there & (rounded < lsize))
    which = rows[kept]
    result.psize[which], result.at[which] = rounded[kept], kept.astype(np.uint64) * np.uint64(stride)
    result.source[which] = len(result.sources)
    result.compress[which] = number
    result.sources.append(arena)


def _in_kernel(
    result: Packed, rows: I64, lsize: int, number: int, most: int, stride: int, executor: Executor | None
) -> tuple[NDArray[np.uint8], U64]:
    """Streams, one in each row of the arena, and their lengths; 0: does not fit."""
    arena = np.empty(len(rows) * stride, np.uint8)
    sizes = np.zeros(len(rows), np.uint64)
    source, at = result.source[rows], result.at[rows]
    name = compress.KERNEL_NAMES[number]

    def part(a: int) -> None:
        b = a + step
        room = arena[a * stride : b * stride]
        packing.many(name, result.sources, source[a:b], at[a:b], lsize, most, room, stride, sizes[a:b])

    step = len(rows) if executor is None else max(1, SLICE_BYTES // lsize)
    starts = range(0, len(rows), step)
    list(map(part, starts) if executor is None or len(starts) == 1 else executor.map(part, starts))
    return arena, sizes


def _in_libraries(
    result: Packed, rows: I64, lsize: int, number: int, level: int, most: int, stride: int, executor: Executor | None
) -> tuple[NDArray[np.uint8], U64]:
    """The same by the libraries' functions, block by block."""
    encode = compress.encoder(number, level)
    views = [memoryview(buffer).cast("B") for buffer in result.sources]
    arena = np.zeros(len(rows) * stride, np.uint8)
    sizes = np.zeros(len(rows), np.uint64)

    def one(i: int) -> None:
        row = rows[i]
        at = int(result.at[row])
        packed = encode(views[int(result.source[row])][at : at + lsize], most)
        if packed is not None:
            arena[i * stride : i * stride + len(packed)] = np.frombuffer(packed, np.uint8)
            sizes[i] = len(packed)

    order = range(len(rows))
    list(map(one, order) if executor is None or len(rows) == 1 else executor.map(one, order))
    return arena, sizes
