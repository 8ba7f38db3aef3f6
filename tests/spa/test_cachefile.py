"""The cache file: what is put in comes out, whole, whoever writes at the same time; zdb reads it."""

from __future__ import annotations

import multiprocessing
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.device.file import FileDevice
from uberblock.pool.errors import CorruptError, DeviceError, UsageError
from uberblock.pool.ondisk import label, nvlist
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa import cachefile, poolconfig
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.scan import scan_all
from uberblock.pool.vdev import labels


def config(name: str, guid: int) -> NVList:
    return NVList({"version": 5000, "name": name, "pool_guid": guid, "vdev_tree": NVList({"type": "root"})})


def test_put_and_drop(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "zpool.cache"
    assert cachefile.read(path) == {}
    cachefile.drop(1, path)
    assert not path.parent.exists()
    cachefile.put(config("tank", 1), path)
    cachefile.put(config("other", 2), path)
    assert cachefile.read(path) == {"tank": config("tank", 1), "other": config("other", 2)}
    cachefile.put(config("renamed", 1), path)
    assert list(cachefile.read(path)) == ["other", "renamed"]
    cachefile.put(config("other", 3), path)
    assert {name: entry["pool_guid"] for name, entry in cachefile.read(path).items()} == {"renamed": 1, "other": 3}
    cachefile.drop(1, path)
    cachefile.drop(77, path)
    assert list(cachefile.read(path)) == ["other"]
    cachefile.drop(3, path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["zpool.cache.lock"], "a file without pools is removed"


def test_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cachefile.put(config("tank", 1))
    assert (tmp_path / "uberblock" / "zpool.cache").exists()
    assert cachefile.path_for() == cachefile.default_path() == tmp_path / "uberblock" / "zpool.cache"
    assert list(cachefile.read()) == ["tank"]
    cachefile.drop(1)


def test_the_property(tmp_path: Path) -> None:
    assert cachefile.path_for("none") is None
    assert cachefile.path_for("/etc/zfs/other") == Path("/etc/zfs/other")
    for value in ("relative", "x/none", str(tmp_path), "/a/", "/a/.."):
        with pytest.raises(UsageError):
            cachefile.path_for(value)


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.write_bytes(b"")
    assert cachefile.read(path) == {}, "as a crash of OpenZFS leaves it"
    path.write_bytes(b"no nvlist at all")
    for attempt in (lambda: cachefile.read(path), lambda: cachefile.put(config("tank", 1), path)):
        with pytest.raises(CorruptError, match="remove it"):
            attempt()
    assert path.read_bytes() == b"no nvlist at all"
    path.write_bytes(nvlist.encode(NVList({"tank": config("tank", 1), "odd": 5})))
    assert list(cachefile.read(path)) == ["tank"], "XDR is read too, and what is no configuration is left out"
    with pytest.raises(DeviceError):
        cachefile.read(tmp_path)
    with pytest.raises(DeviceError):
        cachefile.put(config("tank", 1), path / "below")


def test_places(pools: Any) -> None:
    spa = load(scan_all([pools("draid").dir]).candidates[0])
    made = poolconfig.mos_config(poolconfig.facts_of(spa.config), spa.tree, 5)
    assert cachefile.places(made) == [str(image) for image in pools("draid").images]
    spa.close()
    with pytest.raises(CorruptError):
        cachefile.places(NVList())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cache"
    cachefile.put(config("tank", 1), path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DeviceError, match="No space left"):
        cachefile.put(config("other", 2), path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "cache.lock"]


def _put_many(path: Path, start: int) -> None:
    for guid in range(start, start + 10):
        cachefile.put(config(f"p{guid}", guid), path)


def test_many_writers(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_put_many, args=(path, start)) for start in (100, 200, 300)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(cachefile.read(path)) == 30


@pytest.mark.judge
@pytest.mark.parametrize("kind", ["classes", "draid", "removal"])
def test_zdb_opens_pools_by_it(pools: Any, tmp_path: Path, judge: Any, kind: str) -> None:
    """The pool's labels are written anew as of an active pool (zdb takes an exported one's entry for an old one)."""
    folder = pools(kind).copy(tmp_path / "pool")
    spa = load(scan_all([folder]).candidates[0])
    facts = replace(poolconfig.facts_of(spa.config), state=label.STATE_ACTIVE)
    txg = spa.config.u64("txg")
    for image in folder.glob("*.img"):
        image.chmod(0o644)
    spa.close()
    devices = {leaf.guid: FileDevice(leaf.path, readonly=False) for leaf in spa.tree.leaves}
    for leaf in spa.tree.leaves:
        leaf.open(devices[leaf.guid])
    assert not labels.write_labels(spa.tree.leaves, partial(poolconfig.label_config, facts, txg=txg), labels.ALL)
    assert not labels.flush(spa.tree.leaves)
    for device in devices.values():
        device.close()
    path = tmp_path / "zpool.cache"
    cachefile.put(poolconfig.mos_config(facts, spa.tree, txg), path)
    command = [judge("zdb"), "-U", str(path), "-u", spa.name]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"guid_sum = {poolconfig.guid_sum(spa.tree)}" in out
    command = [judge("zdb"), "-U", str(path), "-C"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"pool_guid: {facts.guid}" in out and str(folder) in out
