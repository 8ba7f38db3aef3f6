"""Numbers that are too large: sizes, counts, lengths, shifts, wherever one is read."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from forge import Forger
from uberblock.pool.errors import UsageError
from uberblock.pool.ondisk import nvlist, sa, zap
from uberblock.pool.ondisk.blkptr import BLKPTR_SIZE
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.ondisk.nvlist import NVList

from .damage import INTERESTING, NothingToForgeError, has_data, in_mos, pick, spoil
from .loops import fat_zaps, reopen

LARGE = (1 << 20, 1 << 24, 1 << 28, 1 << 30, 1 << 31, 1 << 32, 1 << 40, 1 << 47, 1 << 48, 1 << 50, 1 << 55, 1 << 60,
         1 << 62, 1 << 63)  # fmt: skip


def large(rng: random.Random) -> int:
    """A number around a power of two, or one of the usual suspects."""
    if rng.random() < 0.3:
        return rng.choice(INTERESTING)
    return (rng.choice(LARGE) + rng.choice((-512, -8, -1, 0, 0, 1, 8))) % (1 << 64)


def objects(forger: Forger, rng: random.Random) -> None:
    """An object of blocks of 16 MiB, of exabytes, of holes."""
    thing = pick(forger, rng, lambda thing: True)
    dnode = thing.objset.dnode(thing.number)
    if thing.data == 0 and not thing.objset.encrypted and rng.random() < 0.3:
        forger.stretch(thing.objset, thing.number, rng.randrange(2, 7))
        return

    def change(slot: bytearray) -> None:
        pointers = slot[3]
        shift = rng.choice((dnode.indblkshift, 12, 17))
        levels = rng.randrange(1, 8)
        bits = min((levels - 1) * (shift - 7), 55)
        slot[1], slot[2] = shift, levels
        if rng.random() < 0.6:
            struct.pack_into("<H", slot, 8, rng.choice((1, 8, 256, 2048, 32768)))
        last = ((1 << bits) * pointers - 1) if rng.random() < 0.7 else rng.randrange(1 << bits)
        struct.pack_into("<Q", slot, 16, last)
        if rng.random() < 0.7:
            slot[64 : 64 + pointers * BLKPTR_SIZE] = bytes(pointers * BLKPTR_SIZE)
        start = 64 + pointers * BLKPTR_SIZE
        if slot[4] in _WORDS_OF and rng.random() < 0.7:
            size = (last + 1) * (struct.unpack_from("<H", slot, 8)[0] << 9)
            word = rng.choice(_WORDS_OF[ObjectType(slot[4])])
            value = rng.choice((size, size // 8, size // 128, 1 << 30, 1 << 27, 1 << 24)) % (1 << 64)
            struct.pack_into("<Q", slot, start + 8 * word, value)

    forger.change_dnode(thing.objset, thing.number, change)


#: Words of a bonus that say how much there is.
_WORDS_OF = {
    ObjectType.BPOBJ_HDR: (0, 4, 5),
    ObjectType.SPACE_MAP_HEADER: (1, 2),
    ObjectType.SPA_HISTORY_OFFSETS: (0, 1, 2, 3),
    ObjectType.PACKED_NVLIST_SIZE: (0,),
    ObjectType.FUID_SIZE: (0,),
    ObjectType.DDT_ZAP: (0, 1, 2),
    ObjectType.DEADLIST_HDR: (0, 1),
    ObjectType.UINT64_METADATA: (0, 1, 2, 3, 4),
    ObjectType.UINT64_OTHER: (0, 1, 2, 3, 4),
}


def words(forger: Forger, rng: random.Random) -> None:
    """A word of a header in the MOS is far too large."""
    kinds = sorted({t.bonustype for t in forger.source.things if in_mos(forger, t) and t.bonustype})
    kind = rng.choice(kinds)
    thing = pick(forger, rng, lambda thing: in_mos(forger, thing) and thing.bonustype == kind)
    length = thing.objset.dnode(thing.number).bonuslen

    def change(bonus: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = 8 * rng.randrange(max(1, min(length, 320) // 8))
            struct.pack_into("<Q", bonus, at, large(rng))

    forger.change_bonus(thing.objset, thing.number, change)


def tables(forger: Forger, rng: random.Random) -> None:
    """A ZAP of exabytes: pointer tables of 2^46 entries, a number of entries that no one could store."""
    thing = pick(forger, rng, lambda thing: (thing.objset, thing.number) in fat_zaps(forger))

    def change(data: bytearray) -> None:
        for _ in range(rng.choice((1, 2))):
            struct.pack_into("<Q", data, 16 + 8 * rng.randrange(11), large(rng))
        if rng.random() < 0.6:
            shift = rng.randrange(10, zap.MAX_POINTER_SHIFT + 1)
            per_block = len(data) // 8
            struct.pack_into("<3Q", data, 16, rng.choice((1, 2, large(rng))), max(1, (1 << shift) // per_block), shift)

    if rng.random() < 0.5:
        # So that there is room for what it claims.
        forger.stretch(thing.objset, thing.number, rng.randrange(2, 7))
        reopen(forger)
    forger.change_block(forger.again(thing.objset), thing.number, 0, 0, change)


def leaves(forger: Forger, rng: random.Random) -> None:
    """Lengths, counts and prefixes in a leaf of a fat ZAP."""
    thing = pick(forger, rng, lambda thing: (thing.objset, thing.number) in fat_zaps(forger))
    dnode = thing.objset.dnode(thing.number)
    blkid = rng.randrange(1, dnode.maxblkid + 1)
    if dnode.next_data_block(blkid) != blkid:
        raise NothingToForgeError
    slots, chunks = zap.leaf_shape(dnode.datablksz)
    body = zap.LEAF_HEADER_SIZE + 2 * slots

    def change(data: bytearray) -> None:
        entries = [at for at in range(body, body + chunks * 24, 24) if data[at] == zap.CHUNK_ENTRY]
        for _ in range(rng.choice((1, 2))):
            if entries and rng.random() < 0.7:
                at = rng.choice(entries)
                place = at + rng.choice((1, 2, 4, 6, 8, 10))
                struct.pack_into("<H", data, place, rng.choice((0, 1, 2, 8, 1024, 1025, 8192, 32768, 65535)))
            else:
                struct.pack_into("<H", data, 8 * rng.randrange(3, 6), rng.choice((0, 1, 63, 64, 255, 65535)))

    forger.change_block(thing.objset, thing.number, 0, blkid, change)


def attributes(forger: Forger, rng: random.Random) -> None:
    """Attributes of files: sizes, times, link counts, lengths of targets, extended attributes and ACLs, headers."""
    thing = pick(
        forger, rng,
        lambda thing: thing.bonustype in (ObjectType.SA, ObjectType.ZNODE) and not thing.objset.encrypted,
    )  # fmt: skip
    length = thing.objset.dnode(thing.number).bonuslen

    def change(bonus: bytearray) -> None:
        kind = rng.randrange(4)
        if kind == 0:
            size = rng.choice((0, 1, 2, 3, 8, 16, 39, 63))
            struct.pack_into("<H", bonus, 4, rng.choice((2, 3, 4, 5, 0x3FF, rng.randrange(1024))) | size << 10)
        elif kind == 1:
            struct.pack_into("<H", bonus, rng.choice((6, 8, 10)), rng.choice((0, 1, 7, 255, 256, 4096, 65535)))
        elif length > 16:
            for _ in range(rng.choice((1, 1, 3))):
                struct.pack_into("<Q", bonus, 8 * rng.randrange(1, length // 8), large(rng))
        if kind == 3:
            part = bonus[:length]
            spoil(rng)(part)
            bonus[:length] = part

    forger.change_bonus(thing.objset, thing.number, change)


def registry(forger: Forger, rng: random.Random) -> None:
    """Attributes registered with other lengths and numbers, layouts with others and with many."""
    kinds = (ObjectType.SA_ATTR_REGISTRATION, ObjectType.SA_ATTR_LAYOUTS, ObjectType.SA_MASTER_NODE,
             ObjectType.MASTER_NODE)  # fmt: skip
    thing = pick(forger, rng, lambda thing: thing.type in kinds and has_data(thing) and not thing.objset.encrypted)

    def change(data: bytearray) -> None:
        if struct.unpack_from("<Q", data)[0] == zap.TYPE_MICRO:
            used = [at for at in range(64, len(data), 64) if data[at + 14]]
            for at in rng.sample(used, min(len(used), rng.choice((1, 2, 4)))):
                attribute = sa.Attribute(rng.randrange(24), "", rng.choice((0, 1, 8, 16, 65535)), rng.randrange(6))
                value = rng.choice((large(rng), sa.encode_registration(attribute), rng.randrange(64)))
                struct.pack_into("<Q", data, at, value)
        else:
            spoil(rng)(data)

    blkid = thing.objset.dnode(thing.number).next_data_block(0) or 0
    forger.change_block(thing.objset, thing.number, 0, blkid, change)


def addresses(forger: Forger, rng: random.Random) -> None:
    """Block pointers to vdevs that cannot be, beyond ends, of impossible sizes, levels, types and births."""
    thing = pick(forger, rng, lambda thing: thing.data is not None)
    dnode = thing.objset.dnode(thing.number)
    level = rng.randrange(dnode.nlevels)
    blkid = (thing.data or 0) >> (dnode.indblkshift - 7) * level

    def change(raw: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 2, 3))):
            kind = rng.randrange(8)
            first, second = 16 * rng.randrange(3), 16 * rng.randrange(3)
            prop = struct.unpack_from("<Q", raw, 48)[0]
            if kind == 0:
                struct.pack_into("<I", raw, first + 4, rng.choice((1, 255, 65535, (1 << 24) - 1, (1 << 32) - 1)))
            elif kind == 1:
                struct.pack_into("<Q", raw, first + 8, large(rng))
            elif kind == 2:
                struct.pack_into("<I", raw, first, rng.choice((0, 1, 7, (1 << 24) - 1)))
            elif kind == 3:
                raw[first : first + 16] = raw[second : second + 16]
            elif kind == 4:
                shift, width = rng.choice(((0, 16), (16, 16), (32, 7), (40, 8), (48, 8), (56, 5)))
                prop = prop & ~(((1 << width) - 1) << shift) | rng.randrange(1 << width) << shift
                struct.pack_into("<Q", raw, 48, prop)
            elif kind == 5:
                struct.pack_into("<Q", raw, 48, prop ^ 1 << rng.choice((39, 61, 62, 63)))
            elif kind == 6:
                struct.pack_into("<Q", raw, rng.choice((72, 80, 88)), large(rng))
            else:
                struct.pack_into("<Q", raw, first + 8, struct.unpack_from("<Q", raw, first + 8)[0] ^ 1 << 63)

    forger.change_pointer(thing.objset, thing.number, level, blkid, change)


def counts(forger: Forger, rng: random.Random) -> None:
    """Counts, sizes and types in a packed nvlist."""
    thing = pick(forger, rng, lambda thing: thing.type == ObjectType.PACKED_NVLIST and has_data(thing))

    def change(data: bytearray) -> None:
        length = len(bytes(data).rstrip(b"\0"))
        for _ in range(rng.choice((1, 2))):
            at = 4 * rng.randrange(1, max(2, length // 4))
            value = rng.choice((0, 1, 2, 8, 19, 20, 27, 28, 255, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1))
            struct.pack_into(">I", data, at, value)
            if rng.random() < 0.1:
                data[0] ^= 1  # native for XDR

    forger.change_block(thing.objset, thing.number, 0, 0, change)


# --- the configuration in the MOS -------------------------------------------------------------------------------------


def configuration(forger: Forger, rng: random.Random) -> None:
    """Values in the pool's own configuration: parity, sector sizes, children, types, guids."""
    change_configuration(forger, lambda config: change_tree(config, rng))


