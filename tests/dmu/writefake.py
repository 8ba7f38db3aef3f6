"""Objects that can be changed, in memory: what MutableDnode and MutableObjset promise, and nothing below them.

``FakeObjset.transaction`` takes changes back when an exception leaves it. Blocks are handed out as copies, as the real
ones are, so that code which keeps a buffer across transactions is found out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from uberblock.pool.dmu.bpsizes import allocated_size
from uberblock.pool.errors import NotFoundError, UsageError


class FakeDnode:
    """An object: a dict of blocks."""

    order = "<"

    def __init__(self, objset: FakeObjset, number: int, kind: int, block_size: int = 512) -> None:
        self.objset = objset
        self.number = number
        self.type = kind
        self.datablksz = block_size
        self.bonustype, self.bonus, self.spill_data = 0, b"", None
        self.nblkptr, self.extra_slots = 1, 0
        self.maxblkid = 0
        self.version = 0
        self.blocks_held: dict[int, NDArray[np.uint8]] = {}
        self.touched: set[int] = set()
        self.checksum = self.compress = 0

    @property
    def block_version(self) -> int:
        """Changes with the blocks; here with everything."""
        return self.version

    @property
    def size(self) -> int:
        return (self.maxblkid + 1) * self.datablksz

    @property
    def has_spill(self) -> bool:
        return self.spill_data is not None

    @property
    def bonus_capacity(self) -> int:
        return (self.extra_slots + 1) * 512 - 64 - 128 * self.nblkptr

    def _where(self) -> dict[str, Any]:
        return {"object": self.number}

    def block(self, blkid: int) -> tuple[bytes, str]:
        if not 0 <= blkid <= self.maxblkid:
            raise NotFoundError("an object has no such block", block=blkid)
        held = self.blocks_held.get(blkid)
        return (bytes(self.datablksz) if held is None else held.tobytes()), "<"

    def blocks(self, blkids: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        return (self.block(blkid) for blkid in blkids)

    def _dirty(self) -> None:
        self.objset.note(self)
        self.version += 1

    def dirty_block(self, blkid: int, *, whole: bool = False) -> NDArray[np.uint8]:
        assert blkid == 0 or not self.datablksz & (self.datablksz - 1)
        self._dirty()
        held = self.blocks_held.get(blkid)
        if held is None:
            held = np.zeros(self.datablksz, dtype=np.uint8)
        elif blkid not in self.touched:
            held = held.copy()
        self.touched.add(blkid)
        self.blocks_held[blkid] = held
        self.maxblkid = max(self.maxblkid, blkid)
        return held

    def write(self, offset: int, data: Any) -> None:
        source = np.frombuffer(data, dtype=np.uint8)
        at = 0
        while at < len(source):
            blkid, skip = divmod(offset + at, self.datablksz)
            take = min(self.datablksz - skip, len(source) - at)
            self.dirty_block(blkid)[skip : skip + take] = source[at : at + take]
            at += take

    def free_range(self, first: int, count: int) -> None:
        self._dirty()
        for blkid in range(first, first + count):
            self.blocks_held.pop(blkid, None)
        if first + count > self.maxblkid:
            self.maxblkid = max(first - 1, 0)

    def set_bonus(self, data: bytes, bonustype: int | None = None) -> None:
        assert len(data) <= self.bonus_capacity - (128 if self.has_spill else 0)
        self._dirty()
        self.bonus = bytes(data)
        if bonustype is not None:
            self.bonustype = bonustype

    def set_spill(self, data: bytes | None) -> None:
        assert data is None or (len(self.bonus) <= self.bonus_capacity - 128 and len(data) % 512 == 0)
        self._dirty()
        self.spill_data = data

    def read_spill(self) -> tuple[bytes, str]:
        if self.spill_data is None:
            raise NotFoundError("an object has no spill block")
        return self.spill_data, "<"

    def set_block_size(self, size: int) -> None:
        assert self.maxblkid == 0
        self._dirty()
        held = self.blocks_held.get(0)
        self.datablksz = size
        if held is not None:
            data = np.zeros(size, dtype=np.uint8)
            data[: min(size, len(held))] = held[:size]
            self.blocks_held[0] = data
            self.touched.add(0)


class FakeObjset:
    """Objects by number, and transactions (which do not nest)."""

    name = "fake"

    def __init__(self) -> None:
        self.dsize = allocated_size
        self.tx = SimpleNamespace(steady=nullcontext)
        self.objects: dict[int, FakeDnode] = {}
        self.states: dict[int, Any] | None = None
        self.before: dict[int, FakeDnode] = {}

    def note(self, dnode: FakeDnode) -> None:
        if self.states is None:
            raise UsageError("outside of a transaction")
        if dnode.number not in self.states:
            state = {k: copy.copy(v) for k, v in vars(dnode).items() if k not in ("objset", "version")}
            self.states[dnode.number] = (dnode, state)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        assert self.states is None
        self.states, self.before = {}, dict(self.objects)
        for dnode in self.objects.values():
            dnode.touched.clear()
        try:
            yield
        except BaseException:
            for dnode, state in self.states.values():
                vars(dnode).update(state)
                dnode.version += 1
            self.objects = self.before
            raise
        finally:
            self.states = None

    def allocate(
        self,
        kind: int,
        *,
        block_size: int = 512,
        indirect_shift: int = 17,
        bonus_type: int = 0,
        bonus: bytes = b"",
        dnode_size: int = 512,
        number: int | None = None,
        compress: int = 0,
        checksum: int = 0,
    ) -> FakeDnode:
        number = number or max(self.objects, default=0) + 1
        assert number not in self.objects
        dnode = FakeDnode(self, number, kind, block_size)
        dnode.nblkptr = 1 if bonus_type == 44 else min(3, 1 + ((dnode_size - 192 - len(bonus)) >> 7))
        dnode.extra_slots = dnode_size // 512 - 1
        dnode.bonustype, dnode.compress = bonus_type, compress
        self.objects[number] = dnode
        if bonus:
            dnode.set_bonus(bonus)
        return dnode

    def dnode(self, number: int) -> FakeDnode:
        if number not in self.objects:
            raise NotFoundError("no such object", object=number)
        return self.objects[number]

    def free(self, number: int) -> None:
        self.dnode(number)
        del self.objects[number]
