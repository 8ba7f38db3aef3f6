"""Properties, held against what ``zfs get -p all`` printed for every dataset of real pools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from uberblock.pool.dsl import props
from uberblock.pool.dsl.bookmark import Bookmark
from uberblock.pool.dsl.dataset import DslDataset
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.dsl.props import Origin
from uberblock.pool.errors import CorruptError, NotFoundError, UsageError

from .conftest import FakeMos, Opened, Opener

KINDS = [
    "algorithms",
    "block-cloning",
    "checkpoint",
    "classes",
    "damaged",
    "dedup",
    "dedup-legacy",
    "draid",
    "encrypted",
    "ganging",
    "names",
    "raidz-expansion",
    "removal",
    "rewind",
    "version28",
]
MORE_KINDS = [
    "ashift9",
    "ashift16",
    "compat",
    "compat-old",
    "l2arc",
    "log-spacemap",
    "mirror",
    "raidz1",
    "raidz3",
    "single",
    "stripes",
    "zil",
]

#: Only a kernel can know: what is mounted. And the type is not in every manifest.
KERNEL_ONLY = {"mounted"}
#: A mount of a read-only import is read-only whatever the property says.
MOUNT_OPTIONS = {"readonly"}
#: OpenZFS had some pools open for writing when it described them. Opening volumes and mounting file systems writes
#: (intent log headers, then the blocks up to the uberblock), so these figures were no longer those of the images.
MOVED_BY_WRITING = {
    "available",
    "used",
    "usedbychildren",
    "usedbydataset",
    "usedbysnapshots",
    "referenced",
    "written",
    "compressratio",
    "refcompressratio",
    "logicalused",
    "logicalreferenced",
}


def differences(opened: Opened, items: Iterable[DslDataset | Bookmark], described: dict[str, Any]) -> list[str]:
    ignored = KERNEL_ONLY | (MOUNT_OPTIONS if opened.untouched else MOVED_BY_WRITING)
    found = []
    for item in items:
        want = described[item.name]["properties"]
        got = {value.name: value.exact for value in props.get_all(item)}
        skip = ignored | ({"type"} - set(want))
        found += [
            f"{item.name} {name}: {got.get(name)} instead of {want.get(name)}"
            for name in sorted((set(got) | set(want)) - skip)
            if got.get(name) != want.get(name)
        ]
    return found


@pytest.mark.parametrize(
    "kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.pools) for kind in MORE_KINDS)]
)
def test_every_property_of_every_dataset(open_kind: Opener, kind: str) -> None:
    opened = open_kind(kind)
    opened.load_keys()
    described = opened.manifest["datasets"]
    items = list(opened.dsl.everything())
    assert {item.name for item in items} == set(described)
    assert not differences(opened, items, described)


@pytest.mark.parametrize("kind", ["names", "raidz-expansion", "encrypted", "version28", "block-cloning"])
def test_what_is_set_on_the_dataset_itself(open_kind: Opener, kind: str) -> None:
    opened = open_kind(kind)
    for item in opened.dsl.datasets():
        want = set(opened.manifest["datasets"][item.name]["set_here"]) - MOUNT_OPTIONS
        assert set(props.set_here(item)) - MOUNT_OPTIONS == want, item.name


def test_the_state_a_checkpoint_keeps(open_kind: Opener) -> None:
    opened = open_kind("checkpoint", checkpoint=True)
    described = opened.manifest["checkpoint"]["datasets"]
    items = list(opened.dsl.everything())
    assert {item.name for item in items} == set(described)
    assert not differences(opened, items, described)


def test_earlier_txgs(open_kind: Opener) -> None:
    rewinds = open_kind("rewind").manifest["rewinds"]
    for txg in list(rewinds)[:: max(len(rewinds) // 4, 1)]:
        opened = open_kind("rewind", txg=int(txg))
        assert not differences(opened, opened.dsl.everything(), rewinds[txg])


def test_order_is_that_of_zfs_get_all(open_kind: Opener) -> None:
    names = [value.name for value in props.get_all(open_kind("names").dsl.dataset("tank-names"))]
    assert names[:5] == ["type", "creation", "used", "available", "referenced"]
    assert (
        names.index("usedbysnapshots")
        < names.index("written")
        < names.index("encryption")
        < names.index("longname")
    )


def test_sources(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    pool = dsl.name

    def source(dataset: str, name: str) -> str:
        return props.get(dsl.dataset(pool + dataset), name).source

    assert source("", "atime") == "local"
    assert source("/a/b", "atime") == f"inherited from {pool}"
    assert source("/a/b", "exec") == "default"
    assert source("/a/b", "used") == "-"
    assert source("/a/b", "refquota") == "local"
    assert source("/a", "quota") == "default"
    assert source("/a", "version") == "-"
    assert source("/fsvol", "volsize") == "local"
    assert source("/fsvol@one", "volsize") == "local"
    assert source("/fsvol", "volblocksize") == "-"
    assert source("/vol", "volblocksize") == "default"
    assert source("@one", "devices") == "default"
    assert (
        source("/home@one", "acltype") == f"inherited from {pool}/home"
    )  # of a snapshot nothing but its own is local
    assert source("/home", "mountpoint") == "default"


def test_forms_for_people(open_kind: Opener) -> None:
    dsl = open_kind("raidz-expansion").dsl
    root = dsl.dataset(dsl.name)
    limited = dsl.dataset(f"{dsl.name}/a/b/c/d")

    def text(item: DslDataset, name: str) -> str:
        return props.get(item, name).text

    assert text(limited, "quota") == "40M"
    assert text(root, "quota") == "none" and props.get(root, "quota").exact == "0"
    assert text(root, "recordsize") == "128K"
    assert text(root, "filesystem_count") == "none"
    assert text(root, "usedbyrefreservation") == "0B"
    assert text(root, "objsetid") == props.get(root, "objsetid").exact
    assert text(root, "compressratio").endswith("x")
    assert text(root, "creation").count(":") == 1 and text(root, "snapshots_changed").count(":") == 2
    assert text(limited, "origin") == "-"


def test_names_of_properties(open_kind: Opener) -> None:
    dsl = open_kind("names").dsl
    root = dsl.dataset("tank-names")
    assert props.get(root, "refer").name == "referenced"
    assert props.get(root, "com.example:none").text == "-"
    assert not props.get(root, "volsize").is_set
    assert props.get(root, "numclones").raw is None  # of snapshots only
    for name in ("teleport", "", "atime$recvd"):
        with pytest.raises(UsageError):
            props.get(root, name)


def test_written_since(open_kind: Opener) -> None:
    """What ``zfs get written@snapshot`` tells follows from the figures of each step, in the newest as in the oldest."""
    dsl = open_kind("raidz-expansion").dsl
    home = dsl.dataset(f"{dsl.name}/home")
    since_two = props.get(home, "written@two").raw
    assert since_two == props.get(home, "written").raw
    assert props.get(home, "written#mark").raw == since_two  # the bookmark is of the same snapshot
    since_one = props.get(home, "written@one").raw
    two = dsl.dataset(f"{dsl.name}/home@two")
    assert isinstance(since_one, int) and isinstance(since_two, int) and since_one > since_two
    assert props.get(two, f"written@{dsl.name}/home@one").raw == props.get(two, "written").raw
    assert not props.get(dsl.dataset(f"{dsl.name}/home@one"), "written@two").is_set
    clone = dsl.dataset(f"{dsl.name}/clone")
    assert props.get(clone, f"written@{dsl.name}/home@one").raw == props.get(clone, "written").raw
    assert not props.get(clone, "written@" + f"{dsl.name}/home@two").is_set
    with pytest.raises(NotFoundError):
        props.get(home, "written@nowhere")


# -- what no real pool at hand shows -----------------------------------------------------------------------------------


def tree(mos: FakeMos, **stored: Any) -> DslPool:
    """tank, tank/a, tank/a/b and tank/a/b@s, with properties as given by last names; ``s`` is the snapshot's own."""
    mos.directory(2, children={"a": 3}, head_dataset_obj=20, props=stored.get("tank", {}))
    mos.directory(3, parent_obj=2, children={"b": 4}, head_dataset_obj=30, props=stored.get("a", {}))
    mos.directory(4, parent_obj=3, head_dataset_obj=40, props=stored.get("b", {}), **stored.get("phys", {}))
    mos.dataset(20, dir_obj=2, snapshots={}, creation_txg=1)
    mos.dataset(30, dir_obj=3, snapshots={}, creation_txg=2)
    mos.dataset(40, dir_obj=4, snapshots={"s": 41}, prev_snap_obj=41, prev_snap_txg=9, creation_txg=3)
    own = mos.zap(42, stored["s"]) if "s" in stored else 0
    mos.dataset(41, dir_obj=4, next_snap_obj=40, num_children=1, creation_txg=9, props_obj=own)
    return mos.open()


