"""Labels of real pools: every copy verifies, re-encodes to the same bytes, and notices damage."""

from __future__ import annotations

import pytest
from uberblock.pool.errors import BadLabelError, CorruptError, UsageError
from uberblock.pool.ondisk import label
from uberblock.pool.ondisk.nvlist import NVList


def test_geometry() -> None:
    size = (256 << 20) + 12345
    assert label.usable_size(size) == 256 << 20
    assert label.data_size(size) == 263716864  # what OpenZFS stores as asize of a 256 MiB file
    assert [label.offset(size, n) for n in range(4)] == [
        0,
        262144,
        (256 << 20) - 524288,
        (256 << 20) - 262144,
    ]
    assert label.data_size(1000) == 0


def test_all_labels_of_real_pools(pools) -> None:
    for kind in ("mirror", "classes", "draid"):
        for image in pools(kind).images:
            data = image.read_bytes()
            found = []
            for index in range(label.LABELS):
                at = label.offset(len(data), index)
                region = data[at : at + label.LABEL_SIZE]
                one = label.decode(region, at, index)
                assert one.verified and one.config is not None and not one.problem
                config = region[label.CONFIG_OFFSET : label.RING_OFFSET]
                assert label.encode_config(one.config, at) == config
                boot = region[label.BOOT_OFFSET : label.CONFIG_OFFSET]
                assert label.decode_boot(boot, at) == label.BootBlock()
                assert label.encode_boot(label.BootBlock(), at) == boot
                found.append(one.config)
            assert found[0] == found[1] == found[2] == found[3]


def test_damage_is_told(pools) -> None:
    region = bytearray(pools("mirror").images[0].read_bytes()[: label.LABEL_SIZE])
    assert not label.decode(region, label.LABEL_SIZE).verified, "a label read from a wrong place"
    region[label.CONFIG_OFFSET + 100000] ^= 1
    one = label.decode(region, 0)
    assert one.config is not None and not one.verified and "checksum" in one.problem
    region[label.CONFIG_OFFSET + 12] ^= 0x80
    assert label.decode(region, 0).config is None
    region[label.RING_OFFSET - 40] ^= 1
    assert label.decode(region, 0).problem == "no label here"
    region[label.BOOT_OFFSET] ^= 1
    with pytest.raises(BadLabelError):
        label.decode_boot(region[label.BOOT_OFFSET : label.CONFIG_OFFSET], 0)
    assert label.decode(b"", 0).config is None
    assert label.decode(bytes(label.LABEL_SIZE), 0).config is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders(order: str) -> None:
    config = NVList({"version": 5000, "name": "tank", "txg": 7})
    at = 262144
    region = bytes(label.CONFIG_OFFSET) + label.encode_config(config, at, order)
    one = label.decode(region, at, 1)
    assert one.verified and one.config == config and one.txg == 7
    for boot in (label.BootBlock(0, b"saved_entry=1\n"), label.BootBlock(1, values=NVList({"version": 1}))):
        assert label.decode_boot(label.encode_boot(boot, at, order), at) == boot


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError):
        label.encode_config(NVList({"comment": "x" * 120000}), 0)
    with pytest.raises(UsageError):
        label.encode_boot(label.BootBlock(0, b"x" * 9000), 0)
    with pytest.raises(CorruptError):
        label.decode_boot(label.encode_boot(label.BootBlock(9, values=NVList()), 0), 0)
