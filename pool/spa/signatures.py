"""Telling that a disk holds something that is not ours: the marks by which file systems and the like are known.

Only asked before a disk is overwritten; what is not in the table is not protected.

Sources: the formats' own documentation, as util-linux's libblkid collects them.
"""

from __future__ import annotations

from ..device.base import Device

#: (byte offset, mark, type as libblkid calls it), in the order in which they are looked for.
MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"XFSB", "xfs"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (0x438, b"\x53\xef", "ext4"),  # ext2 and ext3 have the same mark
    (0x10040, b"_BHRfS_M", "btrfs"),
    (0x10034, b"ReIsEr", "reiserfs"),
    (0x400, b"\x10\x20\xf5\xf2", "f2fs"),
    (0x1018, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), "bcachefs"),
    (0, b"hsqs", "squashfs"),
    (0x400, b"\xe2\xe1\xf5\xe0", "erofs"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"EXFAT   ", "exfat"),
    (0x52, b"FAT32   ", "vfat"),
    (0x36, b"FAT1", "vfat"),
    (0x218, b"LVM2 001", "LVM2_member"),
    (0x18, b"LVM2 001", "LVM2_member"),
    (0x1000, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0xFF6, b"SWAPSPACE2", "swap"),
    (0x400, b"H+\x00\x04", "hfsplus"),
    (0x20, b"NXSB", "apfs"),
    (0x8001, b"CD001", "iso9660"),
)


def foreign(device: Device) -> str:
    """The type of what is on a device; empty: nothing that is known here.

    Raises:
        DeviceError: it cannot be read.
    """
    end = min(device.size, max(at + len(mark) for at, mark, _ in MARKS))
    head = device.read(0, end)
    for at, mark, kind in MARKS:
        if head[at : at + len(mark)] == mark:
            return kind
    return ""
