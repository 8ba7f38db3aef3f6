"""Structures that lead back to where one came from, or to one place again and again."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

import numpy as np
from forge import Forger, Thing
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.ondisk import blkptr, bpobj, dsl, gang, zap, zil
from uberblock.pool.ondisk.blkptr import BLKPTR, BLKPTR_SIZE
from uberblock.pool.ondisk.dmutypes import ObjectType

from .damage import INTERESTING, NothingToForgeError, has_data, in_mos, pick, spoil

DIRECTORY = 4  # type of a directory entry
MICRO_VALUES = range(zap.MICRO_ENTRY_SIZE, 1 << 17, zap.MICRO_ENTRY_SIZE)


def _objects(forger: Forger, wanted: Callable[[Thing], object]) -> list[int]:
    return [thing.number for thing in forger.source.things if wanted(thing)]


def _set_values(data: bytearray, values: Callable[[], int], rng: random.Random) -> None:
    """Give some entries of a micro ZAP other values."""
    if struct.unpack_from("<Q", data)[0] != zap.TYPE_MICRO:
        return
    used = [at for at in MICRO_VALUES if at < len(data) and data[at + 14]]
    for at in rng.sample(used, min(len(used), rng.choice((1, 1, 2, 9)))):
        struct.pack_into("<Q", data, at, values())


def directories(forger: Forger, rng: random.Random) -> None:
    """A directory holds itself, its parent, the root, or another one's child."""
    thing = pick(forger, rng, lambda thing: thing.type == ObjectType.DIRECTORY_CONTENTS and has_data(thing))
    numbers = _objects(forger, lambda t: t.objset is thing.objset and t.type == ObjectType.DIRECTORY_CONTENTS)

    def value() -> int:
        return DIRECTORY << 60 | rng.choice([*numbers, thing.number])

    forger.change_block(thing.objset, thing.number, 0, 0, lambda data: _set_values(data, value, rng))


def dataset_names(forger: Forger, rng: random.Random) -> None:
    """A dataset's child is itself, its parent, or something else; a snapshot's name leads elsewhere."""
    maps = {ObjectType.DSL_DIR_CHILD_MAP: ObjectType.DSL_DIR, ObjectType.DSL_DS_SNAP_MAP: ObjectType.DSL_DATASET,
            ObjectType.NEXT_CLONES: ObjectType.DSL_DATASET, ObjectType.DSL_CLONES: ObjectType.DSL_DATASET,
            ObjectType.DEADLIST: None}  # fmt: skip
    thing = pick(forger, rng, lambda thing: in_mos(forger, thing) and thing.type in maps and has_data(thing))
    kind = maps[ObjectType(thing.type)]
    numbers = _objects(forger, lambda t: in_mos(forger, t) and (kind is None or t.bonustype == kind))
    forger.change_block(
        thing.objset, thing.number, 0, 0, lambda data: _set_values(data, lambda: rng.choice(numbers), rng)
    )


_LINKS = {
    ObjectType.DSL_DIR: (dsl.DSL_DIR, ("head_dataset_obj", "parent_obj", "origin_obj", "child_dir_zapobj",
                                       "props_zapobj", "deleg_zapobj", "clones")),
    ObjectType.DSL_DATASET: (dsl.DSL_DATASET, ("dir_obj", "prev_snap_obj", "next_snap_obj", "snapnames_zapobj",
                                           "deadlist_obj", "next_clones_obj", "props_obj", "userrefs_obj")),
}  # fmt: skip


def dataset_links(forger: Forger, rng: random.Random) -> None:
    """Datasets and directories whose parents, origins, heads, predecessors and lists are others, or themselves."""
    for _ in range(rng.choice((1, 1, 2))):
        thing = pick(forger, rng, lambda thing: in_mos(forger, thing) and thing.bonustype in _LINKS)
        layout, names = _LINKS[ObjectType(thing.bonustype)]
        name = rng.choice(names)
        same = _objects(forger, lambda t, kind=thing.bonustype: in_mos(forger, t) and t.bonustype == kind)
        other = _objects(forger, lambda t: in_mos(forger, t))
        number = rng.choice([thing.number, rng.choice(same), rng.choice(other)])
        assert layout.fields is not None
        at = layout.fields[name][1]

        def change(bonus: bytearray, at: int = at, number: int = number, layout: np.dtype = layout) -> None:
            struct.pack_into("<Q", bonus, at, number)
            if rng.random() < 0.5 and "prev_snap_txg" in (layout.fields or ()):
                place = (layout.fields or {})["prev_snap_txg"][1]
                struct.pack_into("<Q", bonus, place, rng.choice((0, 1, forger.txg, *INTERESTING)))

        forger.change_bonus(_current(forger, thing.objset), thing.number, change)
        reopen(forger)


