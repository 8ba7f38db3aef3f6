"""The root: the pool as a vdev. Its children are striped, so each of them is needed."""

from __future__ import annotations

from .state import VdevAux, VdevState
from .vdev import Vdev


class RootVdev(Vdev):
    """The ``root`` of the tree.

    Attributes:
        may_miss: how many top-level vdevs with data may be missing; a log vdev always may.
    """

    may_miss = 0

    def inherit(self) -> None:
        """No address space of its own."""

    def update_state(self) -> None:
        broken = [child for child in self.children if not child.readable]
        corrupt = any(child.aux is VdevAux.CORRUPT_DATA for child in broken)
        if sum(not child.is_log for child in broken) > self.may_miss:
            self.set_state(VdevState.CANT_OPEN, VdevAux.CORRUPT_DATA if corrupt else VdevAux.NO_REPLICAS)
        elif all(child.state is VdevState.HEALTHY for child in self.children):
            self.set_state(VdevState.HEALTHY)
        else:
            self.set_state(VdevState.DEGRADED)
