"""Checksums by pytest-benchmark, for those who keep its records: ``pytest bench/test_checksums.py``.

Batches of 1 MiB of blocks; ``python -m bench.checksums`` is the measurement beside others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from uberblock.kernels import checksum, fused

SALT = bytes(range(32))
BATCH = np.random.default_rng(1).integers(0, 256, 1 << 20, dtype=np.uint8)
#: Families of kernels that take batches, and what they compute.
FAMILIES = {"fletcher": "fletcher4", "blake3": "blake3"}
FAMILIES |= {f"{name}_many": name for name in ("sha256", "sha512", "skein", "edonr")}
KERNELS = [(family, name) for family in FAMILIES for name in checksum.implementations()[family]]


@pytest.fixture(params=KERNELS, ids=lambda pair: "-".join(pair))
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kernel in turn; gives the name of the checksum."""
    family, kernel = request.param
    checksum.select(family, kernel)
    yield FAMILIES[family]
    checksum.select(family)


@pytest.mark.parametrize("size", [4096, 131072])
def test_batch(benchmark: Any, name: str, size: int) -> None:
    offsets = np.arange(0, BATCH.size, size, dtype=np.int64)
    sizes, out = np.full(len(offsets), size, np.int64), np.zeros((len(offsets), 4), np.uint64)
    salt = SALT if name in checksum.SALTED else b""
    benchmark(checksum.many_at, name, BATCH, offsets, sizes, out, salt=salt)
    benchmark.extra_info["GB/s"] = round(BATCH.size / benchmark.stats["min"] / 1e9, 3)


@pytest.mark.parametrize("size", [4096, 131072, 1 << 20])
def test_copy_fletcher4(benchmark: Any, size: int) -> None:
    benchmark(fused.copy_fletcher4, BATCH[:size], np.zeros(size, np.uint8))
    benchmark.extra_info["GB/s"] = round(size / benchmark.stats["min"] / 1e9, 3)
