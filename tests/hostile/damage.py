"""Damage by chance: flipped bits, interesting numbers, moved bytes, wherever something is parsed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from forge import Change, Forger, Thing
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.ondisk.dmutypes import ObjectType

INTERESTING = (0, 1, 2, 3, 127, 128, 255, (1 << 15) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1,
               1 << 63, (1 << 64) - 1)  # fmt: skip

ZAPS = {
    ObjectType.OBJECT_DIRECTORY, ObjectType.DSL_DIR_CHILD_MAP, ObjectType.DSL_DS_SNAP_MAP, ObjectType.DSL_PROPS,
    ObjectType.DIRECTORY_CONTENTS, ObjectType.MASTER_NODE, ObjectType.SA_ATTR_LAYOUTS, ObjectType.SA_ATTR_REGISTRATION,
    ObjectType.ZAP_METADATA, ObjectType.DEADLIST, ObjectType.DDT_ZAP, ObjectType.SA_MASTER_NODE,
}  # fmt: skip


class NothingToForgeError(Exception):
    """This pool has none of what this kind of case is about."""


def spoil(rng: random.Random) -> Change:
    """A random change: flipped bits, interesting numbers, swapped, repeated or random ranges."""

    def change(data: bytearray) -> None:
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            # What matters lies at the front of most structures.
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 512))
            kind = rng.randrange(6)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                width = rng.choice((1, 2, 4, 8))
                at = at // width * width
                value = rng.choice(INTERESTING) & ((1 << 8 * width) - 1)
                data[at : at + width] = value.to_bytes(width, rng.choice(("little", "big")))[: len(data) - at]
            elif kind == 2:
                length = min(rng.choice((1, 8, 24, 128)), len(data) - at)
                data[at : at + length] = rng.randbytes(length)
            elif kind == 3:
                length = min(rng.choice((8, 24, 64, 128, 512)), len(data) - at)
                source = rng.randrange(max(1, len(data) - length))
                data[at : at + length] = data[source : source + length]
            elif kind == 4:
                at = at // 8 * 8
                word = int.from_bytes(data[at : at + 8], "little")
                word = (word + rng.choice((-1, 1, 512, 1 << 32))) % (1 << 64)
                data[at : at + 8] = word.to_bytes(8, "little")[: len(data) - at]
            else:
                length = min(rng.choice((8, 64, 512)), len(data) - at)
                data[at : at + length] = bytes(length)

    return change


def pick(forger: Forger, rng: random.Random, wanted: Callable[[Thing], Any]) -> Thing:
    """An object of the kind that is wanted; object sets are equally likely, however many objects each has."""
    found = [thing for thing in forger.source.things if wanted(thing)]
    if not found:
        raise NothingToForgeError
    objset = rng.choice(list(dict.fromkeys(thing.objset for thing in found)))
    return rng.choice([thing for thing in found if thing.objset is objset])


def has_data(thing: Thing) -> bool:
    return thing.data == 0


def in_mos(forger: Forger, thing: Thing) -> bool:
    return thing.objset is forger.source.spa.mos


def any_objset(forger: Forger, rng: random.Random) -> Objset:
    return rng.choice(forger.source.objsets)


# --- kinds ----------------------------------------------------------------------------------------------------------


def label(forger: Forger, rng: random.Random) -> None:
    change = spoil(rng)

    def front(region: bytearray) -> None:
        part = region[:4096]
        change(part)
        region[:4096] = part

    forger.change_label_bytes(front, disks=[rng.randrange(len(forger.devices))])


def label_values(forger: Forger, rng: random.Random) -> None:
    seed = rng.random()

    def change(config: Any) -> None:
        rng = random.Random(seed)  # the same for all copies
        target = config
        for _ in range(rng.randrange(4)):
            inner = [v for v in target.values() if isinstance(v, dict)]
            inner += [v[0] for v in target.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
            if not inner:
                break
            target = rng.choice(inner)
        name = rng.choice([*target, "type"])
        if name not in target or isinstance(target[name], bool):
            target.pop(name, None)
        elif isinstance(target[name], int):
            target[name] = rng.choice(INTERESTING)
        elif isinstance(target[name], str):
            target[name] = rng.choice(("", "mirror", "raidz", "draid", "hole", "indirect", "x" * 4000, "../../etc"))
        else:
            del target[name]

    some = range(len(forger.devices)) if rng.random() < 0.5 else [rng.randrange(len(forger.devices))]
    forger.change_label(change, disks=some)


def uberblock(forger: Forger, rng: random.Random) -> None:
    change = spoil(rng)

    def front(slot: bytearray) -> None:
        part = slot[:216]
        change(part)
        slot[:216] = part

    forger.txg += 1
    forger.write_uberblock(replace(forger.spa.uberblock, txg=forger.txg), front)


def objset(forger: Forger, rng: random.Random) -> None:
    forger.change_objset(any_objset(forger, rng), spoil(rng))


def dnode(forger: Forger, rng: random.Random) -> None:
    thing = pick(forger, rng, lambda thing: True)
    forger.change_dnode(thing.objset, thing.number, spoil(rng))


def bonus(forger: Forger, rng: random.Random) -> None:
    thing = pick(forger, rng, lambda thing: thing.bonustype)
    forger.change_bonus(thing.objset, thing.number, spoil(rng))


def mos_bonus(forger: Forger, rng: random.Random) -> None:
    """Headers of the MOS's objects: datasets, directories, lists, space maps, history."""
    kinds = sorted({thing.bonustype for thing in forger.source.things if in_mos(forger, thing) and thing.bonustype})
    kind = rng.choice(kinds)
    thing = pick(forger, rng, lambda thing: in_mos(forger, thing) and thing.bonustype == kind)
    forger.change_bonus(thing.objset, thing.number, spoil(rng))