def change_configuration(forger: Forger, change: Callable[[NVList], Any]) -> None:
    """Change the packed configuration in the MOS."""
    mos = forger.spa.mos
    number = forger.spa.directory.number("config")
    dnode = mos.dnode(number)
    (size,) = struct.unpack("<Q", dnode.bonus[:8])
    config = nvlist.decode(dnode.read(0, size))
    change(config)
    try:
        packed = nvlist.encode(config)
    except UsageError:  # deeper than we write
        raise NothingToForgeError from None
    if len(packed) > 16 << 20:
        raise NothingToForgeError
    old = np.array(dnode.bps(0, 1)[0])
    block = max(512, 1 << (len(packed) - 1).bit_length())
    pointer = forger.pointer(old, packed.ljust(block, b"\0"))
    forger.touched.append((mos.name, number))

    def put(slot: bytearray) -> None:
        slot[2] = 1
        struct.pack_into("<H", slot, 8, block >> 9)
        struct.pack_into("<Q", slot, 16, 0)
        slot[64 : 64 + BLKPTR_SIZE] = pointer
        struct.pack_into("<Q", slot, 64 + slot[3] * BLKPTR_SIZE, len(packed))

    forger.change_dnode(mos, number, put)


def vdevs(config: NVList) -> list[NVList]:
    """All vdevs of a configuration (or of a label's part of it)."""
    found = [config["vdev_tree"]]
    for vdev in found:
        found += vdev.get("children", [])
    return found


