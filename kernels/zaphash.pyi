"""The hash of ZAP keys, unmasked: all 64 bits.

A CRC-64 started with the salt of the ZAP. Which bits a ZAP keeps (the upper 28 or 48) and how a name is
normalized before it is hashed is the caller's knowledge.
"""

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

# numpy declares its arrays as buffers from Python 3.12 on.
_Buffer = Buffer | NDArray[Any]

def hash_name(salt: int, name: bytes) -> int:
    """Of a name, without the NUL at its end. OverflowError: salt outside 64 bits."""

def hash_names(salt: int, names: Iterable[bytes], out: _Buffer) -> None:
    """Of many names, into ``out``: as many unsigned 64-bit integers. ValueError: another number of them."""

def hash_words(salt: int, words: _Buffer) -> int:
    """Of a key of unsigned 64-bit integers in native order. ValueError: another type of them."""
