"""Objects changed at random against a plain model: what is read, what is on disk, what it counts, what is undone."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import pytest
from uberblock.pool.alloc.allocator import Allocator, AllocClass
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.dmu import mutable
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.mutable import MutableDnode
from uberblock.pool.dmu.mutableobjset import MutableObjset
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.dmu.tx import TxManager
from uberblock.pool.dmu.writepolicy import WriteSettings
from uberblock.pool.errors import LimitError, NotFoundError, UsageError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.ondisk.objset import ObjsetType
from uberblock.pool.spa.space import dsize_of
from uberblock.pool.vdev.tree import build
from uberblock.pool.zio.reader import Zio
from uberblock.pool.zio.writer import ZioWriter

DATA, FILE = 25, 19


class World:
    """A disk in memory with one object set on it."""

    def __init__(self) -> None:
        device = MemoryDevice(bytearray(96 << 20))
        leaf = NVList({"type": "file", "id": 0, "guid": 7, "path": "/disk", "ashift": 12, "metaslab_shift": 24})
        leaf |= {"asize": device.size - 4718592, "metaslab_array": 1, "is_log": 0}
        tree = build(NVList({"type": "root", "id": 0, "guid": 5, "children": [leaf]}), {7: device})
        self.zio = Zio(tree)
        self.allocator = Allocator(tree)
        self.writer = ZioWriter(self.zio, self.allocator)
        self.tx = TxManager(4)
        self.dsize = dsize_of(tree)
        self.objset = MutableObjset.create(
            self.zio, ObjsetType.ZFS, tx=self.tx, writer=self.writer, settings=WriteSettings(), dsize=self.dsize
        )

    def sync(self) -> Objset:
        """Write the txg; gives what a reader finds."""
        self.close()
        return self.finish()

    def close(self) -> None:
        """Close the txg: what changes from now on belongs to the next one."""
        self.objset.close()
        self.tx.close()

    def finish(self) -> Objset:
        """Write the txg that was closed; gives what a reader finds."""
        txg = self.tx.txg
        bp = self.objset.sync()
        self.allocator.take_changes(txg)
        self.allocator.sync_done(txg)
        self.tx.written()
        return Objset(self.zio, bp)


@pytest.fixture
def world() -> World:
    return World()


@contextmanager
def failing() -> Iterator[None]:
    with pytest.raises(KeyError):
        yield


def check(objset: Objset, model: dict[int, tuple[int, bytearray]]) -> None:
    assert {dn.number for dn in objset.objects()} == set(model)
    for number, (_, content) in model.items():
        found = objset.dnode(number).read()
        assert found[: len(content)] == content
        assert not any(found[len(content) :])


def change(rng: random.Random, world: World, model: dict[int, tuple[int, bytearray]]) -> None:
    objset = world.objset
    if not model or rng.random() < 0.3:
        size = rng.choice([512, 1024, 4096])
        dn = objset.allocate(FILE, block_size=size, indirect_shift=12, dnode_size=rng.choice([512, 1024]))
        model[dn.number] = size, bytearray()
    number = rng.choice(list(model))
    size, content = model[number]
    dn = objset.dnode(number)
    what = rng.random()
    if what < 0.6:
        at = rng.randrange(size * (300 if rng.random() < 0.3 else 10))
        data = rng.randbytes(rng.randrange(1, size * 5)) if rng.random() < 0.8 else bytes(rng.randrange(1, size * 5))
        dn.write(at, data)
        content.extend(bytes(max(0, at + len(data) - len(content))))
        content[at : at + len(data)] = data
    elif what < 0.8:
        first, count = rng.randrange(20), rng.randrange(1, 300)
        dn.free_range(first, count)
        start, end = first * size, min(len(content), (first + count) * size)
        if start < end:
            content[start:end] = bytes(end - start)
        if (first + count) * size >= len(content):
            del content[start:]
    elif what < 0.85:
        objset.free(number)
        del model[number]
    else:
        with failing(), world.tx.transaction():
            dn.write(0, b"x" * 10000)
            dn.free_range(0, 5)
            dn.set_bonus(b"other")
            objset.allocate(FILE)
            raise KeyError


@pytest.mark.parametrize("seed", range(4))
def test_random_changes(world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:  # whole blocks are written at once, not kept
        monkeypatch.setattr(mutable, "PLACE_BLOCK", 512)
        monkeypatch.setattr(mutable, "PLACE_BYTES", 1024)
    rng = random.Random(seed)
    model: dict[int, tuple[int, bytearray]] = {}
    for _ in range(4):
        with world.tx.transaction():
            for _ in range(20):
                change(rng, world, model)
        check(world.objset, model)
        on_disk = world.sync()
        check(on_disk, model)
        check(world.objset, model)
        assert on_disk.object_count == len(model)
        for dn in on_disk.objects():
            assert dn.used_bytes == charged(world, dn)


def walked(dn: MutableDnode | Dnode, *, still: bool = True) -> set[int]:
    """Blocks that are no holes, found one after the other.

    Zeros that wait are data, and a hole once they are written: if that may happen meanwhile (``still`` is false), one
    question may be answered from before and the next from after it.
    """
    found: set[int] = set()
    block = dn.next_data_block(0)
    while block is not None:
        found.add(block)
        assert dn.next_hole(block * dn.datablksz) > block * dn.datablksz or not still
        block = dn.next_data_block(block + 1)
    return found


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_changes_while_a_txg_is_written(
    world: World, seed: int, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed txg is written as it was closed, whatever the next one changes meanwhile, before or during that."""
    if seed % 2:
        monkeypatch.setattr(mutable, "PLACE_BLOCK", 512)
        monkeypatch.setattr(mutable, "PLACE_BYTES", 1024)
    rng = random.Random(seed)
    model: dict[int, tuple[int, bytearray]] = {}

    def work() -> None:
        for _ in range(6):
            with world.tx.transaction():
                for _ in range(4):
                    change(rng, world, model)
            check(world.objset, model)
            for number, (size, content) in model.items():
                full = {at // size for at in range(0, len(content), size) if any(content[at : at + size])}
                assert full <= walked(world.objset.dnode(number), still=not at_once)

    with ThreadPoolExecutor(1) as other:
        other.submit(work).result()
        for _ in range(5):
            closed = copy.deepcopy(model)
            world.close()
            changing = other.submit(work)
            if not at_once:
                changing.result()
            on_disk = world.finish()
            check(on_disk, closed)
            assert on_disk.object_count == len(closed)
            for dn in on_disk.objects():
                assert dn.used_bytes == charged(world, dn)
            changing.result()
            check(world.objset, model)
    check(world.sync(), model)


def test_small_writes_into_a_block_that_waits_are_taken_back(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=4096)
        dn.write(0, bytes(range(256)) * 16)
    before = dn.read()
    with world.tx.transaction():
        dn.write(10, b"kept")
        with failing(), world.tx.transaction():
            dn.write(12, b"inner")
            dn.dirty_block(0)[100] = 7
            dn.write(98, b"again")
            raise KeyError
        assert dn.read() == before[:10] + b"kept" + before[14:]
    with failing(), world.tx.transaction():
        dn.write(0, b"x" * 1000)
        dn.write(500, b"y" * 1000)
        dn.free_range(0, 1)
        dn.write(3, b"z")
        raise KeyError
    assert dn.read() == before[:10] + b"kept" + before[14:]
    assert world.sync().dnode(dn.number).read() == dn.read()


def test_what_is_done_in_a_txg_that_is_written_is_not_undone_with_the_next(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=512)
        dn.write(0, b"a" * 2048)
    world.close()

    def later() -> None:
        with failing(), world.tx.transaction():
            dn.write(512, b"b" * 600)
            dn.free_range(0, 1)
            dn.set_bonus(b"bonus")
            raise KeyError
        assert dn.read() == b"a" * 2048 and dn.changes is None and not dn.bonus
        with world.tx.transaction():
            world.objset.free(dn.number)

    with ThreadPoolExecutor(1) as other:
        other.submit(later).result()
    assert world.finish().dnode(dn.number).read() == b"a" * 2048
    with pytest.raises(NotFoundError):
        world.objset.dnode(dn.number)
    with pytest.raises(NotFoundError):
        world.sync().dnode(dn.number)


def charged(world: World, dn: object) -> int:
    """The sizes of all blocks of an object, of every level."""
    total = 0
    for level in range(dn.nlevels):  # type: ignore[attr-defined]
        span = 1 << ((dn.indblkshift - 7) * level)  # type: ignore[attr-defined]
        total += int(world.dsize(dn.pointers(level, 0, dn.maxblkid // span + 1)).sum())  # type: ignore[attr-defined]
    return total


def test_space_comes_back(world: World) -> None:
    """When all objects are gone nothing but the object set itself is allocated."""
    with world.tx.transaction():
        numbers = [world.objset.allocate(FILE, block_size=4096).number for _ in range(20)]
        for number in numbers:
            world.objset.dnode(number).write(0, np.random.default_rng(number).bytes(100_000))
    world.sync()
    full = world.allocator.allocated(AllocClass.NORMAL)
    with world.tx.transaction():
        for number in numbers:
            world.objset.free(number)
    world.sync()
    assert world.allocator.allocated(AllocClass.NORMAL) < full // 100
    with pytest.raises(NotFoundError):
        world.objset.dnode(numbers[0])


def test_outside_of_transactions_nothing_changes(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE)
    with pytest.raises(UsageError, match="transaction"):
        dn.write(0, b"x")
    with pytest.raises(UsageError, match="transaction"):
        world.objset.allocate(FILE)


def test_inner_transaction_that_fails_leaves_the_outer_one(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE)
        dn.write(0, b"outer")
        version = dn.version
        with failing(), world.tx.transaction():
            dn.write(0, b"inner")
            dn.write(5000, b"more")
            raise KeyError
        assert dn.version != version
        assert dn.read()[:5] == b"outer"
        assert dn.maxblkid == 0
    assert world.sync().dnode(dn.number).read()[:5] == b"outer"


def test_spill_and_bonus(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, bonus_type=44, bonus=b"b" * 100)
        dn.set_spill(b"s" * 1024)
        with pytest.raises(LimitError):
            dn.set_bonus(b"b" * 300)
        with pytest.raises(LimitError):
            dn.set_spill(b"odd")
    read = world.sync().dnode(dn.number)
    assert read.bonus == b"b" * 100
    assert read.read_spill()[0] == b"s" * 1024
    with world.tx.transaction():
        dn.set_spill(None)
        dn.set_bonus(b"b" * 300)
    read = world.sync().dnode(dn.number)
    assert read.spill is None and len(read.bonus) == 300


def test_block_size_of_a_small_object_grows(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE)
        dn.write(0, b"abc")
    world.sync()
    with world.tx.transaction():
        dn.set_block_size(1536)
        assert dn.read()[:4] == b"abc\0"
        dn.set_block_size(4096)
        dn.write(4096, b"def")
        with pytest.raises(UsageError):
            dn.set_block_size(8192)
    read = world.sync().dnode(dn.number)
    assert read.datablksz == 4096 and read.read()[:3] == b"abc" and read.read(4096, 3) == b"def"


def test_seeking_sees_what_waits(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=4096)
        dn.write(4096 * 3, b"x" * 4096)
        dn.write(4096 * 9, b"x" * 4096)
    world.sync()
    with world.tx.transaction():
        dn.free_range(3, 1)
        dn.write(4096 * 5, b"y" * 4096)
    assert dn.next_data(0) == 4096 * 5
    assert dn.next_hole(4096 * 5) == 4096 * 6
    assert dn.next_data(4096 * 6) == 4096 * 9
    assert dn.next_data(4096 * 10) is None


def test_a_block_freed_while_its_object_grows_is_known_to_have_been_there(world: World) -> None:
    """An incremental send tells by births what became a hole; a hole without one was never anything else."""
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=4096, indirect_shift=12, bonus_type=44)
        dn.write(0, b"x" * 4096)
    world.sync()
    with world.tx.transaction():
        dn.free_range(0, 1)
        dn.write(4096 * 100, b"y" * 4096)
    txg = world.tx.open_txg
    read = world.sync().dnode(dn.number)
    assert read.nlevels > 2 and not any(read.read(0, 4096))
    above = read.pointers(read.nlevels - 2, 0, 1)
    assert blkptr.is_hole(above)[0] and int(above["birth"][0]) == txg


class Watched(dict):  # type: ignore[type-arg]
    """Somebody reads after each step of a change."""

    def __init__(self, content: dict[int, object], look: Callable[[], object]) -> None:
        super().__init__(content)
        self.look = look

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.look()

    def pop(self, *args: object) -> object:
        found = super().pop(*args)
        self.look()
        return found

    def __delitem__(self, key: object) -> None:
        super().__delitem__(key)
        self.look()

    def update(self, *args: object) -> None:  # type: ignore[override]
        super().update(*args)
        self.look()


def test_whoever_reads_meanwhile_sees_what_was_or_what_is(world: World) -> None:
    """A block that went from memory to its place, or back, was for a moment in neither: readers saw what is on disk."""
    size = mutable.PLACE_BLOCK
    large = mutable.PLACE_BYTES
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=size)
        dn.write(0, b"0" * large)
    world.sync()
    right = [b"0" * 4]
    seen = set()

    def look() -> None:
        found = dn.read(size, 4)
        seen.add(found)
        assert found in right

    def change(what: Callable[[], object], after: bytes, *, keep: bool = True) -> None:
        right.append(after)
        with nullcontext() if keep else pytest.raises(KeyError), world.tx.transaction():
            what()
            if not keep:
                raise KeyError
        del right[0 if keep else 1]
        look()

    def write(letter: bytes, length: int) -> Callable[[], object]:
        return lambda: dn.write(0 if length > size else size, letter * length)

    def free() -> None:
        dn.free_range(1, 1)

    change(write(b"1", size), b"1111")
    changes = dn.changes
    assert changes is not None
    changes.blocks, changes.placed = Watched(changes.blocks, look), Watched(changes.placed, look)
    for letter, length in ((b"2", large), (b"3", large), (b"4", size)):
        change(write(letter, length), letter * 4, keep=False)
        change(write(letter, length), letter * 4)
    change(free, bytes(4), keep=False)
    change(free, bytes(4))
    change(write(b"5", large), b"5555")
    change(free, bytes(4), keep=False)
    change(free, bytes(4))
    assert seen == {letter * 4 for letter in (b"1", b"2", b"3", b"4", b"5", b"\0")}


def test_what_is_taken_back_while_somebody_reads_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=4096)
        dn.write(0, b"right" * 100)
    world.sync()
    original = MutableDnode.block

    def block(self: MutableDnode, blkid: int) -> tuple[bytes, str]:
        with failing(), world.tx.transaction():
            dn.write(0, b"wrong" * 100)
            found = original(self, blkid)
            raise KeyError
        return found

    monkeypatch.setattr(MutableDnode, "block", block)
    dn.read(0, 5)
    monkeypatch.undo()
    assert dn.read(0, 5) == b"right"


def test_a_spill_block_that_was_let_go_of_is_not_found(world: World) -> None:
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, bonus_type=44, bonus=b"b" * 100)
        dn.set_spill(b"s" * 1024)
    world.sync()
    with world.tx.transaction():
        dn.set_spill(None)
    assert not dn.has_spill
    with pytest.raises(NotFoundError):
        dn.read_spill()


