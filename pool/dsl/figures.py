"""Property values that are worked out, not looked up in the properties ZAPs.

``figure(dataset, name)`` gives a number, text, or None where the dataset has no such value. Some of them (quota,
reservation, encryption ...) are settings that are stored outside the properties ZAPs.

Source: OpenZFS, dsl_dataset.c and dsl_dir.c (``..._stats``), dsl_crypt.c, zvol.c, zfs_vfsops.c.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import CorruptError
from .accounting import available, ratio, used_breakdown, written
from .bookmark import Bookmark
from .crypto import KeyObject
from .dataset import DslDataset
from .proptable import ENCRYPTION_OFF

Figure = Callable[[DslDataset], "int | str | None"]

#: Master node entries a file system of an old version need not have; then they are 0.
ZPL_OPTIONAL = (
    "utf8only",
    "normalization",
    "casesensitivity",
    *(f"default{who}{what}quota" for who in ("user", "group", "project") for what in ("", "obj")),
)
KEYSTATUS_UNAVAILABLE, KEYSTATUS_AVAILABLE = 1, 2


def _used(dataset: DslDataset) -> int:
    return dataset.phys.unique_bytes if dataset.is_snapshot else dataset.dir.phys.used_bytes


def _compressratio(dataset: DslDataset) -> int:
    phys = dataset.phys if dataset.is_snapshot else dataset.dir.phys
    return ratio(phys.uncompressed_bytes, phys.compressed_bytes)


def setting(dataset: DslDataset, name: str) -> int:
    """A size that is stored in the head's own properties ZAP and never inherited; 0 where it is not set.

    Raises:
        CorruptError: it is not a number.
    """
    stored = dataset.dir.stored_properties
    received = 0 if f"{name}$inherit" in stored else stored.get(f"{name}$recvd", 0)
    value = stored.get(name, received)
    if not isinstance(value, int):
        raise CorruptError(f"property {name} of {dataset.name} is not a number")
    return value


def _available(dataset: DslDataset) -> int | None:
    space = dataset.pool.space
    if space is None:
        return None
    return available(dataset, space, setting(dataset, "refquota"), setting(dataset, "refreservation"))


def _part(pick: str) -> Figure:
    def figure(dataset: DslDataset) -> int | None:
        parts = used_breakdown(dataset.dir)
        return None if parts is None else int(getattr(parts, pick))

    return figure


def _origin(dataset: DslDataset) -> str | None:
    origin = dataset.dir.origin
    return None if origin is None else origin.name


def _prevsnap(dataset: DslDataset) -> str | None:
    previous = dataset.prev_snapshot
    return None if previous is None else previous.name


def _clones(dataset: DslDataset) -> str | None:
    return ",".join(clone.name for clone in dataset.clones()) or None


def _redacted(dataset: DslDataset) -> str | None:
    return _guids(dataset.redaction_snapshots)


def _guids(guids: tuple[int, ...] | None) -> str | None:
    return None if guids is None else ",".join(map(str, guids)) or "none"


def _resume_token(dataset: DslDataset) -> str | None:
    return None if dataset.resume is None else dataset.resume.token


def _snapshots_changed(position: int) -> Figure:
    return lambda dataset: dataset.dir.snapshots_changed[position]


def _of_key(pick: Callable[[KeyObject], int]) -> Figure:
    def figure(dataset: DslDataset) -> int | None:
        key = dataset.pool.keys.key_object(dataset.dir)
        return None if key is None else pick(key)

    return figure


def _encryption(dataset: DslDataset) -> int:
    key = dataset.pool.keys.key_object(dataset.dir)
    return ENCRYPTION_OFF if key is None else key.suite


def _encryptionroot(dataset: DslDataset) -> str | None:
    root = dataset.encryption_root
    return None if root is None else root.name


def _keystatus(dataset: DslDataset) -> int | None:
    if not dataset.encrypted:
        return None
    return KEYSTATUS_AVAILABLE if dataset.pool.keys.is_loaded(dataset.dir) else KEYSTATUS_UNAVAILABLE


def _zpl(name: str) -> Figure:
    """A setting a file system has from its creation."""

    def figure(dataset: DslDataset) -> int | None:
        if dataset.head_kind != "filesystem" or dataset.is_empty:
            return None
        return dataset.created_with.get(name, 0 if name in ZPL_OPTIONAL else None)

    return figure


def _volume(name: str) -> Figure:
    def figure(dataset: DslDataset) -> int | None:
        if dataset.head_kind != "volume" or dataset.is_empty:
            return None
        return dataset.created_with.get(name)

    return figure


#: Of heads and snapshots.
FIGURES: dict[str, Figure] = {
    "type": lambda ds: ds.kind,
    "name": lambda ds: ds.name,
    "creation": lambda ds: ds.phys.creation_time,
    "createtxg": lambda ds: ds.phys.creation_txg,
    "guid": lambda ds: ds.phys.guid,
    "objsetid": lambda ds: ds.obj,
    "used": _used,
    "referenced": lambda ds: ds.phys.referenced_bytes,
    "logicalreferenced": lambda ds: ds.phys.uncompressed_bytes,
    "compressratio": _compressratio,
    "refcompressratio": lambda ds: ratio(ds.phys.uncompressed_bytes, ds.phys.compressed_bytes),
    "written": written,
    "unique": lambda ds: ds.phys.unique_bytes,
    "inconsistent": lambda ds: int(ds.inconsistent),
    "redacted": lambda ds: int(ds.redaction_snapshots is not None),
    "redact_snaps": _redacted,
    "useraccounting": lambda ds: None if ds.is_empty else ds.objset(raw=True).phys.flags & 1,
    "encryption": _encryption,
    "encryptionroot": _encryptionroot,
    "keystatus": _keystatus,
    "keyguid": _of_key(lambda key: key.guid),
    "ivsetguid": lambda ds: ds.ivset_guid,
    "version": _zpl("VERSION"),
    "volsize": _volume("size"),
    **{name: _zpl(name) for name in ZPL_OPTIONAL},
}

#: Of heads only.
HEAD_FIGURES: dict[str, Figure] = {
    "available": _available,
    "logicalused": lambda ds: ds.dir.phys.uncompressed_bytes,
    "quota": lambda ds: ds.dir.phys.quota,
    "reservation": lambda ds: ds.dir.phys.reserved,
    "refquota": lambda ds: setting(ds, "refquota"),
    "refreservation": lambda ds: setting(ds, "refreservation"),
    "usedbysnapshots": _part("snapshots"),
    "usedbydataset": _part("dataset"),
    "usedbychildren": _part("children"),
    "usedbyrefreservation": _part("refreservation"),
    "filesystem_count": lambda ds: ds.dir.filesystem_count,
    "snapshot_count": lambda ds: ds.dir.snapshot_count,
    "snapshots_changed": _snapshots_changed(0),
    "snapshots_changed_nsecs": _snapshots_changed(1),
    "origin": _origin,
    "prevsnap": _prevsnap,
    "receive_resume_token": _resume_token,
    "volblocksize": _volume("volblocksize"),
    "keyformat": _of_key(lambda key: key.keyformat),
    "pbkdf2salt": _of_key(lambda key: key.salt),
    "pbkdf2iters": _of_key(lambda key: key.iterations),
    # Nothing is mounted: that is the kernel's, not the pool's.
    "mounted": lambda ds: 0,
}

#: Of snapshots only.
SNAPSHOT_FIGURES: dict[str, Figure] = {
    "clones": _clones,
    "numclones": lambda ds: ds.phys.num_children - 1,
    "userrefs": lambda ds: len(ds.holds()),
    "defer_destroy": lambda ds: int(ds.defer_destroy),
}


def figure(dataset: DslDataset, name: str) -> int | str | None:
    """The value that is worked out under that name; None where there is none."""
    special = SNAPSHOT_FIGURES if dataset.is_snapshot else HEAD_FIGURES
    work = FIGURES.get(name) or special.get(name)
    return None if work is None else work(dataset)


def bookmark_figure(mark: Bookmark, name: str) -> int | str | None:
    """The same for a bookmark: sizes only where the bookmark keeps them."""
    phys = mark.phys
    always: dict[str, int | str] = {
        "type": "bookmark",
        "name": mark.name,
        "creation": phys.creation_time,
        "createtxg": phys.creation_txg,
        "guid": phys.guid,
        "ivsetguid": phys.ivset_guid,
    }
    if name in always:
        return always[name]
    if name == "redact_snaps":
        return None if mark.redaction is None else _guids(mark.redaction.snapshots)
    if mark.has_sizes and name == "referenced":
        return phys.referenced_bytes
    if mark.has_sizes and name == "logicalreferenced":
        return phys.uncompressed_bytes
    return None
