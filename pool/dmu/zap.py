"""A ZAP, open for reading: lookup by name, and iteration.

A micro ZAP is decoded whole and kept. In a fat one a lookup takes the name's hash to a pointer, the pointer to a
leaf, and walks one chain; iteration goes over the leaves in the order of their hash prefixes, reading many at a time.
Each leaf must own exactly the range of hashes it says, which keeps iteration from visiting anything twice.

Source: OpenZFS, zap.c, zap_micro.c, zap_leaf.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import zaphash

from ..errors import CorruptError, NotFoundError, UsageError
from ..ondisk import zap as ondisk_zap
from ..ondisk.zap import FLAG_PREHASHED_KEY, FLAG_UINT64_KEY, FatHeader, Leaf, MicroZap, RawEntries, ZapEntry
from .textprep import TOUPPER, normalize

if TYPE_CHECKING:
    from .dnode import Dnode

__all__ = ["Zap", "ZapEntry", "hash_key"]

#: Leaves read in one batch when iterating, and leaves kept for lookups.
BATCH = 64
CACHE_LEAVES = 32

#: A name, or the words of a key of 64-bit words.
Key = str | bytes | Sequence[int]

_MISSING: Any = object()


def hash_key(header: FatHeader, key: bytes) -> int:
    """Masked hash of a key of a fat ZAP: a (normalized) name, or the big-endian bytes of the key's words."""
    if header.flags & FLAG_PREHASHED_KEY:
        hashed = int.from_bytes(key[:8], "big")
    elif header.flags & FLAG_UINT64_KEY:
        words: Any = np.frombuffer(key, dtype=">u8").astype(np.uint64)
        hashed = zaphash.hash_words(header.salt, words)
    else:
        hashed = zaphash.hash_name(header.salt, key)
    return hashed & header.hash_mask


