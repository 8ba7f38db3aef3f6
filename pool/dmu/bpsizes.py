"""What block pointers add up to: the three sizes that datasets, directories and lists of blocks are charged with.

Source: OpenZFS, dsl_dataset.c (``dsl_dataset_block_born``), bpobj.c (``bpobj_enqueue``), blkptr.c
(``BP_GET_UCSIZE``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray, U64Array
from ..ondisk.dmutypes import METADATA

#: What blocks are charged: bytes, one number for each pointer.
Dsize = Callable[[BpArray], U64Array]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sums over blocks, in bytes: *used* as charged (allocated, parity overhead evened out), *comp* as stored,
    *uncomp* as long as they are. Negative for what went.
    """

    used: int = 0
    comp: int = 0
    uncomp: int = 0

    def __add__(self, other: Sizes) -> Sizes:
        return Sizes(self.used + other.used, self.comp + other.comp, self.uncomp + other.uncomp)

    def __sub__(self, other: Sizes) -> Sizes:
        return self + -other

    def __neg__(self) -> Sizes:
        return Sizes(-self.used, -self.comp, -self.uncomp)

    def __bool__(self) -> bool:
        return bool(self.used or self.comp or self.uncomp)


def allocated_size(bps: BpArray) -> U64Array:
    """Sum of the allocated sizes of all copies; 0 for embedded blocks. Exact where no raidz or draid takes part."""
    total: U64Array = blkptr.dva_asize(bps).sum(axis=-1, dtype=np.uint64)
    return np.where(blkptr.is_embedded(bps), np.uint64(0), total)


def sizes_of(bps: BpArray, dsize: Dsize = allocated_size, freed: NDArray[np.bool_] | None = None) -> Sizes:
    """The three sizes of blocks; holes have none.

    Metadata counts as long as it is stored. An embedded block takes no space and is not stored, but has a length.

    Args:
        bps: their pointers. dsize: gives the charged size of each.
        freed: those whose sizes count negative (FREE records in lists of live blocks).
    """
    if not len(bps):
        return Sizes()
    metadata = (blkptr.level(bps) > 0) | METADATA[blkptr.object_type(bps).astype(np.intp)]
    stored = np.where(blkptr.is_embedded(bps), np.uint64(0), blkptr.psize(bps))
    sign = np.where(blkptr.is_hole(bps), 0, 1)
    if freed is not None:
        sign[freed] *= -1
    parts = (dsize(bps), stored, np.where(metadata, stored, blkptr.lsize(bps)))
    return Sizes(*(int((part.astype(np.int64) * sign).sum()) for part in parts))
