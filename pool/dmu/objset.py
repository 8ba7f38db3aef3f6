"""One object set, open for reading: the MOS, a file system, a volume.

Objects are found through the metadnode, whose data blocks of 16 KiB each hold 32 dnode slots. Listing reads these
blocks in batches and leaves out holes, however large the range of object numbers is. Each has one place; where one is
met again, the object set was forged, and listing ends.

Source: OpenZFS, dmu_objset.c, dmu_object.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptError, NotFoundError, PoolError
from ..ondisk import blkptr, bpcheck
from ..ondisk import dnode as ondisk_dnode
from ..ondisk import objset as ondisk_objset
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import MAX_OBJECT, SLOTS_PER_BLOCK, DnodeBlock, DnodePhys
from ..zio.status import error_for
from .blocktree import DamagedTree
from .dnode import Dnode
from .seen import SeenBlocks

if TYPE_CHECKING:
    from ..zio.crypt import BlockKeys
    from ..zio.reader import Zio

#: Dnode blocks read in one batch when objects are listed, and dnode blocks kept.
BATCH = 64
CACHE_BLOCKS = 256

#: Told of dnodes that could not be read: (first object number, how many numbers, error).
Unreadable = Callable[[int, int, PoolError], None]


class Objset:
    """An object set.

    Args:
        zio: where blocks are read.
        bp: pointer to the objset block.
        keys: of the dataset, if it is encrypted and its key is loaded.
        raw: read without a key what can be read so: structure and whatever is not encrypted.
        name: dataset name, for messages.

    Raises:
        NotFoundError: the pointer is a hole (a dataset that was never written).
        CorruptError, ChecksumError and others: the block cannot be read or used.
    """

    def __init__(
        self, zio: Zio, bp: BpArray, keys: BlockKeys | None = None, *, raw: bool = False, name: str = ""
    ) -> None:
        self.zio = zio
        self.bp = np.ascontiguousarray(bp).reshape(1)[0]
        self.keys = keys
        self.raw = raw
        self.name = name
        #: No block of this object set can be younger.
        self.birth = int(self.bp["birth"])
        self.encrypted = bool(blkptr.is_crypt(self.bp))
        self.order = "<" if bool(blkptr.is_little(self.bp)) or bool(blkptr.is_hole(self.bp)) else ">"
        self.phys = self._read_phys()
        self.type = self.phys.type
        self.flags = self.phys.flags
        self.meta = self._open_meta()
        self.userused = self._special(ondisk_objset.USERUSED, self.phys.userused)
        self.groupused = self._special(ondisk_objset.GROUPUSED, self.phys.groupused)
        self.projectused = self._special(ondisk_objset.PROJECTUSED, self.phys.projectused)
        self._cache: dict[int, DnodeBlock] = {}
        self._lock = Lock()

    def _read_phys(self) -> ondisk_objset.ObjsetPhys:
        """The objset block, decoded."""
        name = self.name
        if bool(blkptr.is_hole(self.bp)):
            raise NotFoundError("a dataset has no object set: it was never written", dataset=name or None)
        code = int(bpcheck.problems(self.bp.reshape(1), level=0)[0])
        if code or int(blkptr.object_type(self.bp)) != ObjectType.OBJSET:
            text = bpcheck.TEXT[code] if code else "it does not point to an object set"
            raise CorruptError(f"an object set's pointer is not valid: {text}", dataset=name or None)
        data = self.zio.read_one(self.bp, self.keys, raw=self.raw, what=f"object set {name}".strip())
        return ondisk_objset.decode(data, self.order, dataset=name or None)

    def _open_meta(self) -> Dnode:
        return Dnode(self, ondisk_objset.METADNODE, self.phys.metadnode)

    def _special(self, number: int, phys: DnodePhys | None) -> Dnode | None:
        return None if phys is None else Dnode(self, number, phys)

    def __repr__(self) -> str:
        return f"<Objset {self.name or 'unnamed'} type {self.type}>"

    @property
    def locked(self) -> bool:
        """Encrypted, and opened without its key."""
        return self.encrypted and self.keys is None

    @property
    def object_count(self) -> int:
        """Allocated objects, as the root pointer counts them."""
        return int(self.bp["fill"])

    @property
    def last_object(self) -> int:
        """The highest object number there is room for in the dnode blocks written so far."""
        return (self.meta.maxblkid + 1) * SLOTS_PER_BLOCK - 1

    # --- one object ---------------------------------------------------------------------------------------------------

    def dnode(self, number: int) -> Dnode:
        """Open an object.

        Args:
            number: 1 and up; -1, -2, -3 for the accounting objects; 0 for the metadnode.

        Raises:
            NotFoundError: not allocated.
            CorruptError: its dnode is not valid; ChecksumError and others: it cannot be read.
        """
        if number <= 0:
            special = {0: self.meta, -1: self.userused, -2: self.groupused, -3: self.projectused}.get(number)
            if special is not None:
                return special
        elif number < MAX_OBJECT and number <= self.last_object:
            blkid, index = divmod(number, SLOTS_PER_BLOCK)
            block = self._block(blkid)
            if block is not None and index in block:
                return Dnode(self, number, block.dnode(index, dataset=self.name or None, object=number))
        raise NotFoundError("no such object", dataset=self.name or None, object=number)

    def _block(self, blkid: int) -> DnodeBlock | None:
        """One dnode block; None if it is a hole."""
        cache = self._cache  # an object set that is written begins a new one with each txg
        found = cache.get(blkid)
        if found is None:
            bp = self.meta.bps(blkid, 1)[0]
            if blkptr.is_hole(bp):
                return None
            data = self.zio.read_one(bp, self.keys, raw=self.raw, what=f"dnode block {blkid}")
            found = DnodeBlock(data, "<" if bool(blkptr.is_little(bp)) else ">")
            with self._lock:
                cache[blkid] = found
                while len(cache) > CACHE_BLOCKS:
                    del cache[next(iter(cache))]
        return found

    # --- all objects ----------------------------------------------------------------------------------------------

    def objects(self, start: int = 1, *, damaged: Unreadable | None = None) -> Iterator[Dnode]:
        """All objects from number ``start`` on, rising (object 0, the metadnode, is not among them).

        Args:
            start: where to begin.
            damaged: if given, it is told what cannot be read, and listing goes on; otherwise that is raised.
        """
        for blkid, block in self._blocks(max(start, 1) // SLOTS_PER_BLOCK, damaged):
            base = blkid * SLOTS_PER_BLOCK
            for index in block:
                number = base + index
                if number < max(start, 1):
                    continue
                try:
                    phys = block.dnode(index, dataset=self.name or None, object=number)
                except CorruptError as error:
                    if damaged is None:
                        raise
                    damaged(number, 1, error)
                    continue
                yield Dnode(self, number, phys)

    def _blocks(self, first: int, damaged: Unreadable | None) -> Iterator[tuple[int, DnodeBlock]]:
        """Dnode blocks that are not holes, in batches, from block ``first`` on."""
        below = 1 << (self.meta.indblkshift - ondisk_dnode.BLKPTR_SHIFT)
        out_of_reach: DamagedTree | None = None
        if damaged is not None:

            def out_of_reach(blkid: int, count: int, error: PoolError) -> None:
                damaged(blkid * SLOTS_PER_BLOCK, count * SLOTS_PER_BLOCK, error)

        position = self.meta.next_data_block(first, damaged=out_of_reach)
        count = BATCH
        seen = SeenBlocks() if self.meta.maxblkid >= BATCH else None
        while position is not None:
            count = min(count, below - position % below, self.meta.maxblkid + 1 - position)
            try:
                bps = self.meta.bps(position, count)
            except PoolError as error:
                if damaged is None:
                    raise
                # One bad pointer among many: from here to the batch's end each is taken by itself.
                if count > 1:
                    count = 1
                    continue
                damaged(position * SLOTS_PER_BLOCK, SLOTS_PER_BLOCK, error)
            else:
                if seen is not None and seen.add(bps[~blkptr.is_hole(bps)]).any():
                    twice = CorruptError("dnodes stand in several places", dataset=self.name or None)
                    if damaged is None:
                        raise twice
                    left = self.meta.maxblkid + 1 - position
                    damaged(position * SLOTS_PER_BLOCK, left * SLOTS_PER_BLOCK, twice)
                    return
                yield from self._batch(position, bps, damaged)
            position = self.meta.next_data_block(position + count, damaged=out_of_reach)
            count = BATCH if position is None or position % BATCH == 0 else count

    def _batch(self, first: int, bps: BpArray, damaged: Unreadable | None) -> Iterator[tuple[int, DnodeBlock]]:
        present = np.flatnonzero(~blkptr.is_hole(bps))
        if not len(present):
            return
        some = bps[present]
        little = blkptr.is_little(some).tolist()
        blocks = self.zio.read(some, self.keys, raw=self.raw, errors="collect")
        for at, index in enumerate(present.tolist()):
            blkid = first + index
            if blocks.status[at]:
                error = error_for(int(blocks.status[at]), some[at], f"dnode block {blkid}")
                if damaged is None:
                    raise error
                damaged(blkid * SLOTS_PER_BLOCK, SLOTS_PER_BLOCK, error)
                continue
            yield blkid, DnodeBlock(blocks.block(at), "<" if little[at] else ">")
