"""Vdev labels: where the four copies lie on a leaf, and the configuration and boot block in each.

A leaf holds two labels at its start and two at its end; between them lie 3.5 MiB for a boot loader and the
allocatable space, which begins at 4 MiB. Each label (256 KiB) is: 8 KiB blank, the boot block, the packed
configuration (both end in an embedded checksum whose verifier is their own byte offset), the uberblock ring.

Source: OpenZFS, vdev_impl.h (``vdev_label_t``) and vdev_label.c.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadLabelError, CorruptError, UsageError
from . import eck, nvlist
from .nvlist import NVList

LABELS = 4
LABEL_SIZE = 256 << 10
BOOT_OFFSET = 8 << 10  # in the label
BOOT_SIZE = 8 << 10
CONFIG_OFFSET = 16 << 10
CONFIG_SIZE = 112 << 10
RING_OFFSET = 128 << 10
RING_SIZE = 128 << 10
assert CONFIG_OFFSET + CONFIG_SIZE == RING_OFFSET and RING_OFFSET + RING_SIZE == LABEL_SIZE
assert BOOT_OFFSET + BOOT_SIZE == CONFIG_OFFSET

BOOT_AREA_OFFSET = 512 << 10  # on the leaf
BOOT_AREA_SIZE = 7 << 19
DATA_START = 4 << 20  # offset 0 of a vdev's address space
END_SIZE = 2 * LABEL_SIZE
assert BOOT_AREA_OFFSET + BOOT_AREA_SIZE == DATA_START

MIN_DEVICE = 64 << 20  # smallest leaf OpenZFS opens
MIN_LABELLED = DATA_START + END_SIZE  # smallest size at which four labels do not overlap anything

BOOT_VERSION = struct.Struct(">Q")  # 0: text, 1: nvlist; big-endian whoever wrote it
BOOT_TEXT = 0
BOOT_NVLIST = 1

STATE_ACTIVE = 0
STATE_EXPORTED = 1
STATE_DESTROYED = 2
STATE_SPARE = 3
STATE_L2CACHE = 4
STATE_NAMES = {0: "ACTIVE", 1: "EXPORTED", 2: "DESTROYED", 3: "SPARE", 4: "L2CACHE"}


def usable_size(size: int) -> int:
    """Bytes of a device that OpenZFS uses: ``size`` rounded down to whole labels."""
    return size & ~(LABEL_SIZE - 1)


def data_size(size: int) -> int:
    """Allocatable bytes of a leaf on a device of ``size`` bytes (never negative)."""
    return max(0, usable_size(size) - DATA_START - END_SIZE)


def offset(size: int, index: int) -> int:
    """Byte offset of label ``index`` (0..3) on a device of ``size`` bytes."""
    if index < LABELS // 2:
        return index * LABEL_SIZE
    return usable_size(size) - (LABELS - index) * LABEL_SIZE


@dataclass(frozen=True, slots=True)
class Label:
    """One of the four labels of a leaf.

    ``config`` is None where nothing could be decoded; ``problem`` then says why. ``verified`` is False where
    the configuration decodes although its checksum is wrong.
    """

    index: int
    offset: int
    config: NVList | None
    verified: bool
    problem: str = ""

    @property
    def txg(self) -> int:
        """Txg the label was written in; 0: provisional, or not a pool member's."""
        return self.config.u64("txg", 0) if self.config is not None else 0


def decode(region: Any, at: int, index: int = 0) -> Label:
    """Decode the configuration of one label; what is wrong with it is told, not raised.

    Args:
        region: the label from its start, at least up to the uberblock ring.
        at: byte offset of the label on its device.
        index: 0..3.
    """
    return decode_config(memoryview(region)[CONFIG_OFFSET : CONFIG_OFFSET + CONFIG_SIZE], at, index)


