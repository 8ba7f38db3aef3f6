"""Properties of pools and datasets that are open for writing: stored, charged, followed, undone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from uberblock.pool.dmu.mutablezap import MutableZap
from uberblock.pool.dsl import charge
from uberblock.pool.env import Env
from uberblock.pool.errors import NoSpaceError, ReadOnlyError, UnsupportedFeatureError, UsageError
from uberblock.pool.ondisk.dsl import USED_CHILD_RSRV, USED_REFRSRV
from uberblock.pool.ondisk.features import FEATURES
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.zio.compress import Compression


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[WritablePool]:
    made = create_pool(
        "tank", [str(tmp_path / "a.img")], size=128 << 20, env=Env.fixed(3), txg_seconds=0, command="zpool create tank",
        features={"feature@large_blocks": "disabled", "feature@hole_birth": "disabled"},
        dataset_properties={"compression": "zstd-3", "mountpoint": "none"},
        properties={"comment": "first", "autotrim": "on", "org.example:owner": "me"},
    )  # fmt: skip
    yield made
    made.close()


def again(pool: WritablePool, folder: Path) -> WritablePool:
    """The pool, closed and opened again."""
    pool.close()
    return open_pool("tank", [str(folder)], env=Env.fixed(4), txg_seconds=0)


def figures(pool: WritablePool, name: str) -> tuple[int, int, int]:
    """Used bytes of a directory, what children and its head have reserved in it."""
    phys = charge.read_dir(pool.engine.mos, pool.dataset(name)._live.dir.obj)
    assert phys.used_bytes == sum(phys.used_breakdown)
    return phys.used_bytes, phys.used_breakdown[USED_CHILD_RSRV], phys.used_breakdown[USED_REFRSRV]


def test_values_that_came_with_a_stream(pool: WritablePool) -> None:
    """They are hidden when a property is inherited, and in force again with ``received``."""
    pool.create_filesystem("tank/a")
    with pool.transaction(exclusive=True):
        directory = pool.dataset("tank/a")._live.dir.obj
        zap = MutableZap(pool.engine.mos.dnode(charge.read_dir(pool.engine.mos, directory).props_zapobj))
        zap.add("compression$recvd", int(Compression.LZ4))
    pool.set("tank/a", "compression", "off")
    for received, value, source in (
        (False, "zstd-3", "inherited from tank"), (True, "lz4", "received"), (False, "zstd-3", "inherited from tank"),
    ):  # fmt: skip
        pool.inherit("tank/a", "compression", received=received)
        pool.sync()
        found = pool.dataset("tank/a").get("compression")
        assert (found.exact, found.source, found.received) == (value, source, "lz4")


def test_what_is_open_follows_and_goes_back(pool: WritablePool) -> None:
    files = pool.create_filesystem("tank/a")
    pool.set("tank", "recordsize", "4K")
    pool.set("tank", "checksum", "sha256")
    assert files.filesystem.recordsize == 4096
    assert files.filesystem.objset.settings.checksum == 8
    with pytest.raises(RuntimeError), pool.transaction():
        pool.set("tank", "recordsize", "8K")
        pool.set("tank/a", "compression", "off")
        pool.set_pool("feature@large_microzap", "enabled")
        assert files.filesystem.recordsize == 8192
        raise RuntimeError
    assert files.filesystem.recordsize == 4096
    assert files.filesystem.objset.settings.complevel == 3
    assert pool.get("feature@large_microzap").value == "disabled"
    pool.inherit("tank", "recordsize")
    assert files.filesystem.recordsize == 128 << 10


def test_properties_last(pool: WritablePool, tmp_path: Path) -> None:
    pool.create_filesystem("tank/a", {"compression": "gzip-5", "redundant_metadata": "some", "org.example:x": "y"})
    pool.set("tank/a", "snapdir", "disabled")
    pool.set("tank/a", "redundant_metadata", "most")
    pool.set_pool("failmode", "continue")
    pool.set_pool("bootfs", "tank/a")
    pool.set_pool("comment", "second")
    pool = again(pool, tmp_path)
    with pool:
        values = {name: pool.dataset("tank/a").get(name) for name in ("compression", "snapdir", "redundant_metadata")}
        assert [value.exact for value in values.values()] == ["gzip-5", "disabled", "most"]
        stored = pool.dataset("tank/a")._live.dir.stored_properties
        assert (stored["snapdir"], stored["snapdir$iuv"], "redundant_metadata$iuv" in stored) == (0, 2, False)
        assert pool.dataset("tank/a").get("org.example:x").exact == "y"
        assert pool.dataset("tank/a").get("mountpoint").source == "inherited from tank"
        shown = {name: pool.get(name).value for name in ("failmode", "bootfs", "comment", "autotrim")}
        assert shown == {"failmode": "continue", "bootfs": "tank/a", "comment": "second", "autotrim": "on"}
        assert pool.get("org.example:owner").value == "me"


def test_reservations_are_charged_above(pool: WritablePool) -> None:
    files = pool.create_filesystem("tank/a", {"reservation": "10M"})
    pool.sync()
    used, reserved, _ = figures(pool, "tank")
    mine = figures(pool, "tank/a")[0]
    assert reserved == (10 << 20) - mine
    pool.set("tank/a", "refreservation", "4M")
    pool.sync()
    assert figures(pool, "tank/a")[2] == (4 << 20) - pool.dataset("tank/a")._live.phys.unique_bytes
    assert figures(pool, "tank")[0] - used < 1 << 20
    files.write_bytes("/x", bytes(range(256)) * 4096)
    pool.sync()
    own = pool.dataset("tank/a")._live.phys.unique_bytes
    assert figures(pool, "tank/a")[2] == max(0, (4 << 20) - own)
    pool.set("tank/a", "refreservation", "none")
    pool.set("tank/a", "reservation", "none")
    assert figures(pool, "tank/a")[2] == 0
    assert figures(pool, "tank")[1] == 0


def test_limits_that_cannot_be(pool: WritablePool) -> None:
    files = pool.create_filesystem("tank/a", {"reservation": "1M"})
    files.write_bytes("/x", os.urandom(300000))
    pool.sync()
    for prop, value in (("quota", "4K"), ("reservation", "1T"), ("refreservation", "1T"), ("refquota", "4K")):
        with pytest.raises(NoSpaceError):
            pool.set("tank/a", prop, value)
    pool.set("tank/a", "quota", "20M")
    with pytest.raises(NoSpaceError):
        pool.set("tank/a", "reservation", "30M")
    assert pool.dataset("tank/a").get("quota").text == "20M"
    with pytest.raises(UnsupportedFeatureError, match="large_blocks"):
        pool.set("tank/a", "recordsize", "1M")
    with pytest.raises(UsageError):
        pool.inherit("tank/a", "quota")


def test_limits_of_the_root_dataset_at_creation(tmp_path: Path) -> None:
    disk = tmp_path / "d0"
    with pytest.raises(NoSpaceError):
        create_pool("tank", [str(disk)], size=96 << 20, txg_seconds=0, dataset_properties={"reservation": "1T"})
    assert not disk.exists()
    limits = {"quota": "20M", "reservation": "5M", "refquota": "none"}
    with create_pool("tank", [str(disk)], size=96 << 20, txg_seconds=0, dataset_properties=limits) as pool:
        assert pool.dataset("tank").get("quota").text == "20M" and pool.dataset("tank").get("reservation").text == "5M"
        with pytest.raises(NoSpaceError):
            pool.fs().write_bytes("/x", os.urandom(21 << 20))


def test_features_are_enabled_with_what_they_need(pool: WritablePool, tmp_path: Path) -> None:
    assert pool.set_pool("feature@large_microzap", "enabled") == ["large_blocks", "large_microzap"]
    assert pool.set_pool("feature@large_microzap", "enabled") == []
    assert pool.set_pool("feature@hole_birth", "enabled") == ["hole_birth"]
    assert pool.engine.settings.hole_birth
    pool.set("tank", "recordsize", "1M")
    with pytest.raises(UsageError):
        pool.set_pool("feature@hole_birth", "disabled")
    pool = again(pool, tmp_path)
    with pool:
        shown = [pool.get(f"feature@{name}").value for name in ("hole_birth", "large_blocks", "large_microzap")]
        assert shown == ["active", "enabled", "enabled"]
        assert "com.delphix:hole_birth" in pool.spa.candidate.config.nvlist("features_for_read")
        stamps = pool.spa.directory.number("feature_enabled_txg")
        from uberblock.pool.dsl.mosobj import numbers

        counts = pool.engine.features.counts["com.delphix:enabled_txg"]
        assert len(numbers(pool.spa.mos, stamps, "stamps")) == counts


def test_a_volume_is_resized(pool: WritablePool, tmp_path: Path) -> None:
    pool.create_volume("tank/v", 16 << 20, {"refreservation": "auto"})
    first = pool.dataset("tank/v").get("refreservation").raw
    pool.set("tank/v", "volsize", "32M")
    pool.sync()
    grown = pool.dataset("tank/v").get("refreservation").raw
    assert isinstance(first, int) and isinstance(grown, int)
    assert grown > first > 16 << 20
    assert pool.volume("tank/v").size == 32 << 20
    pool.set("tank/v", "volsize", "1M")
    with pytest.raises(UsageError):
        pool.set("tank/v", "volsize", "1000")
    pool = again(pool, tmp_path)
    with pool:
        assert pool.volume("tank/v").size == 1 << 20


def test_everything_is_in_the_history(pool: WritablePool, tmp_path: Path) -> None:
    pool.create_filesystem("tank/a")
    pool.set("tank/a", "atime", "off")
    pool.inherit("tank/a", "atime")
    pool.destroy("tank/a")
    for number in range(1500):
        pool.record(f"zfs set x:y={number:0100} tank")
    pool = again(pool, tmp_path)
    with pool:
        records = pool.history()
        assert [record.kind for record in records[:2]] == ["internal", "command"]
        assert records[1].text == "zpool create tank"
        assert records[-1].text.endswith("1499 tank")
        assert records[2].text != "create"  # the ring went round, and kept its beginning


@pytest.mark.judge
def test_zdb_agrees(judge: Callable[[str], str], pool: WritablePool, tmp_path: Path) -> None:
    zdb = judge("zdb")
    files = pool.create_filesystem("tank/a", {"reservation": "8M", "refreservation": "2M"})
    pool.create_volume("tank/v", 8 << 20, {"refreservation": "auto"})
    pool.set_pool("feature@large_microzap", "enabled")
    pool.set("tank/a", "recordsize", "1M")
    files.write_bytes("/x", bytes(range(256)) * 20000)
    pool.record("zfs set something")
    pool.close()
    done = subprocess.run([zdb, "-e", "-p", tmp_path, "-bcc", "tank"], capture_output=True, text=True, check=True)
    assert "No leaks" in done.stdout
    assert "zfs set something" in subprocess.run(
        [zdb, "-e", "-p", tmp_path, "-h", "tank"], capture_output=True, text=True, check=True
    ).stdout
    done = subprocess.run([zdb, "-e", "-p", tmp_path, "-d", "tank"], capture_output=True, text=True, check=True)
    assert "refcount mismatch" not in done.stdout + done.stderr


def test_what_is_set_readonly_is_not_changed(pool: WritablePool) -> None:
    files = pool.create_filesystem("tank/a")
    files.write_bytes("/x", b"1")
    pool.create_volume("tank/v", 1 << 20)
    volume = pool.volume("tank/v")
    pool.set("tank", "readonly", "on")
    changes = [
        lambda: files.write_bytes("/x", b"2"), lambda: files.unlink("/x"), lambda: files.mkdir("/d"),
        lambda: files.chmod("/x", 0), lambda: files.truncate("/x", 0), lambda: files.rename("/x", "/y"),
        lambda: files.setxattr("/x", "user.a", b""), lambda: volume.open().write(b"2"),
        lambda: volume.open().discard(0, 1 << 20),
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(ReadOnlyError):
            change()
    assert files.open("/x").readall() == b"1"
    pool.set("tank/a", "readonly", "off")
    files.write_bytes("/x", b"2")


def test_nothing_lies_below_a_volume(pool: WritablePool) -> None:
    pool.create_volume("tank/v", 1 << 20)
    with pytest.raises(UsageError, match="volume"):
        pool.create_filesystem("tank/v/a")


def test_what_is_fixed_is_inherited_at_creation(pool: WritablePool) -> None:
    pool.create_filesystem("tank/a", {"normalization": "formD"})
    pool.create_filesystem("tank/a/b", {"casesensitivity": "insensitive"})
    pool.sync()
    got = [pool.dataset("tank/a/b").get(name).exact for name in ("utf8only", "normalization", "casesensitivity")]
    assert got == ["on", "formD", "insensitive"]
    with pytest.raises(UsageError):
        pool.create_filesystem("tank/c", {"normalization": "formC", "utf8only": "off"})


@pytest.mark.judge
def test_all_features_are_enabled_one_after_another(judge: Callable[[str], str], tmp_path: Path) -> None:
    """Space maps made before the feature ``spacemap_histogram`` have no room for histograms: writing them failed."""
    place = tmp_path / "bare"
    place.mkdir()
    image, env = str(place / "a.img"), Env.fixed(6)
    with create_pool("bare", [image], size=128 << 20, no_features=True, env=env, txg_seconds=0) as bare:
        files = bare.create_filesystem("bare/a")
        for feature in FEATURES:
            bare.set_pool(f"feature@{feature.name}", "enabled")
            files.write_bytes(f"/{feature.name}", feature.text.encode() * 300)
            if feature.active_at_once or feature.name == "spacemap_histogram":
                bare.sync()
        bare.set("bare/a", "checksum", "skein")
        files.write_bytes("/last", b"1" * 100000)
    with open_pool("bare", [str(place)], env=Env.fixed(7), txg_seconds=0) as bare:
        assert "disabled" not in [bare.get(f"feature@{feature.name}").value for feature in FEATURES]
        bare.fs("bare/a").unlink("/last")
        bare.sync()
    zdb = judge("zdb")
    for option in ("-bcc", "-d"):
        done = subprocess.run([zdb, "-e", "-p", place, option, "bare"], capture_output=True, text=True, check=True)
        assert "mismatch" not in done.stdout + done.stderr
        assert option == "-d" or "No leaks" in done.stdout


def test_what_was_reserved_goes_with_its_dataset(pool: WritablePool) -> None:
    """A dataset with a refreservation could not be destroyed: more than it used was taken from its own figures."""

    def apart_from_mos() -> tuple[int, int]:
        used, reserved, _ = figures(pool, "tank")
        return used - charge.read_dir(pool.engine.mos, pool.spa.dsl.special()["$MOS"].obj).used_bytes, reserved

    pool.create_filesystem("tank/a", {"reservation": "1M"})
    pool.sync()
    before = apart_from_mos()
    for properties in ({"refreservation": "auto"}, {"refreservation": "auto", "reservation": "20M"}):
        pool.create_volume("tank/v", 4 << 20, properties)
        pool.sync()
        assert apart_from_mos() > before
        pool.destroy("tank/v")
        assert apart_from_mos() == before
