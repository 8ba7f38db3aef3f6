"""Errata: faults of early writers that are told by what a pool lacks.

Pools remember the number of an erratum only while they are open for writing, so it is found out anew: encrypted
datasets whose key object has no version (3), encrypted snapshots without an IV set guid (4).

Source: OpenZFS, zfs.h (the numbers), dsl_dir.c and dsl_dataset.c (how they are found).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PoolError

if TYPE_CHECKING:
    from .spa import Spa

KEY_WITHOUT_VERSION = 3
SNAPSHOT_WITHOUT_IVSET = 4

FEATURE = "encryption"


def erratum(spa: Spa) -> int:
    """Number of the erratum that concerns a pool, 0 for none; of several the one OpenZFS would show."""
    marked = spa.config.get("errata", 0)
    if isinstance(marked, int) and marked:
        return marked
    if spa.features.state(FEATURE) != "active":
        return 0
    found = 0
    for directory in spa.dsl.dirs():
        try:
            key = spa.dsl.keys.key_object(directory)
            if key is None:
                continue
            if not key.version:
                found = KEY_WITHOUT_VERSION
            head = directory.head
            if head is not None and any(snapshot.ivset_guid is None for snapshot in head.snapshots()):
                return SNAPSHOT_WITHOUT_IVSET
        except PoolError:
            # What cannot be read says nothing of who wrote it; verifying tells of the damage.
            continue
    return found
