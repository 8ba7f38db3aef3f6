"""Encoders: what they make is what plain decoders take, never longer than allowed, and short enough."""

from __future__ import annotations

import lz4.block
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import compress, decompress

from . import stream_models as model

TEXT = b"".join(b"%d bottles of beer on the wall, take %d down\n" % (i % 97, i % 7) for i in range(3000))
NOISE = np.random.default_rng(3).integers(0, 256, 1 << 17, dtype=np.uint8).tobytes()
SAMPLES = {
    "one": b"x",
    "zero": b"\0",
    "short": b"abcabcabcabcabcabc",
    "text": TEXT,
    "noise": NOISE[:5000],
    "zeros": bytes(131072),
    "sparse": b"".join(bytes(i % 300) + NOISE[i : i + i % 70] for i in range(400)),
    "lone zeros": b"".join(NOISE[i : i + 3] + b"\0" for i in range(500)),
    "runs": b"".join(bytes([i % 256]) * (i % 90) for i in range(500)),
    "periods": b"".join(NOISE[i : i + i] * 5 for i in range(1, 60)),
    "far": NOISE[:70000] + NOISE[:70000],
}
DECODERS = {"lzjb": model.lzjb_decode, "zle": model.zle_decode, "lz4": model.lz4_decode}
GUARD = 32


def encode(name, data, room):
    """Into the middle of a larger buffer, whose ends must stay as they were."""
    buffer = bytearray(b"\xa5" * (room + 2 * GUARD))
    size = compress.encode(name, data, memoryview(buffer)[GUARD : GUARD + room])
    assert buffer[:GUARD] == buffer[GUARD + room :] == b"\xa5" * GUARD, "wrote outside"
    assert 0 <= size <= room
    return bytes(buffer[GUARD : GUARD + size])


def check(name, data):
    """It reads back; with exactly as much room it still fits, with less it does not."""
    packed = encode(name, data, len(data) * 2 + 64)
    assert packed
    assert DECODERS[name](packed, len(data)) == data
    out = bytearray(len(data))
    getattr(decompress, name)(packed + bytes(9), out)
    assert out == data
    assert encode(name, data, len(packed)) in (packed, b"")
    for less in (1, 2, 7, (len(packed) + 1) // 2, len(packed)):
        assert encode(name, data, max(0, len(packed) - less)) == b""
    return packed


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_samples(name, sample):
    data = SAMPLES[sample]
    packed = check(name, data)
    if name == "zle":
        assert len(packed) <= len(model.zle_encode(data))
    if name == "lz4":
        assert lz4.block.decompress(packed[4:], uncompressed_size=len(data)) == data
        assert len(packed) <= 1.05 * len(lz4.block.compress(data, store_size=False)) + 8
    if name == "lzjb":
        assert len(packed) <= 1.2 * len(model.lzjb_encode(data)) + 8  # which forgets nothing


@pytest.mark.parametrize("name", DECODERS)
def test_every_short_length(name):
    for size in range(1, 80):
        for data in (TEXT[:size], bytes(size), NOISE[:size], b"ab" * (size // 2) + b"c" * (size % 2)):
            check(name, data)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(DECODERS)),
    st.lists(st.binary(min_size=1, max_size=40) | st.integers(1, 300).map(bytes), min_size=1, max_size=12),
    st.lists(st.integers(0, 11), max_size=20),
)
def test_any_data(name, pieces, order):
    check(name, b"".join([*pieces, *(pieces[k % len(pieces)] for k in order)]))


@pytest.mark.parametrize("name", DECODERS)
def test_batches(name):
    length, count = 4096, 40
    blocks = [TEXT[k : k + length] if k % 3 else NOISE[k : k + length] for k in range(count)]
    half = np.frombuffer(b"".join(blocks[:20]), np.uint8)
    sources = [half, *blocks[20:]]
    source = np.array([0] * 20 + list(range(1, 21)), np.uint32)
    offsets = np.array([k * length for k in range(20)] + [0] * 20, np.uint64)
    out, sizes = np.full(count * 4096 + 5, 0xA5, np.uint8), np.full(count, 77, np.uint64)
    compress.many(name, sources, source, offsets, length, 3584, out, 4096, sizes)
    for k, block in enumerate(blocks):
        packed, row = encode(name, block, 3584), out[k * 4096 : (k + 1) * 4096].tobytes()
        assert len(packed) == sizes[k]
        if packed:
            assert row == packed.ljust(4096, b"\0")
    assert set(out[count * 4096 :].tolist()) == {0xA5}
    assert (sizes == 0).any()
    assert name == "zle" or (sizes != 0).any()


def test_mistakes_of_the_caller():
    with pytest.raises(ValueError, match="no encoder"):
        compress.encode("gzip", b"x", bytearray(1))
    with pytest.raises(ValueError, match="overlap"):
        buffer = bytearray(100)
        compress.encode("lz4", memoryview(buffer)[:60], memoryview(buffer)[50:])
    with pytest.raises(BufferError):
        compress.encode("lz4", b"x", b"y")
    assert compress.encode("lz4", b"x", bytearray()) == 0
    one, zero = np.zeros(1, np.uint32), np.zeros(1, np.uint64)
    out, sizes = np.zeros(100, np.uint8), np.zeros(1, np.uint64)
    for arguments in (
        ([bytes(10)], one + np.uint32(1), zero, 10, 10, out, 10, sizes),
        ([bytes(10)], one, zero + np.uint64(1), 10, 10, out, 10, sizes),
        ([bytes(10)], one, zero, 11, 10, out, 10, sizes),
        ([bytes(10)], one, zero, 10, 11, out, 10, sizes),
        ([bytes(10)], one, zero, 10, 101, out, 101, sizes),
        ([bytes(10)], one, zero, 10, 10, out, 10, np.zeros(2, np.uint64)),
    ):
        with pytest.raises(ValueError):
            compress.many("lz4", *arguments)
