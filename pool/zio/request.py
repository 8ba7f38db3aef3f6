"""What a batch of block pointers asks for, decoded once into arrays.

Here hostile pointers are sorted out: whatever passes has sizes within bounds, ids that are known, and at least one
address that may be looked at. Nothing later looks at raw pointer bits again.

Source: OpenZFS, spa.h; the checks are those of ``zfs_blkptr_verify``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..ondisk import blkptr, dmutypes
from . import checksum, compress
from .checksum import SALT_SIZE
from .status import Status, StatusArray

if TYPE_CHECKING:
    from .crypt import BlockKeys

I64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DVAS_ENCRYPTED = 2
_OFFSET_BITS = np.uint64((1 << 63) - 1)
#: Offsets are in sectors; this many have no number in bytes.
_OFFSET_END = np.uint64(1 << 54)
OBJSET = int(dmutypes.ObjectType.OBJSET)


@dataclass(slots=True)
class Request:
    """A batch: the pointers' facts (one array element each), where the results go, and what has become of them."""

    bps: blkptr.BpArray
    psize: I64Array
    lsize: I64Array
    size: I64Array  # bytes that are delivered
    checksum: NDArray[np.uint8]
    compress: NDArray[np.uint8]
    level: NDArray[np.uint8]
    type: NDArray[np.uint8]
    swap: BoolArray  # content in big-endian order
    crypt: BoolArray  # encrypted, authenticated, or above such
    short: BoolArray  # two checksum words only
    sealed: BoolArray  # the stored bytes are (partly) cipher text
    embedded: BoolArray
    gang: BoolArray
    hole: BoolArray
    copies: BoolArray  # (n, 3): this DVA may be looked at
    birth: I64Array  # physical
    raw: bool
    stored: bool  # all blocks are delivered as they are stored
    keys: BlockKeys | None
    status: StatusArray

    def __len__(self) -> int:
        return len(self.psize)

    @property
    def in_kernel(self) -> BoolArray:
        """Blocks the kernel delivers by itself: no decryption, and it knows the compression."""
        plain = ~self.crypt if not self.raw else np.ones(len(self), dtype=bool)
        expand = compress.IN_KERNEL[self.compress] | self.verbatim
        result: BoolArray = plain & expand
        return result

    @property
    def verbatim(self) -> BoolArray:
        """Blocks delivered as they are stored: all if that was asked for, or cipher text read without keys."""
        if self.stored:
            return np.ones(len(self), dtype=bool)
        return self.sealed if self.raw else np.zeros(len(self), dtype=bool)


def _status(request: Request, salt: bytes) -> None:
    """Judge every pointer before anything is read."""
    stored = ~request.embedded & ~request.hole
    status = request.status
    known = checksum.KNOWN[request.checksum]
    salted = checksum.SALTED[request.checksum]
    sizes = (request.psize <= blkptr.MAX_BLOCK) & (request.lsize <= blkptr.MAX_BLOCK)
    # Compression never makes a block longer, and what is not compressed has one size.
    sizes &= request.psize <= request.lsize
    off = request.compress == compress.Compression.OFF
    sizes &= ~off | (request.psize == request.lsize)
    payload = ~request.embedded | (request.psize <= blkptr.EMBEDDED_MAX)
    etype = request.checksum
    rules: list[tuple[Any, Status]] = [
        (request.crypt & ~request.hole, Status.NO_KEY),
        (request.embedded & (etype == blkptr.ETYPE_REDACTED), Status.REDACTED),
        (stored & salted & (len(salt) != SALT_SIZE), Status.UNSUPPORTED),
        (stored & ~known, Status.UNSUPPORTED),
        (~request.hole & ~compress.KNOWN[request.compress], Status.UNSUPPORTED),
        (request.embedded & (etype != blkptr.ETYPE_DATA) & (etype != blkptr.ETYPE_REDACTED), Status.BAD_POINTER),
        (stored & ~request.copies.any(axis=1), Status.BAD_POINTER),
        (~request.hole & ~(sizes & payload), Status.BAD_POINTER),
        (~dmutypes.VALID[request.type], Status.BAD_POINTER),
    ]
    if request.raw or request.keys is not None:
        rules.pop(0)
    for wrong, verdict in rules:
        status[wrong] = verdict


def decode(
    bps: blkptr.BpArray, *, salt: bytes, raw: bool = False, stored: bool = False, keys: BlockKeys | None = None
) -> Request:
    """Facts and first verdicts of a one-dimensional array of block pointers.

    Args:
        bps: the pointers.
        salt: the pool's, or empty.
        raw: no decryption.
        stored: deliver stored bytes, neither decrypted nor decompressed.
        keys: of the dataset, if it is encrypted.
    """
    raw = raw or stored
    level = blkptr.level(bps).astype(np.uint8)
    kind = blkptr.object_type(bps).astype(np.uint8)
    embedded, hole = blkptr.is_embedded(bps), blkptr.is_hole(bps)
    # In embedded pointers (and holes) the bit is not the encryption's.
    crypt = blkptr.is_crypt(bps) & ~embedded & ~hole
    sealed = crypt & (level == 0) & dmutypes.ENCRYPTED[kind]
    psize, lsize = blkptr.psize(bps).astype(np.int64), blkptr.lsize(bps).astype(np.int64)
    copies = (blkptr.dva_asize(bps) != 0) & ~embedded[:, None]
    copies &= bps["dva"][:, :, 1] & _OFFSET_BITS < _OFFSET_END
    copies[sealed, DVAS_ENCRYPTED:] = False  # holds salt and initialisation vector there
    request = Request(
        bps=bps,
        psize=psize,
        lsize=lsize,
        size=np.where(sealed | stored, psize, lsize) if raw else lsize,
        checksum=blkptr.checksum(bps).astype(np.uint8),
        compress=blkptr.compression(bps).astype(np.uint8),
        level=level,
        type=kind,
        swap=~blkptr.is_little(bps),
        crypt=crypt,
        short=crypt & ~((kind == OBJSET) & (level == 0)),
        sealed=sealed,
        embedded=embedded,
        gang=blkptr.is_gang(bps),
        hole=hole,
        copies=copies,
        birth=blkptr.physical_birth(bps).astype(np.int64),
        raw=raw,
        stored=stored,
        keys=keys,
        status=np.zeros(len(bps), dtype=np.uint8),
    )
    _status(request, salt)
    return request
