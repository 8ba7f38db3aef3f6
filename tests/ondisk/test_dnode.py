"""Dnodes: round trips in both byte orders, whole blocks of them, every rule broken once."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import dnode
from uberblock.pool.ondisk.blkptr import BLKPTR
from uberblock.pool.ondisk.dnode import BLOCK_SIZE, SLOT_SIZE, DnodeBlock, DnodePhys

WORD = st.integers(0, (1 << 64) - 1)


@st.composite
def dnodes(draw: Any) -> DnodePhys:
    nblkptr = draw(st.integers(1, 3))
    extra = draw(st.sampled_from([0, 0, 0, 1, 3, 31]))
    spill = draw(st.booleans()) and (extra or nblkptr < 3)
    pointers = np.frombuffer(draw(st.binary(min_size=512, max_size=512)), dtype=BLKPTR)
    capacity = (extra + 1) * SLOT_SIZE - 64 - 128 * nblkptr - 128 * bool(spill)
    return DnodePhys(
        type=draw(st.sampled_from([1, 8, 10, 19, 20, 0xC4])),
        bonustype=draw(st.sampled_from([0, 7, 44])),
        indblkshift=draw(st.integers(12, 17)),
        nlevels=draw(st.integers(1, 6)),
        checksum=draw(st.sampled_from([0, 7, 14])),
        compress=draw(st.sampled_from([0, 2, 15])),
        flags=dnode.FLAG_SPILL_BLKPTR * bool(spill) | draw(st.sampled_from([0, 1, 3])),
        datablksz=draw(st.sampled_from([512, 16384, 131072, 1 << 24])),
        extra_slots=extra,
        used=draw(WORD),
        bonus=draw(st.binary(max_size=min(capacity, 300))),
        blkptr=pointers[:nblkptr],
        spill=pointers[3] if spill else None,
        order=draw(st.sampled_from("<>")),
    )


def same(a: DnodePhys, b: DnodePhys) -> bool:
    names = [n for n in DnodePhys.__dataclass_fields__ if n not in ("blkptr", "spill")]
    spills = [None if d.spill is None else d.spill.tobytes() for d in (a, b)]
    return (
        all(getattr(a, n) == getattr(b, n) for n in names)
        and a.blkptr.tobytes() == b.blkptr.tobytes()
        and spills[0] == spills[1]
    )


@given(dnodes())
def test_round_trip(phys: DnodePhys) -> None:
    raw = dnode.encode(phys)
    assert len(raw) == phys.size
    found = dnode.decode(raw, phys.order)
    assert found is not None and same(found, phys)


@given(st.lists(dnodes(), max_size=40), st.sampled_from("<>"), st.data())
def test_a_block_of_dnodes(some: list[DnodePhys], order: str, data: Any) -> None:
    block, expected = b"", {}
    for phys in some:
        gap = data.draw(st.integers(0, 2)) * SLOT_SIZE
        if len(block) + gap + phys.size > BLOCK_SIZE:
            continue
        block += bytes(gap)
        phys.order = order
        expected[len(block) // SLOT_SIZE] = phys
        block += dnode.encode(phys)
    opened = DnodeBlock(block.ljust(BLOCK_SIZE, b"\0"), order)
    assert list(opened) == sorted(expected)
    for index, phys in expected.items():
        assert index in opened and same(opened.dnode(index), phys)


def test_two_blocks_at_once_and_interiors_that_look_like_dnodes() -> None:
    large = DnodePhys(type=19, extra_slots=3, bonus=b"\x13" * 1800)
    first = dnode.encode(large) + dnode.encode(DnodePhys(type=20))
    second = bytes(SLOT_SIZE * 31) + dnode.encode(DnodePhys(type=8))
    for order in "<>":
        slots = dnode.slots_of(first.ljust(BLOCK_SIZE, b"\0") + second, order)
        assert dnode.starts(slots).tolist() == [0, 4, 63]


@pytest.mark.parametrize(
    ("at", "value", "text"),
    [
        (0, 54, "object type"),
        (4, 0x70, "bonus type"),
        (1, 11, "indirect block size"),
        (1, 18, "indirect block size"),
        (2, 0, "levels"),
        (2, 8, "levels"),
        (3, 0, "block pointers"),
        (3, 4, "block pointers"),
        (8, 0, "data block size"),
        (9, 0xFF, "data block size"),
        (12, 31, "slots"),
        (11, 2, "bonus"),
        (5, 3, "checksum"),
        (6, 17, "checksum"),
        (16, 3, "last block"),
        (23, 1, "last block"),
    ],
)
def test_every_rule(at: int, value: int, text: str) -> None:
    raw = bytearray(dnode.encode(DnodePhys(type=19, blkptr=np.zeros(3, dtype=BLKPTR))))
    raw[8:10] = b"\x01\x00"
    raw[at] = value
    block = bytes(SLOT_SIZE) + bytes(raw).ljust(BLOCK_SIZE - SLOT_SIZE, b"\0")
    with pytest.raises(CorruptError, match=text):
        DnodeBlock(block).dnode(1, object=1)


def test_block_sizes_that_are_no_power_of_two_need_a_single_block() -> None:
    odd = DnodePhys(type=19, datablksz=1536)
    assert dnode.decode(dnode.encode(odd)) is not None
    odd.maxblkid, odd.nlevels = 1, 2
    with pytest.raises(CorruptError, match="power of two"):
        dnode.decode(dnode.encode(odd))


def test_the_deepest_tree() -> None:
    deep = DnodePhys(type=19, indblkshift=12, nlevels=12, maxblkid=(1 << 55) - 1)
    assert dnode.decode(dnode.encode(deep)) is not None
    deep.nlevels = 13
    with pytest.raises(CorruptError, match="levels"):
        dnode.decode(dnode.encode(deep))


@given(st.binary(max_size=1200), st.sampled_from("<>"))
def test_any_bytes(raw: bytes, order: str) -> None:
    try:
        dnode.decode(raw, order)
    except CorruptError:
        pass
    DnodeBlock(raw.ljust(BLOCK_SIZE, b"\x13"), order)


def test_a_golden_vector() -> None:
    """Object directory of a pool written by OpenZFS 2.3.2: its first 64 bytes."""
    head = bytes.fromhex("01110103000000012000000000000000") + struct.pack("<QQ", 1, 13824) + bytes(32)
    phys = dnode.decode(head.ljust(SLOT_SIZE, b"\0"))
    assert phys is not None
    assert (phys.type, phys.indblkshift, phys.nlevels, len(phys.blkptr)) == (1, 17, 1, 3)
    assert (phys.datablksz, phys.maxblkid, phys.used_bytes, phys.bonus) == (16384, 1, 13824, b"")
    assert phys.bonus_capacity == 64
    assert dnode.encode(phys)[:64] == head


def test_what_cannot_be_encoded() -> None:
    with pytest.raises(ValueError, match="bonus"):
        dnode.encode(DnodePhys(type=19, bonus=bytes(321)))
    with pytest.raises(ValueError, match="spill"):
        dnode.encode(DnodePhys(type=19, flags=dnode.FLAG_SPILL_BLKPTR))
