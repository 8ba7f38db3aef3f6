"""The dedup tables in the words of ``zpool status -D``: their sizes, and how often blocks are referred to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dsl.nicenum import nicebytes, nicenum
from ..spa.dedup import COLUMNS, dedup_histogram, table_sizes

if TYPE_CHECKING:
    from ..spa.spa import Spa
    from .output import Numbers

WIDTHS = (6, 6, 5, 5, 5, 6, 5, 5, 5)
NAMES = ("blocks", "LSIZE", "PSIZE", "DSIZE")
KEYS = ("blocks", "lsize", "psize", "dsize", "ref_blocks", "ref_lsize", "ref_psize", "ref_dsize")


def dedup_lines(spa: Spa, exact: bool) -> list[str]:
    """Sizes of the tables and their histogram; ``exact``: sizes in bytes."""
    sizes = table_sizes(spa)
    if not sizes.entries:
        return ["", " dedup: no DDT entries"]
    on_disk, in_core = ((str if exact else nicebytes)(size) for size in (sizes.on_disk, sizes.in_core))
    rule = "_" * 30
    result = [
        "",
        f" dedup: DDT entries {sizes.entries}, size {on_disk} on disk, {in_core} in core",
        "",
        "bucket              allocated                       referenced",
        f"______   {rule}   {rule}",
        _line("refcnt", *NAMES, *NAMES),
        _line("------", "------", "-----", "-----", "-----", "------", "-----", "-----", "-----"),
    ]
    histogram = dedup_histogram(spa)
    for power, row in enumerate(histogram.tolist()):
        if row[0]:
            result.append(_line(nicenum(1 << power), *_cells(row)))
    return [*result, _line("Total", *_cells(histogram.sum(axis=0).tolist()))]


def _line(*cells: str) -> str:
    return "   ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS, strict=True))


def _cells(row: list[int]) -> list[str]:
    return [(nicenum if column % 4 == 0 else nicebytes)(row[column]) for column in range(COLUMNS)]


def dedup_document(spa: Spa, numbers: Numbers) -> dict[str, Any]:
    """The same for JSON: the rows of the histogram that hold something, by reference count."""
    sizes = table_sizes(spa)
    rows = {
        str(1 << power): dict(zip(KEYS, map(numbers.size, row), strict=True))
        for power, row in enumerate(dedup_histogram(spa).tolist())
        if row[0]
    }
    return {
        "ddt_entries": numbers.count(sizes.entries),
        "size_on_disk": numbers.size(sizes.on_disk),
        "size_in_core": numbers.size(sizes.in_core),
        "histogram": rows,
    }
