"""Small writes, one after the other, into a block of a file that waits to be written anyway.

Such a write changes bytes in memory, times and perhaps the size, and nothing else: none of it can fail once it has
begun, so that it needs no undo, and as long as nobody else has changed the file nothing has to be looked up again. It
is what a journal or a database does between two calls of ``fsync``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..dmu.mutable import PATCH_SHARE
from .attributes import pack_time

if TYPE_CHECKING:
    from ..dmu.mutable import Block, MutableDnode
    from .writable import MutableFilesystem

#: What is changed with the content, and how many bytes each has.
_STAMPED = (("ZPL_MTIME", 16), ("ZPL_CTIME", 16), ("ZPL_SIZE", 8))


class PatchedBlock:
    """A block that waits with the open txg, as it was after the last write.

    Attributes:
        size: of the file then, in bytes.
    """

    __slots__ = ("_at", "_dn", "_fs", "_held", "_most", "_places", "_txg", "_version", "size")

    def __init__(
        self, fs: MutableFilesystem, dn: MutableDnode, at: int, held: Block, places: tuple[int, int, int], size: int
    ) -> None:
        self._fs, self._dn, self._at, self._held, self._places = fs, dn, at, held, places
        self._most = len(held) // PATCH_SHARE
        self._txg, self._version = fs.tx.open_txg, dn.version
        self.size = size

    @classmethod
    def find(cls, fs: MutableFilesystem, dn: MutableDnode, offset: int) -> PatchedBlock | None:
        """The block at an offset, if it can be written like this; in the transaction that has just changed it."""
        changes = dn.changes
        blkid = offset // dn.datablksz
        held = None if changes is None else changes.blocks.get(blkid)
        plan = fs.attributes.plan(dn.bonus)
        places = [plan.places.get(fs.attributes.numbers.get(name, -1)) for name, _ in _STAMPED]
        if held is None or plan.order != "<" or [one and one[1] for one in places] != [size for _, size in _STAMPED]:
            return None
        mtime, ctime, size = (place[0] for place in places if place is not None)
        known = int.from_bytes(dn.bonus[size : size + 8], "little")
        return cls(fs, dn, blkid * dn.datablksz, held, (mtime, ctime, size), known)

    def write(self, offset: int, data: memoryview) -> bool:
        """Write bytes, as a transaction of its own. False: nothing was done, it takes more than this.

        Raises: as the end of a transaction does, when it is done.
        """
        fs, dn, count = self._fs, self._dn, len(data)
        skip = offset - self._at
        if not 0 <= skip <= len(self._held) - count or not 0 < count <= self._most or fs.readonly:
            return False
        tx = fs.tx
        with tx.lock:
            if dn.version != self._version or tx.open_txg != self._txg or tx.active or tx.broken:
                return False
            now, bonus = pack_time(fs.clock()), bytearray(dn.bonus)
            mtime, ctime, at = self._places
            bonus[mtime : mtime + 16] = bonus[ctime : ctime + 16] = now
            size = max(self.size, offset + count)
            bonus[at : at + 8] = size.to_bytes(8, "little")
            # Noted first: of a change that was not made the log repeats what is there.
            fs.log.note_lone_write(dn, offset, count, size)
            dn.patch(self._held, skip, data, bytes(bonus))
            self._version, self.size = dn.version, size
        fs.relieve()
        fs.log.settle()
        return True
