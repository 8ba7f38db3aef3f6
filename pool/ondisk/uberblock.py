"""Uberblocks: the roots of a pool, one for each of the last txgs, kept in a ring in every label.

A slot holds the structure, zeros, and an embedded checksum in its last 40 bytes whose verifier is the slot's
own byte offset on the device. A slot is as large as the top-level vdev's sector, but 1 to 8 KiB. The newest
uberblock is the one with the highest (txg, timestamp, heartbeat sequence).

Source: OpenZFS, uberblock_impl.h, vdev_impl.h, mmp.c, vdev_raidz.h (``ub_raidz_reflow_info``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from . import blkptr, eck
from .blkptr import BLKPTR
from .label import RING_OFFSET, RING_SIZE

MAGIC = 0x00BAB10C
MMP_MAGIC = 0xA11CEA11
UBERBLOCK_SIZE = 216
MIN_SLOT_SHIFT = 10
MAX_SLOT_SHIFT = 13
VERSION_FEATURES = 5000
VERSION_LAST_NUMBERED = 28

UBERBLOCK = np.dtype(
    [
        ("magic", "<u8"),  # 0
        ("version", "<u8"),  # 8    5000, or 1..28
        ("txg", "<u8"),  # 16
        ("guid_sum", "<u8"),  # 24   of all vdevs in the tree
        ("timestamp", "<u8"),  # 32   seconds since 1970
        ("rootbp", BLKPTR),  # 40   the MOS
        ("software_version", "<u8"),  # 168
        ("mmp_magic", "<u8"),  # 176  the next two count only if this is right
        ("mmp_delay", "<u8"),  # 184  nanoseconds between heartbeats; 0: multihost off
        ("mmp_config", "<u8"),  # 192  bits 0-2 valid, 8-31 interval ms, 32-47 sequence, 48-63 failures
        ("checkpoint_txg", "<u8"),  # 200  of a checkpointed uberblock: its own txg
        ("reflow_info", "<u8"),  # 208  bits 0-54 offset in sectors, 55-63 state of the scratch area
    ]
)
assert UBERBLOCK.itemsize == UBERBLOCK_SIZE
assert UBERBLOCK.fields is not None and UBERBLOCK.fields["software_version"][1] == 168

REFLOW_SCRATCH_VALID = 1


@dataclass(frozen=True, slots=True)
class Uberblock:
    """One uberblock, in host terms. ``order`` is the byte order it was written in."""

    version: int
    txg: int
    guid_sum: int
    timestamp: int
    rootbp_bytes: bytes = field(repr=False)
    software_version: int = 0
    mmp_magic: int = 0
    mmp_delay: int = 0
    mmp_config: int = 0
    checkpoint_txg: int = 0
    reflow_info: int = 0
    order: str = "<"

    @property
    def rootbp(self) -> blkptr.BpArray:
        """Block pointer of the MOS (an array of one, dtype ``BLKPTR``)."""
        return np.frombuffer(self.rootbp_bytes, dtype=BLKPTR)

    @property
    def multihost(self) -> bool:
        """Another host could be using the pool and would show it by heartbeats."""
        return self.mmp_magic == MMP_MAGIC and self.mmp_delay != 0

    @property
    def mmp_sequence(self) -> int:
        """Heartbeat number within the second; 0 without heartbeats."""
        if self.mmp_magic != MMP_MAGIC or not self.mmp_config & 2:
            return 0
        return self.mmp_config >> 32 & 0xFFFF

    @property
    def mmp_interval_ms(self) -> int:
        """Milliseconds between heartbeats as configured; 0 where unknown."""
        if self.mmp_magic != MMP_MAGIC or not self.mmp_config & 1:
            return 0
        return self.mmp_config >> 8 & 0xFFFFFF

    @property
    def mmp_fail_intervals(self) -> int:
        """Missed heartbeats after which the other host stops; 0: it never does, or unknown."""
        if self.mmp_magic != MMP_MAGIC or not self.mmp_config & 4:
            return 0
        return self.mmp_config >> 48

    @property
    def reflow_offset(self) -> int:
        """Bytes of a raidz vdev that an expansion has moved to the new width."""
        return (self.reflow_info & ((1 << 55) - 1)) << 9

    @property
    def reflow_state(self) -> int:
        """State of the scratch area of a raidz expansion: 0 unused, 1 valid, 2.. copied back."""
        return self.reflow_info >> 55

    @property
    def rank(self) -> tuple[int, int, int]:
        """Sort key: the uberblock with the highest one is the pool's newest."""
        return (self.txg, self.timestamp, self.mmp_sequence)


