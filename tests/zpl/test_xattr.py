"""Extended attributes in both forms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.errors import NotFoundError
from uberblock.pool.zpl import xattr


@pytest.mark.parametrize("kind", ["classes", "draid", "encrypted", "removal"])
def test_all_of_a_pool(opened: Callable[[str], Any], kind: str) -> None:
    pool = opened(kind)
    seen = 0
    for name, dataset in pool.manifest["datasets"].items():
        wanted = {path: facts["xattr"] for path, facts in dataset.get("tree", {}).items() if "xattr" in facts}
        vfs = pool.fs(name) if wanted else None
        for path, attributes in wanted.items():
            assert sorted(vfs.listxattr(path)) == sorted(attributes)
            for key, value in attributes.items():
                found = vfs.getxattr(path, key)
                seen += 1
                if isinstance(value, str):
                    assert found.hex() == value
                else:
                    assert (len(found), hashlib.sha256(found).hexdigest()) == (value["size"], value["sha256"])
    assert seen


def test_both_forms_are_there(opened: Callable[[str], Any]) -> None:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    small, large = fs.lookup("/xattr/one"), fs.lookup("/xattr/large")
    assert xattr.packed(small)
    assert not small.xattr_object
    assert large.xattr_object
    assert [name for name, _ in xattr.files(large)] == ["user.large"]
    with pytest.raises(NotFoundError):
        xattr.read(small, "user.other")
    assert xattr.read_all(fs.lookup("/links/target")) == {}


def test_an_acl_shows_only_with_acltype_posix(opened: Callable[[str], Any]) -> None:
    pool = opened("classes")
    assert "system.posix_acl_access" in pool.fs("tank-classes/home").xattrs("/acl/file")
    hidden = pool.fs("tank-classes/clone")
    assert "system.posix_acl_access" in hidden.znode("/acl/file").xattrs()
    assert hidden.xattrs("/acl/file") == {}
    assert hidden.listxattr("/acl/file") == []
    with pytest.raises(NotFoundError):
        hidden.getxattr("/acl/file", "system.posix_acl_access")


@pytest.mark.parametrize(
    ("stored", "shown"),
    [("user.a", "user.a"), ("a", "user.a"), ("security.selinux", "security.selinux"), ("freebsd:x", "freebsd:x")],
)
def test_names_of_other_platforms(stored: str, shown: str) -> None:
    assert xattr.linux_name(stored) == shown
