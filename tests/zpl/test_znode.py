"""Attributes of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.errors import CorruptError, UsageError
from uberblock.pool.ondisk.fuid import Fuid
from uberblock.pool.ondisk.zplconst import PFlags, rdev_parts


def test_times_before_1970(opened: Callable[[str], Any]) -> None:
    vfs = opened("classes").fs("tank-classes/home@one")
    tree = opened("classes").manifest["datasets"]["tank-classes/home@one"]["tree"]
    early = [path for path, facts in tree.items() if facts["mtime_ns"] < 0]
    assert early
    for path in early:
        assert vfs.znode(path).mtime == tree[path]["mtime_ns"]


def test_links_devices_and_ids(opened: Callable[[str], Any]) -> None:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    assert fs.lookup("/links/chr").rdev == (1, 3)
    assert fs.lookup("/links/blk").rdev == (259, 70000)
    assert fs.lookup("/links/target").rdev is None
    assert fs.lookup("/links/short", follow=False).target() == b"target"
    assert len(fs.lookup("/links/very-long", follow=False).target()) == 4000
    with pytest.raises(UsageError):
        fs.lookup("/links/target").target()
    odd = fs.lookup("/modes/u4294967294-4294967294")
    assert (odd.uid, odd.owner) == (4294967294, Fuid(0, 4294967294))


@pytest.mark.parametrize(
    ("stored", "parts"),
    [(259 << 20 | 70000, (259, 70000)), (1 << 20 | 3, (1, 3)), (5 << 32 | 70000, (5, 70000)), (0, (0, 0))],
)
def test_device_numbers_of_both_worlds(stored: int, parts: tuple[int, int]) -> None:
    assert rdev_parts(stored) == parts


def test_flags_and_other_attributes(opened: Callable[[str], Any]) -> None:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    root = fs.root
    assert root.flags & PFlags.ACL_TRIVIAL
    assert root.flags & PFlags.ARCHIVE
    assert root.parent == root.object
    assert root.projid == 0
    assert root.gen <= fs.objset.birth
    assert root.attribute_names()[:7] == [
        "ZPL_MODE", "ZPL_SIZE", "ZPL_GEN", "ZPL_UID", "ZPL_GID", "ZPL_PARENT", "ZPL_FLAGS",
    ]  # fmt: skip
    assert root.attribute("ZPL_DXATTR") is None
    spilled = fs.lookup("/xattr/spill")
    assert spilled.dnode.spill is not None
    assert spilled.attribute_names()[-1] == "ZPL_DXATTR"


def test_project_ids(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names/quota").filesystem
    projects = {znode.projid for znode in fs.znodes()}
    assert projects == {number & 0xFFFFFFFF for number in fs.used("project")}


def test_what_is_no_file(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names").filesystem
    with pytest.raises(CorruptError, match="no file attributes"):
        fs.znode(1)
