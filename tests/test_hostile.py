"""Hostile pools: real ones, forged, with every checksum right.

Each case changes bytes somewhere - labels, uberblocks, nvlists, the MOS, ZAPs, dnodes, space maps, compressed streams,
block pointers - so that the damage reaches the parsers, and then reads everything there is. Only errors of this package
may come out, each in one line, in bounded time and memory. A case is known by its seed: a failure prints it.

UBERBLOCK_HOSTILE_CASES sets how many cases are made of each kind (more for a longer run).
"""

from __future__ import annotations

import os
import random
import resource
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from exercise import exercise
from forge import Change, Forger
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.ondisk import blkptr, label
from uberblock.pool.ondisk.dmutypes import ObjectType

CASES = int(os.environ.get("UBERBLOCK_HOSTILE_CASES", "25"))
MEMORY = 512 << 20

#: Kinds of pools with one disk, small, and with different things in them.
POOLS = ("rewind", "names", "ganging", "dedup", "encrypted", "block-cloning", "algorithms")
INTERESTING = (0, 1, 2, 3, 127, 128, 255, (1 << 15) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1,
               1 << 63, (1 << 64) - 1)  # fmt: skip


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


@contextmanager
def memory_bound() -> Iterator[None]:
    """Fail if the process grows by more than ``MEMORY`` meanwhile."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < MEMORY, f"grew by {grown >> 20} MiB"


def run_cases(image: Path, kind: str, forge: Callable[[Forger, random.Random], None]) -> None:
    """Forge and read ``CASES`` pools; each from its own seed."""
    only = os.environ.get("UBERBLOCK_HOSTILE_SEED")
    for case in range(CASES):
        seed = zlib.crc32(f"{image.parent.name}/{kind}/{case}".encode()) if only is None else int(only)
        rng = random.Random(seed)
        forger = Forger(image)
        try:
            forge(forger, rng)
            with memory_bound():
                exercise(forger.device, thorough=case % 10 == 0)
        except BaseException as error:
            error.add_note(f"hostile {kind} on {image}: repeat with UBERBLOCK_HOSTILE_SEED={seed}")
            raise
        finally:
            forger.close()
        if only is not None:
            return


def objsets(forger: Forger) -> list[Objset]:
    """The MOS, and what datasets have."""
    found = [forger.spa.mos]
    for dataset in forger.spa.dsl.datasets():
        if not dataset.is_empty:
            found.append(dataset.objset(raw=dataset.encrypted))
    return found


def pick_object(forger: Forger, rng: random.Random, wanted: Callable[[int], bool]) -> tuple[Objset, int]:
    """An object of a wanted type in the MOS or in a dataset."""
    sets = objsets(forger)
    for objset in rng.sample(sets, len(sets)):
        numbers = [d.number for d in objset.objects() if wanted(d.type) and d.next_data_block(0) == 0]
        if numbers:
            return objset, rng.choice(numbers)
    pytest.fail("no such object in this pool")


# --- what is forged -------------------------------------------------------------------------------------------------

ZAPS = {
    ObjectType.OBJECT_DIRECTORY, ObjectType.DSL_DIR_CHILD_MAP, ObjectType.DSL_DS_SNAP_MAP, ObjectType.DSL_PROPS,
    ObjectType.DIRECTORY_CONTENTS, ObjectType.MASTER_NODE, ObjectType.SA_ATTR_LAYOUTS, ObjectType.SA_ATTR_REGISTRATION,
    ObjectType.ZAP_METADATA, ObjectType.DEADLIST, ObjectType.DDT_ZAP, ObjectType.SA_MASTER_NODE,
}  # fmt: skip


def forge_label(forger: Forger, rng: random.Random) -> None:
    change = spoil(rng)

    def front(region: bytearray) -> None:
        part = region[:4096]
        change(part)
        region[:4096] = part

    forger.change_label_bytes(front)


def forge_label_values(forger: Forger, rng: random.Random) -> None:
    def change(config: dict) -> None:
        target = config
        for _ in range(rng.randrange(4)):
            inner = [v for v in target.values() if isinstance(v, dict)]
            inner += [v[0] for v in target.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
            if not inner:
                break
            target = rng.choice(inner)
        name = rng.choice(list(target))
        if isinstance(target[name], bool):
            del target[name]
        elif isinstance(target[name], int):
            target[name] = rng.choice(INTERESTING)
        elif isinstance(target[name], str):
            target[name] = rng.choice(("", "mirror", "raidz", "draid", "hole", "indirect", "x" * 4000, "../../etc"))
        else:
            del target[name]

    forger.change_label(change)


def forge_uberblock(forger: Forger, rng: random.Random) -> None:
    change = spoil(rng)

    def front(slot: bytearray) -> None:
        part = slot[:216]
        change(part)
        slot[:216] = part

    forger.txg += 1
    from dataclasses import replace

    forger.write_uberblock(replace(forger.spa.uberblock, txg=forger.txg), front)


def forge_objset(forger: Forger, rng: random.Random) -> None:
    forger.change_objset(rng.choice(objsets(forger)), spoil(rng))


def forge_dnode(forger: Forger, rng: random.Random) -> None:
    objset = rng.choice(objsets(forger))
    numbers = [d.number for d in objset.objects()]
    forger.change_dnode(objset, rng.choice(numbers), spoil(rng))


def forge_zap(forger: Forger, rng: random.Random) -> None:
    objset, number = pick_object(forger, rng, lambda kind: kind in ZAPS)
    dnode = objset.dnode(number)
    blkid = rng.randrange(dnode.maxblkid + 1)
    if bool(blkptr.is_hole(dnode.bps(blkid, 1)[0])):
        blkid = 0
    forger.change_block(objset, number, 0, blkid, spoil(rng))


def forge_mos_block(forger: Forger, rng: random.Random) -> None:
    mos = forger.spa.mos
    numbers = [d.number for d in mos.objects() if d.next_data_block(0) == 0 and d.type != ObjectType.DSL_PROPS]
    forger.change_block(mos, rng.choice(numbers), 0, 0, spoil(rng))


def forge_nvlist(forger: Forger, rng: random.Random) -> None:
    objset, number = pick_object(forger, rng, lambda kind: kind == ObjectType.PACKED_NVLIST)
    forger.change_block(objset, number, 0, 0, spoil(rng))


def forge_space_map(forger: Forger, rng: random.Random) -> None:
    objset, number = pick_object(forger, rng, lambda kind: kind == ObjectType.SPACE_MAP)
    forger.change_block(objset, number, 0, 0, spoil(rng))


def forge_pointer(forger: Forger, rng: random.Random) -> None:
    objset = rng.choice(objsets(forger))
    numbers = [d.number for d in objset.objects() if d.next_data_block(0) is not None]
    dnode = objset.dnode(rng.choice(numbers))
    level = rng.randrange(dnode.nlevels)
    first = dnode.next_data_block(0) or 0
    blkid = first >> (dnode.indblkshift - 7) * level
    forger.change_pointer(objset, dnode.number, level, blkid, spoil(rng))


def forge_indirect(forger: Forger, rng: random.Random) -> None:
    objset = rng.choice(objsets(forger))
    level = rng.randrange(1, objset.meta.nlevels) if objset.meta.nlevels > 1 else 0
    forger.change_block(objset, 0, level, 0, spoil(rng))


def forge_compressed(forger: Forger, rng: random.Random) -> None:
    """The stored bytes of a compressed block."""
    choices = []
    for objset in objsets(forger):
        for dnode in objset.objects():
            blkid = dnode.next_data_block(0)
            if blkid is None:
                continue
            bp = dnode.bps(blkid, 1)[0]
            stored = not bool(blkptr.is_embedded(bp)) and not bool(blkptr.is_gang(bp)) and not bool(blkptr.is_crypt(bp))
            if stored and int(blkptr.compression(bp)) != 2:
                choices.append((objset, dnode.number, blkid))
    objset, number, blkid = rng.choice(choices)
    forger.change_stored(objset, number, 0, blkid, spoil(rng))


FORGERIES = {
    function.__name__.removeprefix("forge_"): function
    for function in (
        forge_label, forge_label_values, forge_uberblock, forge_objset, forge_dnode, forge_zap, forge_mos_block,
        forge_nvlist, forge_space_map, forge_pointer, forge_indirect, forge_compressed,
    )
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("kind", FORGERIES)
def test_hostile(pools, pool: str, kind: str) -> None:
    run_cases(pools(pool).images[0], kind, FORGERIES[kind])


# --- what needs no forging ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 511, 512, 262144, 524288, 4 << 20, 5 << 20, 63 << 20, 64 << 20])
def test_truncated(pools, tmp_path, size: int) -> None:
    image = pools("rewind").images[0]
    short = tmp_path / "d0.img"
    with image.open("rb") as source:
        short.write_bytes(source.read(size))
    with OverlayDevice(FileDevice(short)) as device:
        exercise(device)


def test_a_forged_pool_without_damage_reads_as_before(pools) -> None:
    """The forger itself: rewriting blocks unchanged must not make a difference, or the cases above prove nothing."""
    forger = Forger(pools("names").images[0])
    try:
        untouched = exercise(forger.device)
        for objset in objsets(forger)[:3]:
            forger.change_block(objset, 0, 0, 0, lambda data: None)
        assert exercise(forger.device) == untouched
        with_damage = np.zeros(512, dtype=np.uint8)
        forger.change_objset(forger.spa.mos, lambda data: data.__setitem__(slice(0, 512), with_damage.tobytes()))
        assert exercise(forger.device) != untouched
    finally:
        forger.close()


def test_every_error_names_what_and_where(pools) -> None:
    forger = Forger(pools("names").images[0])
    try:
        device = forger.device
        for index in range(label.LABELS):
            at = label.offset(device.size, index)
            device.write(at + label.RING_OFFSET, bytes(label.RING_SIZE))
        errors = exercise(device)
        assert any("tank-names" in error for error in errors), errors
    finally:
        forger.close()
