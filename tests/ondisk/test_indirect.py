"""Mappings of removed vdevs, both byte orders, and what must not be believed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.ondisk import indirect


def entry(source: int, asize: int, vdev: int, to: int, order: str) -> bytes:
    return struct.pack(order + "3Q", source >> 9, vdev << 32 | asize >> 9, to >> 9)


@pytest.mark.parametrize("order", ["<", ">"])
def test_mapping(order: str) -> None:
    data = entry(4096, 8192, 1, 1 << 20, order) + entry(12288, 512, 2, 0, order)
    found = indirect.decode_mapping(data, order)
    assert found.source.tolist() == [4096, 12288]
    assert found.size.tolist() == [8192, 512]
    assert (found.dva[:, 0] >> np.uint64(32)).tolist() == [1, 2]
    with pytest.raises(CorruptError, match="overlap"):
        indirect.decode_mapping(entry(12288, 512, 2, 0, order) + entry(4096, 8192, 1, 0, order), order)
    with pytest.raises(CorruptError, match="overlap"):
        indirect.decode_mapping(entry(0, 0, 2, 0, order), order)
    with pytest.raises(CorruptError, match="within an entry"):
        indirect.decode_mapping(data[:-1], order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_headers(order: str) -> None:
    found = indirect.decode_mapping_header(struct.pack(order + "4Q", 1, 2, 3, 4), order)
    assert (found.max_offset, found.bytes_mapped, found.entries, found.counts_object) == (1, 2, 3, 4)
    assert indirect.decode_mapping_header(struct.pack(order + "3Q", 1, 2, 3), order).counts_object == 0
    assert indirect.decode_births_header(struct.pack(order + "Q", 9), order) == 9
    with pytest.raises(LimitError):
        indirect.decode_mapping_header(struct.pack(order + "4Q", 1, 2, 1 << 60, 4), order)
    with pytest.raises(LimitError):
        indirect.decode_births_header(struct.pack(order + "Q", 1 << 60), order)
    for decode in (indirect.decode_mapping_header, indirect.decode_births_header):
        with pytest.raises(CorruptError):
            decode(b"1234567", order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_births(order: str) -> None:
    data = struct.pack(order + "4Q", 100, 7, 200, 9)
    assert indirect.decode_births(data, order)["txg"].tolist() == [7, 9]
    with pytest.raises(CorruptError):
        indirect.decode_births(struct.pack(order + "4Q", 200, 7, 200, 9), order)
    with pytest.raises(CorruptError):
        indirect.decode_births(data[:-8], order)
