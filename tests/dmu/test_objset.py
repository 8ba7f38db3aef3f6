"""Object sets of real pools against zdb's listing; made-up ones in both byte orders, with losses and hostile bytes."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.errors import ChecksumError, CorruptError, KeyUnavailableError, NotFoundError, PoolError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.blkptr import BLKPTR
from uberblock.pool.ondisk.dmutypes import type_info
from uberblock.pool.ondisk.dnode import DnodePhys

from .conftest import BIRTH, OBJECT_LINE, MemoryZio, Opened, build_objset, build_tree

UNITS = {"": 0, "K": 10, "M": 20, "G": 30}


def size_of(text: str) -> int | None:
    """zdb's size as a number, where it is exact."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    return int(match[1]) << UNITS[match[2]] if match else None


def check_listing(objset: Objset, lines: list[tuple[str, ...]]) -> None:
    """Every object that zdb lists, with levels, block sizes, dnode size and type."""
    listed = {int(line[0]): line for line in lines}
    ours = {d.number: d for d in objset.objects()}
    for special in (objset.meta, objset.userused, objset.groupused, objset.projectused):
        if special is not None:
            ours[special.number] = special
    assert set(ours) == set(listed)
    for number, dnode in ours.items():
        _, levels, indirect, block, used, slots, length, text = listed[number]
        assert int(levels) == dnode.nlevels
        assert size_of(indirect) == 1 << dnode.indblkshift
        assert size_of(slots) == 512 * (dnode.extra_slots + 1)
        for printed, value in ((block, dnode.datablksz), (length, dnode.size)):
            assert size_of(printed) in (None, value)
        # Of the space in use whole sectors are printed, to three digits.
        assert abs((size_of(used) or dnode.used_bytes) - dnode.used_bytes) < dnode.used_bytes / 50 + 512
        if dnode.type < 0x80:
            assert type_info(dnode.type).text in (text, {"zap": "other ZAP"}.get(text, text)) or text == "zap"


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("kind", ["single", "names", "version28", "encrypted", "raidz2", "compat-old"])
def test_objects_as_zdb_lists_them(opened: Callable[[str], Opened], kind: str) -> None:
    pool = opened(kind)
    sections = re.split(r"^Dataset (?=\S)", pool.zdb("-ddd", pool.spa.name), flags=re.M)[1:]
    datasets = {ds.name: ds for ds in pool.spa.dsl.datasets()}
    checked = 0
    for text in sections:
        name = text.split(" [")[0]
        if name == "mos":
            check_listing(pool.mos, OBJECT_LINE.findall(text))
        elif name in datasets:
            objset = Objset(pool.spa.zio, datasets[name].bp, raw=True, name=name)
            check_listing(objset, OBJECT_LINE.findall(text))
        checked += 1
    assert checked >= len(datasets)


@pytest.mark.parametrize("kind", ["classes", "draid"])
def test_object_counts(opened: Callable[[str], Opened], kind: str) -> None:
    pool = opened(kind)
    for ds in pool.spa.dsl.datasets():
        objset = ds.objset()
        numbers = [d.number for d in objset.objects()]
        assert len(numbers) == objset.object_count and numbers == sorted(set(numbers))
        assert objset.name == ds.name and not objset.encrypted


