"""Walking an intent log: from its header through the blocks of its chain to the records. Nothing is replayed.

A log was either claimed at an import (its header then says how far it goes) or it ends at the first block that is not
a valid next one: the last block written always points to one that is allocated and not written yet. Every link raises
the block's number by one, so a chain cannot lead back to itself.

Source: OpenZFS, zil.c (``zil_parse``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..dmu.objset import Objset
from ..errors import CorruptError, KeyUnavailableError, LimitError
from ..ondisk import blkptr, zil, zilrecord
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.zil import ChainLink, ZilFlags, ZilHeader
from ..ondisk.zilrecord import Record

if TYPE_CHECKING:
    from ..zio.crypt import BlockKeys
    from ..zio.reader import Zio

MAX_BLOCKS = 1 << 22  # 16 GiB of the smallest ones
MAX_BLOCK = blkptr.MAX_BLOCK
_CHECKSUMS = (zil.CHECKSUM_ZILOG, zil.CHECKSUM_ZILOG2)


@dataclass(frozen=True, slots=True)
class LogBlock:
    """A block of a chain. ``link`` is None for the last one, which is allocated and holds nothing of the log.

    ``damage``: what keeps the rest of its records from being told, or an empty string.
    """

    bp: BpArray
    seq: int
    size: int
    link: ChainLink | None
    records: tuple[Record, ...]
    damage: str = ""

    @property
    def valid(self) -> bool:
        """Part of the log."""
        return self.link is not None


def header_of(objset: Objset) -> ZilHeader:
    """The log header of an object set. (A snapshot's means nothing.)"""
    return zil.decode_header(objset.phys.zil_header, objset.order)


def read_blocks(zio: Zio, header: ZilHeader, keys: BlockKeys | None = None) -> Iterator[LogBlock]:
    """The blocks of a log, in order, with the one behind its end.

    Args:
        zio: the pool's blocks.
        header: where the log begins, and how far it goes if it was claimed.
        keys: of the dataset, if it is encrypted; without them records stay sealed.

    Raises:
        CorruptError: the header does not point to a log block.
        AuthenticationError: a key that is not that of the log.
        LimitError: an impossibly long chain.
    """
    bp = header.log
    if bool(blkptr.is_hole(bp)):
        return
    reason = _no_log_block(bp)
    if reason:
        raise CorruptError(f"an intent log header points to something else: {reason}")
    last_block, last_record = _claimed(header)
    for _ in range(MAX_BLOCKS):
        seq = int(bp["cksum"][3])
        if seq > last_block:
            return
        block, link = _read(zio, bp)
        if link is None:
            yield LogBlock(bp, seq, len(block), None, ())
            return
        records, damage = _records(bp, block, link, keys, last_record)
        yield LogBlock(bp, seq, len(block), link, records, damage)
        complete = bool(records) and records[-1].seq == last_record and seq == last_block
        bp = link.next
        if damage or complete or bool(blkptr.is_hole(bp)) or _no_log_block(bp):
            return
    raise LimitError(f"an intent log of more than {MAX_BLOCKS} blocks")


def read_chain(zio: Zio, header: ZilHeader, keys: BlockKeys | None = None) -> Iterator[Record]:
    """The records of a log, in order. Args and errors: as ``read_blocks``.

    Raises:
        CorruptError: also a record that is damaged.
    """
    for block in read_blocks(zio, header, keys):
        yield from block.records
        if block.damage:
            raise CorruptError(f"an intent log block is damaged: {block.damage}", block=block.seq)


def _claimed(header: ZilHeader) -> tuple[int, int]:
    """The last block and the last record that belong to the log."""
    endless = (1 << 64) - 1
    if header.claim_txg == 0:
        return endless, endless
    return header.claim_blk_seq, header.claim_lr_seq if header.flags & ZilFlags.CLAIM_LR_SEQ_VALID else endless


def _no_log_block(bp: BpArray) -> str:
    """Why a pointer cannot be that of a log block; empty if it can."""
    if int(blkptr.object_type(bp)) != ObjectType.INTENT_LOG or int(blkptr.level(bp)) or bool(blkptr.is_embedded(bp)):
        return "its type is another one"
    if int(blkptr.checksum(bp)) not in _CHECKSUMS:
        return "its checksum is another one"
    size = int(blkptr.psize(bp))
    if size != int(blkptr.lsize(bp)) or size > MAX_BLOCK:
        return "its size is impossible"
    return ""


def _read(zio: Zio, bp: BpArray) -> tuple[bytes, ChainLink | None]:
    """A log block and its chain structure; None for that if no copy holds a valid block."""
    size = int(blkptr.psize(bp))
    links: list[ChainLink] = []

    def good(data: memoryview) -> bool:
        link = link_of(bp, data)
        if link is not None:
            links.append(link)
        return link is not None

    data = zio.find(bp, size, good)
    return (bytes(size), None) if data is None else (bytes(data), links[-1])


def link_of(bp: BpArray, data: memoryview) -> ChainLink | None:
    """The chain structure in the bytes of a log block; None if they are not those of the block that ``bp`` means."""
    identity = [int(word) for word in bp["cksum"]]
    slim = int(blkptr.checksum(bp)) == zil.CHECKSUM_ZILOG2
    return zil.decode_block(data, identity, slim, bool(blkptr.is_crypt(bp)))


def _records(
    bp: BpArray, block: bytes, link: ChainLink, keys: BlockKeys | None, last_record: int
) -> tuple[tuple[Record, ...], str]:
    """The records of a block up to the last one that counts, and why there are no more."""
    sealed = bool(blkptr.is_crypt(bp))
    if sealed and keys is not None:
        block, sealed = keys.open_log(bp, block, link.order), False
    found: list[Record] = []
    try:
        for at, length in zil.records(block, link.start, link.end, link.order):
            record = zilrecord.decode(memoryview(block)[at : at + length], link.order, sealed=sealed)
            if record.seq > last_record:
                break
            found.append(record)
    except CorruptError as error:
        return tuple(found), str(error)
    return tuple(found), ""


def log_of(objset: Objset, keys: BlockKeys | None = None) -> Iterator[Record]:
    """The records of an object set's log.

    Raises:
        KeyUnavailableError: the log is encrypted and no key was given (``read_blocks`` shows what can be seen then).
    """
    keys = keys or objset.keys
    if objset.encrypted and keys is None:
        raise KeyUnavailableError("an encrypted intent log", "load the dataset's key", dataset=objset.name)
    return read_chain(objset.zio, header_of(objset), keys)
