"""Figures of the dedup tables, from the histograms the pool keeps of them.

A histogram has 64 rows, one for each power of two of the reference count, of 8 words: blocks, logical, physical and
allocated bytes of what is stored; then the same of what refers to it.

Source: OpenZFS, ddt.c, ddt_stats.c.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..dmu.ddt import tables
from ..dmu.zap import Zap
from ..dsl.mosobj import entries
from ..errors import CorruptError
from ..ondisk import blkptr
from .mos import OBJECT_DIRECTORY

if TYPE_CHECKING:
    from ..dmu.dnode import Dnode
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
    if STATISTICS not in spa.directory:
        return DedupTotals()
    total = dedup_histogram(spa).sum(axis=0)
    return DedupTotals(int(total[DSIZE]), int(total[REF_DSIZE]), _table_bytes(spa))


def dedup_histogram(spa: Spa) -> NDArray[np.object_]:
    """The histograms of all tables added up: 64 rows of 8 whole numbers.

    Raises:
        CorruptError: one is of another size than it must be.
    """
    total = np.zeros((ROWS, COLUMNS), dtype=object)
    number = spa.directory.number(STATISTICS, 0)
    for name, entry in entries(spa.mos, number, "dedup statistics") if number else ():
        if entry.integer_size != 8 or len(entry.values) != ROWS * COLUMNS:
            raise CorruptError("the statistics of a dedup table have a wrong size", table=name)
        total += np.array(entry.values, dtype=object).reshape(ROWS, COLUMNS)
    return total


@dataclass(frozen=True, slots=True)
class TableSizes:
    """How large the dedup tables are: entries, allocated bytes, bytes when they are held in memory."""

    entries: int = 0
    on_disk: int = 0
    in_core: int = 0


def table_sizes(spa: Spa) -> TableSizes:
    """Sizes of all dedup tables with their logs.

    Raises:
        CorruptError and others: a table makes no sense.
    """
    found = TableSizes()
    for table in tables(spa.mos, Zap(spa.mos.dnode(OBJECT_DIRECTORY))):
        for number in table.objects.values():
            found = _with(found, spa.mos.dnode(number), len(Zap(spa.mos.dnode(number))))
        for number in table.logs:
            found = _with(found, spa.mos.dnode(number), 0)
        found = replace(found, entries=found.entries + table.logged)
    return found


def _with(sizes: TableSizes, dnode: Dnode, count: int) -> TableSizes:
    """With one more object. In memory it takes what its blocks hold."""
    blocks = int(np.where(blkptr.is_hole(dnode.blkptr), 0, dnode.blkptr["fill"]).astype(np.uint64).sum())
    return TableSizes(
        sizes.entries + count, sizes.on_disk + dnode.used_bytes, sizes.in_core + blocks * dnode.datablksz
    )


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
