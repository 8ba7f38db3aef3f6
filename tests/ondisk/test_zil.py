"""The intent log's header, blocks and records."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, PoolError
from uberblock.pool.ondisk import acl, blkptr, zil, zilrecord
from uberblock.pool.ondisk.zilrecord import TxType

IDENTITY = (0x1111222233334444, 0x5555666677778888, 54, 1)


def pointer(seq: int) -> np.ndarray:
    bp = np.zeros(1, dtype=blkptr.BLKPTR)
    bp["dva"][0, 0] = (8, 77)
    bp["cksum"][0] = (*IDENTITY[:3], seq)
    return bp[0]


def block_with(body: bytes, slim: bool, order: str, size: int = 4096) -> bytearray:
    block = bytearray(size)
    start = zil.CHAIN_SIZE if slim else 0
    block[start : start + len(body)] = body
    nused = len(body) + (zil.CHAIN_SIZE if slim else 0)
    zil.seal_block(block, IDENTITY, pointer(2), nused, slim, order)
    return block


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 3), st.sampled_from("<>"))
def test_header_round_trip(a: int, b: int, flags: int, order: str) -> None:
    header = zil.ZilHeader(a, b, pointer(5), b, flags, a)
    raw = zil.encode_header(header, order)
    assert len(raw) == zil.HEADER_SIZE
    assert zil.decode_header(raw, order) == header
    with pytest.raises(CorruptError):
        zil.decode_header(raw[:-1], order)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("slim", [True, False])
def test_block_round_trip(slim: bool, order: str) -> None:
    body = b"".join(struct.pack(order + "QQQQ", 5, 40, 1, n) + b"name\0\0\0\0" for n in range(3))
    block = block_with(body, slim, order)
    link = zil.decode_block(block, IDENTITY, slim)
    assert link is not None
    assert link.order == order
    assert link.next == pointer(2)
    assert bytes(block[link.start : link.end]) == body
    places = list(zil.records(block, link.start, link.end, order))
    assert [at - link.start for at, _ in places] == [0, 40, 80]


def test_an_old_block_keeps_its_chain_at_the_end() -> None:
    block = block_with(b"", False, "<")
    assert struct.unpack_from("<Q", block, 4096 - 40)[0] == 0x0210DA7AB10C7A11


@pytest.mark.parametrize("slim", [True, False])
def test_what_ends_a_chain(slim: bool) -> None:
    block = block_with(bytes(64), slim, "<")
    assert zil.decode_block(block, IDENTITY, slim) is not None
    assert zil.decode_block(block, (*IDENTITY[:3], 2), slim) is None  # another place in the chain
    assert zil.decode_block(block, IDENTITY, not slim) is None
    assert zil.decode_block(bytes(4096), IDENTITY, slim) is None  # not yet written
    assert zil.decode_block(b"", IDENTITY, slim) is None
    place = 0 if slim else 4096 - zil.CHAIN_SIZE
    torn = bytearray(block)
    torn[place + 200 if slim else 10] ^= 1
    assert zil.decode_block(torn, IDENTITY, slim) is None
    for nused in (100, 5000, 2**63):
        other = bytearray(block)
        zil.seal_block(other, IDENTITY, pointer(2), nused, slim, "<")
        expected = nused == 100 and not slim
        assert (zil.decode_block(other, IDENTITY, slim) is not None) == expected
    wrong = bytearray(block)
    zil.seal_block(wrong, IDENTITY, pointer(3), 300, slim, "<")
    assert zil.decode_block(wrong, IDENTITY, slim) is None


def test_only_what_is_used_is_covered() -> None:
    block = block_with(bytes(64), True, "<", size=131072)
    block[4096:] = b"\xff" * (131072 - 4096)
    assert zil.decode_block(block, IDENTITY, True) is not None


def test_an_encrypted_block_carries_half_a_checksum() -> None:
    block = block_with(bytes(64), True, "<")
    actual = zil.compute_checksum(block, IDENTITY, 248, True, "<")
    struct.pack_into("<4Q", block, 152, *zil.folded(actual), 0xAAAA, 0xBBBB)
    assert zil.decode_block(block, IDENTITY, True) is None
    link = zil.decode_block(block, IDENTITY, True, encrypted=True)
    assert link is not None
    assert link.words[2:] == (0xAAAA, 0xBBBB)


def test_impossible_record_lengths() -> None:
    for length in (0, 8, 41, 2**63, 4096):
        block = block_with(struct.pack("<QQQQ", 5, length, 1, 1) + bytes(32), True, "<")
        with pytest.raises(CorruptError):
            list(zil.records(block, 184, 184 + 64, "<"))
    with pytest.raises(CorruptError, match="behind"):
        list(zil.records(struct.pack("<QQQQ", 5, 32, 1, 1) + bytes(8), 0, 40, "<"))


# ---- records ------------------------------------------------------------------------------


def record(kind: int, body: bytes, order: str = "<", ci: bool = False) -> bytes:
    body += bytes(-len(body) % 8)
    return struct.pack(order + "QQQQ", kind | ci << 63, 32 + len(body), 9, 3) + body


XVATTR = struct.pack("<IIIIQqQ", 3, 0x42, 0, 0, 0x2, 5, 6) + b"s" * 32


def create(kind: int, tail: bytes, extra: bytes = b"", uid: int = 1, gid: int = 2) -> bytes:
    return record(kind, struct.pack("<6QqQQ", 34, 7 | 1 << 56, 0o100644, uid, gid, 9, 100, 5, 0) + extra + tail)


def test_create() -> None:
    found = zilrecord.decode(create(TxType.CREATE, b"file\0"), "<")
    assert isinstance(found, zilrecord.Create)
    assert (found.directory, found.object, found.dnode_slots, found.mode) == (34, 7, 2, 0o100644)
    assert (found.uid, found.gid, found.crtime_ns, found.name) == (1, 2, 100 * 10**9 + 5, b"file")
    assert (found.txg, found.seq, found.case_insensitive, found.name_of_type) == (9, 3, False, "TX_CREATE")
    link = zilrecord.decode(create(TxType.SYMLINK, b"link\0target\0"), "<")
    assert isinstance(link, zilrecord.Create)
    assert (link.name, link.target) == (b"link", b"target")


def test_create_with_attributes_and_acl() -> None:
    found = zilrecord.decode(create(TxType.CREATE_ATTR, XVATTR + b"DOM\0file\0", uid=1 << 32), "<")
    assert isinstance(found, zilrecord.Create)
    assert found.xvattr == zilrecord.XvAttr(0x42, 0x2, 5 * 10**9 + 6, b"s" * 32)
    assert (found.domains, found.name) == ((b"DOM",), b"file")
    entries = (acl.Ace(0, 0x1000, 1), acl.Ace(0, 0, 1, 77))
    counts = struct.pack("<5Q", 2, 1, 1, 24, 4)
    tail = XVATTR + acl.encode_old_aces(entries, "<") + struct.pack("<Q", 1 << 32 | 77) + b"D\0file\0"
    found = zilrecord.decode(create(TxType.MKDIR_ACL_ATTR, tail, counts), "<")
    assert isinstance(found, zilrecord.Create)
    assert (found.aces, found.acl_flags, found.fuids) == (entries, 4, (1 << 32 | 77,))
    assert (found.domains, found.name) == ((b"D",), b"file")


def test_names() -> None:
    found = zilrecord.decode(record(TxType.REMOVE, struct.pack("<Q", 34) + b"gone\0", ci=True), "<")
    assert (found.directory, found.name, found.case_insensitive) == (34, b"gone", True)
    found = zilrecord.decode(record(TxType.LINK, struct.pack(">QQ", 34, 9) + b"other\0", ">"), ">")
    assert (found.directory, found.object, found.name) == (34, 9, b"other")
    found = zilrecord.decode(record(TxType.RENAME, struct.pack("<QQ", 1, 2) + b"a\0b\0"), "<")
    assert (found.source, found.target, found.whiteout) == (b"a", b"b", None)
    body = struct.pack("<10Q", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10) + b"a\0b\0"
    found = zilrecord.decode(record(TxType.RENAME_WHITEOUT, body), "<")
    assert (found.whiteout, found.target) == ((3, 4, 5, 6, 7, 8, 9, 10), b"b")


def test_writes() -> None:
    head = struct.pack("<4Q", 7, 512, 5, 0)
    copied = zilrecord.decode(record(TxType.WRITE, head + bytes(128) + b"hello"), "<")
    assert (copied.object, copied.offset, copied.data, copied.bp) == (7, 512, b"hello", None)
    indirect = zilrecord.decode(record(TxType.WRITE, head + pointer(1).tobytes()), "<")
    assert indirect.data is None
    assert indirect.bp == pointer(1)
    size_only = zilrecord.decode(record(TxType.WRITE2, head + bytes(128)), "<")
    assert (size_only.bp, size_only.data, size_only.size) == (None, None, 5)


def test_others() -> None:
    assert zilrecord.decode(record(TxType.TRUNCATE, struct.pack("<3Q", 7, 1, 2)), "<").size == 2
    body = struct.pack("<6QqQqQ", 7, 0x31, 0o644, 1, 2, 3, 4, 5, 6, 7)
    found = zilrecord.decode(record(TxType.SETATTR, body), "<")
    assert (found.mask, found.size, found.mtime_ns, found.xvattr) == (0x31, 3, 6 * 10**9 + 7, None)
    for mask in (0x80000000, 0x10000):
        body = struct.pack("<6QqQqQ", 7, mask, 0, 0, 0, 0, 0, 0, 0, 0) + XVATTR
        assert zilrecord.decode(record(TxType.SETATTR, body), "<").xvattr.values == 2
    found = zilrecord.decode(record(TxType.SETSAXATTR, struct.pack("<QQ", 7, 3) + b"user.x\0abc"), "<")
    assert (found.name, found.value) == (b"user.x", b"abc")
    assert zilrecord.decode(record(TxType.SETSAXATTR, struct.pack("<QQ", 7, 0) + b"user.x\0"), "<").value is None
    old = acl.encode_old_aces([acl.Ace(0, 0, 1, 5)], "<")
    assert zilrecord.decode(record(TxType.ACL_V0, struct.pack("<QQ", 7, 1) + old), "<").aces[0].who == 5
    new = acl.encode_old_aces([acl.Ace(0, 0, 1, 5)], "<") + bytes(4)
    assert zilrecord.decode(record(TxType.ACL, struct.pack("<6Q", 7, 1, 0, 0, 12, 4) + new), "<").aces[0].who == 5
    bps = np.stack([pointer(1), pointer(2)]).tobytes()
    clone = zilrecord.decode(record(TxType.CLONE_RANGE, struct.pack("<5Q", 7, 0, 1 << 18, 1 << 17, 2) + bps), "<")
    assert (clone.block_size, len(clone.bps)) == (1 << 17, 2)
    assert isinstance(zilrecord.decode(record(99, b"12345678"), "<"), zilrecord.Unknown)


def test_sealed_records_show_what_is_in_clear() -> None:
    cipher = bytes(range(32))
    found = zilrecord.decode(record(TxType.WRITE, cipher + pointer(4).tobytes() + cipher), "<", sealed=True)
    assert isinstance(found, zilrecord.Sealed)
    assert found.bps[0] == pointer(4)
    assert zilrecord.decode(record(TxType.CREATE, cipher), "<", sealed=True).bps is None
    assert len(zilrecord.decode(record(TxType.CLONE_RANGE, cipher + bytes(8) + bytes(256)), "<", sealed=True).bps) == 2


@given(st.integers(0, 26), st.binary(max_size=300), st.sampled_from("<>"), st.booleans())
def test_hostile_records(kind: int, body: bytes, order: str, sealed: bool) -> None:
    try:
        zilrecord.decode(record(kind, body, order), order, sealed=sealed)
    except PoolError:
        pass


@given(st.binary(min_size=512, max_size=512), st.booleans())
def test_hostile_blocks(raw: bytes, slim: bool) -> None:
    assert zil.decode_block(raw, IDENTITY, slim) is None
