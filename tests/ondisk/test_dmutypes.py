"""Types: names as OpenZFS prints them, and what numbers mean."""

from __future__ import annotations

import pytest
from uberblock.pool.ondisk import dmutypes
from uberblock.pool.ondisk.dmutypes import Swap


def test_words_for_swapping() -> None:
    words = ["uint8", "uint16", "uint32", "uint64", "zap", "dnode", "objset", "znode", "oldacl", "acl"]
    assert [swap.text for swap in Swap] == words


@pytest.mark.parametrize(
    ("number", "text", "metadata", "encrypted"),
    [
        (0x80, "bswap uint8 data", False, False),
        (0xC4, "bswap zap metadata", True, False),
        (0xE3, "bswap uint64 metadata (encrypted)", True, True),
        (19, "ZFS plain file", False, True),
        (10, "DMU dnode", True, True),
    ],
)
def test_facts(number: int, text: str, metadata: bool, encrypted: bool) -> None:
    info = dmutypes.type_info(number)
    assert (info.text, info.metadata, info.encrypted) == (text, metadata, encrypted)
    assert dmutypes.VALID[number] and dmutypes.METADATA[number] == metadata and dmutypes.ENCRYPTED[number] == encrypted


def test_numbers_without_meaning() -> None:
    for number in (-1, 54, 0x7F, 0x8A, 0x9F, 0x100):
        assert not dmutypes.type_is_valid(number)
        with pytest.raises(ValueError):
            dmutypes.type_info(number)
