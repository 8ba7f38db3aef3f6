"""Registry, layouts, and the fast way to attributes."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, PoolError
from uberblock.pool.ondisk import sa
from uberblock.pool.zpl.sa import MAX_PLANS, Fields, SaTable
from uberblock.pool.zpl.znode import Znode

REGISTRY = sa.standard_registry()
FILE = (5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8, 16, 19)
DEVICE = (*FILE[:12], 21, 10, 16, 19, 9)
TABLE = SaTable(REGISTRY, {2: FILE, 3: DEVICE, 4: (20,), 5: (19, 20, 5)})


def buffer(layout: int, order: str = "<", aces: bytes = b"a" * 24) -> bytes:
    attributes = TABLE.layouts[layout]
    values = {n: struct.pack(f"{order}{REGISTRY[n].length // 8}Q", *[100 * n + k for k in range(REGISTRY[n].length // 8)]) for n in attributes}  # noqa: E501
    for n in (19, 20):
        values[n] = aces
    return sa.encode(layout, attributes, values, REGISTRY, order)


@pytest.mark.parametrize("order", "<>")
def test_fields(order: str) -> None:
    raw = buffer(2, order)
    fields = TABLE.plan(raw).fields(raw)
    assert fields == Fields(
        500, 600, 400, 1200, 1300, 700, 1100, 800, 0, 1, 100, 101, 200, 201, 300, 301, None, None, None
    )
    raw = buffer(3, order)
    assert TABLE.plan(raw).fields(raw)[-3:] == (900, 1000, 2100)


def test_attributes_by_name() -> None:
    raw = buffer(5, aces=b"variable length")
    assert TABLE.get(raw, "ZPL_DXATTR") == (b"variable length", "<")
    assert TABLE.get(raw, "ZPL_MODE") == (struct.pack("<Q", 500), "<")
    assert TABLE.get(raw, "ZPL_SIZE") is None
    assert TABLE.get(raw, "ZPL_UNHEARD_OF") is None
    assert TABLE.names(raw) == ["ZPL_DACL_ACES", "ZPL_DXATTR", "ZPL_MODE"]
    with pytest.raises(CorruptError, match="lacks the attribute"):
        TABLE.plan(raw).fields(raw)


def test_numbers_are_those_of_the_registry() -> None:
    """Another platform may have registered the same names in another order."""
    swapped = {**REGISTRY, 5: sa.Attribute(5, "ZPL_SIZE", 8, 0), 6: sa.Attribute(6, "ZPL_MODE", 8, 0)}
    raw = buffer(2)
    fields = SaTable(swapped, {2: FILE}).plan(raw).fields(raw)
    assert (fields.mode, fields.size) == (600, 500)


def test_what_is_refused() -> None:
    raw = buffer(2)
    for cut in range(len(raw)):
        with pytest.raises(CorruptError):
            TABLE.plan(raw[:cut])
    with pytest.raises(CorruptError, match="not registered"):
        SaTable(REGISTRY, {}).plan(raw)
    wrong = {**REGISTRY, 5: sa.Attribute(5, "ZPL_MODE", 16, 0)}
    with pytest.raises(CorruptError, match="wrong length"):
        SaTable(wrong, {2: (5,)}).plan(raw)


@given(st.binary(max_size=400), st.integers(0, 6), st.integers(0, 63))
def test_hostile_buffers(tail: bytes, layout: int, size: int) -> None:
    raw = struct.pack("<IH", sa.SA_MAGIC, layout | size << 10) + tail
    try:
        plan = TABLE.plan(raw)
        for name in TABLE.numbers:
            TABLE.get(raw, name)
        plan.fields(raw)
    except PoolError:
        pass


def test_plans_are_not_hoarded() -> None:
    table = SaTable(REGISTRY, {5: TABLE.layouts[5]})
    for length in range(MAX_PLANS + 10):
        table.plan(buffer(5, aces=bytes(length)))
    assert len(table._plans) <= MAX_PLANS


def test_a_pool(opened: Callable[[str], Any]) -> None:
    table = opened("names").fs("tank-names/nfs4").filesystem.sa
    assert {a.name for a in table.registry.values()} >= {name for name, _, _ in sa.STANDARD[:21]}
    assert table.layouts[1] == ()
    assert all(number in table.registry for layout in table.layouts.values() for number in layout)


def test_speed(opened: Callable[[str], Any]) -> None:
    """Opening a file's attributes takes microseconds: generously bounded, since machines differ and are busy."""
    fs = opened("classes").fs("tank-classes/home").filesystem
    dnodes = [z.dnode for z in fs.znodes()]
    begin = time.perf_counter()
    rounds = 20
    for _ in range(rounds):
        for dnode in dnodes:
            z = Znode(fs, dnode)
            assert z.mode
            assert z.mtime is not None
    each = (time.perf_counter() - begin) / rounds / len(dnodes)
    assert each < 100e-6
