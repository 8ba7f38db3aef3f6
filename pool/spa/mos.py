"""Reading the meta object set: its directory, packed nvlists, arrays of numbers.

Object numbers and sizes come from the disk; what is found has to be of the kind that was meant.

Source: OpenZFS, spa.c, dsl_pool.c (the names in the object directory).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..dmu.dnode import Dnode
from ..dmu.objset import Objset
from ..dmu.zap import ZapEntry
from ..dsl.mosobj import entries, numbers, one_number
from ..errors import CorruptError, LimitError
from ..ondisk import nvlist
from ..ondisk.dmutypes import ObjectType
from ..ondisk.nvlist import NVList

OBJECT_DIRECTORY = 1
MAX_ENTRIES = 1 << 16  # in the object directory; each dedup table, log or removed vdev adds a few
MAX_WORDS = 1 << 25  # read at once: 256 MiB

CONFIG = "config"
SALT = "org.illumos:checksum_salt"
CHECKPOINT = "com.delphix:zpool_checkpoint"
REMOVING = "com.delphix:removing"
LOG_SPACEMAP_ZAP = "com.delphix:log_spacemap_zap"
FEATURES_FOR_READ = "features_for_read"
FEATURES_FOR_WRITE = "features_for_write"
FEATURE_DESCRIPTIONS = "feature_descriptions"

U64Array = NDArray[np.uint64]


class Directory(Mapping[str, ZapEntry]):
    """The object directory, read whole: the root of everything in the MOS."""

    def __init__(self, mos: Objset) -> None:
        """Read it.

        Raises:
            CorruptError: it is no ZAP. LimitError: it has absurdly many entries.
        """
        self._entries: dict[str, ZapEntry] = {}
        for name, entry in entries(mos, OBJECT_DIRECTORY, "the object directory"):
            self._entries[name] = entry
            if len(self._entries) > MAX_ENTRIES:
                raise LimitError("the object directory has too many entries", limit=MAX_ENTRIES)

    def __getitem__(self, name: str) -> ZapEntry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def number(self, name: str, default: int | None = None) -> int:
        """The number an entry holds, mostly of an object.

        Raises:
            CorruptError: no such entry and no default, or it holds something else.
        """
        entry = self._entries.get(name)
        if entry is None:
            if default is None:
                raise CorruptError(f"the object directory has no entry {name!r}", "import an earlier txg")
            return default
        return one_number(entry, f"{name!r} in the object directory")

    def words(self, name: str) -> tuple[int, ...]:
        """The numbers an entry holds; none if there is no such entry.

        Raises:
            CorruptError: they are no 64-bit numbers.
        """
        entry = self._entries.get(name)
        if entry is None:
            return ()
        if entry.integer_size != 8:
            raise CorruptError(f"{name!r} in the object directory holds no 64-bit numbers")
        return tuple(entry.values)

    def octets(self, name: str) -> bytes:
        """The bytes an entry holds; none if there is no such entry.

        Raises:
            CorruptError: they are no bytes.
        """
        entry = self._entries.get(name)
        if entry is None:
            return b""
        if entry.integer_size != 1:
            raise CorruptError(f"{name!r} in the object directory holds no bytes")
        return bytes(entry.values)


def refcounts(mos: Objset, directory: Directory, name: str) -> dict[str, int]:
    """A feature ZAP: guid -> reference count; empty if the pool has none."""
    number = directory.number(name, 0)
    return numbers(mos, number, name) if number else {}


def texts(mos: Objset, number: int, what: str) -> dict[str, str]:
    """A ZAP whose entries hold strings; entries of another kind are left out. Empty for object 0."""
    found = {}
    for name, entry in entries(mos, number, what):
        if entry.integer_size == 1:
            found[name] = bytes(entry.values).partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return found


def packed(mos: Objset, number: int, what: str) -> NVList:
    """A packed nvlist object.

    Raises:
        CorruptError, LimitError: it is none, or its size or its bytes cannot be right.
    """
    dnode = mos.dnode(number)
    if dnode.type != ObjectType.PACKED_NVLIST or len(dnode.bonus) < 8:
        raise CorruptError(f"object {number} of the MOS is not a packed nvlist ({what})", "import an earlier txg")
    (size,) = struct.unpack_from(dnode.order + "Q", dnode.bonus)
    if size > min(dnode.size, nvlist.MAX_BYTES):
        raise LimitError(f"{what} claims to be larger than its object", object=number, size=size)
    return nvlist.decode(dnode.read(0, size))


def words(dnode: Dnode, count: int, first: int = 0) -> U64Array:
    """Numbers ``first`` .. ``first + count - 1`` of an array object, whatever byte order its blocks have.

    Raises:
        LimitError: the object does not hold so many.
    """
    if count > MAX_WORDS or (first + count) * 8 > dnode.size:
        raise LimitError("an array object is shorter than it must be", object=dnode.number, words=first + count)
    if count <= 0:
        return np.zeros(0, np.uint64)
    per_block = dnode.datablksz // 8
    start, stop = first // per_block, (first + count - 1) // per_block + 1
    parts = [
        np.frombuffer(data, dtype=order + "u8", count=per_block).astype(np.uint64)
        for data, order in dnode.blocks(range(start, stop))
    ]
    skip = first - start * per_block
    return np.concatenate(parts)[skip : skip + count]
