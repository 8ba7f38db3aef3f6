"""Attributes written: layouts registered as OpenZFS does, buffers as it made them, and nothing left of what failed."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from dmu.writefake import FakeDnode, FakeObjset
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.dmu.mutablezap import create_zap
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.errors import NotFoundError, UnsupportedError, UsageError
from uberblock.pool.ondisk import sa
from uberblock.pool.zpl.sa import SaTable
from uberblock.pool.zpl.sawrite import FIXED, NEW_FILE, OPTIONAL, MutableSaTable, bonus_capacity

FILE = tuple(name for name in NEW_FILE if name not in OPTIONAL)
LENGTHS = {name: length for name, length, _ in sa.STANDARD}


def table() -> tuple[FakeObjset, MutableSaTable]:
    objset = FakeObjset()
    rng = random.Random(1)
    with objset.transaction():
        master = create_zap(objset, 45, rng.randbytes, number=32)  # type: ignore[arg-type]
        assert master.dnode.number == 32
    return objset, MutableSaTable(objset, 32, rng.randbytes)


def values(*extra: tuple[str, bytes], names: tuple[str, ...] = FILE) -> dict[str, bytes]:
    made = {name: bytes([i + 1]) * (LENGTHS[name] or 24) for i, name in enumerate(names)}
    return {**made, **dict(extra)}


def new_file(objset: FakeObjset, table: MutableSaTable, attributes: dict[str, bytes]) -> FakeDnode:
    image = table.encode(attributes, capacity=bonus_capacity())
    dnode = objset.allocate(19, bonus_type=44, bonus=image.bonus)
    if image.spill is not None:
        dnode.set_spill(image.spill)
    return dnode


def test_the_first_file_of_a_file_system() -> None:
    objset, written = table()
    assert written.registry == {} and written.layouts == {1: ()}
    with objset.transaction():
        dnode = new_file(objset, written, values(names=NEW_FILE))
    assert len(dnode.bonus) == 8 + 8 * 10 + 64 + 8 + 24 and dnode.spill_data is None
    heads = {e.name: e.value for e in Zap(objset.dnode(32)).items()}  # type: ignore[arg-type]
    registry, layouts = (objset.dnode(heads[name]) for name in (b"REGISTRY", b"LAYOUTS"))
    assert (registry.type, registry.datablksz) == (46, 1536) and (layouts.type, layouts.datablksz) == (47, 16384)
    entry = Zap(layouts).find("2")  # type: ignore[arg-type]
    assert entry is not None and entry.integer_size == 2 and len(Zap(layouts)) == 1  # type: ignore[arg-type]
    assert entry.values == (5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8, 21, 10, 16, 19)
    read = SaTable.load(objset, 32)  # type: ignore[arg-type]
    assert read.registry == sa.standard_registry() == written.registry
    assert read.names(dnode.bonus) == list(NEW_FILE)
    # Where the accounting of space looks.
    for name, at in (("ZPL_MODE", 0), ("ZPL_GEN", 16), ("ZPL_UID", 24), ("ZPL_GID", 32), ("ZPL_PROJID", 128)):
        assert dnode.bonus[8 + at :].startswith(values(names=NEW_FILE)[name])


def test_when_the_spill_block_is_used() -> None:
    """The figures are of buffers made by OpenZFS."""
    objset, written = table()
    with objset.transaction():
        dnode = new_file(objset, written, values(("ZPL_DACL_ACES", b"a" * 24)))
        assert len(dnode.bonus) == 168
        written.change(dnode, {"ZPL_DXATTR": b"x" * 100})
        assert len(dnode.bonus) == 276 and not dnode.has_spill
        written.change(dnode, {"ZPL_DXATTR": b"x" * 136})
        assert len(dnode.bonus) == 312 and not dnode.has_spill and sa.decode_header(dnode.bonus).size == 16
        written.change(dnode, {"ZPL_DXATTR": b"x" * 150})
        assert len(dnode.bonus) == 192 and sa.decode_header(dnode.bonus).size == 8
        spill, _ = dnode.read_spill()
        assert len(spill) == 512 and written.names(spill) == ["ZPL_DXATTR"] and sa.decode_header(spill).size == 8
        for length, size in ((5000, 5120), (40000, 40448), (300, 40448), (65535, 66048)):
            written.change(dnode, {"ZPL_DXATTR": b"x" * length})
            assert len(dnode.read_spill()[0]) == size
        written.change(dnode, {"ZPL_XATTR": bytes(8)})
        assert written.names(dnode.read_spill()[0]) == ["ZPL_DXATTR", "ZPL_XATTR"]
        assert len(dnode.read_spill()[0]) == 66048
        written.change(dnode, {"ZPL_DXATTR": None})
        assert not dnode.has_spill and len(dnode.bonus) == 176
        assert written.names(dnode.bonus) == [*FILE, "ZPL_XATTR"]
        assert written.layouts[2] == (5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8, 16, 19)
    assert sorted(written.layouts) == list(range(1, len(written.layouts) + 1))
    assert SaTable.load(objset, 32).layouts == written.layouts  # type: ignore[arg-type]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ZPL_DXATTR", "ZPL_SYMLINK", "ZPL_XATTR", "ZPL_DACL_ACES", "ZPL_SIZE", "ZPL_PROJID"]),
        st.one_of(st.none(), st.integers(0, 400)),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.sampled_from([512, 1024]))
def test_changes_against_a_dict(steps: list[tuple[str, int | None, bool]], dnode_size: int) -> None:
    objset, written = table()
    model = values()
    with objset.transaction():
        dnode = new_file(objset, written, model)
        dnode.extra_slots = dnode_size // 512 - 1
    for name, length, undo in steps:
        value = None if length is None else bytes([length % 251]) * (LENGTHS[name] or length)
        if name == "ZPL_SIZE" and value is None:
            continue
        if undo:
            with pytest.raises(ZeroDivisionError), objset.transaction():
                written.change(dnode, {name: value, "ZPL_RDEV": bytes(8)})
                raise ZeroDivisionError
            continue
        with objset.transaction():
            written.change(dnode, {name: value})
        if value is None:
            model.pop(name, None)
        else:
            model[name] = value
    assert written.read(dnode) == model  # type: ignore[arg-type]
    assert list(written.read(dnode)) == list(model)  # type: ignore[arg-type]
    plain = SaTable.load(objset, 32)  # type: ignore[arg-type]
    buffers = [dnode.bonus, *([dnode.read_spill()[0]] if dnode.has_spill else [])]
    assert [name for buffer in buffers for name in plain.names(buffer)] == list(model)
    assert len(set(plain.layouts.values())) == len(plain.layouts)
    if dnode.has_spill:
        assert len(dnode.bonus) == dnode.bonus_capacity - 128


def test_layouts_taken_back_are_forgotten() -> None:
    objset, written = table()
    with pytest.raises(ZeroDivisionError), objset.transaction():
        new_file(objset, written, values())
        raise ZeroDivisionError
    written.refresh()
    assert written.registry == {} and written.layouts == {1: ()} and list(objset.objects) == [32]
    with objset.transaction():
        dnode = new_file(objset, written, values())
    with pytest.raises(ZeroDivisionError), objset.transaction():
        written.change(dnode, {"ZPL_XATTR": bytes(8)})
        assert 3 in written.layouts
        raise ZeroDivisionError
    with objset.transaction():
        written.change(dnode, {"ZPL_SYMLINK": b"target"})
    assert SaTable.load(objset, 32).layouts == written.layouts  # type: ignore[arg-type]
    assert written.layouts[3][-1] == 17 and sorted(written.layouts) == [1, 2, 3]
    other = MutableSaTable(objset, 32, random.Random(2).randbytes)
    with objset.transaction():
        other.change(dnode, {"ZPL_XATTR": bytes(8)})
    assert written.names(dnode.bonus)[-1] == "ZPL_XATTR"


def test_an_attribute_that_is_new_gets_the_next_number() -> None:
    objset, written = table()
    with objset.transaction():
        new_file(objset, written, values())
        heads = Zap(objset.dnode(32))  # type: ignore[arg-type]
        registry = written._zaps["REGISTRY"]
        registry.remove("ZPL_PROJID")
        registry.add("ZPL_OF_TOMORROW", sa.encode_registration(sa.Attribute(40, "ZPL_OF_TOMORROW", 8, 0)))
        written.refresh()
        assert written.number_of("ZPL_OF_TOMORROW") == 40
        assert written.number_of("ZPL_PROJID") == 41
        assert "ZPL_PROJID" in registry and heads.get_int("REGISTRY") == registry.dnode.number
        with pytest.raises(NotFoundError, match="no such system attribute"):
            written.number_of("ZPL_NONSENSE")


def test_what_is_refused() -> None:
    objset, written = table()
    with objset.transaction():
        with pytest.raises(UsageError, match="out of order"):
            written.encode({"ZPL_SIZE": bytes(8), **values()}, capacity=320)
        with pytest.raises(UsageError, match="first attributes"):
            written.encode(values(), capacity=150)
        with pytest.raises(UsageError, match="has 8 bytes"):
            written.encode(values(("ZPL_SIZE", bytes(4))), capacity=320)
        with pytest.raises(UsageError, match="too long"):
            written.encode(values(("ZPL_SIZE", bytes(16))), capacity=320)
        with pytest.raises(UsageError, match="too long"):
            written.encode(values(("ZPL_DXATTR", bytes(65536))), capacity=320)
        with pytest.raises(UsageError, match="do not fit into a spill"):
            written.encode(values(("ZPL_DXATTR", bytes(65535)), ("ZPL_SYMLINK", bytes(65535))), capacity=320)
        dnode = new_file(objset, written, values())
        dnode.set_bonus(struct.pack(">IHH", sa.SA_MAGIC, 1 | 1 << 10, 0))
        with pytest.raises(UnsupportedError, match="big-endian"):
            written.change(dnode, {"ZPL_XATTR": bytes(8)})
        written.layouts.update({n: (n,) for n in range(2, 1024)})
        with pytest.raises(UsageError, match="another layout"):
            written.layout_for((1, 2, 3))
    assert FILE[:7] == FIXED


SPILLED = ("single", "classes")


@pytest.mark.parametrize("pool", ["names", "compat", "single", "block-cloning", "classes"])
def test_real_files_encode_to_the_same_bytes(opened: Callable[[str], Any], pool: str) -> None:
    """Every file of the pools' file systems: its attributes, encoded, are the bytes OpenZFS wrote."""
    count = spills = 0
    for dataset in opened(pool).spa.dsl.datasets():
        if dataset.encrypted or dataset.objset().type != 2:
            continue
        real = dataset.objset()
        master = Zap(real.dnode(1)).get_int("SA_ATTRS", 0)
        if not master:
            continue
        theirs = SaTable.load(real, master)
        objset, written = table()
        with objset.transaction():
            written.number_of("ZPL_MODE")
            for number, layout in sorted(theirs.layouts.items()):
                if layout:
                    assert written.layout_for(layout) == number
        for dnode in real.objects():
            if dnode.bonustype != 44:
                continue
            buffers = [dnode.bonus]
            if dnode.flags & 4:
                buffers.append(dnode.read_spill()[0])
                spills += 1
            attributes: dict[str, bytes] = {}
            for buffer in buffers:
                places = theirs.plan(buffer).places
                attributes |= {theirs.registry[n].name: buffer[at : at + size] for n, (at, size) in places.items()}
            capacity = 512 * (1 + dnode.extra_slots) - 64 - 128 * dnode.nblkptr
            image = written.encode(attributes, capacity=capacity, spill_size=len(buffers[-1]) if dnode.flags & 4 else 0)
            # Behind the attributes OpenZFS leaves what was there before.
            for mine, real_one in zip((image.bonus, image.spill), (*buffers, None)):
                end = theirs.plan(real_one).end if real_one is not None else None
                assert (mine is None) == (real_one is None)
                if mine is not None and real_one is not None:
                    assert mine[:end] == real_one[:end] and len(mine) == len(real_one)
            count += 1
    assert count and (spills or pool not in SPILLED)
