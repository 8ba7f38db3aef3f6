"""Writing what the MOS holds besides datasets: packed nvlists, arrays of numbers.

Source: OpenZFS, spa.c (``spa_sync_nvlist``), spa_config.c.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from ..dmu.mutable import MutableDnode
from ..dmu.mutableobjset import MutableObjset
from ..ondisk import nvlist
from ..ondisk.dmutypes import ObjectType
from ..ondisk.nvlist import NVList

#: Block size of packed nvlists; their data is filled up to it with zeros. Source: spa.c (SPA_CONFIG_BLOCKSIZE).
PACKED_BLOCK = 16 << 10


def create_packed(mos: MutableObjset, content: NVList) -> int:
    """A new packed nvlist object; gives its number."""
    dn = mos.allocate(
        ObjectType.PACKED_NVLIST,
        block_size=PACKED_BLOCK,
        bonus_type=ObjectType.PACKED_NVLIST_SIZE,
        bonus=bytes(8),
    )
    write_packed(mos, dn.number, content)
    return dn.number


def write_packed(mos: MutableObjset, number: int, content: NVList) -> None:
    """Replace the content of a packed nvlist object."""
    dn = mos.dnode(number)
    packed = nvlist.encode(content)
    blocks = -(-len(packed) // dn.datablksz)
    dn.write(0, packed.ljust(blocks * dn.datablksz, b"\0"))
    if dn.maxblkid >= blocks:
        dn.free_range(blocks, dn.maxblkid + 1 - blocks)
    dn.set_bonus(struct.pack("<Q", len(packed)))


def write_words(dn: MutableDnode, first: int, values: NDArray[np.uint64]) -> None:
    """Put numbers into an array object, from index ``first`` on."""
    dn.write(first * 8, values.astype("<u8"))

