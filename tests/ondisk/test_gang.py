"""Gang headers: sizes, both byte orders, misplaced ones."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import blkptr, gang


def pointers(count):
    bps = np.zeros(count, dtype=blkptr.BLKPTR)
    bps["dva"][:, 0, 0] = 8
    bps["dva"][:, 0, 1] = np.arange(1, count + 1)
    bps["birth"] = 7
    return bps


def test_the_verifier_is_the_first_address_and_the_birth():
    bp = pointers(1)[0]
    bp["dva"][0] = 3 << 32 | 8, 1 << 63 | 5
    bp["dva"][1] = 4 << 32 | 8, 1 << 63 | 6
    assert gang.verifier(bp) == (3, 5 * 512, 7, 0)
    bp["phys_birth"] = 9
    assert gang.verifier(bp) == (3, 5 * 512, 9, 0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size, most", [(512, 3), (4096, 31), (65536, 511)])
def test_round_trip(size, most, order):
    assert gang.slots(size) == most
    bps = pointers(most)
    header = gang.encode(bps, (1, 2, 3, 0), size, order)
    assert len(header) == size and gang.verify(header, (1, 2, 3, 0))
    assert not gang.verify(header, (1, 2, 4, 0))
    assert gang.decode(header).tobytes() == bps.tobytes()
    bps[1] = 0
    assert len(gang.decode(gang.encode(bps, (1, 2, 3, 0), size, order))) == most - 1
    with pytest.raises(ValueError, match="do not fit"):
        gang.encode(pointers(most + 1), (1, 2, 3, 0), size)


def test_not_a_header():
    assert not gang.verify(bytes(512), (0, 0, 0, 0))
    for wrong in (b"", bytes(512), gang.encode(pointers(1), (0, 0, 0, 0))[256:]):
        with pytest.raises(CorruptError):
            gang.decode(wrong)


#: Written by OpenZFS 2.3.2 in an encrypted dataset (packed with zlib): sound headers of encrypted gangs were refused.
ENCRYPTED = zlib.decompress(
    base64.b85decode(
        "c-jkNWME)oU|=}Q1!NEbLK#CDnK&34aLG5J88h>?rgrXu$EQBW7;LM#x%bUso$@1ryVe|T@M?V{nB%%26l%XR4{`Q~Fouw1|D20blQ#T!sS`8&P|D"
        "bFSNGI<UM&>`{)G59&4N3<xw&BWSMbute#f6e8&@zsWZ2y&Blc+j86Vfayn|t8OA7Z)%i1o>9QT!hMnJHNXJgeZ0VW;y)QrFn?;mqBe)YC^aLE^49RR"
        "9uK)C"
    )
)


def test_headers_in_encrypted_datasets():
    words = (2, 34413056, 386, 0)
    assert len(ENCRYPTED) == 512 and not gang.verify(ENCRYPTED, words)
    assert gang.verify(ENCRYPTED, words, True) and not gang.verify(ENCRYPTED, (2, 34413056, 387, 0), True)
    found = gang.decode(ENCRYPTED)
    assert blkptr.psize(found).tolist() == [0x2AC00, 0x2AA00, 0x2AA00]
    assert gang.encode(found, words, folded=True) == ENCRYPTED
    damaged = bytearray(ENCRYPTED)
    damaged[20] ^= 1
    assert not gang.verify(damaged, words, True)


def test_which_headers_are_folded():
    bp = pointers(1)[0]
    for kind, crypt, folded in ((19, 0, False), (19, 1, True), (11, 1, False), (11, 0, False)):
        bp["prop"] = 1 << 63 | crypt << 61 | kind << 48
        assert gang.is_folded(bp) == folded
