"""Recorded runs in which one disk is lost, and their crash states with that disk back, or gone for good.

Which disk follows from the seed: one whose vdev can do without it. Each time the pool is opened, chance says what is
wrong with it this time: nothing, it is away, it vanishes after a while, or from some call on writes or flushes fail; a
flush that fails loses what the disk got since the last good one. So a stale disk comes back now and then, and is
written on while its log says what it lacks.

In every crash state the pool must open at what was acknowledged, whole: with all disks, where each block that the lost
one should have and its log does not excuse must be on it and right, and without it.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..device.base import Buffer, Statuses, device_error
from ..errors import UsageError
from ..poolcreate import open_pool
from ..poolwrite import WritablePool
from .checker import Found, Met, examine
from .explore import Explorer
from .faults import Fault, FaultyDevice, Vanished, WriteError
from .layouts import words_of
from .simdisk import SimDisk
from .workload import POOL, Recorder, Run, RunOptions

#: Calls after which a fault begins, at most.
AFTER_MAX = 120
KINDS = ("whole", "away", "vanishes", "does not write", "does not flush")


class ForgetfulDisk(FaultyDevice):
    """A disk whose flushes fail from some call on, and that loses what it has got since the last good one.

    Args:
        base: what lies below. after: so many flushes go well. faults: what else is wrong.
    """

    def __init__(self, base: SimDisk, after: int, faults: Sequence[Fault] = ()) -> None:
        super().__init__(base, faults)
        self._left = after
        self._before: list[tuple[int, bytes]] = []  # what was overwritten since the last good flush

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        for offset, length in zip(np.asarray(offsets).tolist(), np.asarray(lengths).tolist()):
            self._before.append((offset, self.base.read(offset, length)))
        return super().writev(offsets, lengths, data, source)

    def flush(self) -> None:
        if self._left:
            self._left -= 1
            super().flush()
            self._before.clear()
            return
        while self._before:
            offset, old = self._before.pop()
            self.base.writev([offset], [len(old)], old, [0])
        raise device_error(errno.EIO, "cannot flush", device=self.name)


class LosingRecorder(Recorder):
    """Makes a run in which a disk is lost.

    Attributes:
        lost: its number.

    Raises:
        UsageError: the layout has no redundancy.
    """

    def __init__(self, options: RunOptions) -> None:
        self._chance = random.Random(f"losing/{options.seed}/{options.layout}")
        super().__init__(replace(options, reimport=max(options.reimport, 0.5)))
        spared = [leaf.path for leaf in self.pool.tree.leaves if leaf.top.tolerated()]
        if not spared:
            raise UsageError(f"no disk of the layout {options.layout!r} can be lost", "take one with redundancy")
        path = self._chance.choice(spared)
        self.lost = next(disk.number for disk in self.run.disks if disk.name == path.rpartition("/")[2])
        self.close()
        self.pool = self.open()

    def open(self) -> WritablePool:
        """Import the pool, with something wrong with the disk."""
        kind, after = self._chance.choice(KINDS), self._chance.randrange(AFTER_MAX)
        disk = self.run.disks[self.lost]
        self.run.steps.append(f"{disk.name}: {kind}" + (f" after {after} calls" if kind[0] in "vd" else ""))
        shown: list[SimDisk | FaultyDevice] = [one for one in self.run.disks if one is not disk or kind != "away"]
        if kind == "does not flush":
            shown[self.lost] = ForgetfulDisk(disk, after // 16)
        elif kind in ("vanishes", "does not write"):
            fault = Vanished(after=after) if kind == "vanishes" else WriteError(after=after)
            shown[self.lost] = FaultyDevice(disk, [fault])
        return open_pool(POOL, shown, env=self.env, txg_seconds=0, threads=1)


def bears_loss(layout: str) -> bool:
    """Some disk of a layout can be lost."""
    return any(word.startswith(("mirror", "raidz", "draid")) for word in words_of(layout))


def record_losing(options: RunOptions) -> tuple[Run, int]:
    """Make a run in which a disk is lost; gives its number too."""
    recorder = LosingRecorder(options)
    return recorder.record(), recorder.lost


def explorer_of(run: Run, lost: int, *, gone: bool, memo: bool = True) -> Explorer:
    """An explorer of such a run's crash states: with the disk back, or without it."""
    return Explorer(run.journal, run.history, examine=look, gone=[lost] if gone else (), memo=memo)


def look(disks: Sequence[SimDisk], met: Met = lambda pool: None) -> Found:
    """``examine``, and what could not be checked on one disk, because it is not there or lacks it, is no problem."""
    found = examine(disks, met)
    unchecked = [line for line in found.problems if line.startswith("unchecked: ")]
    if len(unchecked) != 1:
        return found
    return replace(found, problems=tuple(line for line in found.problems if line not in unchecked))
