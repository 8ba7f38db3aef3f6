"""What the MOS stores about datasets: directories, datasets, deadlists, bookmarks, key objects.

A dataset directory and a dataset live in the bonus buffer of their dnode, a deadlist's totals too; a bookmark is the
value of a ZAP entry, a key object is a ZAP. Every integer has the byte order of the block its dnode came from, except
ZAP values, which the ZAP layer has already turned into numbers.

Source: OpenZFS, dsl_dir.h, dsl_dataset.h, dsl_deadlist.h, dsl_bookmark.h, dsl_crypt.h.

Invariants: ``decode_x(encode_x(p, order), order) == p``; a decoded structure holds Python numbers only, and decoding
looks at nothing but the size of the buffer (what the numbers may be is for the reader of the objects to judge).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import IntFlag
from typing import Any

import numpy as np

from ..errors import CorruptError
from .blkptr import BLKPTR_SIZE, BpArray, from_bytes

DIR_SIZE = 256
DATASET_SIZE = 320
DEADLIST_SIZE = 320
REDACTION_LIST_MIN = 32
BOOKMARK_WORDS_V1 = 3
BOOKMARK_WORDS_V2 = 12
#: A redaction list names its snapshots in a bonus buffer or a spill block: never more of them than fit.
REDACTION_SNAPSHOTS_MAX = (128 << 10) // 8

DSL_DIR = np.dtype(
    [
        ("creation_time", "<u8"),  # 0    seconds since 1970
        ("head_dataset_obj", "<u8"),  # 8    0: a special directory without a dataset
        ("parent_obj", "<u8"),  # 16   0: the pool's root
        (
            "origin_obj",
            "<u8",
        ),  # 24   snapshot it was cloned from; pools from version 11 on: never 0 for ordinary ones
        ("child_dir_zapobj", "<u8"),  # 32   name -> directory
        ("used_bytes", "<u8"),  # 40
        ("compressed_bytes", "<u8"),  # 48
        ("uncompressed_bytes", "<u8"),  # 56
        ("quota", "<u8"),  # 64   bytes; 0 none
        ("reserved", "<u8"),  # 72   bytes; 0 none
        ("props_zapobj", "<u8"),  # 80
        ("deleg_zapobj", "<u8"),  # 88   0: nothing delegated
        ("flags", "<u8"),  # 96   DirFlags
        (
            "used_breakdown",
            "<u8",
            (5,),
        ),  # 104  head, snapshots, children, children's reservations, refreservation
        ("clones", "<u8"),  # 144  ZAP of head datasets cloned from snapshots of this directory, or 0
        ("pad", "<u8", (13,)),  # 152
    ]
)
assert DSL_DIR.itemsize == DIR_SIZE
assert (
    DSL_DIR.fields is not None
    and DSL_DIR.fields["used_breakdown"][1] == 104
    and DSL_DIR.fields["pad"][1] == 152
)

DSL_DATASET = np.dtype(
    [
        ("dir_obj", "<u8"),  # 0
        ("prev_snap_obj", "<u8"),  # 8
        ("prev_snap_txg", "<u8"),  # 16
        ("next_snap_obj", "<u8"),  # 24   0: a head
        ("snapnames_zapobj", "<u8"),  # 32   head: name -> snapshot; snapshot: 0
        ("num_children", "<u8"),  # 40   snapshot: 1 + clones; head: 0
        ("creation_time", "<u8"),  # 48
        ("creation_txg", "<u8"),  # 56
        ("deadlist_obj", "<u8"),  # 64
        ("referenced_bytes", "<u8"),  # 72
        ("compressed_bytes", "<u8"),  # 80
        ("uncompressed_bytes", "<u8"),  # 88
        ("unique_bytes", "<u8"),  # 96
        ("fsid_guid", "<u8"),  # 104
        ("guid", "<u8"),  # 112
        ("flags", "<u8"),  # 120  DatasetFlags
        ("bp", "V128"),  # 128  the objset block
        ("next_clones_obj", "<u8"),  # 256  ZAP of clones' datasets that hang off this snapshot, or 0
        ("props_obj", "<u8"),  # 264  snapshot's own properties, or 0
        ("userrefs_obj", "<u8"),  # 272  holds: tag -> time, or 0
        ("pad", "<u8", (5,)),  # 280
    ]
)
assert DSL_DATASET.itemsize == DATASET_SIZE
assert DSL_DATASET.fields is not None and DSL_DATASET.fields["bp"][1] == 128
assert DSL_DATASET.fields["userrefs_obj"][1] == 272

DEADLIST_HEADER = np.dtype(
    [
        ("used", "<u8"),  # 0
        ("comp", "<u8"),  # 8
        ("uncomp", "<u8"),  # 16
        ("pad", "<u8", (37,)),  # 24
    ]
)
assert DEADLIST_HEADER.itemsize == DEADLIST_SIZE

REDACTION_LIST_HEADER = np.dtype(
    [
        ("last_object", "<u8"),  # 0   where an interrupted redaction stands; all ones: complete
        ("last_blkid", "<u8"),  # 8
        ("num_entries", "<u8"),  # 16
        ("num_snaps", "<u8"),  # 24  that many snapshot guids follow
    ]
)
assert REDACTION_LIST_HEADER.itemsize == REDACTION_LIST_MIN


class DirFlags(IntFlag):
    """``dd_flags``."""

    USED_BREAKDOWN = 1  # the five figures are kept (pool version 13 on)


class DatasetFlags(IntFlag):
    """``ds_flags``."""

    INCONSISTENT = 1  # being received or destroyed
    NOPROMOTE = 2
    UNIQUE_ACCURATE = 4  # unique_bytes is right (pool version 9 on)
    DEFER_DESTROY = 8
    CI_DATASET = 1 << 16  # names are compared without regard to case


class BookmarkFlags(IntFlag):
    """Flags of a bookmark of the long form."""

    HAS_FBN = 1  # the size figures are there
    SNAPSHOT_EXISTS = 2


# Positions in ``used_breakdown``.
USED_HEAD, USED_SNAP, USED_CHILD, USED_CHILD_RSRV, USED_REFRSRV = range(5)


@dataclass(frozen=True, slots=True)
class DirPhys:
    """A dataset directory as stored (``dsl_dir_phys``)."""

    creation_time: int = 0
    head_dataset_obj: int = 0
    parent_obj: int = 0
    origin_obj: int = 0
    child_dir_zapobj: int = 0
    used_bytes: int = 0
    compressed_bytes: int = 0
    uncompressed_bytes: int = 0
    quota: int = 0
    reserved: int = 0
    props_zapobj: int = 0
    deleg_zapobj: int = 0
    flags: int = 0
    used_breakdown: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    clones: int = 0


@dataclass(frozen=True, slots=True)
class DatasetPhys:
    """A head dataset or a snapshot as stored (``dsl_dataset_phys``). ``bp`` is the stored 128 bytes, little-endian."""

    dir_obj: int = 0
    prev_snap_obj: int = 0
    prev_snap_txg: int = 0
    next_snap_obj: int = 0
    snapnames_zapobj: int = 0
    num_children: int = 0
    creation_time: int = 0
    creation_txg: int = 0
    deadlist_obj: int = 0
    referenced_bytes: int = 0
    compressed_bytes: int = 0
    uncompressed_bytes: int = 0
    unique_bytes: int = 0
    fsid_guid: int = 0
    guid: int = 0
    flags: int = 0
    bp: bytes = field(default=bytes(BLKPTR_SIZE), repr=False)
    next_clones_obj: int = 0
    props_obj: int = 0
    userrefs_obj: int = 0

    @property
    def blkptr(self) -> BpArray:
        """The objset block's pointer, an array of one."""
        return from_bytes(self.bp, "<")


