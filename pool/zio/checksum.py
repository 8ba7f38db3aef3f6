"""Checksums of blocks: which ids there are, and one block verified at a time.

Four words are compared, except for encrypted, authenticated and indirect blocks of encrypted datasets: these keep an
authentication code in words 2 and 3, and in words 0 and 1 the checksum, folded if it is a weak one, else cut.

Source: OpenZFS, zio_checksum.c and zio.h (``enum zio_checksum``).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from uberblock.kernels import checksum as kernel

from ..errors import UnsupportedError

if TYPE_CHECKING:
    from typing_extensions import Buffer

Words = tuple[int, int, int, int]
SALT_SIZE = 32
_WORDS = struct.Struct("<4Q")


class Checksum(IntEnum):
    """Checksum ids as block pointers hold them."""

    OFF = 2
    LABEL = 3
    GANG_HEADER = 4
    ZILOG = 5
    FLETCHER2 = 6
    FLETCHER4 = 7
    SHA256 = 8
    ZILOG2 = 9
    NOPARITY = 10
    SHA512 = 11
    SKEIN = 12
    EDONR = 13
    BLAKE3 = 14


def _set(*ids: int) -> np.ndarray:
    table = np.zeros(256, dtype=bool)
    table[list(ids)] = True
    return table


#: Indexed by id: nothing is verified.
NEVER_FAILS = _set(Checksum.OFF, Checksum.NOPARITY)
#: Indexed by id: verified by the kernel while it reads.
IN_KERNEL = _set(*kernel.IDS.values())
#: Indexed by id: keyed with the pool's salt.
SALTED = _set(Checksum.SKEIN, Checksum.EDONR, Checksum.BLAKE3)
#: Indexed by id: a checksum a block pointer to data may have.
KNOWN = NEVER_FAILS | IN_KERNEL

# Folded rather than cut in blocks that carry an authentication code.
_WEAK = frozenset({Checksum.FLETCHER2, Checksum.FLETCHER4, Checksum.EDONR})


def compute(number: int, data: Buffer, salt: bytes = b"", *, byteswap: bool = False) -> Words:
    """The four words a pointer to this data holds, as native integers.

    Args:
        number: checksum id.
        data: the stored bytes, ``psize`` of them.
        salt: the pool's 32 bytes of salt, for the salted ones.
        byteswap: the data was written by the other byte order.

    Raises:
        UnsupportedError: an id that no pointer to data has, or a salted one without salt.
    """
    if SALTED[number] and len(salt) != SALT_SIZE:
        raise UnsupportedError("a salted checksum in a pool without a salt", checksum=number)
    match number:
        case Checksum.OFF | Checksum.NOPARITY:
            return (0, 0, 0, 0)
        case Checksum.FLETCHER2:
            digest = kernel.fletcher2(data, byteswap=byteswap)
        case Checksum.FLETCHER4:
            digest = kernel.fletcher4(data, byteswap=byteswap)
        case Checksum.SHA256:
            digest = kernel.sha256(data)
        case Checksum.SHA512:
            digest = kernel.sha512(data, byteswap=byteswap)
        case Checksum.SKEIN:
            digest = kernel.skein(data, salt, byteswap=byteswap)
        case Checksum.EDONR:
            digest = kernel.edonr(data, salt, byteswap=byteswap)
        case Checksum.BLAKE3:
            digest = kernel.blake3(data, salt, byteswap=byteswap)
        case _:
            raise UnsupportedError("a block has a checksum of an unknown kind", checksum=number)
    return _WORDS.unpack(digest)


def matches(
    number: int,
    data: Buffer,
    expected: Sequence[int],
    salt: bytes = b"",
    *,
    byteswap: bool = False,
    crypt: bool = False,
) -> bool:
    """True when the data has the checksum its pointer says.

    Args:
        number: checksum id.
        data: the stored bytes.
        expected: the pointer's four words.
        salt: the pool's salt.
        byteswap: the data was written by the other byte order.
        crypt: the pointer keeps an authentication code in words 2 and 3.
    """
    if NEVER_FAILS[number]:
        return True
    words = compute(number, data, salt, byteswap=byteswap)
    if not crypt:
        return words == tuple(expected)
    return shortened(number, words) == (expected[0], expected[1])


def shortened(number: int, words: Words) -> tuple[int, int]:
    """The two words that remain of a checksum beside an authentication code."""
    if number in _WEAK:
        return (words[0] ^ words[2], words[1] ^ words[3])
    return (words[0], words[1])
