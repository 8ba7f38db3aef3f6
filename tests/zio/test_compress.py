"""Decompression in Python: bounded output, damaged streams, the two layouts of Zstandard's header."""

from __future__ import annotations

import struct
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, UnsupportedError
from uberblock.pool.zio import compress

ALL = [2, 3, 5, 9, 13, 14, 15, 16]


@pytest.mark.parametrize("number", ALL)
def test_exactly_the_size_asked_for(make, number):
    data = make.text(16384)
    stored = make.compressed(number, data)
    fill = b"" if number == 2 else bytes(200)
    assert bytes(compress.decompress(number, memoryview(stored + fill), len(data))) == data
    if number in (3, 14):
        return  # their fill is a stream of zeros
    for wrong in (len(data) - 1, len(data) + 1, 0, 1):
        with pytest.raises(CorruptError):
            compress.decompress(number, stored, wrong)


@pytest.mark.parametrize("number", ALL[1:])
def test_damaged_streams(make, number):
    data = make.text(4096)
    stored = make.compressed(number, data)
    for cut in (0, 1, 3, 7, 8, 9, len(stored) // 2, len(stored) - 1):
        with pytest.raises(CorruptError):
            compress.decompress(number, stored[:cut], len(data))


@pytest.mark.parametrize("number", [0, 1, 4, 17, 127])
def test_unknown_ids(number):
    assert not compress.KNOWN[number]
    with pytest.raises(UnsupportedError):
        compress.decompress(number, bytes(100), 512)


def test_zstd_headers(make):
    data = make.text(4096)
    stored = make.compressed(16, data)
    frame = stored[8:]
    version = bytes.fromhex("0028a5")

    def framed(middle):
        return struct.pack(">I", len(frame)) + middle + frame

    for level in (1, 19, 103, 123):
        assert compress.decompress(16, framed(bytes([level]) + version), 4096) == data
        assert compress.decompress(16, framed(version + bytes([level])), 4096) == data
    for level in (0, 20, 102, 124, 255):
        with pytest.raises(CorruptError, match="header"):
            compress.decompress(16, framed(bytes([level]) + version), 4096)
    with pytest.raises(CorruptError, match="header"):
        compress.decompress(16, struct.pack(">I", len(frame) + 1) + stored[4:], 4096)


def test_bombs_do_not_go_off(make):
    """Streams that would give, or claim, far more than the block: refused without making the bytes."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    with pytest.raises(CorruptError, match="another length"):
        compress.decompress(6, bomb, 4096)
    options = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS}
    for size in (True, False):
        parameters = zstandard.ZstdCompressionParameters.from_level(3, write_content_size=size, **options)
        frame = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(64 << 20))
        with pytest.raises(CorruptError):
            compress.decompress(16, struct.pack(">I", len(frame)) + b"\x03\0\x28\xa5" + frame, 4096)
    claim = bytes.fromhex("e0ffffffffffffff7f") + bytes(20)  # single segment, content size of eight bytes
    with pytest.raises(CorruptError):
        compress.decompress(16, struct.pack(">I", len(claim)) + b"\x03\0\x28\xa5" + claim, 4096)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL), st.binary(max_size=200), st.integers(0, 5000))
def test_nonsense(number, data, size):
    if number == 16:
        data = struct.pack(">I", len(data)) + b"\x03\0\x28\xa5" + data
    try:
        assert len(compress.decompress(number, data, size)) == size
    except CorruptError:
        pass
