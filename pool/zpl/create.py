"""The content of a new file system: master node, tables of attributes, root directory.

Source: OpenZFS, zfs_znode.c (``zfs_create_fs``), zfs_sa.c.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping

from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import create_zap
from ..ondisk.dmutypes import ObjectType
from ..ondisk.zplconst import MASTER_NODE_OBJECT, ZPL_VERSION_SA
from .attributes import NewFile
from .sawrite import MutableSaTable

ROOT_MODE = stat.S_IFDIR | 0o755
TOUPPER = 2
#: Bits of os_flags. Source: dmu_objset.h.
FLAG_USERACCOUNTING = 1
FLAG_USEROBJACCOUNTING = 2
FLAG_PROJECTQUOTA = 4


def create_content(
    objset: MutableObjset,
    *,
    now_ns: int,
    uid: int = 0,
    gid: int = 0,
    mode: int = ROOT_MODE,
    properties: Mapping[str, int] | None = None,
) -> None:
    """Fill a new object set: an empty file system.

    Args:
        objset: with no objects, in a transaction.
        now_ns: times of the root directory. uid, gid, mode: its owner and permissions.
        properties: those fixed at creation, by name: ``normalization``, ``utf8only``, ``casesensitivity``.
    """
    fixed = {"normalization": 0, "utf8only": 0, "casesensitivity": 0, **(properties or {})}
    normflags = fixed["normalization"] | (TOUPPER if fixed["casesensitivity"] else 0)
    master = create_zap(objset, ObjectType.MASTER_NODE, objset.random_bytes, number=MASTER_NODE_OBJECT)
    attributes = create_zap(objset, ObjectType.SA_MASTER_NODE, objset.random_bytes)
    unlinked = create_zap(objset, ObjectType.UNLINKED_SET, objset.random_bytes)
    root = create_zap(
        objset,
        ObjectType.DIRECTORY_CONTENTS,
        objset.random_bytes,
        bonus_type=ObjectType.SA,
        normflags=normflags,
    )
    for name, value in fixed.items():
        master.add(name, value)
    master.add("VERSION", ZPL_VERSION_SA)
    master.add("SA_ATTRS", attributes.dnode.number)
    master.add("DELETE_QUEUE", unlinked.dnode.number)
    master.add("ROOT", root.dnode.number)
    new = NewFile(
        mode=mode,
        uid=uid,
        gid=gid,
        parent=root.dnode.number,
        gen=objset.tx.txg,
        now_ns=now_ns,
        projid=0 if objset.flags & FLAG_PROJECTQUOTA else None,
    )
    table = MutableSaTable(objset, attributes.dnode.number, objset.random_bytes)
    table.store(root.dnode, new.attributes())