def test_received_values_and_what_hides_them(mos: FakeMos) -> None:
    dsl = tree(
        mos,
        tank={"compression": 15, "atime$recvd": 0},
        a={
            "compression$recvd": 16,
            "compression$inherit": 0,
            "exec$recvd": 0,
            "exec": 1,
            "org.example:x$recvd": "came",
            "$hasrecvd": 0,
        },
        b={"setuid$recvd": 0, "org.example:y": "mine", "org.example:y$recvd": "came"},
    )
    a, b = dsl.dataset("tank/a"), dsl.dataset("tank/a/b")
    compression = props.get(a, "compression")
    assert (compression.text, compression.source, compression.received) == (
        "lz4",
        "inherited from tank",
        "zstd",
    )
    execute = props.get(a, "exec")
    assert (execute.text, execute.source, execute.received) == ("on", "local", "off")
    assert props.get(a, "org.example:x").source == "received"
    assert props.get(b, "org.example:x").source == "inherited from tank/a"
    assert props.get(b, "atime").text == "off" and props.get(b, "atime").source == "inherited from tank"
    assert (props.get(b, "setuid").text, props.get(b, "setuid").source) == ("off", "received")
    assert props.get(b, "org.example:y").text == "mine" and props.received(b, "org.example:y") == "came"
    assert props.user_properties(b) == ["org.example:x", "org.example:y"]
    assert props.user_properties(dsl.dataset("tank")) == []


