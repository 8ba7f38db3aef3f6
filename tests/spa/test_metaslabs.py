"""Allocated space of real pools: against zdb, against what is reachable, and against the figures."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from uberblock.pool.alloc.ranges import RangeSet
from uberblock.pool.dmu.traverse import walk
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.dmutypes import ENCRYPTED
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.metaslabs import VdevAllocation, allocations, logs
from uberblock.pool.spa.scan import scan
from uberblock.pool.spa.spa import Spa


@pytest.fixture
def opened(pools: Callable[[str], Any]) -> Iterator[Callable[[str], tuple[Spa, Any]]]:
    spas = []

    def get(kind: str) -> tuple[Spa, Any]:
        golden = pools(kind)
        (candidate,) = scan([str(golden.dir)])
        spas.append(load(candidate))
        return spas[-1], golden

    yield get
    for spa in spas:
        spa.close()


def allocated(spa: Spa) -> list[VdevAllocation]:
    return allocations(spa.mos, spa.directory, spa.tree.tops)


def reachable(spa: Spa) -> dict[int, RangeSet]:
    """Every range that some block pointer of the pool points to, for each top-level vdev."""
    parts: dict[int, list[np.ndarray]] = {}
    trees = [(0, spa.uberblock.rootbp, 0)]
    trees += [(ds.obj, ds.bp, ds.phys.prev_snap_txg) for ds in spa.dsl.datasets(hidden=True)]
    for number, bp, after in trees:
        for visit in walk(spa.zio, bp, objset_id=number, birth_after=after):
            bps = visit.bps[~blkptr.is_embedded(visit.bps)]
            sealed = blkptr.is_crypt(bps) & (blkptr.level(bps) == 0) & ENCRYPTED[blkptr.object_type(bps)]
            sizes, vdevs, offsets = blkptr.dva_asize(bps), blkptr.dva_vdev(bps), blkptr.dva_offset(bps)
            sizes[sealed, 2] = 0
            for vdev in np.unique(vdevs[sizes != 0]).tolist():
                here = (vdevs == vdev) & (sizes != 0)
                parts.setdefault(vdev, []).append(np.stack([offsets[here], offsets[here] + sizes[here]]))
    return {vdev: RangeSet(*np.concatenate(part, axis=1)) for vdev, part in parts.items()}


@pytest.mark.pools
@pytest.mark.parametrize(
    "kind", ["single", "raidz1", "raidz-expansion", "draid", "classes", "ganging", "encrypted", "version28"]
)
def test_everything_reachable_is_allocated(opened: Callable[[str], tuple[Spa, Any]], kind: str) -> None:
    spa, _ = opened(kind)
    found = allocated(spa)
    reached = reachable(spa)
    beside = 0
    for one in found:
        inside = one.allocated
        here = reached.get(one.vdev.id, RangeSet())
        assert not here - inside
        beside += (inside - here).total
        assert inside.total == one.allocated_bytes
        assert sum(m.free_bytes for m in one.metaslabs) == one.size - one.allocated_bytes
    # What is allocated and no pointer of a dataset leads to: blocks of intent logs, frees still to come.
    assert beside <= 256 << 10
    assert {one.vdev.id: one.allocated_bytes for one in found} == {v.vdev.id: v.allocated for v in spa.space.vdevs}
    if kind in ("ganging", "rewind"):
        assert beside == 0


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("kind", ["single", "log-spacemap", "version28", "draid", "checkpoint"])
def test_metaslabs_as_zdb_lists_them(
    opened: Callable[[str], tuple[Spa, Any]], judge: Callable[[str], str], kind: str
) -> None:
    spa, golden = opened(kind)
    command = [judge("zdb"), "-e", "-p", str(golden.dir), "-m", spa.name]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    listed = re.findall(r"metaslab +(\d+) +offset +([0-9a-f]+) +spacemap +(\d+)", text)
    ours = [m for one in allocated(spa) for m in one.metaslabs]
    assert [(int(i), int(at, 16), int(obj)) for i, at, obj in listed] == [(m.index, m.start, m.object) for m in ours]
    unflushed = [int(txg) for txg in re.findall(r"unflushed txg=(\d+)", text)]
    assert unflushed == [m.unflushed_txg for m in ours if kind != "version28"]


def test_a_checkpoint_holds_what_was_freed(opened: Callable[[str], tuple[Spa, Any]]) -> None:
    spa, _ = opened("checkpoint")
    (one,) = allocated(spa)
    assert one.checkpoint.total == spa.space.checkpoint > 0
    assert not one.checkpoint - one.allocated
    assert not (reachable(spa)[0] & one.checkpoint)


def test_logs_come_in_order(opened: Callable[[str], tuple[Spa, Any]]) -> None:
    spa, _ = opened("log-spacemap")
    found = list(logs(spa.mos, spa.directory))
    assert len(found) > 2 and [txg for txg, _ in found] == sorted(txg for txg, _ in found)
    assert all((entries["txg"] == txg).all() for txg, entries in found)
