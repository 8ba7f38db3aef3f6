"""What tests of writing need: pools of every shape, an allocator without ideas, and devices of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from uberblock.pool import create_pool
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.env import Env
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.vdev.tree import VdevTree

MIB = 1 << 20


def make(folder: Path, layout: str = "d0", *, seed: int = 1, size: int = 80 * MIB, **more: object) -> WritablePool:
    words = [str(folder / word) if word[0] == "d" and word[1:].isdigit() else word for word in layout.split()]
    return create_pool("tank", words, size=size, env=Env.fixed(seed), txg_seconds=0, **more)  # type: ignore[arg-type]


def again(folder: Path, seed: int = 2) -> WritablePool:
    return open_pool("tank", [str(folder)], env=Env.fixed(seed), txg_seconds=0)


class PlainAllocator:
    """Hands out addresses one after the other, and checks what it is given back.

    Args:
        tree: its vdevs.
        largest: bytes of asize a piece may have; what is larger cannot be placed.
        room: bytes in all; None: as much as there is.
    """

    def __init__(self, tree: VdevTree, *, largest: int = 1 << 62, room: int | None = None) -> None:
        self.tree = tree
        self.largest = largest
        self.room = room
        self.tops = [k for k, top in enumerate(tree.tops) if top.type not in ("hole", "missing", "indirect")]
        self.cursor = dict.fromkeys(self.tops, 0)
        self.live: dict[tuple[int, int], int] = {}
        self.freed: list[tuple[int, int, int]] = []
        self.turn = 0

    def allocate(self, psizes: Any, *, txg: int, copies: int = 1, cls: Any = 0) -> np.ndarray:
        result = np.zeros((len(psizes), copies, 3), np.uint64)
        for i, psize in enumerate(psizes.tolist()):
            rows = []
            for copy in range(copies):
                top = self.tops[(self.turn + copy) % len(self.tops)]
                asize = int(self.tree.asizes(top, [psize], [txg])[0])
                stripe = self.tree.tops[top].stripe()
                at = -(-self.cursor[top] // stripe) * stripe
                fits = asize <= self.largest and at + asize <= self.tree.tops[top].asize
                if self.room is not None:
                    fits = fits and sum(self.live.values()) + sum(r[2] for r in rows) + asize <= self.room
                if not fits:
                    rows = []
                    break
                self.cursor[top] = at + asize
                rows.append((top, at, asize))
            for copy, row in enumerate(rows):
                result[i, copy] = row
                self.live[row[:2]] = row[2]
            self.turn += 1
        return result

    def _take(self, vdevs: Any, offsets: Any, asizes: Any) -> list[tuple[int, int, int]]:
        rows = list(zip(vdevs.tolist(), offsets.tolist(), asizes.tolist()))
        for vdev, offset, asize in rows:
            assert self.live.pop((vdev, offset)) == asize
        return rows

    def unallocate(self, vdevs: Any, offsets: Any, asizes: Any, *, txg: int) -> None:
        self._take(vdevs, offsets, asizes)

    def free(self, vdevs: Any, offsets: Any, asizes: Any, *, txg: int) -> None:
        self.freed += self._take(vdevs, offsets, asizes)


class Distant(MemoryDevice):
    """A device that is reached through readv and writev only, and that can fail.

    Attributes:
        broken: byte range of writes that fail; flush_fails: so do flushes.
    """

    broken: tuple[int, int] = (0, 0)
    flush_fails = False
    flushes = 0

    def view(self) -> Any:
        return None

    def _inner(self) -> MemoryDevice:
        assert self._view is not None
        return MemoryDevice(self._view, self.name)

    def readv(self, offsets: Any, lengths: Any, out: Any, dest: Any) -> Any:
        return self._inner().readv(offsets, lengths, out, dest)

    def writev(self, offsets: Any, lengths: Any, data: Any, source: Any) -> Any:
        offsets, lengths = np.asarray(offsets), np.asarray(lengths)
        start, end = self.broken
        bad = (offsets < end) & (offsets + lengths > start)
        status = np.where(bad, 5, 0).astype(np.int32)
        good = ~bad
        status[good] = self._inner().writev(offsets[good], lengths[good], data, np.asarray(source)[good])
        return status

    def flush(self) -> None:
        self.flushes += 1
        if self.flush_fails:
            from uberblock.pool.device.base import device_error

            raise device_error(5, "cannot flush", device=self.name)
