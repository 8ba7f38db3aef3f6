"""Bookmarks: what remains of a snapshot for incremental sends after the snapshot itself is gone.

Source: OpenZFS, dsl_bookmark.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..ondisk.dsl import (
    BookmarkFlags,
    BookmarkPhys,
    RedactionListPhys,
    decode_bookmark,
    decode_redaction_list,
)
from .mosobj import entries, object_of

if TYPE_CHECKING:
    from .dataset import DslDataset


@dataclass(frozen=True)
class Bookmark:
    """One bookmark of a head dataset. ``short_name`` is what follows the number sign."""

    dataset: DslDataset
    short_name: str
    phys: BookmarkPhys

    @property
    def name(self) -> str:
        """Full name, ``tank/docs#monday``."""
        return f"{self.dataset.name}#{self.short_name}"

    @property
    def has_sizes(self) -> bool:
        """The figures of what was referenced then are there."""
        return bool(self.phys.flags & BookmarkFlags.HAS_FBN)

    @cached_property
    def redaction(self) -> RedactionListPhys | None:
        """For a redaction bookmark, the snapshots it was made for.

        Raises:
            CorruptError: the object it names is no redaction list.
        """
        if self.phys.redaction_obj == 0:
            return None
        dnode = object_of(self.dataset.pool.mos, self.phys.redaction_obj, f"redaction list of {self.name}")
        if dnode.spill is not None:
            # With many snapshots the header does not fit into the bonus buffer.
            buffer, order = dnode.read_spill()
            return decode_redaction_list(buffer, order)
        return decode_redaction_list(dnode.bonus, dnode.order)


def bookmarks_of(dataset: DslDataset, zap: int) -> list[Bookmark]:
    """The bookmarks in the ZAP of a head dataset, oldest first, then by name."""
    found = [
        Bookmark(dataset, name, decode_bookmark(entry.values))
        for name, entry in entries(dataset.pool.mos, zap, f"bookmarks of {dataset.name}")
    ]
    return sorted(found, key=lambda mark: (mark.phys.creation_txg, mark.short_name))
