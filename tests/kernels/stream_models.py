"""LZJB, ZLE and LZ4 written down once more: plain decoders that say what is valid, and encoders."""

from __future__ import annotations

from random import Random


class Corrupt(Exception):
    """Not a stream that gives exactly the length asked for."""


def take(data: bytes, at: int, n: int) -> bytes:
    if at + n > len(data):
        raise Corrupt
    return data[at : at + n]


def repeat(out: bytearray, distance: int, length: int, size: int) -> None:
    if not 0 < distance <= len(out) or len(out) + length > size:
        raise Corrupt
    for _ in range(length):
        out.append(out[-distance])


# --- decoders -----------------------------------------------------------------------------------------------


def lzjb_decode(data: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while len(out) < size:
        control = take(data, at, 1)[0]
        at += 1
        for bit in range(8):
            if len(out) == size:
                break
            if control >> bit & 1:
                high, low = take(data, at, 2)
                at += 2
                repeat(out, (high & 3) << 8 | low, (high >> 2) + 3, size)
            else:
                out += take(data, at, 1)
                at += 1
    return bytes(out)


def zle_decode(data: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while len(out) < size:
        code = take(data, at, 1)[0]
        at += 1
        if code < 64:
            out += take(data, at, code + 1)
            at += code + 1
        else:
            out += bytes(code - 63)
    if len(out) != size:
        raise Corrupt
    return bytes(out)


def lz4_decode(data: bytes, size: int) -> bytes:
    block = take(data, 4, int.from_bytes(take(data, 0, 4), "big"))
    out, at = bytearray(), 0

    def count(nibble: int) -> int:
        nonlocal at
        total = nibble
        more = nibble == 15
        while more:
            byte = take(block, at, 1)[0]
            at += 1
            total += byte
            more = byte == 255
        return total

    while True:
        token = take(block, at, 1)[0]
        at += 1
        literals = count(token >> 4)
        out += take(block, at, literals)
        at += literals
        if len(out) > size:
            raise Corrupt
        if at == len(block):
            break
        distance = int.from_bytes(take(block, at, 2), "little")
        at += 2
        repeat(out, distance, count(token & 15) + 4, size)
    if len(out) != size:
        raise Corrupt
    return bytes(out)


# --- encoders -----------------------------------------------------------------------------------------------


def lzjb_encode(data: bytes) -> bytes:
    """Greedy, with the format's limits: 3 to 66 bytes from up to 1023 bytes back."""
    out, last = bytearray(), dict[bytes, int]()
    at, control, bit = 0, 0, 8
    while at < len(data):
        if bit == 8:
            control, bit = len(out), 0
            out.append(0)
        key = data[at : at + 3]
        candidate = last.get(key)
        last[key] = at
        if len(key) == 3 and candidate is not None and at - candidate <= 1023:
            distance, length = at - candidate, 3
            while length < 66 and at + length < len(data) and data[candidate + length] == data[at + length]:
                length += 1
            out[control] |= 1 << bit
            out += bytes([(length - 3) << 2 | distance >> 8, distance & 255])
            at += length
        else:
            out.append(data[at])
            at += 1
        bit += 1
    return bytes(out)


def zle_encode(data: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(data):
        if data[at] == 0:
            run = 1
            while run < 192 and at + run < len(data) and data[at + run] == 0:
                run += 1
            out.append(63 + run)
        else:
            run = 1
            while run < 64 and at + run < len(data) and data[at + run : at + run + 2] not in (b"\0\0", b"\0"):
                run += 1
            out.append(run - 1)
            out += data[at : at + run]
        at += run
    return bytes(out)


def lz4_sequence(literals: bytes, distance: int = 0, match: int = 0) -> bytes:
    """One sequence; without a match, the last one."""

    def more(n: int) -> bytes:
        return b"" if n < 15 else b"\xff" * ((n - 15) // 255) + bytes([(n - 15) % 255])

    rest = match - 4 if match else 0
    token = bytes([min(len(literals), 15) << 4 | min(rest, 15)])
    head = token + more(len(literals)) + literals
    return head + distance.to_bytes(2, "little") + more(rest) if match else head


def lz4_frame(block: bytes) -> bytes:
    """A block with the length word before it."""
    return len(block).to_bytes(4, "big") + block


def lz4_by_chance(random: Random, sequences: int, *, end: int = 5) -> tuple[bytes, bytes]:
    """A valid stream of chance sequences and what it stands for; lengths cluster at the kernel's limits."""
    lengths = (0, 1, 2, 7, 8, 13, 14, 15, 16, 17, 30, 31, 33, 269, 270, 271, 600)
    matches = (4, 5, 8, 15, 16, 17, 18, 19, 20, 31, 33, 47, 63, 64, 65, 80, 273, 274, 275, 800)
    distances = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 23, 31, 32, 33, 64, 100, 1000, 60000)
    block, plain = bytearray(), bytearray()
    for i in range(sequences):
        literals = random.randbytes(random.choice(lengths) or (1 if i == 0 else 0))
        plain += literals
        distance, match = min(random.choice(distances), len(plain)), random.choice(matches)
        block += lz4_sequence(literals, distance, match)
        repeat(plain, distance, match, 1 << 30)
    tail = random.randbytes(end)
    return lz4_frame(bytes(block + lz4_sequence(tail))), bytes(plain + tail)
