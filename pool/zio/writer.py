"""Writing blocks: from bytes to block pointers.

A batch of blocks of one object and level is packed (``pack``), given room by the allocator, and written to every copy,
mirror side and parity column in one kernel call (``output``), which computes the checksums on the way. What the
allocator has no room for in one piece becomes a gang (``gangwrite``). The order of writes does not matter: nothing
durable points to any of them before the next flush and uberblock.

Crash safety rests on two things. A place is only written to when the allocator gave it in this txg, or when the caller
shows a pointer to it that was born in this txg (``rewrite``), which no durable uberblock can lead to. And ``flush``
returns only when all that was written is durable.

Source: OpenZFS, zio.c (zio_write and its pipeline), zio_compress.c.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedError, UsageError
from ..ondisk import blkptr, bpmake
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import VALID, ObjectType
from . import checksum, gangwrite
from .checksum import SALT_SIZE, Checksum
from .compress import Compression
from .emit import Places
from .output import Output, new_jobs
from .pack import Packed, Rounding, pack

if TYPE_CHECKING:
    from .reader import Zio

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]

_NEVER_EMBEDDED = (ObjectType.DNODE, ObjectType.OBJSET)
_DVA_ASIZE_MAX = 0xFFFFFF << 9


class BlockAllocator(Protocol):
    """What writing blocks wants of an allocator; see ``pool/alloc/allocator.py``."""

    def allocate(self, psizes: U64, *, txg: int, copies: int = 1, cls: Any = 0) -> Places:
        """(n, copies, 3): top-level vdev, offset, asize; asize 0 in all copies of what cannot be placed."""

    def unallocate(self, vdevs: U64, offsets: U64, asizes: U64, *, txg: int) -> None:
        """Give back what was allocated in this txg and is not used."""

    def free(self, vdevs: U64, offsets: U64, asizes: U64, *, txg: int) -> None:
        """Free what was written."""


@dataclass(frozen=True, slots=True)
class WritePolicy:
    """How blocks of an object and level are stored.

    Attributes:
        type: DMU object type; level: in the block tree.
        checksum: id. compress: id, ``Compression.EMPTY`` for holes only; complevel: of zstd, as on disk, 0: default.
        copies: 1 to 3.
        cls: allocation class.
        embed: small blocks go into their pointers (feature embedded_data).
        hole_birth: holes say when they were punched (feature hole_birth); leave it off for blocks never written before.
    """

    type: int
    level: int = 0
    checksum: int = Checksum.FLETCHER4
    compress: int = Compression.LZ4
    complevel: int = 0
    copies: int = 1
    cls: int = 0
    embed: bool = False
    hole_birth: bool = True

    @property
    def embeds(self) -> bool:
        """Blocks of this kind may go into their pointers."""
        return self.embed and self.level == 0 and self.type not in _NEVER_EMBEDDED


class ZioWriter:
    """Writes the blocks of one pool. One thread at a time uses it.

    Args:
        zio: the pool's blocks, for reading; its tree has the devices, its salt is used.
        allocator: gives and takes back room.
        threads: how many share the work of a large batch.
    """

    def __init__(self, zio: Zio, allocator: BlockAllocator, *, threads: int = 1) -> None:
        self.zio = zio
        self.allocator = allocator
        self.output = Output(zio.tree, threads)
        self._rounding = (0, Rounding())

    @property
    def rounding(self) -> Rounding:
        """Sizes of allocations on the vdevs there are now."""
        count = len(self.zio.tree.tops)
        if count != self._rounding[0]:
            self._rounding = (count, Rounding.of(self.zio.tree))
        return self._rounding[1]

    def close(self) -> None:
        """Let the threads go. Does not flush."""
        self.output.close()

    def flush(self, tops: Container[int] | None = None) -> None:
        """Make everything written so far durable, on all devices in parallel.

        Args:
            tops: only what lies on these top-level vdevs; None: everything.

        Raises:
            DeviceError: of a failed flush that the redundancy does not bear; nothing written since the last flush may
                be relied on.
        """
        self.output.flush(tops)

    def write(
        self,
        data: Any,
        policy: WritePolicy,
        txg: int,
        *,
        lsize: int,
        fill: int | NDArray[Any] = 1,
        rewrite: BpArray | None = None,
        owned: list[BpArray] | None = None,
    ) -> BpArray:
        """Write n blocks of one object and level.

        Args:
            data: uint8 (n, lsize), or a sequence of n contiguous buffers of lsize bytes each.
            policy: how they are stored.
            txg: in which they are born.
            lsize: bytes of each block, a multiple of 512.
            fill: what the pointers say of it, one for all or one for each; holes have 0.
            rewrite: pointers that these same blocks were given earlier in this txg. A block whose stored size is the
                same is written over the old one, else the old one is freed. Holes and embedded ones have nothing to
                reuse.
            owned: is given the pointers of what was stored, in the moment in which it stays allocated: an exception, or
                a ^C, that comes later finds here what it has to free.

        Returns:
            n pointers: stored, embedded or holes. Before ``flush`` nothing they lead to is durable.

        Raises:
            NoSpaceError: no room even for gangs; nothing stays allocated.
            DeviceError: a block did not reach as many devices as the redundancy needs; nothing stays allocated.
            UnsupportedError: a checksum or compression that is not written here; nothing was written.
            UsageError: sizes or pointers that make no sense.
        """
        _check(policy, lsize, self.zio.salt)
        executor = self.output.executor
        packed = pack(
            data,
            lsize,
            policy.compress,
            policy.complevel,
            embed=policy.embeds,
            rounding=self.rounding,
            executor=executor,
        )
        old = None if rewrite is None else _rewritable(rewrite, len(packed.hole), txg)
        bps = np.zeros(len(packed.hole), blkptr.BLKPTR)
        fills = np.broadcast_to(np.asarray(fill, np.uint64), len(bps))
        self._without_room(bps, packed, policy, lsize, txg)
        rows = packed.stored
        reused = np.zeros(len(bps), bool)
        if len(rows):
            bps[rows] = self._store(packed, rows, policy, lsize, fills[rows], txg, old, reused, owned)
        if old is not None:
            self.free(old[~reused], txg)
        return bps

    def _without_room(self, bps: BpArray, packed: Packed, policy: WritePolicy, lsize: int, txg: int) -> None:
        """The pointers of holes and embedded blocks."""
        holes = np.flatnonzero(packed.hole)
        birth = txg if policy.hole_birth else 0
        if len(holes):
            bps[holes] = bpmake.holes(len(holes), lsize, type=policy.type, level=policy.level, birth=birth)
        if packed.embedded:
            bps[list(packed.embedded)] = bpmake.embedded(
                list(packed.embedded.values()),
                lsize,
                compress=policy.compress,
                type=policy.type,
                level=policy.level,
                birth=txg,
            )

    def _store(
        self,
        packed: Packed,
        rows: I64,
        policy: WritePolicy,
        lsize: int,
        fill: U64,
        txg: int,
        old: BpArray | None,
        reused: NDArray[np.bool_],
        owned: list[BpArray] | None,
    ) -> BpArray:
        """Find room for blocks and write them; marks the ones that took the place of an old one."""
        psizes = packed.psize[rows]
        places: Places = np.zeros((len(rows), policy.copies, 3), np.uint64)
        fresh = np.ones(len(rows), bool)
        rooms: dict[int, gangwrite.GangRoom] = {}
        if old is not None:
            fresh = ~_same_room(old[rows], psizes, policy.copies)
            places[~fresh] = bpmake.places(old[rows[~fresh]])[:, : policy.copies]
            rooms = self._same_gangs(old[rows], psizes, policy.copies)
            fresh[list(rooms)] = False
            reused[rows[~fresh]] = True
        new = np.flatnonzero(fresh)
        bps = bpmake.stored(
            np.full(len(rows), lsize),
            psizes,
            compress=packed.compress[rows],
            checksum=policy.checksum,
            type=policy.type,
            level=policy.level,
            birth=txg,
            fill=fill,
        )
        found: list[gangwrite.GangRoom] = []
        try:
            if len(new):
                places[new] = self.allocator.allocate(psizes[new], txg=txg, copies=policy.copies, cls=policy.cls)
            whole = places[:, :, 2].any(axis=1)
            for i in np.flatnonzero(~whole).tolist():
                if i not in rooms:
                    found.append(gangwrite.find_room(self, int(psizes[i]), policy, txg))
                    rooms[i] = found[-1]
            self._send(bps, packed, rows, places, np.flatnonzero(whole), txg)
            for i, room in rooms.items():
                stored = _stored_bytes(packed, int(rows[i]))
                gangwrite.write(self, bps[i : i + 1], room, stored, policy, txg)
            if owned is not None:
                owned.append(bps)
        except BaseException:
            if not owned:
                self._give_back(places[new], found, txg)
            raise
        return bps

    def _same_gangs(self, old: BpArray, psizes: U64, copies: int) -> dict[int, gangwrite.GangRoom]:
        """Old blocks that are gangs and whose room does for new ones."""
        there = blkptr.is_gang(old) & ~blkptr.is_hole(old) & (blkptr.psize(old) == psizes)
        rooms = {i: gangwrite.room_of(self.zio, old[i]) for i in np.flatnonzero(there).tolist()}
        return {i: room for i, room in rooms.items() if room.copies == copies}

    def _send(self, bps: BpArray, packed: Packed, rows: I64, places: Places, index: I64, txg: int) -> None:
        """Write blocks whose room is in one piece, and complete their pointers."""
        if not len(index):
            return
        where = rows[index]
        bps["dva"][index] = bpmake.addresses(places[index])
        jobs = new_jobs(len(index))
        jobs["psize"] = packed.psize[where]
        jobs["checksum"] = blkptr.checksum(bps[index])
        jobs["reserved"] = packed.source[where]
        jobs["dest"] = packed.at[where]
        self.output.write(places[index], jobs, packed.sources, txg, self.zio.salt)
        bps["cksum"][index] = jobs["words"]

    def store_raw(
        self, buffers: Sequence[Any], places: Places, number: int, txg: int
    ) -> NDArray[np.uint64]:
        """Write stored bytes to places already allocated.

        Args:
            buffers: n of them, each a multiple of 512 bytes.
            places: (n, copies, 3).
            number: checksum id.
            txg: in which they are born.

        Returns:
            (n, 4) checksum words.
        """
        jobs = new_jobs(len(buffers))
        jobs["psize"] = [memoryview(buffer).nbytes for buffer in buffers]
        jobs["checksum"] = number
        jobs["reserved"] = np.arange(len(buffers))
        self.output.write(places, jobs, buffers, txg, self.zio.salt)
        words: NDArray[np.uint64] = jobs["words"].copy()
        return words

    def _give_back(self, places: Places, gangs: Sequence[gangwrite.GangRoom], txg: int) -> None:
        parts = [places.reshape(-1, 3), *(gang.every() for gang in gangs)]
        rows = np.concatenate(parts)
        rows = rows[rows[:, 2] != 0]
        if len(rows):
            self.allocator.unallocate(rows[:, 0], rows[:, 1], rows[:, 2], txg=txg)

    def free(self, bps: BpArray, txg: int) -> None:
        """Free blocks: all their copies, gangs with all that belongs to them. Holes and embedded ones take no room.

        Args:
            bps: pointers that nothing will lead to any more. Blocks in the dedup table or cloned ones must not be
                given here before their last reference is gone.
            txg: in which they are freed.

        Raises:
            UnsupportedError: a block of the dedup table, or on a removed vdev; nothing is freed.
            ChecksumError: a gang header that cannot be read; nothing is freed.
        """
        flat = np.ascontiguousarray(bps).reshape(-1)
        flat = flat[~blkptr.is_hole(flat) & ~blkptr.is_embedded(flat)]
        if not len(flat):
            return
        if blkptr.is_dedup(flat).any():
            raise UnsupportedError("blocks of the dedup table are not freed here")
        gang = blkptr.is_gang(flat)
        parts = [bpmake.places(flat[~gang]).reshape(-1, 3)]
        parts += [gangwrite.room_of(self.zio, bp).every() for bp in flat[gang]]
        rows = np.concatenate(parts)
        rows = rows[rows[:, 2] != 0]
        for number in np.unique(rows[:, 0]).tolist():
            if number >= len(self.zio.tree.tops) or self.zio.tree.tops[number].type == "indirect":
                raise UnsupportedError("blocks on a removed vdev are not freed here", vdev=number)
        self.allocator.free(rows[:, 0], rows[:, 1], rows[:, 2], txg=txg)


def _check(policy: WritePolicy, lsize: int, salt: bytes) -> None:
    if lsize % blkptr.SECTOR or not 0 < lsize <= blkptr.MAX_BLOCK:
        raise UsageError("a block's size is a multiple of 512 and at most 16 MiB", lsize=lsize)
    if not 1 <= policy.copies <= blkptr.DVAS_PER_BP or not 0 <= policy.level <= 31 or not VALID[policy.type]:
        raise UsageError("blocks of such a kind cannot be", type=policy.type, level=policy.level, copies=policy.copies)
    if not checksum.KNOWN[policy.checksum]:
        raise UnsupportedError("blocks with a checksum of this kind are not written here", checksum=policy.checksum)
    if checksum.SALTED[policy.checksum] and len(salt) != SALT_SIZE:
        raise UnsupportedError("a salted checksum in a pool without a salt", checksum=policy.checksum)


def _rewritable(rewrite: BpArray, count: int, txg: int) -> BpArray:
    """Old pointers, once it is sure that no durable tree leads to what they point to."""
    old = np.ascontiguousarray(rewrite).reshape(-1)
    if len(old) != count:
        raise UsageError("not as many old pointers as blocks", blocks=count, pointers=len(old))
    there = ~blkptr.is_hole(old) & ~blkptr.is_embedded(old)
    if (there & ((old["birth"] != txg) | (blkptr.physical_birth(old) != txg) | blkptr.is_dedup(old))).any():
        raise UsageError("only blocks born in this txg can be written over", txg=txg)
    return old


def _same_room(old: BpArray, psizes: U64, copies: int) -> NDArray[np.bool_]:
    """Which old blocks' room does for new ones."""
    there = ~blkptr.is_hole(old) & ~blkptr.is_embedded(old) & ~blkptr.is_gang(old)
    result: NDArray[np.bool_] = there & (blkptr.psize(old) == psizes)
    result &= (blkptr.dva_asize(old) != 0).sum(axis=1) == copies
    return result


def _stored_bytes(packed: Packed, row: int) -> memoryview:
    at = int(packed.at[row])
    view = memoryview(packed.sources[int(packed.source[row])]).cast("B")
    return view[at : at + int(packed.psize[row])]
