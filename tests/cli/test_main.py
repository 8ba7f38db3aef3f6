"""The command's manners: help, wrong use, errors in one line with the right exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from uberblock.pool.cli.main import COMMANDS


def test_help_names_every_command(run):
    result = run("--help")
    assert result.status == 0
    for name in COMMANDS:
        assert f"  {name}" in result.out
    assert run().status == 2


def test_version(run):
    assert run("--version").out.startswith("uberblock ")


@pytest.mark.parametrize("words", [[name] for name in COMMANDS] + [["zpool", "status"], ["zfs", "get"]])
def test_every_command_teaches(run, words):
    result = run(*words, "--help")
    assert result.status == 0
    assert "usage: uberblock" in result.out


BAD_USE = [
    (["frobnicate"], 2, "no command 'frobnicate'"),
    (["zpool", "frobnicate"], 2, "no command 'zpool frobnicate'"),
    (["zfs", "frobnicate"], 2, "no command 'zfs frobnicate'"),
    (["zpool", "status", "-d", "{empty}", "tank"], 1, "no pool 'tank'"),
    (["zpool", "import", "-d", "{empty}"], 1, "no pools available"),
    (["zpool", "import", "-d", "{empty}/nothing"], 1, "nothing to search at this path"),
    (["zfs", "list", "-d", "{pool}", "nosuch"], 1, "no pool 'nosuch'"),
    (["zfs", "list", "-d", "{pool}", "tank-rewind/nosuch"], 1, "does not exist"),
    (["zfs", "list", "-d", "{pool}", "-t", "nonsense", "tank-rewind"], 2, "no dataset type"),
    (["zfs", "list", "-d", "{pool}", "-o", "nonsense", "tank-rewind"], 2, "nonsense"),
    (["zfs", "get", "-d", "{pool}", "-s", "nonsense", "all", "tank-rewind"], 2, "no source"),
    (["zpool", "get", "-d", "{pool}", "nonsense", "tank-rewind"], 2, "nonsense"),
    (["cat", "-d", "{pool}", "tank-rewind:/nosuch"], 1, "nosuch"),
    (["cat", "-d", "{pool}", "tank-rewind:/"], 1, "directory"),
    (["cp", "-d", "{pool}", "tank-rewind:/", "{empty}/out"], 2, "-r"),
    (["cat", "-d", "{pool}", "tank-rewind"], 2, "not a volume"),
    (["zpool", "status", "-d", "{pool}", "-T", "1", "tank-rewind"], 1, "no uberblock of txg 1"),
    (["zpool", "status", "-d", "{pool}", "--checkpoint", "tank-rewind"], 1, "checkpoint"),
    (["zpool", "status", "-d", "{pool}", "--key", "nonsense", "tank-rewind"], 2, "DATASET=FILE"),
    (["zdb", "-l", "{empty}/nothing"], 1, "nothing"),
    (["zdb"], 2, "name of a pool"),
]


@pytest.mark.parametrize(("words", "status", "text"), BAD_USE, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_use_gives_one_clear_line(run, pools, tmp_path, words, status, text):
    places = {"empty": tmp_path, "pool": pools("rewind").dir}
    result = run(*(word.format(**places) for word in words))
    assert result.status == status, result.err
    assert result.out == ""
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("uberblock: ")
    assert text in result.err


def test_a_device_in_use_for_writing_is_refused(run, pools, tmp_path):
    import fcntl

    folder = pools("rewind").copy(tmp_path / "pool")
    image = next(folder.glob("*.img"))
    with image.open("r+b") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        result = run("zpool", "status", "-d", folder, "tank-rewind")
    assert result.status == 1
    assert result.err.count("\n") == 1
    assert "open for writing" in result.err


def test_a_wrong_key_is_refused(run, pools, tmp_path):
    key = tmp_path / "key"
    key.write_text("wrong horse battery")
    result = run("zfs", "list", "-d", pools("encrypted").dir, "--key", f"tank-encrypted/enc={key}", "tank-encrypted")
    assert result.status == 1
    assert result.err.count("\n") == 1
    assert "tank-encrypted/enc" in result.err


def test_reading_without_the_key_says_so(run, pools):
    result = run("ls", "-d", pools("encrypted").dir, "tank-encrypted/enc:/")
    assert result.status == 1
    assert result.err.count("\n") == 1
    assert "key" in result.err


def test_output_into_a_closed_pipe_is_no_error(pools):
    program = [sys.executable, "-m", "uberblock.pool.cli.main"]
    words = [*program, "manifest", "-d", str(pools("names").dir), "tank-names"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_nothing_is_ever_written(run, pools):
    """Images are opened read-only; not one byte, and not even a time of change, may differ."""
    image: Path = pools("rewind").images[0]
    before = (image.read_bytes(), image.stat().st_mtime_ns)
    for words in (["zpool", "status"], ["verify", "-q"], ["manifest", "-q"], ["zfs", "list"]):
        assert run(*words, "-d", image.parent, "tank-rewind").status == 0
    assert (image.read_bytes(), image.stat().st_mtime_ns) == before
