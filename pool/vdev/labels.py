"""Writing labels and uberblocks to leaves.

The order in which these are written and flushed is what makes a txg real, and belongs to the sync engine: labels L0
and L2 of vdevs whose configuration changed, flush; the uberblock to all four labels, flush; labels L1 and L3, flush.
Here is what one such step does to a set of leaves, in their order. Nothing here flushes, apart from ``flush``, and
nothing raises because of a device: every function gives the failures, leaf by leaf, and ``good_writes`` counts what is
left, since whether that suffices depends on the step.

A leaf without a device, and a distributed spare (which has no labels), is passed over: it is no failure.

Source: OpenZFS, vdev_label.c.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..device.base import Device
from ..errors import DeviceError
from ..ondisk import eck, label, uberblock
from ..ondisk.nvlist import NVList
from ..ondisk.uberblock import Uberblock
from . import config as conf
from .leaf import LeafVdev
from .vdev import Vdev

FIRST_HALF = (0, 2)  # written before the uberblock
SECOND_HALF = (1, 3)  # written after it: until then they describe the txg before
ALL = (0, 1, 2, 3)
MAX_THREADS = 16

#: Label numbers to write, e.g. ``FIRST_HALF``.
Which = Sequence[int]


@dataclass(frozen=True, slots=True)
class LabelFailure:
    """What was not written to one leaf: label number -> errno. ``lost``: not one of those wanted was written."""

    leaf: LeafVdev
    errors: dict[int, int]
    lost: bool


def labelled(leaves: Iterable[LeafVdev]) -> list[LeafVdev]:
    """Those leaves that have labels and a device to write them to: not one that is faulted, or taken offline."""
    return [leaf for leaf in leaves if not leaf.virtual and leaf.readable]


def write_labels(
    leaves: Iterable[LeafVdev],
    config_of: Callable[[LeafVdev], NVList],
    which: Which,
    *,
    order: str = "<",
) -> list[LabelFailure]:
    """Write the configuration of some of the four labels of each leaf.

    Args:
        config_of: the label's content; see ``label_maker`` in ``spa/poolconfig.py``.
        which: ``FIRST_HALF`` or ``SECOND_HALF`` (``ALL`` is not safe while a pool is in use).

    Returns:
        the leaves to which not everything could be written.

    Raises:
        UsageError: a configuration is too large for a label. Nothing has been written then.
    """
    todo = labelled(leaves)
    prepared = [label.config_region(config_of(leaf), order) for leaf in todo]

    def write(work: tuple[LeafVdev, bytearray]) -> LabelFailure | None:
        leaf, region = work
        assert leaf.device is not None
        at = [label.offset(leaf.device.size, index) + label.CONFIG_OFFSET for index in which]
        return _write(leaf, which, at, eck.sealed(region, [(where, 0, 0, 0) for where in at], order))

    return _failures(map(write, zip(todo, prepared)))


def write_uberblock(
    leaves: Iterable[LeafVdev], ub: Uberblock, *, slot: int | None = None
) -> list[LabelFailure]:
    """Write an uberblock to its slot in all four labels of each leaf.

    Args:
        leaves: those of the chosen top-level vdevs.
        slot: where, if not where its txg belongs (a heartbeat).

    Returns:
        the leaves to which not every copy could be written.
    """
    todo = labelled(leaves)

    def write(leaf: LeafVdev) -> LabelFailure | None:
        assert leaf.device is not None
        ashift = slot_ashift(leaf)
        number = uberblock.slot_of(ub, ashift) if slot is None else slot
        skip = label.RING_OFFSET + number * uberblock.slot_size(ashift)
        at = [label.offset(leaf.device.size, index) + skip for index in ALL]
        region = uberblock.encode_slot(ub, 0, ashift)
        return _write(leaf, ALL, at, eck.sealed(region, [(where, 0, 0, 0) for where in at], ub.order))

    return _failures(map(write, todo))


def slot_ashift(leaf: LeafVdev) -> int:
    """What the size of a leaf's uberblock slots follows from: its top-level vdev's ashift, or of a spare or cache
    device its own."""
    return leaf.ashift or conf.integer(leaf.config, "ashift", 0, conf.MAX_ASHIFT, default=0)


def write_provisional(
    leaves: Iterable[LeafVdev],
    config_of: Callable[[LeafVdev], NVList],
    *,
    template: Uberblock | None = None,
    order: str = "<",
    blank_start: bool = False,
) -> list[LabelFailure]:
    """Write all four labels of devices that are to join a pool: nothing of a former life may be left in them.

    Every label gets the configuration, an empty boot block, and a ring in which no uberblock verifies. A device that
    has only these belongs to no pool: its label says txg 0. Of spare and cache devices they are the final ones.

    Args:
        config_of: ``label_maker`` with a ``create_txg``, or ``aux_label``, of ``spa/poolconfig.py``.
        template: put into the ring with txg 0, as OpenZFS puts the pool's uberblock there; None (a pool that is
            being created): zeros.
        blank_start: also overwrite the first 8 KiB of the device, which may look like another file system's
            beginning.

    Raises:
        UsageError: as ``write_labels``.
    """
    todo = labelled(leaves)
    prepared = [label.config_region(config_of(leaf), order) for leaf in todo]
    ring = bytearray(label.RING_SIZE)
    if template is not None:
        ring[: uberblock.UBERBLOCK_SIZE] = uberblock.encode(template)
        # Without its txg (bytes 16 to 24) it cannot be taken for a root even if someone recomputes checksums.
        ring[16:24] = bytes(8)
    eck.seal(ring, (0, 0, 0, 0), order)

    rings: dict[int, bytes] = {}  # by the label's place, which many leaves have in common

    def write(work: tuple[LeafVdev, bytearray]) -> LabelFailure | None:
        leaf, region = work
        assert leaf.device is not None
        if blank_start:
            code = int(leaf.device.writev([0], [label.BOOT_OFFSET], bytes(label.BOOT_OFFSET), [0])[0])
            if code:
                return LabelFailure(leaf, dict.fromkeys(ALL, code), True)
        starts = [label.offset(leaf.device.size, index) for index in ALL]
        configs = eck.sealed(region, [(start + label.CONFIG_OFFSET, 0, 0, 0) for start in starts], order)
        for start in starts:
            if start not in rings:
                (rings[start],) = eck.sealed(ring, [(start + label.RING_OFFSET, 0, 0, 0)], order)
        boots = [label.encode_boot(label.BootBlock(), start, order) for start in starts]
        parts = [boot + config + rings[start] for boot, config, start in zip(boots, configs, starts)]
        return _write(leaf, ALL, [start + label.BOOT_OFFSET for start in starts], parts)

    return _failures(map(write, zip(todo, prepared)))


def flush(leaves: Iterable[LeafVdev]) -> list[LabelFailure]:
    """Flush the leaves' devices: files and disks all at the same time, since each waits for itself; others in order."""

    def one(leaf: LeafVdev) -> LabelFailure | None:
        assert leaf.device is not None
        _count(leaf, flushes=1)
        try:
            leaf.device.flush()
        except DeviceError as error:
            return LabelFailure(leaf, dict.fromkeys(ALL, error.errno or errno.EIO), True)
        return None

    todo = labelled(leaves)
    if len(todo) < 2 or any(in_memory(leaf) for leaf in todo):
        return _failures(map(one, todo))
    with ThreadPoolExecutor(min(MAX_THREADS, len(todo))) as workers:
        return _failures(workers.map(one, todo))


