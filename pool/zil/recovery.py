"""A claimed log on its way out: how far it has been replayed, and when it goes, in step with the txgs that say so.

The header that goes to disk with a txg names the last record whose effects are part of that txg. So whichever txg a
crash leaves, the records that are not in it, and only these, are replayed again.

Source: OpenZFS, zil.c (``zil_replay``, ``zil_destroy``, ``zil_sync``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from ..dmu.tx import TxManager
from ..dsl.writable import WritableDataset
from ..errors import CorruptError, PoolError, UnsupportedError
from ..ondisk.zil import encode_header
from ..ondisk.zilrecord import Record
from . import chain
from .claim import NO_LOG, ClaimedLog

#: Feature of logs with records of packed extended attributes; a dataset uses it as long as it has a log.
SAXATTR = "zilsaxattr"


class Target(Protocol):
    """What records are applied to."""

    def note(self, record: Record) -> None:
        """Told of every record of the log, also of those that were replayed before."""

    def apply(self, record: Record) -> None:
        """Do what a record says, in a transaction. Raises: PoolError."""

    def finish(self) -> None:
        """All records have been applied; in a transaction."""


class Recovery:
    """The claimed log of one dataset.

    Args:
        dataset: whose header it keeps from now on. claimed: the log.

    Attributes:
        replayed: records applied by this program.
    """

    def __init__(self, dataset: WritableDataset, claimed: ClaimedLog) -> None:
        self.dataset = dataset
        self.claimed = claimed
        self.replayed = 0
        self._reached = {0: claimed.header.replay_seq}  # by txg
        self._over: int | None = None
        dataset.objset.log_header = self._header
        dataset.objset.touch()

    @property
    def tx(self) -> TxManager:
        """The pool's transactions."""
        return self.dataset.objset.tx

    def reached(self, seq: int) -> None:
        """A record was applied in this transaction."""
        txg, before = self.tx.txg, self._reached.get(self.tx.txg)
        self._reached[txg] = seq
        self.dataset.objset.touch()

        def undo() -> None:
            if before is None:
                self._reached.pop(txg, None)
            else:
                self._reached[txg] = before

        self.tx.note(undo)

    def over(self) -> None:
        """The log is not needed any more: it goes with this transaction."""
        self._over = self.tx.txg
        self.dataset.objset.touch()

        def undo() -> None:
            self._over = None

        self.tx.note(undo)

    def _header(self, txg: int) -> bytes:
        """The header that belongs to a txg that is being written."""
        objset = self.dataset.objset
        if self._over is None or self._over > txg:
            seq = max(seq for reached, seq in self._reached.items() if reached <= txg)
            return encode_header(replace(self.claimed.header, replay_seq=seq))
        objset.writer.free(self.claimed.everything, txg)
        self.dataset.uses(SAXATTR, False)
        done = encode_header(NO_LOG)
        objset.log_header = lambda later: done
        return done

    def run(self, target: Target, *, relieve: Callable[[], None], sync: Callable[[], object]) -> None:
        """Replay all records that are not on disk yet, each in a transaction of its own, and let go of the log.

        Args:
            target: what they are applied to.
            relieve: called between records: a txg may be written when enough waits.
            sync: writes a txg. A record that cannot be applied is tried again after that, since objects that were
                freed give their numbers back only then.

        Raises:
            CorruptError: a record cannot be applied. The log stays, and with it all that follows.
            UnsupportedError: one that would have to be tried again in a log that cannot be replayed in several txgs.
        """
        claimed, objset = self.claimed, self.dataset.objset
        if claimed.replayable:
            for record in chain.read_chain(objset.zio, claimed.header, objset.keys):
                target.note(record)
                if record.seq <= claimed.header.replay_seq or record.txg < claimed.header.claim_txg:
                    continue
                self._one(target, record, sync)
                self.replayed += 1
                if not claimed.clones:
                    # Blocks that are cloned from may be freed by another record, and are there only in this txg.
                    relieve()
        with self.tx.transaction():
            target.finish()
            self.over()

    def _one(self, target: Target, record: Record, sync: Callable[[], object]) -> None:
        try:
            self._apply(target, record)
            return
        except PoolError as error:
            if self.tx.broken:
                raise
            if self.claimed.clones:
                raise UnsupportedError(
                    "an intent log with cloned blocks that cannot be replayed in one txg", "open the pool read-only",
                    dataset=objset_name(self), record=record.name_of_type, reason=error.what,
                ) from error  # fmt: skip
        sync()
        try:
            self._apply(target, record)
        except PoolError as error:
            if self.tx.broken:
                raise
            raise CorruptError(
                f"record {record.seq} ({record.name_of_type}) of the intent log of {objset_name(self)} cannot be"
                f" replayed: {error.what}",
                "open the pool read-only; or give up this record and all that follow: discard_logs=True",
                txg=record.txg,
            ) from error

    def _apply(self, target: Target, record: Record) -> None:
        with self.tx.transaction():
            target.apply(record)
            self.reached(record.seq)


def objset_name(recovery: Recovery) -> str:
    """Of the dataset."""
    return recovery.dataset.objset.name