TYPES = (
    "root", "mirror", "raidz", "draid", "dspare", "spare", "replacing", "hole", "missing", "indirect", "disk",
    "log", "",
)  # fmt: skip
NAMES = (
    "draid_ndata", "draid_ngroups", "draid_nspares", "raidz_expanding", "raidz_expand_txgs", "is_log", "offline",
    "com.delphix:indirect_object", "com.delphix:indirect_births", "com.delphix:prev_indirect_vdev", "faulted",
    "removed", "not_present", "aux_state",
)  # fmt: skip


def change_tree(config: NVList, rng: random.Random) -> None:
    """Change something about a vdev."""
    tree = vdevs(config)
    vdev = rng.choice(tree)
    other = rng.choice(tree)
    kind = rng.randrange(10)
    if kind == 0:
        vdev["ashift"] = rng.choice((0, 1, 8, 17, 32, 63, 64, 255, 1 << 63))
    elif kind == 1:
        vdev["type"] = rng.choice(TYPES)
        vdev["nparity"] = rng.choice((0, 1, 2, 3, 4, 255, 1 << 63))
        vdev["children"] = [child.copy() for child in (other.get("children") or [other])][:255]
    elif kind == 2:
        vdev["nparity"] = rng.choice((0, 1, 3, 4, 200, 255, 256, (1 << 64) - 1))
    elif kind == 3:
        vdev["asize"] = large(rng)
    elif kind == 4:
        vdev[rng.choice(("metaslab_shift", "metaslab_array", "DTL", "com.delphix:vdev_zap_top"))] = large(rng)
    elif kind == 5:
        vdev["guid"] = other.get("guid", 1)
    elif kind == 6:
        vdev["id"] = large(rng)
    elif kind == 7:
        # Deeper and deeper, or more and more of the same.
        copy = other.copy()
        for _ in range(rng.choice((1, 5, 11, 13, 70))):
            copy = NVList({"type": "mirror", "id": 0, "guid": rng.getrandbits(64), "children": [copy]})
        vdev["children"] = [copy]
    elif kind == 8:
        count = rng.choice((2, 3, 255, 256, 3000))
        leaf = next(one for one in tree if not one.get("children"))
        vdev["children"] = [NVList({**leaf, "id": i, "guid": i + rng.choice((1, leaf["guid"]))}) for i in range(count)]
    else:
        name = rng.choice([*vdev, *NAMES])
        vdev.pop(name, None)
        vdev[name] = rng.choice((0, 1, large(rng), "text", [1, 2], [large(rng)] * 1000, NVList()))


