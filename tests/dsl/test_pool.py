from __future__ import annotations

import itertools

import pytest
from uberblock.pool.dsl.bookmark import Bookmark
from uberblock.pool.errors import CorruptError, LimitError, NotFoundError, PoolError

from .conftest import FakeMos, Opener


@pytest.mark.parametrize("kind", ["raidz-expansion", "encrypted", "version28", "names"])
def test_names_in_the_order_of_zfs_list(open_kind: Opener, kind: str) -> None:
    opened = open_kind(kind)
    described = opened.manifest["datasets"]
    names = [item.name for item in opened.dsl.everything()]
    assert set(names) == set(described)
    plain = [name for name in names if "@" not in name and "#" not in name]
    assert plain == sorted(plain, key=str.encode)
    for earlier, later in itertools.pairwise(names):
        if "@" in later:
            assert later.partition("@")[0] == earlier.partition("@")[0]
        if "@" in later and "@" in earlier:
            txgs = [int(described[name]["properties"]["createtxg"]) for name in (earlier, later)]
            assert txgs[0] < txgs[1]


def test_by_name_and_by_number(open_kind: Opener) -> None:
    opened = open_kind("raidz-expansion")
    for name, described in opened.manifest["datasets"].items():
        found = opened.dsl.find(name)
        assert found.name == name
        if isinstance(found, Bookmark):
            assert found.phys.guid == int(described["properties"]["guid"])
        else:
            assert found.obj == int(described["properties"]["objsetid"])
            assert opened.dsl.dataset_by_object(found.obj) is found
            assert opened.dsl.dir_by_object(found.dir.obj) is found.dir


def test_numbers_before_names(open_kind: Opener) -> None:
    """Opened by number first, a snapshot finds its way up to the root by itself."""
    opened = open_kind("block-cloning")
    for name, described in sorted(opened.manifest["datasets"].items(), reverse=True):
        if "#" not in name:
            assert opened.dsl.dataset_by_object(int(described["properties"]["objsetid"])).name == name


@pytest.mark.parametrize(
    "name",
    [
        "other",
        "tank-names/nowhere",
        "tank-names@nowhere",
        "tank-names#nowhere",
        "tank-names/",
        "",
        "tank-names/ci/x/y",
    ],
)
def test_what_is_not_there(open_kind: Opener, name: str) -> None:
    with pytest.raises(NotFoundError):
        open_kind("names").dsl.find(name)


def test_special_directories_are_kept_apart(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    assert set(dsl.special()) == {"$MOS", "$FREE", "$ORIGIN"}
    assert not any("$" in item.name for item in dsl.everything())
    hidden = [item.name for item in dsl.datasets(hidden=True)]
    assert f"{dsl.name}/$ORIGIN@$ORIGIN" in hidden
    assert dsl.temporary() == []
    assert dsl.special()["$MOS"].head is None
    assert dsl.dataset(f"{dsl.name}/$ORIGIN").is_empty


def test_a_part_of_the_tree(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    names = [item.name for item in dsl.datasets(f"{dsl.name}/a/b", snapshots=False)]
    assert names == [f"{dsl.name}/a/b{rest}" for rest in ("", "/c", "/c/d")]


def test_what_waits_to_be_freed(open_kind: Opener) -> None:
    assert open_kind("version28").dsl.deferred_bytes > 0
    assert open_kind("ganging").dsl.deferred_bytes == 0


# -- damage -----------------------------------------------------------------------------------------------------------


def test_no_root(mos: FakeMos) -> None:
    mos.zap(1, {"config": 5})
    with pytest.raises(CorruptError, match="root"):
        mos.open()
    mos.zap(1, {"root_dataset": 77})
    with pytest.raises(CorruptError, match="77"):
        mos.open()
    mos.zap(77, {})
    with pytest.raises(CorruptError):
        mos.open()


def test_names_sort_as_bytes(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3, "a-b": 4, "é": 5, "Z": 6}, head_dataset_obj=20)
    mos.directory(3, parent_obj=2, children={"x": 7}, head_dataset_obj=30)
    for number in (4, 5, 6):
        mos.directory(number, parent_obj=2, head_dataset_obj=number * 10)
    mos.directory(7, parent_obj=3, head_dataset_obj=70)
    for number in (2, 3, 4, 5, 6, 7):
        mos.dataset(number * 10, dir_obj=number, snapshots={})
    dsl = mos.open()
    names = [item.name for item in dsl.everything()]
    assert names == ["tank", "tank/Z", "tank/a", "tank/a-b", "tank/a/x", "tank/é"]


def test_temporary_clones_are_hidden_with_all_below(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3}, head_dataset_obj=20)
    mos.directory(3, parent_obj=2, children={"%recv": 4}, head_dataset_obj=30)
    mos.directory(4, parent_obj=3, head_dataset_obj=40)
    for number in (2, 3, 4):
        mos.dataset(number * 10, dir_obj=number, snapshots={})
    dsl = mos.open()
    assert [item.name for item in dsl.datasets()] == ["tank", "tank/a"]
    assert [item.name for item in dsl.temporary()] == ["tank/a/%recv"]
    assert dsl.dataset("tank/a/%recv").dir.hidden
    assert len(list(dsl.datasets(hidden=True))) == 3


