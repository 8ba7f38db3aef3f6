"""Every rule of a fat ZAP's blocks, checked by code that shares nothing with the writer but the layout."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from uberblock.pool.dmu.textprep import normalize
from uberblock.pool.dmu.zap import Zap, hash_key
from uberblock.pool.ondisk import zap as ondisk_zap


def _chain(block: bytes, base: int, at: int, kind: int, seen: set[int]) -> list[int]:
    found = []
    while at != 0xFFFF:
        assert at not in seen, "a chunk is used twice"
        seen.add(at)
        place = base + 24 * at
        assert block[place] == kind
        found.append(place)
        (at,) = struct.unpack_from("<H", block, place + (2 if kind == 252 else 22))
    return found


def check_leaf(block: bytes, *, words: bool = False) -> list[tuple[int, int]]:
    """Chunks are used once or free; chains hold what hashes into them, by rising cd. Gives (hash, cd) of entries."""
    slots, chunks = ondisk_zap.leaf_shape(len(block))
    base, bits = 48 + 2 * slots, slots.bit_length() - 1
    kind, pad, prefix, magic, nfree, nentries, length, freelist, _ = struct.unpack_from("<QQQIHHHHB", block)
    assert (kind, pad, magic) == (1 << 63, 0, 0x2AB1EAF) and block[37:48] == bytes(11)
    seen: set[int] = set()
    entries = []
    for slot, head in enumerate(struct.unpack_from(f"<{slots}H", block, 48)):
        last = -1
        for place in _chain(block, base, head, 252, seen):
            _, size, _, name, name_len, value, value_len, cd, hashed = struct.unpack_from("<BBHHHHHIQ", block, place)
            assert hashed >> (64 - bits - length) & (slots - 1) == slot and hashed >> (64 - length) == prefix
            assert cd >= last
            last = cd
            entries.append((hashed, cd))
            assert len(_chain(block, base, name, 251, seen)) == -(-name_len * (8 if words else 1) // 21)
            assert len(_chain(block, base, value, 251, seen)) == -(-value_len * size // 21)
    free = _chain(block, base, freelist, 253, seen)
    assert all(block[place + 1 : place + 22] == bytes(21) for place in free)
    assert (len(free), len(entries), len(seen)) == (nfree, nentries, chunks)
    assert len(set(entries)) == len(entries), "a hash has a cd twice"
    return entries


def check_fat(dnode: Any) -> None:
    """The header, the pointers, the leaves, and how they belong together."""
    zap = Zap(dnode)
    header = zap.header
    assert header is not None
    size = dnode.datablksz
    table = np.concatenate([zap._pointers(i)[1] for i in range(0, 1 << header.table_shift, size // 8)])
    table = table[: 1 << header.table_shift]
    if header.table_numblks:
        assert 1 << header.table_shift == header.table_numblks * size // 8
        tables = set(range(header.table_blk, header.table_blk + header.table_numblks))
    else:
        assert 1 << header.table_shift == size // 16
        tables = set()
    leaves = set(table.tolist())
    assert len(leaves) == header.num_leafs and not leaves & tables and 0 not in leaves
    assert max(leaves | tables) < header.freeblk
    total = 0
    for blkid in leaves:
        block, _ = dnode.block(blkid)
        total += len(check_leaf(bytes(block), words=zap.word_keys))
        prefix, = struct.unpack_from("<Q", block, 16)
        length, = struct.unpack_from("<H", block, 32)
        mine = np.flatnonzero(table == blkid)
        assert len(mine) == 1 << (header.table_shift - length)
        assert mine[0] == prefix << (header.table_shift - length) and mine[-1] - mine[0] == len(mine) - 1
    assert total == header.num_entries
    for blkid in range(1, dnode.maxblkid + 1):
        if blkid not in leaves | tables:
            assert not any(dnode.block(blkid)[0]), "a block nobody uses is not empty"
    for entry in zap.items():
        raw = entry.name if zap.word_keys else normalize(entry.name, zap.normflags)
        assert hash_key(header, raw) == entry.hash
