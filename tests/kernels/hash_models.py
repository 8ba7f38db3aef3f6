"""The checksums written down once more, slowly, from their definitions, to compare the kernels with."""

from __future__ import annotations

import struct

import numpy as np

MASK = (1 << 64) - 1


def fletcher4(data: bytes, order: str = "<") -> bytes:
    """Running sums over 32-bit words, each of the one before."""
    sums = []
    level = np.frombuffer(data, dtype=order + "u4").astype(np.uint64)
    for _ in range(4):
        level = np.cumsum(level, dtype=np.uint64)
        sums.append(int(level[-1]) if len(level) else 0)
    return struct.pack("<4Q", *sums)


def fletcher2(data: bytes, order: str = "<") -> bytes:
    """Two streams of 64-bit words, two sums of each."""
    streams = np.frombuffer(data, dtype=order + "u8").astype(np.uint64).reshape(-1, 2)
    first = np.cumsum(streams, axis=0, dtype=np.uint64)
    second = np.cumsum(first, axis=0, dtype=np.uint64)
    if not len(streams):
        return bytes(32)
    return struct.pack("<4Q", *(int(v) for v in (*first[-1], *second[-1])))


def rotate(x: int, n: int) -> int:
    return (x << n | x >> (64 - n)) & MASK


# --- Skein-512-256 ------------------------------------------------------------------------------------------

ROTATIONS = [
    (46, 36, 19, 37),
    (33, 27, 14, 42),
    (17, 49, 36, 39),
    (44, 9, 54, 56),
    (39, 30, 34, 24),
    (13, 50, 10, 17),
    (25, 29, 39, 43),
    (8, 35, 56, 22),
]
PERMUTATION = (2, 1, 4, 7, 6, 5, 0, 3)


def threefish(key: list[int], tweak: tuple[int, int], block: list[int]) -> list[int]:
    parity = 0x1BD11BDAA9FC1A22
    for word in key:
        parity ^= word
    keys, tweaks = [*key, parity], [*tweak, tweak[0] ^ tweak[1]]
    x = list(block)
    for r in range(73):
        if r % 4 == 0:
            s = r // 4
            x = [(x[i] + keys[(s + i) % 9]) & MASK for i in range(8)]
            x[5] = (x[5] + tweaks[s % 3]) & MASK
            x[6] = (x[6] + tweaks[(s + 1) % 3]) & MASK
            x[7] = (x[7] + s) & MASK
        if r == 72:
            break
        for j in range(4):
            total = (x[2 * j] + x[2 * j + 1]) & MASK
            x[2 * j + 1] = rotate(x[2 * j + 1], ROTATIONS[r % 8][j]) ^ total
            x[2 * j] = total
        x = [x[i] for i in PERMUTATION]
    return x


def ubi(state: list[int], message: bytes, kind: int) -> list[int]:
    length = len(message)
    padded = message + bytes(-length % 64 or (64 if not length else 0))
    for at in range(0, len(padded), 64):
        last = at + 64 == len(padded)
        upper = kind << 56 | (at == 0) << 62 | last << 63
        block = list(struct.unpack("<8Q", padded[at : at + 64]))
        cipher = threefish(state, (length if last else at + 64, upper), block)
        state = [c ^ m for c, m in zip(cipher, block)]
    return state


def skein(data: bytes, salt: bytes) -> bytes:
    """Skein-512, 256 bits out, keyed."""
    state = ubi([0] * 8, salt, 0)
    state = ubi(state, b"SHA3" + struct.pack("<HHQ", 1, 0, 256) + bytes(16), 4)
    state = ubi(state, data, 48)
    return struct.pack("<8Q", *ubi(state, bytes(8), 63))[:32]


# --- Edon-R 512 ---------------------------------------------------------------------------------------------

# row: (words of x to add, rotation), (words of y to add, rotation), (s to xor), (t to xor)
EDONR_ROWS = [
    ("01247", 0, "01257", 0, "014", "015"),
    ("01347", 5, "01346", 10, "047", "267"),
    ("01467", 15, "01235", 19, "167", "013"),
    ("23567", 22, "23467", 29, "234", "034"),
    ("12356", 31, "01345", 36, "017", "125"),
    ("02345", 40, "24567", 44, "356", "346"),
    ("01567", 50, "12567", 48, "256", "257"),
    ("23456", 59, "03467", 55, "235", "467"),
]


def quasigroup(x: list[int], y: list[int]) -> list[int]:
    s, t = [], []
    for i, (xs, rx, ys, ry, _, _) in enumerate(EDONR_ROWS):
        sum_x = sum(x[int(c)] for c in xs) + (0xAAAAAAAAAAAAAAAA if i == 0 else 0)
        sum_y = sum(y[int(c)] for c in ys) + (0x5555555555555555 if i == 0 else 0)
        s.append(rotate(sum_x & MASK, rx) if rx else sum_x & MASK)
        t.append(rotate(sum_y & MASK, ry) if ry else sum_y & MASK)
    out = []
    for *_, xs, ys in EDONR_ROWS:
        a, b, c = (s[int(i)] for i in xs)
        d, e, f = (t[int(i)] for i in ys)
        out.append(((a ^ b ^ c) + (d ^ e ^ f)) & MASK)
    return out


def edonr512(message: bytes) -> bytes:
    state = list(struct.unpack(">16Q", bytes(range(0x80, 0x100))))
    padded = message + b"\x80"
    padded += bytes(-(len(padded) + 8) % 128) + struct.pack("<Q", 8 * len(message))
    for at in range(0, len(padded), 128):
        d = list(struct.unpack("<16Q", padded[at : at + 128]))
        low, high = state[:8], state[8:]
        a = quasigroup(d[:7:-1], d[:8])
        b = quasigroup(a, d[8:])
        c = quasigroup(high, a)
        e = quasigroup(c, low)
        f = quasigroup(quasigroup(c, b), e)
        g = quasigroup(d[7::-1], e)
        h = quasigroup(g, f)
        state = [low[i] ^ d[8 + i] ^ g[i] for i in range(8)] + [high[i] ^ d[i] ^ h[i] for i in range(8)]
    return struct.pack("<8Q", *state[8:])


def edonr(data: bytes, salt: bytes) -> bytes:
    """Edon-R 512 after the salt's prefix, first 256 bits."""
    first = edonr512(salt)
    return edonr512(first + edonr512(first) + data)[:32]
