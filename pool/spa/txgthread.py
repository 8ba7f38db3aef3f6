"""The thread that writes txgs in the background, and how writers are slowed down so that it keeps up.

A writer is not stopped all at once when memory is full of what waits to be written: from a share of the limit on each
change is delayed, little at first and without bound towards the limit. So writers come to the pace of the devices, and
none waits for a whole txg that others have filled.

Source: OpenZFS, dmu_tx.c (``dmu_tx_delay``), txg.c.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

#: Writers are delayed from this share of the limit on. Source: zfs_delay_min_dirty_percent.
DELAY_FROM = 0.6
#: Seconds a change is delayed half-way between there and the limit. Source: zfs_delay_scale.
DELAY_MIDDLE = 500e-6
#: And never longer than that. Source: zfs_delay_max_ns.
DELAY_MAX = 0.1


def delay(waiting: int, limit: int) -> float | None:
    """Seconds to wait before the next change; None: until a txg has been written.

    Args:
        waiting: bytes of data that wait to be written, of all txgs. limit: that there may be.
    """
    first = DELAY_FROM * limit
    if waiting >= limit:
        return None
    if waiting <= first:
        return 0.0
    return min(DELAY_MIDDLE * (waiting - first) / (limit - waiting), DELAY_MAX)


class TxgThread:
    """Writes txgs, one after the other, when it is woken or enough time has gone by.

    Args:
        write: writes the open txg if there is anything in it, and is told why: ``time`` or ``dirty``; False: that was
            the last one.
        seconds: after which it does so unasked.
    """

    def __init__(self, write: Callable[[str], bool], seconds: float) -> None:
        self._write = write
        self._seconds = seconds
        self._called = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="txg")
        self._thread.start()

    def _run(self) -> None:
        while True:
            woken = self._called.wait(self._seconds)
            if self._stopped:
                return
            self._called.clear()
            if not self._write("dirty" if woken else "time"):
                return

    def wake(self) -> None:
        """Have the open txg written soon."""
        self._called.set()

    def stop(self) -> None:
        """Wait until it writes nothing any more."""
        self._stopped = True
        self._called.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
