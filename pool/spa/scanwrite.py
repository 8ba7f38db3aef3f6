"""A scrub or resilver that was under way when the pool was last let go of: it begins anew when OpenZFS has the pool.

Scans are not made here, and what a running one remembers names datasets: those it has still to visit, and where it is
in one of them. Changing datasets without keeping that right would let OpenZFS look for what is not there. So in the
first txg of a pool that is opened for writing a running scan is put back to its beginning, of which nothing has to be
kept right. A resilver takes in what was missed since it began.

Source: OpenZFS, dsl_scan.c (``dsl_scan_setup_sync``, ``dsl_scan_ds_destroyed``), dsl_scan.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..dmu.mutablezap import MutableZap
from ..errors import CorruptError
from ..vdev.dtl import Dtl
from .mos import OBJECT_DIRECTORY
from .scanstate import RESILVER, SCAN, SCAN_WORDS, SCANNING

if TYPE_CHECKING:
    from .engine import Engine

_FUNC, _STATE, _QUEUE, _MIN, _MAX, _CUR_MIN, _CUR_MAX, _START = range(8)
_EXAMINED, _SKIPPED, _PROCESSED, _ERRORS, _DDT_BOOKMARK, _FLAGS = 10, 11, 12, 13, 15, 23
_FLAG_VISIT_AGAIN = 1


def restart_scan(engine: Engine) -> bool:
    """Put a running scan back to its beginning; gives whether there was one.

    Raises:
        CorruptError: what it remembers makes no sense.
    """
    directory = MutableZap(engine.mos.dnode(OBJECT_DIRECTORY))
    entry = directory.find(SCAN)
    if entry is None or len(entry.values) != SCAN_WORDS:
        return False  # of an old layout: OpenZFS discards it
    words = list(entry.values)
    if words[_STATE] != SCANNING:
        return False
    if entry.integer_size != 8:
        raise CorruptError("the scan state holds no 64-bit numbers")
    if words[_QUEUE]:
        queue = MutableZap(engine.mos.dnode(words[_QUEUE]))
        for item in list(queue.items()):
            queue.remove(item.name)
    if words[_FUNC] == RESILVER:
        missing = Dtl()
        for leaf in engine.tree.leaves:
            if leaf.readable:
                missing |= leaf.dtl
        if missing:
            words[_MIN], words[_MAX] = missing.ranges()[0][0] - 1, missing.ranges()[-1][1]
    words[_CUR_MIN : _START + 1] = 0, 0, engine.env.now()
    words[_EXAMINED : _ERRORS + 1] = 0, 0, 0, 0
    words[_DDT_BOOKMARK:_FLAGS] = [0] * (_FLAGS - _DDT_BOOKMARK)
    words[_FLAGS] &= ~_FLAG_VISIT_AGAIN
    directory.update(SCAN, words)
    return True
