"""Log records written here are read back as what they tell of, and take the room that OpenZFS's do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import LimitError
from uberblock.pool.ondisk import bpmake, zilencode, zilrecord
from uberblock.pool.ondisk.zilrecord import TxType

u64 = st.integers(0, (1 << 63) - 1)
number = st.integers(1, zilrecord.OBJECT_MASK)
name = st.binary(min_size=1, max_size=255).filter(lambda raw: b"\0" not in raw)
time_ns = st.integers(-(10**18), 4 * 10**18)


def back(record: bytearray) -> zilrecord.Record:
    zilencode.stamp(record, 77, 5)
    assert len(record) % 8 == 0
    found = zilrecord.decode(record, "<")
    assert (found.length, found.txg, found.seq) == (len(record), 77, 5)
    return found


made = st.sampled_from([TxType.CREATE, TxType.MKDIR, TxType.MKXATTR])


@given(made, number, number, st.integers(1, 32), time_ns, name)
def test_create(kind: TxType, directory: int, made: int, slots: int, crtime: int, what: bytes) -> None:
    found = back(zilencode.create(kind, directory, made, slots, 0o100644, 3, 4, 9, crtime, 7, what))
    assert isinstance(found, zilrecord.Create) and found.type == kind and found.target is None
    assert (found.directory, found.object, found.dnode_slots, found.crtime_ns, found.name) == (
        directory, made, slots, crtime, what,
    )  # fmt: skip
    assert (found.mode, found.uid, found.gid, found.gen, found.rdev) == (0o100644, 3, 4, 9, 7)


@given(number, name, name)
def test_symlinks_have_a_target(directory: int, what: bytes, target: bytes) -> None:
    record = zilencode.create(TxType.SYMLINK, directory, 8, 1, 0o120777, 0, 0, 1, 0, 0, what, target)
    found = back(record)
    assert isinstance(found, zilrecord.Create) and (found.name, found.target) == (what, target)


@given(number, number, name, name)
def test_names(one: int, other: int, first: bytes, second: bytes) -> None:
    removed = back(zilencode.remove(TxType.RMDIR, one, first))
    assert isinstance(removed, zilrecord.Remove) and (removed.directory, removed.name) == (one, first)
    linked = back(zilencode.link(one, other, first))
    assert isinstance(linked, zilrecord.Link) and (linked.directory, linked.object, linked.name) == (one, other, first)
    moved = back(zilencode.rename(TxType.RENAME_EXCHANGE, one, other, first, second))
    assert isinstance(moved, zilrecord.Rename) and moved.type == TxType.RENAME_EXCHANGE
    assert (moved.source_directory, moved.target_directory, moved.source, moved.target) == (one, other, first, second)


@given(number, u64, st.binary(min_size=1, max_size=5000))
def test_written_data(obj: int, offset: int, data: bytes) -> None:
    record, room = zilencode.write(obj, offset, len(data))
    room[:] = data
    found = back(record)
    assert isinstance(found, zilrecord.Write) and found.bp is None
    assert (found.object, found.offset, found.size, found.data) == (obj, offset, len(data), data)


def test_data_that_lies_elsewhere() -> None:
    bp = bpmake.stored(
        np.array([131072]), np.array([4096]), compress=15, checksum=7, type=19, level=0, birth=9, fill=1
    )
    bp["dva"] = bpmake.addresses(np.array([[[0, 1 << 20, 4096]]], np.uint64))
    record = zilencode.write_indirect(8, 4096, 100, bp)
    found = back(record)
    assert isinstance(found, zilrecord.Write) and found.data is None and len(record) == zilrecord.WRITE_HEADER
    assert found.bp is not None and found.bp.tobytes() == bp.tobytes()
    hole = bpmake.holes(1, 131072, type=19, level=0, birth=9)
    assert bytes(zilencode.write_indirect(8, 0, 100, hole)[64:192]) == bytes(128)


@given(number, u64, u64, time_ns, time_ns, st.one_of(st.none(), u64))
def test_attributes(obj: int, uid: int, size: int, atime: int, mtime: int, projid: int | None) -> None:
    uid &= 0xFFFFFFFF  # above are domains, which are not written here
    mask = zilencode.UID | zilencode.SIZE | zilencode.ATIME | zilencode.MTIME
    found = back(zilencode.setattr_(obj, mask, 0, uid, 0, size, atime, mtime, projid))
    assert isinstance(found, zilrecord.SetAttr)
    assert (found.object, found.uid, found.size, found.atime_ns, found.mtime_ns) == (obj, uid, size, atime, mtime)
    if projid is None:
        assert found.mask == mask and found.xvattr is None
    else:
        assert found.xvattr is not None and found.xvattr.requested == zilencode.XAT_PROJID
        assert int.from_bytes(found.xvattr.scanstamp[:8], "little") == projid


@given(number, name, st.one_of(st.none(), st.binary(min_size=1, max_size=300)))
def test_packed_attributes(obj: int, what: bytes, value: bytes | None) -> None:
    found = back(zilencode.setsaxattr(obj, what, value))
    assert isinstance(found, zilrecord.SetSaXattr) and (found.object, found.name, found.value) == (obj, what, value)


def test_what_cannot_be_told() -> None:
    with pytest.raises(LimitError):
        zilencode.setsaxattr(8, b"user.a", b"")


def test_a_hole_of_a_file() -> None:
    found = back(zilencode.truncate(8, 4096, 12288))
    assert isinstance(found, zilrecord.Truncate) and (found.object, found.offset, found.size) == (8, 4096, 12288)
