"""How busy a pool is: for every vdev what it has read and written since the pool was opened, beside its space.

A vdev above the leaves shows the sum of its leaves: what its devices do, not what is asked of it. (OpenZFS's counters
of such a vdev are of requests to it, and do not add up to those of its devices.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CorruptError, PoolError
from ..vdev.iostats import LeafIo
from ..vdev.vdev import Vdev

if TYPE_CHECKING:
    from .spa import Spa


@dataclass(frozen=True, slots=True)
class VdevIo:
    """One line of ``zpool iostat -v``. ``allocated``, ``free``: bytes, where a vdev has space of its own; a section's
    heading has neither space nor I/O."""

    name: str
    guid: int
    depth: int
    section: str
    io: LeafIo | None
    allocated: int | None = None
    free: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> VdevIo:
        """What ``to_json`` made. Raises: CorruptError: something else."""
        try:
            io = found["io"]
            return cls(**{**found, "io": None if io is None else LeafIo(**io)})
        except (KeyError, TypeError) as error:
            raise CorruptError("figures of a vdev that make no sense") from error


def vdev_io(spa: Spa) -> list[VdevIo]:
    """All vdevs in the order of ``zpool status``, the pool first."""
    space: dict[int, tuple[int, int]] = {}
    try:
        space = {one.vdev.guid: (one.allocated, one.free) for one in spa.space.vdevs}
        normal = [one for one in spa.space.vdevs if one.cls != "log"]
        space[spa.tree.root.guid] = sum(one.allocated for one in normal), sum(one.free for one in normal)
    except PoolError:
        pass  # the figures of I/O must not depend on space maps that can be read
    found = []
    for number, row in enumerate(spa.status().rows):
        vdev = spa.tree.root if number == 0 else spa.tree.by_guid.get(row.guid) if row.state else None
        guid = vdev.guid if vdev is not None else row.guid
        allocated, free = space.get(guid, (None, None))
        io = sum_of(spa, vdev) if vdev is not None else LeafIo() if row.state else None
        found.append(VdevIo(row.name, guid, row.depth, row.section, io, allocated, free))
    return found


def sum_of(spa: Spa, vdev: Vdev) -> LeafIo:
    """What all leaves below a vdev did."""
    total = LeafIo()
    for leaf in vdev.leaves():
        total += spa.tree.io.of(leaf.index)
    return total
