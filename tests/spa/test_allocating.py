"""The allocator over space maps of real pools: what is free, what it hands out, what maps it had written say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from golden import params
from numpy.typing import NDArray
from uberblock.pool.alloc import spacemap
from uberblock.pool.alloc.allocator import Allocator, AllocClass
from uberblock.pool.alloc.ranges import RangeSet
from uberblock.pool.alloc.spacemapwrite import MapFormat, MapPlace, appended, condensed
from uberblock.pool.ondisk import spacemap as ondisk
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.metaslabs import VdevAllocation, allocations
from uberblock.pool.spa.scan import scan
from uberblock.pool.spa.spa import Spa
from uberblock.pool.spa.space import allocation_class

U64 = NDArray[np.uint64]
FORM = MapFormat(two_words=True, histograms=True)
KINDS = ["raidz-expansion", "draid", "classes", "version28", "removal"]


@pytest.fixture
def opened(pools: Callable[[str], Any]) -> Iterator[Callable[[str], Spa]]:
    spas: list[Spa] = []

    def get(kind: str) -> Spa:
        (candidate,) = scan([str(pools(kind).dir)])
        spas.append(load(candidate))
        return spas[-1]

    yield get
    for spa in spas:
        spa.close()


def allocator_of(spa: Spa, maps: dict[int, VdevAllocation]) -> Allocator:
    def ranges(vdev: int, metaslab: int) -> tuple[U64, U64]:
        found = maps[vdev].metaslabs[metaslab].allocated
        return found.starts, found.ends

    return Allocator(
        spa.tree,
        load=ranges,
        classes={vdev: AllocClass[allocation_class(spa, one.vdev).upper()] for vdev, one in maps.items()},
        allocated={vdev: np.array([m.allocated_bytes for m in one.metaslabs]) for vdev, one in maps.items()},
    )


@pytest.mark.parametrize("kind", params(KINDS))
def test_a_txg_on_a_real_pool(opened: Callable[[str], Spa], kind: str) -> None:
    """Blocks of many sizes in all classes find room that nobody has; a third of all space in use is freed; what is
    appended to the maps, and maps written anew, say what is allocated then."""
    spa = opened(kind)
    maps = {one.vdev.id: one for one in allocations(spa.mos, spa.directory, spa.tree.tops)}
    allocator = allocator_of(spa, maps)
    txg = spa.uberblock.txg + 1
    used = {vdev: one.allocated for vdev, one in maps.items()}
    assert sum(allocator.allocated(cls) for cls in AllocClass) == sum(one.total for one in used.values())

    sizes = np.resize(np.array([512, 131072, 4096, 60000, 16384], np.uint64), 200)
    new: dict[int, RangeSet] = {vdev: RangeSet() for vdev in maps}
    for cls in AllocClass:
        for copies in (1, 3):
            placed = allocator.allocate(sizes, txg=txg, copies=copies, cls=cls).reshape(-1, 3)
            placed = placed[placed[:, 2] > 0]
            assert len(placed)
            for vdev in np.unique(placed[:, 0]).tolist():
                here = placed[placed[:, 0] == vdev]
                fresh = RangeSet(here[:, 1], here[:, 1] + here[:, 2])
                assert fresh.total == int(here[:, 2].sum()) and not fresh & (used[vdev] | new[vdev])
                new[vdev] |= fresh
            # They can lie there, by what reading knows of the vdev.
            psizes = np.repeat(sizes[:1], len(placed))
            for vdev in np.unique(placed[:, 0]).tolist():
                here = placed[placed[:, 0] == vdev]
                good = spa.tree.check(vdev, here[:, 1], here[:, 2], psizes[: len(here)], np.full(len(here), txg))
                assert good.all()

    gone: dict[int, RangeSet] = {}
    for vdev, one in used.items():
        cut = [piece for m in maps[vdev].metaslabs for piece in list(m.allocated)[::3]]
        gone[vdev] = RangeSet([p[0] for p in cut], [p[1] for p in cut])
        starts = np.array([p[0] for p in cut], np.uint64)
        ends = np.array([p[1] for p in cut], np.uint64)
        allocator.free(np.full(len(cut), vdev, np.uint64), starts, ends - starts, txg=txg)
        assert one.total >= gone[vdev].total

    for change in allocator.take_changes(txg):
        top, before = maps[change.vdev].vdev, maps[change.vdev].metaslabs[change.metaslab].allocated
        start, size = allocator.extent(change.vdev, change.metaslab)
        place = MapPlace(start, size, top.ashift, 16384)
        wanted = (used[change.vdev] | new[change.vdev]) - gone[change.vdev]
        wanted = wanted.clip(start, start + size)
        old = condensed((before.starts, before.ends), place, FORM, txg=txg - 1, sync_pass=1)
        free = allocator.histogram(change.vdev, change.metaslab)
        more = appended(old.header, change, place, FORM, txg=txg, sync_pass=1, free=free)
        entries = ondisk.decode(old.data + more.data)
        assert spacemap.replay(spacemap.changes(entries, place.shift, start, size)) == wanted
        assert more.header.alloc == wanted.total
        assert RangeSet(*allocator.used_ranges(change.vdev, change.metaslab)) == wanted
    allocator.sync_done(txg)