@dataclass(frozen=True, slots=True)
class DeadlistPhys:
    """Totals of a deadlist of the newer format, in bytes: allocated, compressed, uncompressed."""

    used: int = 0
    comp: int = 0
    uncomp: int = 0


@dataclass(frozen=True, slots=True)
class BookmarkPhys:
    """A bookmark (``zfs_bookmark_phys``). The short form holds the first three figures only."""

    guid: int = 0
    creation_txg: int = 0
    creation_time: int = 0
    redaction_obj: int = 0
    flags: int = 0
    referenced_bytes: int = 0
    compressed_bytes: int = 0
    uncompressed_bytes: int = 0
    freed_referenced: int = 0  # freed before the next snapshot, valid with HAS_FBN
    freed_compressed: int = 0
    freed_uncompressed: int = 0
    ivset_guid: int = 0


@dataclass(frozen=True, slots=True)
class RedactionListPhys:
    """Header of a redaction list: how far it is complete, and the guids of the snapshots it was made for."""

    last_object: int = 0
    last_blkid: int = 0
    num_entries: int = 0
    snapshots: tuple[int, ...] = ()


# Names of the entries of a key object, and how many bytes the byte strings have.
KEY_SUITE = "DSL_CRYPTO_SUITE"
KEY_GUID = "DSL_CRYPTO_GUID"
KEY_ROOT = "DSL_CRYPTO_ROOT_DDOBJ"
KEY_REFCOUNT = "DSL_CRYPTO_REFCOUNT"
KEY_VERSION = "DSL_CRYPTO_VERSION"
KEY_IV = "DSL_CRYPTO_IV"
KEY_MAC = "DSL_CRYPTO_MAC"
KEY_MASTER = "DSL_CRYPTO_MASTER_KEY_1"
KEY_HMAC = "DSL_CRYPTO_HMAC_KEY_1"
KEY_FORMAT = "keyformat"
KEY_PBKDF2_SALT = "pbkdf2salt"
KEY_PBKDF2_ITERS = "pbkdf2iters"
KEY_BYTES = {KEY_IV: 12, KEY_MAC: 16, KEY_MASTER: 32, KEY_HMAC: 64}

