"""A ZAP, open for writing.

A new ZAP is micro: one block of 64-byte entries, growing by 512 bytes at a time. It becomes fat, and stays so, when an
entry does not fit into the micro form: a name of more than 49 bytes, a value that is not one 64-bit integer, more than
128 KiB of entries, or so many names of one hash that one leaf of a fat ZAP could not hold them.

In a fat ZAP a full leaf is split; when its hashes are not told apart by the table of pointers, the table is first
doubled: out of the header into a block of its own, then into twice as many new blocks each time, written whole within
the transaction, so that no half-grown table is ever on disk. One that OpenZFS left half-grown is completed.

What has been worked out of the blocks is kept while the object's ``version`` is the one it was worked out from: after
a change by anyone else, or a transaction taken back, all of it is made anew.

Source: OpenZFS, zap.c, zap_micro.c, zap_leaf.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import zaphash

from ..errors import CorruptError, ExistsError, NoSpaceError, NotFoundError, UnsupportedError, UsageError
from ..ondisk import zap as ondisk_zap
from ..ondisk.zap import (
    FLAG_UINT64_KEY,
    MAX_VALUE,
    MICRO_NAME_MAX,
    FatHeader,
    MicroZap,
    RawEntries,
    ZapEntry,
)
from .microzap import MicroEntries
from .textprep import TOUPPER, normalize
from .zap import Key, Zap, hash_key
from .zapleaf import Entry, LeafBlock, chunks_for

if TYPE_CHECKING:
    from .mutable import MutableDnode
    from .mutableobjset import MutableObjset

#: So many bytes that nobody can foretell (``Env.random_bytes``).
RandomBytes = Callable[[int], bytes]
#: What can be stored: one integer, several, or bytes (as one-byte integers).
Value = int | bytes | Sequence[int]

MICRO_LIMIT = 128 << 10
FAT_SHIFT = 14  # log2 of a fat ZAP's block size. Source: zap.c (fzap_default_block_shift)
NAME_LIMIT = 256  # with the NUL
LONG_NAME_LIMIT = 1024  # in directories of a dataset that uses the feature longname
#: Blocks of a fat ZAP kept at a time.
CACHE_BLOCKS = 512
#: The largest table of pointers we write, log2: 128 MiB. A table of evenly spread hashes that large has
#: hundreds of millions of entries; only chosen names get there sooner.
MAX_TABLE_SHIFT = 24

_FORMATS = {2: "H", 4: "I", 8: "Q"}
_U64 = struct.Struct("<Q")


def encode_value(value: Value, size: int) -> bytes:
    """A value as a fat ZAP's leaf holds it: each integer big-endian.

    Raises:
        UsageError: the integers do not fit, or are too many.
    """
    if size not in (1, 2, 4, 8):
        raise UsageError("a ZAP has no integers of this size", integer_size=size)
    try:
        if isinstance(value, int):
            data = value.to_bytes(size, "big")
        elif size == 1:
            data = bytes(value)
        elif isinstance(value, bytes):
            raise UsageError("bytes are stored as integers of one byte", size=size)
        else:
            data = struct.pack(f">{len(value)}{_FORMATS[size]}", *value)
    except (OverflowError, ValueError, struct.error, KeyError) as error:
        raise UsageError(f"a ZAP cannot hold this value: {error}", integer_size=size) from None
    if len(data) > MAX_VALUE:
        raise UsageError("a value is too large for a ZAP", bytes=len(data), limit=MAX_VALUE)
    return data


def new_salt(random_bytes: RandomBytes) -> int:
    """What the hashes of a new ZAP begin with; bit 0 is always set, so it is never 0."""
    return int.from_bytes(random_bytes(8), "little") | 1


class MutableZap(Zap):
    """A ZAP object that can be changed, inside of transactions.

    Args:
        dnode: its object.
        long_names: names of more than 255 bytes are allowed (feature longname, in directories).

    Raises:
        CorruptError: the object's first block is not that of a ZAP.
        UnsupportedError: the block was written by a big-endian host.
    """

    dnode: MutableDnode

    def __init__(self, dnode: MutableDnode, *, long_names: bool = False) -> None:
        self._name_limit = LONG_NAME_LIMIT if long_names else NAME_LIMIT
        self.dnode = dnode
        self._load()

    def _load(self) -> None:
        """Begin anew from what the object holds now."""
        self._version: int | None = self.dnode.block_version
        super().__init__(self.dnode)
        data, order = self.dnode.block(0)
        self._need_little(order)
        self._entries = None if self._micro is None else MicroEntries(data, self._micro)
        self._blocks: dict[int, memoryview] = {}
        self._leafs: dict[int, LeafBlock] = {}
        if self._header is not None:
            self._mask = self._header.hash_mask
            self._keep(0, memoryview(data))

    def _fresh(self) -> None:
        """Whatever is kept must be of the object as it is now."""
        if self._version != self.dnode.block_version:
            self._load()

    def _begin(self) -> None:
        """A change begins: should it not come to its end, nothing that is kept counts."""
        self._version = None

    def _end(self) -> None:
        self._version = self.dnode.block_version

    def _need_little(self, order: str) -> None:
        if order != "<":
            raise UnsupportedError("a ZAP of a big-endian host cannot be changed", **self._where())

    @property
    def is_micro(self) -> bool:
        self._fresh()
        return self._micro is not None

    @property
    def header(self) -> FatHeader | None:
        """The header of a fat ZAP. Its embedded pointers are those of when it was read; it is not to be changed."""
        self._fresh()
        return self._header

    # --- reading (of the blocks as they are now) ------------------------------------------------------------------

    def __len__(self) -> int:
        self._fresh()
        return len(self._entries) if self._entries is not None else self._fat.num_entries

    def find(self, key: Key, *, fold: bool = False, match_case: bool = False) -> ZapEntry | None:
        """See ``Zap.find``."""
        self._fresh()
        raw = self._key_bytes(key)
        flags = self.normflags & ~(TOUPPER if match_case else 0) if fold else 0
        if self._entries is not None:
            return self._entries.find(raw, flags)
        hashed = self._hash(raw)
        _, leaf = self._leaf_at(hashed)
        if not flags:
            found = leaf.find(hashed, self._stored(raw))
            return None if found is None else self._decode(leaf, found[2])
        wanted = normalize(raw, flags)
        same = [self._decode(leaf, entry) for _, _, entry in leaf.chain(hashed) if entry[8] == hashed]
        return min((e for e in same if normalize(e.name, flags) == wanted), key=lambda e: e.cd, default=None)

    def items(self) -> Iterator[ZapEntry]:
        """All entries, in no order that means anything.

        Raises:
            UsageError: the ZAP was changed meanwhile. CorruptError: see ``Zap.items``.
        """
        self._fresh()
        version = self.dnode.block_version
        entries = self._entries.all() if self._entries is not None else super().items()
        for entry in entries:
            if self.dnode.block_version != version:
                raise UsageError("a ZAP was changed while its entries were listed", **self._where())
            yield entry

    __iter__ = items

    def raw_batches(self) -> Iterator[RawEntries]:
        self._fresh()
        yield from super().raw_batches()

    def _hash(self, raw: bytes) -> int:
        header = self._fat
        if header.flags:
            return hash_key(header, raw if header.flags & FLAG_UINT64_KEY else normalize(raw, header.normflags))
        if header.normflags:
            raw = normalize(raw, header.normflags)
        return zaphash.hash_name(header.salt, raw) & self._mask

    def _stored(self, raw: bytes) -> bytes:
        """A key as leaves hold it."""
        return raw if self.word_keys else raw + b"\0"

    def _stored_name(self, raw: bytes) -> bytes:
        """The same of a new key.

        Raises:
            UsageError: it cannot be one.
        """
        if not self.word_keys and (not raw or b"\0" in raw or len(raw) >= self._name_limit):
            raise UsageError("a ZAP cannot hold this name", name=self._show(raw), limit=self._name_limit - 1)
        return self._stored(raw)

    def _decode(self, leaf: LeafBlock, entry: Entry) -> ZapEntry:
        name, data, size = leaf.name(entry), leaf.value(entry), entry[1]
        if not self.word_keys:
            if name[-1]:
                raise CorruptError("a name in a fat ZAP has no end", **self._where())
            name = name[:-1]
        values = tuple(data) if size == 1 else struct.unpack(f">{entry[6]}{_FORMATS[size]}", data)
        return ZapEntry(name, size, values, entry[7], entry[8])

    # --- blocks of a fat ZAP --------------------------------------------------------------------------------------

    def _keep(self, blkid: int, view: memoryview) -> memoryview:
        while len(self._blocks) >= CACHE_BLOCKS:
            oldest = next(iter(self._blocks))
            del self._blocks[oldest]
            self._leafs.pop(oldest, None)
        self._blocks[blkid] = view
        return view

    def _view(self, blkid: int) -> memoryview:
        """A block, to be read."""
        view = self._blocks.get(blkid)
        if view is None:
            data, order = self.dnode.block(blkid)
            self._need_little(order)
            view = self._keep(blkid, memoryview(data).cast("B"))
        return view

    def _dirty(self, blkid: int, *, whole: bool = False) -> memoryview:
        """A block, to be changed in the open transaction."""
        return self._keep(blkid, self.dnode.dirty_block(blkid, whole=whole).data)

    def _pointers(self, index: int) -> tuple[int, NDArray[np.uint64]]:
        header, size = self._fat, self.dnode.datablksz
        if not header.table_numblks:
            return 0, np.frombuffer(self._view(0), dtype="<u8", offset=size // 2)
        per_block = size // 8
        first = index // per_block * per_block
        blkid = header.table_blk + index // per_block
        return first, np.frombuffer(self._view(blkid), dtype="<u8")

    def _leaf_at(self, hashed: int) -> tuple[int, LeafBlock]:
        """The leaf that owns a hash, to be read: (its block id, the leaf)."""
        header, size = self._fat, self.dnode.datablksz
        index = hashed >> (64 - header.table_shift) if header.table_shift else 0
        if header.table_numblks:
            table, at = divmod(8 * index, size)
            (blkid,) = _U64.unpack_from(self._view(header.table_blk + table), at)
        else:
            (blkid,) = _U64.unpack_from(self._view(0), size // 2 + 8 * index)
        leaf = self._leafs.get(blkid)
        if leaf is None:
            self._check_leaf_id(blkid)
            leaf = LeafBlock(self._view(blkid), words=self.word_keys)
            self._leafs[blkid] = leaf
        length = leaf.prefix_len
        if length > header.table_shift or leaf.prefix != index >> (header.table_shift - length):
            raise CorruptError("a leaf of a fat ZAP is in another's place", block=blkid, **self._where())
        return blkid, leaf

    def _change(self, blkid: int, leaf: LeafBlock) -> LeafBlock:
        """The leaf, to be changed."""
        leaf.buf = self._dirty(blkid)
        self._leafs[blkid] = leaf
        return leaf

    def _write_header(self) -> None:
        h = self._fat
        table = (h.table_blk, h.table_numblks, h.table_shift, h.table_nextblk, h.table_blks_copied)
        struct.pack_into("<8Q", self._dirty(0), 16, *table, h.freeblk, h.num_leafs, h.num_entries)

    def _count(self, change: int) -> None:
        """There are so many more entries."""
        header = self._fat
        header.num_entries += change
        if not 0 <= header.num_entries < 1 << 64:
            raise CorruptError("a fat ZAP has fewer entries than it says", **self._where())
        _U64.pack_into(self._dirty(0), 72, header.num_entries)

    # --- changing -------------------------------------------------------------------------------------------------

    def add(self, key: Key, value: Value, int_size: int = 8) -> None:
        """Add an entry.

        Args:
            key: a name, or the words of a key.
            value: an integer, several, or bytes (with ``int_size`` 1).
            int_size: bytes of an integer: 1, 2, 4, 8.

        Raises:
            ExistsError: there is one with this very key.
            UsageError: no ZAP can hold this key or value. NoSpaceError: too many keys have one hash.
        """
        self._put(key, value, int_size, replace=False)

    def update(self, key: Key, value: Value, int_size: int = 8) -> None:
        """Add an entry, or give it another value. Raises: as ``add``."""
        self._put(key, value, int_size, replace=True)

    def remove(self, key: Key, *, fold: bool = False, match_case: bool = False) -> ZapEntry:
        """Remove an entry; gives what it was. ``fold`` and ``match_case``: as for ``find``.

        Raises:
            NotFoundError: there is none.
        """
        entry = self.find(key, fold=fold, match_case=match_case)
        if entry is None:
            raise NotFoundError("a ZAP has no such entry", name=self._show(key), **self._where())
        self._begin()
        if self._entries is not None:
            self._entries.remove(entry, self.dnode.dirty_block(0))
        else:
            blkid, leaf = self._leaf_at(entry.hash)
            found = leaf.find(entry.hash, self._stored(entry.name))
            assert found is not None
            self._change(blkid, leaf).remove(*found)
            self._count(-1)
        self._end()
        return entry

    def increment(self, key: Key, delta: int) -> int:
        """Add to the number an entry holds; one that is missing counts as 0, and one that becomes 0 is removed.

        Returns:
            The new number, as the 64 bits that are stored.

        Raises:
            CorruptError: the entry is not one number.
        """
        before = self.get_int(key, 0)
        after = (before + delta) & 0xFFFFFFFFFFFFFFFF
        if after:
            self.update(key, after)
        elif key in self:
            self.remove(key)
        return after

    def _put(self, key: Key, value: Value, size: int, *, replace: bool) -> None:
        self._fresh()
        raw = self._key_bytes(key)
        self._stored_name(raw)
        data = encode_value(value, size)
        micro = self._entries
        if micro is not None:
            if self._put_micro(micro, raw, data, size, replace=replace):
                self._end()
                return
            self._begin()
            self._upgrade()
        self._put_fat(raw, data, size, replace=replace)
        self._end()

    def _exists(self, raw: bytes) -> ExistsError:
        return ExistsError("a ZAP has this entry already", name=self._show(raw), **self._where())

    # --- micro ----------------------------------------------------------------------------------------------------

    def _put_micro(self, micro: MicroEntries, raw: bytes, data: bytes, size: int, *, replace: bool) -> bool:
        """Add or replace an entry of a micro ZAP. Returns: False: that cannot be; it must become fat."""
        there = raw in micro
        if there and not replace:
            raise self._exists(raw)
        if size != 8 or len(data) != 8:
            return False
        value = int.from_bytes(data, "big")
        if there:
            self._begin()
            micro.replace(raw, value, self.dnode.dirty_block(0))
            return True
        hashed = micro.hash(raw)
        if len(raw) > MICRO_NAME_MAX or not micro.leaf_can_hold_one_more(hashed):
            return False
        grown = self.dnode.datablksz + 512
        if micro.full and grown > MICRO_LIMIT:
            return False
        self._begin()
        if micro.full:
            self.dnode.set_block_size(grown)
            micro.grow(grown)
        micro.add(raw, value, hashed, self.dnode.dirty_block(0))
        return True

    def _upgrade(self) -> None:
        """Turn a micro ZAP into a fat one; entries keep their cd."""
        assert self._entries is not None and self._micro is not None
        entries, salt, normflags = self._entries.all(), self._micro.salt, self._micro.normflags
        self.dnode.set_block_size(1 << FAT_SHIFT)
        self._micro = self._entries = None
        self._format_fat(FatHeader(salt, normflags))
        for entry in entries:
            self._insert(self._hash(entry.name), entry.name + b"\0", 8, entry.data, entry.cd)
        self._count(len(entries))

    # --- fat ------------------------------------------------------------------------------------------------------

    def _format_fat(self, header: FatHeader) -> None:
        """Make the object an empty fat ZAP."""
        size = self.dnode.datablksz
        header.table_shift = size.bit_length() - 5
        header.embedded = np.ones(size // 16, dtype=np.uint64)
        self._header, self._mask = header, header.hash_mask
        self._blocks, self._leafs = {}, {}
        self._dirty(0, whole=True)[:] = ondisk_zap.encode_header(header, size)
        leaf = LeafBlock.format(
            self._dirty(1, whole=True), sorted_chains=header.normflags != 0, words=self.word_keys
        )
        self._leafs[1] = leaf

    def _put_fat(self, raw: bytes, data: bytes, size: int, *, replace: bool) -> None:
        hashed, stored = self._hash(raw), self._stored_name(raw)
        need = 1 + chunks_for(len(stored)) + chunks_for(len(data))
        blkid, leaf = self._leaf_at(hashed)
        if need > leaf.chunks:
            raise UsageError("an entry is too large for a ZAP", bytes=len(stored) + len(data), **self._where())
        chain = leaf.chain(hashed)
        found = leaf.match(chain, hashed, stored)
        if found is not None and not replace:
            raise self._exists(raw)
        self._begin()
        if found is None:
            if leaf.nfree >= need:
                self._change(blkid, leaf).add(hashed, stored, size, data, None, chain)
            else:
                self._insert(hashed, stored, size, data)
            self._count(1)
            return
        while not self._change(blkid, leaf).replace(found[0], found[2], size, data):
            self._split(hashed)
            blkid, leaf = self._leaf_at(hashed)
            found = leaf.find(hashed, stored)
            assert found is not None

    def _insert(self, hashed: int, stored: bytes, size: int, data: bytes, cd: int | None = None) -> None:
        """Put an entry where its hash belongs, splitting leaves until it fits."""
        need = 1 + chunks_for(len(stored)) + chunks_for(len(data))
        blkid, leaf = self._leaf_at(hashed)
        while leaf.nfree < need:
            self._split(hashed)
            blkid, leaf = self._leaf_at(hashed)
        self._change(blkid, leaf).add(hashed, stored, size, data, cd)

    def _split(self, hashed: int) -> None:
        """Split the leaf that owns a hash.

        Raises:
            NoSpaceError: the hashes of its entries are the same as far as pointers can tell them apart.
        """
        blkid, leaf = self._leaf_at(hashed)
        header = self._fat
        # How far must we go to part these hashes at all? Not by doubling the table on suspicion, for ever.
        hashes = leaf.hashes()
        differ = int(np.bitwise_or.reduce(hashes ^ np.uint64(hashed))) if len(hashes) else 0
        needed = 65 - differ.bit_length() if differ else 65
        if needed > min(header.hash_bits - 2, MAX_TABLE_SHIFT):
            raise NoSpaceError("a ZAP has no room for more entries with one hash", **self._where())
        if header.table_nextblk:
            self._finish_growing()
        if leaf.prefix_len == header.table_shift:
            self._double_table()
        new = self._take_blocks(1)
        header.num_leafs += 1
        self._write_header()
        other = self._dirty(new, whole=True)
        self._leafs[new] = self._change(blkid, leaf).split(other, sorted_chains=header.normflags != 0)
        above = header.table_shift - leaf.prefix_len
        self._point(self._leafs[new].prefix << above, 1 << above, new)

    def _take_blocks(self, count: int) -> int:
        """Blocks behind all that are in use; gives the first of them.

        Raises:
            CorruptError: there is something in them.
        """
        header = self._fat
        first = header.freeblk
        header.freeblk += count
        for blkid in range(first, min(first + count, self.dnode.maxblkid + 1)):
            if not blkid or np.frombuffer(self.dnode.block(blkid)[0], dtype=np.uint8).any():
                raise CorruptError("a fat ZAP counts a block in use as free", block=blkid, **self._where())
        return first

    def _point(self, first: int, count: int, blkid: int) -> None:
        """Let pointers ``first`` .. lead to a leaf. They are an aligned power of two of them."""
        size = self.dnode.datablksz
        header = self._fat
        if not header.table_numblks:
            np.frombuffer(self._dirty(0), dtype="<u8", offset=size // 2)[first : first + count] = blkid
            return
        per_block = size // 8
        for table in range(first // per_block, (first + count - 1) // per_block + 1):
            pointers = np.frombuffer(self._dirty(header.table_blk + table), dtype="<u8")
            pointers[max(first - table * per_block, 0) : first + count - table * per_block] = blkid

    # --- the table of pointers ------------------------------------------------------------------------------------

    def _table_pointers(self) -> NDArray[np.uint64]:
        """All pointers."""
        header, size = self._fat, self.dnode.datablksz
        if not header.table_numblks:
            return np.frombuffer(self._view(0), dtype="<u8", offset=size // 2).copy()
        blkids = range(header.table_blk, header.table_blk + header.table_numblks)
        parts = []
        for data, order in self.dnode.blocks(blkids):
            self._need_little(order)
            parts.append(np.frombuffer(data, dtype="<u8").copy())
        return np.concatenate(parts)

    def _double_table(self) -> None:
        """Put twice as many pointers into blocks of their own, behind all others."""
        count = max(1, 2 * self._fat.table_numblks)
        self._move_table(self._take_blocks(count), count)

    def _finish_growing(self) -> None:
        """Complete a table that another writer left half-grown; its blocks are set aside already."""
        header = self._fat
        count = 2 * header.table_numblks
        first = header.table_nextblk
        behind = header.table_blk + header.table_numblks <= first
        if not count or not behind or first + count > header.freeblk:
            raise CorruptError("a fat ZAP's growing table is not where it can be", block=first, **self._where())
        self._move_table(first, count)

    def _move_table(self, first: int, count: int) -> None:
        header, size = self._fat, self.dnode.datablksz
        old = (header.table_blk, header.table_numblks)
        self.dnode.write(first * size, np.repeat(self._table_pointers(), 2).astype("<u8"))
        header.table_blk, header.table_numblks, header.table_shift = first, count, header.table_shift + 1
        header.table_nextblk = header.table_blks_copied = 0
        if old[1]:
            self.dnode.free_range(*old)
        for blkid in (*range(old[0], old[0] + old[1]), *range(first, first + count)):
            self._leafs.pop(blkid, None)
            if blkid:
                self._blocks.pop(blkid, None)
        self._write_header()


# --- new ones -----------------------------------------------------------------------------------------------------


def format_zap(
    dnode: MutableDnode, random_bytes: RandomBytes, *, normflags: int = 0, flags: int = 0, long_names: bool = False
) -> MutableZap:
    """Make an object without blocks an empty ZAP: micro, or fat if it has flags.

    Args:
        dnode: its block size is that of the (micro: first) block; that of a fat ZAP must be a power of two.
        random_bytes: where the salt comes from.
        normflags: how names are normalized before they are hashed.
        flags: FLAG constants of ondisk/zap.py: longer hashes, keys of words.
    """
    salt = new_salt(random_bytes)
    size = dnode.datablksz
    if not flags:
        dnode.dirty_block(0, whole=True)[:] = np.frombuffer(
            ondisk_zap.encode_micro(MicroZap(salt, normflags), size), dtype=np.uint8
        )
        return MutableZap(dnode, long_names=long_names)
    if size & (size - 1) or not 1 << ondisk_zap.MIN_FAT_SHIFT <= size <= 1 << ondisk_zap.MAX_LEAF_SHIFT:
        raise UsageError("a fat ZAP's block size must be a power of two", bytes=size)
    header = FatHeader(salt, normflags, flags, table_shift=size.bit_length() - 5)
    header.embedded = np.ones(size // 16, dtype=np.uint64)
    dnode.dirty_block(0, whole=True)[:] = np.frombuffer(ondisk_zap.encode_header(header, size), dtype=np.uint8)
    LeafBlock.format(
        dnode.dirty_block(1, whole=True), sorted_chains=normflags != 0, words=bool(flags & FLAG_UINT64_KEY)
    )
    return MutableZap(dnode, long_names=long_names)


def create_zap(
    objset: MutableObjset,
    kind: int,
    random_bytes: RandomBytes,
    *,
    normflags: int = 0,
    flags: int = 0,
    block_size: int | None = None,
    long_names: bool = False,
    **settings: Any,
) -> MutableZap:
    """A new object that is an empty ZAP.

    Args:
        objset: where. kind: the object's type.
        random_bytes, normflags, flags, long_names: as for ``format_zap``.
        block_size: 512 by default (micro), or 16 KiB (with flags).
        settings: for ``MutableObjset.allocate``: bonus, bonus_type, number, dnode_size ...
    """
    size = block_size or (1 << FAT_SHIFT if flags else 512)
    dnode = objset.allocate(kind, block_size=size, **settings)
    return format_zap(dnode, random_bytes, normflags=normflags, flags=flags, long_names=long_names)