def decode_config(phys: Any, at: int, index: int = 0, known: NVList | None = None) -> Label:
    """As ``decode``, from the configuration region (112 KiB) alone.

    ``known`` is what the region is known to decode to: the four copies mostly differ in nothing but
    checksums.
    """
    try:
        verified = config_is_verified(phys, at)
        config = known
        if config is None:
            config = nvlist.decode(memoryview(phys)[: CONFIG_SIZE - eck.ECK_SIZE])
        config.u64("txg", 0)
    except CorruptError as error:
        return Label(index, at, None, False, error.what)
    return Label(index, at, config, verified, "" if verified else "the checksum of the label is wrong")


def config_is_verified(phys: Any, at: int) -> bool:
    """True if the embedded checksum of a configuration is right.

    Raises:
        BadLabelError: there is no embedded checksum at all, so this is no label.
    """
    order = eck.order_of(phys)
    if order is None or len(phys) != CONFIG_SIZE:
        raise BadLabelError("no label here", offset=at)
    return eck.verify(phys, (at + CONFIG_OFFSET, 0, 0, 0), order)


def config_region(config: NVList, order: str = "<") -> bytearray:
    """The configuration region (112 KiB) of a label, not yet sealed: its checksum depends on where it will lie.

    Raises:
        UsageError: the configuration is larger than a label can hold.
    """
    packed = nvlist.encode(config, order=order)
    room = CONFIG_SIZE - eck.ECK_SIZE
    if len(packed) > room:
        raise UsageError("the configuration does not fit into a label", size=len(packed), room=room)
    region = bytearray(CONFIG_SIZE)
    region[: len(packed)] = packed
    return region


def encode_config(config: NVList, at: int, order: str = "<") -> bytes:
    """The configuration region (112 KiB) of the label at byte offset ``at``.

    Raises:
        UsageError: the configuration is larger than a label can hold.
    """
    region = config_region(config, order)
    eck.seal(region, (at + CONFIG_OFFSET, 0, 0, 0), order)
    return bytes(region)


@dataclass(frozen=True, slots=True)
class BootBlock:
    """The boot environment block: text (as GRUB keeps it) or an nvlist."""

    version: int = BOOT_TEXT
    text: bytes = b""
    values: NVList = field(default_factory=NVList)


def decode_boot(block: Any, at: int) -> BootBlock:
    """Decode the boot block (8 KiB) of the label at byte offset ``at``.

    Raises:
        CorruptError: wrong checksum, unknown version, or no nvlist where one must be.
    """
    order = eck.order_of(block)
    if order is None or not eck.verify(block, (at + BOOT_OFFSET, 0, 0, 0), order):
        raise BadLabelError("the boot block of a label has a wrong checksum", offset=at)
    (version,) = BOOT_VERSION.unpack_from(block)
    payload = bytes(block[BOOT_VERSION.size : BOOT_SIZE - eck.ECK_SIZE])
    if version == BOOT_TEXT:
        return BootBlock(version, payload.split(b"\0", 1)[0])
    if version == BOOT_NVLIST:
        return BootBlock(version, values=nvlist.decode(payload))
    raise CorruptError("boot block of an unknown version", version=version, offset=at)


def encode_boot(boot: BootBlock, at: int, order: str = "<") -> bytes:
    """The boot block (8 KiB) of the label at byte offset ``at``.

    Raises:
        UsageError: the content is larger than the block can hold.
    """
    payload = boot.text if boot.version == BOOT_TEXT else nvlist.encode(boot.values, order=order)
    room = BOOT_SIZE - BOOT_VERSION.size - eck.ECK_SIZE
    if len(payload) > room:
        raise UsageError("the boot environment does not fit into a label", size=len(payload), room=room)
    block = bytearray(BOOT_SIZE)
    BOOT_VERSION.pack_into(block, 0, boot.version)
    block[BOOT_VERSION.size : BOOT_VERSION.size + len(payload)] = payload
    eck.seal(block, (at + BOOT_OFFSET, 0, 0, 0), order)
    return bytes(block)
