"""Small objects that come or go: no levels, so arrays do for all of them at once.

A tree of small files is mostly such objects. What ``treewrite`` does for any object comes out the same here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ondisk import blkptr, bpcheck
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dnode import FLAG_USED_BYTES, DnodePhys
from .blocktree import BlockTree

if TYPE_CHECKING:
    from ..zio.writer import ZioWriter
    from .mutable import Closed
    from .treewrite import TreeOwner


def is_small(closed: Closed) -> bool:
    """A new object of at most one block, and with nothing beside it."""
    return (
        closed.fresh
        and not closed.gone
        and not closed.maxblkid
        and closed.dn.phys.nlevels == 1
        and not closed.changes.placed
        and not closed.changes.spill_changed
    )


def write_small(owner: TreeOwner, writer: ZioWriter, txg: int, dnodes: Iterable[Closed]) -> None:
    """Write objects that ``is_small`` and publish their dnodes.

    Args:
        owner: the object set. writer: where blocks go. txg: that is being written.

    Raises:
        NoSpaceError, DeviceError: the txg cannot be written.
    """
    groups: dict[tuple[int, ...], list[Closed]] = defaultdict(list)
    for closed in dnodes:
        key = (
            closed.datablksz, closed.type, closed.checksum, closed.compress, closed.dn.nblkptr,
            len(closed.changes.blocks),
        )  # fmt: skip
        groups[key].append(closed)
    for (size, kind, checksum, compress, nblkptr, blocks), group in groups.items():
        pointers = np.zeros((len(group), nblkptr), dtype=BLKPTR)
        used = [0] * len(group)
        if blocks:
            policy = owner.policy(kind, 0, checksum=checksum, compress=compress, size=size)
            data: list[Any] = [closed.changes.blocks[0] for closed in group]
            new = writer.write(data, policy, txg, lsize=size, fill=1)
            holes = blkptr.is_hole(new)
            if holes.any():
                new[holes] = np.zeros(1, dtype=BLKPTR)[0]  # a hole over what was never written is nothing at all
            owner.born(new[~holes])
            used = owner.dsize(new).tolist()
            pointers[:, 0] = new
        for closed, row, charged in zip(group, pointers, used):
            dn = closed.dn
            phys = DnodePhys(
                type=kind,
                bonustype=closed.bonustype,
                indblkshift=dn.indblkshift,
                checksum=checksum,
                compress=compress,
                flags=closed.flags | FLAG_USED_BYTES,
                datablksz=size,
                extra_slots=dn.extra_slots,
                used=charged,
                bonus=closed.bonus,
                blkptr=row,
            )
            dn.publish(phys, BlockTree(dn.objset, dn.number, phys))


def is_small_and_gone(closed: Closed) -> bool:
    """A freed object whose pointers are all in its dnode."""
    return closed.gone and (closed.fresh or closed.dn.phys.nlevels == 1)


def free_small(owner: TreeOwner, dnodes: Sequence[Closed]) -> list[Closed]:
    """Let go of all blocks of objects that are ``is_small_and_gone``.

    Returns:
        Those with a pointer that does not belong where it stands; nothing of them was freed.
    """
    parts: list[BpArray] = []
    sizes: list[int] = []
    owners: list[int] = []
    for index, closed in enumerate(dnodes):
        phys = closed.dn.phys
        if not closed.fresh:
            parts.append(phys.blkptr)
            sizes += [phys.datablksz] * len(phys.blkptr)
        if phys.spill is not None:
            parts.append(np.atleast_1d(phys.spill))
            sizes.append(0)
        owners += [index] * (len(sizes) - len(owners))
    bps = np.concatenate(parts) if parts else np.zeros(0, dtype=BLKPTR)
    there = ~blkptr.is_hole(bps)
    wrong = bpcheck.problems(bps, level=0, lsize=np.array(sizes, np.uint64), max_birth=owner.birth) != 0
    refused = set(np.array(owners, np.int64)[wrong].tolist())
    if refused:
        there &= ~np.isin(owners, list(refused))
    if there.any():
        owner.kill(bps[there])
    for index, closed in enumerate(dnodes):
        if index not in refused:
            closed.dn.closed = None
    return [dnodes[index] for index in sorted(refused)]
