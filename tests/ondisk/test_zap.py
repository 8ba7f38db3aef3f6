"""ZAP blocks: round trips of every kind in both byte orders, leaves with bad chains and counts."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import zap
from uberblock.pool.ondisk.zap import FatHeader, Leaf, MicroZap, ZapEntry

WORD = st.integers(0, (1 << 64) - 1)
NAME = st.binary(min_size=1, max_size=49).map(lambda n: n.replace(b"\0", b"x"))
ORDER = st.sampled_from("<>")


@given(WORD, WORD, st.lists(st.tuples(NAME, WORD, st.integers(0, 0xFFFF)), max_size=15), ORDER)
def test_micro_round_trip(salt: int, normflags: int, rows: list[tuple[bytes, int, int]], order: str) -> None:
    made = MicroZap(salt, normflags, [ZapEntry(name, 8, (value,), cd) for name, value, cd in rows])
    raw = zap.encode_micro(made, 1024, order)
    assert len(raw) == 1024
    assert zap.decode_micro(raw, order) == made
    assert zap.block_type(raw, order) == zap.TYPE_MICRO


def test_micro_golden_vector() -> None:
    """Layout as the format page has it: header, then value, cd, name at 64, 72, 78."""
    raw = bytearray(512)
    struct.pack_into("<3Q", raw, 0, 0x8000000000000003, 0x15798D189, 2)
    struct.pack_into("<QI", raw, 64 * 3, 77, 1)
    raw[64 * 3 + 14 : 64 * 3 + 14 + 9] = b"snap2\0odd"
    assert zap.decode_micro(raw) == MicroZap(0x15798D189, 2, [ZapEntry(b"snap2", 8, (77,), 1)])


@given(st.binary(min_size=512, max_size=512), ORDER)
def test_micro_any_bytes(raw: bytes, order: str) -> None:
    raw = struct.pack(order + "Q", zap.TYPE_MICRO) + raw[8:]
    try:
        found = zap.decode_micro(raw, order)
    except CorruptError:
        return
    assert all(0 < len(e.name) <= 49 and b"\0" not in e.name for e in found.entries)


def test_micro_limits() -> None:
    with pytest.raises(CorruptError, match="no end"):
        zap.decode_micro(zap.encode_micro(MicroZap(1, 0), 512)[:64] + bytes(14) + b"x" * 50 + bytes(384))
    with pytest.raises(CorruptError, match="size"):
        zap.decode_micro(bytes(600))
    with pytest.raises(CorruptError, match="not a micro"):
        zap.decode_micro(bytes(512))
    with pytest.raises(ValueError, match="slots"):
        zap.encode_micro(MicroZap(1, 0, [ZapEntry(b"%d" % i, 8, (i,)) for i in range(8)]), 512)
    with pytest.raises(ValueError, match="cannot hold"):
        zap.encode_micro(MicroZap(1, 0, [ZapEntry(b"a", 8, (1, 2))]), 512)


@given(WORD, st.integers(0, 7), st.sampled_from([512, 4096, 16384]), ORDER, st.booleans())
def test_header_round_trip(salt: int, flags: int, size: int, order: str, external: bool) -> None:
    shift = size.bit_length() - 5
    table = np.arange(size // 16, dtype=np.uint64)
    made = FatHeader(salt, 2, flags, table_shift=shift, num_leafs=3, num_entries=9, embedded=table)
    if external:
        made.table_blk, made.table_numblks, made.table_shift = 5, 2, shift + 2
    raw = zap.encode_header(made, size, order)
    found = zap.decode_header(raw, order)
    assert zap.encode_header(found, size, order) == raw
    assert found.embedded.tolist() == table.tolist() and found.table_shift == made.table_shift
    assert found.hash_bits == (48 if flags & 1 else 28)


def test_header_checks() -> None:
    table = np.zeros(32, dtype=np.uint64)
    for wrong in (FatHeader(1, table_shift=6, embedded=table), FatHeader(1, table_shift=47, embedded=table)):
        with pytest.raises(CorruptError):
            zap.decode_header(zap.encode_header(wrong, 512))
    with pytest.raises(CorruptError, match="block size"):
        zap.decode_header(bytes(1536))
    with pytest.raises(CorruptError, match="not the header"):
        zap.decode_header(bytes(512))


def leaf_entries(draw: Any, words: bool) -> list[ZapEntry]:
    names = draw(st.lists(st.binary(min_size=1, max_size=60), max_size=8, unique=True))
    result = []
    for number, name in enumerate(names):
        size = draw(st.sampled_from([1, 2, 4, 8]))
        values = draw(st.lists(st.integers(0, (1 << 8 * size) - 1), max_size=20))
        key = (name * 8)[: 8 * -(-len(name) // 8)] if words else name
        bits = draw(st.integers(0, 3)) << 62 | draw(st.integers(0, 15)) << 36
        result.append(ZapEntry(key, size, tuple(values), number, bits))
    return result


@given(st.data(), st.booleans(), ORDER)
def test_leaf_round_trip(data: Any, words: bool, order: str) -> None:
    made = leaf_entries(data.draw, words)
    raw = zap.encode_leaf(made, 4096, words=words, order=order)
    assert len(raw) == 4096
    leaf = Leaf(raw, order)
    assert sorted(leaf.entries(words=words), key=lambda e: e.cd) == made
    for entry in made:
        found = [leaf.entry(chunk, words=words) for chunk in leaf.find(entry.hash)]
        assert entry in found and all(e.hash == entry.hash for e in found)
        assert [e.cd for e in found] == sorted(e.cd for e in found)


def test_leaf_shapes() -> None:
    """Hash slots and chunks for block sizes as OpenZFS has them."""
    assert zap.leaf_shape(16384) == (512, 638)
    assert zap.leaf_shape(4096) == (128, 158)
    assert zap.leaf_shape(32768) == (1024, 1278)


def small_leaf() -> bytearray:
    entries = [ZapEntry(b"name", 8, (1, 2, 3), 0, 5 << 60), ZapEntry(b"other", 1, (1,), 1, 5 << 60)]
    return bytearray(zap.encode_leaf(entries, 512))


CHUNKS = 48 + 32  # of a leaf of 512 bytes: the header, then 16 hash slots


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (CHUNKS + 4, 200),  # name chunk beyond the end
        (CHUNKS + 4, 0),  # name chunk that is an entry
        (CHUNKS + 6, 0),  # empty name
        (CHUNKS + 7, 0xFF),  # name too long
        (CHUNKS + 1, 3),  # integer size
        (CHUNKS + 11, 0xFF),  # value too long
        (CHUNKS + 8, 9),  # value chunk that is free
        (30, 3),  # more entries than there are
        (28, 0xFF),  # more free chunks than there are
        (32, 64),  # prefix longer than a hash
        (24, 0),  # magic
        (7, 0x81),  # type
    ],
)
def test_leaf_damage(at: int, value: int) -> None:
    raw = small_leaf()
    raw[at] = value
    with pytest.raises(CorruptError):
        Leaf(raw).entries()
    if at >= CHUNKS:
        with pytest.raises(CorruptError):
            Leaf(raw).entry(0)


def test_chains_end() -> None:
    raw = small_leaf()
    first = Leaf(raw).find(5 << 60)[0]
    at = CHUNKS + 24 * first + 2
    raw[at : at + 2] = struct.pack("<H", first)
    with pytest.raises(CorruptError, match="no end"):
        Leaf(raw).find(5 << 60)
    raw[at : at + 2] = struct.pack("<H", 999)
    with pytest.raises(CorruptError, match="nowhere"):
        Leaf(raw).find(5 << 60)


@given(st.binary(min_size=464, max_size=464), WORD, ORDER)
def test_leaf_any_bytes(body: bytes, wanted: int, order: str) -> None:
    raw = bytearray(small_leaf()[:48] + body)
    raw[:48] = zap.encode_leaf([], 512, order=order)[:48]
    struct.pack_into(order + "HH", raw, 28, 0, body.count(252))
    for use in (Leaf.entries, lambda leaf: leaf.find(wanted), lambda leaf: leaf.entry(3)):
        try:
            use(Leaf(raw, order))
        except CorruptError:
            pass


def test_a_full_leaf() -> None:
    entries = [ZapEntry(b"%04d" % i, 8, (i,), 0, i << 55) for i in range(212)]
    raw = zap.encode_leaf(entries, 16384)
    assert sorted(e.values for e in Leaf(raw).entries()) == [(i,) for i in range(212)]
    with pytest.raises(ValueError, match="do not fit"):
        zap.encode_leaf([*entries, ZapEntry(b"more", 8, (0,), 0, 0)], 16384)


def test_values() -> None:
    assert ZapEntry(b"a", 1, (1, 2, 255)).data == b"\1\2\xff"
    assert ZapEntry(b"a", 2, (1, 2)).data == b"\0\1\0\2"
    assert ZapEntry(b"\0\0\0\0\0\0\0\5" * 2, 8, ()).words == (5, 5)
    assert ZapEntry(b"a", 8, ()).value == 0