def zap(forger: Forger, rng: random.Random) -> None:
    thing = pick(forger, rng, lambda thing: thing.type in ZAPS and has_data(thing))
    dnode = thing.objset.dnode(thing.number)
    blkid = dnode.next_data_block(rng.randrange(dnode.maxblkid + 1)) or 0
    forger.change_block(thing.objset, thing.number, 0, blkid, spoil(rng))


def mos_block(forger: Forger, rng: random.Random) -> None:
    def wanted(thing: Thing) -> bool:
        return in_mos(forger, thing) and has_data(thing) and thing.type != ObjectType.DSL_PROPS

    thing = pick(forger, rng, wanted)
    forger.change_block(thing.objset, thing.number, 0, 0, spoil(rng))


def _of_type(kind: ObjectType) -> Callable[[Forger, random.Random], None]:
    def forge(forger: Forger, rng: random.Random) -> None:
        thing = pick(forger, rng, lambda thing: thing.type == kind and has_data(thing))
        forger.change_block(thing.objset, thing.number, 0, 0, spoil(rng))

    return forge


def pointer(forger: Forger, rng: random.Random) -> None:
    thing = pick(forger, rng, lambda thing: thing.data is not None)
    dnode = thing.objset.dnode(thing.number)
    level = rng.randrange(dnode.nlevels)
    blkid = (thing.data or 0) >> (dnode.indblkshift - 7) * level
    forger.change_pointer(thing.objset, thing.number, level, blkid, spoil(rng))


def indirect(forger: Forger, rng: random.Random) -> None:
    objset = any_objset(forger, rng)
    level = rng.randrange(1, objset.meta.nlevels) if objset.meta.nlevels > 1 else 0
    forger.change_block(objset, 0, level, 0, spoil(rng))


def spill(forger: Forger, rng: random.Random) -> None:
    """The pointer to a spill block, and dnodes that claim to have one."""

    def change(slot: bytearray) -> None:
        slot[7] |= 4
        if rng.random() < 0.5:
            slot[-128:] = slot[64:192]
        part = slot[-128:]
        spoil(rng)(part)
        slot[-128:] = part

    thing = pick(forger, rng, lambda thing: not in_mos(forger, thing) and thing.bonustype)
    forger.change_dnode(thing.objset, thing.number, change)


def compressed(forger: Forger, rng: random.Random) -> None:
    """The stored bytes of a compressed block."""
    thing = pick(forger, rng, lambda thing: thing.compressed)
    forger.change_stored(thing.objset, thing.number, 0, thing.data or 0, spoil(rng))


KINDS: dict[str, Callable[[Forger, random.Random], None]] = {
    function.__name__: function
    for function in (
        label, label_values, uberblock, objset, dnode, bonus, mos_bonus, zap, mos_block, pointer, indirect, spill,
        compressed,
    )
} | {
    "nvlist": _of_type(ObjectType.PACKED_NVLIST),
    "space_map": _of_type(ObjectType.SPACE_MAP),
    "history": _of_type(ObjectType.SPA_HISTORY),
}  # fmt: skip
