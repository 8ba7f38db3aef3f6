"""Leaves: names, states, and which blocks they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool.ondisk.label import DATA_START
from uberblock.pool.vdev.state import VdevAux, VdevState

BIRTHS = np.array([3, 4, 9, 10], np.uint64)
AT = np.array([0, 4096, 8192, 1 << 20], np.uint64)


@pytest.mark.parametrize(
    ("path", "more", "name"),
    [
        ("/dev/ub/d0", {}, "d0"),
        ("/dev/sda1", {"whole_disk": 1}, "sda"),
        ("/dev/sda1", {"whole_disk": 0}, "sda1"),
        ("/dev/nvme0n1p1", {"whole_disk": 1}, "nvme0n1"),
        ("/dev/disk/by-id/ata-X-part1", {"whole_disk": 1}, "ata-X"),
        ("/dev/disk/by-id/ata-X", {"whole_disk": 1}, "ata-X"),
        ("/dev/sda1", {"not_present": 1, "present": False}, "1001"),
        ("/dev/sda1", {"not_present": 1}, "sda1"),
        ("", {}, "file-0"),
    ],
)
def test_names(plan: Any, path: str, more: dict[str, Any], name: str) -> None:
    present = more.pop("present", True)
    tree = plan.tree({**plan.leaf(present=present), "path": path, **more})
    assert tree.tops[0].name == name


@pytest.mark.parametrize(
    ("more", "state", "aux"),
    [
        ({}, VdevState.HEALTHY, VdevAux.NONE),
        ({"present": False}, VdevState.CANT_OPEN, VdevAux.OPEN_FAILED),
        ({"present": False, "removed": 1}, VdevState.REMOVED, VdevAux.NONE),
        ({"removed": 1}, VdevState.HEALTHY, VdevAux.NONE),
        ({"offline": 1}, VdevState.OFFLINE, VdevAux.NONE),
        ({"faulted": 1, "aux_state": "external"}, VdevState.FAULTED, VdevAux.EXTERNAL),
        ({"faulted": 1, "aux_state": "external", "present": False}, VdevState.FAULTED, VdevAux.EXTERNAL),
        # What errors made of it concerns whoever met them: as OpenZFS does, an import tries anew.
        ({"faulted": 1, "aux_state": "err_exceeded"}, VdevState.HEALTHY, VdevAux.NONE),
        ({"faulted": 1, "present": False}, VdevState.CANT_OPEN, VdevAux.OPEN_FAILED),
        ({"degraded": 1, "aux_state": "err_exceeded"}, VdevState.DEGRADED, VdevAux.ERR_EXCEEDED),
        ({"size": 3 << 20}, VdevState.CANT_OPEN, VdevAux.TOO_SMALL),
        ({"size": 52 << 20}, VdevState.CANT_OPEN, VdevAux.BAD_LABEL),
    ],
)
def test_states(plan: Any, more: dict[str, Any], state: VdevState, aux: VdevAux) -> None:
    leaf = plan.tree(plan.leaf(**more)).leaves[0]
    assert (leaf.state, leaf.aux) == (state, aux)
    found = leaf.locate(AT, BIRTHS, False)[0].tolist()
    assert found == ([0] * 4 if state >= VdevState.DEGRADED else [-1] * 4)


def test_blocks_it_lacks(plan: Any) -> None:
    tree = plan.tree(plan.leaf())
    leaf = tree.leaves[0]
    leaf.set_dtl([4], [10])
    assert tree.missing().ranges() == leaf.missing().ranges() == [(4, 10)]
    found, at = leaf.locate(AT, BIRTHS, False)
    assert found.tolist() == [0, -1, -1, 0]
    assert at.tolist() == [DATA_START + offset for offset in AT.tolist()]
    assert leaf.locate(AT, BIRTHS, True)[0].tolist() == [0] * 4
    assert tree.ways(0) == 2
    sizes = np.full(4, 4096, np.uint64)
    assert tree.layout(0, 0, AT, sizes, BIRTHS).columns["leaf"].tolist() == [0, -1, -1, 0]
    assert tree.layout(0, 1, AT, sizes, BIRTHS).columns["leaf"].tolist() == [0] * 4