def very_many_vdevs(forger: Forger, rng: random.Random) -> None:
    """A pool with a hundred thousand vdevs."""
    count = rng.choice((300, 5000, 70000, 100000)) if rng.random() < 0.2 else 300

    def change(config: NVList) -> None:
        root = config["vdev_tree"]
        top = root["children"][0]
        if rng.random() < 0.5:
            more = [NVList({"type": "hole", "id": i, "guid": 0}) for i in range(len(root["children"]), count)]
        else:
            small = {"type": "disk", "ashift": 9, "asize": 1 << 26}
            more = [NVList({**small, "id": i, "guid": i + 1}) for i in range(len(root["children"]), count)]
        if rng.random() < 0.7:
            root["children"] = [*root["children"], *more]
        else:
            top["type"], top["children"] = "mirror", [NVList({**one, "id": i}) for i, one in enumerate(more)]

    change_configuration(forger, change)


def uberblocks(forger: Forger, rng: random.Random) -> None:
    """Fields of the newest uberblock."""
    from dataclasses import replace

    forger.txg += 1
    name = rng.choice(("version", "txg", "guid_sum", "timestamp", "software_version", "mmp_magic", "mmp_delay",
                       "mmp_config", "checkpoint_txg", "reflow_info"))  # fmt: skip
    forger.write_uberblock(replace(forger.spa.uberblock, **{"txg": forger.txg, name: large(rng)}))