def _count(leaf: LeafVdev, *, writes: int = 0, size: int = 0, flushes: int = 0) -> None:
    if leaf.index >= 0:  # no spare or cache device
        leaf.tree.io.count(leaf.index, writes=writes, size=size, flushes=flushes)


def in_memory(leaf: LeafVdev) -> bool:
    """Nothing would be gained by threads, and a recorder of what is done would see another order each time."""
    try:
        return leaf.device is None or leaf.device.fileno() is None
    except DeviceError:
        return True


def good_writes(leaves: Iterable[LeafVdev], failures: Iterable[LabelFailure]) -> Counter[int]:
    """Leaves with at least one good copy, counted by the id of their top-level vdev.

    A vdev that is not in the count was not reached at all: OpenZFS then gives up the txg, unless it is a log.
    """
    lost = {id(failure.leaf) for failure in failures if failure.lost}
    return Counter(_top_id(leaf) for leaf in labelled(leaves) if id(leaf) not in lost)


def _top_id(leaf: LeafVdev) -> int:
    top: Vdev = leaf.top
    return top.id


def _write(leaf: LeafVdev, which: Which, at: Sequence[int], parts: Sequence[bytes]) -> LabelFailure | None:
    device: Device | None = leaf.device
    assert device is not None
    lengths = np.array([len(part) for part in parts])
    _count(leaf, writes=len(parts), size=int(lengths.sum()))
    try:
        status = device.writev(at, lengths, b"".join(parts), np.cumsum(lengths) - lengths)
    except DeviceError as error:
        return LabelFailure(leaf, dict.fromkeys(which, error.errno or errno.EIO), True)
    errors = {index: int(code) for index, code in zip(which, status) if code}
    return LabelFailure(leaf, errors, len(errors) == len(which)) if errors else None


def _failures(results: Iterable[LabelFailure | None]) -> list[LabelFailure]:
    return [result for result in results if result is not None]
