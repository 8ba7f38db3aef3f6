"""Reading blocks: every checksum, every compression, every kind of vdev, losses, damage, hostile pointers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.errors import (
    ChecksumError,
    CorruptError,
    DeviceError,
    KeyUnavailableError,
    LimitError,
    MissingDeviceError,
    UnsupportedError,
)
from uberblock.pool.ondisk import blkptr, label
from uberblock.pool.zio import reader, single
from uberblock.pool.zio.status import Status

CHECKSUMS = [2, 6, 7, 8, 10, 11, 12, 13, 14]
COMPRESSIONS = [2, 3, 5, 8, 13, 14, 15, 16]


class Indirect(MemoryDevice):
    """A device the kernel cannot read by itself."""

    def __init__(self, content, name="indirect"):
        super().__init__(0, name)
        self.inner = MemoryDevice(content)
        self.size = self.inner.size

    def readv(self, offsets, lengths, out, dest):
        return self.inner.readv(offsets, lengths, out, dest)

    def view(self):
        return None


def mirror(make, *guids, **more):
    return make.top("mirror", [make.leaf(g) for g in guids], **more)


def raidz(make, nparity, *guids, **more):
    return make.top("raidz", [make.leaf(g) for g in guids], nparity=nparity, **more)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("checksum", CHECKSUMS)
def test_every_checksum(bench, make, checksum, order):
    pool = bench(make.top("single", [make.leaf(2)]))
    data = make.noise(8192)
    bp = pool.write(data, (0, 0x4000), checksum=checksum, order=order)
    assert pool.zio.read_one(bp) == data
    if checksum in (2, 10):
        return
    pool.spoil(2, 0x4000 + 4000, 1)
    with pytest.raises(ChecksumError, match="0:4000"):
        pool.zio.read(bp)
    assert pool.tree.leaves[0].checksum_errors


@pytest.mark.parametrize("checksum", [7, 14])
@pytest.mark.parametrize("compress", COMPRESSIONS)
def test_every_compression(bench, make, compress, checksum):
    pool = bench(make.top("single", [make.leaf(2)], ashift=9))
    data = make.text(131072)
    bp = pool.write(data, (0, 0x4000), compress=compress, checksum=checksum)
    assert pool.zio.read_one(bp) == data
    for wrong in (1, -1):
        lying = bp.copy()
        lying["prop"] = int(bp["prop"][0]) + wrong
        status = pool.zio.read(lying, errors="collect").status[0]
        # The fill after an lzjb or zle stream is a stream of zeros, to these two formats.
        assert compress in (3, 14) or status == (Status.BAD_POINTER if compress == 2 else Status.DECOMPRESS)


@pytest.mark.parametrize("psize", [512, 1536, 4096, 4608, 20480, 131072])
@pytest.mark.parametrize(
    "kind",
    ["single", "mirror", "raidz1", "raidz2", "raidz3", "striped raidz1", "mirror of 512"],
)
def test_kinds_of_vdevs(bench, make, kind, psize):
    tops = {
        "single": [make.top("single", [make.leaf(2)])],
        "mirror": [mirror(make, 2, 3)],
        "raidz1": [raidz(make, 1, 2, 3, 4)],
        "raidz2": [raidz(make, 2, 2, 3, 4, 5, 6)],
        "raidz3": [raidz(make, 3, 2, 3, 4, 5, 6, 7)],
        "striped raidz1": [raidz(make, 1, 2, 3, 4, ashift=9), raidz(make, 1, 5, 6, 7, 8)],
        "mirror of 512": [mirror(make, 2, 3, 4, ashift=9)],
    }[kind]
    pool = bench(*tops)
    rng = np.random.default_rng(1)
    data = [make.noise(psize, seed) for seed in range(40)]
    places = [(k % len(tops), (k + 1) * (1 << 18)) for k in range(len(data))]
    bps = np.concatenate([pool.write(d, place) for d, place in zip(data, places)])
    order = rng.permutation(len(bps))
    blocks = pool.zio.read(bps[order])
    assert not blocks.status.any()
    assert all(bytes(blocks.block(i)) == data[k] for i, k in enumerate(order))


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("width, nparity", [(3, 1), (5, 2), (7, 3), (4, 3)])
def test_missing_columns(bench, make, width, nparity, direct):
    guids = list(range(2, 2 + width))
    pool = bench(raidz(make, nparity, *guids))
    if not direct:
        pool.devices = {g: Indirect(pool.bytes[g], f"leaf{g}") for g in guids}
    data = [make.noise(512 * (1 + 37 * k), k) for k in range(20)] + [make.text(65536)]
    bps = [pool.write(d, (0, k * (3 << 19))) for k, d in enumerate(data[:-1])]
    bps = np.concatenate([*bps, pool.write(data[-1], (0, 21 * (3 << 19)), compress=15, checksum=14)])
    for lost in range(nparity + 1):
        missing = tuple(guids[1 : 1 + lost])
        pool.reopen(missing=missing, threads=2)
        blocks = pool.zio.read(bps)
        assert [bytes(blocks.block(i)) for i in range(len(data))] == data
    pool.reopen(missing=tuple(guids[: nparity + 1]))
    blocks = pool.zio.read(bps, errors="collect")
    assert set(blocks.status.tolist()) <= {Status.OK, Status.MISSING}
    assert blocks.status[-2] == Status.MISSING
    with pytest.raises(MissingDeviceError, match="missing devices"):
        pool.zio.read(bps)


@pytest.mark.parametrize("checksum", [7, 14])
@pytest.mark.parametrize("width, nparity", [(3, 1), (5, 2), (6, 3)])
def test_silent_damage_is_found_by_reconstruction(bench, make, width, nparity, checksum):
    guids = list(range(2, 2 + width))
    pool = bench(raidz(make, nparity, *guids))
    data = make.noise(4096 * (width - nparity) * 2)
    bp = pool.write(data, (0, 0), checksum=checksum)
    for count in range(1, nparity + 1):
        pool.spoil(guids[width - count], 0, 8192)
        assert pool.zio.read(bp).data.tobytes() == data
    wrong = [leaf.guid for leaf in pool.tree.leaves if leaf.checksum_errors]
    assert wrong == guids[width - nparity :]
    pool.spoil(guids[0], 0, 8192)
    with pytest.raises(ChecksumError):
        pool.zio.read(bp)


def test_other_side_of_a_mirror_and_other_copies(bench, make):
    pool = bench(mirror(make, 2, 3), make.top("single", [make.leaf(4)]))
    data = [make.noise(4096, k) for k in range(8)]
    bps = np.concatenate([pool.write(d, (0, k << 16), (1, k << 16)) for k, d in enumerate(data)])
    pool.spoil(2, 0 << 16)
    pool.spoil(3, 1 << 16)
    pool.spoil(2, 2 << 16)
    pool.spoil(3, 2 << 16)
    assert pool.zio.read(bps).data.tobytes() == b"".join(data)
    pool.spoil(4, 2 << 16)
    status = pool.zio.read(bps, errors="collect").status
    assert status.tolist() == [0, 0, Status.CHECKSUM, 0, 0, 0, 0, 0]


def test_read_errors_are_counted_and_survived(bench, make):
    class Bad(Indirect):
        def readv(self, offsets, lengths, out, dest):
            status = super().readv(offsets, lengths, out, dest)
            status[np.asarray(offsets) >= (4 << 20) + (1 << 18)] = 5
            return status

    pool = bench(raidz(make, 1, 2, 3, 4), make.top("single", [make.leaf(5)]))
    data = [make.noise(24576, k) for k in range(4)]
    bps = np.concatenate([pool.write(d, (0, k << 19)) for k, d in enumerate(data)])
    alone = pool.write(data[0], (1, 1 << 19))
    pool.devices[3], pool.devices[5] = Bad(pool.bytes[3]), Bad(pool.bytes[5])
    pool.reopen()
    assert pool.zio.read(bps).data.tobytes() == b"".join(data)
    assert [leaf.read_errors > 0 for leaf in pool.tree.leaves] == [False, True, False, False]
    with pytest.raises(DeviceError, match="read"):
        pool.zio.read(alone)


def test_readinto(bench, make):
    pool = bench(mirror(make, 2, 3))
    data = [make.text(16384, k) for k in range(6)]
    bps = np.concatenate([pool.write(d, (0, k << 18), compress=c) for (k, d), c in zip(enumerate(data), [2, 15] * 3)])
    out = bytearray(b"\xee" * (6 * 20000))
    status = pool.zio.readinto(bps, out, np.arange(6) * 20000)
    assert not status.any()
    for k, block in enumerate(data):
        assert out[k * 20000 : (k + 1) * 20000] == block + b"\xee" * (20000 - 16384)
    with pytest.raises(ValueError, match="does not fit"):
        pool.zio.readinto(bps, out, np.arange(6) * 20000 + 4000)
    with pytest.raises(ValueError, match="does not fit"):
        pool.zio.readinto(bps[:2], out, np.array([0]))


def test_whole_sectors_never_spill_over_a_neighbour(bench, make):
    """Blocks shorter than a sector, packed side by side in the output."""
    pool = bench(raidz(make, 1, 2, 3, 4, ashift=13))
    data = [make.noise(512, k) for k in range(9)]
    bps = np.concatenate([pool.write(d, (0, k << 18)) for k, d in enumerate(data)])
    out = bytearray(9 * 512)
    pool.zio.readinto(bps, out, np.arange(9) * 512)
    assert out == b"".join(data)


def test_stored_bytes_and_holes(bench, make):
    pool = bench(make.top("single", [make.leaf(2)]))
    data = make.text(16384)
    bp = pool.write(data, (0, 0), compress=16)
    stored = pool.zio.read(bp, stored=True).data.tobytes()
    packed = make.compressed(16, data)
    assert stored[: len(packed)] == packed and len(stored) % 512 == 0
    hole = np.zeros(1, dtype=blkptr.BLKPTR)
    hole["prop"] = 3
    assert pool.zio.read(np.concatenate([hole, bp])).data.tobytes() == bytes(2048) + data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [2, 3, 9, 14, 15, 16])
def test_embedded(bench, make, compress, order):
    pool = bench(make.top("single", [make.leaf(2)]))
    data = {2: b"ab" * 20, 14: b"ab" + bytes(500)}.get(compress, b"abcd" * 500)
    packed = make.compressed(compress, data)
    assert len(packed) <= 112
    words = np.frombuffer(packed.ljust(112, b"\0"), dtype="<u8" if order == "<" else ">u8").tolist()
    prop = len(data) - 1 | len(packed) - 1 << 25 | compress << 32 | 1 << 39 | 19 << 48 | (order == "<") << 63
    bp = np.array([[*words[:6], prop, *words[6:9], 9, *words[9:]]], dtype="<u8").view(blkptr.BLKPTR)[:, 0]
    assert pool.zio.read_one(bp) == single.read_plain(pool.zio, bp[0]) == data
    assert pool.zio.read(np.concatenate([bp] * 50)).data.tobytes() == data * 50
    rng = random.Random(compress)
    for _ in range(200):  # the short way gives what the long one gives, or leaves the block to it
        forged = bp.copy()
        forged["prop"] ^= np.uint64(1 << rng.choice([*range(39), *range(40, 64)]))
        short, long = single.read_plain(pool.zio, forged[0]), pool.zio.read(forged, errors="collect")
        assert short is None if long.status[0] else short == long.data.tobytes()
    bp["prop"] = int(bp["prop"][0]) | 2 << 40
    with pytest.raises(CorruptError, match="redacted"):
        pool.zio.read_one(bp)


def wrecked(bp, **changes):
    bp = bp.copy()
    for name, value in changes.items():
        if name == "dva":
            bp["dva"][0, 0] = value
        else:
            bp[name] = value
    return bp


def test_hostile_pointers(bench, make):
    pool = bench(make.top("single", [make.leaf(2)]), {"type": "hole", "guid": 0}, {"type": "missing", "guid": 0})
    data = make.noise(4096)
    bp = pool.write(data, (0, 0))
    prop = int(bp["prop"][0])
    asize = 8
    cases = [
        ({"dva": (asize | 7 << 32, 0)}, Status.BAD_POINTER),  # no such vdev
        ({"dva": (asize | 1 << 32, 0)}, Status.BAD_POINTER),  # a hole
        ({"dva": (asize | 2 << 32, 0)}, Status.MISSING),
        ({"dva": (asize, (1 << 62))}, Status.BAD_POINTER),
        ({"dva": (asize, (20 << 20) // 512)}, Status.BAD_POINTER),  # beyond the end
        ({"dva": (asize, 1)}, Status.BAD_POINTER),  # within a sector
        ({"dva": (0, 8)}, Status.BAD_POINTER),  # no copy at all
        ({"prop": prop & ~(0xFF << 40)}, Status.UNSUPPORTED),
        ({"prop": prop & ~(0xFF << 40) | 9 << 40}, Status.UNSUPPORTED),
        ({"prop": prop & ~(0xFF << 40) | 200 << 40}, Status.UNSUPPORTED),
        ({"prop": prop & ~(0x7F << 32) | 77 << 32}, Status.UNSUPPORTED),
        ({"prop": prop | 0xFFFF}, Status.BAD_POINTER),  # more than 16 MiB
        ({"prop": prop & ~0xFFFF}, Status.BAD_POINTER),  # psize > lsize
        ({"prop": prop + 1}, Status.BAD_POINTER),  # uncompressed, of two sizes
        ({"prop": prop & ~(0xFF << 48) | 99 << 48}, Status.BAD_POINTER),
        ({"prop": prop | 1 << 61}, Status.NO_KEY),
    ]
    bps = np.concatenate([wrecked(bp, **changes) for changes, _ in cases] + [bp])
    blocks = pool.zio.read(bps, errors="collect")
    assert blocks.status.tolist() == [int(want) for _, want in cases] + [0]
    assert bytes(blocks.block(len(cases))) == data
    for (_, want), one in zip(cases, bps):
        expected = {
            Status.BAD_POINTER: CorruptError,
            Status.MISSING: MissingDeviceError,
            Status.UNSUPPORTED: UnsupportedError,
            Status.NO_KEY: KeyUnavailableError,
        }[want]
        with pytest.raises(expected):
            pool.zio.read_one(one, what="a test")


def test_random_pointers_never_crash(bench, make):
    pool = bench(mirror(make, 2, 3), raidz(make, 2, 4, 5, 6, 7))
    rng = np.random.default_rng(5)
    words = rng.integers(0, 1 << 63, (2000, 16), dtype=np.uint64)
    words[:, [0, 2, 4]] &= 0x1_0000_00FF  # plausible vdevs and sizes
    words[:, [1, 3, 5]] &= np.uint64(0x80000000_00007FF8)
    words[1000:, 6] = words[1000:, 6] & 0x8000_0000_001F_001F | 0x0013_0702_0000_0000
    bps = words.astype("<u8").view(blkptr.BLKPTR).reshape(-1)
    blocks = pool.zio.read(bps, errors="collect")
    assert blocks.status.all()
    result = pool.zio.scrub(bps[900:1200])
    assert (result.status == 2).all()


def test_batches_have_a_limit(bench, make, monkeypatch):
    pool = bench(make.top("single", [make.leaf(2)]))
    bp = pool.write(make.noise(4096), (0, 0))
    monkeypatch.setattr(reader, "BATCH_MAX", 8192)
    assert len(pool.zio.read(np.concatenate([bp] * 2)).data) == 8192
    with pytest.raises(LimitError, match="too many"):
        pool.zio.read(np.concatenate([bp] * 3))


def test_threads_and_small_staging(bench, make, monkeypatch):
    """Blocks that the kernel does not expand are read in rounds; more of them than one round holds."""
    monkeypatch.setattr(reader, "STAGING_MAX", 1 << 15)
    pool = bench(raidz(make, 1, 2, 3, 4), threads=3)
    data = [make.noise(8192, k) + make.text(122880, k) for k in range(30)]
    kinds = [(7, 10), (14, 2), (8, 5)]
    bps = np.concatenate(
        [pool.write(d, (0, k << 18), checksum=kinds[k % 3][0], compress=kinds[k % 3][1]) for k, d in enumerate(data)]
    )
    assert int(blkptr.psize(bps[::3]).sum()) > 2 * reader.STAGING_MAX
    assert pool.zio.read(bps).data.tobytes() == b"".join(data)
    assert not pool.zio.scrub(bps).damage
    pool.zio.close()


def test_the_cache_answers_for_metadata_only(bench, make):
    pool = bench(make.top("single", [make.leaf(2)]))
    meta = pool.write(make.text(4096), (0, 0), kind=10)
    data = pool.write(make.text(4096, 1), (0, 1 << 16), kind=19)
    for bp in (meta, data):
        pool.zio.read_one(bp)
    pool.spoil(2, 0)
    pool.spoil(2, 1 << 16)
    assert pool.zio.read_one(meta) == make.text(4096)
    with pytest.raises(ChecksumError):
        pool.zio.read_one(data)
    lying = meta.copy()
    lying["cksum"][0, 0] += 1
    with pytest.raises(ChecksumError):
        pool.zio.read_one(lying)


SMALL = ["damaged", "raidz-expansion", "draid", "algorithms", "classes", "version28"]


@pytest.mark.parametrize("kind", SMALL)
def test_pools_written_by_openzfs(opened, walk, kind):
    pool = opened(kind)
    every = walk.every(pool)
    blocks = pool.zio.read(every, raw=True, errors="collect")
    assert len(every) > 200 and not blocks.status.any()
    if kind == "algorithms":
        stored = every[~blkptr.is_embedded(every)]
        assert set(blkptr.checksum(stored).tolist()) >= {6, 7, 8, 11, 12, 13, 14}
        assert set(blkptr.compression(every).tolist()) >= {2, 3, 5, 13, 14, 15, 16}


@pytest.mark.parametrize("kind, lost", [("draid", 2), ("raidz-expansion", 1), ("classes", 1)])
def test_real_pools_with_disks_missing(open_images, pools, walk, kind, lost):
    """As many as the redundancy bears, from either end."""
    images = [image for image in pools(kind).images if is_data_disk(image)]
    full = open_images(images)
    every = walk.every(full)
    want = full.zio.read(every, raw=True).data
    for gone in (images[:lost], images[-lost:]):
        pool = open_images([image for image in images if image not in gone])
        pool.zio.salt = full.zio.salt
        blocks = pool.zio.read(every, raw=True, errors="collect")
        # Where the lost disk was a vdev of its own (a log), its blocks are gone.
        fine = blocks.status == Status.OK
        assert fine.mean() > 0.99 and (kind == "classes" or fine.all())
        assert kind == "classes" or np.array_equal(blocks.data, want)
        scrubbed = pool.zio.scrub(every)
        assert not scrubbed.damage and (scrubbed.status == 0).mean() > 0.99


def is_data_disk(image):
    with image.open("rb") as stream:
        region = stream.read(256 << 10)
    found = label.decode(region, 0)
    return found.config is not None and "vdev_tree" in found.config and found.config["state"] in (0, 1)
