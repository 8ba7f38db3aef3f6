"""The list of destroyed datasets."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import bptree


@pytest.mark.parametrize("order", ["<", ">"])
def test_header(order: str) -> None:
    bonus = struct.pack(order + "5Q", 1, 3, 4096, 2048, 1024)
    assert bptree.decode_header(bonus, order) == bptree.BptreeHeader(1, 3, 4096, 2048, 1024)


@pytest.mark.parametrize(
    ("words", "error"), [((3, 1, 0, 0, 0), CorruptError), ((0, 1 << 60, 0, 0, 0), LimitError), ((0, 1), CorruptError)]
)
def test_impossible_headers(words: tuple[int, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        bptree.decode_header(struct.pack(f"<{len(words)}Q", *words))


def test_entries() -> None:
    words = np.arange(42, dtype=np.uint64)
    one, two = bptree.decode(words)
    assert (int(one["birth_txg"]), int(one["objset"]), int(one["object"]), int(one["blkid"])) == (16, 17, 18, 20)
    assert int(two["bp"]["dva"][0, 0]) == 21 and int(two["level"]) == 40
    with pytest.raises(CorruptError, match="within an entry"):
        bptree.decode(words[:20])
