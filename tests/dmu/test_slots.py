"""Object numbers: what is given out, what comes back, and what earlier sessions left."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from uberblock.pool.dmu.mutableobjset import MutableObjset
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.dmu.slots import IN_VAIN, WORTH, gap
from uberblock.pool.dmu.writepolicy import WriteSettings
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.ondisk.dnode import SLOTS_PER_BLOCK

from .test_mutable import FILE, World, world

__all__ = ["world"]


def reopened(world: World, last: Objset) -> MutableObjset:
    """The same object set, as a session finds it that knows nothing of earlier ones."""
    world.objset = MutableObjset(
        world.zio, last.bp, tx=world.tx, writer=world.writer, settings=WriteSettings(), dsize=world.dsize
    )
    return world.objset


def made(world: World, count: int, dnode_size: int = 512) -> list[int]:
    with world.tx.transaction():
        return [world.objset.allocate(FILE, dnode_size=dnode_size).number for _ in range(count)]


def freed(world: World, numbers: list[int]) -> Objset:
    with world.tx.transaction():
        for number in numbers:
            world.objset.free(number)
    return world.sync()


def test_gap_is_the_first_run_of_free_slots() -> None:
    assert gap(0, 1) == 0
    assert gap(0b1011, 1) == 2
    assert gap(0b1011, 2) == 4
    assert gap((1 << SLOTS_PER_BLOCK) - 1, 1) is None
    assert gap((1 << (SLOTS_PER_BLOCK - 1)) - 1, 2) is None


def test_numbers_that_an_earlier_session_freed_are_given_out_again(world: World) -> None:
    numbers = made(world, 40 * SLOTS_PER_BLOCK)
    world.sync()
    hole = [n for n in numbers if 5 * SLOTS_PER_BLOCK <= n < 9 * SLOTS_PER_BLOCK]
    sparse = [n for n in numbers if n // SLOTS_PER_BLOCK == 20][: WORTH + 1]
    single = [31 * SLOTS_PER_BLOCK + 3]
    reopened(world, freed(world, hole + sparse + single))
    new = made(world, len(hole) + len(sparse) + 1)
    assert new[: len(hole) + len(sparse)] == sorted(hole + sparse)
    # For a single slot no block is read.
    assert new[-1] > max(numbers)
    last = world.sync()
    assert last.object_count == len(numbers)


def test_a_number_is_not_given_out_while_its_object_is_being_freed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the dnode block is free of it already, and the txg not over."""
    made(world, 40)
    reopened(world, freed(world, [7]))
    with world.tx.transaction():
        for number in (33, 35):
            world.objset.free(number)
    put, later = MutableObjset._put_dnodes, list[int]()

    def put_and_let_others_in(self: MutableObjset, objects: Any) -> None:
        put(self, objects)
        with ThreadPoolExecutor(1) as other:
            later.extend(other.submit(made, world, 3).result())

    with monkeypatch.context() as patch:
        patch.setattr(MutableObjset, "_put_dnodes", put_and_let_others_in)
        world.sync()
    assert not {33, 35} & set(later), "they were on their way out"
    for _ in range(2):
        later += made(world, 3)
        world.sync()
    assert len(set(later)) == len(later) and {33, 35} <= set(later)


def test_a_whole_pointers_worth_is_searched_only_where_there_is_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(world, SLOTS_PER_BLOCK - 1)
    numbers = made(world, 4 * 1100, 8 * 512)  # four to a block, all slots in use
    last = world.sync()
    objset = reopened(world, last)
    read: list[int] = []
    block = MutableObjset._block
    monkeypatch.setattr(MutableObjset, "_block", lambda self, blkid: read.append(blkid) or block(self, blkid))
    (number,) = made(world, 1)
    assert number > max(numbers)
    assert objset.meta.maxblkid == 1100
    assert len(set(read)) <= 2 * IN_VAIN + 2


def test_a_number_freed_in_the_open_txg_waits_for_the_next(world: World) -> None:
    numbers = made(world, 3)
    world.sync()
    with world.tx.transaction():
        world.objset.free(numbers[1])
    assert numbers[1] not in made(world, 2)
    world.sync()
    assert made(world, 1) == [numbers[1]]


def test_an_object_made_with_its_content_is_as_if_written(world: World) -> None:
    content = np.frombuffer(random.Random(1).randbytes(512), dtype=np.uint8).copy()
    with world.tx.transaction():
        dn = world.objset.allocate_filled(
            FILE, content, block_size=512, bonus_type=ObjectType.SA, bonus=b"attributes", dnode_size=512
        )
        empty = world.objset.allocate_filled(
            FILE, None, block_size=512, bonus_type=ObjectType.SA, bonus=b"", dnode_size=512
        )
    assert dn.block(0)[0] == content.tobytes()
    assert world.tx.waiting.dirty_bytes == 512
    last = world.sync()
    found = last.dnode(dn.number)
    assert (found.block(0)[0], found.bonus) == (content.tobytes(), b"attributes")
    assert found.used_bytes > 0
    assert last.dnode(empty.number).used_bytes == 0


def test_an_object_made_with_its_content_is_taken_back(world: World) -> None:
    made(world, 1)
    world.sync()
    before = world.tx.waiting.dirty_bytes, world.tx.waiting.dirty_blocks
    content = np.ones(1024, dtype=np.uint8)
    with pytest.raises(ZeroDivisionError), world.tx.transaction():
        dn = world.objset.allocate_filled(
            FILE, content, block_size=1024, bonus_type=ObjectType.SA, bonus=b"x", dnode_size=512
        )
        with world.tx.transaction():
            dn.write(0, b"other")
            dn.set_bonus(b"other")
        raise ZeroDivisionError
    assert (world.tx.waiting.dirty_bytes, world.tx.waiting.dirty_blocks) == before
    assert dn.number not in world.objset.changed
    assert made(world, 1) == [dn.number]
