"""Writing space maps: what is appended to one for the changes of a sync pass, and when it is written anew instead.

All is bytes and figures; objects are the caller's. A map is written anew ("condensed") when its log has become much
longer than what is free in its metaslab would take. Such a map says first that the whole metaslab is allocated, and
then what of it is free; or, if that is shorter, what is allocated.

Format: space map entries as in ``ondisk.spacemap``. Source: OpenZFS, space_map.c (histogram), metaslab.c
(``metaslab_should_condense``, ``metaslab_condense``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ondisk import spacemap
from ..ondisk.spacemap import BUCKETS, ENTRY, NO_VDEV, SpaceMapHeader
from .livemetaslab import MetaslabChange
from .ranges import RangeSet, U64Array

#: A map is written anew when it is so many percent of what it could be,
CONDENSE_PERCENT = 200
#: and longer than so many blocks.
CONDENSE_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class MapWrite:
    """What to do with the object of a space map.

    Attributes:
        position: byte at which ``data`` goes; what the object has beyond its end is cut off.
        header: what its bonus says from then on.
    """

    position: int
    data: bytes
    header: SpaceMapHeader


@dataclass(frozen=True, slots=True)
class MapFormat:
    """How a pool writes its space maps.

    Attributes:
        two_words: feature spacemap_v2 may be used; histograms: so may spacemap_histogram.
        order: byte order of the MOS.
    """

    two_words: bool
    histograms: bool
    order: str = "<"


@dataclass(frozen=True, slots=True)
class MapPlace:
    """The space map of a metaslab: ``start`` and ``size`` of the space it is about, ``shift``: log2 of its unit (the
    vdev's ashift), ``block_size``: of its object."""

    start: int
    size: int
    shift: int
    block_size: int


def appended(
    header: SpaceMapHeader,
    change: MetaslabChange,
    place: MapPlace,
    form: MapFormat,
    *,
    txg: int,
    sync_pass: int,
    free: U64Array | None,
) -> MapWrite:
    """Append a pass's changes to a space map: allocations, then frees.

    Args:
        header: of the map as it is.
        free: free segments by size (``Allocator.histogram``). None: not known, the header's histogram is carried on.

    Raises:
        ValueError: a change does not fit into the map.
    """
    entries = np.concatenate(
        [
            _entries(change.alloc_starts, change.alloc_ends, place, txg, free=False),
            _entries(change.free_starts, change.free_ends, place, txg, free=True),
        ]
    )
    data = _words(entries, place, form, header.length, sync_pass)
    net = _total(change.alloc_starts, change.alloc_ends) - _total(change.free_starts, change.free_ends)
    histogram: tuple[int, ...] = ()
    if form.histograms:
        sizes = change.free_ends - change.free_starts
        histogram = _buckets(free, place.shift) if free is not None else _carried(header, sizes, place.shift)
    return MapWrite(header.length, data, SpaceMapHeader(header.length + len(data), header.alloc + net, histogram))


def condensed(
    used: tuple[U64Array, U64Array],
    place: MapPlace,
    form: MapFormat,
    *,
    txg: int,
    sync_pass: int,
    free: U64Array | None = None,
) -> MapWrite:
    """A space map written anew.

    Args:
        used: (starts, ends) of what is allocated (``Allocator.used_ranges``).
        free: free segments by size; None: as ``used`` has it.

    Raises:
        ValueError: the metaslab does not fit into a map.
    """
    allocated = RangeSet(*used)
    gaps = allocated.gaps(place.start, place.start + place.size)
    if len(allocated) <= len(gaps) + 1:
        entries = _entries(allocated.starts, allocated.ends, place, txg, free=False)
    else:
        first, last = np.array([place.start], np.uint64), np.array([place.start + place.size], np.uint64)
        whole = _entries(first, last, place, txg, free=False)
        entries = np.concatenate([whole, _entries(gaps.starts, gaps.ends, place, txg, free=True)])
    data = _words(entries, place, form, 0, sync_pass)
    histogram: tuple[int, ...] = ()
    if form.histograms:
        histogram = _buckets(by_size(gaps.sizes) if free is None else free, place.shift)
    return MapWrite(0, data, SpaceMapHeader(len(data), allocated.total, histogram))


def should_condense(header: SpaceMapHeader, used: tuple[U64Array, U64Array], place: MapPlace, form: MapFormat) -> bool:
    """A map has become so long that it should be written anew.

    Only worth asking in the first pass: later ones would not come to an end.
    """
    if header.length <= CONDENSE_BLOCKS * max(place.block_size, 1 << place.shift):
        return False
    optimal = len(condensed(used, place, form, txg=0, sync_pass=1).data)
    return header.length * 100 >= optimal * CONDENSE_PERCENT


def empty_header(form: MapFormat) -> SpaceMapHeader:
    """Of a new space map."""
    return SpaceMapHeader(0, 0, (0,) * BUCKETS if form.histograms else ())


def by_size(sizes: U64Array) -> U64Array:
    """Numbers of sizes (none 0) by their power of two: 64 of them."""
    power = np.frexp(sizes.astype(np.float64))[1].astype(np.int64) - 1
    # A number just below a power of two becomes that power as a float.
    power -= np.left_shift(np.uint64(1), power.astype(np.uint64)) > sizes
    return np.bincount(power, minlength=64).astype(np.uint64)


def _entries(starts: U64Array, ends: U64Array, place: MapPlace, txg: int, *, free: bool) -> NDArray[Any]:
    entries = np.zeros(len(starts), dtype=ENTRY)
    if not len(starts):
        return entries
    shift = np.uint64(place.shift)
    if int(starts.min()) < place.start or int(ends.max()) > place.start + place.size or (ends <= starts).any():
        raise ValueError("a range lies outside of the metaslab")
    offsets = starts - np.uint64(place.start)
    if ((offsets | ends - starts) & np.uint64((1 << place.shift) - 1)).any():
        raise ValueError("a range does not begin or end with a sector")
    entries["offset"], entries["run"] = offsets >> shift, (ends - starts) >> shift
    entries["txg"], entries["vdev"], entries["free"] = txg, NO_VDEV, free
    return entries


def _words(entries: NDArray[Any], place: MapPlace, form: MapFormat, position: int, sync_pass: int) -> bytes:
    return spacemap.encode(
        entries,
        block_size=place.block_size,
        position=position,
        sync_pass=sync_pass,
        two_words=form.two_words,
        order=form.order,
    )


def _total(starts: U64Array, ends: U64Array) -> int:
    return int((ends - starts).sum(dtype=np.uint64))


def _buckets(counts: U64Array, shift: int) -> tuple[int, ...]:
    """A header's histogram: larger segments than it has buckets for count as several of its largest."""
    result = [0] * BUCKETS
    for power, count in enumerate(counts.tolist()):
        bucket = power - shift
        if count and bucket >= 0:
            last = min(bucket, BUCKETS - 1)
            result[last] += count << (bucket - last)
    return tuple(result)


def _carried(header: SpaceMapHeader, freed: U64Array, shift: int) -> tuple[int, ...]:
    """The histogram of a map whose metaslab is not loaded: what was freed is counted as segments of its own."""
    before = header.histogram or (0,) * BUCKETS
    return tuple(old + new for old, new in zip(before, _buckets(by_size(freed), shift)))
