"""raidz: blocks in rows of sectors over all children, each row with one to three sectors of parity.

A vdev can be widened by one child at a time. What was written before keeps the width it was written with
(its *logical* width), only its sectors move to where they belong among more children. While sectors are
moving, the uberblock says how far that has come.

Source: OpenZFS, vdev_raidz.c. The map itself is in the kernel (geometry.c).
"""

from __future__ import annotations

import numpy as np
from uberblock.kernels import geometry

from ..errors import CorruptError, LimitError
from ..ondisk.label import BOOT_AREA_OFFSET, DATA_START
from . import config as conf
from .layout import U64, Layout, empty
from .striped import StripedVdev

SCRATCH_VALID = 1  # reflow state: the first rows are to be read from their copy in the boot area
MAX_REFLOW_STATE = 4


class RaidzVdev(StripedVdev):
    """A ``raidz`` vdev.

    Attributes:
        expand_txgs: for each completed expansion the first txg of blocks with the new width, ascending.
        expanding: an expansion is running; the last child is only partly used.
        reflow_offset, reflow_state: how far it has come, from the uberblock (``set_reflow``).
    """

    def inherit(self) -> None:
        super().inherit()
        self.expanding = conf.flag(self.config, "raidz_expanding")
        self.expand_txgs = conf.integers(self.config, "raidz_expand_txgs", conf.MAX_CHILDREN)
        if self.expand_txgs != sorted(set(self.expand_txgs)):
            raise CorruptError("the txgs of a raidz vdev's expansions do not ascend", vdev=self.name)
        self.newest_width = self.width - self.expanding
        self.oldest_width = self.newest_width - len(self.expand_txgs)
        if self.oldest_width <= self.nparity:
            raise CorruptError("a raidz vdev with more expansions than children", vdev=self.name)
        self.reflow_offset = 0
        self.reflow_state = 0

    @property
    def name(self) -> str:
        return f"raidz{self.nparity}-{self.id}"

    def child_asize(self) -> int:
        return self.asize // self.newest_width

    def space(self, child_asize: int) -> int:
        return child_asize * self.newest_width

    def set_reflow(self, offset: int, state: int) -> None:
        """Say how far a running expansion has come: the fields of the uberblock's reflow word.

        Args:
            offset: bytes of the vdev's address space.
            state: 0 to 4; 1: the first rows are valid in the scratch area only.

        Raises:
            LimitError: beyond the end of the vdev, or an unknown state.
        """
        if not 0 <= offset <= conf.MAX_ASIZE or not 0 <= state <= MAX_REFLOW_STATE:
            raise LimitError(
                "an impossible state of a raidz expansion", vdev=self.name, offset=offset, state=state
            )
        self.reflow_offset, self.reflow_state = offset, state

    def widths(self, births: U64) -> U64:
        """Logical width of blocks born in these txgs."""
        passed = np.searchsorted(np.array(self.expand_txgs, np.uint64), births, side="right")
        return (self.oldest_width + passed).astype(np.uint64)

    def asizes(self, psizes: U64, births: U64) -> U64:
        parity, shift = np.uint64(self.nparity), np.uint64(self.ashift)
        ndata = self.widths(births) - parity
        sectors = (psizes + np.uint64((1 << self.ashift) - 1)) >> shift
        total = sectors + parity * _ceiling(sectors, ndata)
        unit = parity + np.uint64(1)
        result: U64 = _ceiling(total, unit) * unit << shift
        return result

    def psizes(self, asizes: U64, births: U64) -> U64:
        parity, shift = np.uint64(self.nparity), np.uint64(self.ashift)
        width = self.widths(births)
        sectors = asizes >> shift
        whole = sectors // width * width
        sectors = np.where(sectors - whole <= parity, whole, sectors)  # a row of parity only holds nothing
        result: U64 = sectors - parity * _ceiling(sectors, width) << shift
        return result

    def columns(self, table: bytes, offsets: U64, psizes: U64, births: U64) -> Layout:
        moving = {}
        if self.expanding:
            scratch = self.reflow_state == SCRATCH_VALID
            moving = {
                "moved": BOOT_AREA_OFFSET if scratch else DATA_START,
                "reflow": self.reflow_offset >> self.ashift,
            }
        kernel = geometry.Raidz(table, self.nparity, self.ashift, DATA_START, **moving)
        logical = self.widths(births).astype(np.uint32) if self.expanding or self.expand_txgs else None
        layout = empty(*kernel.count(offsets, psizes, logical), len(offsets))
        kernel.fill(offsets, psizes, layout.columns, layout.groups, layout.blocks, logical)
        return layout


def _ceiling(a: U64, b: U64 | np.uint64) -> U64:
    result: U64 = (a + b - np.uint64(1)) // b
    return result
