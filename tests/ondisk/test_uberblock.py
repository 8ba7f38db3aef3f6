"""Uberblocks: every slot of real rings, both byte orders, heartbeats and expansion state."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.ondisk.uberblock import Uberblock

WORD = st.integers(0, (1 << 64) - 1)

UBERBLOCKS = st.builds(
    Uberblock,
    version=WORD,
    txg=WORD,
    guid_sum=WORD,
    timestamp=WORD,
    rootbp_bytes=st.binary(min_size=128, max_size=128),
    software_version=WORD,
    mmp_magic=st.one_of(WORD, st.just(uberblock.MMP_MAGIC)),
    mmp_delay=WORD,
    mmp_config=WORD,
    checkpoint_txg=WORD,
    reflow_info=WORD,
    order=st.sampled_from("<>"),
)


@given(UBERBLOCKS)
def test_round_trip(ub: Uberblock) -> None:
    raw = uberblock.encode(ub)
    assert len(raw) == 216
    assert uberblock.decode(raw) == ub


@given(st.binary(max_size=300))
def test_any_bytes_give_our_errors(raw: bytes) -> None:
    with pytest.raises(CorruptError):
        uberblock.decode(raw)


def rings(image):
    data = image.read_bytes()
    for index in range(4):
        at = label.offset(len(data), index)
        yield at, data[at + label.RING_OFFSET : at + label.LABEL_SIZE]


def ashift_of(image) -> int:
    with image.open("rb") as stream:
        config = label.decode(stream.read(label.LABEL_SIZE), 0).config
    return config.nvlist("vdev_tree").u64("ashift")


@pytest.mark.parametrize("kind", ["ashift13", "mirror", "raidz-expansion", "version28"])
def test_rings_of_real_pools(pools, kind: str) -> None:
    ashift = ashift_of(pools(kind).images[0])
    for at, ring in rings(pools(kind).images[0]):
        found = list(uberblock.slots(ring, at, ashift))
        assert len(found) > 3
        for slot in found:
            ub = slot.uberblock
            assert slot.verified()
            position = slot.offset - at - label.RING_OFFSET
            assert position == uberblock.slot_of(ub, ashift) * uberblock.slot_size(ashift)
            whole = ring[position : position + slot.size]
            assert uberblock.encode_slot(ub, slot.offset, ashift) == whole
            assert blkptr.object_type(ub.rootbp) == 11 and ub.rootbp["birth"] <= ub.txg
        without = [s for s in uberblock.slots(ring, at) if s.verified()]
        assert [s.offset for s in without] == [s.offset for s in found]


def test_a_damaged_slot_does_not_verify(pools) -> None:
    at, ring = next(rings(pools("mirror").images[0]))
    damaged = bytearray(ring)
    first = next(uberblock.slots(damaged, at))
    assert first.verified()
    damaged[first.offset - at - label.RING_OFFSET + 300] ^= 1
    assert not next(uberblock.slots(damaged, at)).verified()
    assert not next(uberblock.slots(ring, at + 4096)).verified(), "the verifier holds the place"


def test_geometry() -> None:
    sizes = {9: 1024, 10: 1024, 11: 2048, 12: 4096, 13: 8192, 16: 8192}
    assert {a: uberblock.slot_size(a) for a in sizes} == sizes
    assert uberblock.slot_count(9) == 128 and uberblock.slot_count(16) == 16


def test_fields_within_words() -> None:
    ub = Uberblock(5000, 134, 0, 0, bytes(128), mmp_magic=uberblock.MMP_MAGIC, mmp_delay=1)
    ub = dataclasses.replace(ub, mmp_config=7 | 1000 << 8 | 5 << 32 | 10 << 48, reflow_info=8 | 1 << 55)
    assert (ub.mmp_interval_ms, ub.mmp_sequence, ub.mmp_fail_intervals) == (1000, 5, 10)
    assert ub.multihost and ub.rank == (134, 0, 5)
    assert (ub.reflow_offset, ub.reflow_state) == (4096, 1)
    quiet = dataclasses.replace(ub, mmp_magic=0)
    assert not quiet.multihost and quiet.rank == (134, 0, 0) and quiet.mmp_interval_ms == 0
    assert uberblock.slot_of(quiet, 12) == 5, "one before its place while the scratch area is valid"
