"""Who owns how much: the tables of space and objects by user, group and project, kept with every txg.

A file is charged the space of its blocks and 512 bytes for its dnode to its owner, group and project. For each file
that changed, what it was charged before is taken away and what it is charged now is added.

Source: OpenZFS, dmu_objset.c (``dmu_objset_do_userquota_updates``), zfs_quota.c.
"""

from __future__ import annotations

import struct
from collections import defaultdict

from ..dmu.mutable import Closed
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, format_zap
from ..ondisk import sa
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import (
    FLAG_USEROBJUSED_ACCOUNTED,
    FLAG_USERUSED_ACCOUNTED,
    SLOT_SIZE,
    DnodePhys,
)
from ..ondisk.objset import GROUPUSED, PROJECTUSED, USERUSED
from ..ondisk.zplconst import PFlags
from .create import FLAG_PROJECTQUOTA, FLAG_USERACCOUNTING, FLAG_USEROBJACCOUNTING

#: Where the attributes that count stand behind the header. Source: zfs_sa.h (``SA_*_OFFSET``).
UID_AT, FLAGS_AT, PROJID_AT = 24, 48, 128
OBJECTS = "obj-"
#: User, group and project.
Owners = tuple[int, int, int]


class Accounting:
    """Keeps the tables of one file system's object set.

    Args:
        objset: whose changes are counted from now on.
    """

    def __init__(self, objset: MutableObjset) -> None:
        self.objset = objset
        self._before: dict[int, DnodePhys | None] = {}
        objset.before_trees = self._remember  # type: ignore[method-assign]
        objset.before_dnodes = self._update

    @property
    def _enabled(self) -> int:
        return self.objset.flags & (FLAG_USERACCOUNTING | FLAG_USEROBJACCOUNTING | FLAG_PROJECTQUOTA)

    def _remember(self, objects: list[Closed]) -> None:
        """Keep what is on disk of the objects that are about to be written."""
        self._before = {one.dn.number: None if one.fresh else one.dn.phys for one in objects}

    def _update(self, objset: MutableObjset, objects: list[Closed]) -> None:
        if not self._enabled & FLAG_USERACCOUNTING:
            return
        count_objects = bool(self._enabled & FLAG_USEROBJACCOUNTING)
        mark = FLAG_USERUSED_ACCOUNTED | (FLAG_USEROBJUSED_ACCOUNTED if count_objects else 0)
        space: defaultdict[Owners, int] = defaultdict(int)
        number: defaultdict[Owners, int] = defaultdict(int)
        for one in objects:
            dn = one.dn
            before = self._before.get(dn.number)
            if before is not None and before.flags & FLAG_USERUSED_ACCOUNTED:
                owners = owners_of(before)
                if owners is not None:
                    space[owners] -= SLOT_SIZE + before.used_bytes
                    number[owners] -= bool(before.flags & FLAG_USEROBJUSED_ACCOUNTED)
            if not one.gone:
                dn.phys.flags |= mark
                owners = owners_of(dn.phys)
                if owners is not None:
                    space[owners] += SLOT_SIZE + dn.phys.used_bytes
                    number[owners] += count_objects
        self._before = {}
        for index, table in enumerate((USERUSED, GROUPUSED, PROJECTUSED)):
            if table == PROJECTUSED and not self._enabled & FLAG_PROJECTQUOTA:
                continue
            changes: defaultdict[str, int] = defaultdict(int)
            for owners, used in space.items():
                changes[f"{owners[index]:x}"] += used
                changes[f"{OBJECTS}{owners[index]:x}"] += number[owners]
            self._apply(table, changes)

    def _apply(self, number: int, changes: dict[str, int]) -> None:
        changes = {key: change for key, change in changes.items() if change}
        if not changes:
            return
        if number not in self.objset.special:
            dn = self.objset.create_special(number, ObjectType.USERGROUP_USED)
            format_zap(dn, self.objset.random_bytes)
        zap = MutableZap(self.objset.special[number])
        for key, change in changes.items():
            zap.increment(key, change)


def owners_of(phys: DnodePhys) -> Owners | None:
    """User, group and project that an object is charged to; None: nobody."""
    if phys.bonustype != ObjectType.SA or len(phys.bonus) < 8:
        return None
    header = sa.decode_header(phys.bonus)
    base = header.size
    if len(phys.bonus) < base + FLAGS_AT + 8:
        return None
    uid, gid = struct.unpack_from(header.order + "2Q", phys.bonus, base + UID_AT)
    (flags,) = struct.unpack_from(header.order + "Q", phys.bonus, base + FLAGS_AT)
    project = 0
    if flags & PFlags.PROJID and len(phys.bonus) >= base + PROJID_AT + 8:
        (project,) = struct.unpack_from(header.order + "Q", phys.bonus, base + PROJID_AT)
    return uid, gid, project
