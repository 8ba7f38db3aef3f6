"""The header of a list of block pointers (bpobj), kept in the bonus of its object.

The object's data is an array of block pointers; ``subobjs`` names an object whose data is an array of further bpobjs'
object numbers. The sums include theirs. Three lengths: without the compressed and uncompressed sums, without
sub-lists, and with a count of entries that are known to be freed again (lists of live blocks only).

In lists of live blocks bit 0 of a pointer's fill word says that the record is a FREE, whose sizes count negative.

Source: OpenZFS, bpobj.h (``bpobj_phys_t``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from ..errors import CorruptError, LimitError

SIZE_V0 = 16
SIZE_V1 = 32
SIZE_V2 = 48
SIZE_V3 = 56
FIELDS = {SIZE_V0: 2, SIZE_V1: 4, SIZE_V2: 6, SIZE_V3: 7}
assert all(struct.calcsize(f"<{count}Q") == size for size, count in FIELDS.items())

#: More than any pool's blocks freed at a time.
MAX_POINTERS = 1 << 40
MAX_SUBLISTS = 1 << 30


@dataclass(frozen=True, slots=True)
class BpobjHeader:
    """Bonus of a bpobj. ``bytes``, ``comp`` and ``uncomp`` are sums over all block pointers, in bytes.

    What a shorter header lacks is 0; ``has_sums`` tells whether ``comp`` and ``uncomp`` are there.
    """

    num_blkptrs: int  # 0
    bytes: int  # 8   as charged to datasets
    comp: int = 0  # 16
    uncomp: int = 0  # 24
    subobjs: int = 0  # 32  object with the numbers of further lists; 0: none
    num_subobjs: int = 0  # 40
    num_freed: int = 0  # 48
    has_sums: bool = field(default=True, kw_only=True)


def decode(bonus: bytes, order: str = "<") -> BpobjHeader:
    """Decode the bonus of a bpobj.

    Raises:
        CorruptError: too short. LimitError: impossible counts.
    """
    size = max((size for size in FIELDS if size <= len(bonus)), default=0)
    if not size:
        raise CorruptError("the header of a block pointer list ends too early", length=len(bonus))
    words = struct.unpack(f"{order}{FIELDS[SIZE_V3]}Q", bonus[:size].ljust(SIZE_V3, b"\0"))
    header = BpobjHeader(*words, has_sums=size >= SIZE_V1)
    if header.num_blkptrs > MAX_POINTERS or header.num_subobjs > MAX_SUBLISTS:
        raise LimitError(
            "a block pointer list claims to be longer than any gets",
            pointers=header.num_blkptrs,
            sublists=header.num_subobjs,
        )
    return header


def encode(header: BpobjHeader, size: int = SIZE_V3, order: str = "<") -> bytes:
    """The bonus, ``size`` bytes long (one of the SIZE constants)."""
    sums = (header.num_blkptrs, header.bytes, header.comp, header.uncomp)
    values = (*sums, header.subobjs, header.num_subobjs, header.num_freed)
    return struct.pack(f"{order}{FIELDS[size]}Q", *values[: FIELDS[size]])
