"""New vdevs: sizes as OpenZFS gives them, files made and removed again, and everything that is refused."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.env import Env
from uberblock.pool.ondisk import label, uberblock
from uberblock.pool.ondisk.uberblock import Uberblock
from uberblock.pool.spa import poolconfig
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.newvdevs import NewOptions, NewVdevs, choose_ashift, metaslab_shift, new_vdevs, resolve
from uberblock.pool.spa.poolconfig import PoolFacts
from uberblock.pool.spa.scan import scan_all
from uberblock.pool.spa.vdevspec import SpecError, parse
from uberblock.pool.vdev import labels
from uberblock.pool.vdev.raidz import RaidzVdev

MIB = 1 << 20
Make = Callable[..., NewVdevs]


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """``make("mirror a b", size=..., ...)``: the vdevs, on files in a fresh folder."""
    made: list[NewVdevs] = []

    def run(words: str, seed: int = 1, **options: Any) -> NewVdevs:
        options.setdefault("size", 96 * MIB)
        spec = parse([str(tmp_path / w[1:]) if w.startswith("@") else w for w in words.split()])
        made.append(new_vdevs(spec, Env.fixed(seed), NewOptions(**options)))
        return made[-1]

    yield run
    for one in made:
        for device in one.owned:
            device.close()


def write_everything(new: NewVdevs, name: str = "tank", state: int = label.STATE_ACTIVE, txg: int = 4) -> PoolFacts:
    """Labels as a pool has them after its first txg (there is no pool behind them)."""
    facts = PoolFacts(name, new.tree.root.guid, state=state, hostname="localhost")
    leaves = new.tree.leaves
    assert not labels.write_provisional(leaves, lambda leaf: poolconfig.provisional_label(facts, leaf, 4))
    assert not labels.write_provisional(new.spares, lambda leaf: poolconfig.aux_label(leaf, cache=False))
    assert not labels.write_provisional(new.cache, lambda leaf: poolconfig.aux_label(leaf, cache=True))
    if txg:
        final = partial(poolconfig.label_config, facts, txg=txg)
        assert not labels.write_labels(leaves, final, labels.FIRST_HALF)
        ub = Uberblock(5000, txg, poolconfig.guid_sum(new.tree), 1_600_000_000, bytes(128), 5000)
        assert not labels.write_uberblock(leaves, ub)
        assert not labels.write_labels(leaves, final, labels.SECOND_HALF)
    return facts


def test_metaslab_sizes_of_real_pools(pools: Any, every_kind: str) -> None:
    """Size, and metaslab shift that follows from it, of every vdev of every pool OpenZFS made."""
    spa = load(scan_all([pools(every_kind).dir]).candidates[0])
    checked = 0
    for top in spa.tree.tops:
        sizes = [label.data_size(leaf.device.size) for leaf in top.leaves() if leaf.device is not None]
        expanded = isinstance(top, RaidzVdev) and top.expand_txgs
        if not sizes or expanded:
            continue  # an expanded vdev keeps its metaslabs
        assert top.space(min(sizes)) == top.asize
        assert metaslab_shift(top.asize) == top.config["metaslab_shift"]
        checked += 1
    assert checked or every_kind == "raidz-expansion"
    spa.close()


@pytest.mark.parametrize(
    ("asize", "shift"),
    [
        (263716864, 24),  # one file of 256 MiB: 15 metaslabs
        ((1 << 30) - 4718592, 26),
        (791150592, 26),  # raidz1 of three
        (8 << 30, 29),
        (100 << 30, 29),
        (101 << 30, 30),
        (3 << 40, 34),
        (4 << 50, 36),
        (1 << 60, 44),
    ],
)
def test_metaslab_shift(asize: int, shift: int) -> None:
    assert metaslab_shift(asize) == shift


def test_one_file(make: Make, tmp_path: Path) -> None:
    new = make("@a", size=256 * MIB)
    (leaf,) = new.tree.leaves
    assert leaf.is_top and leaf.type == "file" and leaf.path == str(tmp_path / "a")
    assert leaf.asize == 263716864 and leaf.ashift == 12
    assert list(leaf.config) == [
        "type", "id", "guid", "path", "metaslab_array", "metaslab_shift", "ashift", "asize", "is_log", "create_txg",
    ]  # fmt: skip
    assert leaf.config["metaslab_shift"] == 24 and leaf.config["create_txg"] == 4
    found = (tmp_path / "a").stat()
    assert found.st_size == 256 * MIB and found.st_blocks == 0, "a new file takes no space"
    assert isinstance(leaf.device, FileDevice) and leaf.device.locked and not leaf.device.readonly


def test_all_kinds_at_once(make: Make) -> None:
    new = make("mirror @a @b special mirror @c @d dedup mirror @e @f log @g cache @h spare @i", ashift=9)
    tops = new.tree.tops
    assert [top.type for top in tops] == ["mirror", "mirror", "mirror", "file"]
    assert [top.is_log for top in tops] == [False, False, False, True]
    assert new.biases == {1: "special", 2: "dedup"}
    assert new.feature_counts == {"org.zfsonlinux:allocation_classes": 2}
    assert all(top.ashift == 9 for top in tops)
    assert [leaf.config["is_spare"] for leaf in new.spares] == [1]
    assert [leaf.config["ashift"] for leaf in new.cache] == [9]
    guids = [vdev.guid for vdev in new.tree.walk()] + [leaf.guid for leaf in (*new.spares, *new.cache)]
    assert len(set(guids)) == len(guids) and all(guids)
    assert poolconfig.guid_sum(new.tree) == sum(guids[:-2]) % (1 << 64)


def test_raidz_and_draid(make: Make) -> None:
    new = make("raidz2 @a @b @c @d", size=256 * MIB)
    (top,) = new.tree.tops
    assert top.asize == 4 * 263716864 and top.nparity == 2
    assert list(top.config)[:4] == ["type", "id", "guid", "nparity"]
    new = make("draid1:3d:9c:1s " + " ".join(f"@x{n}" for n in range(9)), size=256 * MIB, seed=3)
    (top,) = new.tree.tops
    assert top.asize == 1744830464, "as OpenZFS gives it"
    names = ["nparity", "draid_ndata", "draid_nspares", "draid_ngroups"]
    assert [top.config[name] for name in names] == [1, 3, 1, 2]
    (spare,) = new.spares
    assert (spare.type, spare.path, spare.config["top_guid"]) == ("dspare", "draid1-0-0", top.guid)
    assert new.feature_counts == {"org.openzfs:draid": 1}
    entry = poolconfig.aux_list("spares", new.spares)["spares"][0]
    assert list(entry) == ["type", "guid", "path", "top_guid", "spareid", "whole_disk", "is_spare", "ashift"]


def test_the_same_seed_gives_the_same_pool(make: Make, tmp_path: Path) -> None:
    one = poolconfig.vdev_config(make("mirror @a @b", seed=5).tree.root)
    for name in "ab":
        (tmp_path / name).unlink()
    two = poolconfig.vdev_config(make("mirror @a @b", seed=5).tree.root)
    for name in "ab":
        (tmp_path / name).unlink()
    assert one == two != poolconfig.vdev_config(make("mirror @a @b", seed=6).tree.root)


def test_devices_instead_of_paths() -> None:
    devices = [MemoryDevice(64 * MIB, f"m{n}") for n in range(2)]
    new = new_vdevs(parse(["mirror", *devices]), Env.fixed(), NewOptions(leaf_type="disk"), guid=99)
    assert [leaf.device for leaf in new.tree.leaves] == devices
    assert [leaf.type for leaf in new.tree.leaves] == ["disk", "disk"]
    assert new.tree.leaves[0].config["whole_disk"] == 0
    assert new.tree.root.guid == 99
    assert new.owned == []
    new.discard()
    assert devices[0].read(0, 1) == b"\0", "devices of the caller stay open"
    with pytest.raises(SpecError, match="read-only"):
        new_vdevs(parse([MemoryDevice(bytes(64 * MIB))]), Env.fixed())


def test_labels_are_found_again(make: Make, tmp_path: Path) -> None:
    new = make("raidz1 @a @b @c log mirror @d @e cache @f spare @g")
    write_everything(new)
    for device in new.owned:
        device.close()
    found = scan_all([tmp_path])
    (candidate,) = found.candidates
    assert candidate.name == "tank" and candidate.guid == new.tree.root.guid and candidate.txg == 4
    assert set(candidate.members) == {leaf.guid for leaf in new.tree.leaves}
    assert set(candidate.spares) == {new.spares[0].guid, new.cache[0].guid}
    assert candidate.config["vdev_tree"]["children"] == poolconfig.vdev_config(new.tree.root)["children"]
    assert all(one.verified for member in found.members for one in member.labels)


def test_a_provisional_label_makes_no_pool(make: Make, tmp_path: Path) -> None:
    new = make("mirror @a @b")
    write_everything(new, txg=0)
    for device in new.owned:
        device.close()
    assert scan_all([tmp_path]).members == []


@pytest.mark.judge
@pytest.mark.parametrize("ashift", [9, 12, 13, 16])
def test_zdb_reads_the_labels(make: Make, tmp_path: Path, judge: Any, ashift: int) -> None:
    new = make("raidz1 @a @b @c log @d cache @e spare @f", ashift=ashift)
    write_everything(new)
    for leaf in new.tree.leaves:
        result = subprocess.run([judge("zdb"), "-l", "-u", leaf.path], capture_output=True, text=True, check=True)
        out = result.stdout
        assert "labels = 0 1 2 3" in out and "Uberblock[4]" in out, out
        assert f"guid: {leaf.guid}" in out and "name: 'tank'" in out
        assert "(Bad label cksum)" not in out and f"guid_sum = {poolconfig.guid_sum(new.tree)}" in out
        assert out.count("Uberblock[") == 1
    for leaf in (*new.spares, *new.cache):
        out = subprocess.run([judge("zdb"), "-l", leaf.path], capture_output=True, text=True, check=False).stdout
        assert f"guid: {leaf.guid}" in out and "labels = 0 1 2 3" in out
    assert uberblock.slot_count(ashift) > 4


def test_spares_alone_for_a_pool_that_is_there(make: Make) -> None:
    new = make("spare @a cache @b")
    assert new.tree.tops == [] and new.tree.leaves == []
    assert [leaf.name for leaf in (*new.spares, *new.cache)] == ["a", "b"]
    assert not labels.write_provisional(new.spares, lambda leaf: poolconfig.aux_label(leaf, cache=False))


# --- refusals -------------------------------------------------------------------------------------------------------


def refused(make: Make, words: str, text: str, **options: Any) -> SpecError:
    with pytest.raises(SpecError, match=text) as caught:
        make(words, **options)
    return caught.value


def test_files_made_are_removed_again(make: Make, tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(bytes(MIB))
    refused(make, "mirror @a @b @c", "less than the minimum size")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c"]
    assert (tmp_path / "c").read_bytes() == bytes(MIB)


def test_too_small(make: Make, tmp_path: Path) -> None:
    refused(make, "@a", r"less than the minimum size \(64M\)", size=64 * MIB - 1)
    assert not list(tmp_path.iterdir())
    make("@a", size=64 * MIB)


@pytest.mark.parametrize("word", ["raidz4", "draid0", "mirror2"])
def test_a_group_that_does_not_exist_is_no_new_file(make: Make, monkeypatch: Any, tmp_path: Path, word: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(make, f"{word} @a @b", f"cannot open '{word}': no such device")
    assert not list(tmp_path.iterdir())
    make(f"./{word}", size=64 * MIB)


DRAIDS = [("draid1:1d:3c:1s", 69), ("draid1:2d:4c:0s", 69), ("draid1:3d:4c:0s", 64)]


@pytest.mark.parametrize(("words", "least"), DRAIDS)
def test_a_draid_needs_more(make: Make, tmp_path: Path, words: str, least: int) -> None:
    """It keeps 32 MiB of each device back and uses whole rows: what is left of less OpenZFS would not open."""
    names = " ".join(f"@{number}" for number in range(int(words[10])))
    if least > 64:
        refused(make, f"{words} {names}", "less than the minimum size", size=(least - 1) * MIB)
    (top,) = make(f"{words} {names}", size=least * MIB).tree.tops
    assert 59 * MIB < top.asize <= 96 * MIB and top.asize >> top.config["metaslab_shift"] >= 2


def test_what_cannot_be_opened(make: Make, tmp_path: Path) -> None:
    refused(make, "@nothing", "cannot resolve path", size=None)
    refused(make, "nosuchdisk", "no such device in /dev", size=None)
    (tmp_path / "folder").mkdir()
    refused(make, "@folder", "cannot")
    with pytest.raises(SpecError):
        make("/dev/null")
    assert resolve("null") == "/dev/null"
    assert resolve("./x", may_create=True) == str(Path.cwd() / "x")


def test_the_same_device_twice(make: Make, tmp_path: Path) -> None:
    refused(make, "mirror @a @a", "refer to the same device")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    refused(make, "mirror @b @c", "refer to the same device")
    device = MemoryDevice(64 * MIB)
    with pytest.raises(SpecError, match="same device"):
        new_vdevs(parse(["mirror", device, device]), Env.fixed())


def test_open_elsewhere(make: Make) -> None:
    make("@a")
    refused(make, "@a", "is in use")
    refused(make, "@a", "is in use", force=True)


@pytest.mark.parametrize(
    ("state", "text"), [(label.STATE_ACTIVE, "potentially active"), (label.STATE_EXPORTED, "exported")]
)
def test_devices_of_another_pool(make: Make, tmp_path: Path, state: int, text: str) -> None:
    new = make("mirror @a @b")
    write_everything(new, "other", state)
    for device in new.owned:
        device.close()
    before = (tmp_path / "a").read_bytes()
    error = refused(make, "mirror @a @c", f"a is part of {text} pool 'other'")
    assert error.overridable and "use '-f' to override" in error.report()
    assert (tmp_path / "a").read_bytes() == before and not (tmp_path / "c").exists()
    make("mirror @a @c", force=True)


def test_destroyed_pools_are_free(make: Make) -> None:
    new = make("@a")
    write_everything(new, state=label.STATE_DESTROYED)
    new.owned[0].close()
    make("@a")


def test_spares_of_another_pool(make: Make) -> None:
    new = make("@a spare @b cache @c")
    write_everything(new)
    spare, cache = new.spares[0].guid, new.cache[0].guid
    for device in new.owned:
        device.close()
    listed = {spare: "other", cache: "other"}
    for force in (False, True):
        refused(make, "@b", "reserved as a hot spare for pool other", listed=listed, force=force)
    refused(make, "@c", "part of unknown pool 'other'", listed=listed)
    shared = make("@d spare @b", listed=listed)
    for device in shared.owned:
        device.close()
    make("mirror @b @c", force=True)


def test_mixed_redundancy(make: Make, tmp_path: Path) -> None:
    error = refused(make, "@a mirror @b @c", "both file and mirror vdevs are present")
    assert error.overridable and not list(tmp_path.iterdir())
    make("@a mirror @b @c", force=True)


def test_ashift(make: Make) -> None:
    refused(make, "@a", "only values between 9 and 16 are allowed", ashift=8)
    refused(make, "@a", "only values between 9 and 16 are allowed", ashift=17)
    devices = [MemoryDevice(MIB)]
    assert choose_ashift(devices) == 12
    assert choose_ashift(devices, 9) == 9


def test_sectors_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"a": (512, 4096), "b": (4096, 8192), "c": (512, 1 << 15)}
    monkeypatch.setattr("uberblock.pool.spa.newvdevs.sector_sizes", lambda device: sizes[device.name])
    devices = {name: MemoryDevice(MIB, name) for name in sizes}
    assert choose_ashift([devices["a"]]) == 12
    assert choose_ashift([devices["a"], devices["b"]]) == 13
    assert choose_ashift([devices["c"]]) == 12, "physical sectors above 16 KiB are not followed"
    with pytest.raises(SpecError, match="too small for sectors of 4096"):
        choose_ashift([devices["b"]], 9)


def test_random_specifications_never_leave_files_behind(make: Make, tmp_path: Path) -> None:
    rng = random.Random(4)
    words = ["mirror", "raidz", "raidz2", "draid", "log", "spare", "cache", "special", "@a", "@b", "@c", "@d", "@e"]
    for number in range(150):
        chosen = [rng.choice(words) for _ in range(rng.randrange(1, 7))]
        try:
            new = make(" ".join(chosen), seed=number)
        except SpecError:
            pass
        else:
            assert len({vdev.guid for vdev in new.tree.walk()}) == len(list(new.tree.walk()))
            new.discard()
        assert not list(tmp_path.iterdir())
