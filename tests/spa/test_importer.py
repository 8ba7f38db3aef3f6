"""Importing real pools: whole, with devices missing, with damaged labels, at earlier txgs, from a checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
from itertools import combinations

import pytest
from uberblock.pool import import_pool
from uberblock.pool.device.file import FileDevice
from uberblock.pool.errors import (
    CorruptError,
    DeviceBusyError,
    MissingDeviceError,
    NotFoundError,
    PoolError,
    UnsupportedError,
    UnsupportedFeatureError,
    UsageError,
)
from uberblock.pool.ondisk import label, uberblock
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.uberblocks import FoundUberblock, Rings
from uberblock.pool.vdev.state import VdevAux, VdevState

TXG_MAX = (1 << 64) - 1


def contents(pool, datasets: dict) -> int:
    """Compare names of datasets and contents of files with a manifest; gives the number of files."""
    kinds = ("filesystem", "volume", "snapshot", "bookmark")
    assert {d.name for d in pool.datasets(types=kinds)} == set(datasets)
    count = 0
    for name, dataset in datasets.items():
        fs = pool.fs(name) if "tree" in dataset else None
        for path, entry in dataset.get("tree", {}).items():
            if "sha256" in entry:
                assert hashlib.sha256(fs.read_bytes(path)).hexdigest() == entry["sha256"], (name, path)
                count += 1
    return count


@pytest.mark.pools
def test_every_pool(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    with import_pool(search=golden.dir) as pool:
        assert pool.name == golden.manifest["pool"]
        assert str(pool.guid) == golden.manifest["properties"]["guid"]
        assert pool.health == golden.manifest["properties"]["health"]
        assert not pool.notes
        names = {d.name for d in pool.datasets(types=("filesystem", "volume", "snapshot", "bookmark"))}
        assert names == set(golden.manifest["datasets"])


# --- missing devices --------------------------------------------------------------------------------------------------

#: Kind, images given, what must come: health, or error.
SUBSETS = [
    ("mirror", (0,), "DEGRADED"),
    ("mirror", (1,), "DEGRADED"),
    ("compat-old", (0, 1), "DEGRADED"),
    ("compat-old", (1, 2), "DEGRADED"),
    ("compat-old", (1,), MissingDeviceError),
    ("damaged", (0, 1, 2, 3), "DEGRADED"),
    ("damaged", (0, 1, 2), MissingDeviceError),
    ("draid", (0, 1, 2, 3, 4, 5, 6), "DEGRADED"),
    ("draid", (3, 4, 5, 6, 7, 8), MissingDeviceError),
    ("classes", (0, 1, 2, 4, 5), "ONLINE"),  # no cache, no spare
    ("classes", (0, 2, 5), "DEGRADED"),
    ("classes", (0, 1, 4, 5), MissingDeviceError),  # no log
    ("classes", (0, 1, 2), MissingDeviceError),  # no special
]


@pytest.mark.parametrize(("kind", "given", "expected"), SUBSETS)
def test_subsets_of_the_devices(pools, kind: str, given: tuple[int, ...], expected) -> None:
    images = pools(kind).images
    search = [images[n] for n in given]
    if not isinstance(expected, str):
        with pytest.raises(expected) as caught:
            import_pool(search=search)
        assert "UNAVAIL" in str(caught.value)
        return
    with import_pool(search=search) as pool:
        assert pool.health == expected
        found = {leaf.path: leaf.state for leaf in pool.tree.leaves}
        assert sum(state is VdevState.CANT_OPEN for state in found.values()) == len(found) - len(
            set(map(str, search)) & set(found)
        )
        assert pool.dataset(pool.name).used > 0


def test_a_missing_log_device(pools) -> None:
    images = [image for n, image in enumerate(pools("classes").images) if n != 2]
    with pytest.raises(MissingDeviceError, match="log device"):
        import_pool(search=images)
    with import_pool(search=images, missing_log=True) as pool:
        assert pool.health == "DEGRADED" and pool.status().condition.message == "ZFS-8000-K4"


def test_more_missing_than_redundancy_allows(pools) -> None:
    golden = pools("stripes")
    with pytest.raises(MissingDeviceError, match="raidz1-1 UNAVAIL"):
        import_pool(search=golden.images[:4])
    with import_pool(search=golden.images[:4], missing_ok=True) as pool:
        assert pool.health == "UNAVAIL"
        readable = lost = 0
        for dataset, entry in golden.manifest["datasets"].items():
            fs = pool.fs(dataset) if "tree" in entry else None
            for path, file in entry.get("tree", {}).items():
                if "sha256" not in file:
                    continue
                try:
                    data = fs.read_bytes(path)
                except PoolError:
                    lost += 1
                    continue
                assert hashlib.sha256(data).hexdigest() == file["sha256"]
                readable += 1
        assert readable and lost, "what lies on the missing vdev is lost, the rest is read and right"


def test_two_of_three_in_every_combination_give_the_same_files(pools) -> None:
    golden = pools("compat-old")
    name = next(
        n for n, d in golden.manifest["datasets"].items() if any("sha256" in e for e in d.get("tree", {}).values())
    )
    one = {name: golden.manifest["datasets"][name]}
    for images in combinations(golden.images, 2):
        with import_pool(search=images) as pool:
            fs = pool.fs(name)
            for path, entry in one[name]["tree"].items():
                if "sha256" in entry:
                    assert hashlib.sha256(fs.read_bytes(path)).hexdigest() == entry["sha256"]


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spoiled", [(0,), (1, 2), (0, 1, 2), (1, 2, 3), (0, 2, 3)])
def test_any_one_label_is_enough(disks, spoiled) -> None:
    both = disks("mirror")
    for disk in both:
        for index in spoiled:
            disk.spoil_label(index)
    with import_pool(search=both) as pool:
        assert pool.health == "ONLINE"


def test_a_device_without_labels_is_missing(disks) -> None:
    both = disks("mirror")
    for index in range(4):
        both[1].spoil_label(index)
    with import_pool(search=both) as pool:
        assert pool.health == "DEGRADED"
        assert pool.status().condition.message == "ZFS-8000-2Q"


def test_labels_newer_than_the_uberblock_do_not_count(disks) -> None:
    both = disks("mirror")
    for disk in both:
        config = disk.config()
        config["txg"] += 1
        config["version"] = 9999
        disk.put_config(config, labels=(0, 2))
    with import_pool(search=both) as pool:
        assert pool.health == "ONLINE"


def test_a_label_of_the_future_alone_is_no_label(disks) -> None:
    both = disks("mirror")
    config = both[1].config()
    config["txg"] += 100
    both[1].put_config(config)
    with import_pool(search=both) as pool:
        (bad,) = [leaf for leaf in pool.tree.leaves if leaf.state is not VdevState.HEALTHY]
        assert (bad.path, bad.aux, bad.aux_text) == ("d1", VdevAux.BAD_LABEL, "invalid label")
        assert pool.status().condition.message == "ZFS-8000-4J"


def test_a_truncated_device(disks, pools, tmp_path) -> None:
    cut = tmp_path / "cut.img"
    with pools("mirror").images[1].open("rb") as stream:
        cut.write_bytes(stream.read(65 << 20))
    with import_pool(search=[pools("mirror").images[0], cut]) as pool:
        (bad,) = [leaf for leaf in pool.tree.leaves if leaf.state is not VdevState.HEALTHY]
        assert bad.path == str(cut) and bad.state is VdevState.CANT_OPEN
        assert pool.health == "DEGRADED"


def nonsense(config: NVList) -> dict[str, object]:
    """Changes that make a label's tree wrong."""
    return {
        "no tree": lambda c: c.pop("vdev_tree"),
        "type": lambda c: c["vdev_tree"].__setitem__("type", "wormhole"),
        "ashift": lambda c: c["vdev_tree"].__setitem__("ashift", 63),
        "asize": lambda c: c["vdev_tree"].__setitem__("asize", TXG_MAX),
        "deep": lambda c: c["vdev_tree"]["children"][0].add("children", [c["vdev_tree"].copy()]),
        "twins": lambda c: c["vdev_tree"]["children"][1].__setitem__("guid", c["vdev_tree"]["children"][0]["guid"]),
        "order": lambda c: c["vdev_tree"]["children"].reverse(),
        "id": lambda c: c["vdev_tree"].__setitem__("id", 1 << 40),
        "children": lambda c: c.__setitem__("vdev_children", TXG_MAX),
        "version": lambda c: c.__setitem__("version", 5001),
    }