# Names of the entries of a directory and of a dataset that have become ZAPs.
DIR_FILESYSTEM_COUNT = "com.joyent:filesystem_count"
DIR_SNAPSHOT_COUNT = "com.joyent:snapshot_count"
DIR_CRYPTO_KEY = "com.datto:crypto_key_obj"
DIR_LIVELIST = "com.delphix:livelist"
DIR_SNAPSHOTS_CHANGED = "com.ixsystems:snapshots_changed"
DATASET_BOOKMARKS = "com.delphix:bookmarks"
DATASET_REMAP_DEADLIST = "com.delphix:remap_deadlist"
DATASET_IVSET_GUID = "com.datto:ivset_guid"
DATASET_REDACTED = "com.delphix:redacted_datasets"
DATASET_RAW_RECEIVED = "org.openzfs:raw_received"
RESUME_FROMGUID = "com.delphix:resume_fromguid"
RESUME_TOGUID = "com.delphix:resume_toguid"
RESUME_TONAME = "com.delphix:resume_toname"
RESUME_OBJECT = "com.delphix:resume_object"
RESUME_OFFSET = "com.delphix:resume_offset"
RESUME_BYTES = "com.delphix:resume_bytes"
RESUME_LARGEBLOCK = "com.delphix:resume_largeblockok"
RESUME_EMBED = "com.delphix:resume_embedok"
RESUME_COMPRESS = "com.delphix:resume_compressok"
RESUME_RAW = "com.datto:resume_rawok"
RESUME_REDACT_BOOKMARK = "com.delphix:resume_redact_book_snaps"


