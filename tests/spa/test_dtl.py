"""Dirty time logs of real pools reach the leaves, and stale data is not taken for good."""

from __future__ import annotations

import hashlib

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.dtl import load_dtls
from uberblock.pool.vdev.state import VdevState


def test_a_stale_disk(pools) -> None:
    golden = pools("degraded")
    with import_pool(search=golden.dir) as pool:
        stale = [leaf for leaf in pool.tree.leaves if leaf.dtl]
        assert len(stale) == 2 and all(leaf.state is VdevState.OFFLINE for leaf in stale)
        ranges = stale[0].dtl.ranges()
        assert ranges and all(first < end <= pool.txg + 1 for first, end in ranges)


def test_a_stale_disk_that_is_read_from_all_the_same(pools) -> None:
    """With missing_ok the offline disk is used; what it lacks must come from the others."""
    golden = pools("degraded")
    with import_pool(search=golden.dir, missing_ok=True) as pool:
        stale = next(leaf for leaf in pool.tree.leaves if leaf.dtl and leaf.device)
        assert stale.state is VdevState.HEALTHY
        for name, entry in golden.manifest["datasets"].items():
            fs = pool.fs(name) if "tree" in entry else None
            for path, file in entry.get("tree", {}).items():
                if "sha256" in file:
                    assert hashlib.sha256(fs.read_bytes("/" + path)).hexdigest() == file["sha256"]


def test_dtls_that_are_none(pools) -> None:
    with import_pool(search=pools("degraded").dir) as pool:
        leaf = pool.tree.leaves[0]
        for number in ("text", 1, pool.spa.directory.number("config")):
            leaf.config = NVList({**leaf.config, "DTL": number})
            with pytest.raises(CorruptError):
                load_dtls(pool.tree, pool.spa.mos)
