"""Extended attributes: packed in a system attribute, or as files in a hidden directory.

A name may be in both forms; the system attribute counts. Names carry Linux's namespace (``user.``, ``trusted.``,
``security.``, ``system.``); a name without one is a user attribute that another platform wrote, and one with FreeBSD's
own prefix is left as it is.

Source: OpenZFS, zpl_xattr.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import CorruptError, LimitError, NoAttributeError
from ..ondisk import nvlist
from . import directory
from .directory import printable

if TYPE_CHECKING:
    from .znode import Znode

MAX_PACKED = 128 << 10
MAX_VALUE = 16 << 20  # Linux stops at 64 KiB, other platforms have no limit
MAX_TOTAL = 64 << 20  # of all values read at once

NAMESPACES = ("user.", "trusted.", "security.", "system.")
FOREIGN_PREFIX = "freebsd:"
POSIX_ACLS = ("system.posix_acl_access", "system.posix_acl_default")


def linux_name(name: str) -> str:
    """A stored name as Linux shows it."""
    return name if name.startswith((*NAMESPACES, FOREIGN_PREFIX)) else "user." + name


def packed(znode: Znode) -> dict[str, bytes]:
    """Those in the system attribute, by stored name. Raises: CorruptError, LimitError."""
    found = znode.attribute("ZPL_DXATTR")
    if found is None or not found[0]:
        return {}
    pairs = nvlist.decode(found[0], limit=MAX_PACKED)
    for name, value in pairs.items():
        if not isinstance(value, bytes):
            raise CorruptError("an extended attribute is not bytes", object=znode.object, name=printable(name))
    return dict(pairs)


def files(znode: Znode) -> Iterator[tuple[str, Znode]]:
    """Those in the hidden directory: stored name and the file with the value. Raises: CorruptError."""
    if not znode.xattr_object:
        return
    hidden = znode.fs.znode(znode.xattr_object)
    if not hidden.is_dir:
        raise CorruptError("the directory of extended attributes is none", object=znode.object)
    for entry in directory.iterate(hidden):
        yield entry.name, znode.fs.znode(entry.object)


def _value(file: Znode, name: str) -> bytes:
    if file.size > MAX_VALUE:
        raise LimitError(f"the extended attribute {printable(name)} is too long", object=file.object, bytes=file.size)
    return file.open().readall()


def read_all(znode: Znode) -> dict[str, bytes]:
    """All of them by the name Linux shows.

    Raises:
        CorruptError: damaged ones; LimitError: more bytes than an attribute may have here.
    """
    values = {linux_name(name): value for name, value in packed(znode).items()}
    total = 0
    for name, file in files(znode):
        shown = linux_name(name)
        total += file.size
        if total > MAX_TOTAL:
            raise LimitError("extended attributes are too long together", object=znode.object, bytes=total)
        if shown not in values:
            values[shown] = _value(file, shown)
    return values


def names(znode: Znode) -> list[str]:
    """Names of all of them, without reading the values of the directory's. Raises: CorruptError."""
    found = dict.fromkeys(linux_name(name) for name in packed(znode))
    found.update(dict.fromkeys(linux_name(name) for name, _ in files(znode)))
    return list(found)


def read(znode: Znode, name: str) -> bytes:
    """The value of one, by the name Linux shows.

    Raises:
        NotFoundError: there is none of this name; CorruptError, LimitError as ``read_all``.
    """
    for stored, value in packed(znode).items():
        if linux_name(stored) == name:
            return value
    for stored, file in files(znode):
        if linux_name(stored) == name:
            return _value(file, name)
    raise NoAttributeError(f"no extended attribute {printable(name)}", object=znode.object)
