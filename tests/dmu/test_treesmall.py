"""Small objects that go: all their blocks come back in one step, and a pointer that is not theirs frees nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from uberblock.pool.alloc.allocator import AllocClass
from uberblock.pool.dmu.blocktree import BlockTree
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.blkptr import BpArray

from .test_mutable import FILE, World, world

__all__ = ["world"]


def filled(world: World, objects: int) -> list[int]:
    """Objects of one block, every third with a spill block, every fifth a hole."""
    with world.tx.transaction():
        numbers = []
        for index in range(objects):
            dn = world.objset.allocate(FILE, bonus_type=44, bonus=b"b" * 100, block_size=1024)
            if index % 5:
                dn.write(0, bytes([index % 251 + 1]) * 900)
            if index % 3 == 0:
                dn.set_spill(bytes([index % 251 + 1]) * 512)
            numbers.append(dn.number)
    return numbers


def free(world: World, numbers: list[int]) -> None:
    with world.tx.transaction():
        for number in numbers:
            world.objset.free(number)


def test_all_blocks_come_back_in_one_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sync()
    filled(world, 3)  # some stay, so that both times there is a block of dnodes
    world.sync()
    before = world.allocator.allocated(AllocClass.NORMAL)
    numbers = filled(world, 24)
    world.sync()
    kills: list[int] = []
    kill = world.objset.kill

    def counted(bps: BpArray, *, placed_again: NDArray[np.bool_] | None = None) -> None:
        kills.append(len(bps))
        kill(bps, placed_again=placed_again)

    monkeypatch.setattr(world.objset, "kill", counted)
    free(world, numbers)
    found = world.sync()
    assert world.allocator.allocated(AllocClass.NORMAL) == before
    assert kills[0] == 19 + 8 and max(kills[1:]) == 1  # data and spill blocks at once, then the levels above
    assert len(list(found.objects())) == 3


def test_what_was_never_written_goes_quietly(world: World) -> None:
    world.sync()
    numbers = filled(world, 5)
    free(world, numbers)
    assert list(world.sync().objects()) == []


@pytest.mark.parametrize("field", ["level", "birth", "size"])
def test_a_pointer_of_something_else_frees_nothing(world: World, field: str) -> None:
    numbers = filled(world, 6)
    bp = world.sync().bp
    dn = world.objset.dnode(numbers[1])
    forged = dn.phys.blkptr.copy()
    if field == "level":
        forged["prop"] |= np.uint64(1 << 56)
    elif field == "birth":
        forged["birth"] = 1 << 40
    else:
        forged["prop"] += np.uint64(1)
    phys = replace(dn.phys, blkptr=forged)
    dn.publish(phys, BlockTree(world.objset, dn.number, phys))
    free(world, numbers)
    with pytest.raises(CorruptError, match="does not belong") as caught:
        world.sync()
    assert caught.value.where["object"] == numbers[1]
    assert len(list(Objset(world.zio, bp).objects())) == 6
