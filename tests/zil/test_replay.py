"""Logs that the power cut left with OpenZFS, replayed here: entry by entry what OpenZFS itself makes of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from golden import describe, params
from uberblock.pool import import_pool
from uberblock.pool.env import Env
from uberblock.pool.lab.checker import examine
from uberblock.pool.lab.judges import zdb_complaints
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.poolwrite import WritablePool

SECRET = "tank-zil/secret"  # encrypted: its log waits for the key, and is not replayed here


def opened(folder: Path, **options: Any) -> WritablePool:
    return open_pool(None, [str(folder)], env=Env.fixed(1, now=2_000_000_000), txg_seconds=0, force=True, **options)


def differences(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """Entries that are not as OpenZFS shows them after its replay. Times of what is replayed are the replay's own."""
    with import_pool(search=folder) as pool:
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
    real = WritablePool.sync
    for _ in range(2):
        left = [after]

        def sync(self: WritablePool, left: list[int] = left) -> int:
            if not left[0]:
                raise PowerCutError
            left[0] -= 1
            return real(self)

        with monkeypatch.context() as patch:
            patch.setattr(WritablePool, "sync", sync)
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

    def stop(self: WritablePool) -> int:
        self.engine.sync()
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(WritablePool, "sync", stop)
        with pytest.raises(PowerCutError):
            opened(tmp_path, dirty_max=0)
    with opened(tmp_path, discard_logs=True) as pool:
        assert any("given up" in note for note in pool.spa.notes)
    assert not [line for line in examine(sorted(map(str, tmp_path.glob("*.img")))).problems if "encrypt" not in line]