@pytest.mark.parametrize("name", nonsense(NVList()))
def test_labels_that_say_nonsense_give_our_errors(disks, name: str) -> None:
    both = disks("mirror")
    for disk in both:
        config = disk.config()
        nonsense(config)[name](config)
        disk.put_config(config)
    try:
        with import_pool(search=both) as pool:
            assert pool.health == "ONLINE"
    except PoolError as error:
        assert "tank" in str(error) or error.advice or "vdev" in str(error)


def test_one_disk_with_nonsense_does_not_stop_the_other(disks) -> None:
    both = disks("stripes")
    for disk in both[3:]:
        config = disk.config()
        config["vdev_tree"]["ashift"] = 63
        disk.put_config(config)
    with import_pool(search=both) as pool:
        assert pool.health == "ONLINE" and "not used" in pool.notes[0]


def test_unknown_features_in_the_label(disks) -> None:
    both = disks("mirror")
    for disk in both:
        config = disk.config()
        config["features_for_read"].add("org.example:wormhole", True)
        disk.put_config(config)
    with pytest.raises(UnsupportedFeatureError, match="wormhole"):
        import_pool(search=both)


# --- uberblocks -------------------------------------------------------------------------------------------------------


def best(disk):
    with import_pool(search=[disk]) as pool:
        return pool.spa.uberblock, pool.tree.tops[0].ashift


