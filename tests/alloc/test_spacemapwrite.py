"""Space maps that were written, read again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from uberblock.pool.alloc import spacemap
from uberblock.pool.alloc.livemetaslab import MetaslabChange
from uberblock.pool.alloc.ranges import RangeSet
from uberblock.pool.alloc.spacemapwrite import (
    MapFormat,
    MapPlace,
    MapWrite,
    appended,
    by_size,
    condensed,
    empty_header,
    should_condense,
)
from uberblock.pool.ondisk import spacemap as ondisk
from uberblock.pool.ondisk.spacemap import SpaceMapHeader

MIB = 1 << 20
U64 = NDArray[np.uint64]
NEW = MapFormat(two_words=True, histograms=True)
OLD = MapFormat(two_words=False, histograms=False, order=">")
PLACE = MapPlace(start=64 * MIB, size=32 * MIB, shift=12, block_size=4096)
NONE = np.zeros(0, np.uint64)


def words(*values: int) -> U64:
    return np.array(values, np.uint64)


def change(allocs: RangeSet, frees: RangeSet | None = None) -> MetaslabChange:
    none = RangeSet()
    return MetaslabChange(0, 2, allocs.starts, allocs.ends, (frees or none).starts, (frees or none).ends)


def read(data: bytes, form: MapFormat, place: MapPlace = PLACE) -> RangeSet:
    found = spacemap.changes(ondisk.decode(data, form.order), place.shift, place.start, place.size)
    return spacemap.replay(found)


def test_the_example_of_the_format() -> None:
    """Words that OpenZFS wrote: 81920 bytes at 0 and 65536 at 90112 in txg 6; and 32768 at 8192 freed in txg 9."""
    place = MapPlace(0, 16 * MIB, 12, 131072)
    first = appended(
        empty_header(NEW),
        change(RangeSet([0, 90112], [81920, 155648])),
        place,
        NEW,
        txg=6,
        sync_pass=1,
        free=None,
    )
    assert first.data.hex() == np.array([0x8004000000000006, 0x13, 0x16000F], "<u8").tobytes().hex()
    assert first.position == 0 and (first.header.length, first.header.alloc) == (24, 147456)
    second = appended(
        first.header, change(RangeSet(), RangeSet([8192], [40960])), place, NEW, txg=9, sync_pass=1, free=None
    )
    assert np.frombuffer(second.data, "<u8").tolist() == [0x9004000000000009, 0x28007]
    assert second.position == 24 and (second.header.length, second.header.alloc) == (40, 114688)
    assert second.header.histogram[3] == 1 and sum(second.header.histogram) == 1


def test_two_words_where_one_does_not_do() -> None:
    large = MapPlace(0, 1 << 40, 9, 4096)
    long_run = change(RangeSet([0], [1 << 30]))
    two = appended(empty_header(NEW), long_run, large, NEW, txg=4, sync_pass=1, free=None)
    assert len(two.data) == 24 and read(two.data, NEW, large) == RangeSet([0], [1 << 30])
    one = appended(empty_header(OLD), long_run, large, OLD, txg=4, sync_pass=1, free=None)
    assert len(one.data) == 8 * (1 + (1 << 30 >> 9) // 32768)
    assert read(one.data, OLD, large) == RangeSet([0], [1 << 30]) and one.header.histogram == ()
    far = MapPlace(0, 1 << 60, 9, 4096)
    wanted = change(RangeSet([1 << 57], [(1 << 57) + 512]))
    assert (
        read(appended(empty_header(NEW), wanted, far, NEW, txg=4, sync_pass=1, free=None).data, NEW, far).total == 512
    )
    with pytest.raises(ValueError):
        appended(empty_header(OLD), wanted, far, OLD, txg=4, sync_pass=1, free=None)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 4096), (96 * MIB, 96 * MIB + 4096), (64 * MIB + 512, 64 * MIB + 4096), (64 * MIB, 64 * MIB + 1)],
)
def test_ranges_that_are_not_of_the_metaslab(start: int, end: int) -> None:
    with pytest.raises(ValueError):
        appended(empty_header(NEW), change(RangeSet([start], [end])), PLACE, NEW, txg=4, sync_pass=1, free=None)


sectors = st.sets(st.integers(0, 8191), max_size=300)


def ranges(chosen: set[int]) -> RangeSet:
    starts = np.array(sorted(chosen), np.uint64) * np.uint64(4096) + np.uint64(PLACE.start)
    return RangeSet(starts, starts + np.uint64(4096))


@settings(deadline=None)
@given(steps=st.lists(st.tuples(sectors, sectors), max_size=6), form=st.sampled_from([NEW, OLD]))
def test_what_is_written_is_read(steps: list[tuple[set[int], set[int]]], form: MapFormat) -> None:
    """Passes appended one after the other, across blocks; then the map written anew."""
    header, data, used = empty_header(form), b"", set[int]()
    for number, (more, less) in enumerate(steps):
        allocs, frees = more - used, less & used
        free = by_size(ranges(set(range(8192)) - used - allocs | frees).sizes)
        done = appended(
            header, change(ranges(allocs), ranges(frees)), PLACE, form, txg=4 + number, sync_pass=1, free=free
        )
        assert done.position == len(data) and done.header.length == len(data) + len(done.data)
        data, header, used = data + done.data, done.header, (used | allocs) - frees
        assert read(data, form) == ranges(used) and header.alloc == 4096 * len(used)
        assert sum(header.histogram) == (int(free.sum()) if form.histograms else 0)
        assert ondisk.decode_header(ondisk.encode_header(header, 7, form.order), form.order) == header
    anew = condensed((ranges(used).starts, ranges(used).ends), PLACE, form, txg=40, sync_pass=1)
    assert read(anew.data, form) == ranges(used) and anew.header.alloc == 4096 * len(used) and anew.position == 0
    assert anew.header.length == len(anew.data)
    gaps = ranges(used).gaps(PLACE.start, PLACE.start + PLACE.size)
    assert sum(anew.header.histogram) == (len(gaps) if form.histograms else 0)


def test_a_full_metaslab_anew() -> None:
    whole = words(PLACE.start), words(PLACE.start + PLACE.size)
    for form in (NEW, OLD):
        assert read(condensed(whole, PLACE, form, txg=4, sync_pass=1).data, form).total == PLACE.size
    full_but_little = RangeSet(*whole) - RangeSet([PLACE.start + 8192], [PLACE.start + 12288])
    done = condensed((full_but_little.starts, full_but_little.ends), PLACE, NEW, txg=4, sync_pass=1)
    assert read(done.data, NEW) == full_but_little and done.header.histogram[:2] == (1, 0)


def test_when_a_map_is_written_anew() -> None:
    used = words(PLACE.start), words(PLACE.start + 4096)
    assert not should_condense(SpaceMapHeader(4 * 4096, 4096, ()), used, PLACE, NEW)  # too short to be worth it
    assert should_condense(SpaceMapHeader(4 * 4096 + 8, 4096, ()), used, PLACE, NEW)
    scattered = ranges(set(range(0, 8192, 2)))
    best = len(condensed((scattered.starts, scattered.ends), PLACE, NEW, txg=4, sync_pass=1).data)
    for length, wanted in ((2 * best - 8, False), (2 * best, True)):
        header = SpaceMapHeader(length, scattered.total, ())
        assert should_condense(header, (scattered.starts, scattered.ends), PLACE, NEW) is wanted


def test_histograms() -> None:
    assert by_size(words(1, 2, 3, 4, 1 << 63, (1 << 53) - 1, (1 << 60) - 1)).nonzero()[0].tolist() == [
        0,
        1,
        2,
        52,
        59,
        63,
    ]
    free = np.zeros(64, np.uint64)
    free[[9, 12, 43, 45, 50]] = 5, 4, 3, 2, 1
    done = appended(empty_header(NEW), change(RangeSet(), None), PLACE, NEW, txg=4, sync_pass=1, free=free)
    assert isinstance(done, MapWrite) and done.data == b""
    # Smaller than a sector: none. Larger than the last bucket: as several of its size.
    assert done.header.histogram == (4, *[0] * 30, 3 + (2 << 2) + (1 << 7))
