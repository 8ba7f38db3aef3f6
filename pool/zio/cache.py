"""A small cache of metadata blocks, least recently used out first.

Two pointers name the same bytes when their first address, their births and their checksums are equal. A block that is
written over within its txg gets another checksum, so nothing in here grows stale. Encrypted blocks are kept apart by
whether, and with which keys, they were read.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..ondisk import blkptr

if TYPE_CHECKING:
    from .crypt import BlockKeys

Key = tuple[Any, ...]

# A pointer's bytes in memory, see ``ondisk/blkptr.py``: this is looked at too often for anything slower.
_DVA, _PROP, _BIRTHS, _CHECKSUM = slice(0, 16), slice(48, 56), slice(72, 88), slice(96, 128)
_EMBEDDED_BIT, _CRYPT_BIT = 39, 61


class BlockCache:
    """Bytes of blocks, at most ``limit`` bytes of them. Any thread may use it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self.hits = 0
        self.misses = 0
        self._blocks: OrderedDict[Key, bytes] = OrderedDict()
        self._lock = Lock()

    @staticmethod
    def key(bp: blkptr.BpArray, raw: bool, keys: BlockKeys | None) -> Key | None:
        """What the block is kept under; None when it is not worth keeping (it lies in its pointer).

        Args:
            bp: one block pointer.
            raw: it is read without decryption.
            keys: those it is decrypted with.
        """
        words = bp.tobytes()
        flags = int.from_bytes(words[_PROP], "little")
        if flags >> _EMBEDDED_BIT & 1 or not any(words[_DVA]):
            return None
        # Sizes and checksum too: a pointer that lies about either must not be answered with another block.
        content = words[_DVA] + words[_PROP] + words[_BIRTHS] + words[_CHECKSUM]
        how = (raw, 0 if keys is None else keys.serial) if flags >> _CRYPT_BIT & 1 else None
        return (content, how)

    def get(self, key: Key | None) -> bytes | None:
        """The block, or None."""
        if key is None:
            return None
        with self._lock:
            data = self._blocks.get(key)
            if data is None:
                self.misses += 1
                return None
            self.hits += 1
            self._blocks.move_to_end(key)
            return data

    def put(self, key: Key | None, data: bytes) -> None:
        """Keep a block; the ones unused for longest make room."""
        if key is None or len(data) > self.limit:
            return
        with self._lock:
            old = self._blocks.pop(key, None)
            self.size += len(data) - (0 if old is None else len(old))
            self._blocks[key] = data
            while self.size > self.limit:
                _, gone = self._blocks.popitem(last=False)
                self.size -= len(gone)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._blocks.clear()
            self.size = 0
