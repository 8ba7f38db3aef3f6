"""What records of the intent log write: bytes of their own, blocks that were written early, or clones of other blocks.

Source: OpenZFS, zfs_replay.c (``zfs_replay_write``), zil.c (``zil_read_log_data``), zfs_vnops.c
(``zfs_clone_range_replay``).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..dmu.objset import Objset
from ..errors import CorruptError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..ondisk.zilrecord import CloneRange, Write


def written(objset: Objset, record: Write) -> tuple[int, bytes]:
    """(offset, bytes) of a WRITE record: what was written, or the whole block it lies in as it was at that moment.

    Raises:
        CorruptError: the block is smaller than what was written. ChecksumError ...: it cannot be read.
    """
    if record.bp is None:
        return record.offset, record.data or b""
    block = _block(objset, record.bp, record)
    if record.size < len(block):
        return record.offset - record.offset % len(block), block
    if record.size > len(block):
        raise CorruptError("an intent log record is longer than its block", bytes=record.size, block=len(block))
    return record.offset, block


def cloned(objset: Objset, record: CloneRange) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of what a CLONE_RANGE record clones, block by block.

    Raises: as ``written``.
    """
    size = record.block_size
    if not 0 < size <= blkptr.MAX_BLOCK or record.size > len(record.bps) * size:
        raise CorruptError("an intent log record clones more than it has blocks", bytes=record.size, block=size)
    for index in range(-(-record.size // size)):
        at = index * size
        bp = record.bps[index]
        body = bytes(size) if bool(blkptr.is_hole(bp)) else _block(objset, bp, record)
        yield record.offset + at, body[: min(size, record.size - at)]


def _block(objset: Objset, bp: BpArray, record: Write | CloneRange) -> bytes:
    """A block's content; a hole is as many zeros as its pointer says, or as were written."""
    if bool(blkptr.is_hole(bp)):
        size = int(blkptr.lsize(bp)) if int(bp["prop"]) else 0
        return bytes(size or min(record.size, blkptr.MAX_BLOCK))
    if int(blkptr.lsize(bp)) > blkptr.MAX_BLOCK:
        raise CorruptError("an intent log record points to a block of an impossible size")
    return objset.zio.read_one(bp, objset.keys, what=f"data of intent log record {record.seq}")
