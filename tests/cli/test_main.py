"""The command's manners: help, wrong use, errors in one line with the right exit status."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from uberblock.pool.cli.main import COMMANDS, dispatch


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
    (["zpool", "status", "-Q"], 2, "-Q"),
    (["zpool", "import", "-d", "{pool}", "tank-rewind", "newname"], 2, "newname"),
    (["zpool", "status", "-d", "{pool}", "tank-rewind/x"], 2, "give the pool: tank-rewind"),
    (["verify", "-d", "{pool}", "tank-rewind:/"], 2, "give the pool: tank-rewind"),
    (["manifest", "-d", "{pool}", "tank-rewind:/"], 2, "a dataset or a snapshot"),
    (["zfs", "get"], 2, "required: all|PROPERTY,..."),
    (["zfs", "get", "-d", "{pool}", "all", "tank-rewind:/"], 2, "give the dataset: tank-rewind"),
    (["zfs", "list", "-d", "1", "tank-rewind"], 2, "--depth"),
    (["ls", "-d", "{pool}"], 2, "required"),
    (["cp", "-d", "{pool}", "tank-rewind:/a", "tank-rewind:/b", "{empty}/nosuch"], 2, "no folder"),
    (["zpool", "import", "-j", "-d", "{pool}", "nosuch"], 1, "no pool 'nosuch'"),
    (["zpool", "import", "-D", "-d", "{pool}"], 1, "no destroyed pools"),
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


def test_help_of_a_command(run):
    assert run("help", "zfs").out == run("zfs", "--help").out
    assert run("help").status == run("--help").status == 0


def test_help_shows_an_example():
    """What a command is for, and one line to begin with."""
    commands = ["ls", "cat", "cp", "manifest", "verify", "zfs list", "zfs get"]
    commands += [f"zpool {word}" for word in ("import", "status", "list", "get", "history")]
    for words in map(str.split, commands):
        text = io.StringIO()
        with contextlib.redirect_stdout(text), pytest.raises(SystemExit):
            dispatch([*words, "--help"])
        assert f"\n  uberblock {' '.join(words)} " in text.getvalue(), words


def test_names_with_colons_are_names():
    """Only a colon with a slash behind it, or at the very end, begins a path."""
    from uberblock.pool.cli.access import pool_of
    from uberblock.pool.vfs import is_path, parse_path

    assert [pool_of(n) for n in ("a:b/c:d@e:f:/x", "a:b", "a:b:", "tank@s", "tank#m")] == ["a:b"] * 3 + ["tank"] * 2
    assert not is_path("a:b/vm:1@x:y") and is_path("a:b/c:/x") and is_path("a:b/c:")
    assert parse_path("a:b/c:d:/x:/y") == ("a:b/c:d", "/x:/y")


def test_a_progress_bar_in_a_terminal(pools):
    """Rate and time to go are shown on a terminal, and nothing of it where output is no terminal."""
    import pty

    words = [sys.executable, "-m", "uberblock.pool.cli.main", "verify", "-d", str(pools("names").dir), "tank-names"]
    master, slave = pty.openpty()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=slave, check=True, env=os.environ | {"TERM": "xterm"})
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while piece := os.read(master, 1 << 16):
            shown += piece
    os.close(master)
    assert b"verifying tank-names" in shown and b"/s" in shown
    assert b"verifying" not in done.stdout
    assert subprocess.run(words, capture_output=True, check=True).stderr == b""