def _current(forger: Forger, objset: Objset) -> Objset:
    return forger.spa.mos if objset is forger.source.spa.mos else objset


def reopen(forger: Forger) -> None:
    """Go on from what was forged, if that can still be opened."""
    from uberblock.pool.errors import PoolError

    try:
        forger.reopen()
    except PoolError:
        raise NothingToForgeError from None


def sublists(forger: Forger, rng: random.Random) -> None:
    """A list of block pointers that is part of itself, or of two lists, or of something else."""
    thing = pick(forger, rng, lambda thing: in_mos(forger, thing) and thing.bonustype == ObjectType.BPOBJ_HDR)
    dnode = thing.objset.dnode(thing.number)
    header = bpobj.decode(dnode.bonus, dnode.order)
    lists = _objects(forger, lambda t: in_mos(forger, t) and t.bonustype == ObjectType.BPOBJ_HDR)
    holder = header.subobjs
    if not holder or not header.num_subobjs:
        # It has none: any array of words will do.
        others = _objects(forger, lambda t: in_mos(forger, t) and has_data(t) and t.bonustype != thing.bonustype)
        holder = rng.choice(others)
        words = [*header_words(dnode.bonus)]
        count = rng.choice((1, 2, 60))
        words[4:6] = [holder, count]
        forger.change_bonus(
            thing.objset, thing.number, lambda bonus: struct.pack_into(f"<{len(words)}Q", bonus, 0, *words)
        )
        reopen(forger)

    def change(data: bytearray) -> None:
        for at in range(0, min(len(data), 512), 8):
            struct.pack_into("<Q", data, at, rng.choice([thing.number, rng.choice(lists)]))

    forger.change_block(forger.spa.mos, holder, 0, 0, change)


