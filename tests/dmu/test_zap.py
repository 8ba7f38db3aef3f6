"""ZAPs of real pools against zdb; made-up fat ZAPs with every shape of pointer table, and hostile ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import zaphash
from uberblock.pool.dmu.textprep import normalize
from uberblock.pool.dmu.zap import Zap, hash_key
from uberblock.pool.errors import CorruptError, NotFoundError, PoolError, UsageError
from uberblock.pool.ondisk import zap as ondisk_zap
from uberblock.pool.ondisk.dmutypes import Swap, type_info
from uberblock.pool.ondisk.zap import FLAG_HASH64, FLAG_PREHASHED_KEY, FLAG_UINT64_KEY, FatHeader, MicroZap, ZapEntry

from .conftest import MemoryZio, Opened, build_objset, build_tree

SALT = 0x123456789ABCDEF1


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("kind", ["single", "dedup-legacy", "names", "version28"])
def test_contents_as_zdb_prints_them(opened: Callable[[str], Opened], kind: str) -> None:
    pool = opened(kind)
    text = pool.zdb("-dddd", pool.spa.name).split("Dataset mos")[1].split("\nDataset ")[0]
    checked = 0
    for part in text.split("Object  lvl   iblk")[1:]:
        number = re.search(r"^ +(-?\d+) ", part, re.M)
        if number is None or ("microzap" not in part and "Fat ZAP" not in part):
            continue
        if part.count("microzap") + part.count("Fat ZAP") > 1 or "bonus  DSL" in part:
            continue
        printed = dict(re.findall(r"^\t\t(\S+) = (\d+) $", part, re.M))
        zap = Zap(pool.mos.dnode(int(number[1])))
        for name, value in printed.items():
            assert zap.get(name) == int(value)
            checked += 1
        count = re.search(r"microzap: \d+ bytes, (\d+) entries|ZAP entries: (\d+)", part)
        assert count is not None and len(zap) == int(count[1] or count[2]) == len(list(zap.items()))
        salt = re.search(r"zap_salt: 0x([0-9a-f]+)", part)
        assert salt is None or zap.salt == int(salt[1], 16)
    assert checked > 20


@pytest.mark.parametrize("kind", ["names", "dedup", "dedup-legacy", "block-cloning", "encrypted"])
def test_every_name_is_found_again(opened: Callable[[str], Opened], kind: str) -> None:
    pool = opened(kind)
    objsets = [pool.mos] + [ds.objset() for ds in pool.spa.dsl.datasets() if not ds.encrypted]
    fat = 0
    for objset in objsets:
        for dnode in objset.objects():
            if type_info(dnode.type).swap != Swap.ZAP or (dnode.type == 0xC4 and dnode.next_data(0) is None):
                continue
            zap = Zap(dnode)
            entries = list(zap.items())
            fat += not zap.is_micro
            assert len(entries) == len(zap)
            for entry in entries:
                assert zap.find(entry.words if zap.word_keys else entry.name) == entry
                if not zap.is_micro:
                    raw = entry.name if zap.word_keys else normalize(entry.name, zap.normflags)
                    assert hash_key(zap.header, raw) == entry.hash  # type: ignore[arg-type]
    assert fat


def test_getting(opened: Callable[[str], Opened]) -> None:
    directory = opened("single").directory
    assert directory.get("root_dataset") == directory.get_int(b"root_dataset") == 32
    assert len(directory.get_bytes("org.illumos:checksum_salt")) == 32
    assert len(directory.get("org.illumos:checksum_salt")) == 32
    assert "config" in directory and "confi" not in directory
    assert directory.get("nothing", None) is None and directory.get_int("nothing", 7) == 7
    assert directory.get_bytes("nothing", b"") == b""
    for get in (directory.get, directory.get_int, directory.get_bytes):
        with pytest.raises(NotFoundError, match="nothing"):
            get("nothing")
    with pytest.raises(CorruptError, match="not one number"):
        directory.get_int("org.illumos:checksum_salt")
    with pytest.raises(UsageError):
        directory.find((1, 2))
    assert b"root_dataset" in directory.names() and 32 in directory.values()
    assert not directory.is_micro and directory.header is not None


# --- fat ZAPs made by hand ------------------------------------------------------------------------------------------


def build_fat(
    entries: list[tuple[bytes, tuple[int, ...]]],
    *,
    size: int = 1024,
    shift: int | None = None,
    flags: int = 0,
    normflags: int = 0,
    order: str = "<",
) -> tuple[MemoryZio, FatHeader, dict[int, bytes]]:
    """Blocks of a fat ZAP: leaves split until all fits, the pointer table external if ``shift`` says so."""
    words = bool(flags & FLAG_UINT64_KEY)
    table_shift = size.bit_length() - 5 if shift is None else shift
    header = FatHeader(SALT, normflags, flags, table_shift=table_shift)
    made: dict[int, list[ZapEntry]] = {}
    cds: dict[int, int] = {}
    for key, values in entries:
        hashed = hash_key(header, key if words else normalize(key, normflags))
        cd = cds.get(hashed, 0)
        cds[hashed] = cd + 1
        made.setdefault(hashed, []).append(ZapEntry(key, 8, values, cd, hashed))
    rows = [e for group in made.values() for e in group]
    blocks: dict[int, bytes] = {}
    table = np.zeros(1 << table_shift, dtype=np.uint64)
    pending = [(0, 0, rows)]
    while pending:
        prefix, length, mine = pending.pop()
        try:
            raw = ondisk_zap.encode_leaf(mine, size, prefix=prefix, prefix_len=length, words=words, order=order)
        except ValueError:
            assert length < table_shift
            half = [[e for e in mine if e.hash >> (63 - length) & 1 == bit] for bit in (0, 1)]
            pending += [(prefix * 2 + bit, length + 1, half[bit]) for bit in (1, 0)]
            continue
        blkid = len(blocks) + 1
        blocks[blkid] = raw
        table[prefix << (table_shift - length) : (prefix + 1) << (table_shift - length)] = blkid
    header.num_leafs, header.num_entries = len(blocks), len(rows)
    header.embedded = np.zeros(size // 16, dtype=np.uint64)
    if shift is None:
        header.embedded = table
    else:
        header.table_blk, header.table_numblks = len(blocks) + 1, (8 << table_shift) // size
        raw = table.astype(order + "u8").tobytes()
        for i in range(header.table_numblks):
            blocks[header.table_blk + i] = raw[i * size : (i + 1) * size]
    blocks[0] = ondisk_zap.encode_header(header, size, order)
    return MemoryZio(), header, blocks


def open_zap(zio: MemoryZio, blocks: dict[int, bytes], order: str = "<") -> Zap:
    size = len(blocks[0])
    phys = build_tree(zio, blocks, datablksz=size, indblkshift=17, kind=27, order=order)
    return Zap(build_objset(zio, {1: phys}, order=order).dnode(1))


@settings(max_examples=30)
@given(
    st.lists(st.binary(min_size=1, max_size=40).filter(lambda n: b"\0" not in n), max_size=120, unique=True),
    st.sampled_from([None, 8, 10]),
    st.sampled_from([0, FLAG_HASH64]),
    st.sampled_from("<>"),
)
def test_fat_zaps(names: list[bytes], shift: int | None, flags: int, order: str) -> None:
    rows = [(name, (number, 5)) for number, name in enumerate(names)]
    zio, _, blocks = build_fat(rows, shift=shift, flags=flags, order=order)
    zap = open_zap(zio, blocks, order)
    assert len(zap) == len(names)
    assert sorted((e.values[0], e.name) for e in zap) == list(enumerate(names))
    for name, values in rows:
        assert zap.get(name) == values
    assert zap.find(b"\xff" * 41) is None


@pytest.mark.parametrize("flags", [FLAG_UINT64_KEY | FLAG_HASH64, FLAG_UINT64_KEY | FLAG_HASH64 | FLAG_PREHASHED_KEY])
def test_keys_of_words(flags: int) -> None:
    rng = random.Random(1)
    keys = [tuple(rng.getrandbits(64) for _ in range(5)) for _ in range(60)]
    raw = [b"".join(w.to_bytes(8, "big") for w in key) for key in keys]
    zio, header, blocks = build_fat([(key, (i,)) for i, key in enumerate(raw)], flags=flags, shift=9)
    zap = open_zap(zio, blocks)
    assert zap.word_keys
    for i, key in enumerate(keys):
        assert zap.get(key) == i
    assert {e.words for e in zap} == set(keys)
    assert sum(len(batch.names) for batch in zap.raw_batches()) == 60
    assert zap.find((1, 2, 3, 4, 5)) is None
    for wrong in ((), (-1,), (1 << 64,), "name"):
        with pytest.raises((UsageError, PoolError)):
            zap.find(wrong)
            raise UsageError("a name is taken for the bytes of words")
    expected = keys[0][0] if flags & FLAG_PREHASHED_KEY else zaphash.hash_name(
        SALT, b"".join(w.to_bytes(8, "little") for w in keys[0])
    )
    assert hash_key(header, raw[0]) == expected >> 16 << 16


def test_names_that_are_equal_when_folded() -> None:
    rows = [(b"Readme", (1,)), (b"README", (2,)), (b"readme", (3,)), (b"r\xc3\xa9sum\xc3\xa9", (4,))]
    zio, _, blocks = build_fat(rows, normflags=0x12)
    fat = open_zap(zio, blocks)
    micro_entries = [ZapEntry(n, 8, v, i) for i, (n, v) in enumerate(rows)]
    micro = ondisk_zap.encode_micro(MicroZap(SALT, 0x12, micro_entries), 512)
    for zap in (fat, open_zap(MemoryZio(), {0: micro})):
        assert [zap.get(n) for n in ("Readme", "README", "readme")] == [1, 2, 3]
        assert zap.find("rEADME") is None
        found = zap.find("rEADME", fold=True)
        assert found is not None and found.values == (1,)
        assert zap.find("rEADME", fold=True, match_case=True) is None
        decomposed = zap.find("re\u0301sume\u0301", fold=True, match_case=True)
        assert decomposed is not None and decomposed.values == (4,)
        assert zap.find("RE\u0301SUM\u00c9", fold=True) == decomposed


def test_micro_zaps() -> None:
    entries = [ZapEntry(b"%d" % i, 8, (i,), 0) for i in range(20)]
    for order in "<>":
        zap = open_zap(MemoryZio(), {0: ondisk_zap.encode_micro(MicroZap(5, 0, entries), 2048, order)}, order)
        assert zap.is_micro and len(zap) == 20 and zap.salt == 5 and zap.header is None
        assert zap.get("7") == 7 and list(zap.items()) == entries
        with pytest.raises(UsageError, match="no leaves"):
            list(zap.raw_batches())


def many() -> tuple[MemoryZio, FatHeader, dict[int, bytes]]:
    return build_fat([(b"%d" % i, (i,)) for i in range(100)], shift=9)


def use(zap: Zap) -> None:
    list(zap.items())


@pytest.mark.parametrize("pointer", [0, 10**6, 1 << 63])
def test_pointers_to_leaves_that_are_not_there(pointer: int) -> None:
    zio, header, blocks = many()
    blocks[header.table_blk + 2] = np.full(128, pointer, dtype="<u8").tobytes()
    with pytest.raises(CorruptError, match="not there"):
        use(open_zap(zio, blocks))


def test_pointers_to_another_leaf() -> None:
    zio, header, blocks = many()
    blocks[header.table_blk + 2] = blocks[header.table_blk]
    zap = open_zap(zio, blocks)
    with pytest.raises(CorruptError, match="another's place"):
        use(zap)
    with pytest.raises(CorruptError, match="another's place"):
        for i in range(100):
            zap.find(b"%d" % i)


def test_a_leaf_with_too_few_pointers() -> None:
    zio, header, blocks = many()
    raw = np.frombuffer(bytearray(blocks[header.table_blk]), dtype="<u8")
    run = int(np.flatnonzero(raw != raw[0])[0])
    raw[run - 1] = raw[run]
    blocks[header.table_blk] = raw.tobytes()
    with pytest.raises(CorruptError, match="leaf"):
        use(open_zap(zio, blocks))


def test_a_huge_table_with_one_leaf_is_not_walked() -> None:
    """The table claims 2^40 pointers, all to one leaf that owns everything: one leaf is all there is to read."""
    zio = MemoryZio()
    header = FatHeader(SALT, table_shift=40, table_blk=2, table_numblks=1 << 33, embedded=np.zeros(64, dtype=np.uint64))
    blocks = {
        0: ondisk_zap.encode_header(header, 1024),
        1: ondisk_zap.encode_leaf([], 1024),
        2: np.ones(128, dtype="<u8").tobytes(),
    }
    phys = build_tree(zio, blocks, datablksz=1024, indblkshift=17, nlevels=5, kind=27, maxblkid=(1 << 33) + 2)
    zap = Zap(build_objset(zio, {1: phys}).dnode(1))
    before = zio.reads
    assert list(zap.items()) == []
    assert zio.reads - before < 10


def test_what_is_no_zap() -> None:
    for first in (bytes(512), b"\xff" * 512, ondisk_zap.encode_leaf([], 512)):
        with pytest.raises(CorruptError, match="not a ZAP"):
            open_zap(MemoryZio(), {0: first})
    two = ondisk_zap.encode_micro(MicroZap(5, 0), 512)
    with pytest.raises(CorruptError, match="more than one"):
        open_zap(MemoryZio(), {0: two, 1: two})


@settings(max_examples=60)
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=12), st.integers(0, 5))
def test_any_damage_gives_our_errors(at: int, junk: bytes, which: int) -> None:
    zio, _, blocks = many()
    block = bytearray(blocks[which])
    at %= len(block) - len(junk)
    block[at : at + len(junk)] = junk
    blocks[which] = bytes(block)
    try:
        zap = open_zap(zio, blocks)
        use(zap)
        for i in range(0, 100, 7):
            zap.find(b"%d" % i)
    except PoolError:
        pass
