"""Owners from other domains: the table of domains of a file system, to which domains can be added.

Source: OpenZFS, zfs_fuid.c (``zfs_fuid_sync``).
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from ..dmu.mutablezap import MutableZap
from ..errors import LimitError
from ..ondisk.dmutypes import ObjectType
from ..ondisk.fuid import MAX_DOMAINS, decode_table, encode_table
from ..ondisk.zplconst import MASTER_NODE_OBJECT

if TYPE_CHECKING:
    from .writable import MutableFilesystem

#: Name of the table in the master node, and the size of its blocks. Source: zfs_fuid.h, zfs_fuid.c.
TABLE = "FUID"
BLOCK = 16 << 10


def domain_index(fs: MutableFilesystem, domain: str) -> int:
    """The index of a domain, which becomes part of the table if it is not (in a transaction).

    Raises:
        LimitError: the table is full.
    """
    master = MutableZap(fs.mutable(MASTER_NODE_OBJECT))
    number = master.get_int(TABLE, 0)
    if number:
        dn = fs.mutable(number)
        (size,) = struct.unpack("<Q", dn.bonus[:8])
        domains = decode_table(dn.read(0, size)) if size else {}
    else:
        dn = fs.objset.allocate(ObjectType.FUID, block_size=BLOCK, bonus_type=ObjectType.FUID_SIZE, bonus=bytes(8))
        master.update(TABLE, dn.number)
        fs.master[TABLE] = dn.number
        fs.tx.note(partial(fs.master.__delitem__, TABLE))
        domains = {}
    for index, known in domains.items():
        if known == domain:
            return index
    if len(domains) >= MAX_DOMAINS:
        raise LimitError("a file system has no room for another domain of owners", dataset=fs.name)
    index = max(domains, default=0) + 1
    packed = encode_table({**domains, index: domain})
    dn.write(0, packed)
    dn.set_bonus(struct.pack("<Q", len(packed)))
    fs.__dict__.pop("domains", None)
    return index
