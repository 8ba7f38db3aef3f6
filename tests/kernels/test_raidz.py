"""raidz kernels: every one that runs here against the definition, each other, and OpenZFS's bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from uberblock.kernels import raidz

from . import gf256_model as model

Bytes = NDArray[np.uint8]
KERNELS = raidz.implementations()


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test using it runs once for each kernel of this machine."""
    yield raidz.select(request.param)
    raidz.select()


def columns_of(seed: int, lengths: list[int], skew: int = 0) -> list[Bytes]:
    """Random columns that start ``skew`` bytes off whatever alignment an allocation has."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, n + skew, np.uint8)[skew:] for n in lengths]


def parity_of(data: list[Bytes], nparity: int, height: int | None = None, skew: int = 0) -> list[Bytes]:
    height = max(map(len, data)) if height is None else height
    out = [np.full(height + skew, 0xA5, np.uint8)[skew:] for _ in range(nparity)]
    raidz.generate(data, out)
    return out


def check_rebuild(columns: list[Bytes], nparity: int, missing: tuple[int, ...]) -> None:
    damaged = [np.full_like(c, 0x5A) if i in missing else c for i, c in enumerate(columns)]
    raidz.reconstruct(damaged, nparity, missing)
    for i, (got, want) in enumerate(zip(damaged, columns, strict=True)):
        assert np.array_equal(got, want), f"column {i} of {len(columns)}, missing {missing}"


# --- bytes of OpenZFS -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "parity"),
    [("01020304", "040268"), ("80ff1d0053", "316489"), ("c7", "c7c7c7")],
)
def test_single_bytes(kernel: str, data: str, parity: str) -> None:
    got = parity_of([np.array([b], np.uint8) for b in bytes.fromhex(data)], 3)
    assert b"".join(column.tobytes() for column in got).hex() == parity


def pattern(size: int) -> Bytes:
    i = np.arange(size)
    return ((7 * i + 13 * (i // 256) + 3) % 256).astype(np.uint8)


VECTORS = [
    (5, 1, 12, 0x5000, ["717c43d0eee62fa8aa22065bb6ce365dd7a6ab21557189baeee2a107c0d145b0"]),
    (
        6,
        2,
        12,
        0x5000,
        [
            "717c43d0eee62fa8aa22065bb6ce365dd7a6ab21557189baeee2a107c0d145b0",
            "6a08ca83640656d639b14b5afbd7579734c39ad86b0ae5c680d68eccad4ec483",
        ],
    ),
    (
        8,
        3,
        9,
        0xE00,
        [
            "489965c7c2a2b8db54676cff4705700776fdd5978276bb595daac6586663bc59",
            "2ea5a459da5219a3fc69538171f4a6f330ea032036030abfda3ad5f13cefad22",
            "c03da788889f3fd7847be5f8f04c3598b39382f87742d99193e9b38923d8c507",
        ],
    ),
]


@pytest.mark.parametrize(("width", "nparity", "ashift", "psize", "digests"), VECTORS)
def test_blocks_with_short_columns(
    kernel: str, width: int, nparity: int, ashift: int, psize: int, digests: list[str]
) -> None:
    block, sectors = pattern(psize), psize >> ashift
    rows, rest = divmod(sectors, width - nparity)
    heights = [rows + (j < rest) for j in range(width - nparity)]
    ends = np.cumsum(heights) << ashift
    data = [block[end - (h << ashift) : end] for end, h in zip(ends, heights, strict=True)]
    got = parity_of(data, nparity)
    assert [hashlib.sha256(column).hexdigest() for column in got] == digests


# --- the definition ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("nparity", [1, 2, 3])
@pytest.mark.parametrize("ndata", [1, 2, 3, 4, 5, 8, 9, 16, 33, 251, 252])
def test_generate_is_the_definition(kernel: str, ndata: int, nparity: int) -> None:
    data = columns_of(ndata, [2048 + 513] * ndata)
    for got, want in zip(parity_of(data, nparity), model.parity(data, nparity), strict=True):
        assert np.array_equal(got, want)


@pytest.mark.parametrize("ndata", [1, 2, 3, 5])
@pytest.mark.parametrize("nparity", [1, 2, 3])
def test_every_loss_pattern(kernel: str, ndata: int, nparity: int) -> None:
    data = columns_of(7, [777, *([520] * (ndata - 1))])
    columns = [*model.parity(data, nparity), *data]
    for count in range(1, nparity + 1):
        for missing in combinations(range(ndata + nparity), count):
            check_rebuild(columns, nparity, missing)


@pytest.mark.parametrize("ndata", [16, 20, 252])
def test_loss_patterns_of_wide_stripes(kernel: str, ndata: int) -> None:
    columns = columns_of(ndata, [600] * ndata)
    columns = [*model.parity(columns, 3), *columns]
    rng = np.random.default_rng(5)
    for count in (1, 2, 3):
        for _ in range(12):
            check_rebuild(columns, 3, tuple(rng.choice(ndata + 3, count, replace=False).tolist()))
    check_rebuild(columns, 3, (3, 4, ndata + 2))


def test_every_length(kernel: str) -> None:
    for height in [*range(1, 70), 127, 128, 255, 256, 257, 511, 513, 1023, 1025, 1279, 1281, 4097, 9000]:
        data = columns_of(height, [height] * 5, skew=height % 7)
        columns = [*parity_of(data, 3, skew=1), *data]
        for got, want in zip(columns, model.parity(data, 3), strict=False):
            assert np.array_equal(got, want), height
        check_rebuild(columns, 3, (1, 3, 6))


def test_no_byte_beyond_a_column_is_touched(kernel: str) -> None:
    for height in (1, 63, 64, 511, 1537):
        arena = np.full((3, height + 32), 0xEE, np.uint8)
        raidz.generate(columns_of(1, [height] * 4), [row[16:-16] for row in arena])
        assert (arena[:, :16] == 0xEE).all()
        assert (arena[:, -16:] == 0xEE).all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_geometry(data: st.DataObject) -> None:
    nparity = data.draw(st.integers(1, 3))
    lengths = data.draw(st.lists(st.integers(0, 1400), min_size=1, max_size=12))
    height = max(1, *lengths) + data.draw(st.sampled_from([0, 0, 0, 1, 300]))
    columns = columns_of(data.draw(st.integers(0, 99)), lengths, skew=data.draw(st.integers(0, 9)))
    missing = data.draw(
        st.lists(st.integers(0, len(lengths) + nparity - 1), min_size=1, max_size=nparity, unique=True)
    )
    want = model.parity(columns, nparity, height)
    try:
        for name in KERNELS:
            raidz.select(name)
            for got, expected in zip(parity_of(columns, nparity, height), want, strict=True):
                assert np.array_equal(got, expected), name
            check_rebuild([*want, *columns], nparity, tuple(missing))
    finally:
        raidz.select()


def test_the_model_rebuilds_too() -> None:
    data = columns_of(3, [40] * 6)
    columns = [*model.parity(data, 3), *data]
    for missing in combinations(range(9), 3):
        for c, found in model.rebuild(columns, 3, missing).items():
            assert np.array_equal(found, columns[c])


def test_kernels_agree_on_inconsistent_columns() -> None:
    """What is rebuilt from damaged columns is wrong, but the same everywhere."""
    columns = columns_of(11, [3000] * 11)
    for missing in [(3,), (0, 4), (3, 9), (1, 2, 5), (4, 5, 6)]:
        expected = model.rebuild(columns, 3, missing)
        for name in KERNELS:
            raidz.select(name)
            work = [c.copy() for c in columns]
            raidz.reconstruct(work, 3, missing)
            for c in missing:
                assert np.array_equal(work[c], expected[c]), (name, missing, c)
    raidz.select()


def test_damaged_tail_of_the_parity_does_not_reach_longer_columns() -> None:
    """Beyond its end a short column is known to be zero: P alone gives the longer one, whatever Q holds."""
    data = columns_of(2, [1000, 600, 1000])
    columns = [*model.parity(data, 2), *data]
    columns[1][700:] ^= 0xFF
    work = [c.copy() for c in columns]
    work[2][:] = work[3][:] = 0
    raidz.reconstruct(work, 2, [2, 3])
    assert np.array_equal(work[2], data[0])
    assert np.array_equal(work[3], data[1])


def test_phantom_columns_are_zeros() -> None:
    data = columns_of(4, [512, 0, 512, 0])
    want = model.parity(data, 3)
    for got, expected in zip(parity_of(data, 3), want, strict=True):
        assert np.array_equal(got, expected)
    check_rebuild([*want, *data], 3, (2, 4, 6))


def test_columns_nobody_wants(kernel: str) -> None:
    """A missing column given as None is worked around, not rebuilt."""
    data = columns_of(6, [700] * 6)
    columns = [*model.parity(data, 3), *data]
    for missing in combinations(range(9), 3):
        for wanted in missing:
            work = [None if c in missing else column for c, column in enumerate(columns)]
            work[wanted] = np.zeros(700, np.uint8)
            raidz.reconstruct(work, 3, missing)
            assert np.array_equal(work[wanted], columns[wanted]), (missing, wanted)
    with pytest.raises(TypeError, match="column 3: NoneType"):
        raidz.reconstruct([*columns[:3], None, *columns[4:]], 3, [0])


@pytest.mark.parametrize("height", [1 << 13, 1 << 16, (1 << 16) + 512])
def test_tall_columns(kernel: str, height: int) -> None:
    """Tall ones are walked in tiles, and a tile in one of several manners, by the speed of the last."""
    data = columns_of(12, [height] * 6, skew=-height % 3)
    columns = [*model.parity(data, 3), *data]
    for got, want in zip(parity_of(data, 3), columns, strict=False):
        assert np.array_equal(got, want)
    for missing in [(0,), (4,), (1, 5), (0, 3), (3, 4, 8)]:
        check_rebuild(columns, 3, missing)


@pytest.mark.parametrize("ndata", [9, 16, 26])
def test_wide_and_tall_columns(kernel: str, ndata: int) -> None:
    """Many columns are walked in parts, piece after piece; every set of parities has sums of its own to carry."""
    data = columns_of(ndata, [9216 + 512 + 64] * ndata)
    columns = [*model.parity(data, 3), *data]
    low, last = 4, ndata + 2
    for parities in [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]:
        for lost in [(), (low,), (last,), (low, last), (3, low, last)]:
            if 1 <= len(parities) + len(lost) <= 3:
                check_rebuild(columns, 3, (*parities, *lost))


@pytest.mark.parametrize("ndata", [3, 8, 17])
def test_results_past_the_caches(kernel: str, ndata: int) -> None:
    """Where outputs are aligned they may be stored past the caches, unless they are to be kept: the bytes are the
    same, and nothing beyond a column is touched."""
    room = np.full((ndata + 3) * 8192 + 64, 0xEE, np.uint8)
    arena = room[-room.ctypes.data % 64 :][: (ndata + 3) * 8192].reshape(ndata + 3, 8192)
    height = 8192 - 512
    columns = [row[:height] for row in arena]
    for column, data in zip(columns[3:], columns_of(ndata, [height] * ndata), strict=True):
        column[:] = data
    want = [*model.parity(columns[3:], 3), *(c.copy() for c in columns[3:])]
    for keep in (False, True):
        for column in columns[:3]:
            column[:] = 0
        raidz.generate(columns[3:], columns[:3], keep=keep)
        for missing in [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (4,), (3, 5), (1, 4), (0, 4, 5), (3, 4, 5)]:
            for c in missing:
                columns[c][:] = 0x5A
            raidz.reconstruct(columns, 3, missing, keep=keep)
            for got, expected in zip(columns, want, strict=True):
                assert np.array_equal(got, expected), (missing, keep)
    assert (arena[:, height:] == 0xEE).all()


def test_many_stripes(kernel: str) -> None:
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 256, (5, 3 + 4, 600), np.uint8)
    parity = np.empty((5, 3, 600), np.uint8)
    raidz.generate_many(stack[:, 3:].copy(), parity)
    stack[:, :3] = parity
    for stripe in stack:
        for got, want in zip(stripe, model.parity(list(stripe[3:]), 3), strict=False):
            assert np.array_equal(got, want)
    whole = stack.copy()
    stack[:, [0, 4, 6]] = 0
    raidz.reconstruct_many(stack, 3, [6, 0, 4])
    assert np.array_equal(stack, whole)


def test_many_stripes_refused() -> None:
    zeros = np.zeros((2, 3, 8), np.uint8)
    cases = [
        (zeros[0], zeros, "data: an array of stripes x columns x bytes"),
        (zeros.astype(np.uint16), zeros, "data: an array of stripes x columns x bytes"),
        (zeros[:, ::2], zeros, "data: not contiguous"),
        (zeros, zeros.tobytes(), "parity: read-only"),
        (zeros, zeros, "overlaps"),
        (zeros, np.zeros((1, 1, 8), np.uint8), "2 stripes of data, 1 of parity"),
        (zeros, np.zeros((2, 4, 8), np.uint8), "4 parity columns"),
        (zeros, np.zeros((2, 1, 7), np.uint8), "longer than the parity"),
        (np.zeros((2, 253, 8), np.uint8), np.zeros((2, 1, 8), np.uint8), "253 data columns"),
    ]
    for data, parity, message in cases:
        with pytest.raises(ValueError, match=message):
            raidz.generate_many(data, parity)
    with pytest.raises(ValueError, match="must be 1 to"):
        raidz.reconstruct_many(zeros, 1, [0, 1])
    with pytest.raises(ValueError, match="0 data columns"):
        raidz.reconstruct_many(zeros, 3, [0])
    raidz.generate_many(np.zeros((0, 3, 8), np.uint8), np.zeros((0, 1, 8), np.uint8))


def test_many_threads() -> None:
    data = columns_of(8, [1 << 16] * 8)
    columns = [*model.parity(data, 3), *data]
    failures: list[BaseException] = []

    def work(missing: tuple[int, ...]) -> None:
        try:
            for _ in range(20):
                check_rebuild(columns, 3, missing)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(m,)) for m in [(0, 5), (3, 4, 5), (1, 2, 10), (7,)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# --- buffers and mistakes ---------------------------------------------------------------------------------


def test_any_buffer_will_do() -> None:
    words = np.full(1, 0x0404040404040404, np.uint64)
    data = [b"\x01" * 8, bytearray(b"\x02" * 8), memoryview(b"\x03" * 8), words]
    p, q = bytearray(8), np.zeros((2, 4), np.uint8)
    raidz.generate(data, [p, q])
    assert bytes(p) == b"\x04" * 8
    assert q.tobytes() == b"\x02" * 8


def new(*sizes: int) -> list[bytearray]:
    return [bytearray(n) for n in sizes]


shared = bytearray(64)
REFUSED = {
    "no data": ([], new(8), "0 data columns"),
    "too much data": (new(*[8] * 253), new(8), "253 data columns"),
    "no parity": (new(8), [], "0 parity columns"),
    "four parities": (new(8), new(8, 8, 8, 8), "4 parity columns"),
    "empty parity": (new(0), new(0), "empty or of unequal"),
    "unequal parity": (new(8), new(8, 9), "empty or of unequal"),
    "long data": (new(8, 9), new(8), "longer than the parity"),
    "read-only parity": (new(8), [bytes(8)], "parity column 0: read-only"),
    "read-only array": (new(8), [np.frombuffer(bytes(8), np.uint8)], "parity column 0: read-only"),
    "strided data": ([np.zeros(16, np.uint8)[::2]], new(8), "data column 0: not contiguous"),
    "parity on data": ([memoryview(shared)[:8]], [memoryview(shared)[7:15]], "overlaps"),
    "parity on parity": (new(8), [memoryview(shared)[:8], memoryview(shared)[4:12]], "overlaps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_generate_refuses(case: str) -> None:
    data, parity, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        raidz.generate(data, parity)


MISSING = "must be 1 to"
REFUSED_REBUILDS = {
    "none missing": (new(8, 8, 8), 1, [], MISSING),
    "too many": (new(8, 8, 8), 1, [0, 1], MISSING),
    "twice": (new(8, 8, 8, 8), 2, [1, 1], MISSING),
    "does not exist": (new(8, 8, 8), 1, [3], MISSING),
    "negative": (new(8, 8, 8), 1, [-1], MISSING),
    "huge": (new(8, 8, 8), 1, [1 << 70], MISSING),
    "no parity": (new(8, 8), 0, [0], "0 parity columns"),
    "four parities": (new(*[8] * 8), 4, [0], "4 parity columns"),
    "no data": (new(8, 8), 2, [0], "0 data columns"),
    "too much data": (new(*[8] * 254), 1, [0], "253 data columns"),
    "unequal parity": (new(8, 9, 8), 2, [0], "unequal"),
    "empty parity": (new(0, 0), 1, [0], "empty"),
    "long data": (new(8, 9), 1, [0], "longer than the parity"),
    "read-only": ([bytearray(8), bytes(8)], 1, [1], "column 1: read-only"),
    "overlap": ([bytearray(8), memoryview(shared)[:8], memoryview(shared)[1:9]], 1, [1], "overlaps"),
}


@pytest.mark.parametrize("case", REFUSED_REBUILDS)
def test_reconstruct_refuses(case: str) -> None:
    columns, nparity, missing, message = REFUSED_REBUILDS[case]
    with pytest.raises(ValueError, match=message):
        raidz.reconstruct(columns, nparity, missing)


def test_only_missing_columns_need_be_writable() -> None:
    rebuilt = bytearray(4)
    raidz.reconstruct([b"\x07" * 4, b"\x05" * 4, rebuilt], 1, [2])
    assert bytes(rebuilt) == b"\x02" * 4
    with pytest.raises(TypeError, match="data column 0: int is no buffer"):
        raidz.generate([5], [rebuilt])  # type: ignore[list-item]


def test_buffers_are_let_go() -> None:
    data, parity = bytearray(8), bytearray(8)
    raidz.generate([data], [parity])
    with pytest.raises(ValueError, match="longer"):
        raidz.generate([bytearray(9)], [parity])
    data.extend(b"x")  # BufferError, were it still held
    parity.extend(b"x")


# --- the choice of a kernel -------------------------------------------------------------------------------


def test_choice() -> None:
    try:
        for name in KERNELS:
            assert raidz.select(name) == raidz.implementation() == name
    finally:
        raidz.select()
    assert "scalar" in KERNELS
    assert set(KERNELS) <= set(raidz.known_implementations())
    with pytest.raises(ValueError, match="no raidz kernel is called 'mmx'"):
        raidz.select("mmx")


def test_kernels_of_another_processor_are_not_built() -> None:
    foreign = "neon" if "ssse3" in KERNELS else "ssse3"
    with pytest.raises(NotImplementedError, match="not in this build"):
        raidz.select(foreign)


def run(code: str, kernel: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "UBERBLOCK_RAIDZ": kernel, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)


def test_environment_names_the_kernel() -> None:
    code = "from uberblock.kernels import raidz; print(raidz.implementation())"
    assert run(code, "scalar").stdout == "scalar\n"
    assert "ValueError: no raidz kernel is called 'mmx'" in run(code, "mmx").stderr
