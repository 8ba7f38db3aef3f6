"""Names of pools."""

from __future__ import annotations

import pytest
from uberblock.pool.spa.poolnames import MAX_NAME, PoolNameError, check_pool_name


@pytest.mark.parametrize("name", ["tank", "T", "a-b_c.d:e f", "logs", "log2", "x" * MAX_NAME, "c0t0d0", "raid"])
def test_good(name: str) -> None:
    check_pool_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "must begin with a letter"),
        ("1tank", "must begin with a letter"),
        ("-", "must begin with a letter"),
        ("tank/x", "invalid character '/'"),
        ("tank@x", "invalid character '@'"),
        ("tank%", "invalid character '%'"),
        ("tänk", "invalid character 'ä'"),
        ("a\nb", "invalid character"),
        ("x" * (MAX_NAME + 1), "too long"),
        ("log", "reserved"),
        ("mirror", "reserved"),
        ("mirror2", "reserved"),
        ("raidz", "reserved"),
        ("raidzone", "reserved"),
        ("draid1", "reserved"),
        ("spare", "reserved"),
        ("spares", "reserved"),
    ],
)
def test_bad(name: str, text: str) -> None:
    with pytest.raises(PoolNameError, match=text):
        check_pool_name(name)


def test_pools_that_are_there_keep_their_names() -> None:
    for name in ("log", "mirrored", "raidzone", "spares"):
        check_pool_name(name, new=False)
    for name in ("mirror", "raidz", "draid", "a/b"):
        with pytest.raises(PoolNameError):
            check_pool_name(name, new=False)
    assert MAX_NAME == 239
