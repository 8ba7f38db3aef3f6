"""Decompression of blocks: LZJB, ZLE and LZ4 as OpenZFS stores them.

Each function fills ``dst`` exactly, or raises ValueError; ``dst`` then holds nothing of use. ``src`` may
go on after the end of the stream, as a stored block does. The buffers must not overlap. The interpreter lock is
released.
"""

from typing_extensions import Buffer

def lzjb(src: Buffer, dst: Buffer) -> None: ...
def zle(src: Buffer, dst: Buffer) -> None: ...
def lz4(src: Buffer, dst: Buffer) -> None:
    """``src`` starts with the length of the LZ4 block, four bytes, big-endian."""
