"""Top-level slots without bytes: holes (a log vdev was removed), and vdevs that no device was found of."""

from __future__ import annotations

from .dtl import Dtl, everything
from .state import VdevAux, VdevState
from .vdev import Vdev


class HoleVdev(Vdev):
    """A ``hole``: keeps the ids of later vdevs where they are."""

    def inherit(self) -> None:
        """No address space."""

    def update_state(self) -> None:
        self.set_state(VdevState.HEALTHY)


class MissingVdev(Vdev):
    """A ``missing`` vdev: stands for one of which not a single label was found."""

    def outage(self, without: Vdev | None = None) -> Dtl:
        return everything()

    def inherit(self) -> None:
        """No address space."""

    def update_state(self) -> None:
        self.set_state(VdevState.CANT_OPEN, VdevAux.OPEN_FAILED)
