"""Gang blocks: pieces, nested gangs, damaged headers, hostile headers."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool.errors import ChecksumError, CorruptError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk import gang as ondisk
from uberblock.pool.zio import checksum as zsum
from uberblock.pool.zio import gang
from uberblock.pool.zio.scrub import DAMAGED, FINE, LOST
from uberblock.pool.zio.status import Status

GANG = 1 << 63


def two_sides(bench, make, **more):
    return bench(
        make.top("mirror", [make.leaf(2), make.leaf(3)], **more),
        make.top("raidz", [make.leaf(4), make.leaf(5), make.leaf(6)], nparity=1, **more),
    )


def tie(pool, data, children, places, salt, *, size=512, compress=2, logical=None, checksum=7, crypt=False):
    """A gang pointer whose header is at the places and whose pieces are the children."""
    bp = np.zeros(1, dtype=blkptr.BLKPTR)
    for k, (top, offset) in enumerate(places):
        bp["dva"][0, k] = 64 | top << 32, offset >> 9 | GANG
    sizes = len(logical or data) // 512 - 1 | (len(data) // 512 - 1) << 16
    bp["prop"] = sizes | compress << 32 | checksum << 40 | 19 << 48 | crypt << 61 | 1 << 63
    bp["birth"] = 10
    words = zsum.compute(checksum, data, salt)
    bp["cksum"] = (*zsum.shortened(checksum, words), 0, 0) if crypt else words
    header = ondisk.encode(np.concatenate(children), ondisk.verifier(bp[0]), size, folded=crypt)
    for top, offset in places:
        pool.store(header, top, offset)
    return bp


def test_gangs_of_encrypted_datasets(bench, make):
    """Their headers' checksums are folded, and the third address is none, whatever it looks like."""
    pool = two_sides(bench, make)
    data = make.noise(12288)
    bp = tie(pool, data, pieces(pool, data, [4096, 8192]), [(0, 3 << 20), (1, 3 << 20)], make.SALT, crypt=True)
    bp["dva"][0, 2] = 64, (1 << 20) >> 9
    assert bytes(pool.zio.read(bp, raw=True).block(0)) == data
    result = pool.zio.scrub(bp)
    assert result.status.tolist() == [FINE] and not result.damage
    pool.spoil(3, 3 << 20)
    result = pool.zio.scrub(bp)
    assert result.status.tolist() == [DAMAGED]
    assert [(d.leaf, d.dva, d.kind) for d in result.damage] == [(1, 0, "checksum")]


def pieces(pool, data, sizes, top=0, start=0, **more):
    out, at = [], 0
    for size in sizes:
        out.append(pool.write(data[at : at + size], (top, start + at * 8), kind=0, **more))
        at += size
    return out


@pytest.mark.parametrize("size", [512, 4096])
@pytest.mark.parametrize("checksum", [7, 14])
def test_pieces_nested_gangs_and_copies(bench, make, size, checksum):
    pool = two_sides(bench, make)
    data = make.noise(20480)
    inner = pieces(pool, data[8192:], [4096, 8192], top=1, start=1 << 20, checksum=checksum)
    options = {"salt": make.SALT, "size": size, "checksum": checksum}
    nested = tie(pool, data[8192:], inner, [(1, 2 << 20)], **options)
    first = pieces(pool, data[:8192], [8192], checksum=checksum)
    bp = tie(pool, data, [*first, nested], [(0, 3 << 20), (1, 3 << 20)], **options)
    plain = pool.write(make.noise(4096, 1), (0, 5 << 20))
    blocks = pool.zio.read(np.concatenate([plain, bp, plain]))
    assert bytes(blocks.block(1)) == data and bytes(blocks.block(2)) == make.noise(4096, 1)
    result = pool.zio.scrub(np.concatenate([plain, bp]))
    assert result.status.tolist() == [FINE, FINE] and not result.damage

    pool.spoil(2, 3 << 20)
    assert pool.zio.read_one(bp) == data
    result = pool.zio.scrub(np.concatenate([plain, bp]))
    assert result.status.tolist() == [FINE, DAMAGED]
    assert [(d.index, d.dva, d.leaf, d.kind) for d in result.damage] == [(1, 0, 0, "checksum")]
    pool.spoil(3, 3 << 20)
    pool.spoil(4, (3 << 20) // 3 - (3 << 20) // 3 % 4096, 8192)  # a column of the second header
    assert pool.zio.read_one(bp) == data
    for guid in (4, 5, 6):
        pool.spoil(guid, 0, 12 << 20)
    with pytest.raises(ChecksumError):
        pool.zio.read_one(bp)
    assert pool.zio.scrub(bp).status.tolist() == [LOST]


def test_a_compressed_gang_block(bench, make):
    pool = two_sides(bench, make)
    data = make.text(65536)
    packed = make.compressed(15, data)
    packed = packed.ljust(-(-len(packed) // 1024) * 1024, b"\0")
    half = len(packed) // 1024 * 512
    halves = pieces(pool, packed, [half, len(packed) - half])
    bp = tie(pool, packed, halves, [(0, 3 << 20)], make.SALT, compress=15, logical=data)
    assert pool.zio.read_one(bp) == data
    assert pool.zio.read(bp, stored=True).data.tobytes() == packed


def test_pieces_that_do_not_add_up(bench, make):
    pool = two_sides(bench, make)
    data = make.noise(8192)
    good = pieces(pool, data, [4096, 4096])
    compressed = pool.write(make.text(8192), (0, 1 << 20), compress=15, kind=0)
    cases = [good[:1], [*good, good[0]], [compressed], [np.zeros(1, dtype=blkptr.BLKPTR)]]
    for children in cases:
        bp = tie(pool, data, children, [(0, 3 << 20)], make.SALT)
        assert pool.zio.read(bp, errors="collect").status.tolist() == [Status.BAD_POINTER]
        assert pool.zio.scrub(bp).status.tolist() == [LOST]
    swapped = tie(pool, data, good[::-1], [(0, 3 << 20)], make.SALT)
    assert pool.zio.read(swapped, errors="collect").status.tolist() == [Status.CHECKSUM]
    assert pool.zio.scrub(swapped).status.tolist() == [LOST]
    broken = tie(pool, data, good, [(0, 3 << 20)], make.SALT)
    pool.spoil(2, 0)
    pool.spoil(3, 0)
    assert pool.zio.read(broken, errors="collect").status.tolist() == [Status.CHECKSUM]


def test_a_gang_of_itself_ends(bench, make):
    pool = two_sides(bench, make)
    data = make.noise(4096)
    bp = pieces(pool, data, [4096])[0]
    for level in range(gang.GANG_DEPTH_MAX + 1):
        bp = tie(pool, data, [bp], [(0, (1 << 20) + (level << 13))], make.SALT)
        good = level < gang.GANG_DEPTH_MAX
        assert pool.zio.read(bp, errors="collect").status.tolist() == [0 if good else Status.BAD_POINTER]
    with pytest.raises(CorruptError):
        pool.zio.read(bp)
    assert pool.zio.scrub(bp).status.tolist() == [LOST]


def test_gangs_written_by_openzfs(opened, walk):
    pool = opened("ganging")
    every = walk.every(pool)
    gangs = every[blkptr.is_gang(every)]
    assert len(gangs) > 10
    assert not pool.zio.read(gangs, raw=True).status.any()
    sizes = {gang.header(pool.zio, bp).size for bp in gangs[:20]}
    assert sizes <= {512, 4096}
