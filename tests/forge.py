"""Forging pools: change the bytes of any block and make every checksum above it right again.

So damage reaches the code that parses, instead of being caught by checksums. A forger works on an in-memory overlay
of a pool with one disk. A changed block is written to space nothing uses, uncompressed unless its stored bytes
themselves are the target; its pointer is changed in the block above, that one is written anew likewise, and so on up
to the uberblock, of which a newer one is put into all four labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from uberblock.kernels import checksum
from uberblock.pool import import_pool
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.ondisk.blkptr import BLKPTR, BLKPTR_SIZE, BpArray

FLETCHER4 = 7
OFF = 2
SLOT = 512
DATASET_BP = 128  # offset of ds_bp in a dataset's bonus
DNODE_BLOCK_SLOTS = 32
COMPRESS_SHIFT, CHECKSUM_SHIFT = 32, 40

Change = Callable[[bytearray], None]


class Forger:
    """One pool with one disk, being forged.

    Args:
        image: the disk's image; it is not changed.
        ashift: log2 of its sector size.
    """

    def __init__(self, image: Path) -> None:
        self.device = OverlayDevice(FileDevice(image))
        self.pool = import_pool(search=[self.device])
        self.spa = self.pool.spa
        top = self.spa.tree.tops[0]
        self.sector = 1 << top.ashift
        # Forged blocks grow downward from the end of the address space, which these small pools never reach.
        self.free = (self.device.size - label.END_SIZE - label.DATA_START) // self.sector * self.sector
        self.txg = self.spa.uberblock.txg

    def close(self) -> None:
        self.pool.close()
        self.device.close()

    # --- writing ----------------------------------------------------------------------------------------------------

    def place(self, stored: bytes) -> int:
        """Write bytes to unused space; gives the offset in the vdev."""
        size = -(-len(stored) // self.sector) * self.sector
        self.free -= size
        self.device.write(label.DATA_START + self.free, stored.ljust(size, b"\0"))
        return self.free

    def pointer(self, old: BpArray, data: bytes, *, stored: bytes | None = None) -> bytes:
        """Write a block anew; gives the bytes of the pointer to it.

        Args:
            old: pointer to the block as it was.
            data: its new bytes (uncompressed).
            stored: instead of ``data``: its new stored bytes, compressed as the old ones were.
        """
        new = np.array(old, dtype=BLKPTR).reshape(1).copy()
        body = data if stored is None else stored
        body = body.ljust(-(-len(body) // SLOT) * SLOT, b"\0")
        at = self.place(body)
        new["dva"] = 0
        size = -(-len(body) // self.sector) * self.sector
        new["dva"][0, 0] = (size >> 9, at >> 9)
        prop = int(new["prop"][0])
        prop &= ~(0xFFFF << 16 | 0xFF << CHECKSUM_SHIFT | 1 << 39)
        prop |= ((len(body) >> 9) - 1) << 16 | FLETCHER4 << CHECKSUM_SHIFT
        if stored is None:
            prop = prop & ~(0x7F << COMPRESS_SHIFT | 0xFFFF) | OFF << COMPRESS_SHIFT | (len(body) >> 9) - 1
        new["prop"] = prop
        new["phys_birth"] = 0
        little = prop >> 63
        words = checksum.fletcher4(body, byteswap=not little)
        new["cksum"] = np.frombuffer(words, dtype="<u8")
        result: bytes = new.tobytes()
        return result

    def publish(self, rootbp: bytes) -> None:
        """Put an uberblock with this root, one txg newer, into all labels."""
        self.txg += 1
        new = replace(self.spa.uberblock, txg=self.txg, rootbp_bytes=rootbp, order="<")
        self.write_uberblock(new)

    def write_uberblock(self, new: uberblock.Uberblock, spoil: Change | None = None) -> None:
        ashift = self.spa.tree.tops[0].ashift
        for index in range(label.LABELS):
            ring = label.offset(self.device.size, index) + label.RING_OFFSET
            at = ring + uberblock.slot_of(new, ashift) * uberblock.slot_size(ashift)
            slot = bytearray(uberblock.encode_slot(new, at, ashift))
            if spoil is not None:
                from uberblock.pool.ondisk import eck

                spoil(slot)
                eck.seal(slot, (at, 0, 0, 0), "<")
            self.device.write(at, bytes(slot))

    # --- changing blocks ----------------------------------------------------------------------------------------------

    def change_block(self, objset: Objset, number: int, level: int, blkid: int, change: Change) -> None:
        """Change the logical bytes of one block of an object, and publish."""
        dnode = objset.dnode(number) if number else objset.meta
        bp = self._pointer_to(dnode, level, blkid)
        data = bytearray(self.spa.zio.read_one(bp, raw=True))
        change(data)
        self._replace(objset, dnode, level, blkid, self.pointer(bp, bytes(data)))

    def change_stored(self, objset: Objset, number: int, level: int, blkid: int, change: Change) -> None:
        """Change the stored (compressed) bytes of one block of an object, and publish."""
        dnode = objset.dnode(number) if number else objset.meta
        bp = self._pointer_to(dnode, level, blkid)
        stored = bytearray(self.spa.zio.read(np.array([bp]), stored=True).block(0))
        change(stored)
        self._replace(objset, dnode, level, blkid, self.pointer(bp, b"", stored=bytes(stored)))

    def change_pointer(self, objset: Objset, number: int, level: int, blkid: int, change: Change) -> None:
        """Change the pointer to a block (128 bytes), and publish."""
        dnode = objset.dnode(number) if number else objset.meta
        raw = bytearray(np.array(self._pointer_to(dnode, level, blkid)).tobytes())
        change(raw)
        self._replace(objset, dnode, level, blkid, bytes(raw))

    def change_dnode(self, objset: Objset, number: int, change: Change) -> None:
        """Change the 512 bytes of a dnode's first slot, and publish."""
        slot = number % DNODE_BLOCK_SLOTS * SLOT

        def inside(block: bytearray) -> None:
            part = block[slot : slot + SLOT]
            change(part)
            block[slot : slot + SLOT] = part

        self.change_block(objset, 0, 0, number // DNODE_BLOCK_SLOTS, inside)

    def change_objset(self, objset: Objset, change: Change) -> None:
        """Change the objset block itself, and publish."""
        data = bytearray(self.spa.zio.read_one(objset.bp, raw=True))
        change(data)
        self._new_root(objset, self.pointer(objset.bp, bytes(data)))

    # --- up the tree --------------------------------------------------------------------------------------------------

    def _pointer_to(self, dnode: Dnode, level: int, blkid: int) -> BpArray:
        top = dnode.nlevels - 1
        if level == top:
            return dnode.blkptr[blkid]
        shift = dnode.indblkshift - 7
        above = self._pointer_to(dnode, level + 1, blkid >> shift)
        data = self.spa.zio.read_one(above, raw=True)
        return blkptr.from_bytes(data, "<")[blkid % (1 << shift)]

    def _replace(self, objset: Objset, dnode: Dnode, level: int, blkid: int, pointer: bytes) -> None:
        """Put a new pointer into the block (or dnode) above, and go on upward."""
        if level < dnode.nlevels - 1:
            shift = dnode.indblkshift - 7
            above = self._pointer_to(dnode, level + 1, blkid >> shift)
            data = bytearray(self.spa.zio.read_one(above, raw=True))
            at = blkid % (1 << shift) * BLKPTR_SIZE
            data[at : at + BLKPTR_SIZE] = pointer
            self._replace(objset, dnode, level + 1, blkid >> shift, self.pointer(above, bytes(data)))
            return
        at = 64 + blkid * BLKPTR_SIZE

        def put(slot: bytearray) -> None:
            slot[at : at + BLKPTR_SIZE] = pointer

        if dnode.number > 0:
            self.change_dnode(objset, dnode.number, put)
        else:
            assert dnode.number == 0, "accounting objects are not forged"
            self.change_objset(objset, put)

    def _new_root(self, objset: Objset, pointer: bytes) -> None:
        if objset is self.spa.mos:
            self.publish(pointer)
            return
        number = next(d.obj for d in self.spa.dsl.datasets() if d.name == objset.name)
        dnode = self.spa.mos.dnode(number)
        bonus = 64 + dnode.nblkptr * BLKPTR_SIZE

        def put(slot: bytearray) -> None:
            slot[bonus + DATASET_BP : bonus + DATASET_BP + BLKPTR_SIZE] = pointer

        self.change_dnode(self.spa.mos, number, put)

    # --- labels -------------------------------------------------------------------------------------------------------

    def change_label(self, change: Callable[[Any], None]) -> None:
        """Change the configuration (an nvlist) in all four labels."""
        for index in range(label.LABELS):
            at = label.offset(self.device.size, index)
            config = label.decode(self.device.read(at, label.LABEL_SIZE), at, index).config
            change(config)
            self.device.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))

    def change_label_bytes(self, change: Change) -> None:
        """Change the packed configuration's bytes in all four labels."""
        from uberblock.pool.ondisk import eck

        for index in range(label.LABELS):
            at = label.offset(self.device.size, index) + label.CONFIG_OFFSET
            region = bytearray(self.device.read(at, label.CONFIG_SIZE))
            change(region)
            eck.seal(region, (at, 0, 0, 0), "<")
            self.device.write(at, bytes(region))
