"""Mirrors, and the two vdevs that are mirrors for a time: a replacement under way, and a spare in use.

Every child has the same bytes at the same offset. Over plain children the choice is made for each block,
since which children have it depends on its birth; over others (a mirror of raidz vdevs, as OpenZFS's own
test program makes them) children are taken in order of their health. Source: OpenZFS, vdev_mirror.c.
"""

from __future__ import annotations

import numpy as np

from .layout import U64, Layout
from .vdev import I32, Picked, Vdev, Way


class MirrorVdev(Vdev):
    """A ``mirror``, ``replacing`` or ``spare`` vdev."""

    @property
    def plain(self) -> bool:  # type: ignore[override]
        """All children are plain."""
        return all(child.plain for child in self.children)

    def tolerated(self) -> int:
        return len(self.children) - 1

    def asizes(self, psizes: U64, births: U64) -> U64:
        result = super().asizes(psizes, births)
        for child in self.children:
            if not child.plain:
                result = np.maximum(result, child.asizes(psizes, births))
        return result

    def ways(self, scrub: bool) -> int:
        return sum(child.ways(scrub) for child in self.children)

    def layout(self, way: Way, offsets: U64, psizes: U64, births: U64) -> Layout:
        if self.plain:
            return super().layout(way, offsets, psizes, births)
        order = self.children if way.scrub else sorted(self.children, key=lambda child: -child.state)
        number = way.number
        for child in order:
            count = child.ways(way.scrub)
            if number < count:
                return child.layout(way.numbered(number), offsets, psizes, births)
            number -= count
        raise self._no_bytes()

    def pick(self, way: Way, offsets: U64, births: U64) -> Picked:
        """The ``way.number``-th leaf that has the block; in a scrub simply the ``way.number``-th leaf."""
        leaves = self.leaves()
        if way.scrub:
            return leaves[way.number].locate(offsets, births, way.stale)
        steady = [leaf.always(way.stale) for leaf in leaves]
        if None not in steady:
            order = [leaf for leaf, good in zip(leaves, steady) if good]
            order += [leaf for leaf, good in zip(leaves, steady) if not good]
            return order[way.number].locate(offsets, births, way.stale)
        return choose([leaf.locate(offsets, births, way.stale) for leaf in leaves], way.number, wrap=False)


def choose(candidates: list[Picked], number: int, wrap: bool) -> Picked:
    """For each block the ``number``-th of the candidates that have it (leaf not -1), or -1.

    Args:
        wrap: begin again when there are not so many.
    """
    leaves = np.stack([leaf for leaf, _ in candidates])
    offsets = np.stack([at for _, at in candidates])
    has = leaves >= 0
    rank = np.cumsum(has, axis=0)
    count = rank[-1]
    wanted = number % np.maximum(count, 1) if wrap else np.full(count.shape, number)
    found = (wanted < count)
    row = np.argmax(has & (rank == wanted + 1), axis=0)
    column = np.arange(leaves.shape[1])
    leaf: I32 = np.where(found, leaves[row, column], -1).astype(np.int32)
    return leaf, offsets[row, column]


def choose_below(child: Vdev, way: Way, offsets: U64, births: U64) -> Picked:
    """The leaf of one child of a raidz or draid: never -1 while any leaf of that child has the block.

    Ways beyond the number of leaves that have it begin again, since columns of other children may need
    more ways to visit all their leaves.
    """
    leaves = child.leaves()
    if len(leaves) == 1:
        return leaves[0].locate(offsets, births, way.stale)
    return choose([leaf.locate(offsets, births, way.stale) for leaf in leaves], way.number, wrap=True)
