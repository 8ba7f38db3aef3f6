"""The public face: names, choosing a pool, datasets, volumes, files, keys."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np
import pytest
import uberblock.pool as zfs
from uberblock.pool.errors import (
    AuthenticationError,
    ExistsError,
    KeyUnavailableError,
    NotFoundError,
    UsageError,
)


def test_names_are_all_there() -> None:
    for name in zfs.__all__:
        assert getattr(zfs, name) is not None
    assert set(zfs.__all__) <= set(dir(zfs))
    with pytest.raises(AttributeError):
        zfs.no_such_name  # noqa: B018


def test_finding(pools) -> None:
    (found,) = zfs.find_pools(pools("raidz1").dir)
    assert (found.name, found.state_name, found.version) == ("tank-raidz1", "EXPORTED", 5000)
    assert found.hostname and found.hostid and found.txg and len(found.paths) == 3
    (crashed,) = zfs.find_pools([pools("zil").dir])
    assert crashed.state_name == "ACTIVE"


def test_choosing(pools) -> None:
    one, other = pools("mirror"), pools("raidz1")
    places = [one.dir, other.dir]
    assert {c.guid for c in zfs.find_pools(places)} == {int(p.manifest["properties"]["guid"]) for p in (one, other)}
    with pytest.raises(ExistsError) as caught:
        zfs.import_pool(search=places)
    for golden in (one, other):
        guid = golden.manifest["properties"]["guid"]
        assert guid in str(caught.value)
        for name in (int(guid), guid, golden.manifest["pool"]):
            with zfs.import_pool(name, search=places) as pool:
                assert str(pool.guid) == guid and repr(pool).startswith("<Pool tank")
    with pytest.raises(NotFoundError, match="found were"):
        zfs.import_pool("other", search=places)
    with pytest.raises(NotFoundError):
        zfs.import_pool(search="/nowhere/at/all")


def test_two_pools_of_one_name(pools, tmp_path) -> None:
    """Pools of one name are told apart by guid; the labels of a copy are given another."""
    from uberblock.pool.device.file import FileDevice
    from uberblock.pool.device.overlay import OverlayDevice
    from uberblock.pool.ondisk import label

    twin = OverlayDevice(FileDevice(pools("rewind").images[0]), name="twin")
    for index in range(4):
        at = label.offset(twin.size, index)
        config = label.decode(twin.read(at, label.RING_OFFSET), at).config
        config["pool_guid"] = 12345
        twin.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))
    with pytest.raises(ExistsError, match=r"12345.*twin"):
        zfs.import_pool("tank-rewind", search=[pools("rewind").dir, twin])
    twin.close()


def test_datasets(pools) -> None:
    golden = pools("mirror")
    with zfs.import_pool(search=golden.dir) as pool:
        names = [d.name for d in pool.datasets()]
        assert names == [n for n in names if golden.manifest["datasets"][n]["type"] != "bookmark"]
        for name, entry in golden.manifest["datasets"].items():
            dataset = pool.dataset(name)
            assert (dataset.name, dataset.type) == (name, entry["type"])
            assert str(dataset.guid) == entry["properties"]["guid"]
            assert str(dataset.createtxg) == entry["properties"]["createtxg"]
            assert name in repr(dataset)
            if dataset.type != "bookmark":
                assert str(dataset.referenced) == entry["properties"]["referenced"]
                assert dataset.properties()["creation"].exact == entry["properties"]["creation"]
                assert not dataset.encrypted
        below = [d.name for d in pool.datasets("tank/a", types=["filesystem"])]
        assert below[0] == "tank/a" and all(n.startswith("tank/a") for n in below) and len(below) > 1
        assert [d.name for d in pool.datasets("tank/a@one")] == ["tank/a@one"]
        assert [s.name for s in pool.dataset("tank/a").snapshots()] == ["tank/a@one"]
        with pytest.raises(NotFoundError):
            pool.dataset("tank/nothing")
        with pytest.raises(NotFoundError):
            list(pool.datasets("tank/nothing"))


def test_files_and_volumes(pools) -> None:
    golden = pools("mirror")
    files = volumes = 0
    with zfs.import_pool(search=golden.dir) as pool:
        for name, entry in golden.manifest["datasets"].items():
            if "volume_sha256" in entry:
                volume = pool.volume(name)
                assert hashlib.sha256(volume.open().read()).hexdigest() == entry["volume_sha256"]
                assert str(volume.size) == entry["properties"]["volsize"] and volume.volblocksize
                with pytest.raises(UsageError):
                    volume.fs()
                with pytest.raises(UsageError):
                    volume.open("/x")
                volumes += 1
            path, file = next(((p, e) for p, e in entry.get("tree", {}).items() if "sha256" in e), (None, None))
            if path is not None:
                with pool.open(f"{name}:/{path}") as stream:
                    assert hashlib.sha256(stream.read()).hexdigest() == file["sha256"]
                assert pool.dataset(name).open("/" + path).read()[:1] is not None
                files += 1
        with pytest.raises(UsageError):
            pool.volume("tank")
        with pytest.raises(NotFoundError):
            pool.open("tank:/no/such/file")
    assert files and volumes


def test_bookmarks_have_no_content(pools) -> None:
    golden = pools("mirror")
    name = next(n for n, d in golden.manifest["datasets"].items() if d["type"] == "bookmark")
    with zfs.import_pool(search=golden.dir) as pool:
        with pytest.raises(UsageError):
            pool.dataset(name).fs()
        assert name in [d.name for d in pool.datasets(types=["bookmark"])]


def test_keys(pools) -> None:
    golden = pools("encrypted")
    keys = golden.manifest["keys"]
    with zfs.import_pool(search=golden.dir, keys={n: k + "\n" for n, k in keys.items()}) as pool:
        for name, entry in golden.manifest["datasets"].items():
            fs = pool.fs(name) if "tree" in entry else None
            for path, file in entry.get("tree", {}).items():
                if "sha256" in file:
                    assert hashlib.sha256(fs.read_bytes("/" + path)).hexdigest() == file["sha256"]
    with zfs.import_pool(search=golden.dir) as pool:
        root = next(iter(keys))
        with pytest.raises(KeyUnavailableError):
            pool.fs(root)
        assert pool.load_key(root, keys[root].encode()) == root
        assert pool.fs(root)
        with pytest.raises(UsageError):
            pool.load_key("tank-encrypted", "whatever")
        with pytest.raises(UsageError):
            pool.load_key(root, raw=b"short")
    with pytest.raises(AuthenticationError):
        zfs.import_pool(search=golden.dir, keys={root: "0" * 64})


def test_a_closed_pool_says_so(pools) -> None:
    with zfs.import_pool(search=pools("rewind").dir) as pool:
        fs = pool.fs(pool.name)
        path = next(entry.path for entry in fs.scandir("/") if entry.is_file())
        file = fs.open(path)
    assert repr(pool) == "<Pool tank-rewind closed>" and "closed" in pool._repr_html_()
    for ask in (pool.status, pool.txgs, pool.verify, pool.history, pool.properties, lambda: pool.get("size")):
        with pytest.raises(UsageError, match="'tank-rewind' is closed"):
            ask()
    with pytest.raises(UsageError, match="closed"):
        next(pool.datasets())
    with pytest.raises(OSError, match="closed"):
        file.read()
    pool.close()


def test_what_is_open_cannot_be_pickled_or_copied(pools) -> None:
    with zfs.import_pool(search=pools("rewind").dir) as pool:
        fs = pool.fs(pool.name)
        path = next(entry.path for entry in fs.scandir("/") if entry.is_file())
        for thing in (pool, pool.dataset(pool.name), fs, fs.open(path)):
            with pytest.raises(TypeError, match=r"open the pool|open it"):
                pickle.dumps(thing)
            with pytest.raises(TypeError, match="cannot be pickled"):
                copy.copy(thing)


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(NotFoundError("gone", "look elsewhere", path="/x")))
    assert str(error) == "gone (path /x); look elsewhere" and isinstance(error, NotFoundError)


def test_what_things_are_called(pools) -> None:
    golden = pools("mirror")
    (found,) = zfs.find_pools(golden.dir)
    assert repr(found).startswith("<Candidate tank ") and "EXPORTED, 2 devices" in repr(found)
    with zfs.import_pool(search=golden.dir) as pool:
        assert repr(pool.status()) == "<Status of tank: ONLINE, nothing wrong>"
        assert repr(pool.tree) == "<VdevTree ['mirror-0'] ONLINE>"
        volume = next(d for d in pool.datasets(types=["volume"]))
        assert repr(volume.open()) == f"<ObjectFile {volume.name!r} {volume.size} bytes>"
        assert pool.dataset("tank/home") == pool.dataset("tank/home") != pool.dataset("tank/a")
        assert len({pool.dataset("tank/home"), pool.dataset("tank/home")}) == 1
        assert pool.dataset(f"{pool.guid}/home").name == "tank/home"


def test_in_a_notebook(pools) -> None:
    with zfs.import_pool(search=pools("mirror").images[0]) as pool:
        html = pool._repr_html_()
        assert "DEGRADED" in html and "mirror-0" in html and "<progress" in html and "cannot open" in html
        pool.spa.config["name"] = "<script>"
        assert "<script>" not in pool._repr_html_()


def test_places_and_paths_of_any_kind(pools) -> None:
    folder = pools("rewind").dir
    for search in (folder, str(folder), bytes(folder), [bytes(folder)], iter([folder])):
        with zfs.import_pool(search=search) as pool:
            fs = pool.fs(pool.name)
            path = next(entry.path for entry in fs.scandir("/") if entry.is_file())
            content = fs.read_bytes(path)
            assert fs.read_bytes(path.encode()) == fs.read_bytes(PurePosixPath(path)) == content
            assert fs.open(path[1:]).read() == content
            with pytest.raises(UsageError, match="TextIOWrapper"):
                fs.open(path, "r")


def test_files_are_io_objects(pools) -> None:
    """Buffered and text layers, several threads, arrays of any type and shape."""
    golden = pools("mirror")
    tree = golden.manifest["datasets"]["tank/home"]["tree"]
    path, entry = max(((p, e) for p, e in tree.items() if "sha256" in e), key=lambda pair: pair[1]["size"])
    text = next(p for p, e in tree.items() if p.endswith(".txt") and e["size"] > 4096)
    with zfs.import_pool(search=golden.dir) as pool:
        fs = pool.fs("tank/home")
        raw = fs.open(path)
        assert raw.mode == "rb" and raw.name == path and path in repr(raw)
        content = io.BufferedReader(fs.open(path)).read()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        with io.TextIOWrapper(io.BufferedReader(fs.open(text)), errors="replace") as lines:
            assert "".join(lines) == fs.read_bytes(text).decode(errors="replace").replace("\r\n", "\n")
        array = np.empty((2, len(content) // 16), np.float64)
        assert raw.readinto(array) == array.nbytes and array.tobytes() == content[: array.nbytes]
        with ThreadPoolExecutor(4) as executor:
            assert set(executor.map(lambda _: fs.open(path).read() == content, range(8))) == {True}
