"""Figures of the dedup tables, from the histograms the pool keeps of them.

A histogram has 64 rows, one for each power of two of the reference count, of 8 words: blocks, logical, physical and
allocated bytes of what is stored; then the same of what refers to it.

Source: OpenZFS, ddt.c, ddt_stats.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..dsl.mosobj import entries
from ..errors import CorruptError

if TYPE_CHECKING:
    from .spa import Spa

STATISTICS = "DDT-statistics"
TABLE_PREFIX = "DDT-"
ROWS, COLUMNS = 64, 8
DSIZE, REF_DSIZE = 3, 7


@dataclass(frozen=True, slots=True)
class DedupTotals:
    """Sums over all dedup tables, in bytes."""

    stored: int = 0
    referenced: int = 0
    tables: int = 0  # size of the tables themselves

    @property
    def saved(self) -> int:
        """Bytes that would be needed besides without dedup."""
        return self.referenced - self.stored

    @property
    def ratio_percent(self) -> int:
        """Dedup ratio in hundredths; 100 where nothing is deduplicated."""
        return self.referenced * 100 // self.stored if self.stored else 100


def dedup_totals(spa: Spa) -> DedupTotals:
    """Read the statistics of all tables.

    Raises:
        CorruptError: they are of another size than they must be.
    """
    number = spa.directory.number(STATISTICS, 0)
    if not number:
        return DedupTotals()
    total = np.zeros(COLUMNS, dtype=object)
    for name, entry in entries(spa.mos, number, "dedup statistics"):
        if entry.integer_size != 8 or len(entry.values) != ROWS * COLUMNS:
            raise CorruptError("the statistics of a dedup table have a wrong size", table=name)
        total += np.array(entry.values, dtype=object).reshape(ROWS, COLUMNS).sum(axis=0)
    return DedupTotals(int(total[DSIZE]), int(total[REF_DSIZE]), _table_bytes(spa))


def _table_bytes(spa: Spa) -> int:
    """Allocated bytes of the table objects."""
    size = 0
    for name in spa.directory:
        if name.startswith(TABLE_PREFIX) and name != STATISTICS:
            number = spa.directory.number(name)
            if name.count("-") > 1:  # a table of its own; else a folder of tables
                size += spa.mos.dnode(number).used_bytes
                continue
            for inner, entry in entries(spa.mos, number, name):
                if inner.startswith(TABLE_PREFIX) and entry.integer_size == 8 and len(entry.values) == 1:
                    size += spa.mos.dnode(entry.values[0]).used_bytes
    return size
