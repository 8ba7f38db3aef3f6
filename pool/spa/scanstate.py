"""Scrubs and resilvers, removals, expansions and checkpoints: the lines a status report has about them.

Source: OpenZFS, dsl_scan.h (``dsl_scan_phys_t``), vdev_raidz.c; the form follows ``zpool status``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..dsl.nicenum import nicebytes
from ..errors import CorruptError
from .checkpoint import checkpoint_uberblock, has_checkpoint
from .removal import STATE_CANCELED, STATE_FINISHED, STATE_SCANNING
from .space import top_zap

if TYPE_CHECKING:
    from .spa import Spa

SCAN = "scan"
SCAN_WORDS = 24
NONE, SCANNING, FINISHED, CANCELED = range(4)
SCRUB, RESILVER = 1, 2
FLAG_PAUSED = 2
REBUILD = "org.openzfs:vdev_rebuild"
REBUILD_WORDS = 12
REBUILD_CANCELED, REBUILD_COMPLETE = 2, 3
EXPAND_PREFIX = "org.openzfs:raidz_expand_"


@dataclass(frozen=True, slots=True)
class ScanState:
    """The running or the last scrub or resilver. Sizes in bytes, times in seconds since 1970."""

    func: int
    state: int
    queue_obj: int
    min_txg: int
    max_txg: int
    cur_min_txg: int
    cur_max_txg: int
    start_time: int
    end_time: int
    to_examine: int
    examined: int
    skipped: int
    processed: int
    errors: int
    flags: int

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.state == SCANNING

    @property
    def paused(self) -> bool:
        """It is running and paused."""
        return self.running and bool(self.flags & FLAG_PAUSED)


def read_scan(spa: Spa) -> ScanState | None:
    """State of the last scan; None: there never was one.

    Raises:
        CorruptError: it is too short.
    """
    words = spa.directory.words(SCAN)
    if not words:
        return None
    if len(words) < SCAN_WORDS:
        raise CorruptError("the scan state is too short", words=len(words))
    fields = [*words[:14], words[23]]
    return ScanState(*fields)


def date(seconds: int) -> str:
    """A time as status reports show it, in the local time zone."""
    try:
        return time.asctime(time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"at {seconds} s"


def _span(seconds: int) -> str:
    days, rest = divmod(max(0, seconds), 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} days {clock}" if days else clock


def scan_line(scan: ScanState | None) -> str:
    """What the last scrub or resilver did; empty: none was asked for."""
    if scan is None or scan.func not in (SCRUB, RESILVER) or scan.state == NONE:
        return ""
    word = "scrub" if scan.func == SCRUB else "resilver"
    if scan.state == CANCELED:
        return f"{word} canceled on {date(scan.end_time)}"
    if scan.state == FINISHED:
        did = "scrub repaired" if scan.func == SCRUB else "resilvered"
        span = _span(scan.end_time - scan.start_time)
        return f"{did} {nicebytes(scan.processed)} in {span} with {scan.errors} errors on {date(scan.end_time)}"
    percent = 100 * scan.examined / scan.to_examine if scan.to_examine else 0
    how = "paused" if scan.paused else "in progress"
    verb = "repaired" if scan.func == SCRUB else "resilvered"
    return (
        f"{word} {how} since {date(scan.start_time)}\n"
        f"{nicebytes(scan.examined)} / {nicebytes(scan.to_examine)} scanned, "
        f"{nicebytes(scan.processed)} {verb}, {percent:.2f}% done"
    )


@dataclass(frozen=True, slots=True)
class Rebuild:
    """The running or last sequential rebuild of a top-level vdev. Sizes in bytes, times in seconds since 1970."""

    vdev: str
    state: int
    start_time: int
    end_time: int
    rebuilt: int
    to_scan: int
    errors: int

    @property
    def running(self) -> bool:
        """It has not ended."""
        return self.state == SCANNING

    def __str__(self) -> str:
        if self.running:
            done = f"{nicebytes(self.rebuilt)} / {nicebytes(self.to_scan)} rebuilt"
            return f"rebuild of {self.vdev} in progress since {date(self.start_time)}\n{done}"
        if self.state == REBUILD_CANCELED:
            return f"rebuild of {self.vdev} canceled on {date(self.end_time)}"
        span = _span(self.end_time - self.start_time)
        count = f"{nicebytes(self.rebuilt)} in {span} with {self.errors} errors"
        return f"resilvered ({self.vdev}) {count} on {date(self.end_time)}"


def read_rebuilds(spa: Spa) -> list[Rebuild]:
    """Rebuilds of all top-level vdevs that ever had one.

    Raises:
        CorruptError: a state of a wrong size.
    """
    found = []
    for top in spa.tree.tops:
        entry = top_zap(spa, top).get(REBUILD)
        if entry is None:
            continue
        if entry.integer_size != 8 or len(entry.values) < REBUILD_WORDS:
            raise CorruptError("the state of a rebuild is too short", vdev=top.name, words=len(entry.values))
        values = entry.values
        if values[0] != NONE:
            found.append(Rebuild(top.name, values[0], values[4], values[5], values[9], values[10], values[11]))
    return found


def removal_line(spa: Spa) -> str:
    """State of device removal; empty: nothing was ever removed."""
    removal = spa.removal
    if removal is None or removal.state not in (STATE_SCANNING, STATE_FINISHED, STATE_CANCELED):
        return ""
    if removal.state == STATE_SCANNING:
        copied = f"{nicebytes(removal.copied)} / {nicebytes(removal.to_copy)} copied"
        return f"Evacuation of vdev {removal.vdev} in progress since {date(removal.start_time)}\n{copied}"
    if removal.state == STATE_CANCELED:
        line = f"Removal of vdev {removal.vdev} canceled on {date(removal.end_time)}"
    else:
        minutes = (removal.end_time - removal.start_time) // 60
        line = (
            f"Removal of vdev {removal.vdev} copied {nicebytes(removal.copied)} "
            f"in {minutes // 60}h{minutes % 60}m, completed on {date(removal.end_time)}"
        )
    return f"{line}\n{removal.mapping_memory} memory used for removed device mappings"


def expansion_line(spa: Spa) -> str:
    """State of the last raidz expansion; empty: there never was one."""
    lines = []
    for top in spa.tree.tops:
        if top.type != "raidz":
            continue
        values = {
            name.removeprefix(EXPAND_PREFIX): entry.values[0]
            for name, entry in top_zap(spa, top).items()
            if name.startswith(EXPAND_PREFIX) and entry.integer_size == 8 and len(entry.values) == 1
        }
        state, started, ended = values.get("state", NONE), values.get("start_time", 0), values.get("end_time", 0)
        if state == FINISHED:
            copied = nicebytes(values.get("bytes_copied", 0))
            lines.append(f"expanded {top.name} copied {copied} in {_span(ended - started)}, on {date(ended)}")
        elif state == SCANNING:
            done = nicebytes(spa.uberblock.reflow_offset)
            lines.append(f"expansion of {top.name} in progress since {date(started)}\n{done} copied")
    return "\n".join(lines)


def checkpoint_line(spa: Spa) -> str:
    """The pool's checkpoint; empty: it has none."""
    if not has_checkpoint(spa.directory):
        return ""
    created = date(checkpoint_uberblock(spa.directory).timestamp)
    return f"created {created}, consumes {nicebytes(spa.space.checkpoint)}"
