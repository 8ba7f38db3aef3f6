"""Two things in one pass over the data: checksum while copying, parity and checksum.

Both give what the two passes give, byte for byte, and run the kernels that ``checksum`` and ``raidz`` have chosen. They
pay where the data is larger than the caches, or comes from memory. All functions release the interpreter lock and may
be called from any thread.
"""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

# numpy declares its arrays as buffers from Python 3.12 on.
_Buffer = Buffer | NDArray[Any]

def copy_fletcher4(source: _Buffer, target: _Buffer, *, byteswap: bool = False, start: _Buffer | None = None) -> bytes:
    """Copy n bytes (a multiple of 4) to ``target``, of n bytes too, and give their fletcher4, 32 bytes.

    ``byteswap`` and ``start`` are those of ``checksum.fletcher4``; the copy is always as the source is. ValueError:
    another length, a target that is read-only or overlaps the source.
    """

def generate_fletcher4(
    data: Sequence[_Buffer], parity: Sequence[_Buffer], *, byteswap: bool = False
) -> bytes:
    """``raidz.generate``, and the fletcher4, 32 bytes, of the data columns one behind the other, which is the block.

    1 to 252 data columns, each a multiple of 4 bytes and no longer than the parity; 1 to 3 parity columns of equal
    length. ValueError: anything else, and parity that is read-only or overlaps.
    """
