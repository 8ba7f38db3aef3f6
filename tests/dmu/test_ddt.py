"""Dedup tables of real pools against zdb, logs of made-up ones."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import numpy as np
import pytest
from uberblock.pool.dmu import ddt
from uberblock.pool.dmu.traverse import walk
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.errors import CorruptError, LimitError, UnsupportedError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk import zap as ondisk_zap
from uberblock.pool.ondisk.dnode import DnodePhys
from uberblock.pool.ondisk.zap import FLAG_HASH64, FLAG_PREHASHED_KEY, FLAG_UINT64_KEY, FatHeader, MicroZap, ZapEntry

from .conftest import MemoryZio, Opened, build_objset, build_tree


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize(("kind", "flat"), [("dedup", True), ("dedup-legacy", False)])
def test_tables_as_zdb_counts_them(opened: Callable[[str], Opened], kind: str, flat: bool) -> None:
    pool = opened(kind)
    text = pool.zdb("-D", pool.spa.name)
    listed = {
        (checksum, cls): int(count)
        for checksum, cls, count in re.findall(r"DDT-(\w+)-zap-(\w+): .*?entries=(\d+)", text)
    }
    tables = ddt.tables(pool.mos, pool.directory)
    found = {}
    for table in tables:
        assert table.flat == flat
        entries = np.concatenate(list(table.batches()))
        for cls in np.unique(entries["cls"]).tolist():
            found[table.checksum, ("ditto", "duplicate", "unique")[cls]] = int((entries["cls"] == cls).sum())
        duplicate = entries["cls"] == 1
        assert (entries["refcount"][duplicate] > 1).all() and (entries["refcount"][~duplicate] == 1).all()
    assert {key: count for key, count in listed.items() if count} == found


@pytest.mark.parametrize("kind", ["dedup", "dedup-legacy"])
def test_reference_counts_are_the_pointers(opened: Callable[[str], Opened], kind: str) -> None:
    """Every pointer with the dedup bit counts one reference of the entry with its checksum."""
    pool = opened(kind)
    counted: dict[tuple[int, ...], int] = {}
    for ds in pool.spa.dsl.datasets(hidden=True):
        for visit in walk(pool.spa.zio, ds.bp, objset_id=ds.obj, birth_after=ds.phys.prev_snap_txg):
            for bp in visit.bps[blkptr.is_dedup(visit.bps)]:
                key = (*bp["cksum"].tolist(), *bp["dva"][0].tolist())
                counted[key] = counted.get(key, 0) + 1
    entries = [np.concatenate(list(t.batches())) for t in ddt.tables(pool.mos, pool.directory)]
    table = {
        (*e["key"]["cksum"].tolist(), *e["dva"][0].tolist()): int(e["refcount"]) for part in entries for e in part
    }
    assert table
    assert {k: n for k, n in counted.items() if k in table} == table


# --- logs of a made-up table ----------------------------------------------------------------------------------------

FLAGS = FLAG_UINT64_KEY | FLAG_HASH64 | FLAG_PREHASHED_KEY


def key(n: int) -> tuple[int, ...]:
    return (n << 56, n, 0, 0, 0)


def table_zap(zio: MemoryZio, refs: dict[int, int]) -> DnodePhys:
    entries = []
    for n, count in refs.items():
        raw = struct.pack("<9Q", 8, n, 0, 0, 0, 0, count, 50, 1000)
        name = struct.pack(">5Q", *key(n))
        entries.append(ZapEntry(name, 1, (0x82, *raw), 0, n << 56))
    table = np.ones(1024, dtype=np.uint64)
    header = FatHeader(1, flags=FLAGS, table_shift=10, num_entries=len(entries), embedded=table)
    blocks = {
        0: ondisk_zap.encode_header(header, 16384),
        1: ondisk_zap.encode_leaf(entries, 16384, words=True),
    }
    return build_tree(zio, blocks, datablksz=16384, kind=42)


def log(zio: MemoryZio, blocks: list[list[tuple[int, int, int]]], flags: int = 0, checkpoint: int = 0) -> DnodePhys:
    """A log with these (key, references, class) in each block."""
    data = {}
    for i, records in enumerate(blocks):
        raw = b""
        for n, count, cls in records:
            info = 1 | 120 << 8 | cls << 56
            raw += struct.pack("<15Q", info, *key(n), 8, n, 0, 0, 0, 0, count, 50, 1000)
        data[i] = raw.ljust(4096, b"\0")
    bonus = struct.pack("<8Q", 1 | flags << 8, 4096 * len(blocks), 10, *key(checkpoint))
    return build_tree(zio, data, datablksz=4096, kind=0xC3, bonustype=0xC3, bonus=bonus)


def micro(zio: MemoryZio, entries: dict[str, int]) -> DnodePhys:
    rows = [ZapEntry(name.encode(), 8, (value,)) for name, value in entries.items()]
    raw = ondisk_zap.encode_micro(MicroZap(1, 0, rows), 2048)
    return build_tree(zio, {0: raw}, datablksz=2048, nlevels=1, kind=0xC4)


def open_table(logs: list[DnodePhys], zio: MemoryZio, refs: dict[int, int], version: int = 1) -> ddt.DedupTable:
    folder = {
        "version": version,
        "flags": 3,
        "DDT-sha256-zap-duplicate": 3,
        "DDT-log-sha256-0": 4,
        "DDT-log-sha256-1": 5,
        "something-else": 9,
    }
    dnodes = {
        1: micro(zio, {"DDT-sha256": 2, "DDT-statistics": 8, "config": 7}),
        2: micro(zio, folder),
        3: table_zap(zio, refs),
        4: logs[0],
        5: logs[1],
    }
    mos = build_objset(zio, dnodes)
    (table,) = ddt.tables(mos, Zap(mos.dnode(1)))
    return table


def refs_of(table: ddt.DedupTable) -> dict[int, int]:
    entries = np.concatenate(list(table.batches()))
    numbers = entries["dva"][:, 0, 1].tolist()
    assert len(numbers) == len(set(numbers))
    return dict(zip(numbers, entries["refcount"].tolist()))


def test_logs_are_newer_than_the_table() -> None:
    zio = MemoryZio()
    flushing = log(zio, [[(1, 5, 1), (2, 6, 1)], [(2, 7, 1), (3, 0, 3)]], flags=1)
    active = log(zio, [[(2, 9, 1), (8, 2, 1)]])
    table = open_table([active, flushing], zio, {1: 2, 3: 2, 4: 2})
    assert refs_of(table) == {1: 5, 2: 9, 4: 2, 8: 2}
    assert [header.flushing for header in table.log_headers()] == [False, True]
    assert "sha256" in repr(table)


def test_what_was_flushed_is_left_out() -> None:
    zio = MemoryZio()
    flushing = log(zio, [[(1, 5, 1), (2, 6, 1), (3, 7, 1), (4, 8, 1)]], flags=3, checkpoint=2)
    table = open_table([flushing, log(zio, [])], zio, {1: 11, 2: 12, 3: 13})
    assert refs_of(table) == {1: 11, 2: 12, 3: 7, 4: 8}


def test_lies() -> None:
    zio = MemoryZio()
    long = log(zio, [])
    long.bonus = struct.pack("<8Q", 1, 1 << 50, 0, *key(0))
    with pytest.raises(LimitError, match="longer"):
        refs_of(open_table([long, log(zio, [])], zio, {}))
    with pytest.raises(UnsupportedError, match="version"):
        open_table([log(zio, [])] * 2, zio, {}, version=2)
    names = build_objset(zio, {1: micro(zio, {"DDT-sha256-zap-unique": 2}), 2: micro(zio, {"a": 1})})
    (table,) = ddt.tables(names, Zap(names.dnode(1)))
    with pytest.raises(CorruptError, match="not a table of checksums"):
        list(table.batches())
