"""Golden pools as devices that can be spoiled: changes stay in memory, the images are never written to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.ondisk import label, uberblock
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.ondisk.uberblock import Uberblock


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``every_kind``: every kind of golden pool that can be had here."""
    if "every_kind" in metafunc.fixturenames:
        above = next(p for p in metafunc.config.pluginmanager.get_plugins() if hasattr(p, "pool_kinds"))
        kinds = [pytest.param(kind, marks=pytest.mark.pools) for kind in above.pool_kinds()]
        metafunc.parametrize("every_kind", kinds)


class Disk(OverlayDevice):
    """An image with changes in memory, and the ways to change its labels."""

    def config(self, index: int = 0) -> NVList:
        """The configuration in a label."""
        at = label.offset(self.size, index)
        found = label.decode(self.read(at, label.RING_OFFSET), at, index).config
        assert found is not None
        return found.copy()

    def put_config(self, config: NVList, labels: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """Write a configuration into labels, with right checksums."""
        for index in labels:
            at = label.offset(self.size, index)
            self.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))

    def put_uberblock(self, ub: Uberblock, slot: int, ashift: int, labels: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """Write an uberblock into a slot of labels, with right checksums."""
        for index in labels:
            at = label.offset(self.size, index) + label.RING_OFFSET + slot * uberblock.slot_size(ashift)
            self.write(at, uberblock.encode_slot(ub, at, ashift))

    def spoil_label(self, index: int) -> None:
        """Overwrite a whole label."""
        self.write(label.offset(self.size, index), b"\xa5" * label.LABEL_SIZE)


@pytest.fixture
def disks(pools: Callable[[str], object]) -> Iterator[Callable[[str], list[Disk]]]:
    """``disks("mirror")``: the devices of that pool."""
    with ExitStack() as stack:

        def get(kind: str) -> list[Disk]:
            found = [Disk(FileDevice(image), name=image.stem) for image in pools(kind).images]  # type: ignore[attr-defined]
            for disk in found:
                stack.callback(disk.close)
            return found

        yield get
