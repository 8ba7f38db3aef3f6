"""``zdb -b`` and ``-c``: all block pointers counted, compared with the space maps, and on request read."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dsl.nicenum import nicenum
from ..errors import PoolError
from ..ondisk.dmutypes import LAST_LEGACY
from ..spa.blocks import ERRNO, BlockCheck, BlockReport, Reading
from ..spa.blockstats import LEVELS, LOG_MAX, NAMES, TYPES, Totals
from ..spa.findings import Fault, Segment
from ..zio.status import Status
from .histogram import histogram_lines
from .output import print_json
from .progress import progress

if TYPE_CHECKING:
    from ..spa.spa import Spa
    from ..vdev.indirect import IndirectVdev

STATUS_OK = 0
STATUS_UNBALANCED = 2
STATUS_UNREADABLE = 3

#: log2 of the sizes a histogram line is printed for: 512 bytes to 16 MiB.
SIZES = range(9, 25)
#: Words for a range of a vdev in the text report; zdb knows the first.
WORDS = {
    Fault.LEAKED: "leaked space",
    Fault.SHARED: "space used twice",
    Fault.FREE: "space used but free",
    Fault.NOWHERE: "space that does not exist",
    Fault.MAP: "space allocated or freed twice in the space maps",
}


def print_blocks(spa: Spa, args: argparse.Namespace) -> int:
    """Look at all blocks and print what was found.

    Args:
        spa: the pool.
        args: ``blocks`` (how often -b), ``checksums`` (how often -c), ``no_leaks``, ``json``.

    Returns:
        exit status: 0 all is well; 2 blocks and space maps disagree (zdb itself exits 0 then); 3 something cannot be
        read.
    """
    reading: Reading = ("none", "metadata", "all")[min(args.checksums, 2)]
    compare = not args.no_leaks
    if not args.json:
        print(_heading(reading, compare))
        sys.stdout.flush()
    total = _allocated(spa)
    with progress(f"traversing {spa.name}", total) as advance:
        threads = os.cpu_count() or 1
        check = BlockCheck(
            spa, compare=compare, read=reading, threads=threads, sectors=args.blocks >= 4, progress=advance
        )
        report = check.run()
    if args.json:
        print_json("zdb -b", _document(report))
    else:
        for line in _lines(spa, report, args.blocks):
            print(line)
    if not report.readable:
        return STATUS_UNREADABLE
    return STATUS_OK if report.balanced else STATUS_UNBALANCED


def _allocated(spa: Spa) -> int | None:
    """Bytes to go through, if the space maps can be read."""
    try:
        return sum(one.allocated for one in spa.space.vdevs)
    except PoolError:
        return None


def _heading(reading: Reading, compare: bool) -> str:
    words = "to verify " if compare or reading != "none" else ""
    if reading != "none":
        words += "metadata checksums " if reading == "metadata" else "checksums "
        words += "and verify " if compare else ""
    return f"\nTraversing all blocks {words}{'nothing leaked ' if compare else ''}...\n"


def _lines(spa: Spa, report: BlockReport, level: int) -> Iterator[str]:
    yield from _errors(report)
    if report.compared:
        yield from _disagreements(report)
        yield from _verdict(report)
    yield from _summary(spa, report, level)
    if level >= 2 and report.total.count:
        yield from _table(report, level)
        yield from _size_table(report)
    yield ""


# --- what is wrong ----------------------------------------------------------------------------------------------------


def _errors(report: BlockReport) -> Iterator[str]:
    for bad in report.bad:
        where = f"<{bad.objset}, {bad.object}, {bad.level}, {bad.blkid:x}>"
        yield f"Got error {_errno(bad.status)} reading {where} ({bad.place}): {bad.error} -- skipping"
    named, all_of_them = len(report.bad), sum(report.bad_by_status.values())
    if named < all_of_them:
        yield f"... and {all_of_them - named} more"
    for text in report.unreadable:
        yield f"cannot be read: {text}"
    if report.bad_by_status:
        yield "\nError counts:\n"
        yield f"\t{'errno':>5}  count"
        for status, count in sorted(report.bad_by_status.items()):
            yield f"\t{_errno(status):>5}  {count}"


def _errno(status: int) -> int:
    return ERRNO.get(Status(status), 5)


def _disagreements(report: BlockReport) -> Iterator[str]:
    for fault, segments in report.faults.items():
        for segment in segments:
            yield f"{WORDS[fault]}: vdev {segment.vdev}, offset 0x{segment.offset:x}, size {segment.size}"
            yield from (f"    {user}" for user in segment.users)
        if not segments.complete:
            kept = sum(1 for _ in segments)
            yield f"... and {segments.count - kept} more such ranges; {segments.bytes} bytes in all"
    yield from report.notes
    for vdev, found in report.mappings.items():
        for one in found:
            where = f"{vdev}:{one.offset:x}:{one.size:x}"
            yield f"obsolete indirect mapping count mismatch on {where} : {one.found - one.counted:x} bytes leaked"
    for vdev, size in report.imprecise.items():
        yield f"cannot verify obsolete indirect mapping counts of vdev {vdev}: they were not exact from the beginning "
        yield f"    ({size} bytes differ)"
    for word, found_, count in (("more", report.over, report.over_count), ("less", report.under, report.under_count)):
        for miscount in found_:
            yield (
                f"block referred to {word} often than counted: vdev {miscount.vdev}, offset 0x{miscount.offset:x}, "
                f"{miscount.found} references, {miscount.counted} counted ({miscount.table})"
            )
        if count > len(found_):
            yield f"... and {count - len(found_)} more such blocks"


def _verdict(report: BlockReport) -> Iterator[str]:
    if report.balanced and report.readable:
        yield "\n\tNo leaks (block sum matches space maps exactly)"
    elif report.found != report.allocated:
        yield (
            f"block traversal size {report.found} != alloc {report.allocated} "
            f"(leaked {report.allocated - report.found})"
        )
        if not report.readable:
            yield "(what could not be reached below blocks that cannot be read counts as leaked)"
    elif report.balanced:
        yield "\n\tNo leaks (block sum matches space maps exactly), but not everything could be read"
    else:
        yield "block sum matches space maps, but not range by range"


# --- figures ----------------------------------------------------------------------------------------------------------


def _ratio(one: int, other: int) -> float:
    return one / other if other else 0.0


def _summary(spa: Spa, report: BlockReport, level: int) -> Iterator[str]:
    total = report.total
    if not total.count:
        return

    def line(name: str, value: int, more: str = "") -> str:
        return f"\t{name:<16} {value:>14}{more}"

    def average(value: int) -> str:
        return f"      avg: {value // total.count:>6}"

    yield ""
    yield line("bp count:", total.count)
    yield line("ganged count:", total.gangs)
    yield line("bp logical:", total.lsize, average(total.lsize))
    for name, size in (("bp physical:", total.psize), ("bp allocated:", total.asize)):
        yield line(name, size, f"{average(size)}     compression: {_ratio(total.lsize, size):6.2f}")
    dedup = _ratio(report.dedup_bytes, total.asize) + 1
    yield line("bp deduped:", report.dedup_bytes, f"    ref>1: {report.dedup_blocks:>6}   deduplication: {dedup:6.2f}")
    yield line("bp cloned:", report.clone_bytes, f"    count: {report.clone_blocks:>6}")
    if _allocated(spa) is not None:
        yield from _classes(spa, line)
    embedded = report.stats.embedded
    for etype in np.flatnonzero(embedded.sum(axis=1)).tolist():
        yield f"\n\tadditional, non-pointer bps of type {etype}: {int(embedded[etype].sum()):>10}"
        if level >= 3:
            yield "\t number of (compressed) bytes:  number of bps"
            yield from histogram_lines(embedded[etype].tolist())
    if total.same_vdev:
        yield f"\tDittoed blocks on same vdev: {total.same_vdev}"
    if total.same_metaslab:
        yield f"\tDittoed blocks in same metaslab: {total.same_metaslab}"
    for top in spa.tree.tops:
        if top.type == "indirect":
            removed: IndirectVdev = top  # type: ignore[assignment]
            yield f"\tindirect vdev id {top.id} has {len(removed.mapped[0])} segments"


def _classes(spa: Spa, line: Any) -> Iterator[str]:
    names = (("normal", "Normal class:"), ("special", "Special class"), ("dedup", "Dedup class"), ("log", "Log class"))
    for cls, name in names:
        members = [one for one in spa.space.vdevs if one.cls == cls]
        if members:
            used, size = sum(one.allocated for one in members), sum(one.size for one in members)
            yield line(name, used, f"     used: {100 * _ratio(used, size):5.2f}%")


def _row(totals: Totals, all_of_them: int, name: str) -> str:
    sizes = (totals.count, totals.lsize, totals.psize, totals.asize, totals.asize // max(totals.count, 1))
    cells = [f"{nicenum(size):>{width}}" for size, width in zip(sizes, (6, 5, 5, 5, 5))]
    share = 100 * _ratio(totals.asize, all_of_them)
    return "\t".join([*cells, f"{_ratio(totals.lsize, totals.psize):5.2f}", f"{share:6.2f}", name])


def _table(report: BlockReport, level: int) -> Iterator[str]:
    stats, whole = report.stats, report.total.asize
    yield "\nBlocks\tLSIZE\tPSIZE\tASIZE\t  avg\t comp\t%Total\tType"
    for kind in (*range(TYPES), None):
        name = "Total" if kind is None else NAMES[kind]
        of_kind = stats.total if kind is None else stats.of(kind)
        if not of_kind.asize:
            yield "\t".join([f"{'-':>{width}}" for width in (6, 5, 5, 5, 5, 5, 6)] + [name])
            continue
        for row_level in (*reversed(range(LEVELS)), None) if level >= 3 else (None,):
            totals = of_kind
            if row_level is not None:
                totals = stats.at_level(row_level) if kind is None else stats.of(kind, row_level)
                if not totals.asize or (row_level == 0 and totals.asize == of_kind.asize):
                    continue
            yield _row(totals, whole, name if row_level is None else f"    L{row_level} {name}")
            if level >= 3 and totals.gangs:
                yield f"\t number of ganged blocks: {nicenum(totals.gangs)}"
            if level >= 4:
                yield "psize (in 512-byte sectors): number of blocks"
                yield from histogram_lines(stats.sectors(kind, row_level))
    yield _row(stats.metadata(), whole, "Metadata Total")


def _size_table(report: BlockReport) -> Iterator[str]:
    yield "\nBlock Size Histogram\n"
    yield f"{'block':>7}   " + "".join(f"{name:<7}{'':14}" for name in ("psize", "lsize")) + "asize"
    yield f"{'size':>7} " + "".join(f"{word:>7}" for word in ("Count", "Size", "Cum.") * 3)
    sums = [0, 0, 0]
    for bucket in SIZES:
        cells = []
        for at, table in enumerate(report.stats.sizes):
            sums[at] += int(table[1, bucket])
            cells += [int(table[0, bucket]), int(table[1, bucket]), sums[at]]
        yield f"{nicenum(1 << bucket):>7}:" + "".join(f"{nicenum(cell):>7}" for cell in cells)


# --- JSON -------------------------------------------------------------------------------------------------------------


def _document(report: BlockReport) -> dict[str, Any]:
    stats = report.stats
    types = {}
    for kind in range(TYPES):
        if stats.of(kind).count:
            by_level = {level: stats.of(kind, level) for level in range(LEVELS)}
            levels = {str(level): asdict(totals) for level, totals in by_level.items() if totals.count}
            number = kind if kind <= LAST_LEGACY else None
            types[NAMES[kind]] = {"type": number, **asdict(stats.of(kind)), "levels": levels}
    sizes = {
        name: {str(1 << bucket): int(table[0, bucket]) for bucket in range(LOG_MAX + 1) if table[0, bucket]}
        for name, table in zip(("psize", "lsize", "asize"), stats.sizes)
    }
    return {
        "pool": report.pool,
        "total": asdict(report.total),
        "metadata": asdict(stats.metadata()),
        "types": types,
        "sizes": sizes,
        "embedded": {str(etype): int(row.sum()) for etype, row in enumerate(stats.embedded) if row.any()},
        "deduped": {"bytes": report.dedup_bytes, "count": report.dedup_blocks},
        "cloned": {"bytes": report.clone_bytes, "count": report.clone_blocks},
        "compared": report.compared,
        "found": report.found,
        "allocated": report.allocated if report.compared else None,
        "checkpoint": report.checkpoint_bytes,
        "removing": report.removing_bytes,
        "balanced": report.balanced,
        "readable": report.readable,
        "faults": {
            fault.name.lower(): {
                "count": segments.count,
                "bytes": segments.bytes,
                "segments": [_segment(segment) for segment in segments],
            }
            for fault, segments in report.faults.items()
        },
        "references": {"over": [asdict(one) for one in report.over], "under": [asdict(one) for one in report.under]},
        "mappings": {str(vdev): [asdict(one) for one in found] for vdev, found in report.mappings.items()},
        "notes": report.notes,
        "unreadable": report.unreadable,
        "errors": [asdict(bad) for bad in report.bad],
        "error_counts": {str(_errno(status)): count for status, count in report.bad_by_status.items()},
        "windows": report.windows,
        "seconds": round(report.seconds, 3),
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return {"vdev": segment.vdev, "offset": segment.offset, "size": segment.size, "users": segment.users}
