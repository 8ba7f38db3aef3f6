"""Legacy znodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import znode

U64 = st.integers(0, 2**64 - 1)
NS = st.integers(-(2**40) * 10**9, 2**40 * 10**9)
ACLS = st.builds(
    znode.ZnodeAcl,
    external=U64,
    size=st.integers(0, 2**32 - 1),
    version=st.integers(0, 1),
    count=st.integers(0, 2**16 - 1),
    aces=st.binary(min_size=72, max_size=72),
)
ZNODES = st.builds(
    znode.ZnodePhys,
    **dict.fromkeys(("atime_ns", "mtime_ns", "ctime_ns", "crtime_ns"), NS),
    **dict.fromkeys(
        ("gen", "mode", "size", "parent", "links", "xattr", "rdev", "flags", "uid", "gid", "zap"), U64
    ),
    acl=ACLS,
)


@given(ZNODES, st.sampled_from("<>"))
def test_round_trip(phys: znode.ZnodePhys, order: str) -> None:
    raw = znode.encode(phys, order)
    assert len(raw) == znode.ZNODE_SIZE
    assert znode.decode(raw + b"more", order) == phys


def test_offsets() -> None:
    raw = bytearray(264)
    for at in range(0, 264, 8):
        raw[at] = at // 8
    phys = znode.decode(raw, "<")
    assert (phys.gen, phys.mode, phys.size, phys.parent, phys.links) == (8, 9, 10, 11, 12)
    assert (phys.xattr, phys.rdev, phys.flags, phys.uid, phys.gid, phys.zap) == (13, 14, 15, 16, 17, 18)
    assert (phys.acl.external, phys.acl.size, phys.acl.aces[0]) == (22, 23, 24)
    assert phys.mtime_ns == 2 * 10**9 + 3


def test_before_1970() -> None:
    raw = bytearray(264)
    raw[16:24] = (-1).to_bytes(8, "big", signed=True)
    raw[24:32] = (999_999_999).to_bytes(8, "big")
    assert znode.decode(raw, ">").mtime_ns == -1


def test_short_ones() -> None:
    with pytest.raises(CorruptError):
        znode.decode(bytes(263), "<")
    with pytest.raises(CorruptError):
        znode.decode_acl(bytes(87), "<")
