"""Log space maps: changes of a whole txg in one place, not yet in the space maps of the metaslabs they are about.

For each metaslab the pool keeps the first txg whose changes are only in the logs. Of each log only the entries of
metaslabs whose txg is not later than the log's count; the others have been flushed.

Source: OpenZFS, spa_log_spacemap.c.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from . import spacemap
from .metaslab import Geometry
from .spacemap import Changes

#: Logs count in sectors of 512 bytes, from the start of the vdev.
SHIFT = 9


@dataclass(slots=True)
class Unflushed:
    """Log entries of one vdev that count, gathered log by log.

    Args:
        geometry: of the vdev's metaslabs.
        txgs: for each metaslab the first txg that is not flushed; 0: nothing is in logs.
    """

    geometry: Geometry
    txgs: NDArray[np.uint64]
    _parts: list[tuple[NDArray[np.int64], Changes]] = field(default_factory=list)

    def add(self, txg: int, entries: NDArray[Any], **where: Any) -> None:
        """Take a log's entries for this vdev (dtype ``ondisk.spacemap.ENTRY``). Logs come in the order of their txgs.

        Raises:
            CorruptError: an entry lies outside of the vdev, or in two metaslabs.
        """
        shift = np.uint64(self.geometry.shift)
        size = len(self.geometry) << self.geometry.shift
        starts, ends, frees = spacemap.changes(entries, SHIFT, 0, size, txg=txg, **where)
        place = (starts >> shift).astype(np.int64)
        if (place != ((ends - np.uint64(1)) >> shift).astype(np.int64)).any():
            raise CorruptError("a log space map has an entry that lies in two metaslabs", txg=txg, **where)
        use = self.counts(txg, starts)
        if use.any():
            self._parts.append((place[use], (starts[use], ends[use], frees[use])))

    def counts(self, txg: int, starts: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which entries of a log, by where they begin (bytes), are not in their metaslabs' own maps yet."""
        waiting = self.txgs[(starts >> np.uint64(self.geometry.shift)).astype(np.int64)]
        result: NDArray[np.bool_] = (waiting != 0) & (waiting <= np.uint64(txg))
        return result

    def by_metaslab(self) -> dict[int, Changes]:
        """The changes of each metaslab that has any."""
        if not self._parts:
            return {}
        place = np.concatenate([part[0] for part in self._parts])
        starts, ends, frees = spacemap.joined([part[1] for part in self._parts])
        order = np.argsort(place, kind="stable")
        found, first = np.unique(place[order], return_index=True)
        groups = np.split(order, first[1:])
        return {int(index): (starts[rows], ends[rows], frees[rows]) for index, rows in zip(found, groups)}
