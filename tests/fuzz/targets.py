"""What can be fuzzed in Python: every decoder of bytes, each fed as its callers feed it.

A target takes bytes; only errors of the package may come out of it. Its seeds are bytes that it understands.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zstandard
from hostile import bombs
from uberblock.pool.alloc import ranges
from uberblock.pool.alloc import spacemap as replaying
from uberblock.pool.cli.blkptrtext import blkptr_text
from uberblock.pool.cli.nvtext import nvlist_lines, plain
from uberblock.pool.dmu import textprep
from uberblock.pool.errors import PoolError
from uberblock.pool.ondisk import (
    acl,
    blkptr,
    bpcheck,
    bpobj,
    bptree,
    brt,
    ddt,
    dnode,
    dsl,
    fuid,
    gang,
    history,
    indirect,
    label,
    nvlist,
    objset,
    sa,
    spacemap,
    uberblock,
    zap,
    zil,
    zilrecord,
    znode,
)
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.history import record_of
from uberblock.pool.spa.members import Source, counts, member_of
from uberblock.pool.spa.partitions import partitions
from uberblock.pool.zio import compress, request

ORDERS = "<>"


@dataclass(frozen=True)
class Target:
    """One of them. ``longest``: bytes that make sense as an input."""

    name: str
    work: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    longest: int = 4096

    def run(self, data: bytes) -> bool:
        """Feed it; True if it understood. Whatever is not one of our errors comes out."""
        try:
            self.work(data)
        except PoolError as error:
            text = str(error)
            assert text and "\n" not in text, f"an error message must be one line: {text!r}"
            return False
        return True


TARGETS: dict[str, Target] = {}


def target(*, seeds: Callable[[], list[bytes]], longest: int = 4096) -> Callable[[Callable[[bytes], None]], Any]:
    def add(work: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[work.__name__] = Target(work.__name__, work, seeds, longest)
        return work

    return add


def head(data: bytes) -> tuple[int, str, bytes]:
    """A choice, a byte order, and the rest."""
    first = data[0] if data else 0
    return first >> 1, ORDERS[first & 1], data[1:]


def whole(data: bytes, unit: int) -> bytes:
    """As many units as there are."""
    return data[: len(data) // unit * unit]


def noise(*sizes: int) -> Callable[[], list[bytes]]:
    """Seeds without sense: numbers, zeros."""
    return lambda: [bytes([k]) + struct.pack(f"<{s // 8}Q", *range(s // 8)) for s in sizes for k in range(4)]


# --- lists of pairs, labels -----------------------------------------------------------------------------------------


def _pairs() -> NVList:
    inner = NVList({"id": 0, "guid": 7, "path": "/dev/x", "type": "disk", "children": []})
    inner.types["children"] = nvlist.NvType.NVLIST_ARRAY
    tree = NVList({"type": "disk", "id": 0, "guid": 5, "ashift": 12, "asize": 1 << 30, "metaslab_array": 3})
    return NVList({
        "version": 5000, "name": "tank", "state": 1, "txg": 4, "pool_guid": 9, "top_guid": 5, "guid": 5,
        "vdev_tree": tree, "features_for_read": NVList({"com.delphix:hole_birth": True}), "list": [inner, inner],
        "words": [1, 2, 3], "texts": ["a", "b"], "flag": True, "bytes": b"abc",
    })  # fmt: skip


def _packed_pairs() -> list[bytes]:
    return [nvlist.encode(_pairs(), kind, order) for kind in ("xdr", "native") for order in ORDERS]


@target(seeds=_packed_pairs)
def pairs(data: bytes) -> None:
    found = nvlist.decode(data, limit=1 << 20)
    "\n".join(nvlist_lines(found, 4))
    plain(found)
    record_of(found)
    for twin in (nvlist.encode(found), nvlist.encode(found, "native", ">")):
        again = nvlist.decode(twin, limit=1 << 24)
        assert repr(again) == repr(found), "another list came back"


@target(seeds=lambda: [bytes(1) + s for s in _packed_pairs()])
def labels(data: bytes) -> None:
    _, order, body = head(data)
    region = bytearray(label.CONFIG_SIZE)
    body = body[: label.CONFIG_SIZE - 40]
    region[: len(body)] = body
    label.eck.seal(region, (label.CONFIG_OFFSET, 0, 0, 0), order)
    found = label.decode_config(region, 0, 0)
    counts(found)
    member_of(Source("fuzzed"), [found], 1 << 30)
    boot = bytearray(label.BOOT_SIZE)
    boot[: len(body)] = body[: label.BOOT_SIZE - 40]
    label.eck.seal(boot, (label.BOOT_OFFSET, 0, 0, 0), order)
    label.decode_boot(boot, 0)


@target(seeds=lambda: [fuid.encode_table({1: "S-1-5-21", 2: "example"})])
def domains(data: bytes) -> None:
    fuid.decode_table(data)


@target(seeds=lambda: [b"\0" + bytes(72) + struct.pack("<QII", 2, 128, 128)])
def partition_tables(data: bytes) -> None:
    kind, _, body = head(data)
    image = bytearray(1 << 16)
    sector = (512, 4096)[kind & 1]
    image[sector : sector + 512] = (b"EFI PART" + body[:504]).ljust(512, b"\0")
    image[2 * sector : 2 * sector + len(body) - 504] = body[504:]
    if kind & 2:
        image[446:510] = body[:64].ljust(64, b"\0")
        image[510:512] = b"\x55\xaa"
        image[sector] = 0
    for found in partitions(lambda at, length: bytes(image[at : at + length]), 1 << 50):
        assert found.start > 0 and found.start + found.length <= 1 << 50


# --- roots and pointers ---------------------------------------------------------------------------------------------


def _ring() -> list[bytes]:
    ub = uberblock.Uberblock(5000, 77, 1, 1_700_000_000, bytes(128))
    return [bytes([3 << 1]) + uberblock.encode_slot(ub, label.RING_OFFSET, 9)[:256]]


@target(seeds=_ring)
def uberblocks(data: bytes) -> None:
    kind, _, body = head(data)
    ashift = 9 + kind % 8
    ring = bytearray(label.RING_SIZE)
    step = uberblock.slot_size(ashift)
    for number in range(0, len(body), 216):
        at = number // 216 * step % label.RING_SIZE
        ring[at : at + 216] = body[number : number + 216].ljust(216, b"\0")
        region = ring[at : at + step]
        label.eck.seal(region, (label.RING_OFFSET + at, 0, 0, 0), "<")
        ring[at : at + step] = region
    uberblock.peek(ring)
    for slot in uberblock.slots(ring, 0, ashift if kind & 8 else None):
        slot.verified()
        ub = slot.uberblock
        str((ub.rank, ub.multihost, ub.mmp_sequence, ub.reflow_offset, ub.reflow_state))


def _pointer() -> bytes:
    bp = np.zeros(1, dtype=blkptr.BLKPTR)
    bp["dva"][0, 0] = (8, 16)
    bp["prop"] = 1 << 63 | 19 << 48 | 7 << 40 | 15 << 32 | 7 << 16 | 255
    bp["birth"] = bp["fill"] = 5
    return bp.tobytes()


@target(seeds=lambda: [b"\0" + _pointer() * 3])
def pointers(data: bytes) -> None:
    kind, order, body = head(data)
    bps = blkptr.from_bytes(whole(body, blkptr.BLKPTR_SIZE), order)
    bpcheck.problems(bps, level=kind & 3, lsize=1 << 17, max_birth=1 << 40)
    bpcheck.repeated(bps)
    asked = request.decode(bps, salt=bytes(32 * (kind & 1)), raw=bool(kind & 4), stored=bool(kind & 8))
    assert (asked.size[(asked.status == 0) & ~asked.hole] <= blkptr.MAX_BLOCK).all()
    for bp in bps:
        blkptr_text(bp)


@target(seeds=lambda: [b"\0" + _pointer() * 3])
def gang_headers(data: bytes) -> None:
    _, order, body = head(data)
    header = bytearray(body[: gang.GANG_HEADER_SIZE].ljust(gang.GANG_HEADER_SIZE, b"\0"))
    label.eck.seal(header, (1, 2, 3, 0), order)
    assert gang.verify(bytes(header), (1, 2, 3, 0))
    gang.decode(bytes(header))


# --- objects --------------------------------------------------------------------------------------------------------


def _dnode() -> bytes:
    bp = np.frombuffer(_pointer(), dtype=blkptr.BLKPTR)
    return dnode.encode(dnode.DnodePhys(type=19, bonustype=44, bonus=bytes(168), blkptr=bp, maxblkid=0))


@target(seeds=lambda: [b"\0" + _dnode() * 4])
def dnodes(data: bytes) -> None:
    _, order, body = head(data)
    block = dnode.DnodeBlock(body[: dnode.BLOCK_SIZE].ljust(dnode.BLOCK_SIZE, b"\0"), order)
    for index in block:
        try:
            phys = block.dnode(index)
        except PoolError:
            continue
        assert len(phys.bonus) <= dnode.BLOCK_SIZE and phys.datablksz <= blkptr.MAX_BLOCK
        twin = dnode.decode(dnode.encode(phys), phys.order)
        assert twin is not None and twin.bonus == phys.bonus and twin.maxblkid == phys.maxblkid
    dnode.decode(body, order)


def _objsets() -> list[bytes]:
    meta = dnode.DnodePhys(type=10, datablksz=dnode.BLOCK_SIZE)
    return [bytes([k << 1]) + objset.encode(objset.ObjsetPhys(type=2, flags=0, metadnode=meta)) for k in range(4)]


@target(seeds=_objsets)
def objsets(data: bytes) -> None:
    kind, order, body = head(data)
    size = (1024, 2048, 4096, len(body))[kind & 3]
    found = objset.decode(body[:size].ljust(size, b"\0"), order)
    zil.decode_header(found.zil_header, order)


@lru_cache
def _micro() -> bytes:
    entries = [zap.ZapEntry(f"name{n}".encode(), 8, (n,)) for n in range(5)]
    return zap.encode_micro(zap.MicroZap(7, 0, entries), 512)


def _leaf() -> bytes:
    """A leaf of 512 bytes with two entries."""
    slots, chunks = zap.leaf_shape(512)
    table = struct.pack("<16H", 0, *[0xFFFF] * 15)
    entry = struct.pack("<BBHHHHHIQ", 252, 8, 1, 2, 4, 3, 1, 0, 5)
    second = struct.pack("<BBHHHHHIQ", 252, 1, 0xFFFF, 4, 2, 5, 3, 0, 6)
    arrays = [b"\xfb" + text.ljust(21, b"\0") + b"\xff\xff" for text in (b"abc\0", bytes(8), b"x\0", b"123")]
    head = struct.pack("<QQQIHHHHB11x", zap.TYPE_LEAF, 0, 0, zap.LEAF_MAGIC, chunks - 6, 2, 0, 6, 0)
    return (head + table[: 2 * slots] + entry + second + b"".join(arrays)).ljust(512, b"\xfd")


@target(seeds=lambda: [bytes([0]) + _micro(), bytes([2]) + _leaf(), bytes([4]) + _fat_header()], longest=8192)
def zaps(data: bytes) -> None:
    kind, order, body = head(data)
    size = 512 << (kind >> 2) % 6
    block = body[:size].ljust(size, b"\0")
    if kind & 3 == 0:
        zap.decode_micro(block, order)
    elif kind & 3 == 2:
        zap.decode_header(block, order)
        zap.decode_pointers(block, order)
    else:
        leaf = zap.Leaf(block, order)
        words = kind & 3 == 3
        for found in leaf.entries(words=words):
            str((found.value, found.data, found.words if words else found.name))
            for chunk in leaf.find(found.hash):
                leaf.entry(chunk, words=words)
        leaf.raw_entries(words=words)


def _fat_header() -> bytes:
    table = np.ones(32, dtype=np.uint64)
    return zap.encode_header(zap.FatHeader(salt=5, table_shift=5, embedded=table), 512)


@target(seeds=lambda: [b"\0" + n for n in (b"abc", "\u00e9\u0301\ufb01".encode(), b"\xff\xfe", "\u1e9e".encode() * 20)])
def names(data: bytes) -> None:
    kind, _, body = head(data)
    folded = textprep.normalize(body[:255], (0, 2, 0x10, 0x20, 0x40, 0x50, 0x42, 0x62)[kind & 7])
    assert textprep.normalize(folded, 0) == folded


@target(seeds=lambda: [sa.encode(2, _layout(), _values(), sa.standard_registry(), order) for order in ORDERS])
def attributes(data: bytes) -> None:
    header = sa.decode_header(data)
    registry = sa.standard_registry()
    for layout in (_layout(), [17, 19, 20], [], list(range(22)), [header.layout]):
        try:
            places = sa.locate(data, header, layout, registry)
        except PoolError:
            continue
        assert all(at + length <= len(data) for at, length in places.values())


def _layout() -> list[int]:
    return [5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8, 17]


def _values() -> dict[int, bytes]:
    registry = sa.standard_registry()
    return {number: bytes(registry[number].length or 10) for number in _layout()}


def _aces() -> list[bytes]:
    entries = [acl.Ace(0, 0x1000, 7, None), acl.Ace(1, 0, 7, 5), acl.Ace(5, 0, 7, 5, bytes(16), bytes(16))]
    return [b"\0" + acl.encode_aces(entries, "<"), b"\x0a" + acl.encode_old_aces(entries, "<")]


@target(seeds=_aces)
def acls(data: bytes) -> None:
    kind, order, body = head(data)
    count = (None, len(body) // 12, 0, 1 << 40)[kind & 3]
    found = acl.decode_old_aces(body, order, count or 0) if kind & 4 else acl.decode_aces(body, order, count)
    for ace in found:
        acl.ace_text(ace)


@target(seeds=noise(264))
def old_znodes(data: bytes) -> None:
    _, order, body = head(data)
    znode.decode(body, order)


# --- what lies in the MOS -------------------------------------------------------------------------------------------


@target(seeds=noise(256, 320))
def datasets(data: bytes) -> None:
    _, order, body = head(data)
    for decode in (dsl.decode_dir, dsl.decode_dataset, dsl.decode_deadlist, dsl.decode_redaction_list):
        try:
            str(decode(body, order))
        except PoolError:
            continue
    dsl.decode_bookmark(tuple(body[:20]))


@target(seeds=noise(64, 320))
def headers(data: bytes) -> None:
    """Bonus buffers that say how much there is."""
    _, order, body = head(data)
    decoders: list[Callable[..., Any]] = [
        bpobj.decode, bptree.decode_header, brt.decode_header, ddt.decode_log_header, indirect.decode_mapping_header,
        indirect.decode_births_header, spacemap.decode_header,
    ]  # fmt: skip
    for decode in decoders:
        try:
            decode(body, order)
        except PoolError:
            continue
    pieces = history.decode_offsets(body, order).all_pieces()
    assert len(pieces) <= 3 and sum(length for _, length in pieces) <= history.MAX_HISTORY


@target(seeds=lambda: [history.encode_record(NVList({"history command": "zpool create", "history time": 5})) * 3])
def histories(data: bytes) -> None:
    found, used = history.split_records(data)
    assert used <= len(data)
    for entry in found:
        str(record_of(entry))


@target(seeds=lambda: [b"\0" + struct.pack("<4Q", 2 << 62 | 5, 1 << 16 | 3, 3 << 62 | 9 << 24 | 1, 77)])
def space_maps(data: bytes) -> None:
    kind, order, body = head(data)
    entries = spacemap.decode(whole(body, 8), order)
    found = replaying.changes(entries, 9 + kind % 8, 0, 1 << 40)
    replaying.net(found)
    allocated = replaying.replay(found)
    assert isinstance(allocated, ranges.RangeSet) and allocated.total >= 0


@target(seeds=noise(48, 240))
def mappings(data: bytes) -> None:
    _, order, body = head(data)
    try:
        indirect.decode_mapping(body, order)
    except PoolError:
        pass
    indirect.decode_births(body, order)


def _entries() -> list[bytes]:
    log = struct.pack("<15Q", 1 | 120 << 8, *range(14))
    return [b"\0" + log, b"\2\x80" + bytes(72), b"\6" + b"\x80" + bytes(256)]


@target(seeds=_entries)
def dedup(data: bytes) -> None:
    kind, order, body = head(data)
    if kind & 3 == 0:
        ddt.decode_log_block(body, order)
        return
    flat = bool(kind & 1)
    width = 1 + (ddt.FLAT_SIZE if flat else ddt.LEGACY_SIZE)
    values = [body[at : at + width] for at in range(0, len(body), width)]
    keys = [value[:40].ljust(40, b"\1") for value in values]
    ddt.decode_entries(keys, values, 1, flat=flat)
    brt.decode_entries([k[:8] for k in keys], [v[:8] for v in values], [8] * len(keys), order)


# --- intent logs ----------------------------------------------------------------------------------------------------


def _log() -> Iterator[bytes]:
    for kind in range(26):
        body = struct.pack("<4Q", kind, 256, 5, 1) + bytes(range(224))
        yield b"\0" + body
        yield b"\2" + body


@target(seeds=lambda: list(_log()))
def log_records(data: bytes) -> None:
    kind, order, body = head(data)
    for at, length in zil.records(body, 0, len(body), order):
        record = zilrecord.decode(memoryview(body)[at : at + length], order, sealed=bool(kind & 1))
        str(record)


@target(seeds=lambda: [bytes([k]) + _pointer() + struct.pack("<3Q", 1, 2, 3) + bytes(900) for k in range(8)])
def log_blocks(data: bytes) -> None:
    kind, order, body = head(data)
    slim, encrypted = bool(kind & 1), bool(kind & 2)
    block = bytearray(body[: 4096 - zil.CHAIN_SIZE].ljust(4096, b"\0"))
    identity = (1, 2, 3, 4)
    following = np.frombuffer(body[:128].ljust(128, b"\0"), dtype=blkptr.BLKPTR).copy()
    following["cksum"][0] = (1, 2, 3, 5)
    nused = max(zil.CHAIN_SIZE, int.from_bytes(body[128:130], "little"))
    zil.seal_block(block, identity, following[0], nused, slim, order)
    link = zil.decode_block(bytes(block), identity, slim, encrypted)
    if link is not None:
        assert 0 <= link.start <= link.end <= len(block)
        list(zil.records(bytes(block), link.start, link.end, link.order))


# --- compressed data ------------------------------------------------------------------------------------------------


def _streams() -> list[bytes]:
    rng = random.Random(1)
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1024))[4:]
    sound = {
        compress.Compression.OFF: bytes(1024),
        compress.Compression.LZJB: b"\x80" + bytes(7) + b"\xfc\1" * 100,
        compress.Compression.GZIP_9: zlib.compress(bytes(1024)),
        compress.Compression.ZLE: b"\xff" * 6,
        compress.Compression.LZ4: b"\0\0\0\x0b\x1f\0\1\0\xff\xff\xff\xe5\x10\0",
        compress.Compression.ZSTD: bombs.zstd_header(len(frame)) + frame,
    }
    streams = [*sound.items(), *((number, make(rng, 300)) for number, make in bombs.MAKERS)]
    return [bytes([list(compress.Compression).index(number), 1]) + stream for number, stream in streams]


@target(seeds=_streams)
def compressed(data: bytes) -> None:
    number = list(compress.Compression)[(data[0] if data else 0) % len(compress.Compression)]
    size = 512 * (1 + (data[1] if len(data) > 1 else 0) % 64)
    assert len(compress.decompress(number, data[2:], size)) == size
