"""Logs that the power cut left with OpenZFS, replayed here: entry by entry what OpenZFS itself makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden import describe, params
from uberblock.pool import import_pool
from uberblock.pool.cli.main import main
from uberblock.pool.env import Env
from uberblock.pool.errors import UsageError
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.judges import zdb_complaints
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.engine import Engine

SECRET = "tank-zil/secret"  # encrypted: its log waits for the key, and is not replayed here


def opened(folder: Path, **options: Any) -> WritablePool:
    return open_pool(None, [str(folder)], env=Env.fixed(1, now=2_000_000_000), txg_seconds=0, force=True, **options)


def differences(folder: Path, manifest: dict[str, Any], **how: Any) -> Iterator[str]:
    """Entries that are not as OpenZFS shows them after its replay. Times of what is replayed are the replay's own."""
    with import_pool(search=folder, **how) as pool:
        for name, one in manifest["datasets"].items():
            if name.startswith(SECRET) or one["type"] == "bookmark":
                continue
            if one["type"] == "volume":
                found = hashlib.sha256(pool.volume(name).open().readall()).hexdigest()
                if found != one["volume_sha256"]:
                    yield name
            if "tree" not in one:
                continue
            vfs = pool.fs(name)
            for path, expected in one["tree"].items():
                if path.rpartition("/")[2].startswith("never-synced"):
                    continue
                facts = describe(vfs, path)
                if "@" in name and path == ".":
                    expected = {**expected, "object": facts["object"]}  # OpenZFS shows a number of its own
                if expected["mtime_ns"] != facts.get("mtime_ns") and "@" not in name:
                    facts, expected = ({k: v for k, v in e.items() if k != "mtime_ns"} for e in (facts, expected))
                if facts != expected:
                    yield f"{name}:{path} is {facts}, not {expected}"


@pytest.mark.parametrize("kind", params(["zil", "zil-slog"]))
def test_what_was_promised_is_there(pools, tmp_path: Path, kind: str) -> None:
    golden = pools(kind)
    golden.copy(tmp_path)
    before = list(differences(tmp_path, golden.manifest))
    assert before, "nothing would have to be replayed"
    with opened(tmp_path) as pool:
        replayed = [note for note in pool.spa.notes if note.startswith("replayed")]
        assert len(replayed) == 4 and any("waits for its key" in note for note in pool.spa.notes)
    assert list(differences(tmp_path, golden.manifest)) == []
    with opened(tmp_path) as pool:  # nothing is replayed twice
        assert not [note for note in pool.spa.notes if note.startswith("replayed")]
        pool.fs("tank-zil/fs").write_bytes("/later", b"x")


class PowerCutError(Exception):
    """The machine goes down here."""


@pytest.mark.parametrize("after", [0, 3, 30])
def test_a_crash_while_logs_are_replayed(
    pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Every record has a txg of its own; after some of them the power goes, twice, and the third import ends it."""
    golden = pools("zil")
    golden.copy(tmp_path)
    real = Engine.sync
    for _ in range(2):
        left = [after]

        def sync(self: Engine, why: str = "asked", left: list[int] = left) -> int:
            if not left[0]:
                raise PowerCutError
            left[0] -= 1
            return real(self, why)

        with monkeypatch.context() as patch:
            patch.setattr(Engine, "sync", sync)
            with pytest.raises(PowerCutError):
                opened(tmp_path, dirty_max=0)
    opened(tmp_path).close()
    assert list(differences(tmp_path, golden.manifest)) == []
    assert not [line for line in examine(sorted(map(str, tmp_path.glob("*.img")))).problems if "encrypt" not in line]


def test_logs_that_are_given_up(pools, tmp_path: Path) -> None:
    golden = pools("zil")
    golden.copy(tmp_path)
    before = list(differences(tmp_path, golden.manifest))
    with opened(tmp_path, discard_logs=True) as pool:
        assert len([note for note in pool.spa.notes if "given up" in note]) == 5
    assert list(differences(tmp_path, golden.manifest)) == before
    assert not [line for line in examine(sorted(map(str, tmp_path.glob("*.img")))).problems if "encrypt" not in line]


@pytest.mark.judge
@pytest.mark.parametrize("discard", [False, True])
def test_zdb_agrees(pools, judge, tmp_path: Path, discard: bool) -> None:
    pools("zil").copy(tmp_path)
    opened(tmp_path, discard_logs=discard).close()
    assert zdb_complaints(judge("zdb"), tmp_path, "tank-zil") == []


def test_claimed_logs_that_are_given_up(pools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that records point to were allocated when the log was claimed: they go with it."""
    golden = pools("zil")
    golden.copy(tmp_path)
    real = Engine.sync

    def stop(self: Engine, why: str = "asked") -> int:
        real(self, why)
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "sync", stop)
        with pytest.raises(PowerCutError):
            opened(tmp_path, dirty_max=0)
    with opened(tmp_path, discard_logs=True) as pool:
        assert any("given up" in note for note in pool.spa.notes)
    assert not [line for line in examine(sorted(map(str, tmp_path.glob("*.img")))).problems if "encrypt" not in line]


@pytest.mark.parametrize("kind", params(["zil", "zil-slog"]))
def test_what_was_promised_can_be_seen_without_writing(pools, tmp_path: Path, kind: str, capsys: Any) -> None:
    golden = pools(kind)
    golden.copy(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob("*.img")}
    assert list(differences(tmp_path, golden.manifest, replay=True)) == []
    with import_pool(search=tmp_path, replay=True) as pool:
        assert any(note.startswith("in memory only: replayed") for note in pool.spa.notes)
        name = pool.name
    assert main(["zfs", "list", "--replay", "-d", str(tmp_path), name]) == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("*.img")} == before
    with pytest.raises(UsageError, match="as it is"):
        import_pool(search=tmp_path, replay=True, readonly=False)


def test_a_missing_log_device(tmp_path: Path, capsys: Any) -> None:
    places = [str(tmp_path / name) for name in ("a.img", "log.img")]
    pool = create_pool("tank", [places[0], "log", places[1]], size=64 << 20, txg_seconds=0)
    fs = pool.fs()
    fs.write_bytes("/old", b"o")
    fs.fsync("/old")
    fs.write_bytes("/new", b"n")
    fs.fsync("/new")
    pool.abandon()
    Path(places[1]).rename(tmp_path / "away")
    words = ["mkdir", "-d", places[0], "tank:/folder"]
    assert main(words) != 0
    assert "log" in capsys.readouterr().err
    assert main([words[0], "-m", *words[1:]]) == 0
    assert "may be lost" in capsys.readouterr().err
    with import_pool("tank", [places[0]], missing_log=True) as after:
        assert set(after.fs("tank").listdir("/")) == {"old", "folder"}
