"""The intent log: its header in the objset block, and the blocks of its chain.

A log block holds records, a pointer to the next block, and its own checksum. In the slim layout (checksum zilog2) the
chain structure comes first and the records follow; in the old one (zilog) it lies in the block's last bytes:

      0  u64      padding
      8  blkptr   next block, allocated already
    136  u64      bytes used: from the start of the block (slim); of records alone (old)
    144  u64      magic, in the writer's byte order
    152  u64[4]   checksum: fletcher4 with the four words of the block's own pointer in this place

The checksum words of a log block's pointer are no checksum but name the chain: two random words, the object set, and
the block's number in the chain. A chain ends at the first block that does not verify.

Source: OpenZFS, zil.h, zil_impl.h, zio_checksum.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

from uberblock.kernels import checksum

from ..errors import CorruptError
from . import blkptr
from .blkptr import BLKPTR_SIZE, BpArray
from .eck import ECK_MAGIC

HEADER_SIZE = 192
CHAIN_SIZE = 184
ALIGNMENT = 4096  # slim blocks: what the checksum covers is rounded up to this
MIN_RECORD = 32

CHECKSUM_ZILOG = 5
CHECKSUM_ZILOG2 = 9

# 0 claim txg, 8 replayed sequence number, 16 first block, 144 claimed block number, 152 flags, 160 claimed record
_HEADER = "QQ128sQQQ24x"
assert struct.calcsize("<" + _HEADER) == HEADER_SIZE
_CHAIN = "Q128sQQ4Q"
assert struct.calcsize("<" + _CHAIN) == CHAIN_SIZE
_CHECKSUM_AT = 152
_MAGIC_AT = 144
_RECORD = "QQQQ"  # 0 type, 8 length, 16 txg, 24 sequence number


class ZilFlags(IntFlag):
    """Flags of a log header."""

    REPLAY_NEEDED = 1
    CLAIM_LR_SEQ_VALID = 2


@dataclass(frozen=True, slots=True)
class ZilHeader:
    """A decoded header. ``log``: the first block's pointer (a hole: no log)."""

    claim_txg: int
    replay_seq: int
    log: BpArray
    claim_blk_seq: int
    flags: int
    claim_lr_seq: int


def decode_header(buffer: Any, order: str) -> ZilHeader:
    """Read the 192 bytes at offset 512 of an objset block. Raises: CorruptError when there are fewer."""
    if len(buffer) < HEADER_SIZE:
        raise CorruptError("an intent log header is cut off", length=len(buffer))
    claim, replay, log, block, flags, record = struct.unpack_from(order + _HEADER, buffer)
    return ZilHeader(claim, replay, blkptr.from_bytes(log, order)[0], block, flags, record)


def encode_header(header: ZilHeader, order: str = "<") -> bytes:
    """The 192 bytes of a header."""
    log = _pointer_bytes(header.log, order)
    return struct.pack(
        order + _HEADER,
        header.claim_txg, header.replay_seq, log, header.claim_blk_seq, header.flags, header.claim_lr_seq,
    )  # fmt: skip


