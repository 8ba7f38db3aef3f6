"""Copying into pools, and changing names there, by command."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def tank(run, tmp_path: Path) -> None:
    assert run("zpool", "create", "--size", "512M", "tank", tmp_path / "a.img").status == 0


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with one of everything."""
    top = tmp_path / "src"
    (top / "d" / "empty").mkdir(parents=True)
    (top / "x").write_bytes(b"hello\n")
    (top / "x").chmod(0o4750)
    os.link(top / "x", top / "d" / "y")
    (top / "link").symlink_to("../x")
    os.mkfifo(top / "pipe", 0o600)
    with (top / "sparse").open("wb") as file:
        file.truncate(5 << 20)
        file.seek(3 << 20)
        file.write(b"in the middle")
    (top / "big").write_bytes(os.urandom(9 << 20))
    (top / "d" / "name\udcff").write_bytes(b"odd")
    os.utime(top / "x", ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    os.utime(top / "d", ns=(1, -5_000_000_001))
    return top


def same(run, tree: Path, path: str, out: Path) -> None:
    """What is at a path in the pool is what is in the folder."""
    result = run("cp", "-r", path, out)
    assert (result.status, result.err) == (0, "")
    there = sorted(p.relative_to(tree) for p in tree.rglob("*"))
    assert sorted(p.relative_to(out) for p in out.rglob("*")) == there
    for name in there:
        one, other = (tree / name).lstat(), (out / name).lstat()
        assert (one.st_mode, one.st_mtime_ns, one.st_nlink) == (other.st_mode, other.st_mtime_ns, other.st_nlink)
        if (tree / name).is_file():
            assert (tree / name).read_bytes() == (out / name).read_bytes()


def test_a_folder_with_one_of_everything(run, tank: None, tree: Path, tmp_path: Path) -> None:
    assert run("cp", "-r", tree, "tank:/").status == 0
    same(run, tree, "tank:/src/", tmp_path / "out")
    assert (tmp_path / "out" / "sparse").stat().st_blocks < 1000
    assert run("cp", "-r", f"{tree}/", "tank:/src").status == 0  # once more over what is there
    same(run, tree, "tank:/src/", tmp_path / "out2")
    assert run("verify", "tank").status == 0


def test_a_tar_stream(run, tank: None, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["tar", "-c", "--sparse", "--format=posix", "-C", str(tree), "."]
    packed = subprocess.run(command, capture_output=True, check=True).stdout

    class Pipe(io.RawIOBase):
        """A stream that cannot be rewound, and gives little at a time."""

        at = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            piece = packed[self.at : self.at + min(len(buffer), 30011)]
            buffer[: len(piece)] = piece
            self.at += len(piece)
            return len(piece)

    class Standard:
        buffer = io.BufferedReader(Pipe())

    monkeypatch.setattr(sys, "stdin", Standard())
    assert run("cp", "-", "tank:/t").status == 0
    same(run, tree, "tank:/t/", tmp_path / "out")


def test_owners(run, tank: None, tree: Path) -> None:
    assert run("cp", "--owner", "7:8", tree / "x", "tank:/x").status == 0
    assert run("cp", tree / "x", "tank:/y").status == 0
    lines = [line.split() for line in run("ls", "-l", "tank:/").lines]
    mine = tree.stat()
    assert [line[2:4] for line in lines] == [["7", "8"], [str(mine.st_uid), str(mine.st_gid)]]


def test_names(run, tank: None, tree: Path) -> None:
    assert run("mkdir", "-p", "tank:/a/b/c", "tank:/e").status == 0
    assert run("mkdir", "tank:/a").status == 1
    assert run("cp", tree / "x", "tank:/a").status == 0
    assert run("mv", "tank:/a/x", "tank:/e").status == 0
    assert run("ln", "tank:/e/x", "tank:/e/y").status == 0
    assert run("ln", "-s", "x", "tank:/e/z").status == 0
    assert run("mv", "-n", "tank:/e/x", "tank:/e/y").status == 1
    assert run("ls", "tank:/e").lines == ["x", "y", "z"]
    assert run("rm", "tank:/a").status == 1
    assert run("rm", "-r", "tank:/a").status == 0
    assert run("rm", "tank:/a").status == 1
    assert run("rm", "-f", "tank:/a").status == 0
    assert run("ls", "tank:/").lines == ["e"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-r", ".", "tank:/"], "own device"), (["src", "tank:/"], "give -r"),
        (["tank:/x", "tank:/y"], "both in pools"),
        (["--owner", "me", "src/x", "tank:/"], "UID:GID"), (["src/x", "src/big", "tank:/no"], "no directory"),
        (["src/x", "tank@s:/"], "snapshot"),
        (["src/nothing", "tank:/"], "No such file"), (["--owner", "1", "tank:/x", "out"], "into a pool"),
    ],
)  # fmt: skip
def test_wrong_use(
    run, tank: None, tree: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tree.parent)
    result = run("cp", *words)
    assert result.status in (1, 2)
    assert said in result.err
