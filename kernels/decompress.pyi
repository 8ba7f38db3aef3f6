"""Decompression of blocks: LZJB, ZLE and LZ4 as OpenZFS stores them.

Each function fills ``dst`` exactly, or raises ValueError; ``dst`` then holds nothing of use. ``src`` may
go on after the end of the stream, as a stored block does. The buffers must not overlap. The interpreter lock
is released.
"""

from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

# numpy declares its arrays as buffers from Python 3.12 on.
_Buffer = Buffer | NDArray[Any]

def lzjb(src: _Buffer, dst: _Buffer) -> None: ...
def zle(src: _Buffer, dst: _Buffer) -> None: ...
def lz4(src: _Buffer, dst: _Buffer) -> None:
    """``src`` starts with the length of the LZ4 block, four bytes, big-endian."""
