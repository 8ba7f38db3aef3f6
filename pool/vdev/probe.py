"""Finding out whether a device that failed a call still works, and letting go of it if it does not.

A failed write may be a bad sector, which a device has a few of, or the end of the device. What tells is a look at
places whose content does not matter to the pool: the boot blocks of the labels are read, written back as they are,
and flushed.

Source: OpenZFS, vdev.c (``vdev_probe``), spa.c (``spa_async_fault_vdev``).
"""

from __future__ import annotations

import errno

import numpy as np

from ..errors import DeviceError
from ..ondisk import label
from .leaf import LeafVdev
from .state import VdevAux, VdevState

#: What a device says that is not there any more.
GONE = (errno.ENXIO, errno.ENODEV)
#: Labels that are tried; the first stays untouched, as a loader may be looking at it.
_LABELS = (1, 2, 3)


def probe(leaf: LeafVdev) -> int:
    """Whether a leaf's device can be read, written and flushed: 0, or the number of the error."""
    device = leaf.device
    if device is None:
        return errno.ENXIO
    starts = [label.offset(device.size, index) + label.BOOT_OFFSET for index in _LABELS]
    sizes = [label.BOOT_SIZE] * len(starts)
    places = np.cumsum(sizes) - sizes
    content = bytearray(sum(sizes))
    try:
        read = device.readv(starts, sizes, content, places)
        good = np.flatnonzero(read == 0)
        if not len(good):
            return int(read[0])
        pick = [starts[index] for index in good], [sizes[index] for index in good], content, places[good]
        written = device.writev(*pick)
        if written.all():
            return int(written[0])
        device.flush()
    except DeviceError as error:
        return error.errno or errno.EIO
    return 0


def give_up(leaf: LeafVdev, code: int) -> bool:
    """Stop using a leaf whose device does not work, unless others lack what it may have. Gives whether that is so.

    Args:
        code: number of the error that the device gives.
    """
    if leaf.top.outage(leaf):
        return False
    if code in GONE:
        leaf.set_state(VdevState.REMOVED)
    else:
        leaf.set_state(VdevState.FAULTED, VdevAux.ERR_EXCEEDED)
    leaf.tree.propagate_states()
    return True
