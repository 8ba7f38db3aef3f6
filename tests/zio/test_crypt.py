"""Encrypted blocks: every suite sealed by hand, a real pool with its keys, and every bit that must not change."""

from __future__ import annotations

import hashlib
import hmac
import struct

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.errors import AuthenticationError, CorruptError, KeyUnavailableError, UnsupportedError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.spa import importer, scan
from uberblock.pool.zio import crypt
from uberblock.pool.zio.crypt import BlockKeys
from uberblock.pool.zio.status import Status

SUITES = {3: (AESCCM, 16), 4: (AESCCM, 24), 5: (AESCCM, 32), 6: (AESGCM, 16), 7: (AESGCM, 24), 8: (AESGCM, 32)}
MASTER, HMAC = bytes(range(32)), bytes(range(100, 164))
SALT, IV = b"saltsalt", b"0123456789ab"


def keys_of(suite=8, version=1):
    return BlockKeys(suite, MASTER[: SUITES[suite][1]], HMAC, version)


def seal(suite, text, aad=None):
    kind, length = SUITES[suite]
    key = HKDF(SHA512(), length, salt=None, info=SALT).derive(MASTER[:length])
    sealed = kind(key).encrypt(IV, text, aad)
    return sealed[:-16], sealed[-16:]


def put_parameters(bp, mac, order="<"):
    """Salt, initialisation vector and code into a pointer, as bytes on disk."""
    raw = bytearray(blkptr.to_bytes(bp, order))
    raw[32:40], raw[40:48], raw[112:128] = SALT, IV[:8], mac
    raw[92:96] = IV[8:]
    if order == ">":
        raw[88:92], raw[92:96] = IV[8:], raw[88:92]
    return blkptr.from_bytes(bytes(raw), order).copy()


def pool_of(bench, make):
    return bench(make.top("mirror", [make.leaf(2), make.leaf(3)]))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("checksum", [7, 8, 13, 14])
