"""One object, open for reading: its facts, its bonus, and its bytes at any offset.

Whole blocks go straight into the caller's buffer in batches; a block of which only a part is wanted is read aside and
kept, so that reading a file in small pieces expands each block once. Holes cost nothing but zeroing the buffer: an
object may be exabytes long.

Source: OpenZFS, dnode.c, dmu.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CorruptError, KeyUnavailableError, NotFoundError, PoolError, UsageError
from ..ondisk import blkptr, bpcheck, dmutypes
from ..ondisk.blkptr import BpArray
from ..ondisk.dnode import BLKPTR_SHIFT, DnodePhys
from ..zio.status import error_for
from .blocktree import BlockTree, DamagedTree

if TYPE_CHECKING:
    from .objset import Objset

#: Data read in one batch, in bytes; also a bound on what ``blocks`` holds at a time.
BATCH_BYTES = 64 << 20
BATCH_BLOCKS = 16384
#: ``read`` gives at most this much at once; larger pieces go through ``readinto`` and the caller's buffer.
MAX_READ = 1 << 30

#: Told of a range that could not be read: (offset, length, error).
Damaged = Callable[[int, int, PoolError], None]


class Dnode:
    """An allocated object of an object set.

    Attributes are those of the format (``type``, ``bonustype``, ``nlevels``, ``datablksz``, ``maxblkid`` ...);
    ``order`` is the byte order of the bonus, ``number`` the object number (negative for accounting objects).
    """

    def __init__(self, objset: Objset, number: int, phys: DnodePhys) -> None:
        self.objset = objset
        self.number = number
        self.phys = phys
        self.type = phys.type
        self.bonustype = phys.bonustype
        self.bonuslen = len(phys.bonus)
        self.order = phys.order
        self.nlevels = phys.nlevels
        self.indblkshift = phys.indblkshift
        self.nblkptr = len(phys.blkptr)
        self.datablksz = phys.datablksz
        self.extra_slots = phys.extra_slots
        self.maxblkid = phys.maxblkid
        self.used_bytes = phys.used_bytes
        self.flags = phys.flags
        self.blkptr = phys.blkptr
        self.spill = phys.spill
        self.checksum = phys.checksum
        self.compress = phys.compress
        self._tree = BlockTree(objset, number, phys)
        self._last: tuple[int, bytes, BlockTree] | None = None
        # Encrypted data needs its key; what lies beside it in the clear can be read without one.
        self._raw = objset.raw and not dmutypes.ENCRYPTED[phys.type]

    def __repr__(self) -> str:
        return f"<Dnode {self.objset.name or 'objset'} object {self.number} type {self.type}>"

    @property
    def size(self) -> int:
        """Bytes up to the end of the last block ever written."""
        return (self.maxblkid + 1) * self.datablksz

    @property
    def bonus(self) -> bytes:
        """The used bytes of the bonus area, in the byte order ``order``.

        Raises:
            KeyUnavailableError: it is encrypted, and the object set was opened without its key.
        """
        if self.objset.locked and self.phys.bonus and dmutypes.ENCRYPTED[self.bonustype]:
            raise KeyUnavailableError(
                "an object's attributes are encrypted and no key is loaded", "load the dataset's key", **self._where()
            )
        return self.phys.bonus

    def _where(self) -> dict[str, Any]:
        return {"dataset": self.objset.name or None, "object": self.number}

    # --- block pointers ---------------------------------------------------------------------------------------------

    def bps(self, first: int, count: int) -> BpArray:
        """Pointers to the data blocks ``first`` .. ``first + count - 1``; holes, and what lies beyond, as zeros
        (a hole that remembers its birth keeps it).

        Raises:
            CorruptError: a pointer that does not belong there, ChecksumError and others: unreadable indirect blocks.
        """
        return self._tree.pointers(0, first, count)

    def pointers(self, level: int, first: int, count: int) -> BpArray:
        """Pointers to blocks of any level. Holes and errors: as ``bps``."""
        return self._tree.pointers(level, first, count)

    def next_data_block(self, blkid: int, *, damaged: DamagedTree | None = None) -> int | None:
        """Id of the first data block at or after ``blkid`` that is not a hole; None: there is none.

        Args:
            blkid: where to begin.
            damaged: if given, it is told of what is out of reach, and the search goes on behind it.
        """
        inside = 0 <= blkid <= self.maxblkid
        found = self._tree.next_block(blkid, hole=False, damaged=damaged) if inside else None
        return found if found is not None and found <= self.maxblkid else None

    def next_data(self, offset: int) -> int | None:
        """The first offset at or after ``offset`` that has data (as SEEK_DATA); None: only holes follow."""
        blkid = self.next_data_block(max(offset, 0) // self.datablksz)
        return None if blkid is None else max(offset, blkid * self.datablksz)

    def next_hole(self, offset: int) -> int:
        """The first offset at or after ``offset`` that lies in a hole (as SEEK_HOLE); ``size`` if none does.

        An offset at or beyond ``size`` lies in a hole.
        """
        if offset >= self.size:
            return offset
        blkid = self._tree.next_block(offset // self.datablksz, hole=True)
        return max(offset, self.size if blkid is None else min(blkid * self.datablksz, self.size))

    # --- whole blocks -------------------------------------------------------------------------------------------------

    def block(self, blkid: int) -> tuple[bytes, str]:
        """One data block's bytes and their byte order; a hole reads as zeros.

        Raises:
            NotFoundError: beyond the last block.
        """
        if not 0 <= blkid <= self.maxblkid:
            raise NotFoundError("an object has no such block", block=blkid, last=self.maxblkid, **self._where())
        bp = self.bps(blkid, 1)[0]
        if blkptr.is_hole(bp):
            return bytes(self.datablksz), "<"
        what = f"object {self.number} block {blkid}"
        data = self.objset.zio.read_one(bp, self.objset.keys, raw=self._raw, what=what)
        return data, "<" if blkptr.is_little(bp) else ">"

    def blocks(self, blkids: Sequence[int]) -> Iterator[tuple[bytes | memoryview, str]]:
        """The same for several blocks, read in batches.

        Raises:
            NotFoundError: one of them is beyond the last block.
        """
        step = max(1, min(BATCH_BYTES // self.datablksz, BATCH_BLOCKS))
        for at in range(0, len(blkids), step):
            some = blkids[at : at + step]
            if len(some) == 1:
                yield self.block(some[0])
                continue
            if not all(0 <= blkid <= self.maxblkid for blkid in some):
                raise NotFoundError("an object has no such block", last=self.maxblkid, **self._where())
            bps = np.concatenate([self.bps(a, n) for a, n in _runs(some)])
            present = np.flatnonzero(~blkptr.is_hole(bps))
            read = self.objset.zio.read(bps[present], self.objset.keys, raw=self._raw, errors="collect")
            where = {int(index): i for i, index in enumerate(present)}
            little = blkptr.is_little(bps)
            for index, blkid in enumerate(some):
                i = where.get(index)
                if i is None:
                    yield bytes(self.datablksz), "<"
                elif read.status[i]:
                    raise error_for(int(read.status[i]), bps[index], f"object {self.number} block {blkid}")
                else:
                    yield read.block(i), "<" if little[index] else ">"

    @property
    def has_spill(self) -> bool:
        """There is a spill block."""
        return self.spill is not None

    def read_spill(self) -> tuple[bytes, str]:
        """The spill block's bytes and their byte order.

        Raises:
            NotFoundError: the object has none.
        """
        if self.spill is None or blkptr.is_hole(self.spill):
            raise NotFoundError("an object has no spill block", **self._where())
        code = int(bpcheck.problems(self.spill.reshape(1), level=0, max_birth=self.objset.birth)[0])
        if code:
            raise CorruptError(f"a spill block's pointer is not valid: {bpcheck.TEXT[code]}", **self._where())
        encrypted = dmutypes.ENCRYPTED[int(blkptr.object_type(self.spill))]
        raw = self.objset.raw and not encrypted
        what = f"object {self.number} spill block"
        data = self.objset.zio.read_one(self.spill, self.objset.keys, raw=raw, what=what)
        return data, "<" if blkptr.is_little(self.spill) else ">"

    # --- bytes --------------------------------------------------------------------------------------------------------

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes ``offset`` .. ``offset + length``, cut at ``size``; without a length all that follow.

        Raises:
            UsageError: more than 1 GiB.
        """
        end = self.size if length is None else min(offset + length, self.size)
        if end <= offset:
            return b""
        if end - offset > MAX_READ:
            raise UsageError("too much to read at once", "use readinto", bytes=end - offset, **self._where())
        out = bytearray(end - offset)
        self.readinto(out, offset)
        return bytes(out)

    def readinto(self, buf: Any, offset: int = 0, *, damaged: Damaged | None = None) -> int:
        """Read into a writable buffer from ``offset`` on; gives the number of bytes, cut at ``size``.

        Args:
            buf: any writable contiguous buffer.
            offset: in the object.
            damaged: if given, what cannot be read is zeroed and told to it, rather than raised.

        Raises:
            ChecksumError, CorruptError, MissingDeviceError ...: a block cannot be read.
        """
        if offset < 0:
            raise UsageError("an offset cannot be negative", offset=offset)
        out = np.frombuffer(buf, dtype=np.uint8)
        if not out.flags.writeable:
            raise UsageError("the buffer to read into is read-only")
        total = max(0, min(len(out), self.size - offset))
        size = self.datablksz
        done = 0
        while done < total:
            blkid, skip = divmod(offset + done, size)
            if skip or total - done < size:
                take = min(size - skip, total - done)
                out[done : done + take] = self._part(blkid, skip, take, damaged)
            else:
                count = min((total - done) // size, max(1, BATCH_BYTES // size), BATCH_BLOCKS)
                if damaged is not None:
                    # Whatever an indirect block's loss costs is not to cost its neighbours.
                    below = 1 << (self.indblkshift - BLKPTR_SHIFT)
                    count = min(count, below - blkid % below)
                take = count * size
                self._whole(blkid, count, out[done : done + take], damaged)
            done += take
        return total

    def _part(self, blkid: int, skip: int, take: int, damaged: Damaged | None) -> Any:
        """Bytes ``skip`` .. ``skip + take`` of one block; the block is kept for the next call."""
        last, tree = self._last, self._tree
        if last is None or last[0] != blkid or last[2] is not tree:
            try:
                # As it is on disk: what waits in memory may be taken back, and would still be kept here.
                last = (blkid, Dnode.block(self, blkid)[0], tree)
            except PoolError as error:
                if damaged is None:
                    raise
                damaged(blkid * self.datablksz + skip, take, error)
                return 0
            self._last = last
        return np.frombuffer(last[1], dtype=np.uint8, count=take, offset=skip)

    def _whole(self, first: int, count: int, out: np.ndarray, damaged: Damaged | None) -> None:
        """Blocks ``first`` .. into ``out``, straight from where they lie."""
        size = self.datablksz
        try:
            bps = self.bps(first, count)
        except PoolError as error:
            if damaged is None:
                raise
            damaged(first * size, count * size, error)
            out[:] = 0
            return
        holes = blkptr.is_hole(bps)
        present = np.flatnonzero(~holes)
        if len(present) < count:
            out.reshape(count, size)[holes] = 0
        if not len(present):
            return
        if damaged is None:
            zio = self.objset.zio
            zio.readinto(bps[present], out, present * size, self.objset.keys, raw=self._raw)
            return
        some = bps[present]
        status = self.objset.zio.readinto(
            some, out, present * size, self.objset.keys, errors="collect", raw=self._raw
        )
        for at in np.flatnonzero(status).tolist():
            index = int(present[at])
            out[index * size : (index + 1) * size] = 0
            failure = error_for(int(status[at]), some[at], f"object {self.number} block {first + index}")
            damaged((first + index) * size, size, failure)


def _runs(blkids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each run of consecutive ids."""
    first = count = 0
    for blkid in blkids:
        if count and blkid == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = blkid, 1
    if count:
        yield first, count