def decode(buffer: Any) -> Uberblock:
    """Decode an uberblock of either byte order from its first 216 bytes.

    Raises:
        CorruptError: too short, or no magic number.
    """
    raw = bytes(memoryview(buffer)[:UBERBLOCK_SIZE])
    if len(raw) < UBERBLOCK_SIZE:
        raise CorruptError("an uberblock ends too early", length=len(raw))
    for order in "<>":
        if int.from_bytes(raw[:8], "little" if order == "<" else "big") == MAGIC:
            break
    else:
        raise CorruptError("no uberblock here: its magic number is wrong", found=raw[:8].hex())
    words = np.frombuffer(raw, dtype=order + "u8").astype("<u8")
    record = words.view(UBERBLOCK)[0]
    names = ("version", "txg", "guid_sum", "timestamp")
    more = ("software_version", "mmp_magic", "mmp_delay", "mmp_config", "checkpoint_txg", "reflow_info")
    values = {name: int(record[name]) for name in names + more}
    return Uberblock(rootbp_bytes=words.tobytes()[40 : 40 + blkptr.BLKPTR_SIZE], order=order, **values)


def encode(ub: Uberblock) -> bytes:
    """The 216 bytes of an uberblock, in its byte order."""
    record = np.zeros(1, dtype=UBERBLOCK)
    for name in UBERBLOCK.names or ():
        if name not in ("magic", "rootbp"):
            record[name] = getattr(ub, name)
    record["magic"] = MAGIC
    record["rootbp"] = np.frombuffer(ub.rootbp_bytes, dtype=BLKPTR)
    return record.view("<u8").astype(ub.order + "u8").tobytes()


def encode_slot(ub: Uberblock, at: int, ashift: int) -> bytes:
    """A whole ring slot that will lie at byte offset ``at`` of its device."""
    slot = bytearray(slot_size(ashift))
    slot[:UBERBLOCK_SIZE] = encode(ub)
    eck.seal(slot, (at, 0, 0, 0), ub.order)
    return bytes(slot)


def slot_size(ashift: int) -> int:
    """Bytes of a ring slot on a top-level vdev with this ashift."""
    return 1 << min(max(ashift, MIN_SLOT_SHIFT), MAX_SLOT_SHIFT)


def slot_count(ashift: int) -> int:
    """Slots in a ring."""
    return RING_SIZE // slot_size(ashift)


def slot_of(ub: Uberblock, ashift: int) -> int:
    """Slot an uberblock belongs to (heartbeats apart, which use the last one)."""
    usable = slot_count(ashift) - ub.multihost
    # The uberblock that announces a filled scratch area must not overwrite the committed one of the same txg.
    return (ub.txg - (ub.reflow_state == REFLOW_SCRATCH_VALID)) % usable


@dataclass(frozen=True, slots=True)
class Slot:
    """Something with an uberblock's magic number in a ring. Only ``verified`` looks at its checksum."""

    uberblock: Uberblock
    offset: int  # on the device
    data: memoryview = field(repr=False)  # from the slot's start to the ring's end
    size: int  # 0: not known

    def verified(self) -> bool:
        """True if the slot's checksum is right; with an unknown size every possible one is tried."""
        sizes = [self.size] if self.size else [1 << s for s in range(MIN_SLOT_SHIFT, MAX_SLOT_SHIFT + 1)]
        for size in sizes:
            region = self.data[:size]
            order = eck.order_of(region) if len(region) == size else None
            if order is not None and eck.verify(region, (self.offset, 0, 0, 0), order):
                return True
        return False


def peek(ring: Any) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Everything in a ring that has an uberblock's magic number, without looking at checksums.

    Args:
        ring: the 128 KiB of the ring; every 1 KiB of it is looked at, whatever the slot size.

    Returns:
        positions in the ring, and the structures there (dtype ``UBERBLOCK``, memory order).
    """
    step = 1 << MIN_SLOT_SHIFT
    view = memoryview(ring)
    rows = np.frombuffer(view, dtype="<u8", count=len(view) // step * (step // 8)).reshape(-1, step // 8)
    swapped = rows[:, 0] == np.uint64(int.from_bytes(MAGIC.to_bytes(8, "little"), "big"))
    found = np.flatnonzero((rows[:, 0] == MAGIC) | swapped)
    words = rows[found, : UBERBLOCK_SIZE // 8]
    words = np.where(swapped[found, None], words.byteswap(), words)
    return found * step, np.ascontiguousarray(words).view(UBERBLOCK)[:, 0]


def slot_at(ring: Any, label_at: int, position: int, ashift: int | None = None) -> Slot:
    """The slot at a position of a ring.

    Args:
        ring: the 128 KiB of the ring.
        label_at: byte offset of the label on its device.
        ashift: of the top-level vdev; None: not known.

    Raises:
        CorruptError: no uberblock there.
    """
    view = memoryview(ring)[position:]
    return Slot(
        decode(view), label_at + RING_OFFSET + position, view, slot_size(ashift) if ashift is not None else 0
    )


def slots(ring: Any, label_at: int, ashift: int | None = None) -> Iterator[Slot]:
    """Everything in a ring that looks like an uberblock, in ring order, checksums not yet looked at.

    Args: as for ``slot_at``.
    """
    for position in peek(ring)[0]:
        if ashift is None or position % slot_size(ashift) == 0:
            yield slot_at(ring, label_at, int(position), ashift)