def test_an_uberblock_of_an_unknown_version(disks) -> None:
    disk = disks("rewind")[0]
    ub, ashift = best(disk)
    disk.put_uberblock(dataclasses.replace(ub, version=29, txg=ub.txg + 1), 1, ashift)
    with pytest.raises(UnsupportedFeatureError, match="29"):
        import_pool(search=[disk])


def test_a_wrong_guid_sum(disks) -> None:
    disk = disks("rewind")[0]
    ub, ashift = best(disk)
    disk.put_uberblock(dataclasses.replace(ub, guid_sum=ub.guid_sum + 1, txg=ub.txg + 1), 1, ashift)
    with pytest.raises(CorruptError, match="guids"):
        import_pool(search=[disk])
    with import_pool(search=[disk], missing_ok=True) as pool:
        assert pool.txg == ub.txg + 1


def test_heartbeats_do_not_stop_reading(disks) -> None:
    disk = disks("rewind")[0]
    ub, ashift = best(disk)
    beat = dataclasses.replace(ub, mmp_delay=10**9, mmp_config=7 | 1000 << 8 | 5 << 32 | 10 << 48)
    disk.put_uberblock(beat, 127, ashift)
    with import_pool(search=[disk]) as pool:
        assert pool.spa.uberblock == beat


def test_going_back_from_a_broken_uberblock(disks) -> None:
    disk = disks("rewind")[0]
    ub, ashift = best(disk)
    broken = ub.rootbp.copy()
    broken["cksum"][0, 0] ^= 1
    disk.put_uberblock(dataclasses.replace(ub, rootbp_bytes=broken.tobytes(), txg=ub.txg + 1), 1, ashift)
    with pytest.raises(CorruptError, match=f"txg {ub.txg}"):
        import_pool(search=[disk])
    with import_pool(search=[disk], rewind=True) as pool:
        assert pool.txg == ub.txg and "went back" in pool.notes[-1]


def test_going_back_a_long_way_has_to_be_asked_for(disks) -> None:
    disk = disks("rewind")[0]
    ub, ashift = best(disk)
    broken = ub.rootbp.copy()
    broken["cksum"][0, 0] ^= 1
    disk.put_uberblock(dataclasses.replace(ub, rootbp_bytes=broken.tobytes(), txg=ub.txg + 10), 1, ashift)
    with pytest.raises(CorruptError, match="extreme"):
        import_pool(search=[disk], rewind=True)
    with import_pool(search=[disk], extreme=True) as pool:
        assert pool.txg == ub.txg


def test_every_earlier_txg(pools) -> None:
    golden = pools("rewind")
    for txg, datasets in golden.manifest["rewinds"].items():
        with import_pool(search=golden.dir, txg=int(txg)) as pool:
            assert pool.txg == int(txg)
            contents(pool, datasets)
    with pytest.raises(NotFoundError, match="txg 3 or before"):
        import_pool(search=golden.dir, txg=3)


