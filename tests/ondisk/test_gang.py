"""Gang headers: sizes, both byte orders, misplaced ones."""

from __future__ import annotations

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