def test_starting_in_the_middle(opened: Callable[[str], Opened]) -> None:
    objset = opened("single").objset("tank/mass")
    numbers = [d.number for d in objset.objects()]
    middle = numbers[len(numbers) // 2]
    assert [d.number for d in objset.objects(middle)] == numbers[len(numbers) // 2 :]
    assert next(iter(objset.objects(middle + 1))).number == numbers[len(numbers) // 2 + 1]
    assert not list(objset.objects(objset.last_object + 1))


def test_single_objects(opened: Callable[[str], Opened]) -> None:
    objset = opened("single").objset("tank/home")
    for dnode in objset.objects():
        again = objset.dnode(dnode.number)
        assert (again.bonus, again.size, again.blkptr.tobytes()) == (dnode.bonus, dnode.size, dnode.blkptr.tobytes())
    assert objset.dnode(0) is objset.meta and objset.dnode(-1) is objset.userused
    for absent in (10**6, 1 << 48, 1 << 70, -4, 5 * 10**9):
        with pytest.raises(NotFoundError, match="no such object"):
            objset.dnode(absent)


def test_encrypted_without_a_key(opened: Callable[[str], Opened]) -> None:
    pool = opened("encrypted")
    locked = next(ds for ds in pool.spa.dsl.datasets() if ds.encrypted)
    objset = Objset(pool.spa.zio, locked.bp, raw=True, name=locked.name)
    assert objset.encrypted and objset.locked
    files = [d for d in objset.objects() if d.type == 19 and d.size]
    assert files
    with pytest.raises(KeyUnavailableError):
        files[0].bonus  # noqa: B018
    readable = next(f for f in files if not blkptr.is_hole(f.bps(0, 1)[0]))
    with pytest.raises(KeyUnavailableError):
        readable.read(0, 100)
    with pytest.raises(KeyUnavailableError):
        Objset(pool.spa.zio, locked.bp, name=locked.name).dnode(1)
    # The master node lies in the clear.
    assert objset.dnode(1).block(0)[0]


# --- made by hand ---------------------------------------------------------------------------------------------------


def numbers_of(objset: Objset) -> list[int]:
    return [d.number for d in objset.objects()]


@pytest.mark.parametrize("order", ["<", ">"])
def test_objects_far_apart(order: str) -> None:
    zio = MemoryZio()
    spread = [1, 31, 32, 5000, 32768 * 9 + 7, (1 << 48) - 1]
    dnodes = {n: DnodePhys(type=19, bonustype=44, bonus=b"%d" % n, order=order) for n in spread}
    used = DnodePhys(type=39, order=order)
    objset = build_objset(zio, dnodes, order=order, nlevels=6, userused=used)
    assert numbers_of(objset) == spread
    assert [d.bonus for d in objset.objects()] == [b"%d" % n for n in spread]
    assert objset.dnode(5000).bonus == b"5000" and objset.dnode(5000).order == order
    assert objset.userused is not None and objset.userused.number == -1 and objset.groupused is None
    assert zio.reads < 60
    for absent in (2, 33, 1 << 40):
        with pytest.raises(NotFoundError):
            objset.dnode(absent)


def test_large_dnodes_and_what_is_inside_them() -> None:
    zio = MemoryZio()
    large = DnodePhys(type=19, extra_slots=3, bonus=b"\x13" * 1700)
    objset = build_objset(zio, {4: large, 8: DnodePhys(type=20)})
    assert numbers_of(objset) == [4, 8]
    assert objset.dnode(4).bonus == b"\x13" * 1700
    with pytest.raises(NotFoundError):
        objset.dnode(5)


def test_losses_are_told_and_passed() -> None:
    zio = MemoryZio()
    every = range(1, 32 * 3000, 16)
    objset = build_objset(zio, {n: DnodePhys(type=19) for n in every}, nlevels=3)
    del zio.blocks[int(objset.meta.bps(10, 1)[0]["dva"][0, 1])]
    second = objset.meta._tree.pointers(1, 1, 1)[0]
    del zio.blocks[int(second["dva"][0, 1])]
    objset = Objset(objset.zio, objset.bp)
    with pytest.raises(ChecksumError):
        numbers_of(objset)
    told: list[tuple[int, int, PoolError]] = []
    found = [d.number for d in objset.objects(damaged=lambda *args: told.append(args))]
    lost = {n for n in every if n // 32 == 10 or 1024 <= n // 32 < 2048}
    assert found == [n for n in every if n not in lost]
    assert [(first, count) for first, count, _ in told] == [(320, 32), (32768, 32768)]


def test_one_bad_pointer_or_dnode_among_many() -> None:
    zio = MemoryZio()
    dnodes = {n: DnodePhys(type=19) for n in range(1, 200)}
    dnodes[100].nlevels = 9
    objset = build_objset(zio, dnodes)
    at = int(objset.phys.metadnode.blkptr[0]["dva"][0, 1])
    pointers = np.frombuffer(bytearray(zio.blocks[at]), dtype=BLKPTR)
    pointers["birth"][2] = BIRTH + 5
    zio.blocks[at] = pointers.tobytes()
    told: list[tuple[int, int, PoolError]] = []
    found = [d.number for d in Objset(objset.zio, objset.bp).objects(damaged=lambda *args: told.append(args))]
    assert found == [n for n in range(1, 200) if n != 100 and n // 32 != 2]
    assert [(first, count) for first, count, _ in told] == [(64, 32), (100, 1)]
    with pytest.raises(CorruptError, match="levels"):
        Objset(objset.zio, objset.bp).dnode(100)
    with pytest.raises(CorruptError, match="born after"):
        Objset(objset.zio, objset.bp).dnode(70)


def test_pointers_to_something_else() -> None:
    zio = MemoryZio()
    with pytest.raises(NotFoundError, match="never written"):
        Objset(zio, np.zeros(1, dtype=BLKPTR)[0])  # type: ignore[arg-type]
    with pytest.raises(CorruptError, match="not point to an object set"):
        Objset(zio, zio.store(bytes(4096), kind=19))  # type: ignore[arg-type]
    with pytest.raises(CorruptError, match="level"):
        Objset(zio, zio.store(bytes(4096), kind=11, level=1))  # type: ignore[arg-type]
    with pytest.raises(CorruptError, match="size"):
        Objset(zio, zio.store(bytes(8192), kind=11))  # type: ignore[arg-type]
    with pytest.raises(CorruptError, match="no metadnode"):
        Objset(zio, zio.store(bytes(704) + b"\2" + bytes(3391), kind=11))  # type: ignore[arg-type]


def test_spill_blocks() -> None:
    zio = MemoryZio()
    spill = zio.store(b"s" * 512, kind=44)
    phys = DnodePhys(type=19, bonustype=44, flags=4, spill=spill)
    young = DnodePhys(type=19, bonustype=44, flags=4, spill=zio.store(b"s" * 512, kind=44, birth=BIRTH + 1))
    objset = build_objset(zio, {1: phys, 2: DnodePhys(type=19), 3: young})
    assert objset.dnode(1).read_spill() == (b"s" * 512, "<")
    with pytest.raises(NotFoundError, match="no spill"):
        objset.dnode(2).read_spill()
    with pytest.raises(CorruptError, match="born after"):
        objset.dnode(3).read_spill()


def test_facts_of_a_dnode() -> None:
    zio = MemoryZio()
    phys = build_tree(zio, {0: b"a" * 512, 31: b"b" * 512}, used=7, checksum=8, compress=15)
    dnode = build_objset(zio, {9: phys}).dnode(9)
    assert isinstance(dnode, Dnode) and "object 9" in repr(dnode)
    facts = (dnode.type, dnode.nlevels, dnode.indblkshift, dnode.datablksz, dnode.maxblkid, dnode.used_bytes)
    assert facts == (19, 2, 12, 512, 31, 7)
    assert (dnode.checksum, dnode.compress, dnode.flags, dnode.nblkptr, dnode.bonuslen) == (8, 15, 1, 1, 0)


def test_one_block_of_dnodes_in_many_places() -> None:
    """A few blocks made an object set of 2^50 objects, which took for ever to list."""
    zio = MemoryZio()
    made = build_objset(zio, {1: build_tree(zio, {0: b"a" * 512}, nlevels=1)})
    at = int(made.meta.blkptr["dva"][0, 0, 1])
    pointers = np.frombuffer(bytearray(zio.blocks[at]), dtype=BLKPTR)
    pointers[:] = pointers[0]
    zio.blocks[at] = pointers.tobytes()
    made.meta.maxblkid = made.meta.phys.maxblkid = 1023
    with pytest.raises(CorruptError, match="several places"):
        list(made.objects())
    told: list[tuple[int, int]] = []
    assert not list(made.objects(damaged=lambda first, count, error: told.append((first, count))))
    assert told == [(0, 1024 * 32)]
