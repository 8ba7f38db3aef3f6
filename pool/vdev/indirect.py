"""Removed vdevs: their blocks lie elsewhere, in pieces, and keep their old addresses.

A mapping tells for each range of the removed vdev's address space where it was copied to. The target may
have been removed since, which is followed until no piece is left on a removed vdev. A block may be cut by
the mapping; its pieces then have nothing to do with each other.

Source: OpenZFS, vdev_indirect.c, vdev_indirect_mapping.c, vdev_indirect_births.c.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import CorruptError
from ..ondisk.blkptr import SECTOR
from . import config as conf
from .layout import I64, U64, Bools, Layout, empty
from .state import VdevState
from .vdev import Vdev, Way

if TYPE_CHECKING:
    from .tree import VdevTree

MAX_CHAIN = 256  # removals of the target of a removal of the target ...


@dataclass(frozen=True)
class Pieces:
    """Ranges of top-level vdevs that make up blocks, ordered by block and by place in it.

    Attributes:
        block: which block; where: place in the block, in bytes.
        top: id of the top-level vdev; offset, length: bytes of its address space.
        birth: txg in which they were written there.
    """

    block: I64
    where: I64
    top: I64
    offset: I64
    length: I64
    birth: U64

    def __len__(self) -> int:
        return len(self.block)

    def take(self, which: NDArray[Any]) -> Pieces:
        """Some of them: a mask or indices."""
        return Pieces(*(getattr(self, field.name)[which] for field in fields(self)))


class IndirectVdev(Vdev):
    """An ``indirect`` vdev. It has no blocks until its mapping has been set."""

    def __init__(self, tree: VdevTree, config: conf.VdevConfig, parent: Vdev | None, number: int) -> None:
        super().__init__(tree, config, parent, number)
        self._source: I64 = np.zeros(0, np.int64)
        self._size: I64 = self._source
        self._top: I64 = self._source
        self._target: I64 = self._source
        self._birth_ends: U64 = np.zeros(0, np.uint64)
        self._birth_txgs: U64 = self._birth_ends

    def set_mapping(self, src_offsets: ArrayLike, dst_dva: ArrayLike, sizes: ArrayLike) -> None:
        """Take the mapping.

        Args:
            src_offsets, sizes: ranges of this vdev in bytes, ascending.
            dst_dva: where each went: the two words of a DVA, shape (n, 2).

        Raises:
            CorruptError: ranges that are empty, overlap, do not ascend, leave the vdev, or cut a sector.
        """
        source, size = np.asarray(src_offsets, np.uint64), np.asarray(sizes, np.uint64)
        words = np.asarray(dst_dva, np.uint64).reshape(-1, 2)
        if not len(source) == len(size) == len(words):
            raise ValueError("the columns of a mapping differ in length")
        room = np.uint64(self.asize)
        inside = (source <= room) & (size > 0) & (size <= room - np.minimum(source, room))
        inside &= (source | size) % np.uint64(SECTOR) == 0
        if not inside.all() or bool((source[1:] < source[:-1] + size[:-1]).any()):
            raise CorruptError("the mapping of a removed vdev is out of order", vdev=self.name)
        self._source, self._size = source.astype(np.int64), size.astype(np.int64)
        self._top = (words[:, 0] >> np.uint64(32)).astype(np.int64) & 0xFFFFFF
        target = words[:, 1] & np.uint64((1 << 63) - 1)
        if bool((target >= conf.MAX_ASIZE // SECTOR).any()):
            raise CorruptError("the mapping of a removed vdev leads beyond any vdev", vdev=self.name)
        self._target = target.astype(np.int64) * SECTOR
        self.tree.changed()

    def set_births(self, offsets: ArrayLike, txgs: ArrayLike) -> None:
        """Say when what was copied: everything below ``offsets[i]``, from the entry before on, in
        ``txgs[i]``.

        Raises:
            CorruptError: offsets that do not ascend.
        """
        ends, born = np.asarray(offsets, np.uint64), np.asarray(txgs, np.uint64)
        if ends.shape != born.shape:
            raise ValueError("offsets and txgs differ in number")
        if bool((ends[1:] <= ends[:-1]).any()):
            raise CorruptError("the births of a removed vdev are out of order", vdev=self.name)
        self._birth_ends, self._birth_txgs = ends, born

    def update_state(self) -> None:
        self.set_state(VdevState.HEALTHY)

    def holds(self, offsets: U64, psizes: U64, births: U64) -> Bools:
        return self._pieces(offsets, psizes, births)[1]

    def ways(self, scrub: bool) -> int:
        return max((vdev.ways(scrub) for vdev in self.targets()), default=1)

    def targets(self) -> list[Vdev]:
        """The top-level vdevs on which its blocks finally lie."""
        seen, todo, found = {self.id}, [self], []
        while todo:
            for number in np.unique(todo.pop()._top).tolist():
                if number in seen or number >= len(self.tree.tops):
                    continue
                seen.add(number)
                vdev = self.tree.tops[number]
                if isinstance(vdev, IndirectVdev):
                    todo.append(vdev)
                elif vdev.plain:
                    found.append(vdev)
        return found

    def layout(self, way: Way, offsets: U64, psizes: U64, births: U64) -> Layout:
        """One group of data columns for each block. Way k takes way k of every target, counted round."""
        pieces, good = self._pieces(offsets, psizes, births)
        if not good.all():
            raise CorruptError("a block of a removed vdev is not mapped", vdev=self.name)
        count = len(pieces)
        layout = empty(count, len(offsets), len(offsets))
        for number in np.unique(pieces.top).tolist():
            vdev = self.tree.tops[number]
            index = np.flatnonzero(pieces.top == number)
            choice = way.numbered(way.number % vdev.ways(way.scrub))
            leaf, at = vdev.pick(choice, pieces.offset[index].astype(np.uint64), pieces.birth[index])
            layout.columns["leaf"][index] = leaf
            layout.columns["offset"][index] = at
        layout.columns["parity"] = -1
        layout.columns["where"] = pieces.where
        layout.columns["length"] = pieces.length
        layout.columns["stored"] = pieces.length
        per_block = np.bincount(pieces.block, minlength=len(offsets))
        first = np.cumsum(per_block) - per_block
        layout.groups["first"] = first
        layout.groups["ncols"] = per_block
        layout.groups["nparity"] = 0
        layout.groups["height"] = np.maximum.reduceat(pieces.length, first) if count else 0
        layout.blocks[:] = np.arange(len(offsets) + 1)
        return layout

    def _pieces(self, offsets: U64, psizes: U64, births: U64) -> tuple[Pieces, Bools]:
        return self.follow(offsets, Vdev.asizes(self, psizes, births), births)

    def step(self, offsets: U64, sizes: U64) -> Pieces:
        """Ranges of this vdev as pieces where this vdev's mapping, and no other, puts them; what is not mapped as a
        whole is left out. (Their births mean nothing.)
        """
        count = len(offsets)
        none, all_of_it = np.zeros(count, np.int64), np.ones(count, bool)
        at = Pieces(
            np.arange(count),
            none,
            np.full(count, self.id),
            offsets.astype(np.int64),
            sizes.astype(np.int64),
            none.astype(np.uint64),
        )
        return self._step(at, all_of_it)

    @property
    def mapped(self) -> tuple[I64, I64]:
        """(starts, ends) of the ranges that are mapped, entry by entry."""
        return self._source, self._source + self._size

    def follow(self, offsets: U64, sizes: U64, births: U64) -> tuple[Pieces, Bools]:
        """Ranges of this vdev as pieces of vdevs that have not been removed.

        Returns:
            the pieces, and for each range whether all of it is mapped to where bytes can be; of the others
            there are no pieces.
        """
        count = len(offsets)
        start = Pieces(
            np.arange(count),
            np.zeros(count, np.int64),
            np.full(count, self.id),
            offsets.astype(np.int64),
            sizes.astype(np.int64),
            births.astype(np.uint64),
        )
        good = np.ones(count, bool)
        done: list[Pieces] = []
        todo = start
        for _ in range(MAX_CHAIN):
            if not len(todo):
                break
            steps = []
            for number in np.unique(todo.top).tolist():
                vdev = self.tree.tops[number]
                assert isinstance(vdev, IndirectVdev)
                steps.append(vdev._step(todo.take(todo.top == number), good))
            todo = self._sort(_join(steps), done, good)
        good[todo.block] = False
        pieces = _join(done)
        pieces = pieces.take(good[pieces.block])
        return pieces.take(np.lexsort((pieces.where, pieces.block))), good

    def _sort(self, pieces: Pieces, done: list[Pieces], good: Bools) -> Pieces:
        """Put aside what has arrived, mark blocks that cannot be there, give what has to go on."""
        onward = np.zeros(len(pieces), bool)
        arrived = np.zeros(len(pieces), bool)
        for number in np.unique(pieces.top).tolist():
            here = pieces.top == number
            vdev = self.tree.tops[number] if number < len(self.tree.tops) else None
            if vdev is None:
                continue
            fits = here & (pieces.offset + pieces.length <= vdev.asize)
            if isinstance(vdev, IndirectVdev):
                onward |= fits
            elif vdev.plain:
                arrived |= fits
        good[pieces.block[~(onward | arrived)]] = False
        done.append(pieces.take(arrived))
        return pieces.take(onward & good[pieces.block])

    def _step(self, pieces: Pieces, good: Bools) -> Pieces:
        """Pieces of this vdev by its own mapping; blocks that are not mapped are marked in ``good``."""
        end = pieces.offset + pieces.length
        first = np.searchsorted(self._source, pieces.offset, side="right") - 1
        last = np.searchsorted(self._source, end - 1, side="right") - 1
        mapped = first >= 0
        count = np.where(mapped, last - first + 1, 0)
        owner = np.repeat(np.arange(len(pieces)), count)
        entry = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count) + first[owner]
        start = np.maximum(pieces.offset[owner], self._source[entry])
        stop = np.minimum(end[owner], self._source[entry] + self._size[entry])
        length = stop - start
        # Entries do not overlap, so a piece is covered if what they have of it adds up to its length.
        covered = np.bincount(owner, weights=np.maximum(length, 0), minlength=len(pieces))
        good[pieces.block[covered != pieces.length]] = False
        cut = replace(
            pieces.take(owner),
            where=pieces.where[owner] + start - pieces.offset[owner],
            top=self._top[entry],
            offset=self._target[entry] + start - self._source[entry],
            length=length,
            birth=self._births(start, pieces.birth[owner]),
        )
        return cut.take(good[cut.block] & (length > 0))

    def _births(self, offsets: I64, births: U64) -> U64:
        """When these ranges were copied; as they were born where the vdev does not say."""
        if not len(self._birth_ends):
            return births
        index = np.searchsorted(self._birth_ends, offsets.astype(np.uint64), side="right")
        known = self._birth_txgs[np.minimum(index, len(self._birth_txgs) - 1)]
        result: U64 = np.where(index < len(self._birth_txgs), known, births)
        return result


def _join(parts: list[Pieces]) -> Pieces:
    if not parts:
        none = np.zeros(0, np.int64)
        return Pieces(none, none, none, none, none, np.zeros(0, np.uint64))
    return Pieces(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Pieces)))