def _pointer_bytes(bp: BpArray, order: str) -> bytes:
    words = struct.unpack("<16Q", bp.tobytes())
    return struct.pack(order + "16Q", *words)


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A valid log block's chain structure.

    ``start`` and ``end`` bound the records in the block. ``next`` is the pointer to the next block.
    """

    order: str
    next: BpArray
    start: int
    end: int
    words: tuple[int, int, int, int]


def _place(size: int, slim: bool) -> int:
    return 0 if slim else size - CHAIN_SIZE


def covered(size: int, nused: int, slim: bool) -> int:
    """Bytes at the start of a block that its checksum covers."""
    return min(size, -(-nused // ALIGNMENT) * ALIGNMENT) if slim else size


def decode_block(block: Any, identity: Sequence[int], slim: bool, encrypted: bool = False) -> ChainLink | None:
    """The chain structure of a log block, or None if the block is not a valid one (which ends the log).

    Args:
        block: the block's stored bytes.
        identity: the four checksum words of the pointer that led here.
        slim: the pointer's checksum is zilog2.
        encrypted: the pointer's crypt bit; half of the checksum words are an authentication code then.
    """
    size = len(block)
    at = _place(size, slim)
    if size < CHAIN_SIZE or size % 512:
        return None
    for order in "<>":
        _pad, next_raw, nused, magic, *words = struct.unpack_from(order + _CHAIN, block, at)
        if magic == ECK_MAGIC:
            break
    else:
        return None
    if not (CHAIN_SIZE <= nused <= size if slim else nused <= size - CHAIN_SIZE):
        return None
    actual = compute_checksum(block, identity, nused, slim, order)
    if (folded(actual) != tuple(words[:2])) if encrypted else (actual != tuple(words)):
        return None
    following = blkptr.from_bytes(next_raw, order)[0]
    expected = (*identity[:3], (identity[3] + 1) & 0xFFFFFFFFFFFFFFFF)
    if tuple(int(w) for w in following["cksum"]) != expected:
        return None
    start, end = (CHAIN_SIZE, nused) if slim else (0, nused)
    return ChainLink(order, following, start, end, tuple(words))


def compute_checksum(
    block: Any, identity: Sequence[int], nused: int, slim: bool, order: str
) -> tuple[int, int, int, int]:
    """The four words a log block must carry (an encrypted one: ``folded`` ones)."""
    body = bytearray(memoryview(block)[: covered(len(block), nused, slim)])
    struct.pack_into(order + "4Q", body, _place(len(block), slim) + _CHECKSUM_AT, *identity)
    a, b, c, d = struct.unpack("<4Q", checksum.fletcher4(body, byteswap=order == ">"))
    return a, b, c, d


def folded(words: Sequence[int]) -> tuple[int, int]:
    """The two words that an encrypted block carries of a checksum; its other two are the authentication code."""
    return words[0] ^ words[2], words[1] ^ words[3]


def seal_block(block: bytearray, identity: Sequence[int], next_bp: BpArray, nused: int, slim: bool, order: str) -> None:
    """Put the chain structure with its checksum into a block whose records are in place."""
    at = _place(len(block), slim)
    struct.pack_into(order + _CHAIN, block, at, 0, _pointer_bytes(next_bp, order), nused, ECK_MAGIC, 0, 0, 0, 0)
    words = compute_checksum(block, identity, nused, slim, order)
    struct.pack_into(order + "4Q", block, at + _CHECKSUM_AT, *words)


def seal_slim(block: bytearray, own: bytes, following: bytes, nused: int) -> None:
    """``seal_block`` of a little-endian slim block, with pointers as they are stored: for writing many.

    Args:
        own, following: 128 bytes each, the pointers to this block and to the next.
    """
    # The four words that name the block take the checksum's place while it is computed.
    struct.pack_into("<Q128sQQ32s", block, 0, 0, following, nused, ECK_MAGIC, own[96:])
    block[_CHECKSUM_AT:CHAIN_SIZE] = checksum.fletcher4(memoryview(block)[: covered(len(block), nused, True)])


def records(block: Any, start: int, end: int, order: str) -> Iterator[tuple[int, int]]:
    """(offset, length) of each record between two offsets of a block.

    Raises:
        CorruptError: a record's length is impossible; it names the offset.
    """
    at = start
    while at + MIN_RECORD <= end:
        (length,) = struct.unpack_from(order + "Q", block, at + 8)
        if length < MIN_RECORD or length % 8 or length > end - at:
            raise CorruptError("an intent log record has an impossible length", offset=at, length=length)
        yield at, length
        at += length
    if at != end:
        raise CorruptError("bytes behind the last intent log record", offset=at, left=end - at)


assert BLKPTR_SIZE == 128 and _MAGIC_AT == 8 + BLKPTR_SIZE + 8
