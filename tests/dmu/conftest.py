"""Pools written by OpenZFS, opened; and object sets made by hand, in memory, for what no real pool shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from uberblock.pool.dmu.dnode import Dnode
from uberblock.pool.dmu.objset import Objset
from uberblock.pool.dmu.zap import Zap
from uberblock.pool.ondisk import blkptr, dnode, objset
from uberblock.pool.ondisk.blkptr import BLKPTR, BpArray
from uberblock.pool.ondisk.dnode import DnodePhys
from uberblock.pool.ondisk.objset import ObjsetPhys
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.scan import scan
from uberblock.pool.zio.reader import Blocks
from uberblock.pool.zio.status import Status, error_for


@dataclass
class Opened:
    """A pool: its object sets, and what zdb says of it."""

    spa: Any
    dir: str
    manifest: dict[str, Any]
    zdb: Callable[..., str]

    @property
    def mos(self) -> Objset:
        return self.spa.mos

    @property
    def directory(self) -> Zap:
        return Zap(self.mos.dnode(1))

    def objset(self, name: str) -> Objset:
        return next(ds for ds in self.spa.dsl.datasets() if ds.name == name).objset()


@pytest.fixture(scope="session")
def opened(pools: Callable[[str], Any], judge: Callable[[str], str]) -> Iterator[Callable[[str], Opened]]:
    """``opened("single")``: a pool written by OpenZFS, open."""
    with ExitStack() as stack:
        cache: dict[str, Opened] = {}

        def get(kind: str) -> Opened:
            if kind not in cache:
                golden = pools(kind)
                (candidate,) = scan([str(golden.dir)])
                spa = load(candidate)
                stack.callback(spa.close)

                def zdb(*arguments: str) -> str:
                    command = [judge("zdb"), "-e", "-p", str(golden.dir), *arguments]
                    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
                    return done.stdout

                cache[kind] = Opened(spa, str(golden.dir), golden.manifest, zdb)
            return cache[kind]

        yield get


# --- object sets made by hand ---------------------------------------------------------------------------------------

BIRTH = 100
#: Where zdb lists an allocated object: number, levels, block sizes, size of the dnode, type.
OBJECT_LINE = re.compile(r"^ +(-?\d+) +(\d+) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+) +[\d.]+ +(.*?)(?: \(.*)?$", re.M)


class MemoryZio:
    """Blocks in memory. Each has its own address; unknown addresses do not match their checksum."""

    def __init__(self, asize: int = 1 << 40) -> None:
        self.blocks: dict[int, bytes] = {}
        self.tree = SimpleNamespace(tops=[SimpleNamespace(asize=asize)])
        self.reads = self.stored = 0

    def store(
        self, data: bytes, *, level: int = 0, kind: int = 19, order: str = "<", fill: int = 1, birth: int = BIRTH
    ) -> BpArray:
        """Keep a block; gives the pointer to it."""
        bp = np.zeros(1, dtype=BLKPTR)
        self.stored += 1
        at = 8 * self.stored
        self.blocks[at] = data
        size = (len(data) >> 9) - 1
        prop = size | size << 16 | 2 << 32 | 7 << 40 | kind << 48 | level << 56
        bp["prop"] = prop | (1 << 63 if order == "<" else 0)
        bp["dva"][0, 0] = (8, at)
        bp["birth"] = birth
        bp["fill"] = fill
        return bp[0]

    def read_one(self, bp: BpArray, keys: Any = None, *, raw: bool = False, what: str = "") -> bytes:
        blocks = self.read(bp.reshape(1), keys, raw=raw, errors="collect")
        if blocks.status[0]:
            raise error_for(int(blocks.status[0]), bp, what)
        return bytes(blocks.block(0))

    def read(self, bps: BpArray, keys: Any = None, *, raw: bool = False, errors: str = "raise") -> Blocks:
        self.reads += len(bps)
        data = [self.blocks.get(int(bp["dva"][0, 1]), b"") for bp in bps]
        status = np.array([Status.OK if block else Status.CHECKSUM for block in data], dtype=np.uint8)
        if errors == "raise" and status.any():
            bad = int(np.flatnonzero(status)[0])
            raise error_for(int(status[bad]), bps[bad])
        start = np.cumsum([0, *map(len, data)])
        return Blocks(np.frombuffer(b"".join(data), dtype=np.uint8), start, status)

    def readinto(
        self, bps: BpArray, out: Any, dest: Any, keys: Any = None, errors: str = "raise", *, raw: bool = False
    ) -> Any:
        blocks = self.read(bps, keys, raw=raw, errors=errors)
        view = memoryview(out).cast("B")
        for i, at in enumerate(dest.tolist()):
            block = blocks.block(i)
            view[at : at + len(block)] = block
        return blocks.status


def build_tree(
    zio: MemoryZio,
    blocks: Mapping[int, bytes],
    *,
    datablksz: int = 512,
    indblkshift: int = 12,
    nlevels: int = 2,
    nblkptr: int = 1,
    kind: int = 19,
    order: str = "<",
    fills: Mapping[int, int] | None = None,
    **more: Any,
) -> DnodePhys:
    """A dnode whose tree has these data blocks, and holes around them."""
    pointers = {
        i: zio.store(data, kind=kind, order=order, fill=(fills or {}).get(i, 1)) for i, data in blocks.items()
    }
    epbs = indblkshift - 7
    for level in range(1, nlevels):
        above: dict[int, Any] = {}
        for i, bp in pointers.items():
            above.setdefault(i >> epbs, np.zeros(1 << epbs, dtype=BLKPTR))[i % (1 << epbs)] = bp
        pointers = {}
        for i, block in above.items():
            fill = int(block["fill"].sum())
            raw = blkptr.to_bytes(block, order)
            pointers[i] = zio.store(raw, level=level, kind=kind, order=order, fill=fill)
    top = np.zeros(nblkptr, dtype=BLKPTR)
    for i, bp in pointers.items():
        top[i] = bp
    more = {"maxblkid": max(blocks, default=0), "flags": dnode.FLAG_USED_BYTES, **more}
    return DnodePhys(
        type=kind,
        indblkshift=indblkshift,
        nlevels=nlevels,
        datablksz=datablksz,
        blkptr=top,
        order=order,
        **more,
    )


def build_objset(
    zio: MemoryZio, dnodes: Mapping[int, DnodePhys], *, order: str = "<", nlevels: int = 2, **accounting: DnodePhys
) -> Objset:
    """An object set with these objects."""
    images: dict[int, bytearray] = {}
    fills: dict[int, int] = {}
    for number, phys in dnodes.items():
        block, index = divmod(number, dnode.SLOTS_PER_BLOCK)
        image = dnode.encode(phys)
        at = index * dnode.SLOT_SIZE
        images.setdefault(block, bytearray(dnode.BLOCK_SIZE))[at : at + len(image)] = image
        fills[block] = fills.get(block, 0) + 1
    meta = build_tree(
        zio,
        {i: bytes(image) for i, image in images.items()},
        datablksz=dnode.BLOCK_SIZE,
        indblkshift=17,
        nlevels=nlevels,
        nblkptr=3,
        kind=10,
        order=order,
        fills=fills,
    )
    phys = ObjsetPhys(type=2, flags=0, metadnode=meta, order=order, **accounting)
    bp = zio.store(objset.encode(phys), kind=11, order=order, fill=len(dnodes))
    return Objset(zio, bp, name="made/by-hand")  # type: ignore[arg-type]


def make(zio: MemoryZio, blocks: Mapping[int, bytes], **more: Any) -> Dnode:
    """An object with these data blocks, open."""
    phys = build_tree(zio, blocks, **more)
    return build_objset(zio, {5: phys}, order=phys.order).dnode(5)
