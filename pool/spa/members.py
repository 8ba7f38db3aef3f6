"""What a scan finds: sources of bytes, and the vdevs whose labels lie on them.

A label counts if it decodes, has a guid and a state, and, unless it belongs to a spare or cache device, a txg
other than 0 (0: a device that was being added when the power failed, or one that has left its pool).

Source: OpenZFS, libzutil (zutil_import.c).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..device.base import Device
from ..device.cachemode import CacheMode
from ..device.open import open_device
from ..device.slice import SliceDevice
from ..errors import CorruptError
from ..ondisk import label
from ..ondisk.label import Label
from ..ondisk.nvlist import NVList


@dataclass(frozen=True, slots=True)
class Source:
    """Where a vdev's bytes are: a path, a ``Device``, or a part of either.

    ``device`` is only set for devices handed in by the caller; these are never closed by us.
    """

    name: str
    device: Device | None = None
    path: str | None = None  # what to open; None: the name
    start: int = 0
    length: int | None = None  # None: all of it

    def open(self, readonly: bool = True, cache: CacheMode = "writeback") -> Device:
        """Open it; a device that was handed in is taken as it is.

        Raises:
            DeviceError: it cannot be opened, or is in use (DeviceBusyError).
        """
        base = self.device if self.device is not None else open_device(self.path or self.name, readonly, cache)
        if self.length is None:
            return base
        return SliceDevice(base, self.start, self.length, self.name)


@dataclass(frozen=True, slots=True)
class Member:
    """A vdev found on a source, described by its newest label."""

    source: Source
    size: int  # bytes
    labels: list[Label] = field(repr=False)  # all four places, good or bad
    config: NVList = field(repr=False)
    guid: int
    pool_guid: int  # 0: a spare or cache device that is not in use
    top_guid: int
    state: int
    txg: int
    copies: int  # labels that say the same guid
    verified: bool  # the label has a right checksum

    @property
    def is_aux(self) -> bool:
        """A spare or a cache device, not in use by a pool."""
        return self.state in (label.STATE_SPARE, label.STATE_L2CACHE)

    def newest_label(self, max_txg: int | None = None) -> Label | None:
        """The verified label with the highest txg not beyond ``max_txg``; None if there is none."""
        good = (one for one in self.labels if one.verified and counts(one))
        return max((one for one in good if max_txg is None or one.txg <= max_txg), key=lambda o: o.txg,
        default=None)


def counts(one: Label) -> bool:
    """True if a label says enough to be a vdev's."""
    config = one.config
    if config is None:
        return False
    try:
        state = config.u64("state")
        if not config.u64("guid") or state > label.STATE_L2CACHE:
            return False
        if state in (label.STATE_SPARE, label.STATE_L2CACHE):
            return True
        return bool(config.u64("txg", 0) and config.u64("pool_guid", 0) and config.u64("top_guid", 0))
    except CorruptError:
        return False


def member_of(source: Source, labels: list[Label], size: int) -> Member | None:
    """The vdev these labels describe, or None if they describe none."""
    good = [one for one in labels if counts(one)]
    if not good:
        return None
    # Labels of different vdevs (the rests of a former life): those of the first good one's guid are taken.
    trusted = [one for one in good if one.verified] or good
    guid = _u64(trusted[0], "guid")
    same = [one for one in trusted if _u64(one, "guid") == guid]
    newest = max(same, key=lambda one: one.txg)
    assert newest.config is not None
    config = newest.config
    return Member(
        source=source,
        size=size,
        labels=labels,
        config=config,
        guid=guid,
        pool_guid=config.u64("pool_guid", 0),
        top_guid=config.u64("top_guid", 0),
        state=config.u64("state"),
        txg=newest.txg,
        copies=len(same),
        verified=newest.verified,
    )


def _u64(one: Label, name: str) -> int:
    assert one.config is not None
    return one.config.u64(name, 0)
