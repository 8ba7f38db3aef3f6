"""ZAPs being changed: against a dict, through every way of growing, taken back; real ones changed and read again."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import zaphash
from uberblock.pool.dmu import mutablezap
from uberblock.pool.dmu.mutablezap import MutableZap, create_zap
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.errors import CorruptError, ExistsError, NoSpaceError, NotFoundError, UnsupportedError, UsageError
from uberblock.pool.ondisk import zap as ondisk_zap
from uberblock.pool.ondisk.dmutypes import Swap, type_info
from uberblock.pool.ondisk.zap import FLAG_HASH64, FLAG_PREHASHED_KEY, FLAG_UINT64_KEY, FatHeader

from .conftest import Opened
from .writefake import FakeDnode, FakeObjset
from .zapcheck import check_fat

KIND = 27


def made(objset: FakeObjset | None = None, seed: int = 1, **settings: Any) -> tuple[FakeObjset, MutableZap]:
    objset = objset or FakeObjset()
    with objset.transaction():
        zap = create_zap(objset, KIND, random.Random(seed).randbytes, **settings)  # type: ignore[arg-type]
    return objset, zap


def same(zap: MutableZap, model: dict[bytes, Any]) -> None:
    """The ZAP, and one opened anew by the plain reader, hold just these."""
    for one in (zap, Zap(zap.dnode)):
        assert len(one) == len(model)
        values = {e.name: e.values[0] if len(e.values) == 1 else e.values for e in one.items()}
        assert values == model
        for name in random.Random(3).sample(sorted(model), min(len(model), 50)):
            assert one.get(name) == model[name]
        assert one.find(b"no such name") is None
    if not zap.is_micro:
        check_fat(zap.dnode)


NAMES = st.one_of(
    st.integers(0, 30).map(lambda n: b"n%d" % n),
    st.integers(0, 10).map(lambda n: b"long" * 13 + b"%d" % n),
    st.binary(min_size=1, max_size=60).map(lambda b: b.replace(b"\0", b"0")),
)
VALUES = st.one_of(
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**64 - 1), max_size=9).map(tuple)
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "update", "remove", "increment", "undo"]), NAMES, VALUES), max_size=60
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([{}, {"block_size": 1024, "flags": FLAG_HASH64}, {"normflags": 2}]))
def test_against_a_dict(steps: list[tuple[str, bytes, Any]], shape: dict[str, int]) -> None:
    objset, zap = made(**shape)
    model: dict[bytes, Any] = {}
    for what, name, value in steps:
        if isinstance(value, tuple) and len(value) == 1:
            (value,) = value
        if what == "undo":
            with pytest.raises(ZeroDivisionError), objset.transaction():
                zap.update(name, value)
                zap.update(b"another" + name, 5)
                raise ZeroDivisionError
            continue
        with objset.transaction():
            if what == "update" or (what == "add" and name not in model):
                (zap.update if what == "update" else zap.add)(name, value)
                model[name] = value
            elif what == "add":
                with pytest.raises(ExistsError):
                    zap.add(name, value)
            elif what == "remove" and name in model:
                assert zap.remove(name).name == name
                del model[name]
            elif what == "remove":
                with pytest.raises(NotFoundError):
                    zap.remove(name)
            elif isinstance(value, int) and isinstance(model.get(name, 0), int):
                total = (model.get(name, 0) + value) % 2**64
                assert zap.increment(name, value) == total
                model[name] = total
                if not total:
                    del model[name]
        assert (name in zap) == (name in model)
    same(zap, model)


def test_a_micro_zap_grows_by_sectors() -> None:
    objset, zap = made()
    assert zap.is_micro and zap.dnode.datablksz == 512 and zap.salt & 1
    with objset.transaction():
        for i in range(2047):
            zap.add(f"{i:x}", i)
            assert zap.dnode.datablksz == max(512, -(-(i + 2) * 64 // 512) * 512)
    assert zap.is_micro and zap.dnode.datablksz == 128 << 10
    same(zap, {b"%x" % i: i for i in range(2047)})
    with objset.transaction():
        zap.remove("5")
        zap.add("five", 55)
        assert zap.is_micro
        zap.add("5", 5)
    assert not zap.is_micro and zap.dnode.datablksz == 16384
    same(zap, {**{b"%x" % i: i for i in range(2047)}, b"five": 55})


@pytest.mark.parametrize(
    ("name", "value", "size"),
    [("x" * 50, 1, 8), ("x", (1, 2), 8), ("x", (), 8), ("x", 1, 4), ("x", b"bytes", 1), ("x", 7, 1)],
)
def test_what_makes_a_zap_fat(name: str, value: Any, size: int) -> None:
    objset, zap = made()
    with objset.transaction():
        zap.add("x" * 49, 2**64 - 1)
        zap.add("there", 3)
        assert zap.is_micro
        zap.update("there", 4)
        salt = zap.salt
        zap.add(name, value, size)
    assert not zap.is_micro and zap.salt == salt
    entry = Zap(zap.dnode).find(name)
    assert entry is not None and entry.integer_size == size
    assert entry.values == (tuple(value) if isinstance(value, (bytes, tuple)) else (value,))
    assert zap.get("there") == 4 and zap.get("x" * 49) == 2**64 - 1 and len(zap) == 3
    check_fat(zap.dnode)
    with objset.transaction():
        zap.update("there", (1, 2, 3), 2)
        zap.update("there", b"x" * 8192, 1)
        zap.update("x" * 49, 5)
    assert zap.get_bytes("there") == b"x" * 8192
    check_fat(zap.dnode)


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_many_entries(count: int) -> None:
    """The bound is generous: machines differ, and are busy."""
    objset, zap = made()
    begin = time.process_time()
    with objset.transaction():
        for i in range(count):
            zap.add(b"a name of some length %d" % i, i)
    spent = time.process_time() - begin
    assert spent < 500e-6 * count
    header = zap.header
    assert header is not None and header.num_entries == count
    found = {e.name: e.value for e in Zap(zap.dnode).items()}
    assert found == {b"a name of some length %d" % i: i for i in range(count)}
    check_fat(zap.dnode)
    with objset.transaction():
        for i in range(0, count, 3):
            zap.remove(b"a name of some length %d" % i)
    assert len(zap) == count - len(range(0, count, 3))
    assert b"a name of some length 4" in zap and b"a name of some length 3" not in zap


def test_the_table_doubles_again_and_again() -> None:
    objset, zap = made(flags=FLAG_HASH64, block_size=512)
    model = {}
    shifts = set()
    with objset.transaction():
        for i in range(3000):
            zap.add(b"%d" % i, i)
            model[b"%d" % i] = i
            shifts.add(zap._fat.table_shift)
    header = Zap(zap.dnode).header
    assert header is not None and header.table_numblks > 8 and {5, 6, 7, 8} <= shifts
    same(zap, model)


@pytest.mark.parametrize("flags", [FLAG_UINT64_KEY | FLAG_HASH64, FLAG_UINT64_KEY | FLAG_HASH64 | FLAG_PREHASHED_KEY])
def test_keys_of_words(flags: int) -> None:
    objset, zap = made(flags=flags, block_size=4096)
    rng = random.Random(2)
    model = {tuple(rng.getrandbits(64) for _ in range(5)): rng.randbytes(40) for _ in range(2000)}
    with objset.transaction():
        for key, value in model.items():
            zap.update(key, value, 1)
        gone = next(iter(model))
        zap.remove(gone)
        del model[gone]
    read = Zap(zap.dnode)
    assert {e.words: e.data for e in read.items()} == model and read.word_keys
    check_fat(zap.dnode)
    with objset.transaction(), pytest.raises(UsageError):
        zap.add("a name", 1)


def test_folded_names() -> None:
    for shape in ({"normflags": 0x12}, {"normflags": 0x12, "flags": FLAG_HASH64}):
        objset, zap = made(**shape)
        with objset.transaction():
            for number, name in enumerate([b"Readme", b"README", b"readme", b"r\xc3\xa9sum\xc3\xa9"]):
                zap.add(name, number)
            assert zap.find("ReadMe") is None
            found = zap.find("rEADME", fold=True)
            assert found is not None and (found.value, found.cd) == (0, 0)
            assert zap.find("rEADME", fold=True, match_case=True) is None
            assert zap.find("RE\u0301SUM\u00c9", fold=True).value == 3  # type: ignore[union-attr]
            assert zap.remove("rEADME", fold=True).name == b"Readme"
            assert zap.find("rEADME", fold=True).name == b"README"  # type: ignore[union-attr]
            zap.add("readmE", 9)
            assert zap.find("rEADME", fold=True).name == b"readmE"  # type: ignore[union-attr]
        assert [Zap(zap.dnode).find(n, fold=True).value for n in ("README", "r\u00e9sum\u00e9")] == [9, 3]  # type: ignore[union-attr]
        with objset.transaction():
            zap.add("x" * 60, 1)
        check_fat(zap.dnode)
        leaf, _ = zap.dnode.block(1)
        assert leaf[36] == 1  # chains sorted by cd


def colliding(count: int, bits: int = 28) -> list[bytes]:
    """Names whose hashes agree in their upper bits whatever the salt: a CRC is linear."""
    width = 12
    base = zaphash.hash_name(0, b"\0" * width)
    rows = []
    for i in range(8 * width):
        if i % 8 < 6:  # the upper bits of each byte stay 01: printable
            byte = bytearray(width)
            byte[i // 8] = 1 << i % 8
            rows.append((zaphash.hash_name(0, bytes(byte)) ^ base, 1 << i))
    basis: dict[int, tuple[int, int]] = {}
    kernel = []
    for vector, combination in rows:
        top = vector >> (64 - bits)
        while top and top.bit_length() in basis:
            other, mixed = basis[top.bit_length()]
            top, combination = top ^ other, combination ^ mixed
        if top:
            basis[top.bit_length()] = (top, combination)
        else:
            kernel.append(combination)
    names = []
    for n in range(count):
        mixed = 0
        for i, one in enumerate(kernel):
            mixed ^= one if n >> i & 1 else 0
        names.append(bytes(b ^ 0x40 for b in mixed.to_bytes(width, "little")))
    return names


def test_names_of_one_hash() -> None:
    """As many as a leaf holds, in the micro form; then fat; then no more, and no table grown on the way."""
    names = colliding(400)
    objset, zap = made()
    assert len({zaphash.hash_name(zap.salt, n) >> 36 for n in names}) == 1
    with objset.transaction():
        for i, name in enumerate(names[:126]):
            zap.add(name, i)
        assert zap.is_micro and {e.cd for e in zap.items()} == set(range(126))
        zap.remove(names[7])
        zap.add(names[200], 7)
        assert zap.find(names[200]).cd == 7  # type: ignore[union-attr]
        zap.add(names[126], 126)
        cds = {e.name: e.cd for e in zap.items()}
        assert zap.is_micro and len(cds) == 127
        zap.add(names[127], 127)
        assert not zap.is_micro and {e.name: e.cd for e in zap.items()}.items() >= cds.items()
    check_fat(zap.dnode)
    with pytest.raises(NoSpaceError), objset.transaction():
        for i, name in enumerate(names[128:], 128):
            zap.update(name, i)
    assert len(zap) == 128
    with objset.transaction():
        for i, name in enumerate(names[128:200], 128):
            zap.add(name, i)
    with pytest.raises(NoSpaceError), objset.transaction():
        for i, name in enumerate(names[201:], 201):
            zap.add(name, i)
    assert zap.header.table_shift == 10 and len(zap) == 200  # type: ignore[union-attr]
    check_fat(zap.dnode)


def test_names_that_share_most_of_their_hash() -> None:
    names = colliding(300, bits=13)
    objset, zap = made()
    with objset.transaction():
        for i, name in enumerate(names):
            zap.add(name, i)
    same(zap, {name: i for i, name in enumerate(names)})
    with objset.transaction():
        for i in range(600):
            zap.add(b"long" * 20 + b"%d" % i, i)
        zap.update("fat", (1, 2))
    check_fat(zap.dnode)


def test_taken_back() -> None:
    """A transaction that fails leaves no trace: neither in the blocks, nor in what the ZAP believes."""
    objset, zap = made()
    model = {}
    for round_ in range(12):
        with objset.transaction():
            for i in range(300):
                zap.add(b"%d.%d" % (round_, i), i)
                model[b"%d.%d" % (round_, i)] = i
        with pytest.raises(ZeroDivisionError), objset.transaction():
            for i in range(400):
                zap.add(b"gone %d" % i, i)
            zap.remove(b"%d.7" % round_)
            zap.update(b"%d.8" % round_, (1, 2))
            assert not zap.is_micro and len(zap) == len(model) + 399
            raise ZeroDivisionError
        assert zap.is_micro == (len(model) < 2048)
        same(zap, model)


def test_changed_by_another() -> None:
    objset, zap = made()
    other = MutableZap(zap.dnode)
    with objset.transaction():
        for i in range(4000):
            (zap, other)[i % 2].add(b"%d" % i, i)
            assert len(zap) == len(other) == i + 1 and zap.get(b"%d" % i) == other.get(b"%d" % i) == i
            if i == 100:
                break
        listing = zap.items()
        next(listing)
        other.add(b"more", 1)
        with pytest.raises(UsageError, match="while"):
            list(listing)


def test_a_table_left_half_grown_is_completed() -> None:
    """OpenZFS doubles a table piece by piece over several transactions."""
    objset, zap = made(flags=FLAG_HASH64, block_size=1024)
    model = {b"%d" % i: i for i in range(1800)}
    with objset.transaction():
        for name, i in model.items():
            zap.add(name, i)
        header = Zap(zap.dnode).header
        assert header is not None and header.table_numblks == 2
        header.table_nextblk, header.table_blks_copied = header.freeblk, 1
        header.freeblk += 4
        first = np.frombuffer(zap.dnode.block(header.table_blk)[0], dtype="<u8")
        zap.dnode.write(header.table_nextblk * 1024, np.repeat(first, 2))
        zap.dnode.dirty_block(header.table_nextblk + 3)
        zap.dnode.dirty_block(0)[:] = np.frombuffer(ondisk_zap.encode_header(header, 1024), dtype=np.uint8)
    moves = []

    class Watched(MutableZap):
        def _move_table(self, first: int, count: int) -> None:
            moves.append((first, count))
            super()._move_table(first, count)

    watched = Watched(zap.dnode)
    while watched._fat.table_nextblk:
        name, i = b"%d" % len(model), len(model)
        with objset.transaction():
            watched.add(name, i)
        model[name] = i
    assert moves[0] == (header.table_nextblk, 4) and len(model) > 1800
    same(watched, model)


def test_what_no_zap_can_hold() -> None:
    objset, zap = made()
    with objset.transaction():
        for name in ("", "a\0b", "x" * 256, b"\0"):
            with pytest.raises(UsageError, match="name"):
                zap.add(name, 1)
        for value, size in ((-1, 8), (1 << 64, 8), (256, 1), ((1, -1), 4), (b"x", 8), (1, 3), (b"x" * 8193, 1)):
            with pytest.raises(UsageError):
                zap.add("name", value, size)
        assert zap.is_micro and len(zap) == 0
        zap.add("x" * 255, 1)
        assert zap.get("x" * 255) == 1
    objset, zap = made(long_names=True)
    with objset.transaction():
        zap.add("x" * 1023, 1)
        with pytest.raises(UsageError):
            zap.add("x" * 1024, 1)
    same(zap, {b"x" * 1023: 1})
    objset, zap = made(flags=FLAG_HASH64, block_size=512)
    with objset.transaction(), pytest.raises(UsageError, match="too large"):
        zap.add("name", b"x" * 400, 1)
    with pytest.raises(UsageError, match="power of two"):
        made(flags=FLAG_HASH64, block_size=1536)
    with pytest.raises(CorruptError, match="not one number"), objset.transaction():
        zap.add("two", (1, 2))
        zap.increment("two", 1)
    with pytest.raises(UsageError, match="transaction"):
        zap.add("outside", 1)
    assert len(zap) == 0


def test_a_header_that_calls_used_blocks_free() -> None:
    objset, zap = made(flags=FLAG_HASH64, block_size=512)
    with pytest.raises(CorruptError, match="in use"), objset.transaction():
        for i in range(8):
            zap.add(b"%d" % i, i)
        struct.pack_into("<Q", zap.dnode.dirty_block(0), 56, 1)
        for i in range(8, 40):
            zap.add(b"%d" % i, i)


def test_big_endian_blocks_are_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, zap = made()
    raw = ondisk_zap.encode_micro(ondisk_zap.MicroZap(5, 0, []), 512, ">")
    monkeypatch.setattr(FakeDnode, "block", lambda self, blkid: (raw, ">"))
    with pytest.raises(UnsupportedError, match="big-endian"):
        MutableZap(zap.dnode)


# --- real ones --------------------------------------------------------------------------------------------------------


def copied(dnode: Any, objset: FakeObjset) -> FakeDnode | None:
    """A real object's blocks in a fake one; None if they are big-endian."""
    with objset.transaction():
        copy = objset.allocate(dnode.type, block_size=dnode.datablksz)
        for blkid in range(dnode.maxblkid + 1):
            data, order = dnode.block(blkid)
            if order != "<":
                return None
            if any(data):
                copy.dirty_block(blkid, whole=True)[:] = np.frombuffer(data, dtype=np.uint8)
        copy.maxblkid = dnode.maxblkid
    return copy