@pytest.mark.parametrize("suite", SUITES)
def test_data_blocks(bench, make, suite, checksum, order):
    pool = pool_of(bench, make)
    data = make.text(16384)
    packed = make.compressed(15, data)
    text, mac = seal(suite, packed.ljust(-(-len(packed) // 512) * 512, b"\0"))
    bp = pool.write(data, (0, 0), stored=text, compress=15, checksum=checksum, crypt=True, order=order)
    bp = put_parameters(bp, mac, order)
    assert pool.zio.read_one(bp, keys_of(suite)) == data
    assert pool.zio.read_one(bp, raw=True) == text
    assert pool.zio.read(bp, stored=True).data.tobytes() == text
    with pytest.raises(KeyUnavailableError, match="load the dataset's key"):
        pool.zio.read(bp)
    with pytest.raises(AuthenticationError):
        pool.zio.read(bp, BlockKeys(suite, bytes(32), HMAC))
    forged = bp.copy()
    forged["cksum"][0, 3] += 1
    assert pool.zio.read(forged, keys_of(suite), errors="collect").status[0] == Status.AUTHENTICATION
    assert not pool.zio.scrub(bp).damage


def test_blocks_that_stay_readable(bench, make):
    """Level 0 of a type that is not encrypted: a keyed hash of the stored bytes."""
    pool = pool_of(bench, make)
    data = make.text(4096)
    bp = pool.write(data, (0, 0), compress=15, kind=21, crypt=True)
    stored = pool.zio.read(bp, stored=True).data.tobytes()
    code = hmac.digest(HMAC, stored, "sha512")[:16]
    bp["cksum"][0, 2:] = np.frombuffer(code, dtype="<u8")
    assert pool.zio.read_one(bp, keys_of()) == data
    assert pool.zio.read_one(bp, raw=True) == data
    bp["cksum"][0, 2] += 1
    with pytest.raises(AuthenticationError):
        pool.zio.read(bp, keys_of())


def auth_buffer(bp, version=1):
    """By the book, one pointer at a time."""
    prop, level, kind = int(bp["prop"]), int(blkptr.level(bp)), int(blkptr.object_type(bp))
    mac = bp["cksum"][2:].tobytes() if kind != 11 else bytes(16)
    hole = bool(blkptr.is_hole(bp))
    clear = 1 << 62 | 0xFF << 40
    if version == 0:
        return struct.pack("<Q16s", prop & ~(clear | 0xFFFF << 16), mac)
    if level:
        clear |= 1 << 63 | 0x7F << 32 | 0xFFFF << 16
    return struct.pack("<Q16sQ", 0 if hole else prop & ~clear, mac, 0)


@pytest.mark.parametrize("version", [0, 1])
def test_indirect_blocks(bench, make, version):
    pool = pool_of(bench, make)
    rng = np.random.default_rng(2)
    children = rng.integers(0, 1 << 62, (128, 16), dtype=np.uint64).astype("<u8").view(blkptr.BLKPTR).reshape(-1)
    children["prop"] &= ~np.uint64(1 << 39 | 1 << 63)
    children["prop"][::2] |= np.uint64(1 << 63)
    for child in children[1::2]:  # codes written in the other byte order
        child["cksum"][2:] = child["cksum"][2:].byteswap()
    by_the_book = children.copy()
    for child in by_the_book[1::2]:
        child["cksum"][2:] = child["cksum"][2:].byteswap()
    children["dva"][5] = by_the_book["dva"][5] = 0
    data = children.tobytes()
    code = hashlib.sha512(b"".join(auth_buffer(child, version) for child in by_the_book)).digest()[:16]
    bp = pool.write(data, (0, 0), kind=19, level=1, crypt=True)
    bp["cksum"][0, 2:] = np.frombuffer(code, dtype="<u8")
    assert pool.zio.read_one(bp, keys_of(version=version)) == data
    with pytest.raises(AuthenticationError, match="authentication code"):
        pool.zio.read(bp, keys_of(version=1 - version))


def dnode(kind, order, *, flags=0, used=99):
    head = struct.pack(order + "8B2H4xQQ32x", kind, 17, 1, 1, 0, 0, 0, flags, 3, 5, 1, used)
    words = list(range(1000, 1016))
    words[6] = 0x0013_0702_0007_0007 | (order == "<") << 63
    return head + struct.pack(order + "16Q", *words) + bytes(320)


def digest_of(dnode, order):
    fields = list(struct.unpack(order + "8B2H4xQQ32x", dnode[:64]))
    fields[7], fields[11] = fields[7] & 4, 0
    bp = blkptr.from_bytes(dnode[64:192], order).copy()[0]
    bp["cksum"][2:] = np.frombuffer(dnode[176:192], dtype="<u8")  # the code's bytes as they are on disk
    spill = bytes(32) if fields[7] else b""  # a hole
    return struct.pack("<8B2H4xQQ32x", *fields) + auth_buffer(bp) + spill


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [1024, 2048, 4096])
def test_objset_blocks(bench, make, size, order):
    pool = pool_of(bench, make)
    meta, used = dnode(10, order, flags=7), dnode(39, order)
    for flags, accounting in ((7, used), (0, used), (7, bytes(512))):
        block = bytearray(size)
        block[:512] = meta
        struct.pack_into(order + "2Q", block, 704, 2, flags)
        if size > 1024:
            block[1024:1536] = accounting
        portable = hmac.digest(HMAC, struct.pack(">Q", 2) + bytes(8) + digest_of(meta, order), "sha512")[:32]
        local = hmac.digest(HMAC, struct.pack("<Q", flags) + digest_of(used, order), "sha512")[:32]
        if size == 1024 or not flags or not any(accounting):
            local = bytes(32)
        block[720:752], block[752:784] = portable, local
        bp = pool.write(bytes(block), (0, 0), kind=11, order=order)
        bp["prop"][0] |= np.uint64(1 << 61)
        assert pool.zio.read_one(bp, keys_of()) == block
        for at in (0, 8, 112, 704, 712, 720, 752):
            changed = bytearray(block)
            changed[at] ^= 2
            forged = pool.write(bytes(changed), (0, 1 << 20), kind=11, order=order)
            forged["prop"][0] |= np.uint64(1 << 61)
            read = pool.zio.read(forged, keys_of(), errors="collect").status[0]
            # Without accounting the flags other than its own are nobody's business.
            assert read == Status.AUTHENTICATION or (at == 712 and local == bytes(32))


def log_block(records, used=None):
    body = b"".join(records)
    head = bytearray(184)
    head[8:136] = bytes(range(128))
    struct.pack_into("<2Q", head, 136, 184 + len(body) if used is None else used, 0x0210DA7AB10C7A11)
    return bytes(head) + body


def record(kind, body, length=None):
    return struct.pack("<4Q", kind, len(body) + 32 if length is None else length, 5, 6) + body


RECORDS = [
    (record(1, bytes(range(80))), [(32, 112)]),
    (record(9, bytes(range(160))), [(32, 64)]),
    (record(9, bytes(range(200))), [(32, 64), (192, 232)]),
    (record(24, bytes(range(168))), [(32, 64)]),
    (record(20, b""), []),
]


@pytest.mark.parametrize("suite", [5, 8])
@pytest.mark.parametrize("chosen", [[], [0], [1, 2], [0, 1, 2, 3, 4]])
def test_log_blocks(bench, make, suite, chosen):
    block = bytearray(log_block([RECORDS[k][0] for k in chosen]).ljust(4096, b"\xcc"))
    spans, aad, at = [], bytearray(block[:144]), 184
    for k in chosen:
        content, inside = RECORDS[k]
        hidden = [(at + a, at + b) for a, b in inside]
        aad += bytes(block[p] for p in range(at, at + len(content)) if not any(a <= p < b for a, b in hidden))
        spans += hidden
        at += len(content)
    text, mac = seal(suite, b"".join(block[a:b] for a, b in spans), bytes(aad))
    sealed = bytearray(block)
    for a, b in spans:
        sealed[a:b], text = text[: b - a], text[b - a :]
    sealed[168:184] = mac
    bp = put_parameters(np.zeros(1, dtype=blkptr.BLKPTR), bytes(16))
    bp["prop"] = 1 << 63
    opened = keys_of(suite).open_log(bp[0], bytes(sealed), "<")
    assert opened[184:] == block[184:]
    for at in (0, 20, 140, 170, *([190] if chosen else [])):
        forged = bytearray(sealed)
        forged[at] ^= 1
        with pytest.raises((AuthenticationError, CorruptError)):
            keys_of(suite).open_log(bp[0], bytes(forged), "<")


@pytest.mark.parametrize(
    "block",
    [
        b"",
        bytes(183),
        log_block([], used=183),
        log_block([], used=185),
        log_block([record(1, bytes(8), length=31)]),
        log_block([record(1, bytes(8), length=48)]),
        log_block([record(1, bytes(8), length=(1 << 64) - 8)]),
        log_block([record(9, bytes(150))]),
        log_block([record(24, bytes(24))]),
        log_block([bytes(24)]),
    ],
)
def test_log_blocks_that_make_no_sense(block):
    with pytest.raises(CorruptError):
        crypt.log_pieces(block, "<")


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=0, max_size=4).map(lambda seed: np.random.default_rng(list(seed) or 0).bytes(1024)))
def test_dnode_blocks_that_make_no_sense(block):
    for order in "<>":
        try:
            pieces = crypt.dnode_pieces(block, order, 1)
        except CorruptError:
            continue
        assert all(0 <= piece.start <= piece.stop <= len(block) for piece in pieces.text)


