"""Embedded checksums: structures that carry their own checksum, because no block pointer can hold it.

Labels, uberblocks and gang headers end in forty bytes, a magic number and four checksum words. Before hashing, the
words are replaced by a *verifier* that says where the structure belongs, so that a structure read from a wrong place
does not verify. SHA-256 over the whole region, the magic included.

Layout of the last 40 bytes: magic (8), words 0..3 (8 each), in the byte order of the writer.

Source: OpenZFS, zio_checksum.h and zio_checksum.c (``zio_eck_t``).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

ECK_MAGIC = 0x0210DA7AB10C7A11
ECK_SIZE = 40
WORDS_SIZE = 32
#: Smallest structure that has one.
REGION_MIN = 512

assert struct.calcsize("<5Q") == ECK_SIZE and struct.calcsize("<4Q") == WORDS_SIZE

Words = tuple[int, int, int, int]
Buffer = bytes | bytearray | memoryview


def order_of(region: Buffer) -> str | None:
    """Byte order the region was written in, ``<`` or ``>``; None when it does not end in an embedded checksum."""
    if len(region) < ECK_SIZE:
        return None
    magic = bytes(region[len(region) - ECK_SIZE : len(region) - WORDS_SIZE])
    for order in "<>":
        if magic == struct.pack(order + "Q", ECK_MAGIC):
            return order
    return None


def stored(region: Buffer, order: str) -> Words:
    """The four checksum words the region carries."""
    return struct.unpack(order + "4Q", bytes(region[len(region) - WORDS_SIZE :]))


def compute(region: Buffer, verifier: Sequence[int], order: str) -> Words:
    """The four words the region ought to carry, for a verifier of four words."""
    digest = hashlib.sha256(region[: len(region) - WORDS_SIZE])
    digest.update(struct.pack(order + "4Q", *verifier))
    # SHA-256 gives big-endian words in either byte order of the data.
    return struct.unpack(">4Q", digest.digest())


def verify(region: Buffer, verifier_words: Sequence[int], order: str) -> bool:
    """True when the region ends in the magic number in this byte order and its checksum is right.

    Args:
        region: the whole structure, at least 40 bytes.
        verifier_words: for labels (device byte offset, 0, 0, 0); for gang headers see ``ondisk/gang.py``.
        order: ``<`` or ``>``, normally what ``order_of`` found.
    """
    if order_of(region) != order:
        return False
    return compute(region, verifier_words, order) == stored(region, order)


def sealed(region: Buffer, verifiers: Sequence[Sequence[int]], order: str = "<") -> list[bytes]:
    """The region with magic number and checksum, once for each verifier: it is hashed only once.

    Raises:
        ValueError: the region is shorter than an embedded checksum.
    """
    end = len(region)
    if end < ECK_SIZE:
        raise ValueError(f"a region of {end} bytes cannot hold an embedded checksum of {ECK_SIZE}")
    front = bytes(region[: end - ECK_SIZE]) + struct.pack(order + "Q", ECK_MAGIC)
    begun = hashlib.sha256(front)
    result = []
    for verifier in verifiers:
        digest = begun.copy()
        digest.update(struct.pack(order + "4Q", *verifier))
        result.append(front + struct.pack(order + "4Q", *struct.unpack(">4Q", digest.digest())))
    return result


def seal(region: bytearray | memoryview, verifier: Sequence[int], order: str = "<") -> None:
    """Put magic number and checksum into the last 40 bytes of the region.

    Raises:
        ValueError: the region is shorter than an embedded checksum.
    """
    end = len(region)
    if end < ECK_SIZE:
        raise ValueError(f"a region of {end} bytes cannot hold an embedded checksum of {ECK_SIZE}")
    region[end - ECK_SIZE : end - WORDS_SIZE] = struct.pack(order + "Q", ECK_MAGIC)
    region[end - WORDS_SIZE :] = struct.pack(order + "4Q", *compute(region, verifier, order))
