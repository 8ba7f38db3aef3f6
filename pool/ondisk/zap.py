"""ZAP blocks: name/value tables as objects hold them, small (micro) and large (fat).

A micro ZAP is one block of 64-byte entries. A fat ZAP has a header block with a table of pointers that leads from a
hash to a leaf block; a leaf is a hash table over 24-byte chunks, of which entries, names and values are built.
Names and values in leaves are big-endian byte strings whatever the order of the block; all else follows the block.

Source: OpenZFS, zap_impl.h, zap_leaf.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, LimitError

TYPE_MICRO = 0x8000000000000003
TYPE_HEADER = 0x8000000000000001
TYPE_LEAF = 0x8000000000000000
HEADER_MAGIC = 0x2F52AB2AB
LEAF_MAGIC = 0x2AB1EAF

MICRO_ENTRY_SIZE = 64
MICRO_NAME_MAX = 49
MAX_MICRO_SIZE = 1 << 20
MIN_FAT_SHIFT = 9
MAX_FAT_SHIFT = 24
CHUNK_SIZE = 24
ARRAY_BYTES = 21
CHUNK_ENTRY = 252
CHUNK_ARRAY = 251
CHUNK_FREE = 253
CHAIN_END = 0xFFFF
LEAF_HEADER_SIZE = 48
MAX_LEAF_SHIFT = 20  # beyond it chunk indices would not fit into 16 bits
MAX_NAME = 1024
MAX_VALUE = 8192
MAX_POINTER_SHIFT = 46

FLAG_HASH64 = 1
FLAG_UINT64_KEY = 2
FLAG_PREHASHED_KEY = 4
LEAF_FLAG_SORTED = 1

MICRO_ENTRY = np.dtype(
    [
        ("value", "<u8"),  # 0
        ("cd", "<u4"),  # 8   tells entries with the same hash apart
        ("pad", "<u2"),  # 12
        ("name", "S50"),  # 14  NUL-terminated; empty: free
    ]
)
assert MICRO_ENTRY.itemsize == MICRO_ENTRY_SIZE

LEAF_ENTRY = np.dtype(
    [
        ("type", "u1"),  # 0   252
        ("intsize", "u1"),  # 1   bytes of an integer of the value: 1, 2, 4, 8
        ("next", "<u2"),  # 2   next entry of the hash chain
        ("name_chunk", "<u2"),  # 4
        ("name_len", "<u2"),  # 6   bytes with the NUL, or 64-bit words
        ("value_chunk", "<u2"),  # 8
        ("value_len", "<u2"),  # 10  integers
        ("cd", "<u4"),  # 12
        ("hash", "<u8"),  # 16
    ]
)
assert LEAF_ENTRY.itemsize == CHUNK_SIZE

_INTEGER_SIZES = np.zeros(256, dtype=bool)
_INTEGER_SIZES[[1, 2, 4, 8]] = True
_MICRO_ENTRIES = {"<": MICRO_ENTRY, ">": MICRO_ENTRY.newbyteorder(">")}
_LEAF_ENTRIES = {"<": LEAF_ENTRY, ">": LEAF_ENTRY.newbyteorder(">")}
_MICRO_HEADER = "3Q40x"  # type, salt, normflags
_HEADER = "13Q"  # type, magic, five words of the pointer table, freeblk, leaves, entries, salt, normflags, flags
_LEAF_HEADER = "QQQIHHHHB11x"  # type, pad, prefix, magic, nfree, nentries, prefix_len, freelist, flags
assert struct.calcsize("<" + _MICRO_HEADER) == MICRO_ENTRY_SIZE
assert struct.calcsize("<" + _HEADER) == 104
assert struct.calcsize("<" + _LEAF_HEADER) == LEAF_HEADER_SIZE

U64Array = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ZapEntry:
    """One pair. ``key`` is the name without its NUL, or the big-endian bytes of an array of 64-bit words."""

    name: bytes
    integer_size: int
    values: tuple[int, ...]
    cd: int = 0
    hash: int = 0

    @property
    def value(self) -> int:
        """The first integer; 0 if there is none."""
        return self.values[0] if self.values else 0

    @property
    def data(self) -> bytes:
        """The value as bytes (each integer big-endian; for 1-byte integers simply the bytes)."""
        if self.integer_size == 1:
            return bytes(self.values)
        return b"".join(v.to_bytes(self.integer_size, "big") for v in self.values)

    @property
    def words(self) -> tuple[int, ...]:
        """The key of a ZAP with keys of 64-bit words."""
        return struct.unpack(f">{len(self.name) // 8}Q", self.name)


def block_type(buffer: Any, order: str) -> int:
    """The first word of a block: one of the TYPE constants, or anything for a pointer table block."""
    view = memoryview(buffer).cast("B")
    if len(view) < 8:
        raise CorruptError("a ZAP block ends too early", length=len(view))
    return int(struct.unpack_from(order + "Q", view)[0])


# --- micro --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class MicroZap:
    """A decoded micro ZAP: its entries in slot order."""

    salt: int
    normflags: int
    entries: list[ZapEntry] = field(default_factory=list)


def decode_micro(buffer: Any, order: str = "<") -> MicroZap:
    """Decode the only block of a micro ZAP.

    Raises:
        CorruptError: not such a block, a bad size, or a name without an end.
    """
    raw = memoryview(buffer).cast("B")
    if len(raw) < 512 or len(raw) % MICRO_ENTRY_SIZE or len(raw) > MAX_MICRO_SIZE:
        raise CorruptError("a micro ZAP has a wrong size", size=len(raw))
    kind, salt, normflags = struct.unpack_from(order + _MICRO_HEADER, raw)
    if kind != TYPE_MICRO:
        raise CorruptError("a block is not a micro ZAP", type=f"{kind:#x}")
    slots = np.frombuffer(raw, dtype=_MICRO_ENTRIES[order], offset=MICRO_ENTRY_SIZE)
    used = slots[slots["name"] != b""]
    entries = []
    # numpy drops trailing NULs only, so rubbish behind the first NUL must go here.
    rows = zip(used["name"].tolist(), used["value"].tolist(), used["cd"].tolist())
    for padded, value, cd in rows:
        name, _, _ = padded.partition(b"\0")
        if len(name) > MICRO_NAME_MAX:
            raise CorruptError("a name in a micro ZAP has no end", name=name[:16].hex())
        if name:
            entries.append(ZapEntry(name, 8, (value,), cd))
    return MicroZap(salt, normflags, entries)


def encode_micro(zap: MicroZap, size: int, order: str = "<") -> bytes:
    """A micro ZAP block of ``size`` bytes with its entries in slots 0, 1, 2 ..."""
    slots = np.zeros(size // MICRO_ENTRY_SIZE - 1, dtype=_MICRO_ENTRIES[order])
    for slot, entry in zip(slots, zap.entries, strict=False):
        if entry.integer_size != 8 or len(entry.values) != 1 or not 0 < len(entry.name) <= MICRO_NAME_MAX:
            raise ValueError(f"a micro ZAP cannot hold the entry {entry.name!r}")
        slot["value"], slot["cd"], slot["name"] = entry.values[0], entry.cd, entry.name
    if len(zap.entries) > len(slots):
        raise ValueError(f"{len(zap.entries)} entries in a micro ZAP with {len(slots)} slots")
    return struct.pack(order + _MICRO_HEADER, TYPE_MICRO, zap.salt, zap.normflags) + slots.tobytes()


# --- fat: header and pointer table --------------------------------------------------------------------------------


@dataclass(slots=True)
class FatHeader:
    """Block 0 of a fat ZAP."""

    salt: int
    normflags: int = 0
    flags: int = 0
    table_blk: int = 0
    table_numblks: int = 0  # 0: the table is the second half of this block
    table_shift: int = 0  # log2 of the number of pointers
    table_nextblk: int = 0
    table_blks_copied: int = 0
    freeblk: int = 2
    num_leafs: int = 1
    num_entries: int = 0
    embedded: U64Array = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))

    @property
    def hash_bits(self) -> int:
        """High bits of a hash that are used."""
        return 48 if self.flags & FLAG_HASH64 else 28

    @property
    def hash_mask(self) -> int:
        """Mask of those bits."""
        return (1 << 64) - (1 << (64 - self.hash_bits))


def decode_header(buffer: Any, order: str = "<") -> FatHeader:
    """Decode block 0 of a fat ZAP.

    Raises:
        CorruptError: not such a block, or a pointer table whose size makes no sense.
    """
    raw = memoryview(buffer).cast("B")
    size = len(raw)
    if size & (size - 1) or not 1 << MIN_FAT_SHIFT <= size <= 1 << MAX_FAT_SHIFT:
        raise CorruptError("a fat ZAP has a wrong block size", size=size)
    kind, magic, blk, numblks, shift, nextblk, copied, freeblk, leafs, entries, salt, norm, flags = (
        struct.unpack_from(order + _HEADER, raw)
    )
    if kind != TYPE_HEADER or magic != HEADER_MAGIC:
        raise CorruptError("a block is not the header of a fat ZAP", type=f"{kind:#x}", magic=f"{magic:#x}")
    if shift > MAX_POINTER_SHIFT:
        raise LimitError("a fat ZAP's pointer table is too large", shift=shift)
    pointers = numblks * (size // 8) if numblks else size // 16
    if pointers != 1 << shift:
        raise CorruptError("a fat ZAP's pointer table has two different sizes", pointers=pointers, shift=shift)
    embedded = np.frombuffer(raw[size // 2 :], dtype=order + "u8").astype(np.uint64)
    return FatHeader(
        salt, norm, flags, blk, numblks, shift, nextblk, copied, freeblk, leafs, entries, embedded
    )


def encode_header(header: FatHeader, size: int, order: str = "<") -> bytes:
    """Block 0 of a fat ZAP with blocks of ``size`` bytes."""
    raw = bytearray(size)
    h = header
    table = (h.table_blk, h.table_numblks, h.table_shift, h.table_nextblk, h.table_blks_copied)
    counts = (h.freeblk, h.num_leafs, h.num_entries, h.salt, h.normflags, h.flags)
    struct.pack_into(order + _HEADER, raw, 0, TYPE_HEADER, HEADER_MAGIC, *table, *counts)
    raw[size // 2 :] = h.embedded.astype(order + "u8").tobytes()
    if len(raw) != size:
        raise ValueError("the embedded pointer table does not fill half a block")
    return bytes(raw)


def decode_pointers(buffer: Any, order: str = "<") -> U64Array:
    """The pointers in a block of an external pointer table."""
    return np.frombuffer(buffer, dtype=order + "u8").astype(np.uint64)


# --- fat: leaves --------------------------------------------------------------------------------------------------


def leaf_shape(size: int) -> tuple[int, int]:
    """(hash slots, chunks) of a leaf block of ``size`` bytes."""
    slots = size // 32
    return slots, (size - 2 * slots) // CHUNK_SIZE - 2


@dataclass(slots=True)
class RawEntries:
    """Entries of a leaf as columns. Values are as stored: integers of ``sizes`` bytes, big-endian."""

    names: list[bytes]
    values: list[bytes]
    sizes: list[int]
    cds: list[int]
    hashes: list[int]


class Leaf:
    """A leaf block, opened: its header decoded and checked, its chunks looked at on demand.

    Raises:
        CorruptError: the block is not a leaf, or its counts make no sense.
    """

    __slots__ = ("_body", "_chunks", "_entries", "_order", "flags", "nentries", "prefix", "prefix_len", "table")

    def __init__(self, buffer: Any, order: str = "<") -> None:
        raw = memoryview(buffer).cast("B")
        size = len(raw)
        if size & (size - 1) or not 1 << MIN_FAT_SHIFT <= size <= 1 << MAX_LEAF_SHIFT:
            raise CorruptError("a leaf of a fat ZAP has a wrong size", size=size)
        kind, _, prefix, magic, nfree, nentries, prefix_len, _, flags = struct.unpack_from(
            order + _LEAF_HEADER, raw
        )
        if kind != TYPE_LEAF or magic != LEAF_MAGIC:
            raise CorruptError("a block is not a leaf of a fat ZAP", type=f"{kind:#x}", magic=f"{magic:#x}")
        slots, chunks = leaf_shape(size)
        if prefix_len >= 64 or prefix >> prefix_len or nfree > chunks or nentries > chunks - nfree:
            raise CorruptError(
                "the counts of a fat ZAP's leaf make no sense", prefix_len=prefix_len, nfree=nfree, nentries=nentries
            )
        self.prefix, self.prefix_len, self.nentries, self.flags = prefix, prefix_len, nentries, flags
        self.table = np.frombuffer(raw, dtype=order + "u2", count=slots, offset=LEAF_HEADER_SIZE)
        body = raw[LEAF_HEADER_SIZE + 2 * slots :][: chunks * CHUNK_SIZE]
        self._chunks = np.frombuffer(body, dtype=np.uint8).reshape(chunks, CHUNK_SIZE)
        self._entries = np.frombuffer(body, dtype=_LEAF_ENTRIES[order])
        self._order = order
        self._body = body

    def find(self, hash_value: int) -> list[int]:
        """Chunks of the entries with this (masked) hash, in chain order.

        Raises:
            CorruptError: a chain that leaves the block or bites its own tail.
        """
        bits = len(self.table).bit_length() - 1
        at = int(self.table[hash_value >> (64 - bits - self.prefix_len) & (len(self.table) - 1)])
        found: list[int] = []
        for _ in range(len(self._chunks) + 1):
            if at == CHAIN_END:
                return found
            if at >= len(self._chunks) or self._chunks[at, 0] != CHUNK_ENTRY:
                raise CorruptError("a hash chain of a fat ZAP leads nowhere", chunk=at)
            entry = self._entries[at]
            if int(entry["hash"]) == hash_value:
                found.append(at)
            at = int(entry["next"])
        raise CorruptError("a hash chain of a fat ZAP has no end")

    def entry(self, chunk: int, *, words: bool = False) -> ZapEntry:
        """Decode one entry.

        Args:
            chunk: its chunk number (from ``find``).
            words: keys are arrays of 64-bit words.

        Raises:
            CorruptError: a length, integer size or chunk number makes no sense.
        """
        _, size, _, name_chunk, name_len, value_chunk, value_len, cd, hashed = self._entries[chunk].item()
        name_len *= 8 if words else 1
        value_len *= size
        _check_lengths(bool(_INTEGER_SIZES[size]), 0 < name_len <= MAX_NAME and value_len <= MAX_VALUE)
        name = self._string(name_chunk, name_len)
        if not words:
            if name[-1]:
                raise CorruptError("a name in a fat ZAP has no end")
            name = name[:-1]
        return ZapEntry(name, size, _integers(self._string(value_chunk, value_len), size), cd, hashed)

    def _string(self, at: int, length: int) -> bytes:
        parts, body = [], self._body
        for _ in range(-(-length // ARRAY_BYTES)):
            place = at * CHUNK_SIZE
            if place >= len(body) or body[place] != CHUNK_ARRAY:
                raise CorruptError("a name or a value in a fat ZAP leads nowhere")
            parts.append(body[place + 1 : place + 1 + ARRAY_BYTES])
            (at,) = struct.unpack_from(self._order + "H", body, place + 1 + ARRAY_BYTES)
        return b"".join(parts)[:length]

    def entries(self, *, words: bool = False) -> list[ZapEntry]:
        """Decode all entries.

        Args:
            words: keys are arrays of 64-bit words.

        Raises:
            CorruptError: a length, integer size, chunk number or count makes no sense.
        """
        raw = self.raw_entries(words=words)
        rows = zip(raw.names, raw.values, raw.sizes, raw.cds, raw.hashes)
        return [ZapEntry(name, size, _integers(data, size), cd, hashed) for name, data, size, cd, hashed in rows]

    def raw_entries(self, *, words: bool = False) -> RawEntries:
        """The same as byte strings, without making numbers of the values."""
        which = np.flatnonzero(self._chunks[:, 0] == CHUNK_ENTRY)
        if len(which) != self.nentries:
            raise CorruptError(
                "a leaf of a fat ZAP does not hold as many entries as it says", found=len(which), said=self.nentries
            )
        rows = self._entries[which]
        name_bytes = rows["name_len"].astype(np.int64) * (8 if words else 1)
        intsize = rows["intsize"].astype(np.int64)
        value_bytes = rows["value_len"].astype(np.int64) * intsize
        possible = (name_bytes != 0) & (name_bytes <= MAX_NAME) & (value_bytes <= MAX_VALUE)
        _check_lengths(bool(_INTEGER_SIZES[intsize].all()), bool(possible.all()))
        names = self._gather(rows["name_chunk"].astype(np.int64), name_bytes)
        values = self._gather(rows["value_chunk"].astype(np.int64), value_bytes)
        if not words:
            if any(name[-1] for name in names):
                raise CorruptError("a name in a fat ZAP has no end")
            names = [name[:-1] for name in names]
        return RawEntries(names, values, intsize.tolist(), rows["cd"].tolist(), rows["hash"].tolist())

    def _gather(self, first: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[bytes]:
        """The byte strings that start at chunks ``first``, walking all their chains side by side."""
        following = np.ascontiguousarray(self._chunks[:, 22:24]).view(self._order + "u2").reshape(-1)
        is_array = self._chunks[:, 0] == CHUNK_ARRAY
        longest = int(lengths.max(initial=0))
        steps = -(-longest // ARRAY_BYTES)
        out = np.zeros((len(first), steps * ARRAY_BYTES), dtype=np.uint8)
        at = first.copy()
        for step in range(steps):
            live = np.flatnonzero(lengths > step * ARRAY_BYTES)
            here = at[live]
            if (here >= len(self._chunks)).any() or not is_array[here].all():
                raise CorruptError("a name or a value in a fat ZAP leads nowhere")
            out[live, step * ARRAY_BYTES : (step + 1) * ARRAY_BYTES] = self._chunks[here, 1:22]
            at[live] = following[here]
        flat, width = out.tobytes(), out.shape[1]
        return [flat[i * width : i * width + n] for i, n in enumerate(lengths.tolist())]


def _check_lengths(sizes: bool, lengths: bool) -> None:
    if not sizes:
        raise CorruptError("a value in a fat ZAP has a bad integer size")
    if not lengths:
        raise LimitError("a name or a value in a fat ZAP has an impossible length")


def _integers(data: bytes, size: int) -> tuple[int, ...]:
    if size == 1:
        return tuple(data)
    return struct.unpack(f">{len(data) // size}{'HIQ'[size.bit_length() - 2]}", data)


def encode_leaf(
    entries: Sequence[ZapEntry],
    size: int,
    *,
    prefix: int = 0,
    prefix_len: int = 0,
    sorted_chains: bool = False,
    words: bool = False,
    order: str = "<",
) -> bytes:
    """A leaf block with ``entries`` (their hashes masked and within the prefix), chunks used from the first on.

    Raises:
        ValueError: they do not fit.
    """
    slots, chunks = leaf_shape(size)
    bits = slots.bit_length() - 1
    table = np.full(slots, CHAIN_END, dtype=np.uint16)
    body = np.zeros((chunks, CHUNK_SIZE), dtype=np.uint8)
    heads = body.reshape(-1).view(_LEAF_ENTRIES[order])
    links = np.zeros(chunks, dtype=np.uint16)
    used = 0

    def take(count: int) -> int:
        nonlocal used
        if used + count > chunks:
            raise ValueError(f"{len(entries)} entries do not fit into a ZAP leaf of {size} bytes")
        used += count
        return used - count

    def store(data: bytes) -> int:
        count = -(-len(data) // ARRAY_BYTES)
        if not count:
            return CHAIN_END
        first = take(count)
        padded = np.frombuffer(data.ljust(count * ARRAY_BYTES, b"\0"), dtype=np.uint8)
        body[first : first + count, 0] = CHUNK_ARRAY
        body[first : first + count, 1:22] = padded.reshape(count, ARRAY_BYTES)
        links[first : first + count] = np.arange(first + 1, first + count + 1)
        links[first + count - 1] = CHAIN_END
        return first

    # Chains run by rising cd: entries are put in front of their chain, the highest cd first.
    for entry in sorted(entries, key=lambda e: e.cd, reverse=True):
        at = take(1)
        name = entry.name if words else entry.name + b"\0"
        name_chunk, value_chunk = store(name), store(entry.data)
        slot = entry.hash >> (64 - bits - prefix_len) & (slots - 1)
        heads[at] = (
            CHUNK_ENTRY,
            entry.integer_size,
            table[slot],
            name_chunk,
            len(name) // (8 if words else 1),
            value_chunk,
            len(entry.values),
            entry.cd,
            entry.hash,
        )
        table[slot] = at
    body[used:, 0] = CHUNK_FREE
    links[used:] = np.arange(used + 1, chunks + 1)
    if used < chunks:
        links[chunks - 1] = CHAIN_END
    linked = body[:, 0] != CHUNK_ENTRY
    body[linked, 22:24] = links.astype(order + "u2").view(np.uint8).reshape(-1, 2)[linked]
    freelist = used if used < chunks else CHAIN_END
    counts = (chunks - used, len(entries), prefix_len, freelist, LEAF_FLAG_SORTED * sorted_chains)
    head = struct.pack(order + _LEAF_HEADER, TYPE_LEAF, 0, prefix, LEAF_MAGIC, *counts)
    return (head + table.astype(order + "u2").tobytes() + body.tobytes()).ljust(size, b"\0")
