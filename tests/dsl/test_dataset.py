from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from uberblock.pool import import_pool
from uberblock.pool.dsl.dataset import DslDataset
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.errors import CorruptError, NotFoundError
from uberblock.pool.ondisk.dsl import DatasetFlags

from .conftest import FakeMos, Opener

KINDS = ["raidz-expansion", "version28", "checkpoint", "encrypted"]


def test_kinds(open_kind: Opener) -> None:
    opened = open_kind("raidz-expansion")
    for name, described in opened.manifest["datasets"].items():
        if "#" in name:
            continue
        found = opened.dsl.dataset(name)
        volume = "volsize" in described["properties"]
        assert found.kind == ("snapshot" if "@" in name else "volume" if volume else "filesystem")
        assert found.head_kind == ("volume" if volume else "filesystem")


def test_one_by_one_kinds_are_the_same(open_kind: Opener) -> None:
    """Without the batch that listing reads ahead."""
    opened = open_kind("dedup")
    for name in opened.manifest["datasets"]:
        if "@" not in name:
            found = opened.dsl.dataset(name)
            assert not found.kind_is_known
            assert found.kind == opened.manifest["datasets"][name]["type"]


@pytest.mark.parametrize("kind", KINDS)
def test_chains_of_snapshots(open_kind: Opener, kind: str) -> None:
    """The rules that link heads, snapshots, clones and deadlists hold in what OpenZFS wrote."""
    dsl = open_kind(kind).dsl
    origin = dsl.dataset(f"{dsl.name}/$ORIGIN@$ORIGIN")
    for head in dsl.datasets(snapshots=False):
        chain = [*head.snapshots(), head]
        for older, newer in itertools.pairwise(chain):
            assert newer.prev is older and older.phys.next_snap_obj == newer.obj
            assert newer.phys.prev_snap_txg == older.phys.creation_txg
        first = chain[0].prev
        assert first is (head.dir.origin or origin)
        assert chain[0].prev_snapshot is head.dir.origin
        for snapshot in chain[:-1]:
            assert snapshot.phys.num_children == 1 + len(snapshot.clones())
            assert head.snapshot(snapshot.short_name or "") is snapshot


def test_clones_know_their_origin_and_are_known_by_it(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    clone = dsl.dataset(f"{dsl.name}/clone")
    origin = clone.dir.origin
    assert origin is not None and origin.name == f"{dsl.name}/home@one"
    assert origin.clones() == [clone]
    assert clone in origin.dir.clones()
    assert dsl.dataset(f"{dsl.name}/home").dir.origin is None


def test_holds_and_bookmarks(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    held = dsl.dataset(f"{dsl.name}/home@two")
    (tag,) = held.holds()
    assert held.holds()[tag] >= held.phys.creation_time
    assert dsl.dataset(f"{dsl.name}/home@one").holds() == {}
    (mark,) = dsl.dataset(f"{dsl.name}/home").bookmarks()
    assert mark.name == f"{dsl.name}/home#mark" and mark.has_sizes
    assert mark.phys.guid == held.phys.guid
    assert mark.redaction is None
    with pytest.raises(NotFoundError):
        dsl.dataset(f"{dsl.name}/home").bookmark("none")


def test_objsets_open(open_kind: Opener) -> None:
    dsl = open_kind("names").dsl
    for item in dsl.datasets():
        assert item.objset().type == 2
        assert item.created_with["VERSION"] == 5
    with pytest.raises(NotFoundError):
        dsl.dataset("tank-names/$ORIGIN").objset()
    volume = open_kind("version28").dsl.dataset("tank-version28/v")
    assert volume.created_with == {"size": 8 << 20, "volblocksize": 16384}


# -- damage -----------------------------------------------------------------------------------------------------------


def chain(mos: FakeMos, **changes: dict[str, int]) -> DslPool:
    """tank with snapshots s (31) and t (32); ``changes`` are by the object: head, s, t."""
    mos.directory(2, head_dataset_obj=20)
    head = {"dir_obj": 2, "prev_snap_obj": 32, "prev_snap_txg": 9, **changes.get("head", {})}
    new = {"dir_obj": 2, "prev_snap_obj": 31, "prev_snap_txg": 5, "num_children": 1, "creation_txg": 9}
    old = {"dir_obj": 2, "num_children": 1, "creation_txg": 5}
    mos.dataset(20, snapshots={"s": 31, "t": 32}, **head)
    mos.dataset(31, **{**old, **changes.get("s", {})})
    mos.dataset(32, **{**new, **changes.get("t", {})})
    return mos.open()


def test_a_sound_chain(mos: FakeMos) -> None:
    dsl = chain(mos)
    assert [item.name for item in dsl.datasets()] == ["tank", "tank@s", "tank@t"]


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("head", {"prev_snap_obj": 20}),  # its own predecessor
        ("head", {"prev_snap_txg": 8}),
        ("head", {"prev_snap_obj": 99}),
        ("head", {"prev_snap_obj": 0}),
        ("t", {"prev_snap_obj": 32}),
        ("t", {"prev_snap_txg": 9}),
        ("t", {"prev_snap_txg": 11}),
        ("t", {"num_children": 0}),
        ("t", {"dir_obj": 7}),
        ("s", {"prev_snap_obj": 32, "prev_snap_txg": 9}),  # a circle
    ],
)
def test_broken_chains(mos: FakeMos, where: str, change: dict[str, int]) -> None:
    dsl = chain(mos, **{where: change})
    with pytest.raises(CorruptError):
        list(dsl.datasets())


