"""``uberblock mkfs``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from uberblock.pool import import_pool


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "f").write_bytes(b"content" * 1000)
    return folder


def test_mkfs(run, source, tmp_path, monkeypatch):
    """A dry run makes nothing; a run makes what it said, and says so; the next one may not replace it unasked."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    words = ["mkfs", "tank", "mirror", tmp_path / "a.img", tmp_path / "b.img", "--seed", "x", "-O", "compression=zstd",
             "--dataset", f"/h:recordsize=16K={source}", "--owner", "3:4", "--vdev-type", "disk",
             "--label-path", "/dev/vd{letter}"]  # fmt: skip
    dry = run(*words, "-n")
    assert dry.status == 0 and "1 files, 6.84K" in dry.out and "/dev/vdb" in dry.out
    assert json.loads(run(*words, "-n", "-j").out)["datasets"]["tank/h"]["files"] == 1
    assert not (tmp_path / "a.img").exists()
    made = run(*words, "-j", "--sha256")
    assert made.status == 0
    document = json.loads(made.out)
    assert document["reproducible"] and not document["not_kept"]
    again = json.loads(run(*words, "-j", "--sha256", "-f").out)
    assert again["images"] == document["images"] and again["guid"] == document["guid"]
    refused = run("mkfs", "tank", tmp_path / "a.img")
    assert refused.status == 1 and "such a file already" in refused.err
    with import_pool("tank", [str(tmp_path)]) as pool:
        found = pool.fs("tank/h").stat("/f")
        assert (found.uid, found.gid, found.mtime_ns) == (3, 4, 1_600_000_000 * 10**9)
        assert pool.fs("tank/h").read_bytes("/f") == b"content" * 1000
        assert [record.text for record in pool.history() if record.kind == "command"] == ["uberblock mkfs tank"]


BAD = [
    (["--dataset", "/h:compression=nonsense"], 2, "compression"),
    (["--dataset", "/=nothing-there"], 2, "no such folder"),
    (["-O", "compression"], 2, "PROPERTY=VALUE"),
    (["-o", "nonsense=1"], 2, "nonsense"),
    (["--owner", "root"], 2, "UID:GID"),
    (["--threads", "0"], 2, "--threads"),
    (["--size", "1M"], 2, "64 MiB"),
    (["--label-path", "x"], 2, "absolute"),
]


@pytest.mark.parametrize(("words", "status", "text"), BAD)
def test_wrong_use(run, tmp_path, words, status, text):
    result = run("mkfs", "tank", tmp_path / "a.img", *words)
    assert (result.status, result.out) == (status, "")
    assert text in result.err and result.err.count("\n") == 1
    assert not (tmp_path / "a.img").exists()
