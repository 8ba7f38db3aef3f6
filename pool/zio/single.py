"""The short way to one plain block: first address, first way, everything done by the kernel; or out of its pointer.

Metadata is often read one block at a time, where the arrays of a batch cost more than the read. Whatever is not plain,
and whatever goes wrong, is left to the batch reader, which knows all the other ways and judges.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
from uberblock.kernels import blockio

from ..errors import CorruptError
from ..ondisk import blkptr, dmutypes
from . import checksum, compress
from .checksum import SALT_SIZE
from .runner import JOB
from .status import Status

if TYPE_CHECKING:
    from .reader import Zio

_WORDS = struct.Struct("<16Q")
assert _WORDS.size == blkptr.BLKPTR_SIZE
_PAYLOADS = struct.Struct(">14Q"), struct.Struct("<14Q")  # by byte order

_KERNEL_CHECKSUMS = frozenset(np.flatnonzero(checksum.IN_KERNEL).tolist())
_KERNEL_COMPRESSIONS = frozenset(np.flatnonzero(compress.IN_KERNEL).tolist())
_TYPES = frozenset(np.flatnonzero(dmutypes.VALID).tolist())
_KNOWN_COMPRESSIONS = frozenset(np.flatnonzero(compress.KNOWN).tolist())
_EMBEDDED, _CRYPT = 1 << 39, 1 << 61
_GANG = 1 << 63
_OFFSET_END = 1 << 54
_SALTED = (checksum.Checksum.SKEIN, checksum.Checksum.EDONR)


def read_plain(zio: Zio, bp: blkptr.BpArray) -> bytes | None:
    """A block's logical bytes, or None: not a plain block, or not right where it was looked for first.

    Args:
        zio: the pool's blocks.
        bp: one block pointer.
    """
    words = _WORDS.unpack(bp.tobytes())
    first, offset, prop = words[0], words[1], words[6]
    if prop & _EMBEDDED:
        return _embedded(words)
    if prop & _CRYPT or offset & _GANG or offset >= _OFFSET_END or not first & 0xFFFFFF:
        return None
    number, packing = prop >> 40 & 0xFF, prop >> 32 & 0x7F
    lsize, psize = ((prop & 0xFFFF) + 1) << 9, ((prop >> 16 & 0xFFFF) + 1) << 9
    if number not in _KERNEL_CHECKSUMS or packing not in _KERNEL_COMPRESSIONS or not psize <= lsize <= blkptr.MAX_BLOCK:
        return None
    if prop >> 48 & 0xFF not in _TYPES:
        return None
    if number in _SALTED and len(zio.salt) != SALT_SIZE:
        return None
    try:
        layout = zio.tree.layout(first >> 32 & 0xFFFFFF, 0, [offset << 9], [psize], [words[9] or words[10]])
    except CorruptError:
        return None
    jobs = np.zeros(1, dtype=JOB)
    flags = 0 if prop >> 63 else blockio.FLAG_SWAP
    jobs[0] = (0, 0, psize, lsize, number, packing, blockio.MODE_DATA, flags, 0, words[12:], 0)
    out = bytearray(lsize)
    status, _ = zio.runner.run(layout, jobs, out, zio.salt, count=False)
    return bytes(out) if status[0] == Status.OK else None


def _embedded(words: tuple[int, ...]) -> bytes | None:
    """A block that lies in its pointer, given as 16 words."""
    prop = words[6]
    packing, lsize, psize = prop >> 32 & 0x7F, (prop & 0x1FFFFFF) + 1, (prop >> 25 & 0x7F) + 1
    if prop >> 40 & 0xFF != blkptr.ETYPE_DATA or prop >> 48 & 0xFF not in _TYPES or packing not in _KNOWN_COMPRESSIONS:
        return None
    if psize > blkptr.EMBEDDED_MAX or not psize <= lsize <= blkptr.MAX_BLOCK:
        return None
    stored = _PAYLOADS[prop >> 63].pack(*[words[at] for at in blkptr.PAYLOAD_WORDS])
    try:
        return bytes(compress.decompress(packing, stored[:psize], lsize))
    except CorruptError:
        return None