def _one(layout: np.dtype[Any], buffer: Any, order: str, what: str) -> dict[str, Any]:
    """One structure's fields by name, as Python values; ``pad`` is left out."""
    if len(buffer) < layout.itemsize:
        raise CorruptError(
            f"{what} of {len(buffer)} bytes where {layout.itemsize} are needed",
            "the object is not what it claims to be",
        )
    # Every structure here is a row of 64-bit words, block pointers included.
    words = np.frombuffer(buffer, dtype=order + "u8", count=layout.itemsize // 8)
    record = words.astype("<u8").view(layout)[0]
    return {name: record[name].tolist() for name in layout.names or () if name != "pad"}


def _pack(layout: np.dtype[Any], values: dict[str, Any], order: str) -> bytes:
    record = np.zeros(1, dtype=layout)
    for name, value in values.items():
        record[name] = value
    return record.view("<u8").astype(order + "u8").tobytes()


def _values(phys: Any) -> dict[str, Any]:
    return {item.name: getattr(phys, item.name) for item in fields(phys)}


def decode_dir(buffer: Any, order: str) -> DirPhys:
    """A dataset directory from its bonus buffer.

    Raises:
        CorruptError: the buffer is too short.
    """
    values = _one(DSL_DIR, buffer, order, "dataset directory")
    values["used_breakdown"] = tuple(values["used_breakdown"])
    return DirPhys(**values)


def encode_dir(phys: DirPhys, order: str = "<") -> bytes:
    """The 256 bytes of a dataset directory."""
    return _pack(DSL_DIR, _values(phys), order)


def decode_dataset(buffer: Any, order: str) -> DatasetPhys:
    """A dataset from its bonus buffer.

    Raises:
        CorruptError: the buffer is too short.
    """
    return DatasetPhys(**_one(DSL_DATASET, buffer, order, "dataset"))


def encode_dataset(phys: DatasetPhys, order: str = "<") -> bytes:
    """The 320 bytes of a dataset."""
    values = _values(phys)
    values["bp"] = np.void(phys.bp)
    return _pack(DSL_DATASET, values, order)


def decode_deadlist(buffer: Any, order: str) -> DeadlistPhys:
    """Totals of a deadlist (newer format) from its bonus buffer.

    Raises:
        CorruptError: the buffer is too short.
    """
    return DeadlistPhys(**_one(DEADLIST_HEADER, buffer, order, "deadlist header"))


def encode_deadlist(phys: DeadlistPhys, order: str = "<") -> bytes:
    """The 320 bytes of a deadlist's bonus buffer."""
    return _pack(DEADLIST_HEADER, _values(phys), order)


def decode_bookmark(words: tuple[int, ...]) -> BookmarkPhys:
    """A bookmark from the numbers of its ZAP entry: three, or more in the long form (missing ones are 0).

    Raises:
        CorruptError: fewer than three numbers.
    """
    if len(words) < BOOKMARK_WORDS_V1:
        raise CorruptError(f"a bookmark of {len(words)} numbers where three are needed")
    return BookmarkPhys(*words[:BOOKMARK_WORDS_V2])


def encode_bookmark(phys: BookmarkPhys) -> tuple[int, ...]:
    """The numbers of a bookmark's ZAP entry, in the shortest form that holds them all."""
    words = tuple(_values(phys).values())
    long = phys.ivset_guid or phys.redaction_obj or phys.flags & BookmarkFlags.HAS_FBN
    return words if long else words[:BOOKMARK_WORDS_V1]


def decode_redaction_list(buffer: Any, order: str) -> RedactionListPhys:
    """Header of a redaction list from its bonus buffer (or spill block).

    Raises:
        CorruptError: the buffer is too short for the number of snapshots it names.
    """
    values = _one(REDACTION_LIST_HEADER, buffer, order, "redaction list header")
    count = values.pop("num_snaps")
    if count > REDACTION_SNAPSHOTS_MAX or len(buffer) < REDACTION_LIST_MIN + 8 * count:
        raise CorruptError(f"redaction list of {count} snapshots in {len(buffer)} bytes")
    guids = np.frombuffer(buffer, dtype=order + "u8", count=count, offset=REDACTION_LIST_MIN)
    return RedactionListPhys(**values, snapshots=tuple(guids.tolist()))
