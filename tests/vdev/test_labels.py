"""Labels and uberblocks written to leaves: where they lie, that they verify, what stays, and what fails."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import numpy as np
import pytest
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.errors import UsageError
from uberblock.pool.ondisk import eck, label, uberblock
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.ondisk.uberblock import Uberblock
from uberblock.pool.vdev import labels
from uberblock.pool.vdev.tree import VdevTree, build

SIZE = (5 << 20) + 100  # not a multiple of a label
GUIDS = (11, 12)


class Faulty(MemoryDevice):
    """Refuses writes that begin at or after certain offsets, or a flush."""

    def __init__(self, size: int, bad: Sequence[int] = (), flush_fails: bool = False) -> None:
        super().__init__(size, "faulty")
        self.bad, self.flush_fails = bad, flush_fails

    def writev(self, offsets, lengths, data, source):  # type: ignore[no-untyped-def]
        status = super().writev(offsets, lengths, data, source)
        for index, at in enumerate(np.asarray(offsets).tolist()):
            if any(start <= at < start + label.LABEL_SIZE for start in self.bad):
                status[index] = errno.EIO
        return status

    def flush(self) -> None:
        if self.flush_fails:
            from uberblock.pool.device.base import device_error

            raise device_error(errno.ENOSPC, "cannot flush", device=self.name)


def make_tree(devices: dict[int, MemoryDevice], ashift: int = 12) -> VdevTree:
    children = [NVList({"type": "file", "id": n, "guid": guid, "path": f"/d{n}"}) for n, guid in enumerate(GUIDS)]
    top = {"type": "mirror", "id": 0, "guid": 10, "ashift": ashift, "asize": 1 << 19, "children": children}
    return build(NVList({"type": "root", "id": 0, "guid": 1, "children": [NVList(top)]}), devices)


def config_of(txg: int):  # type: ignore[no-untyped-def]
    return lambda leaf: NVList({"version": 5000, "txg": txg, "guid": leaf.guid})


def read_config(device: MemoryDevice, index: int) -> label.Label:
    at = label.offset(device.size, index)
    return label.decode(device.read(at, label.RING_OFFSET), at, index)


def make_uberblock(txg: int, order: str = "<", **more: int) -> Uberblock:
    return Uberblock(5000, txg, 77, 1000 + txg, bytes(range(128)), 5000, order=order, **more)


def test_halves() -> None:
    devices = {guid: MemoryDevice(SIZE) for guid in GUIDS}
    tree = make_tree(devices)
    before = devices[11].read(0, SIZE)
    assert labels.write_labels(tree.leaves, config_of(7), labels.FIRST_HALF) == []
    for guid, device in devices.items():
        assert [read_config(device, n).txg for n in range(4)] == [7, 0, 7, 0]
        for index in labels.FIRST_HALF:
            one = read_config(device, index)
            assert one.verified and one.config is not None and one.config["guid"] == guid
    assert labels.write_labels(tree.leaves, config_of(8), labels.SECOND_HALF) == []
    assert [read_config(devices[12], n).txg for n in range(4)] == [7, 8, 7, 8]
    after = bytearray(devices[11].read(0, SIZE))
    for index in range(4):
        at = label.offset(SIZE, index)
        after[at + label.CONFIG_OFFSET : at + label.RING_OFFSET] = bytes(label.CONFIG_SIZE)
    assert after == before, "nothing but the configurations was touched"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("ashift", range(9, 17))
def test_slots_of_every_ashift(ashift: int, order: str) -> None:
    """Every txg lands in its own slot, in all four labels, and nothing lands beside the ring."""
    devices = {guid: MemoryDevice(SIZE) for guid in GUIDS}
    tree = make_tree(devices, ashift)
    count = uberblock.slot_count(ashift)
    for txg in (4, count - 1, count, count + 5, 3 * count + 1):
        assert labels.write_uberblock(tree.leaves, make_uberblock(txg, order)) == []
        for device in devices.values():
            for index in range(4):
                at = label.offset(SIZE, index)
                ring = device.read(at + label.RING_OFFSET, label.RING_SIZE)
                slot = uberblock.slot_at(ring, at, txg % count * uberblock.slot_size(ashift), ashift)
                assert slot.verified() and slot.uberblock == make_uberblock(txg, order)
    written = bytearray(devices[11].read(0, SIZE))
    for index in range(4):
        at = label.offset(SIZE, index) + label.RING_OFFSET
        written[at : at + label.RING_SIZE] = bytes(label.RING_SIZE)
    assert not any(written)


def test_heartbeats_leave_the_last_slot_to_themselves() -> None:
    devices = {guid: MemoryDevice(SIZE) for guid in GUIDS}
    tree = make_tree(devices)
    beat = make_uberblock(32 + 31, mmp_magic=uberblock.MMP_MAGIC, mmp_delay=10**9)
    labels.write_uberblock(tree.leaves, beat)
    ring = devices[11].read(label.RING_OFFSET, label.RING_SIZE)
    assert uberblock.slot_at(ring, 0, (63 % 31) * 4096, 12).verified()
    labels.write_uberblock(tree.leaves, beat, slot=31)
    ring = devices[11].read(label.RING_OFFSET, label.RING_SIZE)
    assert uberblock.slot_at(ring, 0, 31 * 4096, 12).verified()


@pytest.mark.parametrize("template", [None, make_uberblock(99)])
def test_provisional_labels_wipe_a_former_life(template: Uberblock | None) -> None:
    devices = {guid: MemoryDevice(bytearray(b"\xa5" * SIZE)) for guid in GUIDS}
    tree = make_tree(devices)
    for txg in range(1000, 1032):
        labels.write_uberblock(tree.leaves, make_uberblock(txg))
    assert labels.write_provisional(tree.leaves, config_of(0), template=template) == []
    for device in devices.values():
        for index in range(4):
            at = label.offset(SIZE, index)
            region = device.read(at, label.LABEL_SIZE)
            one = label.decode(region, at, index)
            assert one.verified and one.txg == 0
            assert label.decode_boot(region[label.BOOT_OFFSET : label.CONFIG_OFFSET], at) == label.BootBlock()
            ring = region[label.RING_OFFSET :]
            assert eck.verify(ring, (at + label.RING_OFFSET, 0, 0, 0), "<"), "as OpenZFS seals the whole ring"
            found = list(uberblock.slots(ring, at))
            assert len(found) == (template is not None)
            assert not any(slot.verified() for slot in found)
            assert all(slot.uberblock.txg == 0 for slot in found)
            assert region[: label.BOOT_OFFSET] == b"\xa5" * label.BOOT_OFFSET
        data = device.read(2 * label.LABEL_SIZE, label.offset(SIZE, 2) - 2 * label.LABEL_SIZE)
        assert data == b"\xa5" * len(data), "what is not label stays"
    labels.write_provisional(tree.leaves, config_of(0), blank_start=True)
    assert devices[11].read(0, label.BOOT_OFFSET) == bytes(label.BOOT_OFFSET)


def test_failures_are_told_leaf_by_leaf() -> None:
    good, half = MemoryDevice(SIZE), Faulty(SIZE, bad=[label.offset(SIZE, 2)])
    tree = make_tree({11: good, 12: half})
    (failure,) = labels.write_labels(tree.leaves, config_of(7), labels.FIRST_HALF)
    assert failure.leaf is tree.leaves[1] and failure.errors == {2: errno.EIO} and not failure.lost
    assert labels.good_writes(tree.leaves, [failure]) == {0: 2}
    dead = Faulty(SIZE, bad=[label.offset(SIZE, n) for n in range(4)])
    tree = make_tree({11: good, 12: dead})
    (failure,) = labels.write_uberblock(tree.leaves, make_uberblock(5))
    assert failure.errors == dict.fromkeys(range(4), errno.EIO) and failure.lost
    assert labels.good_writes(tree.leaves, [failure]) == {0: 1}
    assert len(labels.write_provisional(tree.leaves, config_of(0))) == 1
    (failure,) = labels.write_provisional(tree.leaves, config_of(0), blank_start=True)
    assert failure.leaf.guid == 12 and failure.lost
    closed = MemoryDevice(SIZE)
    tree = make_tree({11: good, 12: closed})
    closed.close()
    (failure,) = labels.write_labels(tree.leaves, config_of(7), labels.SECOND_HALF)
    assert failure.errors == {1: errno.EBADF, 3: errno.EBADF}


def test_flush() -> None:
    good, bad = MemoryDevice(SIZE), Faulty(SIZE, flush_fails=True)
    tree = make_tree({11: good, 12: bad})
    (failure,) = labels.flush(tree.leaves)
    assert failure.leaf.guid == 12 and failure.lost and set(failure.errors.values()) == {errno.ENOSPC}
    assert labels.flush(tree.leaves[:1]) == []


def test_missing_devices_are_passed_over() -> None:
    tree = make_tree({11: MemoryDevice(SIZE)})
    assert [leaf.guid for leaf in labels.labelled(tree.leaves)] == [11]
    assert labels.write_labels(tree.leaves, config_of(7), labels.ALL) == []
    assert labels.good_writes(tree.leaves, []) == {0: 1}
    assert labels.good_writes(make_tree({}).leaves, []) == {}


def test_a_configuration_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    devices = {guid: MemoryDevice(SIZE) for guid in GUIDS}
    tree = make_tree(devices)
    with pytest.raises(UsageError):
        labels.write_labels(
            tree.leaves, lambda leaf: NVList({"pad": "x" * (label.CONFIG_SIZE if leaf.guid == 12 else 1)}), labels.ALL
        )
    assert not any(devices[11].read(0, SIZE))
