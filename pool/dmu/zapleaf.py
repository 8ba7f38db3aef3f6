"""A leaf of a fat ZAP, changed in place: entries found, added, replaced, removed, and a full leaf split in two.

A leaf is a hash table whose entries, names and values are chains of 24-byte chunks. Everything here works on the block
itself, so that what a block holds and what is believed of it cannot differ. Chains of entries are kept sorted by
collision differentiator (cd).

Invariants, of every leaf this module has written: ``nfree`` chunks are free and all on the free list; each other chunk
belongs to exactly one entry; each entry is in the chain of its hash.

A leaf comes from a disk and may lie: each chunk number is checked before it is followed, and no chain is followed for
longer than a leaf has chunks.

Layout: ondisk/zap.py. Source: OpenZFS, zap_leaf.c.
"""

from __future__ import annotations

import struct
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError
from ..ondisk.zap import (
    ARRAY_BYTES,
    CHAIN_END,
    CHUNK_ARRAY,
    CHUNK_ENTRY,
    CHUNK_FREE,
    CHUNK_SIZE,
    LEAF_ENTRY,
    LEAF_FLAG_SORTED,
    LEAF_HEADER_SIZE,
    LEAF_MAGIC,
    MAX_LEAF_SHIFT,
    MAX_NAME,
    MAX_POINTER_SHIFT,
    MAX_VALUE,
    MIN_FAT_SHIFT,
    TYPE_LEAF,
    leaf_shape,
)

#: What an entry chunk holds: type, integer size, next, name chunk, name length, value chunk, value length, cd, hash.
Entry = tuple[int, int, int, int, int, int, int, int, int]
#: Entries that share a slot of the hash table: chunk, place of the link that leads to it, fields.
Chain = list[tuple[int, int, Entry]]

_ENTRY = struct.Struct("<BBHHHHHIQ")
_ARRAY = struct.Struct("<B21sH")  # type, bytes (or nothing, of a free chunk), next
_U16 = struct.Struct("<H")
_HEADER = struct.Struct("<QQQIHHHHB11x")  # type, pad, prefix, magic, nfree, nentries, prefix_len, freelist, flags
_COUNTS = struct.Struct("<HHHH")  # nfree, nentries, prefix_len, freelist
_COUNTS_AT = 28
assert _ENTRY.size == _ARRAY.size == CHUNK_SIZE and _HEADER.size == LEAF_HEADER_SIZE

_INTEGER_SIZES = (1, 2, 4, 8)