class Zap:
    """A ZAP object.

    Raises:
        CorruptError: the object's first block is not that of a ZAP.
    """

    def __init__(self, dnode: Dnode) -> None:
        self.dnode = dnode
        data, order = dnode.block(0)
        kind = ondisk_zap.block_type(data, order)
        self._micro: MicroZap | None = None
        self._header: FatHeader | None = None
        if kind == ondisk_zap.TYPE_MICRO:
            if dnode.maxblkid:
                raise CorruptError("a micro ZAP has more than one block", **self._where())
            self._micro = ondisk_zap.decode_micro(data, order)
        elif kind == ondisk_zap.TYPE_HEADER:
            self._header = ondisk_zap.decode_header(data, order)
            if self._header.salt == 0 and not self._header.flags & FLAG_PREHASHED_KEY:
                raise CorruptError("a fat ZAP has no salt", **self._where())
        else:
            raise CorruptError("an object is not a ZAP", first_word=f"{kind:#x}", **self._where())
        self._names: dict[int, dict[bytes, ZapEntry]] = {}
        self._leaves: dict[int, Leaf] = {}
        self._table: tuple[int, NDArray[np.uint64]] | None = None

    def __repr__(self) -> str:
        return f"<Zap {self.dnode!r}>"

    def _where(self) -> dict[str, Any]:
        return {"dataset": self.dnode.objset.name or None, "object": self.dnode.number}

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def is_micro(self) -> bool:
        """Held in one block of plain entries."""
        return self._micro is not None

    @property
    def header(self) -> FatHeader | None:
        """The header of a fat ZAP."""
        return self._header

    @property
    def normflags(self) -> int:
        """How names are normalized before they are hashed."""
        return self._micro.normflags if self._micro is not None else self._fat.normflags

    @property
    def salt(self) -> int:
        """What hashes begin with."""
        return self._micro.salt if self._micro is not None else self._fat.salt

    @property
    def word_keys(self) -> bool:
        """Keys are arrays of 64-bit words, not names."""
        return self._header is not None and bool(self._header.flags & FLAG_UINT64_KEY)

    @property
    def _fat(self) -> FatHeader:
        assert self._header is not None
        return self._header

    def __len__(self) -> int:
        """Number of entries (of a fat ZAP: as its header says)."""
        return len(self._micro.entries) if self._micro is not None else self._fat.num_entries

    # --- lookup ---------------------------------------------------------------------------------------------------

    def find(self, key: Key, *, fold: bool = False, match_case: bool = False) -> ZapEntry | None:
        """The entry for a key, or None.

        Args:
            key: a name (str is UTF-8, with surrogate escapes), or a sequence of words.
            fold: a name that is equal after normalization will do; of several the first made is taken.
            match_case: with ``fold``: but not one that differs in case.
        """
        raw = self._key_bytes(key)
        flags = self.normflags & ~(TOUPPER if match_case else 0) if fold else 0
        if self._micro is not None:
            return self._micro_names(flags).get(normalize(raw, flags))
        hashed = hash_key(self._fat, raw if self.word_keys else normalize(raw, self.normflags))
        leaf = self._leaf_for(hashed)
        wanted = normalize(raw, flags)
        candidates = [leaf.entry(chunk, words=self.word_keys) for chunk in leaf.find(hashed)]
        found = [e for e in candidates if normalize(e.name, flags) == wanted]
        return min(found, key=lambda e: e.cd) if found else None

    def get(self, key: Key, default: Any = _MISSING) -> Any:
        """The value for a key: one integer, or a tuple when there is not exactly one.

        Raises:
            NotFoundError: no such key, and no default.
        """
        entry = self.find(key)
        if entry is None:
            if default is _MISSING:
                raise NotFoundError("a ZAP has no such entry", name=self._show(key), **self._where())
            return default
        return entry.values[0] if len(entry.values) == 1 else entry.values

    def get_bytes(self, key: Key, default: Any = _MISSING) -> Any:
        """The value for a key as bytes, each integer big-endian (one-byte integers: as they are).

        Raises:
            NotFoundError: no such key, and no default.
        """
        entry = self.find(key)
        if entry is None:
            if default is _MISSING:
                raise NotFoundError("a ZAP has no such entry", name=self._show(key), **self._where())
            return default
        return entry.data

    def get_int(self, key: Key, default: int | None = None) -> int:
        """The value for a key that has one integer.

        Raises:
            NotFoundError: no such key, and no default. CorruptError: it has not one integer.
        """
        entry = self.find(key)
        if entry is None:
            if default is None:
                raise NotFoundError("a ZAP has no such entry", name=self._show(key), **self._where())
            return default
        if len(entry.values) != 1:
            raise CorruptError("a ZAP entry is not one number", name=self._show(key), **self._where())
        return entry.values[0]

    def __contains__(self, key: Key) -> bool:
        return self.find(key) is not None

    def _key_bytes(self, key: Key) -> bytes:
        if isinstance(key, str):
            key = key.encode("utf-8", "surrogateescape")
        if isinstance(key, bytes) != self.word_keys:
            if isinstance(key, bytes):
                return key
            if key and all(0 <= word < 1 << 64 for word in key):
                return b"".join(word.to_bytes(8, "big") for word in key)
        raise UsageError("a ZAP's keys are of another kind", key=self._show(key), **self._where())

    @staticmethod
    def _show(key: Key) -> object:
        return key.decode("utf-8", "backslashreplace") if isinstance(key, bytes) else key

    def _micro_names(self, flags: int) -> dict[bytes, ZapEntry]:
        names = self._names.get(flags)
        if names is None:
            assert self._micro is not None
            names = {}
            for entry in sorted(self._micro.entries, key=lambda e: e.cd, reverse=True):
                names[normalize(entry.name, flags)] = entry
            self._names[flags] = names
        return names

    # --- leaves ---------------------------------------------------------------------------------------------------

    def _pointers(self, index: int) -> tuple[int, NDArray[np.uint64]]:
        """The block of the pointer table that has pointer ``index``: (its first index, its pointers)."""
        header = self._fat
        if not header.table_numblks:
            return 0, header.embedded
        per_block = self.dnode.datablksz // 8
        first = index // per_block * per_block
        if self._table is None or self._table[0] != first:
            data, order = self.dnode.block(header.table_blk + index // per_block)
            self._table = (first, ondisk_zap.decode_pointers(data, order))
        return self._table

    def _leaf_for(self, hashed: int) -> Leaf:
        shift = self._fat.table_shift
        index = hashed >> (64 - shift) if shift else 0
        first, pointers = self._pointers(index)
        blkid = int(pointers[index - first])
        leaf = self._leaves.get(blkid)
        if leaf is None:
            self._check_leaf_id(blkid)
            leaf = Leaf(*self.dnode.block(blkid))
            while len(self._leaves) >= CACHE_LEAVES:
                self._leaves.pop(next(iter(self._leaves)), None)
            self._leaves[blkid] = leaf
        self._check_prefix(leaf, index, blkid)
        return leaf

    def _check_leaf_id(self, blkid: int) -> None:
        if not 0 < blkid <= self.dnode.maxblkid:
            raise CorruptError("a fat ZAP points to a leaf that is not there", block=blkid, **self._where())

    def _check_prefix(self, leaf: Leaf, index: int, blkid: int) -> None:
        shift = self._fat.table_shift
        if leaf.prefix_len > shift or leaf.prefix != index >> (shift - leaf.prefix_len):
            raise CorruptError("a leaf of a fat ZAP is in another's place", block=blkid, **self._where())

    # --- iteration --------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[ZapEntry]:
        """All entries, in no order that means anything.

        Raises:
            CorruptError: a leaf is damaged, or in a place that is not its own.
        """
        if self._micro is not None:
            yield from self._micro.entries
            return
        for leaf in self._all_leaves():
            yield from leaf.entries(words=self.word_keys)

    __iter__ = items

    def raw_batches(self) -> Iterator[RawEntries]:
        """The entries of a fat ZAP, leaf by leaf, as byte strings: for tables with millions of entries.

        Raises:
            UsageError: it is a micro ZAP.
        """
        if self._header is None:
            raise UsageError("a micro ZAP has no leaves", **self._where())
        for leaf in self._all_leaves():
            yield leaf.raw_entries(words=self.word_keys)

    def names(self) -> Iterator[bytes]:
        """All names."""
        return (entry.name for entry in self.items())

    def values(self) -> Iterator[int]:
        """The first integer of every entry."""
        return (entry.value for entry in self.items())

    def _all_leaves(self) -> Iterator[Leaf]:
        shift = self._fat.table_shift
        index = 0
        while index < 1 << shift:
            first, pointers = self._pointers(index)
            here = pointers[index - first :][: (1 << shift) - index]
            # Equal neighbours are one leaf; where each run begins is checked against the leaf below.
            begins = np.flatnonzero(np.concatenate(([True], here[1:] != here[:-1])))[:BATCH]
            blkids = [int(b) for b in here[begins]]
            for blkid in blkids:
                self._check_leaf_id(blkid)
            at = index
            for blkid, begin, (data, order) in zip(blkids, begins.tolist(), self.dnode.blocks(blkids)):
                if index + begin < at:
                    raise CorruptError("a leaf of a fat ZAP is cut short", block=blkid, **self._where())
                if index + begin > at:
                    raise CorruptError("a leaf of a fat ZAP owns too few pointers", block=blkid, **self._where())
                leaf = Leaf(bytes(data), order)
                self._check_prefix(leaf, at, blkid)
                yield leaf
                at = ((leaf.prefix + 1) << (shift - leaf.prefix_len))
            index = at