def test_a_child_that_is_its_own_parent(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3}, head_dataset_obj=20)
    mos.directory(3, parent_obj=3, children={"a": 3})
    mos.dataset(20, dir_obj=2, snapshots={})
    dsl = mos.open()
    with pytest.raises(CorruptError, match="parent"):
        dsl.dirs()
    with pytest.raises(CorruptError):
        dsl.dir_by_object(3)


def test_a_loop_of_parents(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3})
    mos.directory(3, parent_obj=4, children={"b": 4})
    mos.directory(4, parent_obj=3, children={"a": 3})
    dsl = mos.open()
    for number in (3, 4):
        with pytest.raises(CorruptError, match="tree"):
            dsl.dir_by_object(number)


def test_the_root_as_a_child(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 2})
    dsl = mos.open()
    with pytest.raises(CorruptError):
        dsl.dirs()


def test_one_directory_under_two_names(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3, "b": 3})
    mos.directory(3, parent_obj=2)
    with pytest.raises(CorruptError, match="two names"):
        mos.open().dirs()


def test_too_deep(mos: FakeMos) -> None:
    mos.directory(2, children={"d": 10_000})
    for level in range(200):
        number = 10_000 * (level + 1)
        parent = 2 if level == 0 else number - 10_000
        mos.directory(number, parent_obj=parent, children={"d": number + 10_000})
    dsl = mos.open()
    with pytest.raises(LimitError):
        dsl.dirs()
    with pytest.raises(LimitError):
        dsl.dir_by_object(10_000 * 150)


def test_a_dataset_of_another_directory(mos: FakeMos) -> None:
    mos.directory(2, children={"a": 3}, head_dataset_obj=20)
    mos.directory(3, parent_obj=2, head_dataset_obj=20)
    mos.dataset(20, dir_obj=2, snapshots={})
    dsl = mos.open()
    with pytest.raises(CorruptError):
        list(dsl.datasets())
    with pytest.raises(CorruptError):
        dsl.dataset_by_object(3)
    with pytest.raises(CorruptError):
        dsl.dataset_by_object(0)


def test_listing_goes_on_past_damage(mos: FakeMos) -> None:
    mos.directory(2, children={"good": 3, "gone": 99, "bad": 4, "chain": 5}, head_dataset_obj=20)
    mos.directory(3, parent_obj=2, head_dataset_obj=30)
    mos.directory(4, parent_obj=2, head_dataset_obj=41)
    mos.directory(5, parent_obj=2, head_dataset_obj=50)
    for number in (20, 30):
        mos.dataset(number, dir_obj=number // 10, snapshots={})
    # The chain of snapshots stops short of "old", but its name is there.
    mos.dataset(50, dir_obj=5, snapshots={"new": 52, "old": 51}, prev_snap_obj=52, prev_snap_txg=9)
    mos.dataset(51, dir_obj=5, num_children=1, creation_txg=4)
    mos.dataset(52, dir_obj=5, num_children=1, creation_txg=9)
    dsl = mos.open()
    told: list[tuple[str, PoolError]] = []
    names = [item.name for item in dsl.everything(damaged=lambda name, error: told.append((name, error)))]
    assert names == ["tank", "tank/chain", "tank/chain@old", "tank/chain@new", "tank/good"]
    assert sorted({name for name, _ in told}) == ["tank/bad", "tank/chain", "tank/gone"]
    with pytest.raises(CorruptError):
        list(dsl.everything())
