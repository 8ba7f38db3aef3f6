"""Feature flags: what a pool may contain beyond version 28, and which of it this package reads.

A pool keeps two ZAPs, guid -> reference count: features needed to read it at all, and features that only a writer
has to know (read-only compatible). 0 means enabled and unused, more means active: then the bytes on disk have changed.

Source: OpenZFS, zfeature_common.c (48 features; names, guids and dependencies are theirs).

Invariants: guids and short names are unique; every dependency is a feature of the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import UnsupportedFeatureError

FEATURES_MAX = 4096  # entries of one feature ZAP that are looked at: no pool comes near it


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature flag."""

    guid: str
    name: str  # short name, as ``zpool get feature@name`` has it
    since: str  # OpenZFS release that brought it
    text: str  # what it is, in a few words
    read_only_compatible: bool = False  # a reader need not know it: kept in features_for_write
    label: bool = False  # listed in the labels while active, because opening devices needs it
    active_at_once: bool = False  # enabling it activates it
    per_dataset: bool = False  # counted by dataset, each of which names it
    depends: tuple[str, ...] = ()  # short names
    readable: bool = True  # this package reads pools in which it is active


def _feature(marks: str, guid: str, since: str, text: str, depends: str = "") -> Feature:
    """A row of the table. Marks: W read-only compatible, L label, A active at once, D per dataset."""
    name = guid.partition(":")[2]
    return Feature(
        guid,
        name,
        since,
        text,
        read_only_compatible="W" in marks,
        label="L" in marks,
        active_at_once="A" in marks,
        per_dataset="D" in marks,
        depends=tuple(depends.split()),
    )


#: All features OpenZFS knows, dependencies before those that need them.
FEATURES: tuple[Feature, ...] = (
    _feature("W", "com.delphix:async_destroy", "0.6.1", "destroys datasets in the background"),
    _feature("W", "com.delphix:empty_bpobj", "0.6.1", "one shared object for all empty block lists"),
    _feature("A", "org.illumos:lz4_compress", "0.6.1", "LZ4 compression"),
    _feature("", "com.joyent:multi_vdev_crash_dump", "0.7", "crash dumps to volumes over several vdevs"),
    _feature("W", "com.delphix:spacemap_histogram", "0.6.4", "space maps with a histogram of free sizes"),
    _feature("W", "com.delphix:enabled_txg", "0.6.4", "remembers when each feature was enabled"),
    _feature("LA", "com.delphix:hole_birth", "0.6.4", "holes keep their birth txg", "enabled_txg"),
    _feature("W", "com.delphix:zpool_checkpoint", "0.8", "pool checkpoints"),
    _feature("WA", "com.delphix:spacemap_v2", "0.8", "space map entries of two words"),
    _feature("", "com.delphix:extensible_dataset", "0.6.4", "datasets that carry further entries"),
    _feature("W", "com.delphix:bookmarks", "0.6.4", "bookmarks", "extensible_dataset"),
    _feature(
        "W", "com.joyent:filesystem_limits", "0.6.5", "limits on numbers of datasets", "extensible_dataset"
    ),
    _feature("LA", "com.delphix:embedded_data", "0.6.4", "small blocks inside block pointers"),
    _feature("W", "com.delphix:livelist", "2.0", "clones list their own blocks", "extensible_dataset"),
    _feature("W", "com.delphix:log_spacemap", "2.0", "one space map log per txg", "spacemap_v2"),
    _feature("D", "org.open-zfs:large_blocks", "0.6.5", "blocks of more than 128 KiB", "extensible_dataset"),
    _feature("D", "org.zfsonlinux:large_dnode", "0.7", "dnodes of more than 512 bytes", "extensible_dataset"),
    _feature("D", "org.illumos:sha512", "0.7", "SHA-512/256 checksums", "extensible_dataset"),
    _feature("D", "org.illumos:skein", "0.7", "Skein checksums", "extensible_dataset"),
    _feature("D", "org.illumos:edonr", "0.7", "Edon-R checksums", "extensible_dataset"),
    _feature("", "com.datto:bookmark_v2", "0.8", "longer bookmarks", "extensible_dataset bookmarks"),
    _feature(
        "",
        "com.delphix:redaction_bookmarks",
        "2.0",
        "bookmarks that list redacted blocks",
        "bookmark_v2 extensible_dataset bookmarks",
    ),
    _feature(
        "D", "com.delphix:redacted_datasets", "2.0", "datasets with redacted blocks", "extensible_dataset"
    ),
    _feature(
        "",
        "com.delphix:bookmark_written",
        "2.0",
        "bookmarks with size figures",
        "bookmark_v2 extensible_dataset bookmarks",
    ),
    _feature("L", "com.delphix:device_removal", "0.8", "removed top-level vdevs"),
    _feature(
        "W",
        "com.delphix:obsolete_counts",
        "0.8",
        "shrinks mappings of removed vdevs",
        "extensible_dataset device_removal",
    ),
    _feature(
        "WD", "org.zfsonlinux:userobj_accounting", "0.7", "counts objects by user", "extensible_dataset"
    ),
    _feature("D", "com.datto:encryption", "0.8", "encrypted datasets", "extensible_dataset bookmark_v2"),
    _feature(
        "WD", "org.zfsonlinux:project_quota", "0.8", "accounting and quotas by project", "extensible_dataset"
    ),
    _feature("W", "org.zfsonlinux:allocation_classes", "0.8", "special and dedup vdevs"),
    _feature("W", "com.datto:resilver_defer", "0.8", "resilvers that wait for the running one"),
    _feature("W", "org.openzfs:device_rebuild", "2.0", "sequential rebuilds"),
    _feature("D", "org.freebsd:zstd_compress", "2.0", "Zstandard compression", "extensible_dataset"),
    _feature("L", "org.openzfs:draid", "2.1", "distributed-spare RAID"),
    _feature("L", "com.seagate:draid_failure_domains", "after 2.4", "draid over failure groups", "draid"),
    _feature(
        "WD", "org.openzfs:zilsaxattr", "2.2", "extended attributes in the intent log", "extensible_dataset"
    ),
    _feature("A", "com.delphix:head_errlog", "2.2", "error log by head dataset"),
    _feature("D", "org.openzfs:blake3", "2.2", "BLAKE3 checksums", "extensible_dataset"),
    _feature("W", "com.fudosecurity:block_cloning", "2.2", "blocks shared by reference counts"),
    _feature("W", "com.truenas:block_cloning_endian", "2.4", "reference counts in one byte order"),
    _feature("L", "com.klarasystems:vdev_zaps_v2", "2.2", "a ZAP for the root vdev"),
    _feature(
        "",
        "com.delphix:redaction_list_spill",
        "2.3",
        "redaction lists of many snapshots",
        "redaction_bookmarks",
    ),
    _feature("L", "org.openzfs:raidz_expansion", "2.3", "disks added to a raidz"),
    _feature("W", "com.klarasystems:fast_dedup", "2.3", "dedup tables with logs"),
    _feature("D", "org.zfsonlinux:longname", "2.3", "file names of up to 1023 bytes", "extensible_dataset"),
    _feature(
        "WD",
        "com.klarasystems:large_microzap",
        "2.3",
        "micro ZAPs of more than 128 KiB",
        "extensible_dataset large_blocks",
    ),
    _feature("L", "com.klarasystems:dynamic_gang_header", "2.4", "gang headers of more than 512 bytes"),
    _feature(
        "WD", "com.truenas:physical_rewrite", "2.4", "rewritten blocks keep their birth", "extensible_dataset"
    ),
)

