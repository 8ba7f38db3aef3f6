"""A pool as it will be once its intent logs have been replayed, without a byte written to its devices.

Every device is covered by a copy-on-write overlay in memory, the pool is opened for writing on these, which replays,
exported, and opened again read-only. What replaying changes is held in memory as long as the pool is open: about as
much as the logs hold, and the metadata of what they touch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .device.overlay import Held, OverlayDevice
from .env import Env
from .poolcreate import open_pool

if TYPE_CHECKING:
    from .device.base import Device
    from .device.cachemode import CacheMode
    from .pool import Pool
    from .spa.config import Candidate


def open_replayed(candidate: Candidate, cache: CacheMode, open_again: Callable[[list[Device]], Pool]) -> Pool:
    """Replay a pool's logs in memory.

    Args:
        candidate: the pool. cache: how its devices are opened.
        open_again: opens the pool read-only on these devices.

    Raises:
        as ``open_pool`` and ``open_again``; CorruptError: a log cannot be replayed.
    """
    covers: list[Device] = []
    try:
        for member in candidate.best():
            covers.append(OverlayDevice(member.source.open(readonly=True, cache=cache)))
        held: list[Device] = [Held(one) for one in covers]
        with open_pool(candidate.guid, held, env=Env.host(), txg_seconds=0, force=True) as writing:
            notes = [note for note in writing.spa.notes if "intent log" in note]
        pool = open_again(covers)
    except BaseException:
        for one in covers:
            one.close()
        raise
    pool.spa.notes += [f"in memory only: {note}" for note in notes]
    return pool
