"""Reference counts of features, counted anew: what ``zdb -d`` verifies at its end.

Most features that datasets turn on are named by each dataset that uses them; others are counted by bookmark, by
livelist or by removed vdev. What the pool's own counters say must be the same.

Source: OpenZFS, zdb.c (what is counted), dsl_dataset.c, dsl_bookmark.c, spa.c (who counts).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..dsl.mosobj import numbers
from ..ondisk.dsl import DATASET_REMAP_DEADLIST, BookmarkFlags
from ..ondisk.features import BY_NAME, FEATURES
from ..vdev.indirect import IndirectVdev
from . import obsolete
from .references import DELETED_CLONES
from .removal import mapping_header
from .space import top_zap

if TYPE_CHECKING:
    from ..dsl.dataset import DslDataset
    from .spa import Spa

LIVELIST = "livelist"
#: Shown even where they are not enabled.
REMOVALS = ("device_removal", "obsolete_counts")
#: OpenZFS's order.
ORDER = (
    "large_blocks", "large_dnode", "sha512", "skein", "edonr", "userobj_accounting", "encryption", "project_quota",
    "redaction_bookmarks", "redacted_datasets", "bookmark_written", "livelist", "zstd_compress", "zilsaxattr",
    "blake3", "redaction_list_spill", "longname", "large_microzap", "physical_rewrite",
    "device_removal", "obsolete_counts",
)  # fmt: skip
assert {feature.name for feature in FEATURES if feature.per_dataset} <= set(ORDER)


@dataclass(frozen=True, slots=True)
class FeatureCount:
    """How often a feature was found to be used, and how often the pool says it is."""

    name: str
    found: int
    counted: int

    @property
    def right(self) -> bool:
        """Both are the same."""
        return self.found == self.counted


def feature_counts(spa: Spa) -> Iterator[FeatureCount]:
    """All that can be counted, of features the pool has enabled.

    Raises:
        CorruptError and others: a dataset cannot be read.
    """
    found: Counter[str] = Counter()
    for dataset in spa.dsl.datasets():
        _count_dataset(spa, dataset, found)
    deleted = spa.directory.number(DELETED_CLONES, 0)
    found[LIVELIST] += len(numbers(spa.mos, deleted, "the destroyed clones")) if deleted else 0
    _count_removals(spa, found)
    for name in ORDER:
        counted = spa.features.refcounts.get(BY_NAME[name].guid)
        if counted is not None or name in REMOVALS:
            yield FeatureCount(name, found[name], counted or 0)


def _count_dataset(spa: Spa, dataset: DslDataset, found: Counter[str]) -> None:
    for feature in FEATURES:
        if feature.per_dataset and feature.guid in dataset.fields:
            found[feature.name] += 1
    found["obsolete_counts"] += DATASET_REMAP_DEADLIST in dataset.fields
    if dataset.is_snapshot:
        return
    found[LIVELIST] += dataset.dir.livelist is not None
    for mark in dataset.bookmarks():
        found["bookmark_written"] += bool(mark.phys.flags & BookmarkFlags.HAS_FBN)
        if mark.phys.redaction_obj:
            found["redaction_bookmarks"] += 1
            # Long lists of snapshots lie outside of the dnode.
            found["redaction_list_spill"] += spa.mos.dnode(mark.phys.redaction_obj).spill is not None


def _count_removals(spa: Spa, found: Counter[str]) -> None:
    """Removed vdevs, and the objects that count what of them is obsolete."""
    for top in spa.tree.tops:
        if not isinstance(top, IndirectVdev):
            continue
        entries, header = top_zap(spa, top), mapping_header(top, spa.mos)
        precise = entries.get(obsolete.PRECISE)
        found["device_removal"] += 1
        found["obsolete_counts"] += precise is not None and any(precise.values)
        found["obsolete_counts"] += obsolete.OBSOLETE_MAP in entries
        found["obsolete_counts"] += header is not None and header.counts_object != 0
    for name in (obsolete.CONDENSING, obsolete.OBSOLETE_LIST):
        found["obsolete_counts"] += name in spa.directory