def test_what_cannot_be_taken_back_is_not_written(world: World) -> None:
    """Without memory, or when somebody presses ^C just then, a transaction may be undone in part."""

    def fails() -> None:
        raise MemoryError

    with world.tx.transaction():
        dn = world.objset.allocate(FILE)
    with pytest.raises(MemoryError), world.tx.transaction():
        dn.write(0, b"half")
        world.tx.note(fails)
        raise KeyError
    with pytest.raises(UsageError, match="suspended"), world.tx.transaction():
        dn.write(0, b"more")


@pytest.mark.parametrize("after", ["write", "waits_placed"])
def test_what_is_placed_when_it_is_cut_short_is_free_again(after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, other = (np.random.default_rng(seed).bytes(mutable.PLACE_BYTES) for seed in (1, 2))

    def space(world: World) -> int:
        """What the file takes, when all that was freed is free."""
        for _ in range(4):
            assert world.sync().dnode(dn.number).read() == content
            with world.tx.transaction():
                dn.set_bonus(b"touched")
        return world.allocator.allocated(AllocClass.NORMAL)

    def cut_short(original: Callable[..., object], *args: object, **more: object) -> None:
        original(*args, **more)
        raise KeyboardInterrupt

    found = []
    for interrupted in (False, True):
        world = World()
        with world.tx.transaction():
            dn = world.objset.allocate(FILE, block_size=mutable.PLACE_BLOCK)
            dn.write(0, content)
        if interrupted:
            owner = world.writer if after == "write" else world.objset
            monkeypatch.setattr(owner, after, partial(cut_short, getattr(owner, after)))
            with pytest.raises(KeyboardInterrupt), world.tx.transaction():
                dn.write(0, other)
            monkeypatch.undo()
        assert dn.read() == content
        found.append(space(world))
    assert found[0] == found[1]


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_change_that_is_cut_short_is_taken_back(world: World, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    size = mutable.PLACE_BLOCK
    with world.tx.transaction():
        dn = world.objset.allocate(FILE, block_size=size)
        dn.write(0, b"a" * mutable.PLACE_BYTES)
        dn.write(0, b"b" * size)
    before, original, calls = dn.read(), world.objset.waits, []

    def waits(more: int, blocks: int = 0) -> None:
        calls.append(more)
        if len(calls) == stop:
            raise KeyboardInterrupt
        original(more, blocks)

    monkeypatch.setattr(world.objset, "waits", waits)
    with pytest.raises(KeyboardInterrupt), world.tx.transaction():
        dn.write(size, b"c" * size)  # over one that was placed
        dn.write(0, b"d" * size)  # over one that waits
        dn.free_range(0, 1)
        dn.write(2 * size, b"e" * size)
    monkeypatch.undo()
    assert dn.read() == before
    assert world.sync().dnode(dn.number).read() == before
