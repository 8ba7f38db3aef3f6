"""Checksums: every kernel against vectors of OpenZFS and definitions written down a second time."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator

import blake3 as blake3_package
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import checksum

from . import hash_models as model

SALT = bytes(range(32))
SAMPLE = bytes((7 * i + 13 * (i // 256) + 3) % 256 for i in range(4096))
NOISE = np.random.default_rng(7).integers(0, 256, 1 << 20, dtype=np.uint8).tobytes()

#: name, byteswap, words: made by OpenZFS's own functions over SAMPLE, with SALT.
VECTORS = [
    ("fletcher2", False, "ffffffffffffff80 ffffffffffffff80 660b60681b855740 f319f378b58ded40"),
    ("fletcher2", True, "ffffffffffffff80 ffffffffffffff80 861b68600b6633c0 8db578f419f236c0"),
    ("fletcher4", False, "000001fffffffe00 00040030a8e06300 05570d8b87e5fc00 593b78bed6999780"),
    ("fletcher4", True, "000001fffffffe00 00040164e4a32f00 0558cf8ffdadf600 5b93f65e1dc8a980"),
    ("sha256", False, "f14c1796feba922c c6e7f4143f6b9cfd 2c9657a84b8756d6 521d3d4859d74d02"),
    ("sha512", False, "f485e6dccfd15081 5d5634ab8b8f14bb ca1aaa89181b16e8 d789f77a3f233416"),
    ("skein", False, "4b81b91d311702f9 e586ce794b1945b6 671addcd5e856b6d b8abd833217039ed"),
    ("edonr", False, "c0ee2be17f23f032 fc5ea84d4d11dd49 067eaa5a33f6b514 a6f0a5a2baf60994"),
    ("blake3", False, "d0ce632b48b2acb9 f08c570bba11f24d 04885791b6160b13 ea24aa962a46988d"),
]
KERNELS = [(family, name) for family, names in checksum.implementations().items() for name in names]
OF_FAMILY = {
    "fletcher": ("fletcher2", "fletcher4"),
    "sha256": ("sha256",),
    "sha512": ("sha512",),
    "edonr": ("edonr",),
    "blake3": ("blake3",),
}
KERNELS = [pair for pair in KERNELS if pair[0] in OF_FAMILY]
#: Kernels for several buffers at once, and the checksum they compute.
MANY = {
    "sha256_many": "sha256",
    "sha512_many": "sha512",
    "blake3": "blake3",
    "skein_many": "skein",
    "edonr_many": "edonr",
}
MANY_KERNELS = [(family, name) for family in MANY for name in checksum.implementations()[family]]


def call(name: str, data: bytes | memoryview, byteswap: bool = False) -> bytes:
    salt = (SALT,) if name in checksum.SALTED else ()
    result = getattr(checksum, name)(data, *salt, byteswap=byteswap)
    assert isinstance(result, bytes)
    return result


def words_swapped(digest: bytes) -> bytes:
    return struct.pack(">4Q", *struct.unpack("<4Q", digest))


def expected(name: str, data: bytes, byteswap: bool = False) -> bytes:
    """The same by other means."""
    order = ">" if byteswap else "<"
    if name == "fletcher2":
        return model.fletcher2(data, order)
    if name == "fletcher4":
        return model.fletcher4(data, order)
    if name == "sha256":
        return words_swapped(hashlib.sha256(data).digest())
    if name == "sha512":
        digest = hashlib.new("sha512_256", data).digest()
    elif name == "skein":
        digest = model.skein(data, SALT)
    elif name == "edonr":
        digest = model.edonr(data, SALT)
    else:
        digest = blake3_package.blake3(data, key=SALT).digest()
    return words_swapped(digest) if byteswap else digest


@pytest.fixture(params=KERNELS, ids=lambda pair: "-".join(pair))
def kernel(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Each implementation in turn; gives the names of the checksums it computes."""
    family, name = request.param
    before = checksum.implementation()[family]
    assert checksum.select(family, name)[family] == name
    yield OF_FAMILY[family]
    checksum.select(family, before)


@pytest.mark.parametrize(("name", "byteswap", "words"), VECTORS)
def test_vectors(name: str, byteswap: bool, words: str) -> None:
    assert call(name, SAMPLE, byteswap) == struct.pack("<4Q", *(int(w, 16) for w in words.split()))


