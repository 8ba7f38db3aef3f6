"""Embedded checksums: the published vector, both byte orders, and misplaced structures."""

from __future__ import annotations

import pytest
from uberblock.pool.ondisk import eck

BOOT_BLOCK_WORDS = (0x97F48F807F6E2A3F, 0xAF909F1658AACEFC, 0xCBD1EA57FF6DB48B, 0x6EC692DB0D465FAB)


def test_zero_boot_block_vector():
    region = bytearray(8192)
    eck.seal(region, (8192, 0, 0, 0))
    assert eck.stored(region, "<") == BOOT_BLOCK_WORDS
    assert eck.verify(region, (8192, 0, 0, 0), "<")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("size", [40, 512, 4096])
def test_seal_then_verify(order, size):
    region = bytearray(range(256)) * 16
    del region[size:]
    eck.seal(memoryview(region), (1, 2, 3, 4), order)
    assert eck.order_of(region) == order
    assert eck.verify(bytes(region), (1, 2, 3, 4), order)
    assert not eck.verify(region, (1, 2, 3, 5), order), "another place"
    assert not eck.verify(region, (1, 2, 3, 4), {"<": ">", ">": "<"}[order])
    if size > 40:
        region[0] ^= 1
        assert not eck.verify(region, (1, 2, 3, 4), order)


def test_short_or_unsealed_regions():
    assert eck.order_of(b"") is None
    assert not eck.verify(b"x" * 39, (0, 0, 0, 0), "<")
    assert not eck.verify(bytes(512), (0, 0, 0, 0), "<")
    with pytest.raises(ValueError, match="40"):
        eck.seal(bytearray(39), (0, 0, 0, 0))


def test_labels_of_a_real_pool(pools):
    with pools("checkpoint").images[0].open("rb") as image:
        for offset, size in ((8192, 8192), (16384, 112 << 10)):
            image.seek(offset)
            region = image.read(size)
            assert eck.verify(region, (offset, 0, 0, 0), "<")
            assert not eck.verify(region, (offset + 512, 0, 0, 0), "<")
