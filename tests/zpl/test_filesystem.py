"""File systems: master node, paths, tables."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.errors import CorruptError, FileLimitError, NotADirectoryInPoolError, NotFoundError, UsageError
from uberblock.pool.ondisk.zplconst import Case
from uberblock.pool.zpl.filesystem import Filesystem


@pytest.fixture
def home(opened: Callable[[str], Any]) -> Filesystem:
    return opened("classes").fs("tank-classes/home@one").filesystem


def test_master_node(opened: Callable[[str], Any]) -> None:
    pool = opened("names")
    assert pool.fs("tank-names").filesystem.case == Case.SENSITIVE
    assert pool.fs("tank-names/ci").filesystem.case == Case.INSENSITIVE
    mixed = pool.fs("tank-names/mixed").filesystem
    assert (mixed.case, mixed.utf8only, mixed.version) == (Case.MIXED, True, 5)
    forms = {"formD": 0x10, "formKD": 0x20, "formC": 0x50, "formKC": 0x60}
    for form, flags in forms.items():
        assert pool.fs(f"tank-names/{form}").filesystem.normalization == flags


def test_a_volume_is_no_file_system(opened: Callable[[str], Any]) -> None:
    dataset = opened("classes").dataset("tank-classes/vol")
    with pytest.raises(UsageError):
        Filesystem(dataset.dsl.objset())


def test_lookup(home: Filesystem) -> None:
    target = home.lookup("/links/target")
    assert target.type == "file"
    assert home.lookup("links//./target").object == target.object
    assert home.lookup("/links/../links/target").object == target.object
    assert home.lookup("/../..").object == home.root_object
    assert home.lookup("/links/short").object == target.object
    assert home.lookup("/links/short", follow=False).type == "symlink"
    assert home.lookup("/links/self-dir/short", follow=False).type == "symlink"
    assert home.lookup("/links/self-dir/self-dir/target").object == target.object
    with pytest.raises(NotFoundError):
        home.lookup("/links/nothing")
    with pytest.raises(NotFoundError):
        home.lookup("/links/dangling")
    with pytest.raises(NotADirectoryInPoolError):
        home.lookup("/links/target/below")
    with pytest.raises(NotADirectoryInPoolError):
        home.lookup("/links/target/")
    with pytest.raises(FileLimitError):
        home.lookup("/links/self-dir" + "/self-dir" * 50)


def test_path_of(home: Filesystem) -> None:
    for path in ("/", "/links", "/text/t0.txt", "/xattr/dir"):
        assert home.path_of(home.lookup(path).object) == path
    attributes = home.lookup("/xattr/large").xattr_object
    if attributes:
        assert home.path_of(attributes) == "/xattr/large/<xattrdir>"
    with pytest.raises((NotFoundError, CorruptError)):
        home.path_of(1)


def test_znodes_are_what_the_tree_holds(opened: Callable[[str], Any]) -> None:
    pool = opened("names")
    for name in ("tank-names/ci@s", "tank-names/formKD"):
        vfs = pool.fs(name)
        listed = {znode.object for _, znode in vfs.tree()}
        assert listed <= {znode.object for znode in vfs.filesystem.znodes()}


def test_many(home: Filesystem) -> None:
    numbers = sorted({znode.object for znode in home.znodes()})
    found = dict(home.many([0, 1, *numbers, 10**9, 1 << 47]))
    assert all(found[n].object == n for n in numbers)
    assert isinstance(found[1], CorruptError)  # the master node has no file attributes
    assert isinstance(found[10**9], NotFoundError)
    assert isinstance(found[1 << 47], NotFoundError)


@pytest.mark.parametrize("kind", ["user", "group", "userobj", "groupobj", "project", "projectobj"])
def test_used_space_is_that_of_zdb(opened: Callable[[str], Any], judge: Callable[[str], str], kind: str) -> None:
    pool = opened("names")
    fs = pool.fs("tank-names/quota").filesystem
    number = {"user": -1, "group": -2, "project": -3}[kind.removesuffix("obj")]
    command = [judge("zdb"), "-e", "-p", str(pool.dir), "-dddd", "tank-names/quota"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = re.search(rf"^ +{number} +\d.*?(?=\n    Object  lvl)", text, re.M | re.S).group()
    prefix = "obj-" if kind.endswith("obj") else ""
    rows = re.findall(rf"^\t\t{prefix}([0-9a-f]+) = (\d+)\s*$", text, re.M)
    assert fs.used(kind) == {int(key, 16): int(value) for key, value in rows}
    assert fs.used(kind)


def test_quotas(opened: Callable[[str], Any]) -> None:
    pool = opened("names")
    fs = pool.fs("tank-names/quota").filesystem
    wanted = pool.manifest["datasets"]["tank-names/quota"]["properties"]
    assert wanted["version"] == "5"
    found = {kind: fs.quotas(kind) for kind in ("user", "group", "project", "userobj", "groupobj", "projectobj")}
    assert any(found.values())
    assert all(quota > 0 for quotas in found.values() for quota in quotas.values())
    assert fs.default_quota("user") == 0
    assert fs.domains == {}


def test_nothing_is_waiting_to_be_freed(home: Filesystem) -> None:
    assert home.unlinked() == []


@pytest.mark.parametrize("version", ["v1", "v4", "v5", "v8", "v13", "v15"])
def test_file_systems_of_old(old_pool: Callable[[str], Any], judge: Callable[[str], str], version: str) -> None:
    """Znodes instead of system attributes; v1 and v15 were written by big-endian machines."""
    pool = old_pool(version)
    vfs = next(ds for ds in pool.datasets() if ds.type == "filesystem").fs()
    fs = vfs.filesystem
    assert 1 <= fs.version <= 4
    # Old software counted one object more; without -AAA zdb stops there.
    command = [judge("zdb"), "-AAA", "-e", "-p", str(pool.dir), "-dddd", f"{pool.name}/"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    facts = {}
    for part in text.split("    Object  lvl   iblk")[1:]:
        number = re.search(r"^ +(-?\d+) ", part.split("\n", 1)[1]).group(1)
        facts[int(number)] = dict(re.findall(r"^\t(uid|gid|mode|size|parent|links|pflags|rdev)\s+(\S+)", part, re.M))
    seen = 0
    for path, znode in vfs.tree():
        said = facts[znode.object]
        assert (znode.uid, znode.gid, znode.size) == (int(said["uid"]), int(said["gid"]), int(said["size"]))
        assert (znode.mode, znode.nlink) == (int(said["mode"], 8), int(said["links"]))
        assert (znode.parent, int(znode.flags)) == (int(said["parent"]), int(said["pflags"], 16))
        assert znode.dnode.bonustype == 17
        if znode.rdev:
            assert znode.rdev[0] << 32 | znode.rdev[1] == int(said["rdev"], 16)
        if znode.acl().trivial:
            assert len(znode.acl().aces) == 6
        # Solaris kept attributes in directories alone, with names that have no namespace.
        assert list(znode.xattrs()) == (["user.xattr"] if znode.xattr_object else [])
        if znode.type == "file":
            assert len(znode.open().readall()) == znode.size
        seen += 1
        assert path
    assert seen >= 1
