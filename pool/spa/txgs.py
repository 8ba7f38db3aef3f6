"""What a pool can be gone back to: every uberblock that is still in the rings, and whether its tree is intact.

A tree is intact if everything it refers to reads with right checksums. Blocks freed since may have been written over,
the more of them the longer ago.

Source: OpenZFS, spa.c (``spa_load_verify``), zdb's listing of uberblocks.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..dmu.objset import Objset
from ..dmu.traverse import walk
from ..dsl.pool import DslPool
from ..errors import CorruptError, DeviceError, MissingDeviceError, NotFoundError
from ..ondisk import blkptr, dmutypes
from ..ondisk.blkptr import BpArray
from ..ondisk.uberblock import Uberblock
from ..zio.reader import Zio
from ..zio.status import error_for
from .mos import Directory

if TYPE_CHECKING:
    from .spa import Spa

#: How closely a tree is looked at: only its root; all of the MOS and the roots of all datasets; or every block.
Depth = Literal["root", "mos", "all"]
BATCH_BYTES = 8 << 20
DAMAGE = (CorruptError, DeviceError, MissingDeviceError, NotFoundError)


@dataclass(frozen=True, slots=True)
class TxgInfo:
    """A txg the pool could be opened at.

    ``intact`` is None where it was not looked at; ``problem`` says why a tree is not intact.
    """

    txg: int
    timestamp: int  # seconds since 1970
    copies: int  # slots that hold this uberblock
    label: int  # where one of them is
    device: str
    intact: bool | None = None
    problem: str = ""
    current: bool = False  # the pool is open at it

    def __str__(self) -> str:
        words = {None: "", True: "intact", False: f"damaged: {self.problem}"}
        return f"{self.txg} {words[self.intact]}".rstrip()


class VerifiedBlocks:
    """Blocks that were read well: trees of neighbouring txgs share most of them.

    Kept as hashes with secret factors, so that nobody can forge a block that passes for another.
    """

    def __init__(self) -> None:
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._factors = [np.uint64(secrets.randbits(64) | 1) for _ in range(3)]

    def _hash(self, bps: BpArray) -> NDArray[np.uint64]:
        words = (bps["dva"][:, 0, 0], bps["dva"][:, 0, 1], blkptr.physical_birth(bps))
        mixed = np.zeros(len(bps), np.uint64)
        for factor, word in zip(self._factors, words):
            mixed = (mixed ^ word.astype(np.uint64)) * factor
            mixed ^= mixed >> np.uint64(29)
        return mixed

    def new(self, bps: BpArray) -> BpArray:
        """Those of the blocks that are not known yet."""
        return bps[~np.isin(self._hash(bps), self._hashes)]

    def add(self, bps: BpArray) -> None:
        """These were read well."""
        self._hashes = np.union1d(self._hashes, self._hash(bps))


def list_txgs(spa: Spa, depth: Depth | None = "mos") -> list[TxgInfo]:
    """Every uberblock in the rings, one for each txg, newest first.

    Args:
        spa: the open pool; its vdevs are used to read older trees.
        depth: how closely to look; None: not at all.
    """
    result = []
    good = VerifiedBlocks()
    for found, copies in spa.rings.distinct():
        problem = None
        if depth is not None:
            problem = _problem(spa, found.uberblock, depth, good)
        result.append(
            TxgInfo(
                txg=found.txg,
                timestamp=found.uberblock.timestamp,
                copies=copies,
                label=found.label,
                device=found.member.source.name,
                intact=None if depth is None else problem is None,
                problem=problem or "",
                current=found.txg == spa.txg,
            )
        )
    return result


def _problem(spa: Spa, root: Uberblock, depth: Depth, good: VerifiedBlocks) -> str | None:
    if root.reflow_info != spa.uberblock.reflow_info:
        return "a raidz vdev was being expanded since then"
    try:
        check_root(spa.zio, root, spa.name, depth, good=good)
    except DAMAGE as error:
        return str(error)
    return None


def check_root(
    zio: Zio, root: Uberblock, name: str, depth: Depth, *, since: int = 0, good: VerifiedBlocks | None = None
) -> None:
    """Read what an uberblock refers to.

    Args:
        zio: where blocks are read.
        name: of the pool.
        depth: how closely to look.
        since: leave out what was born in this txg or before.
        good: blocks that were read well before; those found good now are added.

    Raises:
        CorruptError, DeviceError, MissingDeviceError, NotFoundError: the first damage that is met.
    """
    mos = Objset(zio, root.rootbp, name="mos")
    Directory(mos)
    if depth == "root":
        return
    _check_tree(zio, root.rootbp, 0, since, good)
    for dataset in DslPool(mos, name).datasets(hidden=True):
        if dataset.is_empty:
            continue
        if depth == "all":
            _check_tree(zio, dataset.bp, dataset.obj, max(since, dataset.phys.prev_snap_txg), good)
        else:
            dataset.objset(raw=True)


def check_tree(spa: Spa, *, since: int = 0) -> None:
    """Read everything in an open pool that is younger than a txg. Raises: as ``check_root``."""
    check_root(spa.zio, spa.uberblock, spa.name, "all", since=since)


def _check_tree(zio: Zio, bp: BpArray, objset: int, since: int, good: VerifiedBlocks | None) -> None:
    """Read one object set: blocks with pointers by walking, all others here."""
    for visit in walk(zio, bp, objset_id=objset, birth_after=since):
        data = (visit.level == 0) & ~blkptr.is_embedded(visit.bps) & ~_have_pointers(visit.bps)
        bps = visit.bps[data]
        if good is not None:
            bps = good.new(bps)
        for part in _parts(bps):
            blocks = zio.read(part, raw=True, errors="collect")
            bad = np.flatnonzero(blocks.status)
            if len(bad):
                raise error_for(int(blocks.status[bad[0]]), part[bad[0]], f"block of object set {objset}")
            if good is not None:
                good.add(part)


def _have_pointers(bps: BpArray) -> NDArray[np.bool_]:
    """Blocks that walking has read already."""
    kinds = blkptr.object_type(bps)
    found: NDArray[np.bool_] = (kinds == dmutypes.ObjectType.DNODE) | (kinds == dmutypes.ObjectType.OBJSET)
    return found


def _parts(bps: BpArray) -> Iterator[BpArray]:
    """Batches of bounded size."""
    if not len(bps):
        return
    group = np.cumsum(blkptr.lsize(bps).astype(np.int64)) // BATCH_BYTES
    yield from np.split(bps, np.flatnonzero(np.diff(group)) + 1)
