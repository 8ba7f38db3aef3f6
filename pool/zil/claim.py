"""Claiming an intent log when a pool is imported: its blocks get the space that no space map knows of yet.

Blocks of a log are allocated in the txg that was open when they were written. If that txg never reached the disk, the
space maps call them free: before anything else is allocated, they and the blocks that their records point to are
allocated here, in the first txg after the import. The header then says how far the log goes, so that later imports
find the same log whatever lies behind its end.

Source: OpenZFS, zil.c (``zil_claim``, ``zil_claim_log_block``, ``zil_clear_log_block``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptError, PoolError
from ..ondisk import blkptr, bpmake
from ..ondisk.blkptr import BLKPTR, BpArray, U64Array
from ..ondisk.zil import ZilFlags, ZilHeader
from ..ondisk.zilrecord import CloneRange, Record, Sealed, TxType, Write
from ..zio import gangwrite
from . import chain

if TYPE_CHECKING:
    from ..zio.crypt import BlockKeys
    from ..zio.reader import Zio

#: Allocates ranges: (vdevs, offsets, asizes), see ``Allocator.claim``.
Take = Callable[[U64Array, U64Array, U64Array], None]

#: A block is written at most so many txgs ahead of the last one that reached the disk; a frozen pool goes far.
AHEAD_MAX = 1 << 20

HOLE: BpArray = np.zeros(1, dtype=BLKPTR)[0]
NO_LOG = ZilHeader(0, 0, HOLE, 0, 0, 0)


@dataclass(slots=True)
class ClaimedLog:
    """A log whose blocks are allocated.

    Attributes:
        header: as it has to be written.
        blocks: of the chain, the unwritten one at its end included. data: blocks of indirect records that nothing else
            refers to. Both are freed when the log goes.
        newest: the highest txg that any of them was born in.
        records: how many there are.
        clones: records point to blocks of other files.
        cut: why the log ends before it should; empty: it does not.
    """

    header: ZilHeader
    blocks: list[BpArray] = field(default_factory=list)
    data: list[BpArray] = field(default_factory=list)
    newest: int = 0
    records: int = 0
    clones: bool = False
    cut: str = ""

    @property
    def everything(self) -> BpArray:
        """All blocks that go with the log."""
        found = [*self.blocks, *self.data]
        return np.array(found, dtype=BLKPTR) if found else np.zeros(0, dtype=BLKPTR)

    @property
    def replayable(self) -> bool:
        """There is something to be replayed."""
        return bool(self.header.flags & ZilFlags.REPLAY_NEEDED)


class _Claim:
    """Walks one log, and claims what nobody has claimed yet.

    Args:
        first_txg: blocks born in it or later are in no space map.
        take: allocates ranges; None: the log was claimed already.
        read: make sure that data can be read.
    """

    def __init__(
        self, zio: Zio, header: ZilHeader, first_txg: int, take: Take | None, *, read: bool = True
    ) -> None:
        self.read = read
        self.zio = zio
        self.first_txg = first_txg
        self.take = take
        self.found = ClaimedLog(header)
        self.last_block = self.last_record = 0
        self._met: set[bytes] = set()

    def run(self, keys: BlockKeys | None) -> None:
        for block in chain.read_blocks(self.zio, self.found.header, keys):
            if not self._log_block(block):
                return
            for record in block.records:
                if not self._record(record):
                    return
                self.last_record = record.seq
                self.found.records += 1
            if block.damage:
                self.found.cut = f"block {block.seq} is damaged: {block.damage}"
                return

    def _log_block(self, block: chain.LogBlock) -> bool:
        try:
            self._claim(block.bp)
        except PoolError as error:
            if not self.found.blocks:
                raise
            self.found.cut = f"block {block.seq} cannot be claimed: {error}"
            return False
        self.found.blocks.append(block.bp)
        self.last_block = block.seq
        return True

    def _record(self, record: Record) -> bool:
        """Claim what a record points to; False: the log ends before it."""
        if record.type == TxType.CLONE_RANGE:
            self.found.clones = True
            bps = record.bps if isinstance(record, (CloneRange, Sealed)) else None
            young = bps is not None and bool((blkptr.physical_birth(bps) >= np.uint64(self.first_txg)).any())
            if young:
                self.found.cut = f"record {record.seq} clones blocks that were not on disk"
            return not young
        for bp in _data(record):
            if int(bp["birth"]) < self.first_txg or bool(blkptr.is_hole(bp)) or bool(blkptr.is_embedded(bp)):
                continue
            try:
                if self.take is not None and self.read:
                    self.zio.read_one(bp, raw=True, what=f"data of intent log record {record.seq}")
                if self._claim(bp):
                    self.found.data.append(bp)
            except PoolError as error:
                self.found.cut = f"record {record.seq} has data that cannot be read: {error}"
                return False
        return True

    def _claim(self, bp: BpArray) -> bool:
        """Allocate a block, unless it is; False: it was met before."""
        identity = bp["dva"][0].tobytes()
        if identity in self._met:
            return False
        birth = int(bp["birth"])
        if birth > self.first_txg + AHEAD_MAX:
            raise CorruptError("a block of an intent log was born in a far future", birth=birth)
        if self.take is not None and birth >= self.first_txg:
            rows = _rows(self.zio, bp)
            self.take(rows[:, 0], rows[:, 1], rows[:, 2])
        self._met.add(identity)
        self.found.newest = max(self.found.newest, birth)
        return True


def _data(record: Record) -> Iterator[BpArray]:
    """The pointer of an indirect write."""
    if record.type != TxType.WRITE:
        return
    bp = record.bp if isinstance(record, Write) else record.bps if isinstance(record, Sealed) else None
    if bp is not None:
        yield from np.atleast_1d(bp)


def _rows(zio: Zio, bp: BpArray) -> U64Array:
    """(n, 3) of vdev, offset, asize of all that belongs to a block."""
    if bool(blkptr.is_gang(bp)):
        rows = gangwrite.room_of(zio, bp).every()
    else:
        rows = bpmake.places(np.array([bp], dtype=BLKPTR)).reshape(-1, 3)
    result: U64Array = np.ascontiguousarray(rows[rows[:, 2] != 0])
    return result


def newest_birth(zio: Zio, header: ZilHeader, first_txg: int) -> int:
    """The highest txg that a block of a log may have been born in: nothing is written before that is over.

    Raises: as ``claim``.
    """
    walk = _Claim(zio, header, first_txg, lambda vdevs, offsets, asizes: None, read=False)
    walk.run(None)
    return walk.found.newest


def claim(zio: Zio, header: ZilHeader, first_txg: int, take: Take) -> ClaimedLog:
    """Claim a log, or look up what was claimed of it before. Needs no keys.

    Args:
        zio: the pool's blocks.
        header: of the log; not a hole.
        first_txg: the first txg after the import.
        take: allocates ranges that have to be free.

    Raises:
        CorruptError: the header does not point to a log, or its first block lies where something else does.
    """
    if header.claim_txg:
        walk = _Claim(zio, header, header.claim_txg, None)
        walk.run(None)
        return walk.found
    walk = _Claim(zio, header, first_txg, take)
    walk.run(None)
    if not walk.found.blocks:
        raise CorruptError("an intent log has a header, but no blocks")
    flags = header.flags | ZilFlags.CLAIM_LR_SEQ_VALID
    if walk.found.records or len(walk.found.blocks) > 1:
        flags |= ZilFlags.REPLAY_NEEDED
    walk.found.header = replace(
        header,
        claim_txg=first_txg,
        claim_blk_seq=walk.last_block,
        claim_lr_seq=walk.last_record,
        flags=flags,
    )
    return walk.found


def durable_blocks(zio: Zio, header: ZilHeader, txg: int) -> BpArray:
    """Blocks that go with a log that is to be discarded: those that the space maps of ``txg`` have. Nothing is claimed.

    Of a log that was claimed these are also the blocks that its records point to and nothing else refers to.
    """
    if header.claim_txg:
        walk = _Claim(zio, header, header.claim_txg, None)
        try:
            walk.run(None)
        except PoolError:
            pass  # what comes behind cannot be found; what was met before is known
        return walk.found.everything if walk.found.blocks else _only(header)
    found: list[BpArray] = []
    try:
        for block in chain.read_blocks(zio, header):
            if int(block.bp["birth"]) > txg:
                break
            found.append(block.bp)
    except PoolError:
        # The first block is known from the header itself.
        if not found and int(header.log["birth"]) <= txg:
            return _only(header)
    return np.array(found, dtype=BLKPTR) if found else np.zeros(0, dtype=BLKPTR)


def _only(header: ZilHeader) -> BpArray:
    return np.array([header.log], dtype=BLKPTR)
