"""draid: parity groups of fixed width, spread over all children by a published order, with spare space
among the data.

Each child is cut into rows of 16 MiB. A *slice* is the smallest number of rows that holds a whole number of
groups; from slice to slice the children change places. In every row the last columns are spare: the space
of a *distributed spare* is one such column, so that it lies on a different child in every slice.

Source: OpenZFS, vdev_draid.c. The map itself is in the kernel (geometry.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import geometry

from ..device.base import Device
from ..errors import CorruptError, UnsupportedError
from ..ondisk.label import DATA_START
from . import config as conf
from .config import VdevConfig
from .draid_maps import permutations
from .layout import I64, U64, Layout, empty
from .leaf import LeafVdev
from .mirror import choose
from .state import VdevAux, VdevState
from .striped import StripedVdev
from .vdev import I32, Picked, Vdev

if TYPE_CHECKING:
    from .tree import VdevTree

ROW_HEIGHT = 16 << 20
RESERVE = 32 << 20  # at the end of every child, for expansions to come
MAX_SPARES = 100
MAX_GROUPS = 255


class DraidVdev(StripedVdev):
    """A ``draid`` vdev.

    Attributes:
        ndata: data columns of a group; nspares: distributed spares; ngroups: groups of a slice.
        group_width: columns of a group; disks: columns of a row that hold groups.
    """

    # An error may want the name before the configuration was read.
    ndata = nspares = ngroups = 0

    def inherit(self) -> None:
        count = self.config.get("draid_nchildren")
        if count is not None and count != len(self.config.get("children", ())):
            raise UnsupportedError("draid with failure domains is not supported", vdev=self.guid)
        super().inherit()
        self.ndata = conf.integer(self.config, "draid_ndata", 1, conf.MAX_CHILDREN)
        self.nspares = conf.integer(self.config, "draid_nspares", 0, MAX_SPARES)
        self.ngroups = conf.integer(self.config, "draid_ngroups", 1, MAX_GROUPS)
        self.group_width = self.ndata + self.nparity
        self.disks = self.width - self.nspares
        if self.group_width > self.disks or self.group_width * self.ngroups % self.disks:
            raise CorruptError(
                "the groups of a draid vdev do not fit its children",
                vdev=self.guid,
                group=self.group_width,
                groups=self.ngroups,
                disks=self.disks,
            )
        self.slice_height = self.group_width * self.ngroups // self.disks * ROW_HEIGHT

    @property
    def name(self) -> str:
        return f"draid{self.nparity}:{self.ndata}d:{self.width}c:{self.nspares}s-{self.id}"

    def stripe(self) -> int:
        return self.group_width << self.ashift

    def child_asize(self) -> int:
        return -(-self.asize // self.disks) + RESERVE

    def space(self, child_asize: int) -> int:
        rows = max(0, child_asize - RESERVE) // ROW_HEIGHT
        group = self.group_width * ROW_HEIGHT
        return rows * ROW_HEIGHT * self.disks // group * group

    def asizes(self, psizes: U64, births: U64) -> U64:
        unit = np.uint64(self.ndata << self.ashift)
        result: U64 = (psizes + unit - np.uint64(1)) // unit * np.uint64(self.stripe())
        return result

    def psizes(self, asizes: U64, births: U64) -> U64:
        result: U64 = asizes // np.uint64(self.stripe()) * np.uint64(self.ndata << self.ashift)
        return result

    def columns(self, table: bytes, offsets: U64, psizes: U64, births: U64) -> Layout:
        kernel = geometry.Draid(
            table,
            permutations(self.width),
            self.ndata,
            self.nparity,
            self.nspares,
            self.ngroups,
            self.ashift,
            DATA_START,
        )
        layout = empty(*kernel.count(offsets, psizes), len(offsets))
        kernel.fill(offsets, psizes, layout.columns, layout.groups, layout.blocks)
        return layout

    def spare_children(self, spare: int, offsets: U64) -> I64:
        """The child on which each child offset of a distributed spare lies."""
        rows: NDArray[np.uint8] = np.frombuffer(permutations(self.width), np.uint8).reshape(-1, self.width)
        turn = offsets // np.uint64(self.slice_height) % np.uint64(rows.size)
        base = rows[(turn // np.uint64(self.width)).astype(np.int64), self.width - 1 - spare]
        result: I64 = (base + turn.astype(np.int64) % self.width) % self.width
        return result


class DspareVdev(LeafVdev):
    """A ``dspare``: a distributed spare in use. Its bytes lie on the other children of its draid vdev.

    A spare for each ``spareid`` can be in use once, and of one slice every spare lies on another child:
    therefore following a spare to a child that is itself spared never branches, and ends after as many
    steps as there are spares.
    """

    virtual = True

    def __init__(self, tree: VdevTree, config: VdevConfig, parent: Vdev | None, number: int) -> None:
        super().__init__(tree, config, parent, number)
        self.top_guid = conf.integer(config, "top_guid", 1, (1 << 64) - 1)
        self.spare_id = conf.integer(config, "spareid", 0, MAX_SPARES - 1)
        self.draid: DraidVdev | None = None

    @property
    def readable(self) -> bool:
        return self.state >= VdevState.DEGRADED and self.draid is not None

    def open(self, device: Device | None) -> None:
        """Find the draid vdev it is a spare of; a device is not needed."""
        draid = self.tree.by_guid.get(self.top_guid)
        if isinstance(draid, DraidVdev) and self.spare_id < draid.nspares:
            self.draid = draid
        if conf.flag(self.config, "offline"):
            self.set_state(VdevState.OFFLINE)
        elif self._faulted():
            self.set_state(VdevState.FAULTED, VdevAux.EXTERNAL)
        elif self.draid is None:
            self.set_state(VdevState.CANT_OPEN, VdevAux.OPEN_FAILED)
        else:
            self.set_state(VdevState.HEALTHY)

    def always(self, stale: bool) -> bool | None:
        return None if self.readable else False

    def locate(self, offsets: U64, births: U64, stale: bool, depth: int = 0) -> Picked:
        leaf: I32 = np.full(len(offsets), -1, np.int32)
        at = offsets + np.uint64(DATA_START)
        draid = self.draid
        if not self.readable or draid is None or depth > draid.nspares:
            return leaf, at
        has = np.ones(len(offsets), bool) if stale or not self.dtl else ~self.dtl.contains(births)
        owner = np.where(has, draid.spare_children(self.spare_id, offsets), -1)
        for number in np.unique(owner[has]).tolist():
            index = np.flatnonzero(owner == number)
            leaves = draid.children[number].leaves()
            found = [below.locate(offsets[index], births[index], stale, depth + 1) for below in leaves]
            leaf[index], at[index] = choose(found, 0, wrap=False)
        return leaf, at
