"""Leaves: vdevs with a device of their own. Their byte 0 is where the device's labels and boot area end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..device.base import Device
from ..ondisk.label import DATA_START, data_size
from . import config as conf
from .config import VdevConfig
from .dtl import Dtl, everything
from .layout import U64
from .state import VdevAux, VdevState
from .vdev import Picked, Vdev, Way

if TYPE_CHECKING:
    from .tree import VdevTree

__all__ = ["DATA_START", "LeafVdev"]

_PARTITION = re.compile(r"(.*)-part\d+|((?:sd|hd|vd|xvd)[a-z]+)\d+|(.*\d)p\d+")


class LeafVdev(Vdev):
    """A disk or a file.

    Attributes:
        index: position in ``VdevTree.leaves``; what COLUMN.leaf refers to.
        path: where it was last found.
        device: what it is read from; None if it is missing.
        dtl: the txgs whose data it lacks.
    """

    plain = True
    virtual = False  # True: no bytes and no labels of its own

    def __init__(self, tree: VdevTree, config: VdevConfig, parent: Vdev | None, number: int) -> None:
        super().__init__(tree, config, parent, number)
        self.index = -1
        self.path = conf.text(config, "path")
        self.whole_disk = conf.flag(config, "whole_disk")
        self.device: Device | None = None
        self.dtl = Dtl()

    @property
    def name(self) -> str:
        """Last part of the path; the guid of a device that was not there at the last import."""
        if self.device is None and conf.flag(self.config, "not_present"):
            return str(self.guid)
        name = self.path.rpartition("/")[2]
        if not name:
            return super().name
        match = _PARTITION.fullmatch(name) if self.whole_disk else None
        return next(filter(None, match.groups()), name) if match else name

    def leaves(self) -> list[LeafVdev]:
        return [self]

    def set_dtl(self, starts: ArrayLike, ends: ArrayLike) -> None:
        """Say which txgs the leaf lacks: ranges [start, end)."""
        self.dtl = Dtl(starts, ends)
        self.tree.changed()

    def miss(self, txg: int) -> None:
        """A write of this txg has not reached it."""
        if txg not in self.dtl:
            self.dtl |= Dtl([txg], [txg + 1])
            self.tree.changed()

    def set_state(self, state: VdevState, aux: VdevAux = VdevAux.NONE) -> None:
        super().set_state(state, aux)
        self.tree.changed()

    @property
    def readable(self) -> bool:
        return super().readable and self.device is not None

    def open(self, device: Device | None) -> None:
        """Take a device, or none, and the state that follows from it and from the configuration."""
        self.device = device
        if conf.flag(self.config, "offline"):
            self.set_state(VdevState.OFFLINE)
        elif self._faulted():
            self.set_state(VdevState.FAULTED, VdevAux.EXTERNAL)
        elif device is None and conf.flag(self.config, "removed"):
            self.set_state(VdevState.REMOVED)
        elif device is None:
            self.set_state(VdevState.CANT_OPEN, VdevAux.OPEN_FAILED)
        elif data_size(device.size) == 0:
            self.set_state(VdevState.CANT_OPEN, VdevAux.TOO_SMALL)
        elif data_size(device.size) < self.asize:
            # It has shrunk, so its data cannot be all there.
            self.set_state(VdevState.CANT_OPEN, VdevAux.BAD_LABEL)
        elif conf.flag(self.config, "degraded"):
            self.set_state(VdevState.DEGRADED, self._fault())
        else:
            self.set_state(VdevState.HEALTHY)

    def _fault(self) -> VdevAux:
        external = conf.text(self.config, "aux_state") == "external"
        return VdevAux.EXTERNAL if external else VdevAux.ERR_EXCEEDED

    def _faulted(self) -> bool:
        """Only what an administrator has declared faulted stays so when the pool is opened again: errors that were
        too many may have been another machine's, and what the leaf missed meanwhile is in its DTL."""
        return conf.flag(self.config, "faulted") and self._fault() is VdevAux.EXTERNAL

    def update_state(self) -> None:
        """A leaf's state is its own."""

    def missing(self) -> Dtl:
        return self.dtl

    def outage(self, without: Vdev | None = None) -> Dtl:
        return self.dtl if self.readable and self is not without else everything()

    def ways(self, scrub: bool) -> int:
        return 1

    def always(self, stale: bool) -> bool | None:
        """Whether it can give every block (True), none (False), or that depends on the block (None)."""
        if not self.readable:
            return False
        return True if stale or not self.dtl else None

    def pick(self, way: Way, offsets: U64, births: U64) -> Picked:
        return self.locate(offsets, births, way.stale)

    def locate(self, offsets: U64, births: U64, stale: bool, depth: int = 0) -> Picked:
        """Itself for each block it has; see ``Vdev.locate``."""
        if not self.readable:
            leaf = np.full(len(offsets), -1, np.int32)
        elif stale or not self.dtl:
            leaf = np.full(len(offsets), self.index, np.int32)
        else:
            leaf = np.where(self.dtl.contains(births), -1, self.index).astype(np.int32)
        return leaf, offsets + np.uint64(DATA_START)
