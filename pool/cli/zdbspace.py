"""``zdb -m``: metaslabs, their space maps, mappings of removed vdevs, and log space maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..alloc.logspacemap import SHIFT as LOG_SHIFT
from ..alloc.metaslab import Metaslab
from ..dsl.nicenum import nicenum
from ..ondisk import spacemap
from ..spa import mos as metadata
from ..spa.metaslabs import (
    UNFLUSHED_TXGS,
    VDEV_ZAP_TOP,
    VdevMaps,
    allocations,
    holds_data,
    log_batches,
    log_objects,
    numbers_of_zap,
    read_header,
)
from ..spa.obsolete import OBSOLETE_MAP, Mapped
from ..spa.removal import INDIRECT_BIRTHS, INDIRECT_OBJECT, births_of, mapping_header
from ..spa.space import NORMAL, allocation_class, fragmentation_of
from ..vdev.indirect import IndirectVdev
from ..vdev.vdev import Vdev
from .histogram import histogram_lines
from .output import print_json

if TYPE_CHECKING:
    from ..spa.spa import Spa

#: log2 of the smallest free segment that the count of segments takes in.
SEGMENT_SHIFT = 14
BATCH_WORDS = 1 << 14
ACTIONS = ("ALLOC", "FREE", "CONDENSE", "INVALID")


def print_metaslabs(spa: Spa, count: int, json: bool) -> None:
    """Print the metaslabs of all top-level vdevs.

    Args:
        spa: the pool.
        count: how often -m was given: 2 adds histograms, 3 what is free as it would be in memory, 4 every entry.
        json: print JSON.

    Raises:
        CorruptError and others: the space maps cannot be read.
    """
    loaded = _loaded(spa) if count >= 3 or json else {}
    if json:
        print_json("zdb -m", {"vdevs": [_document(spa, top, loaded.get(top.id, [])) for top in spa.tree.tops]})
        return
    print("\nMetaslabs:")
    for top in spa.tree.tops:
        for line in _vdev_lines(spa, top, loaded.get(top.id, []), count):
            print(line)
        print()
    if _has_logs(spa):
        for line in _log_lines(spa, count):
            print(line)


def _loaded(spa: Spa) -> dict[int, list[Metaslab]]:
    return {one.vdev.id: one.metaslabs for one in allocations(spa.mos, spa.directory, spa.tree.tops)}


def _has_logs(spa: Spa) -> bool:
    return bool(spa.directory.number(metadata.LOG_SPACEMAP_ZAP, 0))


def _zap(spa: Spa, top: Vdev) -> dict[str, int]:
    number = top.config.get(VDEV_ZAP_TOP, 0)
    return numbers_of_zap(spa.mos, number if isinstance(number, int) else 0, f"the ZAP of {top.name}")


# --- one vdev ---------------------------------------------------------------------------------------------------------


def _vdev_lines(spa: Spa, top: Vdev, loaded: list[Metaslab], count: int) -> Iterator[str]:
    maps = VdevMaps(spa.mos, top) if holds_data(top) else None
    cls = allocation_class(spa, top)
    unflushed = _zap(spa, top).get(UNFLUSHED_TXGS, 0)
    more = f"   ms_unflushed_phys object {unflushed}" if unflushed else ""
    yield f"\tvdev {top.id:>10}   {'' if cls == NORMAL else cls}{more}"
    number = len(maps.geometry) if maps is not None else 0
    yield f"\t{'metaslabs':<10}{number:>5}   {'offset':<19}   {'spacemap':<15}   {'free':<12}"
    yield f"\t{'-' * 15}   {'-' * 19}   {'-' * 15}   {'-' * 12}"
    if isinstance(top, IndirectVdev):
        yield from _indirect_lines(spa, top, count)
    for index in range(number):
        assert maps is not None
        yield from _metaslab_lines(spa, maps, index, loaded[index] if loaded else None, count)


def _metaslab_lines(spa: Spa, maps: VdevMaps, index: int, loaded: Metaslab | None, count: int) -> Iterator[str]:
    start, size = int(maps.geometry.starts[index]), int(maps.geometry.sizes[index])
    number = maps.objects[index]
    header = read_header(spa.mos, number) if number else None
    free = size - (header.alloc if header is not None else 0)
    yield f"\tmetaslab {index:>6}   offset {start:>12x}   spacemap {number:>6}   free    {_nice(free):>5}"
    if loaded is not None and count >= 3:
        yield from _free_lines(loaded)
    if header is not None and header.histogram and count >= 2:
        percent = fragmentation_of(header.histogram, maps.top.ashift)
        yield f"\tOn-disk histogram:\t\tfragmentation {percent}"
        yield from histogram_lines(header.histogram, maps.top.ashift)
    if number:
        yield from _map_lines(spa, number, maps.top.ashift, start, count)
    if _has_logs(spa):
        txg = int(maps.unflushed.txgs[index]) if maps.unflushed is not None else 0
        yield f"\tFlush data:\n\tunflushed txg={txg}\n"


def _nice(value: int) -> str:
    return nicenum(value) if value >= 0 else f"-{nicenum(-value)}"


def _free_lines(loaded: Metaslab) -> Iterator[str]:
    """What is free in a metaslab, its log entries included."""
    sizes = loaded.free().sizes.astype(np.int64)
    large = int((sizes >= 1 << SEGMENT_SHIFT).sum())
    most = nicenum(int(sizes.max(initial=0)))
    percent = loaded.free_bytes * 100 // loaded.size if loaded.size else 0
    yield f"\t {'segments':>25} {large:>10}   {'maxsize':>7}  {most:>6}   {'freepct':>4} {percent:>4}%"
    yield "\tIn-memory histogram:"
    yield from histogram_lines(_by_size(sizes))


def _by_size(sizes: np.ndarray) -> list[int]:
    result: list[int] = np.bincount(np.frexp(sizes.astype(np.float64))[1] - 1).tolist() if len(sizes) else []
    return result


# --- space maps -------------------------------------------------------------------------------------------------------


def _map_lines(spa: Spa, number: int, shift: int, start: int, count: int) -> Iterator[str]:
    header = read_header(spa.mos, number)
    yield f"space map object {number}:"
    yield f"  smp_length = 0x{header.length:x}"
    yield f"  smp_alloc = 0x{header.alloc & (1 << 64) - 1:x}"
    if count < 4:
        return
    total = 0
    for line, change in _entry_lines(spa, number, header.length // spacemap.WORD, shift, start):
        total += change
        yield line
    if total != header.alloc:
        yield f"space_map_object alloc ({header.alloc}) INCONSISTENT with space map summary ({total})"


def _entry_lines(spa: Spa, number: int, words: int, shift: int, start: int) -> Iterator[tuple[str, int]]:
    """(line, change of what is allocated) for each entry of a space map."""
    dnode = spa.mos.dnode(number)
    per_block = dnode.datablksz // spacemap.WORD
    step = max(1, BATCH_WORDS // per_block) * per_block
    entry = 0
    for first in range(0, words, step):
        batch = iter(metadata.words(dnode, min(step, words - first), first).tolist())
        for word in batch:
            mark = f"\t    [{entry:>6}]"
            entry += 1
            prefix = word >> 62
            if prefix == 2:
                txg = word & (1 << 50) - 1
                action = ACTIONS[min(word >> 60 & 3, len(ACTIONS) - 1)]
                yield f"{mark} PADDING" if not txg else f"{mark} {action}: txg {txg} pass {word >> 50 & 0x3FF}", 0
                continue
            offset, run, vdev, free = word >> 16, (word & 0x7FFF) + 1, spacemap.NO_VDEV, word >> 15 & 1
            if prefix == 3:
                second = next(batch, 0)
                offset, run = second & (1 << 63) - 1, (word >> 24 & (1 << 36) - 1) + 1
                vdev, free = word & spacemap.NO_VDEV - 1, second >> 63
            begin, size = (offset << shift) + start, run << shift
            yield (
                f"{mark}    {'F' if free else 'A'}  range: {begin:010x}-{begin + size:010x}  size: {size:06x} "
                f"vdev: {vdev:06} words: {2 if prefix == 3 else 1}"
            ), -size if free else size


# --- removed vdevs ----------------------------------------------------------------------------------------------------


def _indirect_lines(spa: Spa, top: IndirectVdev, count: int) -> Iterator[str]:
    births = births_of(top, spa.mos)
    header = mapping_header(top, spa.mos)
    assert header is not None, "a pool whose removed vdevs have no mapping is not opened"
    yield f"indirect births obj {top.config.get(INDIRECT_BIRTHS, 0)}:"
    yield f"    vib_count = {len(births)}"
    for offset, txg in births.tolist():
        yield f"\toffset {offset:x} -> txg {txg}"
    yield f"\nindirect mapping obj {top.config.get(INDIRECT_OBJECT, 0)}:"
    yield f"    vim_max_offset = 0x{header.max_offset:x}"
    yield f"    vim_bytes_mapped = 0x{header.bytes_mapped:x}"
    yield f"    vim_count = {header.entries}"
    if count < 4:
        return
    counts = Mapped(top).array(spa.mos)
    starts, ends = top.mapped
    for start, end, obsolete in zip(starts.tolist(), ends.tolist(), counts.tolist()):
        pieces = top.step(np.array([start], np.uint64), np.array([end - start], np.uint64))
        vdev, offset = int(pieces.top[0]), int(pieces.offset[0])
        size = end - start
        yield f"\t<{top.id:x}:{start:x}:{size:x}> -> <{vdev:x}:{offset:x}:{size:x}> ({obsolete:x} obsolete)"
    yield ""
    number = _zap(spa, top).get(OBSOLETE_MAP, 0)
    if number:
        yield f"obsolete space map object {number}:"
        yield from _map_lines(spa, number, 0, 0, count)
        yield ""


# --- logs -------------------------------------------------------------------------------------------------------------


def _log_lines(spa: Spa, count: int) -> Iterator[str]:
    yield "\nLog Space Maps in Pool:"
    objects = log_objects(spa.mos, spa.directory)
    for txg, number in objects:
        yield f"Log Spacemap object {number} txg {txg}"
        yield from _map_lines(spa, number, LOG_SHIFT, 0, count)
    yield "\nLog Space Map Obsolete Entry Statistics:"
    maps = {top.id: VdevMaps(spa.mos, top) for top in spa.tree.tops if holds_data(top)}
    tallies = {txg: [0, 0] for txg, _ in objects}
    for txg, entries in log_batches(spa.mos, spa.directory):
        tallies[txg][1] += len(entries)
        for vdev, one in maps.items():
            if one.unflushed is not None:
                starts = entries["offset"][entries["vdev"] == vdev] << np.uint64(LOG_SHIFT)
                inside = starts < np.uint64(len(one.geometry) << one.geometry.shift)
                tallies[txg][0] += int(one.unflushed.counts(txg, starts[inside]).sum())
    for txg, (valid, all_of_them) in tallies.items():
        yield f"{valid:<8} valid entries out of {all_of_them:<8} - txg {txg}"
    sums = [sum(column) for column in zip(*tallies.values())] or [0, 0]
    yield f"{sums[0]:<8} valid entries out of {sums[1]:<8} - total\n"


# --- JSON -------------------------------------------------------------------------------------------------------------


def _document(spa: Spa, top: Vdev, loaded: list[Metaslab]) -> dict[str, Any]:
    document: dict[str, Any] = {"vdev": top.id, "name": top.name, "type": top.type, "class": allocation_class(spa, top)}
    if isinstance(top, IndirectVdev):
        document["mapped"] = int((top.mapped[1] - top.mapped[0]).sum())
    document["metaslabs"] = [
        {
            "index": one.index, "offset": one.start, "size": one.size, "spacemap": one.object,
            "unflushed_txg": one.unflushed_txg, "allocated": one.allocated_bytes, "free": one.free_bytes,
            "free_segments": len(one.free()), "largest_free": int(one.free().sizes.max(initial=0)),
        }
        for one in loaded
    ]  # fmt: skip
    return document
