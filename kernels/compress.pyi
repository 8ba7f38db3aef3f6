"""Compression of blocks: LZJB, ZLE, LZ4, framing included.

The lock of the interpreter is released; any thread may call.
"""

from collections.abc import Sequence
from typing import Any, Final

IDS: Final[dict[str, int]]
"""Name -> number of the compression on disk."""

def encode(name: str, src: Any, dst: Any) -> int:
    """Pack one block into ``dst``; the number of bytes of the stream, or 0 when it does not fit.

    Raises:
        ValueError: an unknown name, more than 2^30 bytes, or buffers that overlap.
    """

def many(
    name: str,
    sources: Sequence[Any],
    source: Any,
    offsets: Any,
    length: int,
    most: int,
    out: Any,
    stride: int,
    sizes: Any,
) -> None:
    """Pack n blocks of one size.

    Args:
        sources: contiguous buffers.
        source: n uint32: which of them holds a block; offsets: n uint64: its place there, in bytes.
        length: bytes of a block.
        most: bytes a stream may have.
        out: uint8, at least n * stride: block i is packed to ``out[i * stride:]``, zeros after it.
        stride: at least ``most``.
        sizes: n uint64: receives the streams' lengths, 0 for those that do not fit.

    Raises:
        ValueError: an unknown name, or ranges that leave their buffers.
    """
