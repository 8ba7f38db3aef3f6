"""An open pool: everything that was found out while importing it, in one place.

Source: OpenZFS, spa_impl.h (``spa_t``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..device.base import Device
from ..dmu.objset import Objset
from ..ondisk.features import FeatureReport
from ..ondisk.nvlist import NVList
from ..ondisk.uberblock import Uberblock
from ..vdev.tree import VdevTree
from ..zio.reader import Zio
from .config import Candidate
from .mos import Directory
from .removal import Removal
from .spares import AuxDevice
from .uberblocks import FoundUberblock, Rings

if TYPE_CHECKING:
    from ..dsl.pool import DslPool
    from .errorlog import DataError
    from .history import HistoryRecord
    from .properties import PoolProperty
    from .space import Space
    from .status import Status
    from .txgs import Depth, TxgInfo


@dataclass
class Spa:
    """An open pool.

    Attributes:
        candidate: what its labels told.
        config: its configuration in the MOS, as it is on disk.
        tree: its vdevs.
        mos: the meta object set; directory: the MOS's object directory.
        uberblock: the root it was opened with; found: where that was; newest_txg: of the newest uberblock of all.
        features: reference counts of feature flags.
        removal: state of device removal; None if nothing was ever removed.
        spares, l2cache: devices beside the tree.
        notes: what went otherwise than it should, and was got over.
        unwritten: datasets made in the open txg: object -> type of the object set.
    """

    candidate: Candidate
    config: NVList = field(repr=False)
    tree: VdevTree = field(repr=False)
    zio: Zio = field(repr=False)
    mos: Objset = field(repr=False)
    directory: Directory = field(repr=False)
    features: FeatureReport = field(repr=False)
    found: FoundUberblock = field(repr=False)
    uberblock: Uberblock
    newest_txg: int
    rings: Rings = field(repr=False)
    removal: Removal | None
    spares: list[AuxDevice] = field(repr=False)
    l2cache: list[AuxDevice] = field(repr=False)
    owned: list[Device] = field(repr=False)
    notes: list[str] = field(default_factory=list)
    altroot: str = ""
    readonly: bool = True
    closed: bool = False
    unwritten: dict[int, int] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """Name of the pool."""
        return self.config.string("name", "") or self.candidate.name

    @property
    def guid(self) -> int:
        """Guid of the pool."""
        return self.tree.root.guid

    @property
    def version(self) -> int:
        """On-disk version: 5000, or 1 to 28."""
        return self.uberblock.version

    @property
    def txg(self) -> int:
        """The txg the pool was opened at."""
        return self.uberblock.txg

    @cached_property
    def dsl(self) -> DslPool:
        """The datasets."""
        from ..dsl.pool import DslPool
        from .space import dsize_of

        found = DslPool(
            self.mos,
            self.name,
            altroot=self.altroot,
            space=lambda: self.space.datasets,
            dsize=dsize_of(self.tree),
        )
        found.unwritten = self.unwritten
        return found

    def refresh(self, root: Uberblock | None) -> None:
        """The MOS has changed: forget what was worked out from it. ``root``: the uberblock of a txg just written."""
        keys = self.dsl.keys
        for name in ("dsl", "space"):
            self.__dict__.pop(name, None)
        self.directory = Directory(self.mos)
        self.dsl.keys = keys.moved_to(self.dsl)
        if root is not None:
            self.uberblock = root

    @cached_property
    def space(self) -> Space:
        """Sizes of the pool and its vdevs, worked out from space maps when first asked for."""
        from . import space

        return space.Space(self)

    def status(self) -> Status:
        """How the pool is."""
        from . import status

        return status.Status(self)

    def properties(self) -> dict[str, PoolProperty]:
        """Pool properties by name, features included, as ``zpool get all`` has them."""
        from .properties import properties

        return properties(self)

    def history(self) -> list[HistoryRecord]:
        """The pool's history, oldest first."""
        from .history import read_history

        return read_history(self)

    def errors(self) -> list[DataError]:
        """Damaged data that the pool remembers."""
        from .errorlog import read_errors

        return read_errors(self)

    def txgs(self, depth: Depth | None = "mos") -> list[TxgInfo]:
        """What the pool could be opened at, newest first; ``depth``: how closely to look whether it could."""
        from .txgs import list_txgs

        return list_txgs(self, depth)

    def close(self) -> None:
        """Let go of devices, threads and memory. Closing twice is fine."""
        if self.closed:
            return
        self.closed = True
        self.zio.close()
        for device in self.owned:
            device.close()
