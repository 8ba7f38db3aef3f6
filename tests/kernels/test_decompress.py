"""Decoders: valid streams give what went in, all others are refused, where plain decoders refuse them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import lz4.block
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from uberblock.kernels import decompress

from . import stream_models as model

TEXT = b"".join(b"%d bottles of beer on the wall, take %d down\n" % (i % 97, i % 7) for i in range(3000))
NOISE = np.random.default_rng(3).integers(0, 256, 1 << 17, dtype=np.uint8).tobytes()
GUARD = 64


def lz4_encode(data: bytes, **options: object) -> bytes:
    return model.lz4_frame(lz4.block.compress(data, store_size=False, **options))


DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "lzjb": model.lzjb_decode,
    "zle": model.zle_decode,
    "lz4": model.lz4_decode,
}
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "lzjb": model.lzjb_encode,
    "zle": model.zle_encode,
    "lz4": lz4_encode,
}
SAMPLES = {
    "empty": b"",
    "one": b"x",
    "short": b"abcabcabcabcabcabc",
    "text": TEXT,
    "noise": NOISE[:5000],
    "zeros": bytes(131072),
    "sparse": b"".join(bytes(i % 300) + NOISE[i : i + i % 70] for i in range(400)),
    "runs": b"".join(bytes([i % 256]) * (i % 90) for i in range(500)),
    "periods": b"".join(NOISE[i : i + i] * 5 for i in range(1, 60)),
}


def decode(name: str, data: bytes | memoryview, size: int) -> bytes:
    """Run one of ours into the middle of a larger buffer, whose ends must stay as they were."""
    room = bytearray(b"\xa5" * (size + 2 * GUARD))
    try:
        getattr(decompress, name)(data, memoryview(room)[GUARD : GUARD + size])
    finally:
        assert room[:GUARD] == room[GUARD + size :] == b"\xa5" * GUARD, "wrote outside"
    return bytes(room[GUARD : GUARD + size])


def check_against_model(name: str, data: bytes, size: int) -> None:
    try:
        want = DECODERS[name](data, size)
    except model.Corrupt:
        with pytest.raises(ValueError, match=f"no {name} stream of exactly {size} bytes"):
            decode(name, data, size)
    else:
        assert decode(name, data, size) == want


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("name", DECODERS)
def test_round_trip(name: str, sample: str) -> None:
    plain = SAMPLES[sample]
    stored = ENCODERS[name](plain)
    for fill in (0, 1, 500):
        assert decode(name, stored + bytes(fill), len(plain)) == plain
    if plain:
        check_against_model(name, stored, len(plain) - 1)
    check_against_model(name, stored, len(plain) + 1)


@pytest.mark.parametrize("mode", ["fast", "default", "high_compression"])
def test_lz4_levels(mode: str) -> None:
    for plain in SAMPLES.values():
        assert decode("lz4", lz4_encode(plain, mode=mode), len(plain)) == plain


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(DECODERS)), st.lists(st.binary(max_size=40), max_size=8), st.data())
def test_round_trip_by_chance(name: str, pieces: list[bytes], data: st.DataObject) -> None:
    plain = b"".join(p * data.draw(st.integers(1, 30)) for p in pieces)
    assert decode(name, ENCODERS[name](plain), len(plain)) == plain


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=200), st.integers(0, 400))
@example("lz4", b"", 0)
@example("lz4", b"\0\0\0\0", 0)
@example("lz4", b"\0\0\0\1\0", 0)
@example("lz4", b"\0\0\0\1\0", 1)
@example("lz4", b"\xff\xff\xff\xff\0", 1)
@example("lzjb", b"", 0)
@example("zle", b"\xff", 192)
def test_arbitrary_bytes(name: str, data: bytes, size: int) -> None:
    check_against_model(name, data, size)
    if name == "lz4":
        check_against_model(name, model.lz4_frame(data), size)


@pytest.mark.parametrize("name", DECODERS)
def test_every_cut_is_refused(name: str) -> None:
    """A stream that ends early, or is asked for another length, is no stream."""
    plain = TEXT[:700] + bytes(100) + NOISE[:50]
    stored = ENCODERS[name](plain)
    for cut in range(len(stored)):
        check_against_model(name, stored[:cut], len(plain))
        if name == "lz4":
            check_against_model(name, model.lz4_frame(stored[4 : 4 + cut]), len(plain))
    for size in range(len(plain) + 80):
        check_against_model(name, stored, size)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("sample", ["short", "text", "sparse", "periods"])
def test_mutations(name: str, sample: str) -> None:
    """Bytes changed, removed, put in: the kernel and the plain decoder agree about every one."""
    random = Random(f"{name} {sample}")
    plain = SAMPLES[sample][:3000]
    stored = ENCODERS[name](plain)
    for _ in range(250):
        hurt = bytearray(stored)
        for _ in range(random.choice((1, 1, 1, 2, 5, 20))):
            at = random.randrange(len(hurt))
            kind = random.randrange(4)
            if kind == 0:
                hurt[at] ^= 1 << random.randrange(8)
            elif kind == 1:
                hurt[at] = random.choice((0, 1, 15, 0xF0, 0xFF, random.randrange(256)))
            elif kind == 2 and len(hurt) > 1:
                del hurt[at]
            else:
                hurt.insert(at, random.randrange(256))
        check_against_model(name, bytes(hurt), len(plain))


# --- LZ4 in particular --------------------------------------------------------------------------------------


def test_lz4_every_distance_and_length() -> None:
    """Short distances repeat inside one copy: all of them, with lengths around every step of the kernel, far
    from the end of the buffer and right before it."""
    for distance in (*range(1, 70), 127, 128, 1000):
        head = NOISE[: distance + 3]
        for match in (*range(4, 40), 63, 64, 65, 66, 100, 128, 129, 1000):
            plain = bytearray(head)
            model.repeat(plain, distance, match, 1 << 20)
            for tail in (b"", b"last5", NOISE[:200]):
                block = model.lz4_sequence(head, distance, match) + model.lz4_sequence(tail)
                assert decode("lz4", model.lz4_frame(block), len(plain) + len(tail)) == plain + tail


@pytest.mark.parametrize("end", [0, 1, 5, 12, 40])
def test_lz4_chance_sequences(end: int) -> None:
    random = Random(end)
    for sequences in (0, 1, 2, 3, 10, 50):
        for _ in range(15):
            stored, plain = model.lz4_by_chance(random, sequences, end=end)
            assert decode("lz4", stored, len(plain)) == plain


def test_lz4_reaches_back_64_kib_and_no_further() -> None:
    head = NOISE[:65535]
    block = model.lz4_sequence(head, 65535, 100) + model.lz4_sequence(b"final")
    assert decode("lz4", model.lz4_frame(block), 65640) == head + head[:100] + b"final"
    for start, distance in ((10, 11), (10, 0), (0, 1), (65534, 65535)):
        block = model.lz4_sequence(head[:start], distance, 20) + model.lz4_sequence(b"final" * 20)
        with pytest.raises(ValueError):
            decode("lz4", model.lz4_frame(block), start + 120)


def test_lz4_count_that_never_ends() -> None:
    """A count of sixteen million bytes 255 must not be summed beyond what the output can take."""
    for token in (0xF0, 0x1F):
        block = bytes([token, 65, 1, 0])[: 4 if token == 0x1F else 1] + b"\xff" * (16 << 20)
        with pytest.raises(ValueError):
            decode("lz4", model.lz4_frame(block), 100)


def test_lz4_length_word_beyond_the_buffer() -> None:
    stored = lz4_encode(TEXT)
    for length in (len(stored) - 3, len(stored), 1 << 31, (1 << 32) - 1):
        with pytest.raises(ValueError):
            decode("lz4", length.to_bytes(4, "big") + stored[4:], len(TEXT))


def test_unaligned_source() -> None:
    for name, encode in ENCODERS.items():
        stored = encode(TEXT[:5000])
        for shift in range(1, 17):
            shifted = memoryview(bytes(shift) + stored)[shift:]
            assert decode(name, shifted, 5000) == TEXT[:5000]


# --- the Python face ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECODERS)
def test_wrong_buffers(name: str) -> None:
    function = getattr(decompress, name)
    with pytest.raises(ValueError, match="read-only"):
        function(b"abc", b"abc")
    with pytest.raises(TypeError):
        function("abc", bytearray(3))
    with pytest.raises(TypeError):
        function(b"abc", None)
    with pytest.raises(ValueError, match="contiguous"):
        function(b"abc", np.zeros(8, dtype=np.uint8)[::2])
    both = bytearray(100)
    with pytest.raises(ValueError, match="overlap"):
        function(memoryview(both)[:60], memoryview(both)[59:])
    assert function(ENCODERS[name](b"x" * 100), both) is None
    assert both == b"x" * 100
