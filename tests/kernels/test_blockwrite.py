"""The batched writer on its own: what it writes the batched reader reads, and layouts that are lies write nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import blockio, blockwrite, checksum, raidz

COLUMN, GROUP, JOB = (
    np.dtype(fields) for fields in (blockio.COLUMN_FIELDS, blockio.GROUP_FIELDS, blockio.JOB_FIELDS)
)
SALT = bytes(range(32))


def noise(size, seed=0):
    return np.random.default_rng(seed).bytes(size)


def new_job(psize, *, groups=1, first=0, source=0, at=0, number=7, flags=0):
    job = np.zeros(1, JOB)
    job["psize"], job["ngroups"], job["first"], job["reserved"], job["dest"] = psize, groups, first, source, at
    job["checksum"], job["flags"] = number, flags
    return job


def run(columns, groups, jobs, devices, sources, **options):
    columns = np.array(columns, COLUMN)
    status, errors = np.full(len(jobs), 99, np.uint8), np.zeros(len(columns), np.int32)
    blockwrite.write(columns, np.array(groups, GROUP), jobs, devices, sources, status, errors, **options)
    return status.tolist(), errors.tolist()


def stripe(size, ndata, nparity, sector=512, offset=0):
    """Columns and group of a block over as many devices."""
    sectors = -(-size // sector)
    ndata = min(ndata, sectors)
    lengths = [(sectors // ndata + (k < sectors % ndata)) * sector for k in range(ndata)]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    columns = [(k, k, offset, 0, lengths[0], lengths[0]) for k in range(nparity)]
    columns += [(nparity + k, -1, offset, starts[k], lengths[k], lengths[k]) for k in range(ndata)]
    return columns, (0, len(columns), nparity, lengths[0])


@pytest.mark.parametrize("number", [2, 6, 7, 8, 10, 11, 12, 13, 14])
@pytest.mark.parametrize("nparity", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [512, 1536, 40960, 131072 + 512])
def test_reads_back(number, nparity, size, tmp_path):
    data = noise(size)
    columns, group = stripe(size, 4, nparity, sector=4096, offset=8192)
    contents = []
    for kind in ("memory", "file"):
        if kind == "file":
            files = [os.open(tmp_path / f"{k}", os.O_RDWR | os.O_CREAT) for k in range(len(columns))]
            for file in files:
                os.ftruncate(file, 1 << 17)
            devices = [(file, 1 << 17) for file in files]
        else:
            devices = [bytearray(b"\xee" * (1 << 17)) for _ in columns]
        job = new_job(size, number=number, at=7)
        assert run(columns, [group], job, devices, [b"1234567" + data], salt=SALT) == ([0], [0] * len(columns))
        out, status, faults = bytearray(size), np.zeros(1, np.uint8), np.zeros(len(columns), np.uint8)
        job["lsize"], job["compress"], job["mode"], job["dest"] = size, 2, blockio.MODE_SCRUB, 0
        job["flags"] |= blockio.FLAG_DELIVER
        arrays = np.array(columns, COLUMN), np.array([group], GROUP)
        blockio.read(*arrays, job, devices, out, status, faults, salt=SALT)
        assert (status[0], faults.any(), bytes(out)) == (0, False, data)
        if kind == "file":
            contents.append([os.pread(file, group[3], 8192) for file in files])
            for file in files:
                os.close(file)
        else:
            assert all(device[:8192] == b"\xee" * 8192 for device in devices)
            contents.append([bytes(device[8192 : 8192 + group[3]]) for device in devices])
            lengths = [column[5] for column in columns]
            assert all(set(d[8192 + n :]) == {0xEE} for d, n in zip(devices, lengths))
            words = job["words"][0].tolist()
            assert any(words) == (number not in (2, 10))
            if number == 7:
                assert np.array(words, "<u8").tobytes() == checksum.fletcher4(data)
    lengths = [column[5] for column in columns]
    assert all(a[:n] == b[:n] for a, b, n in zip(*contents, lengths))


def test_copies_and_sides_in_one_job_and_zero_tails():
    data = noise(1024)
    devices = [bytearray(b"\xee" * 8192) for _ in range(3)]
    columns = [(0, -1, 0, 0, 4096, 4096), (1, -1, 4096, 0, 4096, 4096)]
    columns += [(2, -1, 512, 0, 1024, 1536), (-1, -1, 0, 0, 1024, 1024)]
    groups = [(k, 1, 0, column[5]) for k, column in enumerate(columns)]
    assert run(columns, groups, new_job(1024, groups=4), devices, [data]) == ([0], [0] * 4)
    assert devices[0] == data + bytes(3072) + b"\xee" * 4096
    assert devices[1] == b"\xee" * 4096 + data + bytes(3072)
    assert devices[2] == b"\xee" * 512 + data + bytes(512) + b"\xee" * 6144


def test_long_zero_tails(tmp_path):
    with (tmp_path / "device").open("w+b") as file:
        file.write(b"\xee" * (3 << 20))
        file.flush()
        columns = [(0, -1, 512, 0, 512, 300 << 10), (0, -1, 512 + (300 << 10), 512, 512, 2 << 20)]
        device = (file.fileno(), 3 << 20)
        data = noise(1024)
        assert run(columns, [(0, 2, 0, 2 << 20)], new_job(1024), [device], [data]) == ([0], [0, 0])
        content = os.pread(file.fileno(), 3 << 20, 0)
    end = 512 + (300 << 10)
    assert content[512:end] == data[:512] + bytes(end - 1024)
    assert content[end : end + (2 << 20)] == data[512:] + bytes((2 << 20) - 512)
    assert set(content[:512] + content[end + (2 << 20) :]) == {0xEE}


def test_missing_columns_still_count_for_parity():
    data = noise(8192)
    columns, group = stripe(8192, 4, 2)
    whole = [bytearray(2048) for _ in columns]
    run(columns, [group], new_job(8192), whole, [data])
    for lost in range(6):
        devices = [bytearray(2048) for _ in columns]
        some = [(-1, *column[1:]) if k == lost else column for k, column in enumerate(columns)]
        assert run(some, [group], new_job(8192), devices, [data]) == ([0], [0] * 6)
        assert [d == w for d, w in zip(devices, whole)] == [k != lost for k in range(6)]


def test_many_blocks_are_joined_and_each_failure_is_its_own(tmp_path):
    count, size = 700, 4096
    data = noise(count * size)
    path = tmp_path / "device"
    path.write_bytes(bytes(count * size))
    columns = [(k % 3, -1, k // 3 * size, 0, size, size) for k in range(count)]
    columns[5] = (3, -1, 0, 0, size, size)
    columns[9] = (0, -1, 1 << 40, 0, size, size)
    columns[30] = (4, -1, 0, 0, size, size)
    groups = [(k, 1, 0, size) for k in range(count)]
    jobs = np.concatenate([new_job(size, first=k, at=k * size) for k in range(count)])
    with path.open("r+b") as file, path.open("rb") as readonly:
        devices = [(file.fileno(), count * size), bytearray(count * size), bytearray(count * size), None]
        status, errors = run(columns, groups, jobs, [*devices, (readonly.fileno(), count * size)], [data])
    assert status == [0] * count
    assert {k: code for k, code in enumerate(errors) if code} == {5: 5, 9: 5, 30: 9}
    for number, content in enumerate([path.read_bytes(), *devices[1:3]]):
        for k in range(number, count, 3):
            if k not in (5, 9, 30):
                assert content[k // 3 * size : k // 3 * size + size] == data[k * size : (k + 1) * size]


def test_a_full_device():
    with Path("/dev/full").open("r+b", buffering=0) as full:
        columns = [(0, -1, 0, 0, 512, 512), (1, -1, 0, 0, 512, 512)]
        other = bytearray(512)
        groups = [(0, 1, 0, 512), (1, 1, 0, 512)]
        data = noise(512)
        assert run(columns, groups, new_job(512, groups=2), [(full.fileno(), 1 << 20), other], [data]) == ([0], [28, 0])
        assert other == data


def test_encrypted_blocks_keep_their_authentication_code():
    data = noise(4096)
    for number in (7, 8, 13):
        job = new_job(4096, groups=0, number=number)
        run([], [], job, [], [data], salt=SALT)
        plain = job["words"][0].tolist()
        job = new_job(4096, groups=0, number=number, flags=blockio.FLAG_CRYPT)
        job["words"] = [1, 2, 3, 4]
        run([], [], job, [], [data], salt=SALT)
        first = [plain[0] ^ plain[2], plain[1] ^ plain[3]] if number != 8 else plain[:2]
        assert job["words"][0].tolist() == [*first, 3, 4]


def test_lies_write_nothing():
    data = noise(4096)
    good, group = stripe(4096, 4, 1)
    cases = [
        (good, [(1, 5, 1, 1024)], {}),
        (good, [(0, 6, 1, 1024)], {}),
        (good, [(0, 5, 5, 1024)], {}),
        (good, [(0, 5, 1, 512)], {}),
        (good, [(0, 5, 4, 1024)], {}),
        ([(9, *good[0][1:]), *good[1:]], [group], {}),
        (good[:-1], [(0, 4, 1, 1024)], {}),
        ([*good[:-1], (*good[-1][:3], 1 << 40, 1024, 1024)], [group], {}),
        (good, [group], {"first": 1}),
        (good, [group], {"ngroups": 2}),
        (good, [group], {"psize": 0}),
        (good, [group], {"psize": 4608}),
        (good, [group], {"psize": 1 << 30}),
        (good, [group], {"reserved": 1}),
        (good, [group], {"dest": 512}),
        (good, [group], {"dest": (1 << 64) - 1}),
    ]
    for columns, groups, changes in cases:
        devices = [bytearray(2048) for _ in range(5)]
        job = new_job(4096)
        for name, value in changes.items():
            job[name] = value
        status, _ = run(columns, groups, job, devices, [data])
        assert status == [blockio.JOB_BAD], (groups, changes)
        assert not any(any(device) for device in devices)
    devices = [bytearray(2048) for _ in range(5)]
    assert run(good, [group], new_job(4096, number=99), devices, [data])[0] == [blockio.JOB_UNSUPPORTED]
    assert run(good, [group], new_job(4096, number=14), devices, [data])[0] == [blockio.JOB_UNSUPPORTED]
    assert not any(any(device) for device in devices)
    with pytest.raises(BufferError):
        run(good, [group], new_job(4096), [bytes(2048)] * 5, [data])
    with pytest.raises(ValueError):
        blockwrite.write(b"x", b"", bytearray(), [], [], bytearray(), bytearray())


u32 = st.integers(0, (1 << 32) - 1) | st.integers(0, 2048)
u64 = st.integers(0, (1 << 64) - 1) | st.integers(0, 4096)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 3), st.integers(-1, 3), u64, u64, u32, u32), max_size=8),
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 4), u32), max_size=4),
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), u32, st.integers(0, 20), st.integers(0, 2), u64), max_size=4
    ),
)
def test_any_nonsense(columns, groups, jobs):
    records = np.zeros(len(jobs), JOB)
    for record, (first, count, psize, number, source, at) in zip(records, jobs):
        record["first"], record["ngroups"], record["psize"] = first, count, psize
        record["checksum"], record["reserved"], record["dest"] = number, source, at
    devices = [bytearray(4096), bytearray(512), None]
    status, errors = run(columns, groups, records, devices, [noise(4096), b""])
    assert set(status) <= {blockio.JOB_OK, blockio.JOB_BAD, blockio.JOB_UNSUPPORTED}
    assert set(errors) <= {0, 5}


def test_zeros():
    data = [bytes(4096), bytes(4095) + b"x", b"x" + bytes(4095), b""]
    out = np.full(4, 9, np.uint8)
    sizes = np.array([len(d) for d in data], np.uint64)
    blockwrite.are_zero(data, np.zeros(4, np.uint64), sizes, out)
    assert out.tolist() == [1, 0, 0, 1]
    blockwrite.are_zero([b"".join(data)], np.array([0, 4096, 8192, 12288], np.uint64), sizes, out)
    assert out.tolist() == [1, 0, 0, 1]
    with pytest.raises(ValueError):
        blockwrite.are_zero([bytes(10)], np.array([5], np.uint64), np.array([6], np.uint64), out[:1])
    with pytest.raises(ValueError):
        blockwrite.are_zero(data, np.zeros(3, np.uint64), sizes[:3], out[:3])


def test_runs_the_chosen_kernels():
    before = raidz.implementation()
    try:
        for name in raidz.implementations():
            raidz.select(name)
            assert blockwrite.implementation()["raidz"] == name
    finally:
        raidz.select(before)
    assert set(blockwrite.implementation()) == {"raidz", *checksum.implementation()}


def test_one_write_and_its_flush(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(bytes(10000))
    fd = os.open(path, os.O_RDWR)
    try:
        assert blockwrite.write_durable(fd, noise(5000), 3000) == 0
        assert blockwrite.write_durable(fd, memoryview(bytearray(noise(10, 1))), 0) == 0
        assert blockwrite.write_durable(fd, b"", 0) == 0
    finally:
        os.close(fd)
    assert path.read_bytes() == noise(10, 1) + bytes(2990) + noise(5000) + bytes(2000)
    assert blockwrite.write_durable(fd, b"x", 0) == -errno.EBADF
    assert blockwrite.write_durable(fd, b"", 0) == errno.EBADF
    reader, writer = os.pipe()
    try:
        assert blockwrite.write_durable(writer, b"x", 0) == -errno.ESPIPE
    finally:
        os.close(reader)
        os.close(writer)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        assert blockwrite.write_durable(full.fileno(), b"x", 0) == -errno.ENOSPC
    fd = os.open(path, os.O_RDONLY)
    try:
        assert blockwrite.write_durable(fd, b"x", 0) == -errno.EBADF, "not open for writing"
    finally:
        os.close(fd)