def header_words(bonus: bytes) -> Sequence[int]:
    """A bonus as words, eight at least."""
    padded = bonus.ljust(64, b"\0")
    return struct.unpack(f"<{len(padded) // 8}Q", padded[: len(padded) // 8 * 8])


def gangs(forger: Forger, rng: random.Random) -> None:
    """A gang header that points to itself, to another, or at too much."""
    thing = pick(forger, rng, lambda thing: thing.data is not None and not thing.objset.encrypted)
    dnode = thing.objset.dnode(thing.number)
    old = np.array(dnode.bps(thing.data or 0, 1)[0]).reshape(1)
    psize = int(blkptr.lsize(old)[0])
    birth = int(old["birth"][0])
    vdev, at, asize = forger.place(bytes(gang.GANG_HEADER_SIZE), birth)
    new = old.copy()
    prop = int(new["prop"][0]) & ~(0xFFFF << 16 | 0x7F << 32 | 0xFF << 40 | 1 << 39)
    new["prop"] = prop | (psize >> 9) - 1 << 16 | 2 << 32 | 7 << 40
    new["phys_birth"] = 0
    new["dva"] = 0
    new["dva"][0, 0] = (vdev << 32 | asize >> 9, 1 << 63 | at >> 9)
    pieces = np.repeat(new, rng.choice((1, 1, 2, 3)))
    shares = [psize] if len(pieces) == 1 else _shares(psize, len(pieces), rng)
    for piece, share in zip(pieces, shares):
        piece["prop"] = int(piece["prop"]) & ~0xFFFFFFFF | (share >> 9) - 1 << 16 | (share >> 9) - 1
        if rng.random() < 0.3:
            piece["dva"][0, 1] ^= np.uint64(1 << 63)
    header = gang.encode(pieces, gang.verifier(new[0]))
    forger.free += asize
    assert forger.place(header, birth)[1] == at
    forger.change_pointer(
        thing.objset, thing.number, 0, thing.data or 0, lambda raw: raw.__setitem__(slice(None), new.tobytes())
    )


def _shares(psize: int, count: int, rng: random.Random) -> list[int]:
    """A size cut into sectors' multiples; sometimes more than there is."""
    if rng.random() < 0.3 or psize < count * 512:
        return [psize] * count
    first = rng.randrange(512, psize - (count - 2) * 512, 512)
    return [first, *[512] * (count - 2), max(512, psize - first - (count - 2) * 512)]


def chains(forger: Forger, rng: random.Random) -> None:
    """Hash chains and strings in leaves of fat ZAPs that bite their own tails."""

    def wanted(thing: Thing) -> bool:
        return thing.data == 0 and (thing.objset, thing.number) in fat_zaps(forger)

    thing = pick(forger, rng, wanted)
    dnode = thing.objset.dnode(thing.number)
    blkid = rng.randrange(1, dnode.maxblkid + 1)
    if dnode.next_data_block(blkid) != blkid:
        raise NothingToForgeError
    slots, chunks = zap.leaf_shape(dnode.datablksz)
    body = zap.LEAF_HEADER_SIZE + 2 * slots

    def change(data: bytearray) -> None:
        used = [at for at in range(body, body + chunks * 24, 24) if data[at] in (zap.CHUNK_ENTRY, zap.CHUNK_ARRAY)]
        for _ in range(rng.choice((1, 2, 10))):
            target = (rng.choice(used) - body) // 24 if used else 0
            kind = rng.randrange(3)
            if kind == 0 or not used:
                struct.pack_into("<H", data, zap.LEAF_HEADER_SIZE + 2 * rng.randrange(slots), target)
                continue
            at = rng.choice(used)
            if data[at] == zap.CHUNK_ARRAY:
                struct.pack_into("<H", data, at + 22, target)
            else:
                struct.pack_into("<H", data, at + rng.choice((2, 4, 8)), target)

    forger.change_block(thing.objset, thing.number, 0, blkid, change)


def fat_zaps(forger: Forger) -> set[tuple[Objset, int]]:
    """Objects that are fat ZAPs."""
    found = getattr(forger.source, "fat_zaps", None)
    if found is None:
        found = set()
        for thing in forger.source.things:
            dnode = thing.objset.dnode(thing.number)
            if thing.data == 0 and dnode.maxblkid and not thing.objset.locked:
                data, order = dnode.block(0)
                if zap.block_type(data, order) == zap.TYPE_HEADER:
                    found.add((thing.objset, thing.number))
        forger.source.fat_zaps = found  # type: ignore[attr-defined]
    result: set[tuple[Objset, int]] = found
    return result


def tables(forger: Forger, rng: random.Random) -> None:
    """A fat ZAP's pointer table that leads everywhere to one leaf, or to itself."""
    thing = pick(forger, rng, lambda thing: (thing.objset, thing.number) in fat_zaps(forger))
    dnode = thing.objset.dnode(thing.number)

    def change(data: bytearray) -> None:
        half = len(data) // 2
        header = zap.decode_header(bytes(data))
        if header.table_numblks == 0:
            leaf = rng.randrange(dnode.maxblkid + 2)
            for at in range(half, len(data), 8):
                if rng.random() < 0.9:
                    struct.pack_into("<Q", data, at, leaf)
        if rng.random() < 0.3:
            # An outer table that is the object itself, or beyond its end.
            shift = rng.randrange(9, zap.MAX_POINTER_SHIFT + 1)
            numblks = max(1, (1 << shift) // (len(data) // 8))
            struct.pack_into("<3Q", data, 16, rng.randrange(dnode.maxblkid + 2), numblks, shift)

    forger.change_block(thing.objset, thing.number, 0, 0, change)


def many_alike(forger: Forger, rng: random.Random) -> None:
    """A tree of blocks that leads everywhere to one and the same block, through as many levels as there may be."""
    thing = pick(forger, rng, lambda thing: thing.data is not None and not thing.objset.encrypted)
    dnode = thing.objset.dnode(thing.number)
    shift = rng.choice((12, 14, 17))
    levels = rng.randrange(2, 6)
    bp = np.array(dnode.bps(thing.data or 0, 1)[0]).reshape(1)
    for level in range(1, levels):
        below = np.repeat(bp, 1 << shift - 7)
        if rng.random() < 0.3:
            below[1::2] = np.zeros(1, dtype=BLKPTR)  # every other one is a hole
        bp = forger.indirect(below, level, shift)
    top = bp.tobytes()
    maxblkid = (1 << (shift - 7) * (levels - 1)) - 1
    length = (maxblkid + 1) * dnode.datablksz
    grow = rng.random() < 0.7

    def change(slot: bytearray) -> None:
        slot[1], slot[2] = shift, levels
        struct.pack_into("<Q", slot, 16, min(maxblkid, (1 << 55) - 1))
        slot[64 : 64 + BLKPTR_SIZE] = top
        start = 64 + slot[3] * BLKPTR_SIZE
        if grow and slot[4] in (ObjectType.BPOBJ_HDR, ObjectType.SPACE_MAP_HEADER, ObjectType.SPA_HISTORY_OFFSETS,
                                ObjectType.PACKED_NVLIST_SIZE, ObjectType.DDT_ZAP):  # fmt: skip
            # It claims to use all of it.
            unit = BLKPTR_SIZE if slot[4] == ObjectType.BPOBJ_HDR else 1
            word = {ObjectType.SPACE_MAP_HEADER: 1, ObjectType.SPA_HISTORY_OFFSETS: 3}.get(ObjectType(slot[4]), 0)
            struct.pack_into("<Q", slot, start + 8 * word, min(length // unit, (1 << 63) - 1))

    forger.change_dnode(thing.objset, thing.number, change)


def many_objects(forger: Forger, rng: random.Random) -> None:
    """A metadnode that leads everywhere to one block of dnodes."""
    objset = rng.choice([one for one in forger.source.objsets if not one.encrypted])
    meta = objset.meta
    shift, levels = meta.indblkshift, rng.randrange(2, 6)
    bp = np.array(meta.bps(0, 1)[0]).reshape(1)
    for level in range(1, levels):
        bp = forger.indirect(np.repeat(bp, 1 << shift - 7), level, shift)
    top = bp.tobytes()

    def change(block: bytearray) -> None:
        block[2] = levels
        struct.pack_into("<Q", block, 16, (1 << (shift - 7) * (levels - 1)) - 1)
        block[64 : 64 + BLKPTR_SIZE] = top

    forger.change_objset(objset, change)


def logs(forger: Forger, rng: random.Random) -> None:
    """An intent log of several blocks with spoiled records, whose last block points to the first."""
    objset = rng.choice([one for one in forger.source.objsets[1:] if not one.encrypted] or [None])
    if objset is None:
        raise NothingToForgeError
    slim = rng.random() < 0.6
    size = rng.choice((4096, 8192, 1 << 17))
    birth = int(objset.bp["birth"])
    identity = [rng.getrandbits(64), rng.getrandbits(64), rng.getrandbits(32)]
    count = rng.choice((1, 2, 5))
    places = [forger.place(bytes(size), birth) for _ in range(count)]

    def pointer(index: int) -> np.ndarray:
        vdev, at, asize = places[index % count]
        bp = np.zeros(1, dtype=BLKPTR)
        bp["dva"][0, 0] = (vdev << 32 | asize >> 9, at >> 9)
        checksum = zil.CHECKSUM_ZILOG2 if slim else zil.CHECKSUM_ZILOG
        bp["prop"] = 1 << 63 | ObjectType.INTENT_LOG << 48 | checksum << 40 | 2 << 32 | (size // 512 - 1) * 0x10001
        bp["birth"] = birth
        bp["cksum"][0] = (*identity, index + 1)
        return bp

    end_of_address_space = forger.free
    for index in reversed(range(count)):
        block = bytearray(size)
        start = zil.CHAIN_SIZE if slim else 0
        room = size - zil.CHAIN_SIZE
        used = _records(block, start, room, rng)
        zil.seal_block(block, [*identity, index + 1], pointer(index + 1), used + start, slim, "<")
        forger.free = places[index][1] + places[index][2]
        assert forger.place(bytes(block), birth)[1] == places[index][1]
    forger.free = end_of_address_space
    claim = rng.choice((0, birth))
    header = zil.ZilHeader(claim, 0, pointer(0)[0], rng.choice((count, 99)), rng.randrange(4), rng.choice((7, 1 << 60)))
    raw = zil.encode_header(header)
    if rng.random() < 0.2:
        part = bytearray(raw)
        spoil(rng)(part)
        raw = bytes(part)
    forger.change_objset(objset, lambda block: block.__setitem__(slice(512, 512 + zil.HEADER_SIZE), raw))


def _records(block: bytearray, start: int, room: int, rng: random.Random) -> int:
    """Fill a log block with records of all types; gives their bytes."""
    used = 0
    while rng.random() < 0.9:
        length = rng.choice((32, 64, 96, 192, 256, 512, 4096))
        if used + length > room:
            break
        body = rng.randbytes(length) if rng.random() < 0.5 else bytearray(length)
        block[start + used : start + used + length] = body
        kind = rng.randrange(0, 26) | (1 << 63 if rng.random() < 0.1 else 0)
        said = length if rng.random() < 0.95 else rng.choice(INTERESTING)
        struct.pack_into("<4Q", block, start + used, kind, said, rng.choice((5, 1 << 40)), used)
        for at in range(32, min(length, 192), 8):
            if rng.random() < 0.3:
                struct.pack_into("<Q", block, start + used + at, rng.choice((*INTERESTING, length - at, 8, 64)))
        used += length
    return used


KINDS: dict[str, Callable[[Forger, random.Random], None]] = {
    f"loop_{function.__name__}": function
    for function in (
        directories, dataset_names, dataset_links, sublists, gangs, chains, tables, many_alike, many_objects, logs,
    )
}  # fmt: skip