def chunks_for(length: int) -> int:
    """Chunks that an array of so many bytes takes."""
    return -(-length // ARRAY_BYTES)


class LeafBlock:
    """A leaf over its block.

    Args:
        buf: the block, little-endian; writable if it is to be changed. May be exchanged for a copy at any time.
        words: names are arrays of 64-bit words.

    Raises:
        CorruptError: it is not a leaf, or its counts make no sense.
    """

    __slots__ = ("base", "bits", "buf", "chunks", "mask", "prefix", "prefix_len", "shift", "words")

    def __init__(self, buf: Any, *, words: bool = False) -> None:
        self.buf = memoryview(buf).cast("B")
        self.words = words
        size = len(self.buf)
        if size & (size - 1) or not 1 << MIN_FAT_SHIFT <= size <= 1 << MAX_LEAF_SHIFT:
            raise CorruptError("a leaf of a fat ZAP has a wrong size", size=size)
        slots, self.chunks = leaf_shape(size)
        self.base = LEAF_HEADER_SIZE + 2 * slots
        self.bits = slots.bit_length() - 1
        self.mask = slots - 1
        self._open()

    def _open(self) -> None:
        kind, _, prefix, magic, nfree, nentries, length, _, _ = _HEADER.unpack_from(self.buf)
        if kind != TYPE_LEAF or magic != LEAF_MAGIC:
            raise CorruptError("a block is not a leaf of a fat ZAP", type=f"{kind:#x}", magic=f"{magic:#x}")
        if length > MAX_POINTER_SHIFT or prefix >> length or nfree + nentries > self.chunks:
            raise CorruptError(
                "the counts of a fat ZAP's leaf make no sense", prefix_len=length, nfree=nfree, nentries=nentries
            )
        self.prefix, self.prefix_len = prefix, length
        self.shift = 64 - self.bits - length

    @classmethod
    def format(cls, buf: Any, *, sorted_chains: bool, words: bool = False) -> LeafBlock:
        """Make a block of any content an empty leaf that owns all hashes."""
        view = memoryview(buf).cast("B")
        _, chunks = leaf_shape(len(view))
        head = _HEADER.pack(TYPE_LEAF, 0, 0, LEAF_MAGIC, chunks, 0, 0, 0, LEAF_FLAG_SORTED * sorted_chains)
        area = np.frombuffer(view, dtype=np.uint8)
        area[:] = 0
        area[:LEAF_HEADER_SIZE] = np.frombuffer(head, dtype=np.uint8)
        _write(area, np.zeros(chunks, dtype=bool), np.zeros((chunks, CHUNK_SIZE), dtype=np.uint8))
        return cls(view, words=words)

    # --- facts ----------------------------------------------------------------------------------------------------

    @property
    def nfree(self) -> int:
        """Free chunks."""
        nfree: int = _U16.unpack_from(self.buf, 28)[0]
        return nfree

    @property
    def nentries(self) -> int:
        """Entries."""
        nentries: int = _U16.unpack_from(self.buf, 30)[0]
        return nentries

    def _counted(self, more: int) -> int:
        count = self.nentries + more
        if not 0 <= count <= self.chunks:
            raise CorruptError("a leaf of a fat ZAP has another number of entries than it says", entries=self.nentries)
        return count

    def hashes(self) -> NDArray[np.uint64]:
        """The hashes of all entries, in no order."""
        records = np.frombuffer(self.buf, dtype=LEAF_ENTRY, count=self.chunks, offset=self.base)
        hashes: NDArray[np.uint64] = records["hash"][records["type"] == CHUNK_ENTRY]
        return hashes

    # --- looking --------------------------------------------------------------------------------------------------

    def _slot(self, hashed: int) -> int:
        """Where in the block the chain of a hash begins."""
        return LEAF_HEADER_SIZE + 2 * int(hashed >> self.shift & self.mask)

    def _lost(self, what: str, chunk: int) -> NoReturn:
        raise CorruptError(f"{what} of a fat ZAP leads nowhere", chunk=chunk)

    def find(self, hashed: int, name: bytes) -> tuple[int, int, Entry] | None:
        """The entry with a hash and a name (as stored: with its NUL, or the big-endian bytes of words).

        Returns:
            Its chunk, the place of the link that leads to it, and its fields; None if there is none.
        """
        return self.match(self.chain(hashed), hashed, name)

    def match(self, chain: Chain, hashed: int, name: bytes) -> tuple[int, int, Entry] | None:
        """``find`` in a chain that is there already."""
        length = len(name) // 8 if self.words else len(name)
        for found in chain:
            entry = found[2]
            if entry[8] == hashed and entry[4] == length and self.array(entry[3], len(name)) == name:
                return found
        return None

    def chain(self, hashed: int) -> Chain:
        """The chain in which entries of a hash are, others among them."""
        buf, base, chunks = self.buf, self.base, self.chunks
        link = self._slot(hashed)
        (at,) = _U16.unpack_from(buf, link)
        found: Chain = []
        while at != CHAIN_END:
            if at >= chunks or len(found) >= chunks:
                self._lost("a hash chain", at)
            place = base + CHUNK_SIZE * at
            entry: Entry = _ENTRY.unpack_from(buf, place)
            if entry[0] != CHUNK_ENTRY:
                self._lost("a hash chain", at)
            found.append((at, link, entry))
            link = place + 2
            at = entry[2]
        return found

    def array(self, at: int, length: int) -> bytes:
        """The bytes of a name or a value."""
        buf, base, chunks = self.buf, self.base, self.chunks
        parts = []
        for _ in range(-(-length // ARRAY_BYTES)):
            if at >= chunks:
                self._lost("a name or a value", at)
            kind, data, following = _ARRAY.unpack_from(buf, base + CHUNK_SIZE * at)
            if kind != CHUNK_ARRAY:
                self._lost("a name or a value", at)
            parts.append(data)
            at = following
        return b"".join(parts)[:length] if len(parts) != 1 else bytes(parts[0][:length])

    def name(self, entry: Entry) -> bytes:
        """An entry's name as stored."""
        length = entry[4] * 8 if self.words else entry[4]
        if not 0 < length <= MAX_NAME:
            raise LimitError("a name in a fat ZAP has an impossible length", bytes=length)
        return self.array(entry[3], length)

    def value(self, entry: Entry) -> bytes:
        """An entry's value, each integer big-endian."""
        return self.array(entry[5], self.value_bytes(entry))

    @staticmethod
    def value_bytes(entry: Entry) -> int:
        """Bytes of an entry's value."""
        if entry[1] not in _INTEGER_SIZES:
            raise CorruptError("a value in a fat ZAP has a bad integer size", size=entry[1])
        length = entry[6] * entry[1]
        if length > MAX_VALUE:
            raise LimitError("a value in a fat ZAP has an impossible length", bytes=length)
        return length

    # --- chunks ---------------------------------------------------------------------------------------------------

    def _take(self, count: int) -> list[int]:
        """Chunks from the free list, which must have as many."""
        buf, base = self.buf, self.base
        nfree, nentries, length, at = _COUNTS.unpack_from(buf, _COUNTS_AT)
        if count > nfree:
            raise CorruptError("a leaf of a fat ZAP has less room than it says", free=nfree)
        taken = []
        for _ in range(count):
            place = base + CHUNK_SIZE * at
            if at >= self.chunks or buf[place] != CHUNK_FREE:
                self._lost("the free list of a leaf", at)
            # A free list that bites its own tail must not give out a chunk twice.
            buf[place] = CHUNK_ARRAY
            taken.append(at)
            (at,) = _U16.unpack_from(buf, place + 22)
        _COUNTS.pack_into(buf, _COUNTS_AT, nfree - count, nentries, length, at)
        return taken

    def _give_back(self, taken: list[int]) -> None:
        buf, base = self.buf, self.base
        nfree, nentries, length, at = _COUNTS.unpack_from(buf, _COUNTS_AT)
        for chunk in taken:
            _ARRAY.pack_into(buf, base + CHUNK_SIZE * chunk, CHUNK_FREE, b"", at)
            at = chunk
        if nfree + len(taken) > self.chunks:
            raise CorruptError("a leaf of a fat ZAP has more room than it can", free=nfree)
        _COUNTS.pack_into(buf, _COUNTS_AT, nfree + len(taken), nentries, length, at)

    def _members(self, at: int, length: int) -> list[int]:
        """The chunks of a name or a value."""
        buf, base = self.buf, self.base
        members: list[int] = []
        for _ in range(-(-length // ARRAY_BYTES)):
            place = base + CHUNK_SIZE * at
            if at >= self.chunks or buf[place] != CHUNK_ARRAY:
                self._lost("a name or a value", at)
            members.append(at)
            (at,) = _U16.unpack_from(buf, place + 22)
        if len(set(members)) != len(members):
            self._lost("a name or a value", at)
        return members

    def _store(self, chunks: list[int], data: bytes) -> int:
        """Put bytes into chunks; gives the first of them."""
        buf, base = self.buf, self.base
        following = CHAIN_END
        for index in range(len(chunks) - 1, -1, -1):
            piece = data[index * ARRAY_BYTES : (index + 1) * ARRAY_BYTES]
            _ARRAY.pack_into(buf, base + CHUNK_SIZE * chunks[index], CHUNK_ARRAY, piece, following)
            following = chunks[index]
        return following

    # --- changing -------------------------------------------------------------------------------------------------

    def add(
        self, hashed: int, name: bytes, size: int, value: bytes, cd: int | None = None, chain: Chain | None = None
    ) -> bool:
        """Add an entry whose name is not there yet.

        Args:
            hashed: the (masked) hash; its prefix must be the leaf's.
            name: as stored: with its NUL, or the big-endian bytes of words.
            size: bytes of an integer of the value. value: its integers, big-endian.
            cd: what tells it from others with this hash; the lowest one that is free by default.
            chain: the hash's, if it was just asked for.

        Returns:
            False: there is no room, and nothing was changed.
        """
        names, values = chunks_for(len(name)), chunks_for(len(value))
        if self.nfree < 1 + names + values:
            return False
        if chain is None:
            chain = self.chain(hashed)
        if cd is None:
            cd = 0
            if chain:
                used = {entry[7] for _, _, entry in chain if entry[8] == hashed}
                while cd in used:
                    cd += 1
        # Before the first one with a greater cd: the link to that one, or the end of the chain.
        link, following = self._slot(hashed), CHAIN_END
        for chunk, place, entry in chain:
            if entry[7] > cd:
                link, following = place, chunk
                break
            link = self.base + CHUNK_SIZE * chunk + 2
        count = self._counted(1)
        taken = self._take(1 + names + values)
        at = taken[0]
        first_name = self._store(taken[1 : 1 + names], name)
        first_value = self._store(taken[1 + names :], value)
        name_len = len(name) // 8 if self.words else len(name)
        _ENTRY.pack_into(
            self.buf, self.base + CHUNK_SIZE * at,
            CHUNK_ENTRY, size, following, first_name, name_len, first_value, len(value) // size, cd, hashed,
        )  # fmt: skip
        _U16.pack_into(self.buf, link, at)
        _U16.pack_into(self.buf, 30, count)
        return True

    def replace(self, chunk: int, entry: Entry, size: int, value: bytes) -> bool:
        """Give an entry another value. Returns: False: there is no room, and nothing was changed."""
        old = self.value_bytes(entry)
        chunks = self._members(entry[5], old)
        need = chunks_for(len(value))
        if need > len(chunks) + self.nfree:
            return False
        if need < len(chunks):
            self._give_back(chunks[need:])
            chunks = chunks[:need]
        elif need > len(chunks):
            chunks += self._take(need - len(chunks))
        first = self._store(chunks, value)
        changed = (CHUNK_ENTRY, size, *entry[2:5], first, len(value) // size, *entry[7:])
        _ENTRY.pack_into(self.buf, self.base + CHUNK_SIZE * chunk, *changed)
        return True

    def remove(self, chunk: int, link: int, entry: Entry) -> None:
        """Remove an entry that ``find`` or ``chain`` has just given."""
        names = self._members(entry[3], entry[4] * 8 if self.words else entry[4])
        values = self._members(entry[5], self.value_bytes(entry))
        count = self._counted(-1)
        _U16.pack_into(self.buf, link, entry[2])
        self._give_back([*values, *names, chunk])
        _U16.pack_into(self.buf, 30, count)

    def split(self, other: Any, *, sorted_chains: bool) -> LeafBlock:
        """Move the upper half of the hashes this leaf owns into an empty block, which becomes a leaf.

        Chunks keep their numbers: the new leaf is a copy in which the lower half's chunks are free, and in this one
        those of the upper half become so.

        Raises:
            CorruptError: chunks belong to two entries, or to none.
        """
        area = np.frombuffer(self.buf, dtype=np.uint8)
        new = np.frombuffer(memoryview(other).cast("B"), dtype=np.uint8)
        length = self.prefix_len + 1
        body = area[self.base : self.base + CHUNK_SIZE * self.chunks].reshape(self.chunks, CHUNK_SIZE).copy()
        owner = self._owners(body, 64 - length)
        flags = int(area[36]) | (LEAF_FLAG_SORTED if sorted_chains else 0)
        for half, target in enumerate((area, new)):
            prefix = self.prefix << 1 | half
            head = _HEADER.pack(TYPE_LEAF, 0, prefix, LEAF_MAGIC, 0, 0, length, 0, flags)
            target[:LEAF_HEADER_SIZE] = np.frombuffer(head, dtype=np.uint8)
            _write(target, owner == half, body)
        self._open()
        return LeafBlock(new, words=self.words)

    def _owners(self, body: NDArray[np.uint8], bit: int) -> NDArray[np.uint8]:
        """To which half each chunk goes by its entry's hash: 0, 1, or 2 for free ones."""
        records = body.reshape(-1).view(LEAF_ENTRY)
        which = np.flatnonzero(records["type"] == CHUNK_ENTRY)
        rows = records[which]
        half = (rows["hash"] >> np.uint64(bit)).astype(np.uint8) & 1
        owner = np.full(self.chunks, 2, dtype=np.uint8)
        owner[which] = half
        following = np.ascontiguousarray(body[:, 22:24]).view("<u2").reshape(-1)
        is_array = records["type"] == CHUNK_ARRAY
        names = rows["name_len"].astype(np.int64) * (8 if self.words else 1)
        values = rows["value_len"].astype(np.int64) * rows["intsize"]
        if (names > MAX_NAME).any() or (values > MAX_VALUE).any():
            raise LimitError("a name or a value in a fat ZAP has an impossible length")
        claimed = len(which)
        for first, lengths in ((rows["name_chunk"], names), (rows["value_chunk"], values)):
            left = -(-lengths // ARRAY_BYTES)
            claimed += int(left.sum())
            at, to = first.astype(np.int64), half
            while True:
                live = left > 0
                if not live.any():
                    break
                at, to, left = at[live], to[live], left[live] - 1
                if (at >= self.chunks).any() or not is_array[at].all():
                    raise CorruptError("a name or a value in a fat ZAP leads nowhere")
                owner[at] = to
                at = following[at].astype(np.int64)
        if int((owner != 2).sum()) != claimed or claimed != self.chunks - self.nfree or len(which) != self.nentries:
            raise CorruptError("chunks of a fat ZAP's leaf belong to several entries, or to none", chunks=claimed)
        return owner


def _write(area: NDArray[np.uint8], used: NDArray[np.bool_], body: NDArray[np.uint8]) -> None:
    """Fill a block, whose header is there but for its counts: these chunks are used, the others free."""
    slots, chunks = leaf_shape(len(area))
    base = LEAF_HEADER_SIZE + 2 * slots
    target = area[base : base + CHUNK_SIZE * chunks].reshape(chunks, CHUNK_SIZE)
    target[:] = body
    free = np.flatnonzero(~used)
    target[free] = 0
    target[free, 0] = CHUNK_FREE
    target[free, 22:24] = np.append(free[1:], CHAIN_END).astype("<u2").view(np.uint8).reshape(-1, 2)
    records = target.reshape(-1).view(LEAF_ENTRY)
    which = np.flatnonzero(records["type"] == CHUNK_ENTRY)
    hashes = records["hash"][which]
    bits = slots.bit_length() - 1
    _, _, _, _, _, _, length, _, _ = _HEADER.unpack_from(area.data)
    slot = (hashes >> np.uint64(64 - bits - length)).astype(np.int64) & (slots - 1)
    order = np.lexsort((records["cd"][which], slot))
    which, slot = which[order], slot[order]
    begins = np.ones(len(which), dtype=bool)
    begins[1:] = slot[1:] != slot[:-1]
    links = np.full(len(which), CHAIN_END, dtype=np.uint16)
    links[:-1] = np.where(begins[1:], CHAIN_END, which[1:])
    records["next"][which] = links
    table = area[LEAF_HEADER_SIZE:base].view("<u2")
    table[:] = CHAIN_END
    table[slot[begins]] = which[begins]
    first = int(free[0]) if len(free) else CHAIN_END
    _COUNTS.pack_into(area.data, _COUNTS_AT, len(free), len(which), length, first)
