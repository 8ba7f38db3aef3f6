"""Access control lists of files.

NFSv4 entries are in the attributes ZPL_DACL_COUNT and ZPL_DACL_ACES, or, in files of older versions, in the znode and,
when there are many, in an object of their own. (POSIX ACLs are extended attributes and need nothing of this.)

Source: OpenZFS, zfs_acl.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CorruptError, LimitError
from ..ondisk import acl as ondisk
from ..ondisk import znode as legacy
from ..ondisk.acl import Ace
from ..ondisk.zplconst import PFlags

if TYPE_CHECKING:
    from .znode import Znode

VERSION_OLD = 0
VERSION_FUID = 1


@dataclass(frozen=True, slots=True)
class Acl:
    """A list of entries in order. ``trivial``: it says no more than the mode does."""

    aces: tuple[Ace, ...]
    trivial: bool

    def text(self) -> list[str]:
        """The entries in compact form."""
        return [ondisk.ace_text(ace) for ace in self.aces]


def read(znode: Znode) -> Acl:
    """The ACL of a file.

    Raises:
        CorruptError, LimitError: damaged entries.
    """
    trivial = bool(znode.flags & PFlags.ACL_TRIVIAL)
    found = znode.attribute("ZPL_DACL_ACES")
    if found is not None:
        raw, order = found
        count = znode.attribute("ZPL_DACL_COUNT")
        number = struct.unpack(count[1] + "Q", count[0])[0] if count is not None and len(count[0]) == 8 else None
        return Acl(tuple(ondisk.decode_aces(raw, order, number)), trivial)
    inline = znode.attribute("ZPL_ZNODE_ACL")
    if inline is None:
        return Acl((), trivial)
    return Acl(_legacy(znode, *inline), trivial)


def _legacy(znode: Znode, raw: bytes, order: str) -> tuple[Ace, ...]:
    phys = legacy.decode_acl(raw, order)
    old = phys.version == VERSION_OLD
    if phys.version > VERSION_FUID:
        raise CorruptError("an ACL of an unknown version", object=znode.object, version=phys.version)
    size = 12 * phys.size if old else phys.size
    if size > ondisk.MAX_ACL_BYTES:
        raise LimitError("an ACL is too long", object=znode.object, bytes=size)
    aces = phys.aces
    if phys.external:
        holder = znode.fs.objset.dnode(phys.external)
        aces, order = holder.read(0, size), holder.order
    if len(aces) < size:
        raise CorruptError("an ACL is cut off", object=znode.object, bytes=size)
    if old:
        return tuple(ondisk.decode_old_aces(aces, order, phys.size))
    return tuple(ondisk.decode_aces(aces[:size], order, phys.count))