def test_vectors_on_every_kernel(kernel: tuple[str, ...]) -> None:
    for name, byteswap, words in VECTORS:
        if name in kernel:
            assert call(name, SAMPLE, byteswap) == struct.pack("<4Q", *(int(w, 16) for w in words.split()))


def test_label_of_an_empty_boot_block() -> None:
    """A label checksum: SHA-256 over the region with its own place in it, 8192 zeros at offset 8192."""
    region = bytes(8192 - 40) + struct.pack("<5Q", 0x0210DA7AB10C7A11, 8192, 0, 0, 0)
    words = [0x97F48F807F6E2A3F, 0xAF909F1658AACEFC, 0xCBD1EA57FF6DB48B, 0x6EC692DB0D465FAB]
    assert checksum.sha256(region) == struct.pack("<4Q", *words)


@pytest.mark.parametrize("name", ["skein", "edonr", "blake3"])
def test_salted_lengths(name: str) -> None:
    """Around every multiple of the block sizes, where padding turns over."""
    lengths = (0, 1, 31, 32, 63, 64, 65, 111, 112, 118, 119, 120, 127, 128, 129, 247, 248, 255, 256, 257, 999)
    for length in lengths:
        for byteswap in (False, True):
            assert call(name, NOISE[:length], byteswap) == expected(name, NOISE[:length], byteswap)


def test_edonr_submission_vector() -> None:
    assert model.edonr512(b"abc")[:16] == bytes.fromhex("1b14db155f1d406594b8cef70a4362ec")


def test_every_length_and_alignment(kernel: tuple[str, ...]) -> None:
    view = memoryview(NOISE)
    for name in kernel:
        unit = {"fletcher2": 16, "fletcher4": 4}.get(name, 1)
        most = {"fletcher2": 1600, "fletcher4": 900, "edonr": 40, "sha512": 1700, "blake3": 2100}.get(name, 300)
        for i, length in enumerate(range(0, most, unit)):
            for byteswap in (False, True):
                piece = view[i % 67 : i % 67 + length]
                assert call(name, piece, byteswap) == expected(name, bytes(piece), byteswap), (name, length)


@pytest.mark.parametrize("fill", [b"\xff", b"\x00", b"\x80\x00\x00\x00"])
def test_sums_wrap(kernel: tuple[str, ...], fill: bytes) -> None:
    """A mebibyte of the largest words overflows 64 bits in c and d many times over."""
    data = fill * ((1 << 20) // len(fill))
    for name in kernel:
        if name.startswith("fletcher"):
            assert call(name, data) == expected(name, data)
            assert call(name, data, True) == expected(name, data, True)


def test_large_blocks(kernel: tuple[str, ...]) -> None:
    for name in kernel:
        for size in (512, 4096, 131072, 1 << 20):
            if name != "edonr" or size <= 4096:
                assert call(name, NOISE[:size]) == expected(name, NOISE[:size])


@pytest.mark.parametrize("name", ["sha512", "blake3"])
def test_lone_blocks_that_libraries_hash(name: str) -> None:
    """Around the sizes from which on they do; a kernel named by a call hashes all."""
    for size in (511, 512, 16383, 16384, 100_001):
        array = np.frombuffer(NOISE, np.uint8)[3 : 3 + size]
        for byteswap in (False, True):
            want = expected(name, array.tobytes(), byteswap)
            assert call(name, array.data, byteswap) == want
            assert call(name, memoryview(array.tobytes()), byteswap) == want
    assert call(name, np.frombuffer(NOISE, np.uint64).data) == expected(name, NOISE)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fletcher_by_chance(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["fletcher2", "fletcher4"]))
    kernel_name = data.draw(st.sampled_from(checksum.implementations()["fletcher"]))
    unit = data.draw(st.sampled_from([16, 512]))
    start, count = data.draw(st.integers(0, 5000)), data.draw(st.integers(0, 9000 // unit))
    byteswap = data.draw(st.booleans())
    piece = memoryview(NOISE)[start : start + unit * count]
    before = checksum.implementation()["fletcher"]
    checksum.select("fletcher", kernel_name)
    try:
        assert call(name, piece, byteswap) == expected(name, bytes(piece), byteswap)
    finally:
        checksum.select("fletcher", before)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 3000), st.booleans())
