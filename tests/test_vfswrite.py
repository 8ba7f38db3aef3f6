"""Names in a file system that is written: every call does, or is refused, as the host's own file system does it."""

from __future__ import annotations

import ctypes
import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from uberblock.pool.env import Env
from uberblock.pool.errors import ExistsError, FileUsageError, NotADirectoryInPoolError, NotFoundError
from uberblock.pool.poolcreate import create_pool
from uberblock.pool.vfswrite import MutableVfs

NOREPLACE, EXCHANGE = 1, 2


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[MutableVfs]:
    with create_pool("tank", [str(tmp_path / "a.img")], size=128 << 20, env=Env.fixed(1), txg_seconds=0) as pool:
        vfs = pool.fs("tank")
        assert isinstance(vfs, MutableVfs)
        yield vfs


class Host:
    """The calls of a file system in a pool, of a folder of the host."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def __getattr__(self, name: str):
        return lambda path, *args: getattr(os, name)(self.root + path, *args)

    def rename(self, source: str, target: str, flags: int = 0) -> None:
        places = [os.fsencode(self.root + path) for path in (source, target)]
        if self.libc.renameat2(-100, places[0], -100, places[1], flags):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def rename_noreplace(self, source: str, target: str) -> None:
        self.rename(source, target, NOREPLACE)

    def exchange(self, one: str, other: str) -> None:
        self.rename(one, other, EXCHANGE)

    def link(self, source: str, path: str) -> None:
        os.link(self.root + source, self.root + path, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        Path(self.root + path).symlink_to(target)

    def open(self, path: str, mode: str):
        return open(self.root + path, mode, buffering=0)  # noqa: PTH123

    def attributes(self, path: str) -> tuple[int, int]:
        found = os.lstat(self.root + path)
        return found.st_mode, found.st_nlink


def attributes(fs: MutableVfs | Host, path: str) -> tuple[int, int]:
    if isinstance(fs, Host):
        return fs.attributes(path)
    found = fs.stat(path)
    return found.mode, found.nlink


def call(fs: MutableVfs | Host, name: str, args: list[str]) -> tuple[str, object]:
    """What came of it: a result, or the number of the error."""
    try:
        if name == "stat":
            return "done", attributes(fs, args[0])
        if name in ("rb", "rb+", "wb", "ab", "xb"):
            with fs.open(args[0], name) as file:
                if name in ("rb", "rb+"):
                    return "done", file.read()
                return "done", file.write(args[0].encode() * 9)
        result = getattr(fs, name)(*args)
        return "done", sorted(result) if name == "listdir" else result
    except OSError as error:
        return "failed", errno.errorcode[error.errno or 0]


def tree(fs: MutableVfs | Host, folder: str = "") -> list[object]:
    found: list[object] = []
    for name in sorted(fs.listdir(folder or "/")):
        path = f"{folder}/{name}"
        mode, nlink = attributes(fs, path)
        found.append((path, mode, nlink))
        if mode >> 12 == 4:
            found += tree(fs, path)
        else:
            found.append(fs.readlink(path) if mode >> 12 == 10 else call(fs, "rb", [path]))
    return found


ONE = ["mkdir", "mkdir", "rmdir", "unlink", "rb", "rb+", "wb", "ab", "xb", "listdir", "stat", "readlink"]
TWO = ["rename", "rename", "rename", "rename_noreplace", "exchange", "exchange", "link"]


@pytest.mark.parametrize("seed", [1, 2])
def test_names_do_as_the_host_does(fs: MutableVfs, tmp_path: Path, seed: int) -> None:
    """Moves of files and folders over, into and out of each other, links that lead nowhere, slashes at the end.

    A file was not made through a link that led nowhere, ``f/`` removed the file f, and errors had no number.
    """
    chance = random.Random(seed)
    folder = tmp_path / "host/of/a/few/levels"
    folder.mkdir(parents=True)
    host = Host(folder)
    umask = os.umask(0o022)
    try:
        for _ in range(1500):
            parts = [["/" + chance.choice("abcd") for _ in range(chance.choice([1, 1, 2, 3]))] for _ in range(2)]
            paths = ["".join(one) + chance.choice([""] * 20 + ["/"]) for one in parts]
            if chance.random() < 0.1:
                name, args = "symlink", [chance.choice(["a", "b", "d/", ".", "a/b"]), paths[0]]
            elif chance.random() < 0.5:
                name, args = chance.choice(TWO), paths
            else:
                name, args = chance.choice(ONE), paths[:1]
            ours, theirs = call(fs, name, args), call(host, name, args)
            if ours != theirs:  # of two reasons to refuse something, either may be told
                assert ours[0] == theirs[0] == "failed", (name, args, ours, theirs)
        assert tree(fs) == tree(host)
        assert len(tree(fs)) > 20
    finally:
        os.umask(umask)


LONG = "n" * 256

REFUSED = [
    ("mkdir", ["/d"], "EEXIST"), ("mkdir", ["/"], "EEXIST"), ("mkdir", ["/d/."], "EEXIST"), ("mkdir", [""], "ENOENT"),
    ("rmdir", ["/"], "EBUSY"), ("rename", ["/d", "/d/.."], "EBUSY"), ("rename", ["/d", "/d/e"], "EINVAL"),
    ("rename", ["/f", "/d"], "EISDIR"), ("rename", ["/d", "/f"], "ENOTDIR"), ("rename", ["/f", "/g/"], "ENOTDIR"),
    ("rename_noreplace", ["/f", "/f"], "EEXIST"), ("exchange", ["/d", "/d/x"], "EINVAL"),
    ("rmdir", ["/d"], "ENOTEMPTY"), ("rb", ["/loop"], "ELOOP"),
    ("unlink", ["/d"], "EISDIR"), ("unlink", ["/f/"], "ENOTDIR"), ("unlink", ["/g"], "ENOENT"),
    ("wb", ["/g/"], "EISDIR"), ("xb", ["/f"], "EEXIST"), ("rb", ["/f/x"], "ENOTDIR"), ("readlink", ["/f"], "EINVAL"),
    ("link", ["/d", "/g"], "EPERM"), ("mkdir", ["/" + LONG], "ENAMETOOLONG"), ("symlink", ["", "/g"], "ENOENT"),
    ("symlink", ["x" * 4096, "/g"], "ENAMETOOLONG"), ("truncate", ["/f", 1 << 63], "EFBIG"),
    ("setxattr", ["/f", "user." + LONG, b""], "ERANGE"), ("getxattr", ["/f", "user.none"], "ENODATA"),
]  # fmt: skip


def test_errors_have_the_numbers_of_the_host(fs: MutableVfs) -> None:
    """``errno`` was the sentence of the message: ``error.errno == errno.ENOENT`` never held."""
    fs.mkdir("/d")
    fs.mkdir("/d/x")
    fs.write_bytes("/f", b"x")
    fs.symlink("loop", "/loop")
    for name, args, number in REFUSED:
        assert call(fs, name, args) == ("failed", number), (name, args)
    assert sorted(fs.listdir()) == ["d", "f", "loop"]
    assert not fs.exists("/loop/x") and not fs.is_dir("/loop/x")


def test_errors_are_also_those_of_python(fs: MutableVfs) -> None:
    with pytest.raises(FileUsageError) as caught:
        fs.readlink("/")
    assert isinstance(caught.value, OSError) and isinstance(caught.value, ValueError)
    with pytest.raises(FileExistsError) as taken:
        fs.mkdir("/")
    assert isinstance(taken.value, ExistsError) and taken.value.strerror == "the name is taken"


def test_a_link_that_leads_nowhere(fs: MutableVfs) -> None:
    """Writing to it makes what it leads to, by way of other links too; making it anew is refused."""
    fs.mkdir("/d")
    fs.symlink("d/second", "/first")
    fs.symlink("../third", "/d/second")
    with pytest.raises(ExistsError):
        fs.open("/first", "xb")
    with fs.open("/first", "wb") as file:
        file.write(b"there")
    assert fs.read_bytes("/third") == b"there"
    fs.unlink("/third")
    fs.write_bytes("/first", b"again")
    assert fs.read_bytes("/third") == b"again"
    fs.symlink("nowhere/x", "/lost")
    with pytest.raises(NotFoundError):
        fs.open("/lost", "wb")
    fs.symlink("third/", "/slash")
    with pytest.raises(NotADirectoryInPoolError):
        fs.open("/slash", "rb")
