"""Checksums of blocks, as OpenZFS stores them in block pointers.

A checksum is 32 bytes, or four 64-bit words: as they stand in a block pointer of a little-endian pool.
``byteswap=True`` says that the data was written by a big-endian machine; the words are then the numbers that
such a block pointer holds. Lengths: fletcher2 a multiple of 16 bytes, fletcher4 of 4, the others any (else
ValueError). Buffers may have any alignment. All functions release the interpreter lock and may be called from
any thread.
"""

from collections.abc import Iterable
from typing import Any, Final

from numpy.typing import NDArray
from typing_extensions import Buffer

from . import FamilyInfo

# numpy declares its arrays as buffers from Python 3.12 on.
_Buffer = Buffer | NDArray[Any]

IDS: Final[dict[str, int]]
"""Name -> number of the checksum on disk."""

SALTED: Final[frozenset[str]]
"""Names of the checksums that need the pool's salt."""

FAMILIES: Final[tuple[str, ...]]
"""Names of the groups of kernels that ``select`` chooses among."""

def fletcher2(buf: _Buffer, *, byteswap: bool = False, start: _Buffer | None = None) -> bytes:
    """The sums of all words. ``start``: the checksum of what comes before, 32 bytes; the result is that of both."""

def fletcher4(buf: _Buffer, *, byteswap: bool = False, start: _Buffer | None = None) -> bytes:
    """The same of 32-bit words, and one order higher, so that ``fletcher4(b, start=fletcher4(a))`` is that of a + b."""

def sha256(buf: _Buffer, *, byteswap: bool = False) -> bytes:
    """SHA-256, each of its four words stored with the lowest byte first."""

def sha512(buf: _Buffer, *, byteswap: bool = False) -> bytes:
    """SHA-512/256. A lone buffer from 16 KiB on goes to hashlib, unless a kernel has been asked for by name."""

def skein(buf: _Buffer, salt: _Buffer, *, byteswap: bool = False) -> bytes:
    """Skein-512-256 with the 32 bytes of the pool's salt as key."""

def edonr(buf: _Buffer, salt: _Buffer, *, byteswap: bool = False) -> bytes:
    """Edon-R 512, salted by a prefix, first 256 bits."""

def blake3(buf: _Buffer, salt: _Buffer, *, byteswap: bool = False) -> bytes:
    """BLAKE3 with the 32 bytes of the pool's salt as key. A lone buffer that is not tiny goes to the package."""

def many(
    name: str, buffers: Iterable[_Buffer], out: _Buffer, *, salt: _Buffer = b"", byteswap: bool = False
) -> None:
    """Checksums of n buffers into ``out``, n x 4 unsigned 64-bit words in native order.

    ValueError: unknown name, wrong shape or type of ``out``, a length the checksum is not defined for, no
    salt.
    """

def many_at(
    name: str,
    base: _Buffer,
    offsets: _Buffer,
    sizes: _Buffer,
    out: _Buffer,
    *,
    salt: _Buffer = b"",
    byteswap: bool = False,
) -> None:
    """The same for n ranges of one buffer; ``offsets`` and ``sizes`` are 64-bit integers, in bytes.

    ValueError: as in ``many``, and for a range that leaves the buffer.
    """

def fletcher2_combine(first: _Buffer, second: _Buffer, nbytes: int) -> bytes:
    """fletcher2 of two parts in a row, from the fletcher2 of each; the second part has ``nbytes`` bytes."""

def fletcher4_combine(first: _Buffer, second: _Buffer, nbytes: int) -> bytes:
    """fletcher4 of two parts in a row, from the fletcher4 of each; the second part has ``nbytes`` bytes.

    So threads can share a block: each sums a part, and nobody waits for another.
    """

def implementations() -> dict[str, tuple[str, ...]]:
    """Family -> names of the kernels this machine can run, best first."""

def known_implementations() -> dict[str, tuple[str, ...]]:
    """Family -> names of all kernels there are, in this build or not."""

def implementation() -> dict[str, str]:
    """Family -> name of the kernel in use."""

def select(family: str | None = None, name: str | None = None) -> dict[str, str]:
    """Use one kernel of a family from now on in all threads. Returns what ``implementation`` does.

    Without a name: the one that the environment names (UBERBLOCK_SHA256 for sha256, and so on), or the best;
    without a family: that for each family. The families called _many are used for several buffers at once.
    ValueError: unknown name or family; NotImplementedError: not in this build; RuntimeError: not runnable on
    this machine.
    """

def describe() -> dict[str, FamilyInfo]:
    """What ``uberblock.kernels.info`` says of these families."""
