"""How a pool is: its state, what is wrong, what can be done, and every vdev with its counters.

The conditions are tested in OpenZFS's order and carry its message ids; the words are our own.

Source: OpenZFS, libzfs_status.c (the conditions and their order), zpool_main.c (the form of the report).
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ..dsl.nicenum import nicenum
from ..ondisk.features import FEATURES
from ..vdev import config as conf
from ..vdev.leaf import LeafVdev
from ..vdev.state import VdevAux, VdevState
from ..vdev.vdev import Vdev
from . import errata, scanstate
from .errorlog import DataError, read_errors
from .properties import get
from .space import allocation_class
from .spares import AuxDevice

if TYPE_CHECKING:
    from .spa import Spa

MESSAGE_URL = "https://openzfs.github.io/openzfs-docs/msg/"
WIDTH = 72
STATE_WIDTH = 8  # DEGRADED
#: Release whose features a pool is expected to have enabled.
EXPECTED_RELEASE = "2.3"
SECTIONS = (("dedup", "dedup"), ("special", "special"), ("log", "logs"))


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a pool, and what can be done. ``message`` is OpenZFS's id, or empty."""

    name: str
    status: str
    action: str
    message: str = ""

    @property
    def see(self) -> str:
        """Where OpenZFS explains it."""
        return MESSAGE_URL + self.message if self.message else ""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the config table. ``depth`` 0 is the pool; a section's heading has no state.

    ``kind`` is the vdev's type, ``path`` where a leaf was opened or, if it was not, where it was last.
    """

    name: str
    state: str = ""
    read: int | None = None
    write: int | None = None
    checksum: int | None = None
    note: str = ""
    depth: int = 0
    section: str = ""
    guid: int = 0
    kind: str = ""
    path: str = ""

    @property
    def troubled(self) -> bool:
        """Its state is not what it should be, or errors were counted."""
        return self.state not in ("", "ONLINE", "AVAIL", "INUSE") or bool(self.read or self.write or self.checksum)


@dataclass(repr=False)
class Status:
    """The state of a pool when it was asked for; ``str`` is the whole report."""

    spa: Spa = field(repr=False)

    def __repr__(self) -> str:
        what = self.condition.name if self.condition else "nothing wrong"
        return f"<Status of {self.pool}: {self.state}, {what}>"

    @property
    def pool(self) -> str:
        """Name of the pool."""
        return self.spa.name

    @property
    def state(self) -> str:
        """ONLINE, DEGRADED, UNAVAIL ..."""
        return self.spa.tree.root.state_text

    @cached_property
    def condition(self) -> Condition | None:
        """The most important thing that is wrong; None: nothing is."""
        return next((c for test, c in _CONDITIONS if test(self)), None)

    @property
    def healthy(self) -> bool:
        """Nothing is wrong."""
        return self.condition is None

    @cached_property
    def scan(self) -> scanstate.ScanState | None:
        """The running or last scrub or resilver."""
        return scanstate.read_scan(self.spa)

    @cached_property
    def rebuilds(self) -> list[scanstate.Rebuild]:
        """Running and last sequential rebuilds."""
        return scanstate.read_rebuilds(self.spa)

    @cached_property
    def errors(self) -> list[DataError]:
        """Damaged data that the pool remembers."""
        return read_errors(self.spa)

    @cached_property
    def rows(self) -> list[Row]:
        """The config table."""
        return list(_rows(self.spa))

    @property
    def errors_line(self) -> str:
        """What is known of damaged data, in one line."""
        count = len(self.errors)
        return f"{count} data errors, use '-v' for a list" if count else "No known data errors"

    def error_paths(self) -> list[str]:
        """The damaged files by name, where names can be told; each once, in order."""
        from .bookmarks import PathFinder

        finder = PathFinder(self.spa)
        return list(dict.fromkeys(finder.path(error.dataset, error.object) for error in self.errors))

    def lines(
        self, rows: list[Row] | None = None, *, files: bool = False, exact: bool = False, slow: bool = False
    ) -> list[str]:
        """The report, as ``zpool status`` lays it out.

        Args:
            rows: the table, if not all of ``rows``, or with other names.
            files: name the damaged files.
            exact: error counts in all their digits.
            slow: a further column for I/O that took long; a pool that was just opened has seen none.
        """
        result = [f"  pool: {self.pool}", f" state: {self.state}"]
        if self.condition is not None:
            result += _paragraph("status", self.condition.status) + _paragraph("action", self.condition.action)
            if self.condition.see:
                result.append(f"   see: {self.condition.see}")
        for title, text in (
            ("  scan", scanstate.scan_line(self.scan)),
            *(("  scan", str(rebuild)) for rebuild in self.rebuilds),
            ("remove", scanstate.removal_line(self.spa)),
            ("expand", scanstate.expansion_line(self.spa)),
            ("checkpoint", scanstate.checkpoint_line(self.spa)),
        ):
            if text:
                first, *rest = text.split("\n")
                result += [f"{title}: {first}", *(f"\t{line}" for line in rest)]
        result += ["config:", "", *_table(self.rows if rows is None else rows, exact, slow), ""]
        if files and self.errors:
            paths = [f"        {path}" for path in self.error_paths()]
            return [*result, "errors: Permanent errors have been detected in the following files:", "", *paths]
        return [*result, f"errors: {self.errors_line}"]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    # --- what the conditions ask -----------------------------------------------------------------------------------

    @cached_property
    def leaves(self) -> list[LeafVdev]:
        """Leaves of vdevs that hold data or logs."""
        return self.spa.tree.leaves

    @cached_property
    def erratum(self) -> int:
        """Number of the erratum that concerns the pool, or 0."""
        return errata.erratum(self.spa)

    def has_lost(self, *auxes: VdevAux, state: VdevState = VdevState.CANT_OPEN) -> bool:
        """A leaf in this state below a top-level vdev that cannot do without it."""
        return any(leaf.state is state and not leaf.top.readable for leaf in self._leaves_with(auxes))

    def has(self, *auxes: VdevAux, state: VdevState = VdevState.CANT_OPEN) -> bool:
        """A leaf in this state."""
        return any(leaf.state is state for leaf in self._leaves_with(auxes))

    def _leaves_with(self, auxes: tuple[VdevAux, ...]) -> Iterator[LeafVdev]:
        return (leaf for leaf in self.leaves if not auxes or leaf.aux in auxes)


def _paragraph(title: str, text: str) -> list[str]:
    first, *rest = textwrap.wrap(text, WIDTH)
    return [f"{title}: {first}", *(f"\t{line}" for line in rest)]


# --- the table ------------------------------------------------------------------------------------------------------


def _rows(spa: Spa) -> Iterator[Row]:
    yield _row(spa.tree.root, spa.name, 0, "")
    classes = {top.id: allocation_class(spa, top) for top in spa.tree.tops}
    shown = [top for top in spa.tree.tops if top.type not in ("hole", "indirect", "missing")]
    for top in shown:
        if classes[top.id] == "normal":
            yield from rows_below(top, 1, "")
    for cls, title in SECTIONS:
        tops = [top for top in shown if classes[top.id] == cls]
        if tops:
            yield Row(title, section=title)
        for top in tops:
            yield from rows_below(top, 1, title)
    for title, devices in (("cache", spa.l2cache), ("spares", spa.spares)):
        if devices:
            yield Row(title, section=title)
        for device in devices:
            yield _aux_row(device, title)


def rows_below(vdev: Vdev, depth: int, section: str) -> Iterator[Row]:
    """The lines of a vdev and of all below it."""
    yield _row(vdev, vdev.name, depth, section)
    for child in vdev.children:
        yield from rows_below(child, depth + 1, section)


def _row(vdev: Vdev, name: str, depth: int, section: str) -> Row:
    counters = (vdev.read_errors, vdev.write_errors, vdev.checksum_errors)
    note = vdev.aux_text if vdev.state is not VdevState.HEALTHY else ""
    path = ""
    if isinstance(vdev, LeafVdev):
        path = vdev.device.name if vdev.device is not None else vdev.path
        if vdev.device is not None and vdev.device.cache == "unsafe" and not vdev.device.readonly:
            note = note or "unsafe: flushes are ignored"
        if vdev.device is None and conf.flag(vdev.config, "not_present"):
            note = f"was {vdev.path}"
    return Row(name, vdev.state_text, *counters, note, depth, section, vdev.guid, vdev.type, path)


def _aux_row(device: AuxDevice, section: str) -> Row:
    count = 0 if section == "cache" else None
    return Row(
        device.name, device.state_text, count, count, count, device.aux_text, 1, section, device.guid,
        device.type, device.path,
    )  # fmt: skip


def _table(rows: list[Row], exact: bool, slow: bool) -> list[str]:
    def count(value: int | None) -> str:
        return str(value) if exact else nicenum(value or 0)

    names = ["  " * row.depth + row.name for row in rows]
    wide = max([len(name) for name in names] + [len("NAME")])
    state = max([len(row.state) for row in rows] + [STATE_WIDTH])
    result = [f"\t{'NAME':<{wide}}  {'STATE':<{state}}  READ WRITE CKSUM{'  SLOW' * slow}"]
    for name, row in zip(names, rows):
        if not row.state:
            result.append(f"\t{name}")
            continue
        line = f"\t{name:<{wide}}  {row.state:<{state}}"
        if row.read is not None:
            line += f" {count(row.read):>5} {count(row.write):>5} {count(row.checksum):>5}"
            line += f" {'0' if row.path else '-':>5}" * slow
        result.append((f"{line}  {row.note}" if row.note else line).rstrip())
    return result


# --- conditions -----------------------------------------------------------------------------------------------------


def _resilvering(status: Status) -> bool:
    scan = status.scan
    return scan is not None and scan.running and scan.func == scanstate.RESILVER


def _unproven(status: Status) -> bool:
    """A rebuild, which checks no checksums, has ended and no scrub has come after it."""
    scan = status.scan
    scrubbed = scan.end_time if scan is not None and scan.func == scanstate.SCRUB else 0
    return any(r.state == scanstate.REBUILD_COMPLETE and r.end_time > scrubbed for r in status.rebuilds)


def _log_missing(status: Status) -> bool:
    return any(top.is_log and not top.readable for top in status.spa.tree.tops)


def _counters(status: Status) -> bool:
    vdevs = list(status.spa.tree.walk())
    counted = any(v.read_errors or v.write_errors or v.checksum_errors for v in vdevs)
    return counted or any(leaf.state is VdevState.DEGRADED for leaf in status.leaves)


def _features_disabled(status: Status) -> bool:
    spa = status.spa
    compatibility = get(spa, "compatibility")
    if spa.version < 5000 or (compatibility is not None and compatibility.value != "off"):
        return False  # a pool that is to be compatible asks for the features of a list that is not in the pool
    return any(
        feature.since <= EXPECTED_RELEASE and spa.features.state(feature.name) == "disabled"
        for feature in FEATURES
    )


_Test = Callable[[Status], bool]
_CONDITIONS: tuple[tuple[_Test, Condition], ...] = (
    (
        _resilvering,
        Condition(
            "resilvering",
            "A device is being resilvered; the pool works meanwhile.",
            "Wait until the resilver has ended.",
        ),
    ),
    (
        lambda s: any(rebuild.running for rebuild in s.rebuilds),
        Condition(
            "rebuilding",
            "A device is being rebuilt; the pool works meanwhile.",
            "Wait until the rebuild has ended.",
        ),
    ),
    (
        _unproven,
        Condition(
            "rebuild not proven",
            "A device was rebuilt, which does not check checksums.",
            "Scrub the pool to prove what was rebuilt.",
        ),
    ),
    (
        lambda s: bool(s.spa.features.unknown_write),
        Condition(
            "unsupported features",
            "The pool uses features that are not known here; it can be read but not written to.",
            "Leave the pool read-only, or use newer software.",
        ),
    ),
    (
        _log_missing,
        Condition(
            "log device missing",
            "A log device cannot be read, so records of the intent log may be missing.",
            "Make the log device available again, or go on without what only it had.",
            "ZFS-8000-K4",
        ),
    ),
    (
        lambda s: s.has_lost(state=VdevState.FAULTED),
        Condition(
            "faulted device, no replicas",
            "A device is faulted, and the redundancy left does not make up for it.",
            "Restore the pool from a backup, or mark the device as repaired if its data is still there.",
        ),
    ),
    (
        lambda s: s.has_lost(VdevAux.OPEN_FAILED),
        Condition(
            "missing device, no replicas",
            "A device cannot be opened, and the redundancy left does not make up for it.",
            "Attach the missing device and bring it online.",
            "ZFS-8000-3C",
        ),
    ),
    (
        lambda s: s.has_lost(VdevAux.BAD_LABEL, VdevAux.CORRUPT_DATA, VdevAux.TOO_SMALL),
        Condition(
            "bad label, no replicas",
            "The label of a device is missing or wrong, and the redundancy left does not make up for it.",
            "Go back to an earlier txg, or restore the pool from a backup.",
            "ZFS-8000-5E",
        ),
    ),
    (
        lambda s: any(error.dataset == 0 for error in s.errors),
        Condition(
            "metadata damaged",
            "Metadata of the pool itself is damaged.",
            "Go back to an earlier txg, or restore the pool from a backup.",
            "ZFS-8000-72",
        ),
    ),
    (
        lambda s: bool(s.errors),
        Condition(
            "data damaged",
            "Data is damaged that could not be repaired; whoever reads it gets errors.",
            "Restore the files concerned from a backup, or delete them.",
            "ZFS-8000-8A",
        ),
    ),
    (
        lambda s: s.has(state=VdevState.FAULTED),
        Condition(
            "faulted device",
            "A device is faulted; the redundancy left keeps the pool working.",
            "Replace the faulted device, or mark it as repaired.",
        ),
    ),
    (
        lambda s: s.has(VdevAux.OPEN_FAILED),
        Condition(
            "missing device",
            "A device cannot be opened; the redundancy left keeps the pool working.",
            "Attach the missing device and bring it online.",
            "ZFS-8000-2Q",
        ),
    ),
    (
        lambda s: s.has(VdevAux.BAD_LABEL, VdevAux.CORRUPT_DATA, VdevAux.TOO_SMALL),
        Condition(
            "bad label",
            "The label of a device is missing or wrong; the redundancy left keeps the pool working.",
            "Replace the device.",
            "ZFS-8000-4J",
        ),
    ),
    (
        _counters,
        Condition(
            "device errors",
            "A device has given wrong data or errors, which redundancy made up for.",
            "Find out whether the device has to be replaced; if not, clear its counters.",
            "ZFS-8000-9P",
        ),
    ),
    (
        lambda s: s.has(state=VdevState.OFFLINE),
        Condition(
            "offline device",
            "An administrator has taken a device offline; the redundancy left keeps the pool working.",
            "Bring the device online, or replace it.",
        ),
    ),
    (
        lambda s: s.has(state=VdevState.REMOVED),
        Condition(
            "removed device",
            "A device was taken out; the redundancy left keeps the pool working.",
            "Put it back and bring it online, or replace it.",
        ),
    ),
    (
        lambda s: any(leaf.readable and leaf.dtl for leaf in s.leaves),
        Condition(
            "resilver needed",
            "A device lacks data that was written while it was away or failed; the redundancy left makes up for it.",
            "Import the pool with OpenZFS, which resilvers the device.",
        ),
    ),
    (
        lambda s: s.erratum == errata.KEY_WITHOUT_VERSION,
        Condition(
            "errata",
            "Errata #3: encrypted datasets were written by an early version of OpenZFS, which authenticated less.",
            "Open it with OpenZFS read-only, copy those datasets to new ones, and destroy the old ones.",
            "ZFS-8000-ER",
        ),
    ),
    (
        lambda s: s.erratum == errata.SNAPSHOT_WITHOUT_IVSET,
        Condition(
            "errata",
            "Errata #4: encrypted snapshots lack the guids that raw incremental streams are checked by.",
            "Send them raw to new datasets with OpenZFS, after enabling bookmark_v2, and destroy the old ones.",
            "ZFS-8000-ER",
        ),
    ),
    (
        lambda s: bool(s.erratum),
        Condition(
            "errata",
            "The pool carries the mark of an erratum of the software that wrote it.",
            "See what OpenZFS says of that erratum.",
            "ZFS-8000-ER",
        ),
    ),
    (
        lambda s: s.spa.version < 5000,
        Condition(
            "old version",
            "The pool has an on-disk version from before feature flags; some features are not available.",
            "Upgrade the pool; older software will not read it any more.",
        ),
    ),
    (
        _features_disabled,
        Condition(
            "features disabled",
            "Some features are not enabled in the pool; it works, but these are not available.",
            "Enable them by an upgrade; older software may not read the pool any more.",
        ),
    ),
)