def test_fletcher4_combine(first: int, second: int, full: bool) -> None:
    data = b"\xff" * 4 * (first + second) if full else NOISE[: 4 * (first + second)]
    a, b = checksum.fletcher4(data[: 4 * first]), checksum.fletcher4(data[4 * first :])
    assert checksum.fletcher4_combine(a, b, 4 * second) == checksum.fletcher4(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fletcher_goes_on(data: st.DataObject) -> None:
    """In parts of any lengths, on every kernel; and the sums of parts put together."""
    name, unit = data.draw(st.sampled_from([("fletcher2", 16), ("fletcher4", 4)]))
    kernel_name = data.draw(st.sampled_from(checksum.implementations()["fletcher"]))
    lengths = [unit * n for n in data.draw(st.lists(st.integers(0, 3000 // unit), min_size=1, max_size=6))]
    byteswap = data.draw(st.booleans())
    sums = getattr(checksum, name)
    combine = getattr(checksum, f"{name}_combine")
    checksum.select("fletcher", kernel_name)
    try:
        at, total, combined = 0, None, bytes(32)
        for n in lengths:
            piece = NOISE[at : at + n]
            total = sums(piece, byteswap=byteswap, start=total)
            combined = combine(combined, sums(piece, byteswap=byteswap), n)
            at += n
        assert total == combined == expected(name, NOISE[:at], byteswap)
    finally:
        checksum.select("fletcher")


def test_fletcher_of_more_than_a_kernel_takes_in_one_go() -> None:
    """Vector kernels sum at most 2^20 vectors at a time."""
    data = np.frombuffer(NOISE * 70, np.uint8)[: (70 << 20) - 4]
    try:
        checksum.select("fletcher", "scalar")
        want = checksum.fletcher4(data)
        for kernel_name in checksum.implementations()["fletcher"]:
            checksum.select("fletcher", kernel_name)
            assert checksum.fletcher4(data) == want
    finally:
        checksum.select("fletcher")


def test_fletcher4_combine_over_huge_lengths() -> None:
    """2^34 words of zero after sums of five: the weights are those of the formula, modulo 2^64."""
    one = struct.pack("<4Q", 5, 5, 5, 5)
    n = 1 << 34
    weights = [1, n, n * (n + 1) // 2, n * (n + 1) * (n + 2) // 6]
    want = [5 * sum(weights[: i + 1]) for i in range(4)]
    got = checksum.fletcher4_combine(one, bytes(32), 4 * n)
    assert got == struct.pack("<4Q", *(w % (1 << 64) for w in want))


# --- batches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(checksum.IDS))
@pytest.mark.parametrize("byteswap", [False, True])
def test_many_equal_one_by_one(name: str, byteswap: bool) -> None:
    sizes = np.array([512, 0, 4096, 128, 1024, 512, 16, 131072, 160] * 3, dtype=np.int64)
    offsets = np.arange(len(sizes), dtype=np.int64) * 1001
    pieces = [memoryview(NOISE)[o : o + n] for o, n in zip(offsets, sizes)]
    want = np.frombuffer(b"".join(call(name, p, byteswap) for p in pieces), dtype="<u8").reshape(-1, 4)
    out = np.zeros((len(sizes), 4), dtype=np.uint64)
    checksum.many(name, pieces, out, salt=SALT, byteswap=byteswap)
    assert np.array_equal(out, want)
    out[:] = 0
    checksum.many_at(name, NOISE, offsets, sizes, out, salt=SALT, byteswap=byteswap)
    assert np.array_equal(out, want)


@pytest.fixture(params=MANY_KERNELS, ids=lambda pair: "-".join(pair))
def many_kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each implementation of batches in turn; gives the name of the checksum it computes."""
    family, name = request.param
    before = checksum.implementation()[family]
    checksum.select(family, name)
    yield MANY[family]
    checksum.select(family, before)


def check_many(name: str, sizes: list[int], byteswap: bool) -> None:
    """Pieces of these sizes at odd places, against the same by other means (for Skein and Edon-R, whose definitions in
    Python are slow, one by one)."""
    one = call if name in ("skein", "edonr") else expected
    offsets = np.arange(len(sizes), dtype=np.int64) * 777 % (len(NOISE) - max(sizes, default=0))
    pieces = [NOISE[o : o + n] for o, n in zip(offsets, sizes)]
    out = np.zeros((len(sizes), 4), dtype=np.uint64)
    checksum.many_at(name, NOISE, offsets, np.array(sizes, dtype=np.int64), out, salt=SALT, byteswap=byteswap)
    assert out.tobytes() == b"".join(one(name, piece, byteswap) for piece in pieces)


@pytest.mark.parametrize("byteswap", [False, True])
def test_side_by_side_every_count(many_kernel: str, byteswap: bool) -> None:
    """Fewer, as many and more buffers than there are lanes, of one size."""
    for count in (*range(36), 67):
        for size in (0, 64, 1024, 5 * 1024 + 512):
            check_many(many_kernel, [size] * count, byteswap)


def test_side_by_side_every_length(many_kernel: str) -> None:
    """Lanes that end at different times, around every turn of the padding and of the tree."""
    check_many(many_kernel, list(range(300)), False)
    check_many(many_kernel, list(range(4200, 900, -37)), True)
    check_many(many_kernel, [1024 * n + d for n in range(1, 20) for d in (-1, 0, 1, 512)], False)


def test_trees_of_every_height() -> None:
    """Chunk counts around powers of two, also beyond what one call of the kernel takes."""
    counts = [1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 31, 33, 63, 65, 127, 129, 255, 256, 257, 511, 512, 513, 769, 1023]
    try:
        for kernel_name in checksum.implementations()["blake3"]:
            checksum.select("blake3", kernel_name)
            check_many("blake3", [1024 * n - d for n in counts for d in (512, 1, 0)], False)
            assert call("blake3", NOISE * 3) == expected("blake3", NOISE * 3)
    finally:
        checksum.select("blake3")


def test_one_large_among_small(many_kernel: str) -> None:
    check_many(many_kernel, [512] * 40 + [700_001] + [0, 4096] * 20 + [1 << 19, 300_032], False)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_side_by_side_by_chance(data: st.DataObject) -> None:
    family, kernel_name = data.draw(st.sampled_from(MANY_KERNELS))
    sizes = data.draw(st.lists(st.integers(0, 3000) | st.sampled_from([512, 4096, 131072]), max_size=50))
    before = checksum.implementation()[family]
    checksum.select(family, kernel_name)
    try:
        check_many(MANY[family], sizes, data.draw(st.booleans()))
    finally:
        checksum.select(family, before)


def test_many_of_none() -> None:
    none = np.zeros(0, dtype=np.int64)
    for name in checksum.IDS:
        checksum.many(name, [], np.zeros((0, 4), dtype=np.uint64), salt=SALT)
        checksum.many_at(name, b"", none, none, np.zeros((0, 4), dtype=np.uint64), salt=SALT)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(-1, 16), (0, -16), (4096, 16), (4081, 16), (2**62, 16), (16, 2**63 - 1), (2**63 - 1, 2**63 - 1)],
)
@pytest.mark.parametrize("name", ["fletcher4", "blake3"])
def test_ranges_outside_the_buffer(name: str, offset: int, size: int) -> None:
    out = np.zeros((1, 4), dtype=np.uint64)
    at, length = np.array([offset], dtype=np.int64), np.array([size], dtype=np.int64)
    with pytest.raises(ValueError, match="leaves the buffer"):
        checksum.many_at(name, SAMPLE, at, length, out, salt=SALT)


def test_wrong_shapes_and_types() -> None:
    at, size = np.zeros(2, dtype=np.int64), np.full(2, 16, dtype=np.int64)
    out = np.zeros((2, 4), dtype=np.uint64)
    floats, halves = np.zeros((2, 4), dtype=np.float64), np.zeros((2, 8), dtype=np.uint32)
    for bad in (out[:1], floats, halves, out.astype(">u8"), out.T):
        with pytest.raises(ValueError):
            checksum.many_at("fletcher4", SAMPLE, at, size, bad)
        with pytest.raises(ValueError):
            checksum.many("fletcher4", [SAMPLE, SAMPLE], bad)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        checksum.many("fletcher4", [SAMPLE, SAMPLE], out)
    fresh = np.zeros((2, 4), dtype=np.uint64)
    with pytest.raises(ValueError, match="offsets"):
        checksum.many_at("fletcher4", SAMPLE, at.astype(np.int32), size, fresh)
    with pytest.raises(ValueError, match="as many sizes"):
        checksum.many_at("fletcher4", SAMPLE, at, size[:1], fresh)
    with pytest.raises(TypeError):
        checksum.many("fletcher4", [1, 2], fresh)  # type: ignore[list-item]
    with pytest.raises(TypeError):
        checksum.fletcher4("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        checksum.fletcher4(np.zeros((4, 4), dtype=np.uint8)[:, ::2])


def test_lengths_that_are_not_defined() -> None:
    for length in (1, 2, 3, 5, 4095):
        with pytest.raises(ValueError, match="no multiple of 4"):
            checksum.fletcher4(SAMPLE[:length])
    for length in (1, 8, 15, 24):
        with pytest.raises(ValueError, match="no multiple of 16"):
            checksum.fletcher2(SAMPLE[:length])
    out = np.zeros((2, 4), dtype=np.uint64)
    with pytest.raises(ValueError, match="over 7 bytes"):
        checksum.many("fletcher4", [SAMPLE, SAMPLE[:7]], out)
    with pytest.raises(ValueError):
        checksum.fletcher4_combine(bytes(32), bytes(32), 7)
    with pytest.raises(ValueError, match="32 bytes"):
        checksum.fletcher4_combine(bytes(31), bytes(32), 8)
    with pytest.raises(ValueError, match="no multiple of 16"):
        checksum.fletcher2_combine(bytes(32), bytes(32), 8)
    with pytest.raises(ValueError, match="no multiple of 4"):
        checksum.fletcher4(SAMPLE[:6], start=bytes(32))
    with pytest.raises(ValueError, match="start"):
        checksum.fletcher2(SAMPLE, start=bytes(33))


@pytest.mark.parametrize("name", sorted(checksum.SALTED))
@pytest.mark.parametrize("salt", [b"", bytes(31), bytes(33)])
def test_salt_of_another_length(name: str, salt: bytes) -> None:
    with pytest.raises(ValueError, match="salt of 32 bytes"):
        getattr(checksum, name)(SAMPLE, salt)
    with pytest.raises(ValueError, match="salt of 32 bytes"):
        checksum.many(name, [SAMPLE], np.zeros((1, 4), dtype=np.uint64), salt=salt)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="no checksum is called 'crc'"):
        checksum.many("crc", [], b"")


# --- choice of implementations ------------------------------------------------------------------------------


def test_choice_and_its_three_errors() -> None:
    known, runnable = checksum.known_implementations(), checksum.implementations()
    assert list(known) == list(runnable) == list(checksum.FAMILIES)
    for family in checksum.FAMILIES:
        assert known[family][-1] == runnable[family][-1] == ("single" if family.endswith("_many") else "scalar")
        with pytest.raises(ValueError, match=r"no .* kernel is called 'abacus'"):
            checksum.select(family, "abacus")
        for name in set(known[family]) - set(runnable[family]):
            with pytest.raises((NotImplementedError, RuntimeError)) as refusal:
                checksum.select(family, name)
            if refusal.type is NotImplementedError:
                assert "not in this build" in str(refusal.value)
            else:
                assert "lacks" in str(refusal.value)
    with pytest.raises(ValueError, match="no family"):
        checksum.select("crc", "scalar")
    with pytest.raises(ValueError, match="name the family"):
        checksum.select(None, "scalar")


@pytest.mark.parametrize("family", checksum.FAMILIES)
def test_environment_names_a_kernel(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    best = checksum.implementations()[family][0]
    variable = f"UBERBLOCK_{family.upper()}"
    try:
        last = checksum.known_implementations()[family][-1]
        monkeypatch.setenv(variable, last)
        assert checksum.select(family)[family] == last
        monkeypatch.setenv(variable, "")
        assert checksum.select()[family] == best
        monkeypatch.setenv(variable, "abacus")
        with pytest.raises(ValueError, match="abacus"):
            checksum.select(family)
        assert checksum.implementation()[family] == best
    finally:
        monkeypatch.delenv(variable)
        checksum.select(family)


def test_unusable_environment_is_told_at_import() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import uberblock.kernels.checksum"],
        env={**os.environ, "UBERBLOCK_FLETCHER": "abacus"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "no fletcher kernel is called 'abacus'" in run.stderr


def test_threads_while_the_choice_changes() -> None:
    want = checksum.fletcher4(NOISE)
    wrong: list[bytes] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            got = checksum.fletcher4(NOISE)
            if got != want:
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        for name in checksum.implementations()["fletcher"]:
            checksum.select("fletcher", name)
    done.set()
    for thread in threads:
        thread.join()
    checksum.select("fletcher")
    assert not wrong