@pytest.mark.parametrize("kind", ["names", "dedup", "dedup-legacy", "block-cloning"])
def test_real_zaps_changed(opened: Callable[[str], Opened], kind: str) -> None:
    """Every ZAP of a pool, micro and fat, written by OpenZFS: a third removed, others replaced, many added."""
    pool = opened(kind)
    rng = random.Random(5)
    fat = 0
    for real in pool.mos, *(ds.objset() for ds in pool.spa.dsl.datasets() if not ds.encrypted):
        objset = FakeObjset()
        for dnode in real.objects():
            if type_info(dnode.type).swap != Swap.ZAP or (dnode.type == 0xC4 and dnode.next_data(0) is None):
                continue
            copy = copied(dnode, objset)
            if copy is None:
                continue
            zap = MutableZap(copy, long_names=True)  # type: ignore[arg-type]
            fat += not zap.is_micro
            if not zap.is_micro:
                check_fat(copy)
            model = {e.words if zap.word_keys else e.name: (e.integer_size, e.values) for e in Zap(dnode).items()}
            keys = list(model)
            with objset.transaction():
                for key in rng.sample(keys, len(keys) // 3):
                    zap.remove(key)
                    del model[key]
                for key in rng.sample(list(model), len(model) // 3):
                    model[key] = (8, (rng.getrandbits(64), 5)[: rng.randrange(3)])
                    zap.update(key, model[key][1])
                for i in range(150):
                    key = (i, 2 * i, 3) if zap.word_keys else b"new name %d" % i
                    model[key] = (8, (i,))
                    zap.add(key, i)
            for one in (zap, Zap(copy)):  # type: ignore[arg-type]
                found = {e.words if one.word_keys else e.name: (e.integer_size, e.values) for e in one.items()}
                assert found == model and len(one) == len(model)
            if not zap.is_micro:
                check_fat(copy)
    assert fat


def test_settings_of_new_objects() -> None:
    objset, zap = made(number=9, bonus_type=12, bonus=bytes(256))
    assert zap.dnode.number == 9 and zap.dnode.bonustype == 12 and zap.dnode.type == KIND
    assert FatHeader(1, flags=1).hash_bits == 48 and mutablezap.FAT_SHIFT == 14
    again = made(objset, seed=1)[1]
    assert again.salt == zap.salt != made(objset, seed=2)[1].salt