def test_the_checkpoint(pools) -> None:
    golden = pools("checkpoint")
    held = golden.manifest["checkpoint"]
    with import_pool(search=golden.dir, checkpoint=True) as pool:
        assert pool.spa.uberblock.checkpoint_txg == pool.txg
        assert contents(pool, held.get("datasets", held)) > 100
    with pytest.raises(NotFoundError, match="no checkpoint"):
        import_pool(search=pools("mirror").dir, checkpoint=True)


def test_not_across_an_expansion(disks) -> None:
    four = disks("raidz-expansion")
    with import_pool(search=four) as pool:
        ub, ashift = pool.spa.uberblock, pool.tree.tops[0].ashift
    moving = dataclasses.replace(ub, txg=ub.txg - 1, timestamp=ub.timestamp + 9, reflow_info=8)
    for disk in four:
        disk.put_uberblock(moving, 3, ashift)
    with pytest.raises(UnsupportedError, match="expanded"):
        import_pool(search=four, txg=ub.txg - 1)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_devices_in_use_and_devices_let_go(pools, tmp_path) -> None:
    folder = pools("version28").copy(tmp_path / "v28")
    with FileDevice(folder / "d1.img", readonly=False), pytest.raises(DeviceBusyError, match="tank-version28"):
        import_pool(search=folder)
    pool = import_pool(search=folder)
    pool.close()
    pool.close()
    assert "closed" in repr(pool)
    with FileDevice(folder / "d1.img", readonly=False):
        pass


def test_devices_handed_in_stay_open(disks) -> None:
    both = disks("mirror")
    import_pool(search=both).close()
    assert both[0].read(0, 1) == b"\0"


def test_as_it_was_only_for_reading(pools) -> None:
    with pytest.raises(UsageError):
        import_pool(search=pools("mirror").dir, readonly=False, txg=100)


def test_partitions_are_opened_where_they_are(pools, tmp_path) -> None:
    image = pools("version28").images[0].read_bytes()
    data = bytearray(1 << 20) + image
    data[446:462] = (
        bytes(4) + b"\x83" + bytes(3) + (2048).to_bytes(4, "little") + (len(image) // 512).to_bytes(4, "little")
    )
    data[510:512] = b"\x55\xaa"
    (tmp_path / "disk").write_bytes(data)
    with import_pool(search=tmp_path) as pool:
        assert pool.health == "DEGRADED"
        assert next(pool.datasets()).name == "tank-version28"


def test_a_pool_of_old_labels_only(pools) -> None:
    with import_pool(search=pools("version28").dir) as pool:
        assert pool.spa.version == 28 and pool.features["encryption"] == "disabled"


def test_the_label_region_is_never_needed_twice(disks) -> None:
    """Whatever the labels' boot blocks hold is of no concern."""
    disk = disks("rewind")[0]
    for index in range(4):
        disk.write(label.offset(disk.size, index), b"\xff" * label.CONFIG_OFFSET)
    with import_pool(search=[disk]) as pool:
        assert pool.health == "ONLINE"


# --- multihost --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "delay", "noted"), [("zil", 3, True), ("zil", 0, False), ("mirror", 3, False)])
def test_a_pool_that_may_be_in_use_is_read_with_a_warning(pools, monkeypatch, kind, delay, noted) -> None:
    """Of a pool whose multihost protection is on and that was not exported: reading harms nobody."""
    best = Rings.best

    def with_delay(self: Rings, *words: object) -> FoundUberblock | None:
        found = best(self, *words)
        if found is None:
            return None
        root = dataclasses.replace(found.uberblock, mmp_magic=uberblock.MMP_MAGIC, mmp_delay=delay)
        return dataclasses.replace(found, uberblock=root)

    monkeypatch.setattr(Rings, "best", with_delay)
    with import_pool(search=pools(kind).dir) as pool:
        assert [note for note in pool.notes if "multihost" in note and pool.spa.candidate.hostname in note] == (
            pool.notes if noted else []
        )
        assert bool(pool.notes) == noted and pool.health == "ONLINE"
