"""Writing gang blocks: a block for which there is no room in one piece becomes a header with pointers to pieces.

Room for the whole tree is found first, top down: the header, then up to three pieces, each as large as the rest
divided by the slots left; a piece for which there is no room becomes a gang itself. Then the pieces are written, then
the headers, bottom up, since each holds its pieces' checksums. The header has one copy more than the data, if that can
be had.

Source: OpenZFS, zio.c (zio_write_gang_block).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ChecksumError, CorruptError, NoSpaceError
from ..ondisk import blkptr, bpmake
from ..ondisk import gang as ondisk
from . import gang as reading
from .checksum import Checksum, compute
from .compress import Compression
from .emit import Places

if TYPE_CHECKING:
    from .reader import Zio
    from .writer import WritePolicy, ZioWriter

_SLOTS = ondisk.slots(ondisk.GANG_HEADER_SIZE)
_HEADER = np.array([ondisk.GANG_HEADER_SIZE], np.uint64)


@dataclass(slots=True)
class GangRoom:
    """Room for a block: in one piece, or (header is set) as a gang of pieces.

    Attributes:
        size: stored bytes.
        places: (1, copies, 3): of the piece, or of the header.
        pieces: what a header leads to.
    """

    size: int
    places: Places
    pieces: list[GangRoom] = field(default_factory=list)

    def every(self) -> NDArray[np.uint64]:
        """(k, 3): all that was allocated."""
        return np.concatenate([self.places[0], *(piece.every() for piece in self.pieces)])

    @property
    def copies(self) -> int:
        """Copies of the data: of the pieces, however deep."""
        return self.pieces[0].copies if self.pieces else self.places.shape[1]

    def total(self) -> Places:
        """Places as a pointer to it has them: asizes with those of all pieces' copies of the same number."""
        result = self.places.copy()
        for piece in self.pieces:
            below = piece.total()
            result[0, : below.shape[1], 2] += below[0, :, 2]
        return result


def find_room(
    writer: ZioWriter, size: int, policy: WritePolicy, txg: int, *, depth: int = 0, most: int = blkptr.DVAS_PER_BP
) -> GangRoom:
    """Allocate a gang for a block of ``size`` stored bytes.

    Args:
        writer: has the allocator.
        size: bytes; policy, txg: of the block.
        depth: gangs above this one; most: copies of the header there.

    Raises:
        NoSpaceError: there is not enough room; nothing stays allocated.
    """
    if size <= writer.rounding.least or depth >= reading.GANG_DEPTH_MAX:
        raise NoSpaceError("the pool has no room for a block", "free some space, or add devices", bytes=size)
    allocate = writer.allocator.allocate
    header = None
    for copies in range(min(policy.copies + 1, most), policy.copies - 1, -1):
        places = allocate(_HEADER, txg=txg, copies=copies, cls=policy.cls)
        if places[0, :, 2].any():
            header = GangRoom(size, places)
            break
    if header is None:
        raise NoSpaceError("the pool has no room for a gang header", "free some space, or add devices", bytes=size)
    try:
        left = size
        for slot in range(_SLOTS):
            if left == 0:
                break
            part = min(left, writer.rounding.up(-(-left // (_SLOTS - slot))))
            places = allocate(np.array([part], np.uint64), txg=txg, copies=policy.copies, cls=policy.cls)
            if places[0, :, 2].any():
                header.pieces.append(GangRoom(part, places))
            else:
                below = find_room(writer, part, policy, txg, depth=depth + 1, most=header.places.shape[1])
                header.pieces.append(below)
            left -= part
    except BaseException:
        rows = header.every()
        rows = rows[rows[:, 2] != 0]
        writer.allocator.unallocate(rows[:, 0], rows[:, 1], rows[:, 2], txg=txg)
        raise
    return header


def write(
    writer: ZioWriter, bp: blkptr.BpArray, room: GangRoom, data: memoryview, policy: WritePolicy, txg: int
) -> None:
    """Write a gang and complete the pointer to it.

    Args:
        writer: writes.
        bp: one pointer, complete but for addresses and checksum, which are filled in.
        room: found for it.
        data: the stored bytes.
        policy: of the block.
        txg: in which it is born.
    """
    at = 0
    children = []
    for piece in room.pieces:
        part = data[at : at + piece.size]
        at += piece.size
        child = _piece(piece.size, policy, txg)
        if piece.pieces:
            write(writer, child, piece, part, policy, txg)
        else:
            child["dva"] = bpmake.addresses(piece.places)
            child["cksum"] = writer.store_raw([part], piece.places, policy.checksum, txg)
        children.append(child)
    bp["dva"] = bpmake.addresses(room.total(), gang=True)
    bp["cksum"] = compute(policy.checksum, data, writer.zio.salt)
    header = ondisk.encode(np.concatenate(children), ondisk.verifier(bp[0]))
    writer.store_raw([header], room.places, Checksum.OFF, txg)


def _piece(size: int, policy: WritePolicy, txg: int) -> blkptr.BpArray:
    sizes = np.array([size], np.uint64)
    return bpmake.stored(
        sizes, sizes, compress=Compression.OFF, checksum=policy.checksum, type=0, level=0, birth=txg, fill=0
    )


def room_of(zio: Zio, bp: Any, depth: int = 0) -> GangRoom:
    """The room that a gang block has, from its headers.

    Raises:
        ChecksumError: a header that cannot be read. CorruptError: headers nested too deep, or sizes that do not add up.
    """
    one = np.ascontiguousarray(bp).reshape(1)
    places = _present(bpmake.places(one))
    vdev, offset = int(places[0, 0, 0]), int(places[0, 0, 1])
    if depth >= reading.GANG_DEPTH_MAX:
        raise CorruptError("gang headers are nested too deep", vdev=vdev, offset=offset)
    header = reading.header(zio, one[0])
    if header is None:
        raise ChecksumError("no copy of a gang header can be read", vdev=vdev, offset=offset)
    size = int(blkptr.psize(one)[0])
    if not reading.children_fit(header.pointers, size):
        raise CorruptError("the pieces of a gang do not add up to it", vdev=vdev, offset=offset)
    room = GangRoom(size, places)
    for child, gang in zip(header.pointers, blkptr.is_gang(header.pointers).tolist()):
        pointer = child.reshape(1)
        piece = room_of(zio, pointer, depth + 1) if gang else None
        room.pieces.append(piece or GangRoom(int(blkptr.psize(pointer)[0]), _present(bpmake.places(pointer))))
        below = room.pieces[-1].total()
        shared = below.shape[1]
        if shared > places.shape[1] or (below[0, :, 2] >= places[0, :shared, 2]).any():
            raise CorruptError("a gang is smaller than its pieces", vdev=vdev, offset=offset)
        places[0, :shared, 2] -= below[0, :, 2]
    return room


def _present(places: Places) -> Places:
    """A single pointer's places without those that are none."""
    return places[:, places[0, :, 2] != 0]
