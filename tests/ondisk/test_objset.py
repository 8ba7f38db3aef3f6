"""Objset blocks: round trips, the three sizes, hostile bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import objset
from uberblock.pool.ondisk.dnode import DnodePhys
from uberblock.pool.ondisk.objset import ObjsetPhys


def meta(order: str = "<") -> DnodePhys:
    return DnodePhys(type=10, nlevels=6, datablksz=16384, order=order)


@given(
    st.sampled_from([1, 2, 3, 4]),
    st.integers(0, 7),
    st.binary(min_size=192, max_size=192),
    st.binary(min_size=64, max_size=64),
    st.sampled_from(objset.SIZES),
    st.sampled_from("<>"),
)
def test_round_trip(kind: int, flags: int, zil: bytes, macs: bytes, size: int, order: str) -> None:
    phys = ObjsetPhys(kind, flags, meta(order), zil, size=size, order=order)
    phys.portable_mac, phys.local_mac = macs[:32], macs[32:]
    if size > objset.SIZE_V1:
        phys.userused = phys.groupused = DnodePhys(type=39, order=order)
    if size > objset.SIZE_V2:
        phys.projectused = DnodePhys(type=39, order=order, maxblkid=1, nlevels=2)
    raw = objset.encode(phys)
    assert len(raw) == size
    found = objset.decode(raw, order)
    assert objset.encode(found) == raw
    assert (found.type, found.flags, found.zil_header) == (kind, flags, zil)
    assert set(objset.dnodes_of(raw, order)) == {0, *found.accounting()}
    assert objset.dnodes_of(raw, order)[0]["nlevels"][0] == 6


def test_sizes_types_and_the_metadnode_are_checked() -> None:
    raw = bytearray(objset.encode(ObjsetPhys(2, 0, meta())))
    for size in (0, 512, 1023, 3072, 8192):
        with pytest.raises(CorruptError, match="size"):
            objset.decode(bytes(raw[:size]).ljust(size, b"\0"))
    raw[704] = 5
    with pytest.raises(CorruptError, match="type"):
        objset.decode(raw)
    raw[704], raw[0] = 2, 0
    with pytest.raises(CorruptError, match="no metadnode"):
        objset.decode(raw)
    raw[0], raw[8] = 10, 1
    with pytest.raises(CorruptError, match="dnode blocks"):
        objset.decode(raw)


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        objset.encode(ObjsetPhys(2, 0, meta(), userused=DnodePhys(type=39), size=objset.SIZE_V1))


@given(st.binary(min_size=1024, max_size=1024), st.sampled_from("<>"))
def test_any_bytes(raw: bytes, order: str) -> None:
    try:
        objset.decode(raw, order)
    except CorruptError:
        pass
    objset.dnodes_of(raw, order)