BY_GUID: Mapping[str, Feature] = {feature.guid: feature for feature in FEATURES}
BY_NAME: Mapping[str, Feature] = {feature.name: feature for feature in FEATURES}
assert len(BY_GUID) == len(BY_NAME) == len(FEATURES) == 48
assert all(name in BY_NAME for feature in FEATURES for name in feature.depends)

State = Literal["disabled", "enabled", "active"]


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What ``check`` found, guids sorted."""

    active: tuple[str, ...] = ()
    unknown_unused: tuple[str, ...] = ()  # enabled somewhere else, not in use: harmless
    unknown_write: tuple[str, ...] = ()  # active, read-only compatible, not known: only reading is safe
    refcounts: Mapping[str, int] = field(default_factory=dict)

    @property
    def writable(self) -> bool:
        """Nothing unknown is in use."""
        return not self.unknown_write

    def state(self, name: str) -> State:
        """State of a feature by its short name or guid, as ``zpool get feature@name`` tells it."""
        known = BY_NAME.get(name)
        count = self.refcounts.get(known.guid if known else name)
        if count is None:
            return "disabled"
        return "active" if count else "enabled"

    def states(self) -> dict[str, State]:
        """Short name -> state of every known feature that is not disabled."""
        return {f.name: self.state(f.name) for f in FEATURES if f.guid in self.refcounts}


def check(
    read: Mapping[str, int],
    write: Mapping[str, int],
    *,
    writing: bool = False,
    descriptions: Mapping[str, str] | None = None,
) -> FeatureReport:
    """Refuse a pool that uses what this package does not know.

    Args:
        read: the ZAP features_for_read, guid -> reference count.
        write: the ZAP features_for_write.
        writing: the pool is to be written to, so that read-only compatible features have to be known too.
        descriptions: guid -> the pool's own words for a feature, for the message.

    Raises:
        UnsupportedFeatureError: an active feature is unknown; ``features`` has the guids.
    """
    active_read = [guid for guid, count in read.items() if count]
    active_write = [guid for guid, count in write.items() if count]
    refused = sorted(guid for guid in active_read if guid not in BY_GUID or not BY_GUID[guid].readable)
    if refused:
        raise UnsupportedFeatureError(
            f"the pool uses features that are not supported: {_names(refused, descriptions)}",
            "a newer version of this package or of OpenZFS may read it",
            features=tuple(refused),
        )
    unknown_write = sorted(guid for guid in active_write if guid not in BY_GUID)
    if writing and unknown_write:
        raise UnsupportedFeatureError(
            f"the pool uses features that must be known to write to it: {_names(unknown_write, descriptions)}",
            "import it read-only",
            features=tuple(unknown_write),
        )
    unused = sorted(
        g for pairs in (read, write) for g, count in pairs.items() if not count and g not in BY_GUID
    )
    return FeatureReport(
        active=tuple(sorted(active_read + active_write)),
        unknown_unused=tuple(unused),
        unknown_write=tuple(unknown_write),
        refcounts={**read, **write},
    )


def check_label(active: Iterable[str]) -> None:
    """Refuse a pool by the features its label names, before anything else of it is read.

    Raises:
        UnsupportedFeatureError: one of them is unknown.
    """
    check(dict.fromkeys(active, 1), {})


def _names(guids: Iterable[str], descriptions: Mapping[str, str] | None) -> str:
    texts = descriptions or {}
    return ", ".join(f"{guid} ({texts[guid]})" if texts.get(guid) else guid for guid in guids)
