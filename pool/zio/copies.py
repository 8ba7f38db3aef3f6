"""One block's stored bytes, from whichever copy satisfies the caller.

For structures that carry their checksum in themselves (gang headers, log blocks): the pointer cannot tell good bytes
from bad ones, the caller can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from uberblock.kernels import blockio

from ..ondisk import blkptr
from ..ondisk.dmutypes import ENCRYPTED
from . import checksum, compress, reconstruct
from .places import resolve
from .request import DVAS_ENCRYPTED, Request, decode
from .runner import JOB
from .status import Status

if TYPE_CHECKING:
    from ..vdev.layout import Layout
    from .reader import Zio


def addresses_of(bp: Any) -> Any:
    """A pointer with nothing but addresses for its addresses: the third of encrypted data is salt and IV."""
    if not (bool(blkptr.is_crypt(bp)) and not int(blkptr.level(bp)) and ENCRYPTED[int(blkptr.object_type(bp))]):
        return bp
    address = bp.copy()
    address["dva"][DVAS_ENCRYPTED:] = 0
    return address


def plain_request(zio: Zio, bp: Any, size: int) -> Request:
    """A request for ``size`` bytes at a pointer's addresses, whatever else the pointer says."""
    bps = np.array([addresses_of(bp)], dtype=blkptr.BLKPTR)
    sectors = size // blkptr.SECTOR - 1
    ids = int(compress.Compression.OFF) << 32 | int(checksum.Checksum.OFF) << 40 | 1 << 63
    bps["prop"] = ids | sectors << 16 | sectors
    bps["dva"][0, ~(blkptr.dva_asize(bps)[0] != 0)] = 0
    return decode(bps, stored=True, salt=b"")


def each(zio: Zio, request: Request) -> Iterator[tuple[int, Layout, memoryview, Status]]:
    """Every copy and way of a one-block request: (DVA, layout, bytes, status)."""
    if request.status[0] != Status.OK:
        return
    spots = resolve(zio.tree, request, np.zeros(1, dtype=np.int64))
    size = int(request.psize[0])
    for attempt in spots.attempts():
        for layout, _ in attempt.layouts(np.zeros(1, dtype=np.int64)):
            jobs = np.zeros(1, dtype=JOB)
            jobs["psize"] = jobs["lsize"] = size
            jobs["checksum"] = checksum.Checksum.OFF
            jobs["compress"] = compress.Compression.OFF
            jobs["mode"] = blockio.MODE_RAW
            out = bytearray(size)
            status, _ = zio.runner.run(layout, jobs, out, b"")
            yield attempt.dva, layout, memoryview(out), Status(int(status[0]))


def find(zio: Zio, bp: Any, size: int, good: Callable[[memoryview], bool]) -> memoryview | None:
    """The first copy that is good, as read or with one or more columns rebuilt; None if there is none.

    Args:
        zio: the pool's blocks.
        bp: the pointer; only its addresses and births count.
        size: bytes to read, a multiple of 512.
        good: tells whether bytes are what they should be.
    """
    request = plain_request(zio, bp, size)
    layouts = []
    for _, layout, data, status in each(zio, request):
        if status == Status.OK and good(data):
            return data
        layouts.append(layout)
    for layout in layouts:
        found = reconstruct.search_layout(zio.runner, layout, size, good)
        if found is not None:
            return found.data
    return None
