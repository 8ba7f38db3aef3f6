"""The intent logs of a pool that is opened for writing: which there are, claiming them, and giving them up.

Claiming comes before anything else is allocated. Logs of datasets that can be changed here are kept by a ``Recovery``
until they are replayed. Those of encrypted datasets are claimed and wait for their keys: only the header in the root
of the object set changes, which no key protects.

Source: OpenZFS, spa.c (``spa_ld_claim_log_blocks``), zil.c (``zil_claim``), dmu_objset.c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from ..dmu.mutableobjset import Killed, MutableObjset
from ..dsl.writable import WritableDataset
from ..errors import UnsupportedError
from ..ondisk import blkptr, bpmake, objset, zil
from ..ondisk.blkptr import BLKPTR, BpArray
from ..ondisk.dmutypes import ObjectType
from ..zil.claim import NO_LOG, ClaimedLog, claim, durable_blocks, newest_birth
from ..zil.recovery import SAXATTR, Recovery
from ..zio.writer import WritePolicy
from .datasets import open_dataset

if TYPE_CHECKING:
    from ..dsl.dataset import DslDataset
    from ..ondisk.zil import ZilHeader
    from .engine import Engine
    from .spa import Spa

_CRYPT = np.uint64(1 << 61)


@dataclass(slots=True)
class WaitingLog:
    """A dataset with a log that nobody has replayed."""

    head: DslDataset
    header: ZilHeader
    recovery: Recovery | None = None


def waiting_logs(spa: Spa) -> list[WaitingLog]:
    """The logs that there are.

    Raises:
        CorruptError and others: the root of a dataset cannot be read.
    """
    heads = [head for head in spa.dsl.heads() if not head.is_empty]
    if not heads:
        return []
    found = []
    for head in heads:
        data = spa.zio.read_one(head.bp[0], raw=True, what=f"object set of {head.name}")
        order = "<" if bool(blkptr.is_little(head.bp)[0]) else ">"
        raw = data[objset.ZIL_HEADER_AT : objset.ZIL_HEADER_AT + objset.ZIL_HEADER_SIZE]
        header = zil.decode_header(raw, order)
        if not bool(blkptr.is_hole(header.log)):
            found.append(WaitingLog(head, header))
    return found


def txg_after(spa: Spa, logs: Sequence[WaitingLog]) -> int:
    """The first txg that may be written: after all that were, and after those that blocks of logs were born in."""
    first = spa.uberblock.txg + 1
    births = [newest_birth(spa.zio, log.header, log.header.claim_txg or first) for log in logs]
    return max([spa.newest_txg, *births]) + 1


class Logs:
    """What is done about the logs of a pool in its first txg.

    Args:
        spa, engine: the pool. logs: those that wait.
        discard: give them up.

    Attributes:
        waiting: logs that are to be replayed. notes: what went otherwise than it should.
    """

    def __init__(self, spa: Spa, engine: Engine, logs: Sequence[WaitingLog], *, discard: bool = False) -> None:
        self.spa = spa
        self.engine = engine
        self.waiting: list[WaitingLog] = []
        self.notes: list[str] = []
        self._sealed: list[WritableDataset] = []
        self._drop: list[BpArray] = []
        first = spa.uberblock.txg + 1
        for log in logs:
            gone = discard or spa.uberblock.txg < spa.newest_txg
            if gone:
                self._discard(log, "was given up" if discard else "does not belong to this older state of the pool")
            else:
                self._claim(log, first)

    def _claim(self, log: WaitingLog, first: int) -> None:
        allocator, txg = self.engine.allocator, self.engine.tx.txg
        claimed = claim(
            self.spa.zio, log.header, first, lambda vdevs, offsets, asizes: allocator.claim(
                vdevs, offsets, asizes, txg=txg
            )
        )  # fmt: skip
        if claimed.cut:
            self.notes.append(f"the intent log of {log.head.name} ends early: {claimed.cut}")
        lost = _on_missing(self.spa, claimed)
        if lost:
            self.notes.append(
                f"the intent log of {log.head.name} goes on on {lost}, which is missing: what was acknowledged after"
                f" txg {self.spa.uberblock.txg} may be lost"
            )
        if log.head.encrypted:
            if claimed.header != log.header:
                self._seal(log.head, claimed.header)
            if claimed.replayable:
                self.notes.append(
                    f"the intent log of {log.head.name} waits for its key: encrypted datasets are not written here,"
                    f" and it stays as it is ({claimed.records} records)"
                )
            return
        try:
            dataset = open_dataset(self.engine, log.head)
        except UnsupportedError:
            if claimed.replayable or int(log.header.log["birth"]) >= first:
                raise
            return  # an empty log of a dataset that is not written here, of an exported pool: it stays as it is
        log.recovery = Recovery(dataset, claimed)
        self.waiting.append(log)

    def _discard(self, log: WaitingLog, why: str) -> None:
        bps = durable_blocks(self.spa.zio, log.header, self.spa.uberblock.txg)
        self.notes.append(f"the intent log of {log.head.name} {why}: what it promised after this txg is lost")
        if log.head.encrypted:
            self._seal(log.head, NO_LOG)
        else:
            dataset = open_dataset(self.engine, log.head)
            header = zil.encode_header(NO_LOG)
            dataset.objset.log_header = lambda txg: header
            dataset.objset.touch()
            dataset.uses(SAXATTR, False)
        self._drop.append(bps)

    def _seal(self, head: DslDataset, header: ZilHeader) -> None:
        root = SealedObjset(self.engine, head, header)
        self._sealed.append(WritableDataset(self.engine.mos, head.obj, cast(MutableObjset, root), self.engine.features))

    def first_txg(self) -> None:
        """In the first txg, while it is written: headers of encrypted datasets, and blocks of logs given up."""
        for dataset in self._sealed:
            dataset.sync()
        for bps in self._drop:
            self.engine.writer.free(bps, self.engine.tx.txg)
        self._sealed, self._drop = [], []

    @property
    def anything(self) -> bool:
        """``first_txg`` has something to do."""
        return bool(self._sealed or self._drop)


class SealedObjset:
    """The root of an encrypted object set, of which only the header of the log is changed. No key is needed.

    Args:
        head: the dataset. header: the log's new header.
    """

    large_dnodes = False

    def __init__(self, engine: Engine, head: DslDataset, header: ZilHeader) -> None:
        self.engine = engine
        self.name = head.name
        self.bp = head.bp
        self.header = header
        self.writer = engine.writer
        self.dsize = engine.mos.dsize
        self.on_born: Callable[[BpArray], None] = lambda bps: None
        self.on_kill: Killed = lambda bps, again: None

    def sync(self) -> BpArray:
        """Write the root anew; gives its pointer."""
        old, txg = self.bp[:1], self.engine.tx.txg
        order = "<" if bool(blkptr.is_little(old)[0]) else ">"
        if order != "<":
            raise UnsupportedError("the root of a big-endian object set is not written", dataset=self.name)
        data = bytearray(self.engine.zio.read_one(old[0], raw=True, what=f"object set of {self.name}"))
        at = objset.ZIL_HEADER_AT
        data[at : at + objset.ZIL_HEADER_SIZE] = zil.encode_header(self.header)
        policy = WritePolicy(
            type=ObjectType.OBJSET,
            checksum=int(blkptr.checksum(old)[0]),
            compress=int(blkptr.compression(old)[0]),
            copies=int((blkptr.dva_asize(old)[0] != 0).sum()),
        )
        new = self.writer.write([data], policy, txg, lsize=len(data), fill=old["fill"])
        new["prop"] |= old["prop"] & _CRYPT
        self.on_born(new)
        self.on_kill(old, None)
        self.bp = new
        root: BpArray = new[0]
        return root


def _on_missing(spa: Spa, claimed: ClaimedLog) -> str:
    """The name of a vdev that is not there, and that a log has blocks on."""
    for bp in claimed.everything:
        for vdev, _, asize in bpmake.places(np.array([bp], dtype=BLKPTR)).reshape(-1, 3).tolist():
            if asize and vdev < len(spa.tree.tops) and not spa.tree.tops[vdev].readable:
                return spa.tree.tops[vdev].name
    return ""

