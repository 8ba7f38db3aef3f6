"""The batched reader on its own: layouts written by hand, and layouts that are lies."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import blockio, checksum, raidz

COLUMN, GROUP, JOB = (
    np.dtype(fields) for fields in (blockio.COLUMN_FIELDS, blockio.GROUP_FIELDS, blockio.JOB_FIELDS)
)
SECTOR = 512


def columns(*rows):
    """(leaf, parity, offset, where, length[, stored])."""
    full = [row if len(row) == 6 else (*row, row[4]) for row in rows]
    return np.array(full, dtype=COLUMN)


def job(data, *, groups=1, first=0, mode=blockio.MODE_DATA, flags=0, dest=0, **more):
    record = np.zeros(1, dtype=JOB)
    record["first"], record["ngroups"], record["dest"] = first, groups, dest
    record["mode"], record["flags"] = mode, flags
    record["psize"] = record["lsize"] = len(data)
    record["checksum"], record["compress"] = 7, 2
    record["words"] = np.frombuffer(checksum.fletcher4(data), dtype="<u8")
    for name, value in more.items():
        record[name] = value
    return record


def run(cols, groups, jobs, devices, out, **options):
    status, faults = np.full(len(jobs), 99, np.uint8), np.zeros(len(cols), np.uint8)
    blockio.read(cols, np.array(groups, dtype=GROUP), jobs, devices, out, status, faults, **options)
    return status.tolist(), faults.tolist()


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def stripe(data, width, nparity, sector=SECTOR):
    """(column rows, group, devices) of one raidz block at offset 0 of `width` devices."""
    sectors = -(-len(data) // sector)
    ndata = min(width - nparity, sectors)
    heights = [(sectors // ndata + (k < sectors % ndata)) * sector for k in range(ndata)]
    starts = np.cumsum([0, *heights[:-1]]).tolist()
    padded = data.ljust(sectors * sector, b"\0")
    parts = [padded[a : a + h] for a, h in zip(starts, heights)]
    parity = [bytearray(heights[0]) for _ in range(nparity)]
    if nparity:
        raidz.generate(parts, parity)
    rows = [(k, k, 0, 0, heights[0]) for k in range(nparity)]
    rows += [(nparity + k, -1, 0, a, h) for k, (a, h) in enumerate(zip(starts, heights))]
    return columns(*rows), (0, len(rows), nparity, heights[0]), [bytearray(p) for p in [*parity, *parts]]


def test_one_piece_from_memory_and_from_a_file(tmp_path):
    data = noise(4096)
    path = tmp_path / "device"
    path.write_bytes(bytes(1000) + data)
    with path.open("rb") as file:
        for device in (bytes(1000) + data, (file.fileno(), 5096)):
            out = bytearray(b"\xee" * 5000)
            cols = columns((0, -1, 1000, 0, 4096))
            assert run(cols, [(0, 1, 0, 4096)], job(data, dest=100), [device], out) == ([0], [0])
            assert out == b"\xee" * 100 + data + b"\xee" * 804


@pytest.mark.parametrize("width, nparity", [(3, 1), (5, 2), (8, 3), (4, 3)])
@pytest.mark.parametrize("size", [512, 1536, 6656, 65536])
def test_every_loss_within_the_parity(width, nparity, size):
    data = noise(size)
    cols, group, devices = stripe(data, width, nparity)
    for lost in range(1 << len(cols)):
        bad = [k for k in range(len(cols)) if lost >> k & 1]
        if len(bad) > nparity + 1:
            continue
        wrong = cols.copy()
        wrong["leaf"][bad] = -1
        out = bytearray(size)
        status, _ = run(wrong, [group], job(data), devices, out)
        needed = [k for k in bad if k >= nparity]
        good = not needed or len(bad) <= nparity
        assert status == [blockio.JOB_OK if good else blockio.JOB_MISSING]
        assert not good or out == data


def test_failing_reads_are_faults_and_are_rebuilt():
    data = noise(9 * SECTOR)
    cols, group, devices = stripe(data, 5, 2)
    for dead in range(5):
        broken = list(devices)
        broken[dead] = devices[dead][:-1]  # too short: the read leaves the device
        out = bytearray(len(data))
        status, faults = run(cols, [group], job(data), broken, out)
        assert status == [0] and out == data
        assert faults == [blockio.FAULT_READ if k == dead >= 2 else 0 for k in range(5)]
    broken = [devices[0], devices[1], None, None, devices[4][:-1]]
    assert run(cols, [group], job(data), broken, bytearray(len(data)))[0] == [blockio.JOB_UNREADABLE]


def test_a_merged_read_that_fails_fails_only_where_it_must(tmp_path):
    """Neighbouring reads become one; when the file ends in the middle of it, the first ones still count."""
    blocks = [noise(2048, k) for k in range(6)]
    path = tmp_path / "device"
    path.write_bytes(b"".join(blocks)[: 5 * 2048 + 100])
    cols = columns(*[(0, -1, k * 2048, 0, 2048) for k in range(6)])
    jobs = np.concatenate([job(b, first=k, dest=k * 2048) for k, b in enumerate(blocks)])
    out = bytearray(6 * 2048)
    with path.open("rb") as file:
        status, faults = run(cols, [(k, 1, 0, 2048) for k in range(6)], jobs, [(file.fileno(), 6 * 2048)], out)
    assert status == [0] * 5 + [blockio.JOB_UNREADABLE] and faults == [0] * 5 + [blockio.FAULT_READ]
    assert out[: 5 * 2048] == b"".join(blocks[:5])


def test_gaps_and_order_do_not_matter(tmp_path):
    rng = np.random.default_rng(3)
    blocks = [noise(512 * (1 + k % 7), k) for k in range(3000)]
    gaps = rng.integers(0, 30, len(blocks)) * 512
    offsets = np.cumsum([0] + [len(b) + int(g) for b, g in zip(blocks[:-1], gaps)]).tolist()
    path = tmp_path / "device"
    with path.open("wb") as file:
        for at, block in zip(offsets, blocks):
            file.seek(at)
            file.write(block)
    order = rng.permutation(len(blocks))
    dest = np.cumsum([0] + [len(blocks[k]) for k in order]).tolist()
    cols = columns(*[(0, -1, offsets[k], 0, len(blocks[k])) for k in order])
    groups = [(n, 1, 0, len(blocks[k])) for n, k in enumerate(order)]
    jobs = np.concatenate([job(blocks[k], first=n, dest=dest[n]) for n, k in enumerate(order)])
    out = bytearray(dest[-1])
    with path.open("rb") as file:
        status, _ = run(cols, groups, jobs, [(file.fileno(), os.fstat(file.fileno()).st_size)], out)
    assert not any(status) and out == b"".join(blocks[k] for k in order)


def test_sector_padding_is_read_but_not_delivered():
    data = noise(512)
    cols, group, devices = stripe(data, 3, 1, sector=4096)
    out = bytearray(b"\xee" * 600)
    assert run(cols, [group], job(data), devices, out)[0] == [0]
    assert out == data + b"\xee" * 88
    cols["leaf"][1] = -1
    assert run(cols, [group], job(data), devices, out)[0] == [0]
    assert out == data + b"\xee" * 88


def test_decompression_and_raw():
    data = bytes(4096)
    packed = (bytes([255]) * 21 + bytes([127])).ljust(512, b"\0")  # zle: 21 * 192 + 64 zeros
    cols = columns((0, -1, 0, 0, 512))
    one = job(packed, lsize=4096, compress=14)
    out = bytearray(b"\xee" * 4096)
    assert run(cols, [(0, 1, 0, 512)], one, [packed], out)[0] == [0] and out == data
    one["lsize"] = 4100
    assert run(cols, [(0, 1, 0, 512)], one, [packed[:22]], bytearray(5000))[0] == [blockio.JOB_UNREADABLE]
    one["lsize"], one["compress"] = 4096, 15
    assert run(cols, [(0, 1, 0, 512)], one, [packed], out)[0] == [blockio.JOB_DECOMPRESS]
    one["compress"] = 16
    assert run(cols, [(0, 1, 0, 512)], one, [packed], out)[0] == [blockio.JOB_UNSUPPORTED]
    one["mode"] = blockio.MODE_RAW
    assert run(cols, [(0, 1, 0, 512)], one, [packed], out)[0] == [0] and out[:512] == packed


def test_checksums_short_swapped_salted_and_unknown():
    data = noise(2048)
    cols, groups = columns((0, -1, 0, 0, 2048)), [(0, 1, 0, 2048)]

    def status(one, **options):
        return run(cols, groups, one, [data], bytearray(2048), **options)[0][0]

    words = np.frombuffer(checksum.fletcher4(data), dtype="<u8")
    folded = [words[0] ^ words[2], words[1] ^ words[3], 7, 7]
    assert status(job(data, words=folded)) == blockio.JOB_CHECKSUM
    assert status(job(data, words=folded, flags=blockio.FLAG_CRYPT)) == 0
    strong = np.frombuffer(checksum.sha512(data), dtype="<u8")
    assert status(job(data, checksum=11, words=[*strong[:2], 7, 7], flags=blockio.FLAG_CRYPT)) == 0
    swapped = np.frombuffer(checksum.fletcher4(data, byteswap=True), dtype="<u8")
    assert status(job(data, words=swapped, flags=blockio.FLAG_SWAP)) == 0
    salt = bytes(range(32))
    salted = np.frombuffer(checksum.skein(data, salt), dtype="<u8")
    assert status(job(data, checksum=12, words=salted), salt=salt) == 0
    assert status(job(data, checksum=12, words=salted)) == blockio.JOB_UNSUPPORTED
    assert status(job(data, checksum=14)) == blockio.JOB_UNSUPPORTED
    assert status(job(data, checksum=2, words=[1, 2, 3, 4])) == 0
    with pytest.raises(ValueError, match="salt"):
        status(job(data), salt=b"short")


@pytest.mark.parametrize("nparity", [1, 2, 3])
def test_scrub_finds_each_wrong_column(nparity):
    data = noise(11 * SECTOR)
    cols, group, devices = stripe(data, nparity + 4, nparity)
    scrub = job(data, mode=blockio.MODE_SCRUB)
    assert run(cols, [group], scrub, devices, b""[:0] or bytearray()) == ([0], [0] * len(cols))
    for k in range(len(cols)):
        devices[k][5] ^= 1
        status, faults = run(cols, [group], scrub, devices, bytearray())
        if k < nparity:
            assert status == [0] and faults == [blockio.FAULT_PARITY * (n == k) for n in range(len(cols))]
        else:
            assert status == [blockio.JOB_CHECKSUM] and not any(faults)
        devices[k][5] ^= 1
    wrong = cols.copy()
    wrong["leaf"][nparity] = -1
    devices[0][0] ^= 1
    # The lost column is rebuilt with P, which is wrong.
    assert run(wrong, [group], scrub, devices, bytearray())[0] == [blockio.JOB_CHECKSUM]
    delivered = job(data, mode=blockio.MODE_SCRUB, flags=blockio.FLAG_DELIVER)
    out = bytearray(len(data))
    assert run(cols, [group], delivered, devices, out)[0] == [0] and out == data


def test_scrub_checks_stored_zeros():
    """draid: short columns end in zeros that are on disk."""
    data = noise(3 * SECTOR)
    parity = bytearray(2 * SECTOR)
    parts = [data[: 2 * SECTOR], data[2 * SECTOR :]]
    raidz.generate(parts, [parity])
    rows = [(0, 0, 0, 0, 1024, 1024), (1, -1, 0, 0, 1024, 1024), (2, -1, 0, 1024, 512, 1024), (3, -1, 0, 0, 0, 1024)]
    cols, group = columns(*rows), (0, 4, 1, 1024)
    devices = [parity, bytearray(parts[0]), bytearray(parts[1].ljust(1024, b"\0")), bytearray(1024)]
    scrub = job(data, mode=blockio.MODE_SCRUB)
    assert run(cols, [group], scrub, devices, bytearray()) == ([0], [0] * 4)
    for k, at in ((2, 600), (3, 0), (3, 1023)):
        devices[k][at] = 1
        faults = [blockio.FAULT_PADDING * (n == k) for n in range(4)]
        assert run(cols, [group], scrub, devices, bytearray()) == ([0], faults)
        assert run(cols, [group], job(data), devices, bytearray(1536)) == ([0], [0] * 4)
        devices[k][at] = 0


def test_columns_of_zeros_that_are_not_stored():
    """An expanded raidz: the last row has phantom sectors."""
    data = noise(3 * SECTOR)
    first, second = bytearray(SECTOR), bytearray(SECTOR)
    raidz.generate([data[:512], data[1024:]], [first])
    raidz.generate([data[512:1024], bytes(512)], [second])
    rows = [(0, 0, 0, 0, 512), (1, -1, 0, 0, 512), (2, -1, 0, 1024, 512)]
    rows += [(0, 0, 512, 0, 512), (1, -1, 512, 512, 512), (-1, -1, 0, 0, 0)]
    cols, groups = columns(*rows), [(0, 3, 1, 512), (3, 3, 1, 512)]
    devices = [first + second, data[:1024], data[1024:]]
    scrub = job(data, groups=2, mode=blockio.MODE_SCRUB)
    assert run(cols, groups, scrub, devices, bytearray()) == ([0], [0] * 6)
    for lost in range(3):
        out = bytearray(len(data))
        wrong = cols.copy()
        wrong["leaf"][cols["leaf"] == lost] = -1
        assert run(wrong, groups, job(data, groups=2), devices, out)[0] == [0] and out == data


def test_many_pieces_without_parity():
    data = noise(400 * SECTOR)
    cols = columns(*[(0, -1, k * SECTOR, k * SECTOR, SECTOR) for k in range(400)])
    out = bytearray(len(data))
    assert run(cols, [(0, 400, 0, SECTOR)], job(data), [data], out)[0] == [0] and out == data


BAD = [
    ("columns beyond the array", {}, [(1, 3, 1, 512)]),
    ("more columns than a group may have", {}, [(0, 1 << 31, 1, 512)]),
    ("more parity than columns", {}, [(0, 3, 3, 512)]),
    ("too much parity", {}, [(0, 3, 4, 512)]),
    ("a column higher than its group", {}, [(0, 3, 1, 256)]),
    ("absurd height", {}, [(0, 3, 1, 1 << 31)]),
    ("an unknown leaf", {"leaf": 3}, None),
    ("parity in the wrong place", {"parity": 0}, None),
    ("places beyond the block", {"where": 1 << 40}, None),
    ("places beyond the extent", {"where": 4096}, None),
    ("payload beyond what is stored", {"stored": 100}, None),
]


@pytest.mark.parametrize("what, change, groups", BAD, ids=[case[0] for case in BAD])
@pytest.mark.parametrize("mode", [blockio.MODE_DATA, blockio.MODE_RAW, blockio.MODE_SCRUB])
def test_layouts_that_make_no_sense(what, change, groups, mode):
    data = noise(1024)
    cols, group, devices = stripe(data, 3, 1)
    for name, value in change.items():
        cols[name][2] = value
    assert run(cols, groups or [group], job(data, mode=mode), devices, bytearray(1024))[0] == [blockio.JOB_BAD]


@pytest.mark.parametrize(
    "change",
    [
        {"first": 5},
        {"ngroups": 2},
        {"ngroups": 0},
        {"psize": 0},
        {"psize": 1 << 31},
        {"lsize": 1 << 31},
        {"psize": 2048, "lsize": 2048},
        {"dest": 1},
        {"dest": 1 << 63},
        {"mode": 7},
        {"lsize": 512},
    ],
)
def test_jobs_that_make_no_sense(change):
    data = noise(1024)
    cols, group, devices = stripe(data, 3, 1)
    assert run(cols, [group], job(data, **change), devices, bytearray(1024))[0] == [blockio.JOB_BAD]


def test_buffers_of_the_wrong_size():
    data = noise(512)
    cols, groups = columns((0, -1, 0, 0, 512)), np.array([(0, 1, 0, 512)], dtype=GROUP)
    good = [cols, groups, job(data), [data], bytearray(512), bytearray(1), bytearray(1)]
    blockio.read(*good)
    for place, wrong in ((0, b"x" * 31), (1, b"x" * 15), (2, b"x"), (5, bytearray(2)), (6, bytearray(2))):
        with pytest.raises(ValueError):
            blockio.read(*[wrong if k == place else value for k, value in enumerate(good)])
    for place in (4, 5, 6):
        with pytest.raises((BufferError, ValueError)):
            blockio.read(*[bytes(value) if k == place else value for k, value in enumerate(good)])
    with pytest.raises(ValueError, match="negative"):
        blockio.read(*good[:3], [(-1, 512)], *good[4:])
    with pytest.raises(TypeError):
        blockio.read(*good[:3], ["device"], *good[4:])


words32 = st.one_of(st.integers(0, 8), st.sampled_from([512, 1024, 4096]), st.integers(0, (1 << 32) - 1))
words64 = st.one_of(st.integers(0, 8), st.sampled_from([512, 1024, 4096]), st.integers(0, (1 << 64) - 1))
leaves = st.one_of(st.integers(-1, 3), st.integers(-(1 << 31), (1 << 31) - 1))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(leaves, st.integers(-2, 3), words64, words64, words32, words32), min_size=1, max_size=6),
    st.lists(st.tuples(words32, words32, words32, words32), min_size=1, max_size=3),
    st.lists(st.tuples(words32, words32, words32, words32, st.integers(0, 4), words64), min_size=1, max_size=3),
)
def test_nonsense_never_crashes(rows, groups, wishes):
    jobs = np.zeros(len(wishes), dtype=JOB)
    for record, (first, ngroups, psize, lsize, mode, dest) in zip(jobs, wishes):
        record["first"], record["ngroups"], record["psize"], record["lsize"] = first, ngroups, psize, lsize
        record["mode"], record["dest"] = mode, dest
        record["compress"], record["checksum"], record["flags"] = 2 + psize % 14, 2 + lsize % 13, dest % 8
    out = bytearray(8192)
    status, _ = run(columns(*rows), groups, jobs, [bytes(4096), None, bytearray(100)], out)
    assert all(0 <= one <= 6 for one in status)


def test_threads_share_a_batch():
    blocks = [noise(4096, k) for k in range(200)]
    disk = b"".join(blocks)
    cols = columns(*[(0, -1, k * 4096, 0, 4096) for k in range(200)])
    groups = np.array([(k, 1, 0, 4096) for k in range(200)], dtype=GROUP)
    jobs = np.concatenate([job(b, first=k, dest=k * 4096) for k, b in enumerate(blocks)])
    out, status, faults = bytearray(len(disk)), np.full(200, 99, np.uint8), np.zeros(200, np.uint8)

    def part(a, b):
        blockio.read(cols, groups, jobs[a:b], [disk], out, status[a:b], faults)

    threads = [threading.Thread(target=part, args=(a, a + 25)) for a in range(0, 200, 25)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert out == disk and not status.any() and not faults.any()


SALT = bytes(range(100, 132))


@pytest.mark.parametrize("names", [["sha256"], ["sha512", "fletcher4", "sha256"], list(checksum.IDS)])
@pytest.mark.parametrize("mode", [blockio.MODE_DATA, blockio.MODE_SCRUB])
def test_blocks_of_many_checksums_side_by_side(names, mode):
    """Hundreds of blocks, of one kind and of all in turn; the damaged ones are told from the others."""
    device, records, cols, want = bytearray(), [], [], []
    for k in range(170):
        name, swap, crypt = names[k % len(names)], k % 7 == 3, k % 5 == 2
        data = noise(512 * (1 + k % 9), k)
        words = np.zeros((1, 4), dtype=np.uint64)
        checksum.many(name, [data], words, salt=SALT, byteswap=swap)
        if crypt:
            if name in ("fletcher2", "fletcher4", "edonr"):
                words[0, :2] ^= words[0, 2:]
            words[0, 2:] = 0x1234
        if k % 11 == 5:
            words[0, k % 2] ^= np.uint64(1)
        flags = blockio.FLAG_DELIVER | (blockio.FLAG_SWAP if swap else 0) | (blockio.FLAG_CRYPT if crypt else 0)
        more = {"checksum": checksum.IDS[name], "words": words[0], "flags": flags, "mode": mode}
        records.append(job(data, first=k, dest=len(device), **more))
        cols.append((0, -1, len(device), 0, len(data)))
        device += data
        want.append(blockio.JOB_CHECKSUM if k % 11 == 5 else blockio.JOB_OK)
    groups = [(k, 1, 0, c[4]) for k, c in enumerate(cols)]
    out = bytearray(len(device))
    status, _ = run(columns(*cols), groups, np.concatenate(records), [device], out, salt=SALT)
    assert status == want
    for state, (*_, at, _, length) in zip(status, cols):
        assert state != blockio.JOB_OK or out[at : at + length] == device[at : at + length]