def test_a_head_that_is_a_snapshot(mos: FakeMos) -> None:
    dsl = chain(mos, head={"num_children": 1})
    with pytest.raises(CorruptError):
        dsl.dataset("tank")


def test_a_snapshot_without_a_name(mos: FakeMos) -> None:
    dsl = chain(mos)
    mos.dataset(40, dir_obj=2, num_children=1)
    orphan = dsl.dataset_by_object(40)
    with pytest.raises(CorruptError, match="no name"):
        _ = orphan.name


def test_clone_lists_of_the_wrong_length_are_not_trusted(mos: FakeMos) -> None:
    dsl = chain(mos, s={"num_children": 3, "next_clones_obj": mos.zap(60, {"14": 20})})
    assert dsl.dataset("tank@s").clones() == []


def test_names_without_regard_to_case(mos: FakeMos) -> None:
    dsl = chain(mos, head={"flags": DatasetFlags.CI_DATASET})
    assert dsl.dataset("tank@S") is dsl.dataset("tank@s")
    with pytest.raises(NotFoundError):
        dsl.dataset("tank@x")


def test_flags_and_further_entries(mos: FakeMos) -> None:
    mos.directory(2, head_dataset_obj=20)
    flags = DatasetFlags.INCONSISTENT | DatasetFlags.DEFER_DESTROY
    fields = {"com.delphix:redacted_datasets": (5, 6), "com.datto:ivset_guid": 77, "org.illumos:skein": 0}
    mos.dataset(20, dir_obj=2, snapshots={}, flags=flags, fields=fields)
    head: DslDataset = mos.open().dataset("tank")
    assert head.inconsistent and head.defer_destroy
    assert head.redaction_snapshots == (5, 6)
    assert head.ivset_guid == 77
    assert set(head.fields) == set(fields)
    assert head.resume is None
    assert head.is_empty and head.kind == "filesystem" and head.created_with == {}


@pytest.mark.parametrize(("kind", "count"), [(4, 20), (2, 0)])
def test_object_sets_that_are_no_file_system(pools, monkeypatch, kind: int, count: int) -> None:
    """ztest's datasets hold plain objects, or nothing at all; asking for their properties said they were damaged."""
    with import_pool(search=pools("rewind").dir) as pool:
        dataset = pool.dataset("tank-rewind")
        monkeypatch.setattr(dataset.dsl, "objset", lambda **more: SimpleNamespace(type=kind, object_count=count))
        assert dataset.dsl.created_with == {}
        assert {"used", "recordsize"} <= set(dataset.properties())
