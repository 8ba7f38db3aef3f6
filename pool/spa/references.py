"""Everything a pool refers to, in batches of block pointers: MOS, datasets, intent logs, what waits to be freed.

A snapshot's and a clone's tree is walked from the snapshot before it on, since what is older belongs to that one too.
Of intent logs the claimed blocks count, and those that are older than the txg a claim would happen in. What waits to
be freed is still allocated: lists of single blocks, trees of destroyed datasets, and livelists of destroyed clones.

Nothing is decrypted. What cannot be read is told, and the rest still comes.

Source: OpenZFS, zdb.c (what it traverses), dmu_traverse.c, zil.c, bptree.c, dsl_deadlist.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dmu.bpobj import Bpobj
from ..dmu.traverse import I64Array, Visit, walk
from ..dsl.deadlist import Deadlist
from ..dsl.mosobj import numbers
from ..errors import LimitError, PoolError
from ..ondisk import blkptr, bptree, objset, zil
from ..ondisk import dsl as ondisk_dsl
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dmutypes import ObjectType
from ..ondisk.zilrecord import CloneRange, Record, Sealed, TxType, Write
from ..zil import chain
from . import mos as metadata

if TYPE_CHECKING:
    from ..ondisk.zil import ZilHeader
    from .spa import Spa

#: ``level`` of the blocks of an intent log, whose ``blkid`` is their number in the chain.
LOG_LEVEL = -2
#: Entries of a livelist that are counted against each other at a time; OpenZFS begins a new one at 500 000, but keeps
#: a txg's together.
SHARE = 1 << 19
SHARES_MAX = 1 << 8
_MIX = np.uint64(0x9E3779B97F4A7C15)
#: A block pointer's bit in livelists: the record is a free.
FREED = np.uint64(1)
DNODES_PER_BLOCK = 32
#: Pointers of an intent log in one batch.
LOG_BATCH = 1 << 12
_VDEV = np.uint64(0x00FFFFFF00000000)

DEFERRED = "sync_bplist"
FREE_LIST = "free_bpobj"
DESTROYED = "bptree_obj"
DELETED_CLONES = "com.delphix:deleted_clones"


class Kind(IntEnum):
    """Why a batch of blocks is referred to."""

    TREE = 0  # part of an object set
    LOG = 1  # of an intent log
    LOG_DATA = 2  # data that records of an intent log point to
    LOG_CLONE = 3  # blocks that a claimed log record clones: one more reference to each, and no block of its own
    DEFERRED = 4  # waits to be freed


@dataclass(frozen=True, slots=True)
class References:
    """A batch of block pointers, none of them a hole, and who has them (arrays of the same length)."""

    kind: Kind
    name: str
    objset: int
    bps: BpArray
    object: I64Array
    level: I64Array
    blkid: I64Array

    def __len__(self) -> int:
        return len(self.bps)

    def place(self, at: int) -> str:
        """Where one of them stands, in words."""
        if self.kind == Kind.DEFERRED:
            return self.name
        if self.kind == Kind.LOG:
            return f"{self.name}, intent log block {int(self.blkid[at])}"
        number, level, blkid = int(self.object[at]), int(self.level[at]), int(self.blkid[at])
        if self.kind != Kind.TREE:
            return f"{self.name}, intent log, object {number}"
        if level < 0:
            return f"{self.name}, object set"
        block = "spill block" if blkid < 0 else f"level {level} block {blkid}"
        return f"{self.name}, object {number}, {block}"


#: Told of what cannot be read: what it is part of, and why.
Unreadable = Callable[[str, PoolError], None]


def references(spa: Spa, unreadable: Unreadable) -> Iterator[References]:
    """All references of an open pool; every block comes once for each reference to it."""
    for name, key in (("deferred frees", DEFERRED), ("free list", FREE_LIST)):
        yield from _list(spa, name, key, unreadable)
    yield from _destroyed(spa, unreadable)
    yield from _deleted_clones(spa, unreadable)
    yield from _tree("mos", 0, spa.uberblock.rootbp, 0, spa, unreadable)
    for head in _datasets(spa, unreadable):
        if bool(blkptr.is_hole(head.bp)):
            continue
        if not head.is_snapshot:
            try:
                header = _log_header(spa, head)
            except PoolError as error:
                unreadable(f"{head.name}, intent log", error)
            else:
                yield from _log(head, header, spa, unreadable)
        yield from _tree(head.name, head.number, head.bp, head.born_after, spa, unreadable)


# --- datasets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Head:
    name: str
    number: int
    bp: BpArray
    born_after: int
    is_snapshot: bool


def _datasets(spa: Spa, unreadable: Unreadable) -> Iterator[_Head]:
    """All datasets of the MOS, whether the tree of names leads to them or not."""
    names: dict[int, str] = {}

    def unnamed(name: str, error: PoolError) -> None:
        unreadable(name, error)

    try:
        names = {dataset.obj: dataset.name for dataset in spa.dsl.datasets(hidden=True, damaged=unnamed)}
    except PoolError as error:
        unreadable("the tree of datasets", error)

    def lost(first: int, count: int, error: PoolError) -> None:
        unreadable(f"mos, objects {first} to {first + count - 1}", error)

    for dnode in spa.mos.objects(damaged=lost):
        if dnode.bonustype != ObjectType.DSL_DATASET:
            continue
        name = names.get(dnode.number, f"dataset {dnode.number}")
        try:
            phys = ondisk_dsl.decode_dataset(dnode.bonus, dnode.order)
        except PoolError as error:
            unreadable(name, error)
            continue
        bp = phys.blkptr.reshape(1)
        yield _Head(name, dnode.number, bp, phys.prev_snap_txg, phys.num_children != 0)


def _tree(
    name: str, objset: int, bp: BpArray, born_after: int, spa: Spa, unreadable: Unreadable
) -> Iterator[References]:
    for visit in _visits(name, objset, bp, born_after, spa, unreadable):
        level = visit.level.astype(np.int64)
        yield References(Kind.TREE, name, objset, visit.bps, visit.object, level, visit.blkid)


def _visits(name: str, objset: int, bp: BpArray, born_after: int, spa: Spa, unreadable: Unreadable) -> Iterator[Visit]:
    def note(place: object, error: PoolError) -> None:
        unreadable(f"{name}, {place}", error)

    for visit in walk(spa.zio, bp, objset_id=objset, birth_after=born_after, errors=note):
        redacted = blkptr.is_redacted(visit.bps)
        if redacted.any():
            keep = ~redacted
            visit = Visit(visit.bps[keep], visit.object[keep], visit.level[keep], visit.blkid[keep])
        yield visit


# --- intent logs ------------------------------------------------------------------------------------------------------


def _log_header(spa: Spa, head: _Head) -> ZilHeader:
    data = spa.zio.read_one(head.bp[0], raw=True, what=f"object set of {head.name}")
    order = "<" if bool(blkptr.is_little(head.bp)[0]) else ">"
    return zil.decode_header(objset.decode(data, order, dataset=head.name).zil_header, order)


def _pointers(record: Record) -> tuple[BpArray, int]:
    """The block pointers in a log record, and the object it is about (0: that is encrypted)."""
    bps: BpArray | None = None
    number = 0
    if isinstance(record, Write):
        bps, number = record.bp, record.object
    elif isinstance(record, CloneRange):
        bps, number = record.bps, record.object
    elif isinstance(record, Sealed):
        bps = record.bps
    return (np.zeros(0, dtype=BLKPTR) if bps is None else np.atleast_1d(bps)), number


def _log(head: _Head, header: ZilHeader, spa: Spa, unreadable: Unreadable) -> Iterator[References]:
    """The blocks of one log, and those its records point to."""
    first_txg = (spa.uberblock.checkpoint_txg or spa.uberblock.txg) + 1
    found = _Gathered(head)
    try:
        for block in chain.read_blocks(spa.zio, header):
            if not header.claim_txg and int(block.bp["birth"]) >= first_txg:
                break  # nobody has claimed it: its space may be anyone's
            found.add(Kind.LOG, block.bp, 0, block.seq)
            for record in block.records if header.claim_txg else ():
                pointers, number = _pointers(record)
                if record.type == TxType.CLONE_RANGE:
                    for bp in pointers:
                        found.add(Kind.LOG_CLONE, bp, number, 0)
                    continue
                for bp in pointers:
                    if int(bp["birth"]) >= header.claim_txg:
                        found.add(Kind.LOG_DATA, bp, number, 0)
            yield from found.full()
    except PoolError as error:
        unreadable(f"{head.name}, intent log", error)
    yield from found.rest()


class _Gathered:
    """Pointers of a log, gathered to batches. Several records may have been written to one block: it counts once."""

    def __init__(self, head: _Head) -> None:
        self._head = head
        self._met: set[bytes] = set()
        self._rows: dict[Kind, list[tuple[BpArray, int, int]]] = {}

    def add(self, kind: Kind, bp: BpArray, number: int, blkid: int) -> None:
        """Take one pointer."""
        if bool(blkptr.is_hole(bp)):
            return
        if kind != Kind.LOG_CLONE and not bool(blkptr.is_embedded(bp)):
            identity = bp["dva"][0].tobytes()
            if identity in self._met:
                return
            self._met.add(identity)
        self._rows.setdefault(kind, []).append((bp, number, blkid))

    def full(self) -> Iterator[References]:
        """Batches that are long enough."""
        for kind in [kind for kind, rows in self._rows.items() if len(rows) >= LOG_BATCH]:
            yield self._batch(kind, self._rows.pop(kind))

    def rest(self) -> Iterator[References]:
        """All that is left."""
        for kind, rows in self._rows.items():
            yield self._batch(kind, rows)

    def _batch(self, kind: Kind, rows: list[tuple[BpArray, int, int]]) -> References:
        bps = np.frombuffer(b"".join(np.array(bp).tobytes() for bp, _, _ in rows), dtype=BLKPTR)
        numbers_, blkids = (np.array([row[at] for row in rows], dtype=np.int64) for at in (1, 2))
        level = np.full(len(bps), LOG_LEVEL, dtype=np.int64)
        return References(kind, self._head.name, self._head.number, bps, numbers_, level, blkids)


# --- what waits to be freed -------------------------------------------------------------------------------------------


def _waiting(name: str, bps: BpArray) -> References:
    none = np.zeros(len(bps), dtype=np.int64)
    return References(Kind.DEFERRED, name, 0, bps, none, none, none)


def _list(spa: Spa, name: str, key: str, unreadable: Unreadable) -> Iterator[References]:
    try:
        number = spa.directory.number(key, 0)
        if number:
            for bps in Bpobj(spa.mos, number).batches():
                yield _waiting(name, bps[~blkptr.is_hole(bps)])
    except PoolError as error:
        unreadable(name, error)


def _destroyed(spa: Spa, unreadable: Unreadable) -> Iterator[References]:
    """What is left of destroyed datasets."""
    name = "a destroyed dataset"
    try:
        number = spa.directory.number(DESTROYED, 0)
        if not number:
            return
        dnode = spa.mos.dnode(number)
        header = bptree.decode_header(dnode.bonus, dnode.order)
        words = bptree.ENTRY_SIZE // 8
        for index in range(header.begin, header.end):
            (entry,) = bptree.decode(metadata.words(dnode, words, index * words))
            bp = np.array(entry["bp"]).reshape(1)
            for visit in _visits(name, 0, bp, int(entry["birth_txg"]), spa, unreadable):
                left = visit.bps[~_freed(visit, entry)]
                if len(left):
                    yield _waiting(name, left)
    except PoolError as error:
        unreadable(name, error)


def _freed(visit: Visit, entry: Any) -> np.ndarray:
    """Which blocks of a destroyed dataset have been freed: those that end before the bookmark."""
    if int(entry["objset"]) != bptree.DESTROYED:
        return np.zeros(len(visit), dtype=bool)
    at, blkid = int(entry["object"]), np.uint64(entry["blkid"])
    # Object numbers below zero (accounting) come last; a block of pointers ends where the next one begins.
    numbers_ = visit.object.astype(np.uint64)
    level = np.maximum(visit.level, 0).astype(np.uint64)
    indirect = np.where(visit.level > 0, blkptr.lsize(visit.bps), np.uint64(blkptr.BLKPTR_SIZE))
    shift = (np.log2(indirect.astype(np.float64)).astype(np.uint64) - np.uint64(7)) * level
    behind = (visit.blkid + 1).astype(np.uint64) << np.minimum(shift, np.uint64(63))
    dnodes = (visit.object == 0) & (visit.level >= 0)
    numbers_ = np.where(dnodes, behind * np.uint64(DNODES_PER_BLOCK), numbers_)
    behind = np.where(dnodes, np.uint64(0), behind)
    if at == 0:
        # A block of dnodes itself: all that they lead to is gone.
        last = blkid * np.uint64(DNODES_PER_BLOCK) + np.uint64(DNODES_PER_BLOCK)
        done = numbers_ < last
        done |= (numbers_ == last) & dnodes & (visit.blkid.astype(np.uint64) < blkid)
    else:
        number = np.uint64(at)
        done = (numbers_ < number) | ((numbers_ == number) & (behind <= blkid) & (visit.blkid >= 0))
    return done & (visit.level >= 0)


def _deleted_clones(spa: Spa, unreadable: Unreadable) -> Iterator[References]:
    """What destroyed clones alone have: the allocations in their livelists that no free makes up for."""
    name = "a destroyed clone"
    try:
        number = spa.directory.number(DELETED_CLONES, 0)
        lists = numbers(spa.mos, number, "the destroyed clones").values()
        for livelist in lists:
            for part in Deadlist(spa.mos, livelist).entries.values():
                for share in _shares(Bpobj(spa.mos, part)):
                    yield _waiting(name, _alive(share))
    except PoolError as error:
        unreadable(name, error)


def _shares(found: Bpobj) -> Iterator[BpArray]:
    """A livelist's entries in shares that fit into memory, all of one block in one share."""
    count = -(-sum(one.header.num_blkptrs for one in found.lists()) // SHARE)
    if count > SHARES_MAX:
        raise LimitError("a livelist is longer than any gets", object=found.number)
    for number in range(count):
        parts = []
        for batch in found.batches():
            mixed = (batch["dva"][:, 0, 1] + batch["dva"][:, 0, 0]) * _MIX >> np.uint64(32)
            parts.append(batch[mixed % np.uint64(count) == number] if count > 1 else batch)
        yield np.concatenate(parts)


def _alive(bps: BpArray) -> BpArray:
    """The allocations of a livelist, without one for each free of the same block."""
    freed = (bps["fill"] & FREED) != 0
    identity = np.stack([bps["dva"][:, 0, 0] & _VDEV, bps["dva"][:, 0, 1], blkptr.physical_birth(bps)], axis=1)
    _, block = np.unique(identity, axis=0, return_inverse=True)
    block = block.reshape(-1)
    frees = np.bincount(block[freed], minlength=int(block.max(initial=0)) + 1)
    rows = np.flatnonzero(~freed)
    order = rows[np.argsort(block[rows], kind="stable")]
    begins = np.concatenate(([True], block[order[1:]] != block[order[:-1]]))[: len(order)]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    return bps[np.sort(order[np.arange(len(order)) - first >= frees[block[order]]])]
