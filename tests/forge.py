"""Forging pools: change the bytes of any block and make every checksum above it right again.

So damage reaches the code that parses, instead of being caught by checksums. A forger works on private copies of the
disks in memory. A changed block is written to space nothing uses, uncompressed unless its stored bytes themselves are
the target; its pointer is changed in the block above, that one is written anew likewise, and so on up to the uberblock,
of which a newer one is put into all labels. Parity is not made: reading needs none.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from uberblock.kernels import checksum
from uberblock.pool import import_pool
from uberblock.pool.device.base import Device
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.ondisk import blkptr, eck, label, uberblock
from uberblock.pool.ondisk.blkptr import BLKPTR, BLKPTR_SIZE, BpArray
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.spa import Spa
from uberblock.pool.vdev.vdev import Vdev

FLETCHER4 = 7
OFF = 2
SLOT = 512
DATASET_BP = 128  # offset of ds_bp in a dataset's bonus
ZIL_HEADER, ZIL_HEADER_SIZE = 512, 192  # in an objset block
DNODE_BLOCK_SLOTS = 32
COMPRESS_SHIFT, CHECKSUM_SHIFT = 32, 40

Change = Callable[[bytearray], None]


@dataclass(frozen=True)
class Thing:
    """An object there is to forge."""

    objset: Objset
    number: int
    type: int
    bonustype: int
    nlevels: int
    data: int | None  # its first block that is no hole
    compressed: bool  # that block is plain and compressed


class Source:
    """A pool as it is on its disks, opened once for any number of forgeries.

    Args:
        images: its disks; they are not changed.
        keys: encryption root -> key, for whoever reads the forged pool.
    """

    def __init__(self, images: Iterable[Path], keys: Mapping[str, str] | None = None) -> None:
        self.images = list(images)
        self.keys = dict(keys or {})
        self.pool = import_pool(search=self.images)
        self.spa = self.pool.spa

    @cached_property
    def objsets(self) -> list[Objset]:
        """The MOS, and what datasets have."""
        datasets = [one for one in self.spa.dsl.datasets() if not one.is_empty]
        return [self.spa.mos, *(one.objset(raw=one.encrypted) for one in datasets)]

    @cached_property
    def things(self) -> list[Thing]:
        """All objects of all object sets."""
        return [self._thing(objset, dnode) for objset in self.objsets for dnode in objset.objects()]

    @staticmethod
    def _thing(objset: Objset, dnode: Dnode) -> Thing:
        first = dnode.next_data_block(0)
        compressed = False
        if first is not None:
            bp = dnode.bps(first, 1)[0]
            special = blkptr.is_embedded(bp) | blkptr.is_gang(bp) | blkptr.is_crypt(bp)
            compressed = not bool(special) and int(blkptr.compression(bp)) != OFF
        return Thing(objset, dnode.number, dnode.type, dnode.bonustype, dnode.nlevels, first, compressed)

    def close(self) -> None:
        self.pool.close()


def private_copy(image: Path) -> MemoryDevice:
    """A disk in memory: its image, of which changed pages are copied. Kernels read it directly."""
    with image.open("rb") as stream:
        return MemoryDevice(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY), str(image))


class Forger:
    """One pool, being forged.

    Args:
        source: the pool as it is.
        overlay: put layers over the disks, which are read through Python, rather than private copies.
    """

    def __init__(self, source: Source, *, overlay: bool = False) -> None:
        self.source = source
        self.spa: Spa = source.spa
        self.devices: list[Device] = [
            OverlayDevice(FileDevice(image)) if overlay else private_copy(image) for image in source.images
        ]
        self._by_path = dict(zip(map(str, source.images), self.devices))
        self.top = self._choose_top()
        # Forged blocks grow downward from the end of the address space, which these small pools never reach.
        self.free = self.top.asize
        self.txg = self.spa.uberblock.txg
        #: What was changed: name of the object set, object.
        self.touched: list[tuple[str, int]] = []
        self._reopened = False

    @property
    def device(self) -> Device:
        """The first disk."""
        return self.devices[0]

    def close(self) -> None:
        self._let_go()
        for device in self.devices:
            device.close()

    def _let_go(self) -> None:
        if self._reopened:
            self.spa.close()

    def reopen(self) -> None:
        """Open the pool as it has been forged so far; further changes go on from there."""
        spa = import_pool(search=self.devices).spa
        self._let_go()
        self.spa, self._reopened = spa, True

    def again(self, objset: Objset) -> Objset:
        """An object set of the source as it has been forged so far."""
        if objset.name == self.source.spa.mos.name:
            return self.spa.mos
        dataset = self.spa.dsl.dataset(objset.name)
        return dataset.objset(raw=dataset.encrypted)

    # --- writing ----------------------------------------------------------------------------------------------------

    def _choose_top(self) -> Vdev:
        tops = [top for top in self.spa.tree.tops if top.leaves() and not top.is_log]
        return max(tops, key=lambda top: top.asize)

    def _disk(self, leaf: int) -> Device | None:
        device = self.source.spa.tree.leaves[leaf].device if leaf >= 0 else None
        return None if device is None else self._by_path[device.name]

    def place(self, stored: bytes, birth: int = 0) -> tuple[int, int, int]:
        """Write bytes to unused space; gives top-level vdev, offset and allocated size."""
        tree, top = self.source.spa.tree, self.top
        asize = int(tree.asizes(top.id, [len(stored)], [birth])[0])
        self.free = (self.free - asize) // top.stripe() * top.stripe()
        for way in range(tree.ways(top.id)):
            layout = tree.layout(top.id, way, [self.free], [len(stored)], [birth])
            for column in layout.columns[layout.columns["parity"] < 0]:
                device = self._disk(int(column["leaf"]))
                if device is not None and column["stored"]:
                    piece = stored[int(column["where"]) :][: int(column["length"])]
                    device.write(int(column["offset"]), piece)
        return top.id, self.free, asize

    def pointer(self, old: BpArray, data: bytes, *, stored: bytes | None = None, compress: int | None = None) -> bytes:
        """Write a block anew; gives the bytes of the pointer to it.

        Args:
            old: pointer to the block as it was.
            data: its new bytes (uncompressed).
            stored: instead of ``data``: its new stored bytes, compressed as the old ones were.
            compress: with ``stored``: as what they are to pass.
        """
        new = np.array(old, dtype=BLKPTR).reshape(1).copy()
        body = data if stored is None else stored
        body = body.ljust(-(-len(body) // SLOT) * SLOT, b"\0")
        new["phys_birth"] = 0
        vdev, at, asize = self.place(body, int(new["birth"][0]))
        new["dva"] = 0
        new["dva"][0, 0] = (vdev << 32 | asize >> 9, at >> 9)
        prop = int(new["prop"][0])
        prop &= ~(0xFFFF << 16 | 0xFF << CHECKSUM_SHIFT | 1 << 39)
        prop |= ((len(body) >> 9) - 1) << 16 | FLETCHER4 << CHECKSUM_SHIFT
        if stored is None:
            prop = prop & ~(0x7F << COMPRESS_SHIFT | 0xFFFF) | OFF << COMPRESS_SHIFT | (len(body) >> 9) - 1
        elif compress is not None:
            prop = prop & ~(0x7F << COMPRESS_SHIFT) | compress << COMPRESS_SHIFT
        new["prop"] = prop
        little = prop >> 63
        words = checksum.fletcher4(body, byteswap=not little)
        new["cksum"] = np.frombuffer(words, dtype="<u8")
        result: bytes = new.tobytes()
        return result

    def indirect(self, below: BpArray, level: int, shift: int) -> BpArray:
        """Write a block of pointers; gives the pointer to it (an array of one).

        Args:
            below: pointers, the first of which is no hole; holes follow to the end of the block.
            level: of the new block.
            shift: log2 of its size.
        """
        block = np.zeros(1 << shift - 7, dtype=BLKPTR)
        block[: len(below)] = below
        above = np.array(below[:1])
        above["prop"] = int(above["prop"][0]) & ~(0x1F << 56) | level << 56
        above["fill"] = min(int(below["fill"].astype(object).sum()), (1 << 64) - 1)
        return np.frombuffer(self.pointer(above, block.tobytes()), dtype=BLKPTR)

    def stretch(self, objset: Objset, number: int, levels: int, shift: int = 17) -> None:
        """Make an object as large as a tree of so many levels can be: what it holds stays in front, holes follow."""
        dnode = self.dnode(objset, number)
        bp = dnode.bps(0, min(dnode.maxblkid + 1, 1 << shift - 7))
        for level in range(1, levels):
            bp = self.indirect(bp, level, shift)
        last = min((1 << (shift - 7) * (levels - 1)) - 1, (1 << 55) - 1)

        def put(slot: bytearray) -> None:
            slot[1], slot[2] = shift, levels
            slot[16:24] = last.to_bytes(8, "little")
            slot[64 : 64 + BLKPTR_SIZE] = bp.tobytes()

        self.change_dnode(objset, number, put)

    def publish(self, rootbp: bytes) -> None:
        """Put an uberblock with this root, one txg newer, into all labels."""
        self.txg += 1
        self.write_uberblock(replace(self.spa.uberblock, txg=self.txg, rootbp_bytes=rootbp, order="<"))

    def write_uberblock(self, new: uberblock.Uberblock, spoil: Change | None = None) -> None:
        for leaf in self.source.spa.tree.leaves:
            device = self._disk(leaf.index)
            if device is None:
                continue
            ashift = leaf.top.ashift
            for index in range(label.LABELS):
                ring = label.offset(device.size, index) + label.RING_OFFSET
                at = ring + uberblock.slot_of(new, ashift) * uberblock.slot_size(ashift)
                slot = bytearray(uberblock.encode_slot(new, at, ashift))
                if spoil is not None:
                    spoil(slot)
                    eck.seal(slot, (at, 0, 0, 0), "<")
                device.write(at, bytes(slot))

    # --- changing blocks ----------------------------------------------------------------------------------------------

    def dnode(self, objset: Objset, number: int) -> Dnode:
        return objset.dnode(number) if number else objset.meta

    def change_block(self, objset: Objset, number: int, level: int, blkid: int, change: Change) -> None:
        """Change the logical bytes of one block of an object, and publish."""
        self.touched.append((objset.name, number))
        dnode = self.dnode(objset, number)
        bp = self._pointer_to(dnode, level, blkid)
        data = bytearray(self.spa.zio.read_one(bp, raw=True))
        change(data)
        self._replace(objset, dnode, level, blkid, self.pointer(bp, bytes(data)))

    def change_stored(
        self, objset: Objset, number: int, level: int, blkid: int, change: Change, compress: int | None = None
    ) -> None:
        """Change the stored (compressed) bytes of one block of an object, and publish."""
        self.touched.append((objset.name, number))
        dnode = self.dnode(objset, number)
        bp = self._pointer_to(dnode, level, blkid)
        stored = bytearray(self.spa.zio.read(np.array([bp]), stored=True).block(0))
        change(stored)
        self._replace(objset, dnode, level, blkid, self.pointer(bp, b"", stored=bytes(stored), compress=compress))

    def change_pointer(self, objset: Objset, number: int, level: int, blkid: int, change: Change) -> None:
        """Change the pointer to a block (128 bytes), and publish."""
        self.touched.append((objset.name, number))
        dnode = self.dnode(objset, number)
        raw = bytearray(np.array(self._pointer_to(dnode, level, blkid)).tobytes())
        change(raw)
        self._replace(objset, dnode, level, blkid, bytes(raw))

    def change_dnode(self, objset: Objset, number: int, change: Change) -> None:
        """Change the 512 bytes of a dnode's first slot, and publish."""
        self.touched.append((objset.name, number))
        slot = number % DNODE_BLOCK_SLOTS * SLOT

        def inside(block: bytearray) -> None:
            part = block[slot : slot + SLOT]
            change(part)
            block[slot : slot + SLOT] = part

        self.change_block(objset, 0, 0, number // DNODE_BLOCK_SLOTS, inside)

    def change_bonus(self, objset: Objset, number: int, change: Change) -> None:
        """Change the bonus area of a dnode of one slot, and publish."""
        start = 64 + objset.dnode(number).nblkptr * BLKPTR_SIZE

        def inside(slot: bytearray) -> None:
            part = slot[start:]
            change(part)
            slot[start:] = part

        self.change_dnode(objset, number, inside)

    def change_objset(self, objset: Objset, change: Change) -> None:
        """Change the objset block itself, and publish."""
        self.touched.append((objset.name, 0))
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
        order = "<" if bool(blkptr.is_little(above)) else ">"
        return blkptr.from_bytes(data, order)[blkid % (1 << shift)]

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

        def put(bonus: bytearray) -> None:
            bonus[DATASET_BP : DATASET_BP + BLKPTR_SIZE] = pointer

        self.change_bonus(self.spa.mos, number, put)

    # --- labels -------------------------------------------------------------------------------------------------------

    def change_label(self, change: Callable[[NVList], Any], *, disks: Iterable[int] | None = None) -> None:
        """Change the configuration (an nvlist) in all four labels of all disks, or of some (by their index)."""
        for device in self._some(disks):
            for index in range(label.LABELS):
                at = label.offset(device.size, index)
                config = label.decode(device.read(at, label.LABEL_SIZE), at, index).config
                assert config is not None
                change(config)
                device.write(at + label.CONFIG_OFFSET, label.encode_config(config, at))

    def change_label_bytes(self, change: Change, *, disks: Iterable[int] | None = None) -> None:
        """Change the packed configuration's bytes in all four labels of all disks, or of some."""
        for device in self._some(disks):
            for index in range(label.LABELS):
                at = label.offset(device.size, index) + label.CONFIG_OFFSET
                region = bytearray(device.read(at, label.CONFIG_SIZE))
                change(region)
                eck.seal(region, (at, 0, 0, 0), "<")
                device.write(at, bytes(region))

    def _some(self, disks: Iterable[int] | None) -> list[Device]:
        return self.devices if disks is None else [self.devices[index] for index in disks]
