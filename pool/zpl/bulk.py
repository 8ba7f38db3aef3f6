"""Many new regular files: attributes are encoded once for each kind of file, and differ in a few numbers after that.

Files of one mode have the same attributes in the same places; only size, owner, directory and times are their own.
Each kind's first file is made in the general way, and gives the pattern for the others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dmu.mutable import Block, MutableDnode
from ..ondisk.dmutypes import ObjectType
from .attributes import NS, NewFile
from .writable import MutableFilesystem
from .znode import Znode

#: Size, txg, owner, group and directory, which stand behind each other; then the four times.
_OWN = struct.Struct("<5Q")
_TIMES = struct.Struct("<qQqQqQqQ")
_OWN_NAMES = ("ZPL_SIZE", "ZPL_GEN", "ZPL_UID", "ZPL_GID", "ZPL_PARENT")
_TIME_NAMES = ("ZPL_ATIME", "ZPL_MTIME", "ZPL_CTIME", "ZPL_CRTIME")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A bonus, and where in it a file's own numbers are."""

    bonus: bytes
    own: int
    times: int


class NewFiles:
    """Makes regular files in one file system.

    Args:
        fs: the file system.
    """

    def __init__(self, fs: MutableFilesystem) -> None:
        self.fs = fs
        self._patterns: dict[tuple[int, int | None, int], _Pattern] = {}
        self._layouts: object = None  # of attributes, that patterns hold for

    def make(self, folder: Znode, name: bytes, new: NewFile, content: memoryview) -> None:
        """A new regular file of one block under a name that is not there yet, in a transaction.

        Args:
            content: ``new.size`` bytes, no more than the recordsize.

        Raises:
            as ``MutableFilesystem.make``.
        """
        size = first_block_size(new.size, self.fs.recordsize)
        dn = self.allocate(new, size, content if new.size else None)
        self.fs.enter(folder, name, dn.number, new.mode)
        self.fs.note_made(folder.object, name, dn, new)
        if new.size:
            self.fs.log.note_write(dn, 0, new.size, new.size)

    def allocate(self, new: NewFile, block_size: int, content: Any = None) -> MutableDnode:
        """A new regular file without a name, in a transaction.

        Args:
            new: what it is to be. block_size: of its data.
            content: of its only block, at most ``block_size`` bytes; None: it has none yet.
        """
        fs = self.fs
        block: Block | None = None
        if content is not None:
            block = np.zeros(block_size, dtype=np.uint8)
            block.data[: len(content)] = content
        fs.attributes.refresh()
        if self._layouts is not fs.attributes.layouts:
            # They were read anew: a transaction that had made some may have been taken back.
            self._patterns, self._layouts = {}, fs.attributes.layouts
        pattern = self._patterns.get((new.mode, new.projid, new.flags))
        if pattern is not None:
            return fs.objset.allocate_filled(
                ObjectType.PLAIN_FILE_CONTENTS,
                block,
                block_size=block_size,
                bonus_type=ObjectType.SA,
                bonus=_filled(pattern, new),
                dnode_size=fs.dnodesize,
            )
        dn = fs.objset.allocate(
            ObjectType.PLAIN_FILE_CONTENTS,
            block_size=block_size,
            bonus_type=ObjectType.SA,
            dnode_size=fs.dnodesize,
        )
        if block is not None:
            dn.dirty_block(0, whole=True)[:] = block
        fs.attributes.store(dn, new.attributes())
        self._learn(new, dn)
        return dn

    def _learn(self, new: NewFile, dn: MutableDnode) -> None:
        """Keep a file's bonus as the pattern for others, if its numbers are where they are expected."""
        if dn.has_spill:
            return
        bonus = dn.bonus
        places = fs_places(self.fs, bonus)
        own, times = places.get("ZPL_SIZE", -1), places.get("ZPL_ATIME", -1)
        straight = all(places.get(name) == own + 8 * k for k, name in enumerate(_OWN_NAMES))
        straight &= all(places.get(name) == times + 16 * k for k, name in enumerate(_TIME_NAMES))
        if straight and own >= 0 and times >= 0:
            self._patterns[new.mode, new.projid, new.flags] = _Pattern(bytes(bonus), own, times)


def fs_places(fs: MutableFilesystem, bonus: bytes) -> dict[str, int]:
    """Where attributes are in a bonus, by name."""
    found = fs.sa.plan(bonus).places
    names = {number: attribute.name for number, attribute in fs.sa.registry.items()}
    return {names[number]: place[0] for number, place in found.items() if number in names}


def _filled(pattern: _Pattern, new: NewFile) -> bytes:
    data = bytearray(pattern.bonus)
    _OWN.pack_into(data, pattern.own, new.size, new.gen, new.uid, new.gid, new.parent)
    now = divmod(new.now_ns, NS)
    times = [
        *(now if new.atime_ns is None else divmod(new.atime_ns, NS)),
        *(now if new.mtime_ns is None else divmod(new.mtime_ns, NS)),
        *(now if new.ctime_ns is None else divmod(new.ctime_ns, NS)),
        *(now if new.crtime_ns is None else divmod(new.crtime_ns, NS)),
    ]
    _TIMES.pack_into(data, pattern.times, *times)
    return bytes(data)


def first_block_size(size: int, recordsize: int) -> int:
    """The block size of a new file of this length: as large as it, if it fits into one block; else the recordsize."""
    return max(512, -(-min(size, recordsize) // 512) * 512)
