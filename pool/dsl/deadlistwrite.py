"""Adding to a deadlist: blocks that the newest snapshot has and the head has no longer.

A deadlist is a ZAP from a txg to a list of the blocks that were born after that txg (and not after the next one's).
Empty lists may all be one shared object, which takes nothing: it is replaced by a list of its own first.

Source: OpenZFS, dsl_deadlist.c (``dsl_deadlist_insert``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..dmu.bpobjwrite import MutableBpobj, create_bpobj
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap
from ..errors import CorruptError, UnsupportedError
from ..ondisk import dsl as ondisk_dsl
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import ObjectType
from .featurerefs import FeatureCounts
from .mosobj import is_zap

OBJECT_DIRECTORY = 1
EMPTY_BPOBJ = "empty_bpobj"


class DeadlistWriter:
    """A deadlist of the newer format, to be added to.

    Args:
        mos: the MOS. number: of the deadlist's object. features: of the pool.

    Raises:
        UnsupportedError: it has the older format.
    """

    def __init__(self, mos: MutableObjset, number: int, features: FeatureCounts) -> None:
        self._mos = mos
        self._features = features
        dn = mos.dnode(number)
        if dn.bonustype != ObjectType.DEADLIST_HDR:
            raise UnsupportedError("a deadlist of pools before version 26 cannot be changed", object=number)
        self._dn = dn
        self._zap = MutableZap(dn)

    def insert(self, bps: BpArray) -> None:
        """Add dead blocks.

        Raises:
            CorruptError: a block is older than any list is for.
        """
        keys = np.array(sorted(int(entry.name, 16) for entry in self._zap.items()), dtype=np.uint64)
        # Key m holds what was born after m.
        place = np.searchsorted(keys, bps["birth"], side="left") - 1
        if not len(keys) or (place < 0).any():
            raise CorruptError("a deadlist has no list for so old a block", object=self._dn.number)
        total = [0, 0, 0]
        for index in np.unique(place).tolist():
            sums = self._list(int(keys[index])).append(bps[place == index])
            total = [a + b for a, b in zip(total, (sums.used, sums.comp, sums.uncomp))]
        phys = ondisk_dsl.decode_deadlist(self._dn.bonus, "<")
        phys = replace(phys, used=phys.used + total[0], comp=phys.comp + total[1], uncomp=phys.uncomp + total[2])
        self._dn.set_bonus(ondisk_dsl.encode_deadlist(phys))

    def _list(self, key: int) -> MutableBpobj:
        name = f"{key:x}"
        number = self._zap.get_int(name)
        if number == MutableZap(self._mos.dnode(OBJECT_DIRECTORY)).get_int(EMPTY_BPOBJ, 0):
            # Others refer to the shared empty list, too.
            made = create_bpobj(self._mos)
            self._zap.update(name, made.number)
            leave_empty(self._mos, self._features)
            return made
        return MutableBpobj(self._mos, number)


def free_deadlist(mos: MutableObjset, number: int, features: FeatureCounts) -> None:
    """Free a deadlist or a livelist with all its lists, but not the blocks they name.

    Source: OpenZFS, dsl_deadlist.c (``dsl_deadlist_free``).
    """
    shared = MutableZap(mos.dnode(OBJECT_DIRECTORY)).get_int(EMPTY_BPOBJ, 0)
    for entry in list(MutableZap(mos.dnode(number)).items()):
        if entry.value == shared:
            leave_empty(mos, features)
        else:
            MutableBpobj(mos, entry.value).free()
    mos.free(number)


def drop_livelist(mos: MutableObjset, dir_obj: int, features: FeatureCounts) -> None:
    """Let a clone no longer list its own blocks, if it does.

    The list only makes destroying the clone quick, and OpenZFS gives it up itself when a clone has become too unlike
    its origin, or has a snapshot; it must be complete or not be there. Blocks are not added to it here.

    Args:
        dir_obj: of the clone's directory.

    Source: OpenZFS, dsl_dir.c (``dsl_dir_remove_livelist``).
    """
    if not is_zap(mos.dnode(dir_obj)):
        return  # nothing was ever added to the directory's fixed fields
    fields = MutableZap(mos.dnode(dir_obj))
    number = fields.get_int(ondisk_dsl.DIR_LIVELIST, 0)
    if number:
        fields.remove(ondisk_dsl.DIR_LIVELIST)
        free_deadlist(mos, number, features)
        features.add("livelist", -1)


def leave_empty(mos: MutableObjset, features: FeatureCounts) -> None:
    """One user less of the shared empty list; with its last one it goes.

    Source: OpenZFS, bpobj.c (``bpobj_decr_empty``).
    """
    features.add(EMPTY_BPOBJ, -1)
    if not features.count(EMPTY_BPOBJ):
        directory = MutableZap(mos.dnode(OBJECT_DIRECTORY))
        number = directory.get_int(EMPTY_BPOBJ)
        directory.remove(EMPTY_BPOBJ)
        mos.free(number)
