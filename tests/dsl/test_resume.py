from __future__ import annotations

import zlib

import numpy as np
import pytest
from uberblock.pool.dsl.props import get
from uberblock.pool.dsl.resume import ResumeState
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.nvlist import decode

from .conftest import FakeMos, Value

FIELDS: dict[str, Value] = {
    "com.delphix:resume_toguid": 0xAABB,
    "com.delphix:resume_toname": "tank/src@snap",
    "com.delphix:resume_object": 7,
    "com.delphix:resume_offset": 131072,
    "com.delphix:resume_bytes": 999,
    "com.delphix:resume_compressok": 1,
    "com.datto:resume_rawok": 1,
}


def unpack(token: str) -> dict[str, object]:
    """What libzfs does with a token."""
    version, checksum, length, digits = token.split("-")
    assert version == "1"
    compressed = bytes.fromhex(digits)
    words = np.frombuffer(compressed[: len(compressed) // 4 * 4], dtype="<u4")
    assert int(words.sum(dtype=np.uint64)) == int(checksum, 16)
    packed = zlib.decompress(compressed)
    assert len(packed) == int(length, 16)
    return dict(decode(packed))


def test_state_of_a_new_dataset(mos: FakeMos) -> None:
    mos.directory(2, head_dataset_obj=20)
    mos.dataset(20, dir_obj=2, snapshots={}, fields=FIELDS)
    head = mos.open().dataset("tank")
    assert head.resume == ResumeState(
        toguid=0xAABB, toname="tank/src@snap", object=7, offset=131072, bytes=999, compressed=True, raw=True
    )
    assert unpack(get(head, "receive_resume_token").text) == {
        "object": 7,
        "offset": 131072,
        "bytes": 999,
        "toguid": 0xAABB,
        "toname": "tank/src@snap",
        "compressok": True,
        "rawok": True,
    }


def test_state_of_an_incremental_receive_is_with_the_temporary_clone(mos: FakeMos) -> None:
    mos.directory(2, children={"%recv": 3}, head_dataset_obj=20)
    mos.directory(3, parent_obj=2, head_dataset_obj=30)
    mos.dataset(20, dir_obj=2, snapshots={})
    extra: dict[str, Value] = {"com.delphix:resume_fromguid": 5, "com.delphix:redacted_datasets": (1, 2)}
    mos.dataset(30, dir_obj=3, snapshots={}, fields={**FIELDS, **extra})
    head = mos.open().dataset("tank")
    assert head.resume is not None and head.resume.fromguid == 5 and head.resume.redact_snapshots == (1, 2)
    pairs = unpack(get(head, "receive_resume_token").text)
    assert pairs["fromguid"] == 5 and pairs["redact_snaps"] == [1, 2]


def test_nothing_to_resume(mos: FakeMos) -> None:
    mos.directory(2, head_dataset_obj=20)
    mos.dataset(20, dir_obj=2, snapshots={})
    assert not get(mos.open().dataset("tank"), "receive_resume_token").is_set


@pytest.mark.parametrize("change", [{"com.delphix:resume_object": (1, 2)}, {"com.delphix:resume_toname": 5}])
def test_damaged_state(mos: FakeMos, change: dict[str, Value]) -> None:
    mos.directory(2, head_dataset_obj=20)
    mos.dataset(20, dir_obj=2, snapshots={}, fields={**FIELDS, **change})
    with pytest.raises(CorruptError):
        _ = mos.open().dataset("tank").resume
