"""Lists of block pointers being changed: against plain Python lists, sums and all, and real ones emptied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.dmu.bpobj import Bpobj
from uberblock.pool.dmu.bpobjwrite import BLOCK_SIZE, MutableBpobj, create_bpobj, stored_form
from uberblock.pool.dmu.bpsizes import Sizes, allocated_size, sizes_of
from uberblock.pool.errors import CorruptError, NotFoundError, UnsupportedError, UsageError
from uberblock.pool.ondisk import blkptr, bpobj
from uberblock.pool.ondisk.blkptr import BLKPTR, BpArray
from uberblock.pool.ondisk.bpobj import SIZE_V0, SIZE_V1, SIZE_V3

from .conftest import Opened
from .writefake import FakeObjset


def pointers(first: int, count: int) -> BpArray:
    """Blocks of many kinds; births from ``first`` on tell them apart."""
    bps = np.zeros(count, dtype=BLKPTR)
    n = np.arange(first, first + count, dtype=np.uint64)
    sizes = (n % 5 + n % 3 << np.uint64(16)) + n % 5 * np.uint64(3) + np.uint64(2)
    kind = np.where(n % 3 == 0, np.uint64(19), np.uint64(20))
    bps["prop"] = sizes | kind << np.uint64(48) | n % 4 // 3 << np.uint64(56) | np.uint64(1 << 63 | 7 << 40)
    bps["prop"] |= np.where(n % 7 == 0, np.uint64(1 << 62), np.uint64(0))
    bps["dva"][:, 0, 0], bps["dva"][:, 0, 1] = n % 9 + 8, n
    bps["dva"][n % 2 == 0, 1, 0] = 16
    bps["birth"] = n
    bps["fill"] = 77
    bps["cksum"] = n[:, None]
    embedded = n % 11 == 0
    bps["prop"][embedded] = np.uint64(1 << 63 | 1 << 39 | 19 << 48 | 40 << 25 | 999)
    return bps


def births(one: Bpobj) -> list[int]:
    return [int(b) for batch in one.batches() for b in batch["birth"]]


def made(objset: FakeObjset, **settings: int) -> MutableBpobj:
    return create_bpobj(objset, **settings)  # type: ignore[arg-type]


def reread(one: MutableBpobj) -> Bpobj:
    return Bpobj(one._mos, one.number)


def totals(one: MutableBpobj) -> Sizes:
    header = reread(one).header
    return Sizes(header.bytes, header.comp, header.uncomp)


def test_what_is_kept_of_a_pointer() -> None:
    bps = pointers(1, 100)
    kept = stored_form(bps)
    embedded, dedup = blkptr.is_embedded(bps), blkptr.is_dedup(bps)
    assert embedded.any() and dedup.any() and not kept["fill"].any()
    assert (kept["cksum"][dedup & ~embedded] == bps["cksum"][dedup & ~embedded]).all()
    assert not kept["cksum"][~dedup].any() and not kept["dva"][embedded].any()
    for field in ("prop", "birth"):
        assert (kept[field] == bps[field]).all()
    assert (kept["dva"][~embedded] == bps["dva"][~embedded]).all()
    assert sizes_of(kept, allocated_size) == sizes_of(bps, allocated_size)
    assert sizes_of(bps, allocated_size, np.ones(100, dtype=bool)) == -sizes_of(bps, allocated_size)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["append", "append", "take_over", "take", "undo"]), st.integers(0, 40)), max_size=25
    ),
    st.sampled_from([1024, 4096]),
)
def test_against_python_lists(steps: list[tuple[str, int]], block_size: int) -> None:
    objset = FakeObjset()
    with objset.transaction():
        top = made(objset, block_size=block_size)
    model: list[int] = []
    count = 0
    for what, n in steps:
        if what == "undo":
            with pytest.raises(ZeroDivisionError), objset.transaction():
                top.append(pointers(10**6, n + 1))
                top.take(3)
                raise ZeroDivisionError
            continue
        with objset.transaction():
            if what == "append":
                assert top.append(pointers(count, n)) == sizes_of(pointers(count, n), allocated_size)
                model += range(count, count + n)
            elif what == "take_over":
                other = made(objset, block_size=block_size)
                other.append(pointers(count, n))
                # Of two levels, every other time.
                if n % 2:
                    deeper = made(objset, block_size=block_size)
                    deeper.append(pointers(count + n, 2 * n))
                    other.take_over(deeper.number)
                    model += range(count + n, count + 3 * n)
                model += range(count, count + n)
                gone = top.take_over(other.number)
                assert gone == (other.number not in objset.objects)
            else:
                taken = top.take(n)["birth"].tolist()
                assert len(taken) == min(n, len(model)) and len(set(taken)) == len(taken)
                model = [b for b in model if b not in set(taken)]
            count += 3 * n
        assert sorted(births(reread(top))) == sorted(model)
        everything = [pointers(b, 1) for b in model]
        bps = np.concatenate(everything) if everything else pointers(0, 0)
        assert totals(top) == sizes_of(bps, allocated_size)
        for one in reread(top).lists():
            own = list(one.batches())
            expected = sizes_of(np.concatenate(own), allocated_size) if own else Sizes()
            assert totals(one) == expected
    with objset.transaction():
        assert len(top.take(10**6)) == len(model)
        assert top.is_empty and top.take(5).tolist() == [] and list(objset.objects) == [top.number]
        assert not any(top._dnode.blocks_held) and totals(top) == Sizes()  # type: ignore[attr-defined]
        top.free()
    assert not objset.objects


def test_large_batches() -> None:
    objset = FakeObjset()
    with objset.transaction():
        one = made(objset)
        for first in range(0, 200_000, 50_000):
            one.append(pointers(first, 50_000))
        assert births(reread(one)) == list(range(200_000))
        assert one.take(150_000)["birth"].size == 150_000
        assert births(reread(one)) == list(range(50_000))
        assert one._dnode.maxblkid == 50_000 * 128 // BLOCK_SIZE


def test_lists_of_live_blocks() -> None:
    objset = FakeObjset()
    with objset.transaction():
        live = made(objset, bonus_size=SIZE_V3)
        bps = pointers(1, 60)
        freed = np.arange(60) % 3 == 0
        live.append(bps)
        live.append(bps[freed], np.ones(20, dtype=bool))
        assert totals(live) == sizes_of(bps[~freed], allocated_size)
        assert reread(live).header.num_freed == 20
        stored = np.concatenate(list(reread(live).own_batches()))
        assert stored["fill"].tolist() == [0] * 60 + [1] * 20
        live.append(bps[:3], np.ones(3, dtype=bool))
        live.append(bps, np.ones(60, dtype=bool))
        assert reread(live).header.bytes > 1 << 63, "negative, as 64 bits"
        live.take(63)
        assert totals(live) == sizes_of(bps[~freed], allocated_size)
        live.take(1000)
        assert totals(live) == Sizes() and reread(live).header.num_freed == 0
        plain = made(objset)
        with pytest.raises(UsageError, match="FREE"):
            plain.append(bps, freed)


def test_old_lists() -> None:
    objset = FakeObjset()
    with objset.transaction():
        for size in (SIZE_V0, SIZE_V1):
            old = made(objset, bonus_size=size)
            sums = old.append(pointers(1, 30))
            assert reread(old).header.bytes == sums.used and len(old._dnode.bonus) == size
            assert reread(old).header.comp == (sums.comp if size > SIZE_V0 else 0)
            other = made(objset)
            other.append(pointers(100, 3))
            with pytest.raises(UnsupportedError, match="sub-lists"):
                old.take_over(other.number)
            assert old.take(10)["birth"].tolist() == list(range(21, 31))


def test_what_is_refused() -> None:
    objset = FakeObjset()
    with objset.transaction():
        one = made(objset)
        holes = pointers(1, 3)
        holes["dva"][1] = 0
        for bad in (holes, np.zeros(2, dtype=BLKPTR)):
            with pytest.raises(UsageError, match="hole"):
                one.append(bad)
        with pytest.raises(UsageError, match="itself"):
            one.take_over(one.number)
        one.append(pointers(1, 3))
        # Sizes that are too small, as a damaged pool may have them.
        one._dnode.set_bonus(bpobj.encode(bpobj.BpobjHeader(3, 1, 1, 1), 48))
        with pytest.raises(CorruptError, match="more than it says"):
            one.take(3)
        loop = made(objset)
        loop.append(pointers(1, 3))
        sub = made(objset, block_size=1024)
        sub.append(pointers(20, 20))
        loop.take_over(sub.number)
        number = reread(loop).header.subobjs
        objset.dnode(number).write(0, np.array([loop.number], dtype="<u8").tobytes())
        with pytest.raises(CorruptError, match="two lists, or of itself"):
            loop.take(10)
    with pytest.raises(NotFoundError):
        MutableBpobj(objset, 99)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["single", "classes"])
def test_real_lists(opened: Callable[[str], Opened], kind: str) -> None:
    """Lists written by OpenZFS: appending their pointers again gives their sums and bytes; taking all empties them."""
    pool = opened(kind)
    found = 0
    for real in [Bpobj(pool.mos, d.number) for d in pool.mos.objects() if d.bonustype == 6]:
        batches: list[Any] = list(real.own_batches())
        if not batches or real.header.num_freed or real.header.num_subobjs:
            continue
        objset = FakeObjset()
        with objset.transaction():
            one = made(objset, block_size=real._dnode.datablksz, bonus_size=len(real._dnode.bonus))
            for batch in batches:
                one.append(batch)
            assert reread(one).header == real.header
            mine = np.concatenate(list(reread(one).own_batches()))
            assert mine.tobytes() == np.concatenate(batches).tobytes()
            one.take(10**9)
            assert one.is_empty and totals(one) == Sizes()
        found += 1
    assert found
