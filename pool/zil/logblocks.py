"""The chain of blocks of a log that is being written: where it begins, how it grows, and when its blocks are freed.

There is always one block more than was written: its pointer is in the last written one, and the next records go into
it. Records that need several blocks are made durable in one step nevertheless: the later blocks are written and flushed
first, and nothing leads to them until the first one is there. So the log holds all of a commit or none of it.

Blocks go when all of their records are on disk by way of a txg. The header that is written with a txg knows what was
part of the log by then, whatever has happened to it since.

What a log takes where data lies is missing until its txg is on disk, and writing that txg takes room as well: so a log
takes no more than what waits can spare.

Source: OpenZFS, zil.c (``zil_lwb_write_issue``, ``zil_sync``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ..alloc.allocator import AllocClass
from ..dmu.tx import TxManager
from ..errors import NoSpaceError
from ..ondisk import bpmake, zil
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.zilencode import stamp
from ..zio.checksum import Checksum
from ..zio.compress import Compression
from ..zio.writer import ZioWriter
from .claim import NO_LOG

#: Bytes of a log block: a multiple of the least, and at most so many. Source: zil.c (``zil_maxblocksize``).
BLOCK_MIN, BLOCK_MAX = 4096, 128 << 10
#: Bytes of records that fit into one block, and of data in one record.
ROOM = BLOCK_MAX - zil.CHAIN_SIZE
DATA_MAX = ROOM - 192
#: Commits whose size says how large the next block is to be.
HISTORY = 8


#: Blocks are allocated in batches: of so many at first, then twice as many each time in a txg, up to so many and so
#: many bytes.
BATCH_FIRST, BATCH_MAX, BATCH_BYTES = 8, 128, 1 << 20
_SEQ_AT = 120  # in a pointer


@dataclass(slots=True)
class Link:
    """A block with a place.

    Attributes:
        raw: its pointer. place: vdev, offset and asize. born: the txg it was allocated in.
        newest: the highest txg of its records. written: it is durable. chain: which one it belongs to.
    """

    raw: bytes
    place: tuple[int, int, int]
    size: int
    born: int
    newest: int = 0
    written: bool = False
    chain: int = 0

    @property
    def bp(self) -> BpArray:
        """Its pointer, one element."""
        return np.frombuffer(self.raw, BLKPTR)

    @property
    def seq(self) -> int:
        """Its number in the chain."""
        return int.from_bytes(self.raw[_SEQ_AT:], "little")

    @property
    def vdev(self) -> int:
        """The top-level vdev it lies on."""
        return self.place[0]


@dataclass(slots=True)
class Filled:
    """A block whose records are in place. ``following``: pointer to the next one. ``used``: bytes of it."""

    link: Link
    content: bytearray
    following: bytes
    used: int

    def sealed(self) -> bytearray:
        """Its content with the chain and the checksum in it, ready to be written."""
        zil.seal_slim(self.content, self.link.raw, self.following, self.used)
        return self.content


class LogBlocks:
    """The blocks of one dataset's log.

    Args:
        writer: of the pool. tx: its transactions: blocks that a header does not need any more are discarded there.
        dataset: number of the dataset's object.
        random_bytes: for the name of a chain.
    """

    def __init__(
        self, writer: ZioWriter, tx: TxManager, dataset: int, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.writer = writer
        self.tx = tx
        self.dataset = dataset
        self.random_bytes = random_bytes
        self.cls = AllocClass.LOG
        #: Held while a block is written without the pool's lock, so that it is not given up, freed and used meanwhile.
        self.sending = Lock()
        self._chain: deque[Link] = deque()
        self._spare: list[Link] = []  # allocated in the open txg and not used yet
        self._batch = (0, BATCH_FIRST)  # txg, and how many to allocate next
        self._began = 0  # txg
        self._begun = 0  # how many chains there were
        self._gone: list[tuple[int, int, deque[Link]]] = []  # chains given up: began in, given up in, blocks
        self._name = (0, 0)
        self._records = 0
        self._sizes: deque[int] = deque(maxlen=HISTORY)

    @property
    def begun(self) -> bool:
        """There is a log."""
        return bool(self._chain)

    def has(self, link: Link) -> bool:
        """A block that ``prepare`` gave is still part of the log."""
        return bool(self._chain) and link.chain == self._begun

    # --- beginning and end ------------------------------------------------------------------------------------------

    def begin(self, txg: int) -> None:
        """Allocate the first block of a new chain. It counts when the txg with its header is on disk.

        Raises:
            NoSpaceError: there is no room.
        """
        raw = self.random_bytes(16)
        self._name = (int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:], "little"))
        self._records = 0
        self._begun += 1
        self._chain.append(self._new(self._next_size(), 1, txg))
        self._began = txg

    def give_up(self, txg: int) -> None:
        """The log ends; with this txg all of its blocks are freed."""
        self._give_back(self._spare)  # they bear its name
        with self.sending:
            if self._chain:
                self._gone.append((self._began, txg, self._chain))
                self._chain = deque()

    def header(self, txg: int) -> bytes:
        """The header that goes with a txg that is being closed; blocks not needed any more are freed in it."""
        self._give_back([link for link in self._spare if link.born <= txg])
        free: list[Link] = []
        first: Link | None = None
        for entry in list(self._gone):
            began, over, chain = entry
            if over <= txg:
                free += chain
                self._gone.remove(entry)
            elif began <= txg and first is None:
                first = chain[0]
        if first is None and self._chain and self._began <= txg:
            while self._chain[0].written and self._chain[0].newest <= txg:
                free.append(self._chain.popleft())
            first = self._chain[0]
        if free:
            self.tx.discarded.append(np.frombuffer(b"".join([link.raw for link in free]), BLKPTR))
        return zil.encode_header(NO_LOG if first is None else replace(NO_LOG, log=first.bp[0]))

    def fall_back(self) -> None:
        """Writing failed: if blocks of the log lie on devices of their own, later ones do not."""
        tops = self.writer.zio.tree.tops
        if any(tops[link.vdev].is_log for link in self._chain):
            self.cls = AllocClass.EMBEDDED_LOG

    # --- blocks -----------------------------------------------------------------------------------------------------

    def _next_size(self) -> int:
        return max(self._sizes, default=BLOCK_MIN)

    def _new(self, size: int, seq: int, txg: int) -> Link:
        """A block that is to be written later."""
        if not self._spare or self._spare[-1].size != size or self._spare[-1].born != txg:
            self._give_back(self._spare)
            self._allocate(size, txg)
        link = self._spare.pop()
        link.chain = self._begun
        link.raw = link.raw[:_SEQ_AT] + seq.to_bytes(8, "little")
        return link

    def _allocate(self, size: int, txg: int) -> None:
        """Find places for some blocks: what one commit does not need the next one will."""
        count = self._batch[1] if self._batch[0] == txg else BATCH_FIRST
        self._batch = (txg, min(2 * count, BATCH_MAX))
        count = max(1, min(count, BATCH_BYTES // size))
        places = self._find(size, count, txg)
        if not len(places) and count > 1:
            places = self._find(size, 1, txg)
        if not len(places):
            raise NoSpaceError("no room for a block of the intent log", "remove something", bytes=size)
        sizes = np.full(len(places), size, np.uint64)
        self.writer.output.occupy(places, sizes, txg)
        bps = bpmake.stored(
            sizes, sizes, compress=Compression.OFF, checksum=zil.CHECKSUM_ZILOG2, type=ObjectType.INTENT_LOG, level=0,
            birth=txg, fill=0,
        )  # fmt: skip
        bps["dva"] = bpmake.addresses(places)
        bps["cksum"] = (*self._name, self.dataset, 0)
        rows = places[:, 0].tolist()
        self._spare = [Link(bp.tobytes(), tuple(row), size, txg) for bp, row in zip(bps, rows)][::-1]

    def _find(self, size: int, count: int, txg: int) -> NDArray[np.uint64]:
        """Places for so many blocks or fewer, shaped as the allocator's; none if what waits needs the room itself."""
        sizes = np.full(count, size, np.uint64)
        places: NDArray[np.uint64] = self.writer.allocator.allocate(sizes, txg=txg, copies=1, cls=self.cls)
        places = places[places[:, 0, 2] != 0]
        self._count(places[:, 0], 1)
        try:
            self.tx.admit(0)
        except BaseException as error:
            self._let_go(places[:, 0], txg)
            if isinstance(error, NoSpaceError):
                return places[:0]
            raise
        return places

    def _count(self, places: NDArray[np.uint64], sign: int) -> None:
        """Room that is taken among the data in the open txg, or not any more."""
        tops = self.writer.zio.tree.tops
        taken = sum([asize for vdev, _, asize in places.tolist() if not tops[vdev].is_log])
        self.tx.waiting.logged_room += sign * taken

    def _let_go(self, places: NDArray[np.uint64], born: int) -> None:
        if born == self.tx.open_txg:
            self._count(places, -1)
        self.writer.allocator.unallocate(*places.T.copy(), txg=born)

    def _give_back(self, links: list[Link]) -> None:
        """These were not used: nobody can have heard of them."""
        for born in {link.born for link in links}:
            self._let_go(np.array([link.place for link in links if link.born == born], np.uint64), born)
        gone = {id(link) for link in links}
        self._spare = [link for link in self._spare if id(link) not in gone]

    def prepare(self, records: Sequence[tuple[bytearray, int]], txg: int) -> list[Filled]:
        """Put records into blocks, and allocate those that are needed. Whoever gets them writes them, the first last.

        Args:
            records: with their txgs, in order; each at most ``ROOM`` bytes.
            txg: the open one.

        Raises:
            NoSpaceError: there is no room. The chain is to be given up then.
        """
        tail = self._chain[-1]
        left = sum([len(record) for record, _ in records])
        self._sizes.append(_block_size(left))
        filled: list[Filled] = []
        content, used, newest = bytearray(tail.size), zil.CHAIN_SIZE, 0
        for record, own in records:
            size = len(record)
            if used + size > tail.size:
                tail = self._go_on(filled, tail, content, used, newest, _block_size(max(left, size)), txg)
                content, used, newest = bytearray(tail.size), zil.CHAIN_SIZE, 0
            self._records += 1
            stamp(record, own, self._records)
            content[used : used + size] = record
            used += size
            left -= size
            newest = max(newest, own)
        self._go_on(filled, tail, content, used, newest, self._next_size(), txg)
        return filled

    def _go_on(
        self, filled: list[Filled], tail: Link, content: bytearray, used: int, newest: int, size: int, txg: int
    ) -> Link:
        """A block has all it can have: the chain goes on with another one of this size, which is given."""
        following = self._new(size, tail.seq + 1, txg)
        tail.newest = max(newest, tail.born)
        self._chain.append(following)
        filled.append(Filled(tail, content, following.raw, used))
        return following

    def send_first(self, block: Filled, txg: int) -> bool:
        """Write the block that makes a commit part of the log, and make it durable; the pool's lock is not needed.

        Returns:
            False: it does not belong to the log any more.

        Raises:
            DeviceError: it cannot be written, or is not durable.
        """
        vdev, offset, _ = block.link.place
        content = block.sealed()
        with self.sending:
            if not self.has(block.link):
                return False
            if self.writer.output.write_durable(vdev, offset, content, txg):
                return True
            self._put(block.link, content, txg)
        self.writer.flush({vdev})
        return True

    def send(self, blocks: Sequence[Filled], txg: int) -> None:
        """Write blocks. They are not durable before a flush.

        Raises:
            DeviceError: one cannot be written.
        """
        for block in blocks:
            self._put(block.link, block.sealed(), txg)

    def _put(self, link: Link, content: bytearray, txg: int) -> None:
        vdev, offset, _ = link.place
        if not self.writer.output.write_plain(vdev, offset, content, txg):
            self.writer.store_raw([content], np.array([[link.place]], np.uint64), Checksum.OFF, txg)


def _block_size(records: int) -> int:
    """Bytes of a block for so many bytes of records."""
    return min(max(-(-(records + zil.CHAIN_SIZE) // BLOCK_MIN) * BLOCK_MIN, BLOCK_MIN), BLOCK_MAX)
