"""Lists of block pointers: real ones against zdb, made-up trees of lists, loops and lies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from uberblock.pool.dmu.bpobj import Bpobj
from uberblock.pool.errors import CorruptError, LimitError, NotFoundError, PoolError
from uberblock.pool.ondisk import blkptr, bpobj
from uberblock.pool.ondisk.blkptr import BLKPTR
from uberblock.pool.ondisk.bpobj import BpobjHeader
from uberblock.pool.ondisk.dmutypes import METADATA
from uberblock.pool.ondisk.dnode import DnodePhys

from .conftest import MemoryZio, Opened, build_objset, build_tree


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("kind", ["single", "version28", "classes"])
def test_deadlists_add_up(opened: Callable[[str], Opened], kind: str) -> None:
    """The sums in each header are those of its entries, and zdb lists the same lists."""
    pool = opened(kind)
    lists = [Bpobj(pool.mos, d.number) for d in pool.mos.objects() if d.bonustype == 6]
    assert lists
    filled = 0
    for one in lists:
        batches = list(one.batches())
        bps = np.concatenate(batches) if batches else np.zeros(0, dtype=BLKPTR)
        assert len(bps) >= one.header.num_blkptrs
        # In lists of live blocks a record can be of the opposite kind.
        sign = np.where((bps["fill"] & 1 != 0) & (one.header.num_freed != 0), -1, 1)
        embedded = blkptr.is_embedded(bps)
        allocated = np.where(embedded, 0, blkptr.dva_asize(bps).sum(axis=1)).astype(np.int64)
        assert one.header.bytes == (sign * allocated).sum()
        stored = np.where(embedded, 0, blkptr.psize(bps)).astype(np.int64)
        # Metadata counts as what it takes up, of embedded blocks nothing.
        metadata = METADATA[blkptr.object_type(bps)] | (blkptr.level(bps) > 0)
        logical = np.where(metadata, stored, blkptr.lsize(bps).astype(np.int64))
        assert one.header.comp == (sign * stored).sum()
        assert one.header.uncomp == (sign * logical).sum()
        filled += len(bps)
    assert filled
    lines = re.findall(r"num_blkptrs = (\d+)|num_subobjs = (\d+)", pool.zdb("-dddd", pool.spa.name))
    assert sum(int(n or 0) for n, _ in lines) == sum(one.header.num_blkptrs for one in lists)
    assert sum(int(n or 0) for _, n in lines) == sum(one.header.num_subobjs for one in lists)


# --- made by hand ---------------------------------------------------------------------------------------------------


def a_list(zio: MemoryZio, bps: int, first: int, subobjs: int = 0, count: int = 0, order: str = "<") -> DnodePhys:
    """A list of ``bps`` pointers with births from ``first`` on."""
    array = np.zeros(bps, dtype=BLKPTR)
    array["birth"] = np.arange(first, first + bps)
    array["prop"] = 1 << 63
    array["dva"][:, 0, 0] = 8
    raw = blkptr.to_bytes(array, order)
    blocks = {i: raw[i * 1024 :][:1024].ljust(1024, b"\0") for i in range(-(-len(raw) // 1024))}
    header = BpobjHeader(bps, 0, subobjs=subobjs, num_subobjs=count)
    bonus = bpobj.encode(header, bpobj.SIZE_V2, order)
    return build_tree(zio, blocks, datablksz=1024, kind=5, bonustype=6, bonus=bonus, order=order, nlevels=3)


def sublists(zio: MemoryZio, *numbers: int, order: str = "<") -> DnodePhys:
    raw = np.array(numbers, dtype=order + "u8").tobytes().ljust(512, b"\0")
    return build_tree(zio, {0: raw}, nlevels=1, kind=53, order=order)


def births(one: Bpobj) -> list[int]:
    return [int(b) for batch in one.batches() for b in batch["birth"]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_trees_of_lists(order: str) -> None:
    zio = MemoryZio()
    mos = build_objset(
        zio,
        {
            1: a_list(zio, 20, 0, 2, 2, order),
            2: sublists(zio, 3, 4, order=order),
            3: a_list(zio, 8, 100, 5, 1, order),
            4: a_list(zio, 0, 0, order=order),
            5: sublists(zio, 6, order=order),
            6: a_list(zio, 3, 200, order=order),
        },
        order=order,
    )
    top = Bpobj(mos, 1)
    assert births(top) == [*range(20), *range(100, 108), *range(200, 203)]
    assert [one.number for one in top.lists()] == [1, 3, 6, 4] and top.sublists() == [3, 4]
    assert [len(batch) for batch in top.own_batches()] == [8, 8, 4]
    assert "Bpobj 1" in repr(top)


@pytest.mark.parametrize(
    ("objects", "error"),
    [
        ({2: (1,)}, "two lists, or of itself"),
        ({2: (3, 3)}, "two lists, or of itself"),
        ({2: (9,)}, "missing"),
        ({2: (0,)}, "not a list"),
        ({}, "lacks its sub-lists"),
    ],
)
def test_impossible_trees(objects: dict[int, Any], error: str) -> None:
    zio = MemoryZio()
    dnodes = {n: sublists(zio, *numbers) for n, numbers in objects.items()}
    count = len(objects.get(2, (1,)))
    mos = build_objset(zio, {1: a_list(zio, 1, 0, 2, count), 3: a_list(zio, 1, 9), **dnodes})
    with pytest.raises(CorruptError, match=error):
        births(Bpobj(mos, 1))


def test_a_chain_of_many_lists() -> None:
    """A thousand lists, each the sub-list of the one before: no recursion."""
    zio = MemoryZio()
    dnodes: dict[int, DnodePhys] = {}
    for n in range(1, 2001, 2):
        dnodes[n] = a_list(zio, 1, n, n + 1, 1 if n < 1999 else 0)
        dnodes[n + 1] = sublists(zio, n + 2)
    assert births(Bpobj(build_objset(zio, dnodes), 1)) == list(range(1, 2001, 2))


def test_lists_that_are_too_long() -> None:
    zio = MemoryZio()
    long = a_list(zio, 4, 0)
    long.bonus = bpobj.encode(BpobjHeader(9, 0))
    empty = a_list(zio, 4, 0)
    empty.bonus = bpobj.encode(BpobjHeader(8, 0))
    many = a_list(zio, 1, 0)
    many.bonus = bpobj.encode(BpobjHeader(1, 0, subobjs=5, num_subobjs=1 << 25))
    short = a_list(zio, 1, 0)
    short.bonus = bpobj.encode(BpobjHeader(1, 0, subobjs=5, num_subobjs=65))
    mos = build_objset(zio, {1: long, 2: empty, 3: many, 4: short, 5: sublists(zio, 1), 6: DnodePhys(type=19)})
    with pytest.raises(CorruptError, match="longer than the object"):
        Bpobj(mos, 1)
    with pytest.raises(CorruptError, match="empty entries"):
        births(Bpobj(mos, 2))
    with pytest.raises(LimitError, match="too many"):
        Bpobj(mos, 3).sublists()
    with pytest.raises(CorruptError, match="longer than the object"):
        Bpobj(mos, 4).sublists()
    with pytest.raises(PoolError, match="not a list"):
        Bpobj(mos, 6)
    with pytest.raises(NotFoundError):
        Bpobj(mos, 7)
