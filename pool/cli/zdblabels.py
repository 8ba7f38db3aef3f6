"""``zdb -l`` and ``-u``: the labels and uberblocks of one device, without a pool around them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..device.open import open_device
from ..errors import PoolError
from ..ondisk import label as labels
from ..ondisk import uberblock as uberblocks
from ..ondisk.nvlist import NVList
from ..ondisk.uberblock import Uberblock
from .blkptrtext import blkptr_text
from .nvtext import nvlist_lines, plain
from .output import print_json

RULE = "-" * 36


@dataclass(frozen=True, slots=True)
class DeviceLabels:
    """What the four labels of a device hold: configurations, and the verified uberblocks of each ring."""

    labels: list[labels.Label]
    rings: list[dict[int, Uberblock]]  # slot -> uberblock


def read_labels(path: str) -> DeviceLabels:
    """Read all four labels of a device or image.

    Raises:
        DeviceError: the device cannot be opened or read.
    """
    found: list[labels.Label] = []
    rings: list[dict[int, Uberblock]] = []
    with open_device(path, readonly=True) as device:
        if device.size < labels.MIN_LABELLED:
            advice = "give a whole device or disk image"
            raise PoolError(f"{path} is too small to hold labels", advice, size=device.size)
        for index in range(labels.LABELS):
            at = labels.offset(device.size, index)
            region = device.read(at, labels.LABEL_SIZE)
            decoded = labels.decode(region, at, index)
            found.append(decoded)
            ring = memoryview(region)[labels.RING_OFFSET :]
            rings.append(_ring(ring, at, decoded))
    return DeviceLabels(found, rings)


def _ring(ring: memoryview, at: int, decoded: labels.Label) -> dict[int, Uberblock]:
    ashift: int | None = None
    if decoded.config is not None and "vdev_tree" in decoded.config:
        ashift = decoded.config.nvlist("vdev_tree").u64("ashift", 0) or None
    if ashift is not None and not 9 <= ashift <= 16:
        ashift = None
    size = uberblocks.slot_size(ashift if ashift is not None else 0)
    return {
        (slot.offset - at - labels.RING_OFFSET) // size: slot.uberblock
        for slot in uberblocks.slots(ring, at, ashift)
        if slot.verified()
    }


def print_labels(path: str, *, uberblocks_too: bool, all_copies: bool, json: bool, quiet: bool = False) -> int:
    """Print a device's labels as ``zdb -l`` does; status 2 when none of them is valid."""
    found = read_labels(path)
    valid = [label for label in found.labels if label.config is not None and label.verified]
    if json:
        print_json("zdb -l", {"device": path, "labels": [_document(label, found) for label in found.labels]})
        return 0 if valid else 2
    if not quiet:
        for text, copies, config in _groups(found.labels, all_copies):
            if config is None:
                if not valid or all_copies:
                    print(f"failed to read label {copies[0]}: {text}", file=sys.stderr if not valid else sys.stdout)
                continue
            print(f"{RULE}\nLABEL {copies[0]} {text}\n{RULE}")
            print("\n".join(nvlist_lines(config, STEP)))
            print(f"    labels = {' '.join(map(str, copies))} ")
        if uberblocks_too:
            for line in _uberblock_lines(found):
                print(line)
    return 0 if valid else 2


STEP = 4


def _groups(found: list[labels.Label], apart: bool) -> Iterator[tuple[str, list[int], NVList | None]]:
    """Labels of equal content together, as zdb shows them: note, label numbers, configuration."""
    left = list(found)
    while left:
        first = left.pop(0)
        same = [first]
        if first.config is not None and not apart:
            same += [x for x in left if x.config == first.config and x.verified == first.verified]
        left = [x for x in left if x not in same]
        config = first.config
        note = first.problem if config is None else "" if first.verified else "(Bad label cksum)"
        yield note, [x.index for x in same], config


def _uberblock_lines(found: DeviceLabels) -> Iterator[str]:
    slots: dict[tuple[int, Uberblock], list[int]] = {}
    for index, ring in enumerate(found.rings):
        for slot, ub in ring.items():
            slots.setdefault((slot, ub), []).append(index)
    for (slot, ub), copies in sorted(slots.items(), key=lambda item: item[0][0]):
        yield f"    Uberblock[{slot}]"
        yield from uberblock_lines(ub)
        yield f"        labels = {' '.join(map(str, copies))} "


def uberblock_lines(ub: Uberblock) -> Iterator[str]:
    """The fields of an uberblock, one a line."""
    when = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(min(ub.timestamp, 1 << 40)))
    yield f"\tmagic = {uberblocks.MAGIC:016x}"
    yield f"\tversion = {ub.version}"
    yield f"\ttxg = {ub.txg}"
    yield f"\tguid_sum = {ub.guid_sum}"
    yield f"\ttimestamp = {ub.timestamp} UTC = {when}"
    yield f"\tbp = {blkptr_text(ub.rootbp)}"
    yield f"\tmmp_magic = {ub.mmp_magic:016x}"
    if ub.mmp_magic == uberblocks.MMP_MAGIC:
        yield f"\tmmp_delay = {ub.mmp_delay}"
        yield f"\tmmp_valid = {ub.mmp_config & 7:x}"
        if ub.mmp_config & 1:
            yield f"\tmmp_write_interval = {ub.mmp_interval_ms}"
        if ub.mmp_config & 2:
            yield f"\tmmp_seq = {ub.mmp_sequence}"
        if ub.mmp_config & 4:
            yield f"\tmmp_fail_intervals = {ub.mmp_fail_intervals}"
    yield f"\tcheckpoint_txg = {ub.checkpoint_txg}"
    yield f"\traidz_reflow state={ub.reflow_state} off={ub.reflow_offset}"


def uberblock_document(ub: Uberblock) -> dict[str, object]:
    """The same for JSON."""
    return {
        "version": ub.version, "txg": ub.txg, "guid_sum": ub.guid_sum, "timestamp": ub.timestamp,
        "rootbp": blkptr_text(ub.rootbp), "mmp_delay": ub.mmp_delay, "checkpoint_txg": ub.checkpoint_txg,
        "byteorder": "little" if ub.order == "<" else "big",
    }  # fmt: skip


def _document(label: labels.Label, found: DeviceLabels) -> dict[str, object]:
    return {
        "label": label.index,
        "offset": label.offset,
        "verified": label.verified,
        "problem": label.problem,
        "config": plain(label.config) if label.config is not None else None,
        "uberblocks": [
            {"slot": slot, **uberblock_document(ub)} for slot, ub in sorted(found.rings[label.index].items())
        ],
    }
