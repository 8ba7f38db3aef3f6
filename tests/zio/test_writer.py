"""Writing blocks: what is written reads back, from every copy, and every column is right."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uberblock.kernels import blockwrite
from uberblock.pool.alloc.allocator import Allocator, AllocClass
from uberblock.pool.errors import (
    ChecksumError,
    DeviceError,
    MissingDeviceError,
    NoSpaceError,
    ReadOnlyError,
    UnsupportedError,
    UsageError,
)
from uberblock.pool.ondisk import blkptr, bpmake
from uberblock.pool.vdev.state import VdevAux, VdevState
from uberblock.pool.zio.checksum import Checksum
from uberblock.pool.zio.compress import Compression
from uberblock.pool.zio.scrub import FINE
from uberblock.pool.zio.writer import WritePolicy, ZioWriter
from writing import Distant, PlainAllocator

TXG = 10
FILE = 19
DRAID = {
    "draid_ndata": 4, "draid_nspares": 1, "draid_ngroups": 2, "draid_nchildren": 13, "nparity": 2
}


def leaves(make, first, count):
    return [make.leaf(first + k) for k in range(count)]


def shapes(make, ashift=12):
    """Name -> top-level vdevs."""
    draid = make.top("draid", leaves(make, 2, 13), ashift=ashift, **DRAID)
    draid["asize"] = 12 * 16 << 20
    replacing = {"type": "replacing", "guid": 900, "children": leaves(make, 60, 2)}
    return {
        "single": [make.top("single", [make.leaf(2)], ashift=ashift)],
        "mirror": [make.top("mirror", leaves(make, 2, 3), ashift=ashift)],
        "raidz1": [make.top("raidz", leaves(make, 2, 4), nparity=1, ashift=ashift)],
        "raidz2": [make.top("raidz", leaves(make, 2, 6), nparity=2, ashift=ashift)],
        "raidz3": [make.top("raidz", leaves(make, 2, 7), nparity=3, ashift=ashift)],
        "mixed": [
            make.top("mirror", leaves(make, 2, 2), ashift=9),
            make.top("raidz", leaves(make, 4, 3), nparity=1, ashift=ashift),
            make.top("single", [make.leaf(9)], ashift=ashift),
        ],
        "replacing": [make.top("raidz", [*leaves(make, 2, 3), replacing], nparity=1, ashift=ashift)],
        "draid": [draid],
    }


SHAPES = ["single", "mirror", "raidz1", "raidz2", "raidz3", "mixed", "replacing", "draid"]


def make_pool(bench, make, shape, ashift=12):
    return bench(*shapes(make, ashift)[shape], leaf_size=(64 if shape == "draid" else 24) << 20)


def open_for_writing(bench, make, shape, ashift=12, **options):
    pool = make_pool(bench, make, shape, ashift)
    return pool, writer_of(pool, **options)


def writer_of(pool, *, threads=1, **options):
    return ZioWriter(pool.zio, PlainAllocator(pool.tree, **options), threads=threads)


def check(pool, bps, blocks):
    """They read back, and scrub finds no fault in any copy or column."""
    there = ~blkptr.is_hole(bps)
    read = pool.zio.read(bps[there])
    wanted = [bytes(b) for b, t in zip(blocks, there) if t]
    assert [bytes(read.block(k)) for k in range(len(read))] == wanted
    for hole in np.flatnonzero(~there):
        assert not any(blocks[hole])
    result = pool.zio.scrub(bps)
    assert result.status.tolist() == [FINE] * len(bps)
    assert not result.damage


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ashift", [9, 12])
@pytest.mark.parametrize("threads", [1, 2])
def test_every_shape_and_size(bench, make, shape, ashift, threads):
    pool, writer = open_for_writing(bench, make, shape, ashift, threads=threads)
    for k, lsize in enumerate([512, 1024, 1536, 4096, 4608, 16384, 66048, 131072]):
        blocks = [make.noise(lsize, k), make.text(lsize, k), bytes(lsize), make.noise(lsize, k + 50)]
        for copies in (1, 2):
            policy = WritePolicy(FILE, copies=copies)
            bps = writer.write(blocks, policy, TXG, lsize=lsize)
            check(pool, bps, blocks)
            assert (blkptr.lsize(bps) == lsize).all()
            assert bps["birth"].tolist() == [TXG] * 4
            assert bps["fill"].tolist() == [1, 1, 0, 1]
            assert (blkptr.dva_asize(bps) != 0).sum(axis=1).tolist() == [copies, copies, 0, copies]
    writer.flush()
    writer.close()
    pool.zio.close()


@pytest.mark.parametrize("number", [Checksum.OFF, 6, 7, 8, 10, 11, 12, 13, 14])
@pytest.mark.parametrize("shape", ["mirror", "raidz2"])
def test_every_checksum(bench, make, shape, number):
    pool, writer = open_for_writing(bench, make, shape)
    for lsize in (512, 3584, 131072):
        blocks = [make.noise(lsize, k) for k in range(70 if lsize < 9000 else 3)]
        bps = writer.write(blocks, WritePolicy(FILE, checksum=number), TXG, lsize=lsize)
        check(pool, bps, blocks)
        assert bps["cksum"].any() == (number not in (Checksum.OFF, Checksum.NOPARITY))


@pytest.mark.parametrize("number", [2, 3, 5, 10, 13, 14, 15, 16])
def test_every_compression(bench, make, number):
    pool, writer = open_for_writing(bench, make, "raidz1", threads=2)
    for lsize in (512, 1024, 4096, 16384, 131072, 1 << 20):
        blocks = [make.text(lsize, 1), make.noise(lsize, 2), bytes(lsize), make.text(lsize, 3)]
        bps = writer.write(blocks, WritePolicy(FILE, compress=number), TXG, lsize=lsize)
        check(pool, bps, blocks)
        packed = lsize > 4096 and number != 2
        assert (blkptr.compression(bps)[[0, 3]] == (number if packed else 2)).all()
        assert blkptr.compression(bps)[1] == 2
        assert blkptr.is_hole(bps).tolist() == [False, False, number != 2, False]
        # An eighth at least is saved, in whole sectors.
        assert (blkptr.psize(bps)[[0, 3]] % 4096 == 0).all() or lsize < 4096
        if packed:
            assert (blkptr.psize(bps)[[0, 3]] <= lsize - lsize // 8).all()


@pytest.mark.parametrize("level", [0, 1, 19, 103, 112, 120, 121, 123])
def test_levels_of_zstd(bench, make, level):
    pool, writer = open_for_writing(bench, make, "single")
    blocks = [b"beer" * 8192]
    bps = writer.write(blocks, WritePolicy(FILE, compress=16, complevel=level), TXG, lsize=32768)
    check(pool, bps, blocks)
    stored = pool.zio.read(bps, stored=True)
    assert stored.data[4] == (level or 3)


def test_an_array_of_blocks(bench, make):
    pool, writer = open_for_writing(bench, make, "raidz2")
    data = np.frombuffer(make.noise(20 * 8192), np.uint8).reshape(20, 8192).copy()
    data[3] = 0
    bps = writer.write(data, WritePolicy(FILE, compress=Compression.EMPTY), TXG, lsize=8192, fill=np.arange(20))
    check(pool, bps, list(data))
    assert bps["fill"].tolist() == [0, 1, 2, 0, *range(4, 20)]
    assert len(writer.write(data[:0], WritePolicy(FILE), TXG, lsize=8192)) == 0
    for wrong in (data[:, :4096], data.reshape(-1), data.astype(np.uint16), [bytes(8192), bytes(512)]):
        with pytest.raises(ValueError):
            writer.write(wrong, WritePolicy(FILE), TXG, lsize=8192)


def test_embedded(bench, make):
    pool, writer = open_for_writing(bench, make, "single")
    block = b"few bytes".ljust(4096, b"\0")
    for number in (3, 5, 14, 15, 16):
        for lsize in (512, 2048):
            policy = WritePolicy(FILE, embed=True, compress=number)
            blocks = [block[:lsize], make.noise(lsize), bytes(lsize)]
            bps = writer.write(blocks, policy, TXG, lsize=lsize)
            assert blkptr.is_embedded(bps).tolist() == [True, False, False]
            assert int(blkptr.psize(bps[0])) <= 112
            check(pool, bps, blocks)
    for policy in (
        WritePolicy(FILE),
        WritePolicy(FILE, level=1, embed=True),
        WritePolicy(10, embed=True),
        WritePolicy(11, embed=True),
        WritePolicy(FILE, embed=True, compress=2),
    ):
        assert not blkptr.is_embedded(writer.write([block], policy, TXG, lsize=4096)).any()


def test_holes(bench, make):
    _, writer = open_for_writing(bench, make, "single")
    zeros = np.zeros((2, 8192), np.uint8)
    bps = writer.write(zeros, WritePolicy(FILE, level=0), TXG, lsize=8192)
    assert bps["prop"].tolist() == [15 | FILE << 48] * 2 and bps["birth"].tolist() == [TXG] * 2
    bps = writer.write(zeros, WritePolicy(FILE, hole_birth=False), TXG, lsize=8192)
    assert not bps.tobytes().strip(b"\0")
    bps = writer.write(zeros, WritePolicy(FILE, compress=2), TXG, lsize=8192)
    assert not blkptr.is_hole(bps).any()


def test_written_again_in_the_same_txg(bench, make):
    pool, writer = open_for_writing(bench, make, "raidz1")
    policy = WritePolicy(1, copies=2)
    blocks = [make.noise(16384, 1), make.noise(16384, 2), make.text(16384, 3), bytes(16384), make.noise(16384, 4)]
    old = writer.write(blocks, policy, TXG, lsize=16384)
    blocks = [make.noise(16384, 5), make.text(16384, 6), make.text(16384, 7), make.noise(16384, 8), bytes(16384)]
    new = writer.write(blocks, policy, TXG, lsize=16384, rewrite=old)
    check(pool, new, blocks)
    same = (new["dva"] == old["dva"]).all(axis=(1, 2)).tolist()
    assert same == [True, False, True, False, False]
    assert len(writer.allocator.freed) == 4
    assert len(writer.allocator.live) == 8
    with pytest.raises(UsageError):
        writer.write(blocks, policy, TXG + 1, lsize=16384, rewrite=new)
    with pytest.raises(UsageError):
        writer.write(blocks, policy, TXG, lsize=16384, rewrite=new[:2])
    check(pool, new, blocks)
    writer.free(new, TXG + 1)
    assert not writer.allocator.live


# ---- gangs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["single", "mirror", "raidz1", "mixed", "draid"])
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_gangs(bench, make, shape, copies):
    pool, writer = open_for_writing(bench, make, shape, largest=49152)
    policy = WritePolicy(FILE, copies=copies)
    blocks = [make.noise(131072, 1), make.text(131072, 2), make.noise(131072, 3), bytes(131072)]
    bps = writer.write(blocks, policy, TXG, lsize=131072)
    assert blkptr.is_gang(bps).tolist()[::2] == [True, True][:2] or shape == "draid"
    assert (blkptr.is_gang(bps)[[0, 2]]).all()
    check(pool, bps, blocks)
    # What the pointers say they take is what was allocated.
    assert int(blkptr.dva_asize(bps).sum()) == sum(writer.allocator.live.values())
    writer.free(bps, TXG + 1)
    assert not writer.allocator.live


def test_deep_gangs(bench, make):
    pool, writer = open_for_writing(bench, make, "mirror", ashift=9, largest=1024)
    blocks = [make.noise(32768)]
    bps = writer.write(blocks, WritePolicy(FILE, copies=2, checksum=8), TXG, lsize=32768)
    check(pool, bps, blocks)
    assert int(blkptr.dva_asize(bps).sum()) == sum(writer.allocator.live.values())
    # Written again: as long as the size is the same, in the same places.
    held = dict(writer.allocator.live)
    blocks = [make.noise(32768, 1)]
    new = writer.write(blocks, WritePolicy(FILE, copies=2), TXG, lsize=32768, rewrite=bps)
    check(pool, new, blocks)
    assert writer.allocator.live == held and not writer.allocator.freed
    assert (new["dva"] == bps["dva"]).all() and (new["cksum"] != bps["cksum"]).any()
    for policy in (WritePolicy(FILE, copies=1), WritePolicy(FILE, copies=2)):
        old, new = new, writer.write([make.text(32768, 1)], policy, TXG, lsize=32768, rewrite=new)
        assert (new["dva"] != old["dva"]).any()
        check(pool, new, [make.text(32768, 1)])
        assert int(blkptr.dva_asize(new).sum()) == sum(writer.allocator.live.values())


def test_unreadable_gangs_are_not_freed(bench, make):
    pool, writer = open_for_writing(bench, make, "single", largest=16384)
    policy = WritePolicy(FILE)
    bps = writer.write([make.noise(65536, k) for k in range(2)], policy, TXG, lsize=65536)
    held = dict(writer.allocator.live)
    for vdev, offset, _ in bpmake.places(bps[1:])[0][:2].tolist():
        assert vdev == 0
        pool.spoil(2, offset)
    with pytest.raises(ChecksumError):
        writer.free(bps, TXG + 1)
    with pytest.raises(ChecksumError):
        writer.write([bytes(65536)] * 2, policy, TXG, lsize=65536, rewrite=bps)
    assert writer.allocator.live == held


def test_what_is_not_freed_here(bench, make):
    _, writer = open_for_writing(bench, make, "single")
    bps = writer.write([make.noise(4096)], WritePolicy(FILE), TXG, lsize=4096)
    bps["prop"] |= np.uint64(1 << 62)
    with pytest.raises(UnsupportedError):
        writer.free(bps, TXG)
    bps["prop"] ^= np.uint64(1 << 62)
    bps["dva"][0, 0, 0] |= np.uint64(5 << 32)
    with pytest.raises(UnsupportedError):
        writer.free(bps, TXG)
    writer.free(bps[:0], TXG)
    writer.free(np.zeros(3, blkptr.BLKPTR), TXG)
    assert len(writer.allocator.live) == 1


@pytest.mark.parametrize("room", [0, 4096, 40000, 100000, 135000])
def test_no_room(bench, make, room):
    _, writer = open_for_writing(bench, make, "mirror", largest=16384, room=room)
    with pytest.raises(NoSpaceError):
        writer.write([make.noise(131072)], WritePolicy(FILE), TXG, lsize=131072)
    assert not writer.allocator.live


# ---- devices ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_all_kinds_of_devices_get_the_same_bytes(bench, make, shape, tmp_path):
    from uberblock.pool.device.file import FileDevice

    contents = []
    for kind in ("memory", "file", "distant", "both"):
        pool = make_pool(bench, make, shape)
        for k, guid in enumerate(list(pool.devices)):
            if kind == "file":
                path = tmp_path / f"{guid}"
                with path.open("wb") as file:
                    file.truncate(len(pool.bytes[guid]))
                pool.devices[guid] = FileDevice(path, readonly=False)
            elif kind == "distant" or (kind == "both" and k % 2):
                pool.devices[guid] = Distant(pool.bytes[guid])
        pool.reopen()
        writer = writer_of(pool, largest=60000)
        for lsize in (512, 20480, 131072):
            blocks = [make.noise(lsize, lsize), make.text(lsize, 1)]
            check(pool, writer.write(blocks, WritePolicy(FILE, copies=2), TXG, lsize=lsize), blocks)
        writer.flush()
        if kind == "distant":
            flushes = [leaf.device.flushes for leaf in pool.tree.leaves]
            assert set(flushes) == {1} or shape == "draid"
            writer.flush()
            assert [leaf.device.flushes for leaf in pool.tree.leaves] == flushes
        contents.append([device.read(0, 6 << 20) for device in pool.devices.values()])
        assert not any(any(content[: 4 << 20]) for content in contents[-1][:1])
        for device in pool.devices.values():
            device.close()
    assert all(content == contents[0] for content in contents)


def distant_pool(bench, make, shape):
    pool = make_pool(bench, make, shape)
    for guid in list(pool.devices):
        pool.devices[guid] = Distant(pool.bytes[guid], f"leaf{guid}")
    pool.reopen()
    return pool, writer_of(pool)


EVERYWHERE = (0, 1 << 40)


def missed(pool):
    """The txgs that leaves lack, by their index."""
    ranges = {leaf.index: leaf.dtl.ranges() for leaf in pool.tree.leaves if leaf.dtl}
    return {leaf: {txg for first, end in found for txg in range(first, end)} for leaf, found in ranges.items()}


@pytest.mark.parametrize("shape, bearable", [("single", 0), ("mirror", 2), ("raidz1", 1), ("raidz3", 3), ("draid", 2)])
def test_failed_writes(bench, make, shape, bearable):
    pool, writer = distant_pool(bench, make, shape)
    blocks = [make.noise(131072, 1), make.text(131072, 2)]
    for lost in range(bearable):
        pool.tree.leaves[lost].device.broken = EVERYWHERE
        bps = writer.write(blocks, WritePolicy(FILE), TXG + lost, lsize=131072)
        assert bytes(pool.zio.read(bps).block(0)) == blocks[0]
        writer.flush()
    for lost in range(bearable):
        # A block on a draid vdev does not touch every leaf.
        txgs = set(range(TXG + lost, TXG + bearable))
        lacks = missed(pool).get(lost, set())
        assert lacks == txgs or (shape == "draid" and lacks <= txgs)
        leaf = pool.tree.leaves[lost]
        assert leaf.write_errors > 0 or not lacks
        # It does not take anything any more, and is left alone.
        assert (leaf.state, leaf.aux) == (VdevState.FAULTED, VdevAux.ERR_EXCEEDED) or not lacks
    assert len(missed(pool)) <= bearable
    assert pool.tree.root.state is (VdevState.DEGRADED if missed(pool) else VdevState.HEALTHY)
    held = dict(writer.allocator.live)
    for leaf in pool.tree.leaves[bearable:] if shape == "draid" else pool.tree.leaves[bearable : bearable + 1]:
        leaf.device.broken = EVERYWHERE
    with pytest.raises(DeviceError) as caught:
        writer.write(blocks, WritePolicy(FILE), 99, lsize=131072)
    assert caught.value.errno == 5 and "leaf" in str(caught.value)
    assert writer.allocator.live == held


def test_failures_of_different_sides_for_different_blocks(bench, make):
    pool, writer = distant_pool(bench, make, "mirror")
    start = 4 << 20
    for k, leaf in enumerate(pool.tree.leaves):
        leaf.device.broken = (start + k * 8192, start + (k + 2) * 8192)
    blocks = [make.noise(8192, k) for k in range(4)]
    bps = writer.write(blocks, WritePolicy(FILE), TXG, lsize=8192)
    assert [bytes(pool.zio.read(bps).block(k)) for k in range(4)] == blocks
    assert missed(pool) == {leaf: {TXG} for leaf in range(3)}
    pool.tree.leaves[0].device.broken = (start, start + (1 << 20))
    pool.tree.leaves[1].device.broken = (start, start + (1 << 20))
    pool.tree.leaves[2].device.broken = (start + 7 * 8192, start + 8 * 8192)
    with pytest.raises(DeviceError):
        writer.write(blocks, WritePolicy(FILE), TXG, lsize=8192)
    assert len(writer.allocator.live) == 4


def test_failed_flushes(bench, make):
    for shape, bearable in (("single", 0), ("mirror", 2), ("raidz2", 2)):
        pool, writer = distant_pool(bench, make, shape)
        for lost in range(bearable + 1):
            pool.tree.leaves[lost].device.flush_fails = True
            writer.write([make.noise(131072)], WritePolicy(FILE), TXG + lost, lsize=131072)
            if lost < bearable:
                writer.flush()
                assert TXG + lost in missed(pool)[lost]
            else:
                with pytest.raises(DeviceError):
                    writer.flush()
    # A failed write on one side and a failed flush on the other leave nothing.
    pool, writer = distant_pool(bench, make, "mirror")
    pool.tree.leaves[0].device.broken = EVERYWHERE
    pool.tree.leaves[1].device.broken = EVERYWHERE
    pool.tree.leaves[2].device.flush_fails = True
    writer.write([make.noise(512)], WritePolicy(FILE), TXG, lsize=512)
    with pytest.raises(DeviceError):
        writer.flush()


def test_missing_and_read_only_devices(bench, make):
    pool = bench(*shapes(make)["raidz2"])
    pool.reopen(missing=(3, 5))
    writer = writer_of(pool)
    blocks = [make.noise(131072)]
    bps = writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072)
    assert bytes(pool.zio.read(bps).block(0)) == blocks[0]
    assert missed(pool) == {1: {TXG}, 3: {TXG}}
    assert [leaf.write_errors for leaf in pool.tree.leaves] == [0] * 6
    pool.reopen(missing=(2, 3, 5))
    writer = writer_of(pool)
    with pytest.raises(MissingDeviceError):
        writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072)
    assert not writer.allocator.live
    pool.reopen()
    pool.tree.leaves[2].device.readonly = True
    writer = writer_of(pool)
    with pytest.raises(ReadOnlyError):
        writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072)
    assert not writer.allocator.live


def test_leaves_with_a_dtl_get_new_blocks(bench, make):
    """What a leaf has missed says nothing about what it will get, even if the ranges of txgs overlap."""
    pool = bench(*shapes(make)["replacing"], make.top("mirror", leaves(make, 70, 2)))
    for leaf in pool.tree.leaves[3:6]:
        leaf.set_dtl([0], [100])
    writer = writer_of(pool)
    blocks = [make.noise(65536, k) for k in range(4)]
    bps = writer.write(blocks, WritePolicy(FILE), TXG, lsize=65536)
    for leaf in pool.tree.leaves:
        leaf.set_dtl([], [])
    check(pool, bps, blocks)


def test_distributed_spares(bench, make):
    draid = shapes(make)["draid"][0]
    spare = {"type": "dspare", "guid": 800, "path": "draid2-0-0", "top_guid": draid["guid"], "spareid": 0}
    draid["children"][4] = {"type": "spare", "guid": 801, "children": [draid["children"][4], spare]}
    pool = bench(draid, leaf_size=64 << 20)
    writer = writer_of(pool)
    blocks = [make.noise(131072, k) for k in range(20)]
    check(pool, writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072), blocks)
    pool.reopen(missing=(6,))
    writer = writer_of(pool)
    bps = writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072)
    check(pool, bps, blocks)
    assert missed(pool) == {4: {TXG}}


# ---- with the real allocator -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["single", "raidz1", "mixed"])
def test_a_pool_filled_to_the_brim(bench, make, shape):
    """Blocks of many sizes, half of them freed again and again, until there are gangs and at last no room."""
    tops = shapes(make)[shape]
    for top in tops:
        top["metaslab_shift"] = 22
    pool = bench(*tops)
    allocator = Allocator(pool.tree)
    writer = ZioWriter(pool.zio, allocator)
    rng, live, gangs = np.random.default_rng(1), [], 0
    policy = WritePolicy(FILE, copies=2, embed=True)
    with pytest.raises(NoSpaceError):
        for txg in range(10, 200):
            blocks = [make.noise(int(rng.integers(1, 1025)) * 512, k + txg) for k in range(8)]
            for block in blocks:
                before = allocator.allocated(AllocClass.NORMAL)
                try:
                    live.append((block, writer.write([block], policy, txg, lsize=len(block))))
                except NoSpaceError:
                    assert allocator.allocated(AllocClass.NORMAL) == before
                    raise
                gangs += int(blkptr.is_gang(live[-1][1]).sum())
            if txg % 5 == 0:
                rng.shuffle(live)
                gone, live = live[: len(live) // 4], live[len(live) // 4 :]
                writer.free(np.concatenate([bp for _, bp in gone]), txg)
            writer.flush()
            allocator.take_changes()
            allocator.sync_done(txg)
    assert gangs
    check(pool, np.concatenate([bp for _, bp in live]), [block for block, _ in live])
    total = sum(int(blkptr.dva_asize(bp).sum()) for _, bp in live)
    assert total == allocator.allocated(AllocClass.NORMAL)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_batch(bench, make, data):
    shape = data.draw(st.sampled_from(SHAPES))
    ashift = data.draw(st.sampled_from([9, 10, 12, 13]))
    pool, writer = open_for_writing(bench, make, shape, ashift, largest=data.draw(st.sampled_from([1 << 17, 1 << 62])))
    for step in range(3):
        lsize = 512 * data.draw(st.integers(1, 140))
        kinds = data.draw(st.lists(st.sampled_from("ntz"), max_size=6))
        makers = {"n": make.noise, "t": make.text, "z": lambda size, _: bytes(size)}
        blocks = [makers[kind](lsize, n) for n, kind in enumerate(kinds)]
        policy = WritePolicy(
            FILE,
            checksum=data.draw(st.sampled_from([7, 8, 14])),
            compress=data.draw(st.sampled_from([2, 3, 4, 6, 14, 15, 16])),
            copies=data.draw(st.integers(1, 3)),
            embed=data.draw(st.booleans()),
        )
        try:
            bps = writer.write(blocks, policy, TXG + step, lsize=lsize)
        except NoSpaceError:
            return
        check(pool, bps, blocks)


def test_nothing_is_written_after_a_write_has_failed(bench, make, monkeypatch):
    """Its room is given back, and others may get it: threads that are still at work must come to an end before."""
    pool, writer = open_for_writing(bench, make, "single", threads=2)
    blocks = [make.noise(131072, k) for k in range(64)]
    original, begun, ended = blockwrite.write, [], []

    def write(columns, groups, jobs, *more, **options):
        begun.append(len(jobs))
        if len(begun) == 1:
            raise MemoryError
        time.sleep(0.1)
        original(columns, groups, jobs, *more, **options)
        ended.append(len(jobs))

    monkeypatch.setattr(blockwrite, "write", write)
    with pytest.raises(MemoryError):
        writer.write(blocks, WritePolicy(FILE), TXG, lsize=131072)
    assert len(ended) == len(begun) - 1
    assert not writer.allocator.live
    writer.close()
    pool.zio.close()