def test_newer_index_values_come_first(mos: FakeMos) -> None:
    dsl = tree(
        mos,
        tank={"redundant_metadata": 0, "redundant_metadata$iuv": 3, "snapdir": 0, "snapdir$iuv": 99},
        a={"redundant_metadata": 1},
    )
    root = dsl.dataset("tank")
    assert props.get(root, "redundant_metadata").text == "none"
    assert props.get(root, "snapdir").text == "hidden"  # a value nobody knows is passed over
    assert props.get(dsl.dataset("tank/a/b"), "redundant_metadata").text == "most"


def test_snapshots_have_properties_of_their_own(mos: FakeMos) -> None:
    own = {"org.example:x": "own", "org.example:z$recvd": "r"}
    dsl = tree(mos, a={"org.example:x": "above"}, b={"quota": 5}, s=own)
    snapshot = dsl.dataset("tank/a/b@s")
    value = props.get(snapshot, "org.example:x")
    assert (value.text, value.origin) == ("own", Origin.LOCAL)
    assert props.get(snapshot, "org.example:z").source == "received"
    assert props.set_here(snapshot) == ["org.example:x", "org.example:z"]
    assert not props.get(snapshot, "quota").is_set


@pytest.mark.parametrize(
    ("stored", "altroot", "shown"),
    [
        ({}, "", "/tank/a/b"),
        ({}, "/mnt", "/mnt/tank/a/b"),
        ({}, "/", "/tank/a/b"),
        ({"tank": {"mountpoint": "/"}}, "", "/a/b"),
        ({"tank": {"mountpoint": "/"}}, "/mnt", "/mnt/a/b"),
        ({"a": {"mountpoint": "/srv"}}, "", "/srv/b"),
        ({"b": {"mountpoint": "/srv"}}, "/mnt", "/mnt/srv"),
        ({"b": {"mountpoint": "/"}}, "", "/"),
        ({"b": {"mountpoint": "/"}}, "/mnt", "/mnt"),
        ({"b": {"mountpoint$recvd": "/srv"}}, "", "/srv"),
        ({"a": {"mountpoint$recvd": "/srv"}}, "", "/srv/b"),
        ({"a": {"mountpoint": "legacy"}}, "/mnt", "legacy"),
        ({"tank": {"mountpoint": "none"}}, "/mnt", "none"),
    ],
)
def test_mountpoints(mos: FakeMos, stored: dict[str, Any], altroot: str, shown: str) -> None:
    dsl = tree(mos, **stored)
    dsl.altroot = altroot
    assert props.get(dsl.dataset("tank/a/b"), "mountpoint").text == shown


def test_values_of_later_releases_show_their_number(mos: FakeMos) -> None:
    dsl = tree(mos, a={"checksum": 77})
    assert props.get(dsl.dataset("tank/a"), "checksum").text == "77"


def test_later_properties_are_listed_only_where_they_are_set(mos: FakeMos) -> None:
    dsl = tree(mos, a={"zoned_uid": 1000})
    assert "zoned_uid" not in {value.name for value in props.get_all(dsl.dataset("tank"))}
    assert "zoned_uid" in {value.name for value in props.get_all(dsl.dataset("tank/a"))}
    assert "zoned_uid" not in {value.name for value in props.get_all(dsl.dataset("tank/a/b"))}
    assert props.get(dsl.dataset("tank/a/b"), "zoned_uid").raw == 1000


@pytest.mark.parametrize(
    ("stored", "name"),
    [
        ({"atime": "yes"}, "atime"),
        ({"mountpoint": 7}, "mountpoint"),
        ({"recordsize": (1, 2)}, "recordsize"),
        ({"refquota": "much"}, "refquota"),
    ],
)
def test_stored_values_of_the_wrong_kind(mos: FakeMos, stored: dict[str, Any], name: str) -> None:
    dsl = tree(mos, a=stored)
    with pytest.raises(CorruptError):
        props.get(dsl.dataset("tank/a"), name)