def packed(forger: Forger, rng: random.Random) -> None:
    """Names of all kinds in a dataset or pool property, a name of 32 KiB, no name, odd bytes, control characters."""
    texts = ("", "x" * 300, "a/b", "a@b", "..", "\x1b[31m", "line\nline", "nul\0nul", "\udcff\udcfe", "%s{}", "%recv")
    thing = pick(forger, rng, lambda thing: thing.type in _NAMED and has_data(thing) and not thing.objset.encrypted)

    def change(data: bytearray) -> None:
        if struct.unpack_from("<Q", data)[0] != zap.TYPE_MICRO:
            spoil(rng)(data)
            return
        used = [at for at in range(64, len(data), 64) if data[at + 14]]
        for at in rng.sample(used, min(len(used), rng.choice((1, 3)))):
            raw = rng.choice(texts).encode("utf-8", "surrogateescape")[:49]
            data[at + 14 : at + 64] = raw.ljust(50, b"\0")

    forger.change_block(thing.objset, thing.number, 0, 0, change)


_NAMED = (
    ObjectType.DSL_DIR_CHILD_MAP, ObjectType.DSL_DS_SNAP_MAP, ObjectType.DSL_PROPS, ObjectType.DIRECTORY_CONTENTS,
    ObjectType.OBJECT_DIRECTORY, ObjectType.DEADLIST, ObjectType.USERREFS, ObjectType.POOL_PROPS,
    ObjectType.ZAP_METADATA, ObjectType.ZAP_OTHER, ObjectType.USERGROUP_QUOTA, ObjectType.UNLINKED_SET,
)  # fmt: skip

KINDS: dict[str, Callable[[Forger, random.Random], None]] = {
    f"size_{function.__name__}": function
    for function in (
        objects, words, tables, leaves, attributes, registry, addresses, counts, configuration, very_many_vdevs,
        uberblocks, packed,
    )
}  # fmt: skip
