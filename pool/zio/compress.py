"""Compression of blocks: which ids there are, one block expanded here where the kernel cannot, and one block packed.

LZJB, ZLE and LZ4 are the kernel's; gzip is zlib's; Zstandard frames lack their magic number and follow a header of
eight bytes. The output has exactly the logical size; a stream that gives less, more, or errors is corrupt. No
decoder ever makes more bytes than were asked for.

Source: OpenZFS, zio_compress.h, gzip.c and zfs_zstd.c.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable
from enum import IntEnum

import numpy as np
import zstandard
from uberblock.kernels import compress as packing
from uberblock.kernels import decompress as kernel

from ..errors import CorruptError, UnsupportedError

ZSTD_HEADER = struct.Struct(">I4B")  # length of the frame; level and library version in either order
assert ZSTD_HEADER.size == 8

#: The window never exceeds the block.
ZSTD_WINDOW_MAX = 32 << 20

_MAGICLESS = zstandard.FORMAT_ZSTD1_MAGICLESS
_ZSTD_LEVELS = frozenset([*range(1, 20), *range(103, 124)])


class Compression(IntEnum):
    """Compression ids as block pointers hold them; gzip has nine, one for each level."""

    OFF = 2
    LZJB = 3
    EMPTY = 4  # only asked for: holes for zeros, the rest as OFF; never in a pointer
    GZIP_1 = 5
    GZIP_9 = 13
    ZLE = 14
    LZ4 = 15
    ZSTD = 16


def _set(*ids: int) -> np.ndarray:
    table = np.zeros(256, dtype=bool)
    table[list(ids)] = True
    return table


#: Indexed by id: done by the kernel while it reads.
IN_KERNEL = _set(Compression.OFF, Compression.LZJB, Compression.ZLE, Compression.LZ4)
#: Indexed by id: done by ``decompress`` after the read.
IN_PYTHON = _set(*range(Compression.GZIP_1, Compression.GZIP_9 + 1), Compression.ZSTD)
#: Indexed by id: a compression a block pointer may have.
KNOWN = IN_KERNEL | IN_PYTHON


def decompress(number: int, data: bytes | memoryview, size: int) -> bytes | memoryview:
    """One block's logical bytes.

    Args:
        number: compression id.
        data: the stored bytes; what follows the compressed stream in them is ignored.
        size: logical size in bytes.

    Raises:
        CorruptError: the data does not expand to exactly this size.
        UnsupportedError: an unknown id.
    """
    if number == Compression.OFF:
        if len(data) != size:
            raise CorruptError("an uncompressed block is stored in another size", psize=len(data), lsize=size)
        return data
    if Compression.GZIP_1 <= number <= Compression.GZIP_9:
        return _gunzip(data, size)
    if number == Compression.ZSTD:
        return _unzstd(data, size)
    functions = {Compression.LZJB: kernel.lzjb, Compression.ZLE: kernel.zle, Compression.LZ4: kernel.lz4}
    function = functions.get(Compression(number)) if number in set(Compression) else None
    if function is None:
        raise UnsupportedError("a block has a compression of an unknown kind", compression=number)
    out = bytearray(size)
    try:
        function(data, out)
    except ValueError as error:
        raise CorruptError("compressed data is damaged", compression=number, lsize=size) from error
    return memoryview(out)


def _gunzip(data: bytes | memoryview, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # One byte more than wanted, so that a longer stream shows itself.
        out = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise CorruptError("compressed data is damaged", compression="gzip", lsize=size) from error
    if len(out) != size or not stream.eof:
        raise CorruptError("compressed data has another length", compression="gzip", lsize=size, got=len(out))
    return out


def _unzstd(data: bytes | memoryview, size: int) -> bytes:
    if len(data) < ZSTD_HEADER.size:
        raise CorruptError("compressed data is too short for its header", compression="zstd", psize=len(data))
    length, first, _, _, last = ZSTD_HEADER.unpack_from(data)
    # Little-endian writers put the level before the version (whose first byte is 0), big-endian ones after it.
    level = last if first == 0 else first
    if level not in _ZSTD_LEVELS or length > len(data) - ZSTD_HEADER.size:
        raise CorruptError("compressed data has a bad header", compression="zstd", level=level, length=length)
    frame = bytes(data[ZSTD_HEADER.size : ZSTD_HEADER.size + length])
    try:
        # A frame may claim a size, for which the decoder would make room before it has looked any further.
        claim = zstandard.get_frame_parameters(frame, format=_MAGICLESS).content_size
        if claim not in (size, zstandard.CONTENTSIZE_UNKNOWN):
            raise CorruptError("compressed data has another length", compression="zstd", lsize=size, got=claim)
        decoder = zstandard.ZstdDecompressor(format=_MAGICLESS, max_window_size=ZSTD_WINDOW_MAX)
        out = decoder.decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise CorruptError("compressed data is damaged", compression="zstd", lsize=size) from error
    if len(out) != size:
        raise CorruptError("compressed data has another length", compression="zstd", lsize=size, got=len(out))
    return out


# ---- packing -------------------------------------------------------------------------------------------------------

#: Id -> name of what the kernel packs, whole batches at a time.
KERNEL_NAMES = {number: name for name, number in packing.IDS.items()}

#: Packs a block into at most so many bytes, framing included; None: it does not fit.
Encoder = Callable[[memoryview, int], "bytes | None"]

ZSTD_DEFAULT = 3
_ZSTD_FAST = dict(zip(range(103, 124), [*range(1, 11), *range(20, 100, 10), 100, 500, 1000]))
assert len(_ZSTD_FAST) == 21 and _ZSTD_FAST[121] == 100


def encoder(number: int, level: int = 0) -> Encoder:
    """What packs blocks; any number of threads may use it.

    Args:
        number: compression id, not that of OFF.
        level: of zstd, as it is stored: 1 to 19, 103 to 123 for the fast ones; 0 for the default.

    Raises:
        UnsupportedError: an unknown id or level.
    """
    if Compression.GZIP_1 <= number <= Compression.GZIP_9:
        return lambda data, most: _fitting(zlib.compress(data, number - Compression.GZIP_1 + 1), most)
    if number in KERNEL_NAMES:
        return _kernel_encoder(KERNEL_NAMES[number])
    if number == Compression.ZSTD:
        return _zstd_encoder(level or ZSTD_DEFAULT)
    raise UnsupportedError("blocks with a compression of this kind are not written here", compression=number)


def _fitting(packed: bytes, most: int) -> bytes | None:
    return packed if len(packed) <= most else None


def _kernel_encoder(name: str) -> Encoder:
    def encode(data: memoryview, most: int) -> bytes | None:
        out = bytearray(most)
        size = packing.encode(name, data, out)
        return bytes(out[:size]) if size else None

    return encode


def _zstd_encoder(level: int) -> Encoder:
    if level not in _ZSTD_LEVELS:
        raise UnsupportedError("no such level of this compression", compression="zstd", level=level)
    version = zstandard.ZSTD_VERSION
    number = (version[0] * 100 + version[1]) * 100 + version[2]
    tail = bytes([level]) + number.to_bytes(3, "big")
    own = threading.local()  # a compressor is one thread's

    def encode(data: memoryview, most: int) -> bytes | None:
        if not hasattr(own, "compressor"):
            parameters = zstandard.ZstdCompressionParameters.from_level(
                -_ZSTD_FAST[level] if level in _ZSTD_FAST else level,
                source_size=len(data),
                format=_MAGICLESS,
                write_content_size=False,
                write_checksum=False,
                write_dict_id=False,
            )
            own.compressor = zstandard.ZstdCompressor(compression_params=parameters)
        frame = own.compressor.compress(data)
        return _fitting(len(frame).to_bytes(4, "big") + tail + frame, most)

    return encode
