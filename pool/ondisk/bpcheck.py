"""What a block pointer must satisfy because of the place it was found in: level, logical size, births.

The rules that hold for every pointer (known ids, sizes within bounds, addresses on existing vdevs) are looked after
where blocks are read. Together they keep a damaged or forged tree from being taken for another one.

Source: OpenZFS, zio.c (``zfs_blkptr_verify``), dbuf.c; spa.h.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import blkptr
from .blkptr import BpArray
from .dmutypes import VALID

#: Txg of the first blocks of a pool.
FIRST_TXG = 4

_LEVEL_SHIFT, _LEVEL_MASK = np.uint64(56), np.uint64(31)
_TYPE_SHIFT, _TYPE_MASK = np.uint64(48), np.uint64(255)

#: What each code of ``problems`` means; 0 is fine.
TEXT = (
    "fine",
    "its object type does not exist",
    "its level is not that of the place it stands in",
    "its logical size is not that of the place it stands in",
    "only data blocks can be embedded",
    "it was born before the pool's first txg",
    "it was born after the block that points to it",
    "it leads to where another pointer leads",
)
#: The last of them: found by ``repeated``, not by ``problems``.
REPEATED = len(TEXT) - 1


def repeated(bps: BpArray) -> NDArray[np.bool_]:
    """Which pointers lead to a block that one before them leads to. Holes and embedded blocks never do.

    Blocks of pointers and of dnodes have one place each; data may be shared (deduplication, cloning).
    """
    result = np.zeros(bps.shape, dtype=bool)
    there = np.flatnonzero(~(blkptr.is_hole(bps) | blkptr.is_embedded(bps)))
    if len(there) > 1:
        addresses = np.ascontiguousarray(bps["dva"][there, 0]).view("V16")[:, 0]
        _, first = np.unique(addresses, return_index=True)
        result[there] = True
        result[there[first]] = False
    return result


def problems(bps: BpArray, *, level: Any = None, lsize: Any = None, max_birth: int | None = None) -> NDArray[np.uint8]:
    """Code of the first rule each pointer breaks (see ``TEXT``); 0 for sound ones and for holes.

    Args:
        bps: array (n,) of block pointers.
        level: the level they must have (one number, or one for each); None: any.
        lsize: the logical size in bytes they must have, likewise; 0 within an array: any. A redacted block has none.
        max_birth: the latest logical birth possible; None: any.
    """
    result = np.zeros(bps.shape, dtype=np.uint8)
    if bps.size == 0:
        return result
    prop, birth = bps["prop"], bps["birth"]
    its_level = prop >> _LEVEL_SHIFT & _LEVEL_MASK
    fine = np.zeros(bps.shape, dtype=bool)
    rules = [~VALID[prop >> _TYPE_SHIFT & _TYPE_MASK], fine, fine, fine, birth < FIRST_TXG, fine]
    if level is not None:
        rules[1] = its_level != np.asarray(level, dtype=np.int64).astype(np.uint64)
    if lsize is not None:
        expected = np.asarray(lsize, dtype=np.uint64)
        rules[2] = (blkptr.lsize(bps) != expected) & (expected != 0)
    embedded = blkptr.is_embedded(bps)
    if embedded.any():
        rules[2] = rules[2] & ~blkptr.is_redacted(bps)
        rules[3] = embedded & (its_level != 0)
    if max_birth is not None:
        rules[5] = birth > np.uint64(max_birth)
    wrong = np.logical_or.reduce(rules)
    if wrong.any():
        result[wrong] = 1 + np.argmax(np.stack(rules)[:, wrong], axis=0)
        result[blkptr.is_hole(bps)] = 0
    return result
