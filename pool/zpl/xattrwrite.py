"""Setting and removing extended attributes: packed in a system attribute as long as they fit, else as hidden files.

An attribute has one place: setting it in one form takes it out of the other.

Source: OpenZFS, zpl_xattr.c (``zpl_xattr_set_sa``, ``zpl_xattr_set_dir``), zfs_sa.c.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterable

from ..errors import ExistsError, FileLimitError, NoAttributeError, UsageError
from ..ondisk import nvlist
from ..ondisk.nvlist import NVList, NvType
from ..ondisk.zilrecord import TxType
from ..ondisk.zplconst import PFlags
from . import directory, filewrite, xattr
from .attributes import NewFile
from .writable import MutableFilesystem
from .znode import Znode

#: Source: sys/zfs_sa.h (DXATTR_MAX_ENTRY_SIZE, DXATTR_MAX_SA_SIZE); an attribute's length has 16 bits.
ENTRY_MAX = 32768
PACKED_MAX = 65535
NAME_MAX = 255
#: Mode of the hidden directory. Source: zfs_dir.c (``zfs_make_xattrdir``).
HIDDEN_MODE = stat.S_IFDIR | stat.S_ISVTX | 0o777
FILE_MODE = stat.S_IFREG | 0o644


def set_xattr(
    fs: MutableFilesystem, znode: Znode, name: str, value: bytes, *, packed: bool = True, create: bool = False,
    replace: bool = False,
) -> Znode:  # fmt: skip
    """Set an extended attribute. Gives the file as it is then.

    Args:
        name: with its namespace (``user.`` ...).
        packed: property xattr is ``sa``: into the system attribute where it fits.
        create: it must not be there yet. replace: it must be there.

    Raises:
        ExistsError, NoAttributeError; FileLimitError: name or value too long. UsageError: no namespace.
    """
    _check(name, value)
    with fs.transaction():
        znode = fs.znode(znode.object)
        there = name in xattr.names(znode)
        if create and there:
            raise ExistsError(f"there is an extended attribute {name} already", object=znode.object)
        if replace and not there:
            raise NoAttributeError(f"no extended attribute {name}", object=znode.object)
        if packed and len(value) <= ENTRY_MAX:
            before = xattr.packed(znode)
            stored = {k: v for k, v in before.items() if xattr.linux_name(k) != name}
            stored[name] = value
            data = pack(stored)
            if len(data) <= PACKED_MAX:
                _tell_removed(fs, znode, before.keys() - stored.keys())
                fs.log.note_xattr(znode.object, directory.raw(name), value)
                znode = fs.change(znode, {"ZPL_DXATTR": data, "ZPL_CTIME": fs.clock()})
                _remove_file(fs, znode, name)
                return fs.znode(znode.object)
        znode = _unpack(fs, znode, name)
        _set_file(fs, znode, name, value)
        return fs.change(fs.znode(znode.object), {"ZPL_CTIME": fs.clock()})


def remove_xattr(fs: MutableFilesystem, znode: Znode, name: str) -> Znode:
    """Remove an extended attribute. Gives the file as it is then.

    Raises:
        NotFoundError: there is none of that name.
    """
    with fs.transaction():
        znode = fs.znode(znode.object)
        if name not in xattr.names(znode):
            raise NoAttributeError(f"no extended attribute {name}", object=znode.object)
        znode = _unpack(fs, znode, name)
        _remove_file(fs, znode, name)
        return fs.change(fs.znode(znode.object), {"ZPL_CTIME": fs.clock()})


def _check(name: str, value: bytes) -> None:
    if not name.startswith((*xattr.NAMESPACES, xattr.FOREIGN_PREFIX)):
        raise UsageError(f"an extended attribute has a namespace, {name!r} has none", "call it user.NAME")
    if len(directory.raw(name)) > NAME_MAX:
        shown = directory.printable(name[:80])
        raise FileLimitError("the name of an extended attribute is too long", errno.ERANGE, name=shown)
    if len(value) > xattr.MAX_VALUE:
        shown = directory.printable(name)
        raise FileLimitError("an extended attribute is too long", errno.E2BIG, name=shown, bytes=len(value))


def pack(stored: dict[str, bytes]) -> bytes:
    packed = NVList()
    for name, value in stored.items():
        packed.add(name, value, NvType.BYTE_ARRAY)
    return nvlist.encode(packed)


def _unpack(fs: MutableFilesystem, znode: Znode, name: str) -> Znode:
    """Take a name out of the packed form, if it is there."""
    before = xattr.packed(znode)
    stored = {k: v for k, v in before.items() if xattr.linux_name(k) != name}
    if len(stored) == len(before):
        return znode
    _tell_removed(fs, znode, before.keys() - stored.keys())
    return fs.change(znode, {"ZPL_DXATTR": pack(stored) if stored else None})


def _tell_removed(fs: MutableFilesystem, znode: Znode, names: Iterable[str]) -> None:
    for name in sorted(names):
        fs.log.note_xattr(znode.object, directory.raw(name), None)


def _hidden(fs: MutableFilesystem, znode: Znode) -> Znode:
    """The hidden directory, made if need be."""
    if znode.xattr_object:
        return fs.znode(znode.xattr_object)
    now = fs.clock()
    new = _new(fs, znode, HIDDEN_MODE, znode.object, now)
    dn = fs.allocate(new)
    fs.note_made(znode.object, b"", dn, new, TxType.MKXATTR)
    fs.change(znode, {"ZPL_XATTR": dn.number})
    return fs.znode(dn.number)


def _new(fs: MutableFilesystem, owner: Znode, mode: int, parent: int, now: int) -> NewFile:
    return NewFile(
        mode=mode,
        uid=owner.uid,
        gid=owner.gid,
        parent=parent,
        gen=fs.tx.txg,
        now_ns=now,
        flags=PFlags.XATTR,
        projid=fs.new_projid,
    )


def _set_file(fs: MutableFilesystem, znode: Znode, name: str, value: bytes) -> None:
    hidden = _hidden(fs, znode)
    raw = directory.raw(name)
    number = fs.find(hidden, raw)
    if number is None:
        file = fs.make(hidden, raw, _new(fs, znode, FILE_MODE, hidden.object, fs.clock()))
    else:
        file = filewrite.truncate(fs, fs.znode(number), 0)
    filewrite.write(fs, file, 0, value)


def _remove_file(fs: MutableFilesystem, znode: Znode, name: str) -> None:
    if znode.xattr_object:
        hidden = fs.znode(znode.xattr_object)
        if fs.find(hidden, directory.raw(name)) is not None:
            fs.unlink(hidden, directory.raw(name))
