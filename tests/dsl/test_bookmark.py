from __future__ import annotations

import struct

import pytest
from uberblock.pool.dsl import props
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.ondisk.dsl import RedactionListPhys

from .conftest import FakeDnode, FakeMos, Opener, Value


def with_bookmarks(mos: FakeMos, marks: dict[str, Value]) -> DslPool:
    mos.zap(50, marks)
    mos.directory(2, head_dataset_obj=20)
    mos.dataset(20, dir_obj=2, snapshots={}, fields={"com.delphix:bookmarks": 50})
    return mos.open()


def test_order_and_forms(mos: FakeMos) -> None:
    dsl = with_bookmarks(mos, {"young": (1, 9, 100), "old": (2, 5, 50, 0, 1, 1000, 10, 2000, 0, 0, 0, 0)})
    old, young = dsl.dataset("tank").bookmarks()
    assert (old.name, young.name) == ("tank#old", "tank#young")
    assert old.has_sizes and not young.has_sizes
    assert [value.name for value in props.get_all(young)] == ["type", "creation", "createtxg", "guid"]
    shown = {value.name: value.exact for value in props.get_all(old)}
    assert shown["referenced"] == "1000" and shown["logicalreferenced"] == "2000"
    assert not props.get(old, "org.example:x").is_set
    assert not props.get(old, "written@x").is_set


def test_redaction_lists(mos: FakeMos) -> None:
    packed = struct.pack("<6Q", 1, 2, 3, 2, 100, 200)
    mos.objects[60] = FakeDnode(60, ObjectType.UINT64_METADATA, ObjectType.UINT64_METADATA, packed)
    dsl = with_bookmarks(mos, {"r": (1, 9, 100, 60), "gone": (1, 9, 100, 61)})
    redacted = dsl.bookmark("tank#r")
    assert redacted.redaction == RedactionListPhys(1, 2, 3, (100, 200))
    assert props.get(redacted, "redact_snaps").text == "100,200"
    with pytest.raises(CorruptError):
        _ = dsl.bookmark("tank#gone").redaction


def test_damaged_bookmarks(mos: FakeMos) -> None:
    with pytest.raises(CorruptError):
        with_bookmarks(mos, {"x": (1, 2)}).dataset("tank").bookmarks()


@pytest.mark.parametrize("kind", ["raidz-expansion", "encrypted", "draid"])
def test_bookmarks_of_real_pools(open_kind: Opener, kind: str) -> None:
    opened = open_kind(kind)
    for name, described in opened.manifest["datasets"].items():
        if "#" in name:
            mark = opened.dsl.bookmark(name)
            assert mark.phys.creation_txg == int(described["properties"]["createtxg"])
            assert mark.phys.ivset_guid == (mark.dataset.snapshots()[-1].ivset_guid or 0)
