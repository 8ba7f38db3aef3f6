from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk import dsl

U64 = st.integers(0, (1 << 64) - 1)
ORDERS = st.sampled_from("<>")
DIRS = st.builds(
    dsl.DirPhys,
    *[U64] * 13,
    used_breakdown=st.tuples(U64, U64, U64, U64, U64),
    clones=U64,
)
DATASETS = st.builds(
    dsl.DatasetPhys,
    *[U64] * 16,
    bp=st.binary(min_size=128, max_size=128),
    next_clones_obj=U64,
    props_obj=U64,
    userrefs_obj=U64,
)


@given(DIRS, ORDERS)
def test_directory_round_trip(phys: dsl.DirPhys, order: str) -> None:
    packed = dsl.encode_dir(phys, order)
    assert len(packed) == dsl.DIR_SIZE
    assert dsl.decode_dir(packed, order) == phys


@given(DATASETS, ORDERS)
def test_dataset_round_trip(phys: dsl.DatasetPhys, order: str) -> None:
    packed = dsl.encode_dataset(phys, order)
    assert len(packed) == dsl.DATASET_SIZE
    assert dsl.decode_dataset(packed, order) == phys


@given(U64, U64, U64, ORDERS)
def test_deadlist_round_trip(used: int, comp: int, uncomp: int, order: str) -> None:
    phys = dsl.DeadlistPhys(used, comp, uncomp)
    packed = dsl.encode_deadlist(phys, order)
    assert len(packed) == dsl.DEADLIST_SIZE
    assert dsl.decode_deadlist(packed, order) == phys


def test_offsets_of_a_directory() -> None:
    words = list(range(32))
    phys = dsl.decode_dir(struct.pack("<32Q", *words), "<")
    assert phys.creation_time == 0
    assert (phys.origin_obj, phys.child_dir_zapobj, phys.used_bytes) == (3, 4, 5)
    assert (phys.quota, phys.reserved, phys.props_zapobj, phys.deleg_zapobj, phys.flags) == (8, 9, 10, 11, 12)
    assert phys.used_breakdown == (13, 14, 15, 16, 17)
    assert phys.clones == 18


def test_offsets_of_a_dataset_and_its_pointer_in_both_orders() -> None:
    words = list(range(40))
    for order in "<>":
        phys = dsl.decode_dataset(struct.pack(order + "40Q", *words), order)
        assert (phys.dir_obj, phys.prev_snap_obj, phys.prev_snap_txg, phys.next_snap_obj) == (0, 1, 2, 3)
        assert (phys.guid, phys.flags) == (14, 15)
        assert phys.blkptr.shape == (1,)
        assert phys.blkptr["birth"][0] == 16 + 10
        assert (phys.next_clones_obj, phys.props_obj, phys.userrefs_obj) == (32, 33, 34)


@pytest.mark.parametrize(
    ("decode", "size"),
    [(dsl.decode_dir, 256), (dsl.decode_dataset, 320), (dsl.decode_deadlist, 320), (dsl.decode_redaction_list, 32)],
)
def test_short_buffers_are_refused(decode: object, size: int) -> None:
    assert callable(decode)
    for length in (0, 1, size - 1):
        with pytest.raises(CorruptError):
            decode(bytes(length), "<")
    decode(bytes(size), "<")
    decode(bytes(size + 64), ">")  # a bonus buffer may be longer than what is used of it


def test_bookmarks_take_the_shortest_form_that_holds_them() -> None:
    short = dsl.BookmarkPhys(1, 2, 3)
    assert dsl.encode_bookmark(short) == (1, 2, 3)
    assert dsl.decode_bookmark((1, 2, 3)) == short
    sized = dsl.BookmarkPhys(1, 2, 3, flags=dsl.BookmarkFlags.HAS_FBN, referenced_bytes=5)
    assert len(dsl.encode_bookmark(sized)) == 12
    assert dsl.decode_bookmark(dsl.encode_bookmark(sized)) == sized
    assert len(dsl.encode_bookmark(dsl.BookmarkPhys(1, 2, 3, ivset_guid=9))) == 12
    assert len(dsl.encode_bookmark(dsl.BookmarkPhys(1, 2, 3, redaction_obj=9))) == 12


def test_bookmarks_of_odd_lengths() -> None:
    assert dsl.decode_bookmark((1, 2, 3, 4)).redaction_obj == 4
    assert dsl.decode_bookmark(tuple(range(20))).ivset_guid == 11
    with pytest.raises(CorruptError):
        dsl.decode_bookmark((1, 2))


@pytest.mark.parametrize("order", ["<", ">"])
def test_redaction_list_header(order: str) -> None:
    packed = struct.pack(order + "6Q", 7, 8, 9, 2, 100, 200)
    assert dsl.decode_redaction_list(packed, order) == dsl.RedactionListPhys(7, 8, 9, (100, 200))
    with pytest.raises(CorruptError):
        dsl.decode_redaction_list(packed[:-1], order)
    with pytest.raises(CorruptError):
        dsl.decode_redaction_list(struct.pack(order + "4Q", 0, 0, 0, 1 << 61), order)
