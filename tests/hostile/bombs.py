"""Compressed blocks that expand to far more than they may, or claim to."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

import zstandard
from forge import Forger
from uberblock.pool.zio.compress import Compression

from .damage import pick, spoil

MEGABYTE = 1 << 20
HUGE = (1 << 20, 16 << 20, 256 << 20, 1 << 30, 3 << 30)


def gzip_bomb(rng: random.Random, room: int) -> bytes:
    """A stream of zeros without end."""
    packer = zlib.compressobj(9)
    out = bytearray()
    while len(out) < room - 200 and rng.random() < 0.98:
        out += packer.compress(bytes(MEGABYTE)) + packer.flush(zlib.Z_FULL_FLUSH)
    if rng.random() < 0.5:
        out += packer.flush()
    return bytes(out[:room])


def zstd_header(length: int, level: int = 3) -> bytes:
    """What OpenZFS puts before a frame."""
    return struct.pack(">I4B", length, level, 0, 0x28, 0xA4 & 0xFF)


def zstd_bomb(rng: random.Random, room: int) -> bytes:
    """A frame with a window, a content size or blocks beyond all measure. Source: RFC 8878."""
    descriptor = rng.choice((0x00, 0x20, 0x40, 0x80, 0xC0, 0xE0))
    frame = bytearray([descriptor])
    if not descriptor & 0x20:
        frame.append(rng.choice((0x00, 0x50, 0x58, 0xA8, 0xF8, 0xFF)))  # window: 1 KiB to terabytes
    width = {0x00: 0, 0x20: 1, 0x40: 2, 0x80: 4, 0xC0: 8, 0xE0: 8}[descriptor]
    frame += (rng.choice((131072, 131073, *HUGE, (1 << 63) - 1, (1 << 64) - 1)) & ((1 << 8 * width) - 1)).to_bytes(
        width, "little"
    )
    for _ in range(rng.choice((1, 8, 1000, 100_000))):
        if len(frame) + 8 + 4 > room:
            break
        # A block of one byte repeated 128 KiB times.
        frame += (0 | 1 << 1 | (128 << 10) << 3).to_bytes(3, "little") + b"\0"
    if len(frame) >= 4 and rng.random() < 0.5:
        frame[-4] |= 1  # the last one
    said = len(frame) if rng.random() < 0.9 else rng.choice((0, 1, (1 << 32) - 1, len(frame) + 100))
    return (zstd_header(said) + bytes(frame))[:room]


def zstd_frame(rng: random.Random, room: int) -> bytes:
    """A sound frame of another size, or two of them, or one with a checksum or a dictionary."""
    packer = zstandard.ZstdCompressor(
        level=rng.choice((1, 3, 19)), write_checksum=rng.random() < 0.3, write_content_size=rng.random() < 0.5
    )
    frame = packer.compress(bytes(rng.choice((0, 1, 511, 512, 131072, *HUGE[:3]))))[4:]
    if rng.random() < 0.2:
        frame += b"\x28\xb5\x2f\xfd" + frame
    return (zstd_header(len(frame)) + frame)[:room]


def lz4_bomb(rng: random.Random, room: int) -> bytes:
    """One byte, and copies of it as long as the stream goes on."""
    body = b"\x1f" + b"\0" + b"\1\0" + b"\xff" * rng.choice((10, room, room))
    body = body[: room - 4]
    if rng.random() < 0.5:
        body = body[:-1] + b"\x10"
    return struct.pack(">I", rng.choice((len(body), len(body), (1 << 32) - 1, 0, 1))) + body


def lzjb_bomb(rng: random.Random, room: int) -> bytes:
    """Copies of copies, from before the beginning too."""
    group = b"\xfe" + b"\0" + bytes([0xFC | rng.randrange(4), rng.choice((0, 1, 255))]) * 7
    return (group * (room // len(group) + 1))[:room]


def zle_bomb(rng: random.Random, room: int) -> bytes:
    """Runs of zeros as long as runs can be."""
    return bytes([rng.choice((255, 64, 63, 0))]) * room


MAKERS: tuple[tuple[int, Callable[[random.Random, int], bytes]], ...] = (
    (Compression.GZIP_1, gzip_bomb),
    (Compression.GZIP_9, gzip_bomb),
    (Compression.ZSTD, zstd_bomb),
    (Compression.ZSTD, zstd_bomb),
    (Compression.ZSTD, zstd_frame),
    (Compression.LZ4, lz4_bomb),
    (Compression.LZJB, lzjb_bomb),
    (Compression.ZLE, zle_bomb),
)


def bomb(forger: Forger, rng: random.Random) -> None:
    """A block's stored bytes are a bomb; now and then a spoiled one."""
    thing = pick(forger, rng, lambda thing: thing.data is not None and not thing.objset.encrypted)
    dnode = thing.objset.dnode(thing.number)
    number, maker = rng.choice(MAKERS)
    room = dnode.datablksz
    stored = bytearray(maker(rng, room))
    if rng.random() < 0.2 and stored:
        spoil(rng)(stored)

    def change(data: bytearray) -> None:
        data[:] = stored or b"\0"

    forger.change_stored(thing.objset, thing.number, 0, thing.data or 0, change, compress=int(number))


KINDS: dict[str, Callable[[Forger, random.Random], None]] = {"bomb": bomb}
