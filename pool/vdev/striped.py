"""What raidz and draid share: blocks cut into columns over children, and which leaf of a child a column is
read from.

A child is a leaf, or a leaf being replaced or spared. While each child has one leaf that either has
everything or nothing, the kernel writes the leaves into the columns itself. Columns of the other children
are gone over afterwards.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from ..ondisk.label import DATA_START
from . import config as conf
from .layout import U64, Layout
from .mirror import choose_below
from .vdev import Vdev, Way

_LATER = -2  # COLUMN.leaf of a column of child c that is gone over afterwards: _LATER - c


class StripedVdev(Vdev):
    """A vdev with parity over plain children."""

    width = 0

    def inherit(self) -> None:
        super().inherit()
        self.nparity = conf.integer(self.config, "nparity", 1, 3, default=1)
        self.width = len(conf.children(self.config, conf.MAX_CHILDREN))
        if self.width <= self.nparity:
            raise CorruptError(
                "a vdev has not more children than parity", vdev=self.name, children=self.width
            )

    def finish(self) -> None:
        """Check what can only be checked once the children are there."""
        for child in self.children:
            if not child.plain:
                raise CorruptError(f"a {child.type} vdev below a {self.type} vdev", vdev=self.name)

    def ways(self, scrub: bool) -> int:
        return max(child.ways(scrub) for child in self.children)

    def layout(self, way: Way, offsets: U64, psizes: U64, births: U64) -> Layout:
        table, later = self._leaf_table(way.stale)
        layout = self.columns(table, offsets, psizes, births)
        if later:
            owner = layout.block_of_column()
            for number in later:
                index = np.flatnonzero(layout.columns["leaf"] == _LATER - number)
                at: U64 = layout.columns["offset"][index] - np.uint64(DATA_START)
                leaf, offset = choose_below(self.children[number], way, at, births[owner[index]])
                layout.columns["leaf"][index] = leaf
                layout.columns["offset"][index] = offset
        return layout

    @abstractmethod
    def columns(self, table: bytes, offsets: U64, psizes: U64, births: U64) -> Layout:
        """The layout of blocks. ``table`` (int32 for each child) is what to write into COLUMN.leaf."""

    def _leaf_table(self, stale: bool) -> tuple[bytes, list[int]]:
        """What to write for each child, and the children whose columns are to be gone over."""
        table: NDArray[np.int32] = np.empty(len(self.children), np.int32)
        later = []
        for number, child in enumerate(self.children):
            leaves = child.leaves()
            steady = leaves[0].always(stale) if len(leaves) == 1 else None
            if steady is None:
                table[number] = _LATER - number
                later.append(number)
            else:
                table[number] = leaves[0].index if steady else -1
        return table.tobytes(), later