def test_keys_that_make_no_sense():
    for suite, version in ((2, 1), (9, 1), (8, 2)):
        with pytest.raises(UnsupportedError):
            BlockKeys(suite, MASTER, HMAC, version)
    with pytest.raises(AuthenticationError, match="too short"):
        BlockKeys(8, MASTER[:16], HMAC)


@pytest.fixture(scope="module")
def encrypted(pools):
    pool = pools("encrypted")
    spa = importer.load(scan.scan([pool.dir])[0])
    for name, secret in pool.manifest["keys"].items():
        spa.dsl.keys.load(name, **{"hex" if name.endswith("hexkey") else "passphrase": secret})
    yield spa
    spa.close()


def test_every_block_of_a_real_pool(encrypted, walk):
    suites = set()
    for dataset in encrypted.dsl.datasets():
        if not dataset.encrypted:
            continue
        keys = encrypted.dsl.keys.block_keys(dataset.dir)
        suites.add(keys.suite)
        every, _ = walk.objset(encrypted.zio, dataset.bp)
        assert not encrypted.zio.read(every, keys, errors="collect").status.any()
        wrong = BlockKeys(keys.suite, bytes(32), bytes(64), keys.version)
        status = encrypted.zio.read(every, wrong, errors="collect").status
        # An indirect block hashes the codes below it, without any key.
        keyless = (blkptr.level(every) > 0) | blkptr.is_embedded(every)
        assert (status[~keyless] == Status.AUTHENTICATION).all() and not status[keyless].any()
    assert len(suites) > 1


def test_no_bit_of_a_dnode_block_may_change(encrypted, walk):
    dataset = next(d for d in encrypted.dsl.datasets() if d.encrypted)
    keys = encrypted.dsl.keys.block_keys(dataset.dir)
    every, _ = walk.objset(encrypted.zio, dataset.bp)
    bp = every[(blkptr.object_type(every) == 10) & (blkptr.level(every) == 0)][:1]
    block = encrypted.zio.read(bp, stored=True).data.tobytes()
    assert keys.open_stored(bp[0], block) == encrypted.zio.read_one(bp, keys)
    assert keys.open_stored(bp[0], block) != block
    free = {slot * 512 + at for slot in range(32) for at in (7, *range(24, 32))}  # flags and space used are not covered
    changed = 0
    for at in range(0, len(block), 61):
        forged = bytearray(block)
        forged[at] ^= 0x40
        try:
            keys.open_stored(bp[0], bytes(forged))
        except (AuthenticationError, CorruptError):
            changed += 1
        else:
            # In a pointer only its properties and its code are covered.
            assert at in free or 64 <= at % 512 < 64 + 3 * 128
    assert changed > 150
