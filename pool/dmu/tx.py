"""Transactions in memory: every group of changes is made as a whole or not at all.

Changes to objects happen inside a transaction, and all of them belong to the open txg. Each change notes how it is
undone; an exception that leaves a transaction runs these notes backwards, so that nothing of it stays. Transactions
nest: an inner one that fails takes back its own changes only, and one that succeeds becomes part of the outer one.

Nobody but the thread that holds the lock changes anything, and no txg is closed while a transaction is open: so a
transaction is in one txg, and on disk wholly there or not at all.

While a closed txg is written, the next one is open. The thread that writes it does not hold the lock, and what it
changes (the MOS, dnode blocks, tables of owners) belongs to its txg: ``txg``, ``final`` and ``transaction`` answer each
thread for itself. What both could change, the MOS above all, others change only in an ``exclusive`` transaction: no
txg is being written then, and none begins. That thread never asks for the lock, so one that has it may wait for it.

Invariants: ``frames`` is empty exactly when no transaction is open; only the lock's holder touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Condition, RLock, get_ident
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..ondisk.blkptr import BpArray
    from .mutableobjset import MutableObjset

Undo = Callable[[], None]


class _Frame:
    """One open transaction: how to undo it, and what it has touched."""

    __slots__ = ("touched", "undo")

    def __init__(self) -> None:
        self.undo: list[Undo] = []
        self.touched: set[Hashable] = set()


@dataclass(slots=True)
class Waiting:
    """What the changes of a txg amount to.

    ``dirty_bytes``, ``dirty_blocks``: of data waiting to be written; ``placed_bytes``, ``placed_blocks``: of data
    written at once that waits for its parents, and ``placed_room``: what it takes on the vdevs. ``logged_room``: what
    intent logs have taken on them, devices for logs aside.
    """

    dirty_bytes: int = 0
    dirty_blocks: int = 0
    placed_bytes: int = 0
    placed_blocks: int = 0
    placed_room: int = 0
    logged_room: int = 0

    @property
    def bytes(self) -> int:
        """Of all data."""
        return self.dirty_bytes + self.placed_bytes


class _Transaction:
    """See ``TxManager.transaction``. A class, since this is entered for every small change."""

    __slots__ = ("final", "tx")

    def __init__(self, tx: TxManager) -> None:
        self.tx = tx
        self.final = False

    def __enter__(self) -> TxManager:
        tx = self.tx
        if tx._writer and tx.final:
            self.final = True
            return tx
        tx.lock.acquire()
        try:
            tx.check()
            if not tx._frames:
                if not tx.freeing:
                    tx.before()
                tx.touched = {}
                tx._holder = get_ident()
            tx._frames.append(_Frame())
        except BaseException:
            tx.lock.release()
            raise
        return tx

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if self.final:
            return
        tx = self.tx
        try:
            frames = tx._frames
            frame = frames.pop()
            if kind is not None:
                tx._take_back(frame.undo)
            elif frames:
                frames[-1].undo += frame.undo
            else:
                touched, tx.touched = tx.touched, {}
                for objset in touched.values():
                    objset.on_change(len(touched) > 1)
        finally:
            tx.lock.release()


class TxManager:
    """Transactions of one pool.

    Attributes:
        open_txg: the txg that takes changes.
        lock: held by whoever changes the pool.
        names: held, after ``lock``, by whoever changes the MOS between txgs, and by whoever looks up a dataset there.
        dirty: object sets changed in the open txg.
        waiting: what that amounts to; closed: the same of the txg that is being written.
        discarded: pointers to blocks that were written in the open txg and are not needed any more.
    """

    def __init__(self, txg: int) -> None:
        self.open_txg = txg
        self.lock = RLock()
        self.names = RLock()
        self.dirty: dict[int, MutableObjset] = {}
        self.waiting = Waiting()
        self.closed = Waiting()
        self.discarded: list[BpArray] = []
        self.admit: Callable[[int], None] = lambda _: None  # raises NoSpaceError when so much more will not fit
        self.freeing = 0  # depth of changes that give space back: they may use some of what is kept back
        self.before: Callable[[], None] = lambda: None  # run before an outermost transaction that may take space
        self.write: Callable[[], object] = lambda: None  # has the open txg written
        #: Object sets that the open outermost transaction has changed; they are told when it has ended well.
        self.touched: dict[int, MutableObjset] = {}
        self._frames: list[_Frame] = []
        self._holder = 0  # the thread that opened the outermost one
        self._writer = 0  # the thread that writes a txg ...
        self._written = 0  # ... and which
        self._turn = Condition()  # of these two
        self.broken = ""  # why nothing may be changed any more

    @property
    def txg(self) -> int:
        """The txg that changes of the thread that asks belong to."""
        return self._written if self.final else self.open_txg

    @property
    def final(self) -> bool:
        """The thread that asks is writing a txg."""
        return bool(self._writer) and self._writer == get_ident()

    @property
    def active(self) -> bool:
        """The thread that asks has a transaction open, or is writing a txg."""
        return bool(self._frames and self._holder == get_ident()) or self.final

    def transaction(self) -> AbstractContextManager[TxManager]:
        """Changes made inside are made together or, if an exception leaves it, not at all.

        Raises:
            UsageError: the pool is suspended, because a txg could not be written.
        """
        return _Transaction(self)

    def steady(self) -> AbstractContextManager[object]:
        """Nobody else changes anything inside: for what can only be read when no change of it is half made."""
        return nullcontext() if self.final else self.lock

    def check(self) -> None:
        """Raises: UsageError: the pool is suspended, because a txg could not be written."""
        if self.broken:
            raise UsageError(f"the pool is suspended: {self.broken}", "close it and import it again")

    @contextmanager
    def exclusive(self) -> Iterator[TxManager]:
        """A transaction while no txg is being written: for changes of what both could change, the MOS above all.

        Raises: as ``transaction``.
        """
        with self.lock:
            self.wait()
            with self.names, self.transaction():
                yield self

    @contextmanager
    def giving_back(self, *, exclusive: bool = False) -> Iterator[TxManager]:
        """A transaction that gives space back in the end, and so may go on where others find the pool full."""
        with self.lock:
            self.freeing += 1
            try:
                with self.exclusive() if exclusive else self.transaction():
                    yield self
            finally:
                self.freeing -= 1

    # --- txgs -------------------------------------------------------------------------------------------------------

    @property
    def writing(self) -> bool:
        """A txg is being written, by whatever thread."""
        return bool(self._writer)

    def wait(self) -> None:
        """Wait until no txg is being written; with the lock held none begins after that."""
        if self._writer and not self.final:
            with self._turn:
                self._turn.wait_for(lambda: not self._writer)

    def close(self) -> int:
        """Close the open txg, for the thread that asks to write it, and open the next; gives its number.

        The lock must be held, no transaction open, and no txg be written. ``written`` follows in any case.
        """
        if self._frames or self._writer:
            raise UsageError("a txg cannot be closed inside a transaction, or while one is written")
        self._written, self._writer = self.open_txg, get_ident()
        self.closed, self.waiting = self.waiting, Waiting()
        self.dirty.clear()
        self.open_txg += 1
        return self._written

    def written(self) -> None:
        """The txg is on disk, or the pool is suspended."""
        with self._turn:
            self.closed = Waiting()
            self._writer = 0
            self._turn.notify_all()

    def _take_back(self, notes: list[Undo]) -> None:
        """Run notes backwards. Where that is cut short something is half changed: none of it may get to disk."""
        done = False
        try:
            for undo in reversed(notes):
                undo()
            done = True
        finally:
            if not done:
                self.broken = self.broken or "a change could not be taken back"

    # --- changes ----------------------------------------------------------------------------------------------------

    def note(self, undo: Undo) -> None:
        """Remember how a change is undone.

        Raises:
            UsageError: outside of any transaction.
        """
        if not (self._writer and self.final):
            self._frame.undo.append(undo)

    def first(self, key: Hashable) -> bool:
        """Whether the innermost transaction touches something for the first time, and so must note its old state."""
        if self._writer and self.final:
            return False
        touched = self._frame.touched
        before = len(touched)
        touched.add(key)
        return len(touched) != before

    def forget(self, key: Hashable) -> None:
        """The next touch counts as the first again."""
        if not self.final:
            self._frame.touched.discard(key)

    @property
    def _frame(self) -> _Frame:
        if not self._frames:
            raise UsageError("something is changed outside of any transaction", "use transaction()")
        return self._frames[-1]
