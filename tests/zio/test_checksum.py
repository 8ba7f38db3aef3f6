"""Checksums in Python: the published vectors, shortened ones, unknown ids."""

from __future__ import annotations

import pytest
from uberblock.pool.errors import UnsupportedError
from uberblock.pool.zio import checksum
from uberblock.pool.zio.checksum import Checksum

DATA = bytes((7 * i + 13 * (i // 256) + 3) % 256 for i in range(4096))
SALT = bytes(range(32))
VECTORS = {
    (6, False): "ffffffffffffff80 ffffffffffffff80 660b60681b855740 f319f378b58ded40",
    (6, True): "ffffffffffffff80 ffffffffffffff80 861b68600b6633c0 8db578f419f236c0",
    (7, False): "000001fffffffe00 00040030a8e06300 05570d8b87e5fc00 593b78bed6999780",
    (7, True): "000001fffffffe00 00040164e4a32f00 0558cf8ffdadf600 5b93f65e1dc8a980",
    (8, False): "f14c1796feba922c c6e7f4143f6b9cfd 2c9657a84b8756d6 521d3d4859d74d02",
    (8, True): "f14c1796feba922c c6e7f4143f6b9cfd 2c9657a84b8756d6 521d3d4859d74d02",
    (11, False): "f485e6dccfd15081 5d5634ab8b8f14bb ca1aaa89181b16e8 d789f77a3f233416",
    (12, False): "4b81b91d311702f9 e586ce794b1945b6 671addcd5e856b6d b8abd833217039ed",
    (13, False): "c0ee2be17f23f032 fc5ea84d4d11dd49 067eaa5a33f6b514 a6f0a5a2baf60994",
    (14, False): "d0ce632b48b2acb9 f08c570bba11f24d 04885791b6160b13 ea24aa962a46988d",
}


@pytest.mark.parametrize("number, swap", VECTORS)
def test_vectors(number, swap):
    words = tuple(int(word, 16) for word in VECTORS[number, swap].split())
    assert checksum.compute(number, DATA, SALT, byteswap=swap) == words
    assert checksum.matches(number, DATA, words, SALT, byteswap=swap)
    short = checksum.shortened(number, words)
    assert short == ((words[0] ^ words[2], words[1] ^ words[3]) if number in (6, 7, 13) else words[:2])
    assert checksum.matches(number, DATA, [*short, 1, 2], SALT, byteswap=swap, crypt=True)
    assert not checksum.matches(number, DATA, [short[0] ^ 1, short[1], 1, 2], SALT, byteswap=swap, crypt=True)
    assert not checksum.matches(number, DATA, [*words[:3], words[3] ^ 1], SALT, byteswap=swap)


def test_ids():
    assert checksum.matches(Checksum.OFF, DATA, [1, 2, 3, 4])
    assert checksum.matches(Checksum.NOPARITY, DATA, [1, 2, 3, 4])
    for number in (0, 1, 3, 4, 5, 9, 15, 255):
        assert not checksum.KNOWN[number]
        with pytest.raises(UnsupportedError, match="unknown"):
            checksum.compute(number, DATA)
    for number in (12, 13, 14):
        with pytest.raises(UnsupportedError, match="salt"):
            checksum.compute(number, DATA, b"")
