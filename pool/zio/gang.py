"""Gang blocks: blocks that found no room in one piece.

Their addresses lead to copies of a header with pointers to the pieces, which may be gangs themselves. The pieces put
together are the stored bytes, which the first pointer's checksum covers.

Source: OpenZFS, zio.c (gang trees).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ondisk import blkptr
from ..ondisk import gang as ondisk
from . import compress, copies
from .status import Status

if TYPE_CHECKING:
    from ..vdev.vdev import Vdev
    from .reader import Zio
    from .request import Request

#: A gang of gangs of ... may be this deep. Each level splits a block in at least two.
GANG_DEPTH_MAX = 16


def read_stored(zio: Zio, request: Request, i: int) -> tuple[memoryview, Status]:
    """The verified stored bytes of block i of a request, which is a gang block; or what stands in the way."""
    out = bytearray(int(request.psize[i]))
    status = _assemble(zio, request.bps[i], memoryview(out), 0)
    if status == Status.OK and not zio.verified(request, i, memoryview(out)):
        status = Status.CHECKSUM
    return memoryview(out), status


def header_sizes(zio: Zio, bp: Any) -> list[int]:
    """Sizes the header may have: 512 bytes, or the smallest allocation of the vdevs it is on."""
    bp = copies.addresses_of(bp)
    tops = blkptr.dva_vdev(bp)[blkptr.dva_asize(bp) != 0]
    least = min((min_alloc(zio.tree.tops[int(top)]) for top in tops if top < len(zio.tree.tops)), default=0)
    usable = ondisk.GANG_HEADER_SIZE < least <= ondisk.GANG_HEADER_MAX
    return [ondisk.GANG_HEADER_SIZE, least] if usable else [ondisk.GANG_HEADER_SIZE]


def min_alloc(top: Vdev) -> int:
    """Bytes of data in the smallest allocation of a top-level vdev: a sector, of a draid one in each data column."""
    if top.type != "draid":
        return 1 << top.ashift
    return int(top.psizes(np.array([top.stripe()], np.uint64), np.zeros(1, np.uint64))[0])


@dataclass(frozen=True, slots=True)
class Header:
    """A gang header that verified: its pointers, and its size in bytes."""

    pointers: blkptr.BpArray
    size: int


def header(zio: Zio, bp: Any) -> Header | None:
    """The gang header a pointer leads to, from the first copy that verifies; None if none does."""
    good = checker(bp)
    for size in header_sizes(zio, bp):
        data = copies.find(zio, bp, size, good)
        if data is not None:
            return Header(ondisk.decode(data), size)
    return None


def checker(bp: Any) -> Callable[[memoryview], bool]:
    """Tells whether bytes are the gang header a pointer leads to."""
    words, folded = ondisk.verifier(bp), ondisk.is_folded(bp)
    return lambda copy: ondisk.verify(copy, words, folded)


def children_fit(pointers: blkptr.BpArray, psize: int) -> bool:
    """True when the pieces add up to the block, each of them plain stored bytes."""
    sizes = blkptr.psize(pointers)
    plain = blkptr.compression(pointers) == compress.Compression.OFF
    plain &= ~blkptr.is_embedded(pointers) & (sizes == blkptr.lsize(pointers))
    return len(pointers) > 0 and bool(plain.all()) and int(sizes.sum()) == psize


def _assemble(zio: Zio, bp: Any, out: memoryview, depth: int) -> Status:
    """Read the pieces below one gang pointer to where they belong."""
    if depth >= GANG_DEPTH_MAX:
        return Status.BAD_POINTER
    found = header(zio, bp)
    if found is None:
        return Status.CHECKSUM
    pointers = found.pointers
    if not children_fit(pointers, len(out)):
        return Status.BAD_POINTER
    sizes = blkptr.psize(pointers).astype(np.int64)
    start = np.cumsum(sizes) - sizes
    gangs = blkptr.is_gang(pointers)
    plain = np.flatnonzero(~gangs)
    if len(plain):
        status = zio.readinto(pointers[plain], out, start[plain], errors="collect", raw=True)
        if status.any():
            return Status(int(status[np.flatnonzero(status)[0]]))
    for k in np.flatnonzero(gangs).tolist():
        at = int(start[k])
        below = _assemble(zio, pointers[k], out[at : at + int(sizes[k])], depth + 1)
        if below != Status.OK:
            return below
    return Status.OK
