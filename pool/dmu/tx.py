"""Transactions in memory: every group of changes is made as a whole or not at all.

Changes to objects happen inside a transaction, and all of them belong to the open txg. Each change notes how it is
undone; an exception that leaves a transaction runs these notes backwards, so that nothing of it stays. Transactions
nest: an inner one that fails takes back its own changes only, and one that succeeds becomes part of the outer one.

Nobody but the thread that holds the lock changes anything, and no txg is closed while a transaction is open: so a
transaction is in one txg, and on disk wholly there or not at all.

Invariants: ``frames`` is empty exactly when no transaction is open; only the lock's holder touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..ondisk.blkptr import BpArray
    from .mutableobjset import MutableObjset

Undo = Callable[[], None]


class _Frame:
    """One open transaction: how to undo it, and what it has touched."""

    __slots__ = ("final", "touched", "undo")

    def __init__(self, *, final: bool) -> None:
        self.undo: list[Undo] = []
        self.touched: set[Hashable] = set()
        self.final = final  # nothing is noted: changes of a txg that is being written


class TxManager:
    """Transactions of one pool.

    Attributes:
        txg: the open txg, which all changes belong to.
        lock: held by whoever changes the pool.
        dirty: object sets changed in the open txg.
        dirty_bytes, dirty_blocks: of data waiting to be written; placed_bytes, placed_blocks: of data written at once
            that waits for its parents.
        discarded: pointers to blocks that were written in the open txg and are not needed any more.
    """

    def __init__(self, txg: int) -> None:
        self.txg = txg
        self.lock = RLock()
        self.dirty: dict[int, MutableObjset] = {}
        self.dirty_bytes = 0
        self.dirty_blocks = 0
        self.placed_bytes = 0
        self.placed_blocks = 0
        self.discarded: list[BpArray] = []
        self.admit: Callable[[int], None] = lambda _: None  # raises NoSpaceError when so much more will not fit
        self.freeing = 0  # depth of changes that give space back: they may use some of what is kept back
        self.before: Callable[[], None] = lambda: None  # run before an outermost transaction that may take space
        #: Object sets that the open outermost transaction has changed; they are told when it has ended well.
        self.touched: dict[int, MutableObjset] = {}
        self._frames: list[_Frame] = []
        self._holder = 0  # the thread that opened the outermost one
        self.broken = ""  # why nothing may be changed any more

    @property
    def active(self) -> bool:
        """The thread that asks has a transaction open."""
        return self._holder == get_ident() and bool(self._frames)

    @contextmanager
    def transaction(self) -> Iterator[TxManager]:
        """Changes made inside are made together or, if an exception leaves it, not at all.

        Raises:
            UsageError: the pool is suspended, because a txg could not be written.
        """
        with self.lock:
            self.check()
            if not self._frames:
                if not self.freeing:
                    self.before()
                self.touched = {}
                self._holder = get_ident()
            frame = _Frame(final=bool(self._frames) and self._frames[-1].final)
            self._frames.append(frame)
            try:
                yield self
            except BaseException:
                self._frames.pop()
                for undo in reversed(frame.undo):
                    undo()
                raise
            self._frames.pop()
            if self._frames:
                self._frames[-1].undo += frame.undo
            else:
                touched, self.touched = self.touched, {}
                for objset in touched.values():
                    objset.on_change(len(touched) > 1)

    def check(self) -> None:
        """Raises: UsageError: the pool is suspended, because a txg could not be written."""
        if self.broken:
            raise UsageError(f"the pool is suspended: {self.broken}", "close it and import it again")

    @contextmanager
    def giving_back(self) -> Iterator[TxManager]:
        """A transaction that gives space back in the end, and so may go on where others find the pool full."""
        with self.lock:
            self.freeing += 1
            try:
                with self.transaction():
                    yield self
            finally:
                self.freeing -= 1

    @contextmanager
    def syncing(self) -> Iterator[None]:
        """Changes that belong to writing a txg: they are not undone, since a failure there suspends the pool."""
        with self.lock:
            if self._frames:
                raise UsageError("a txg cannot be written inside a transaction")
            self._holder = get_ident()
            self._frames.append(_Frame(final=True))
            try:
                yield
            finally:
                self._frames.pop()

    @property
    def final(self) -> bool:
        """A txg is being written."""
        return bool(self._frames) and self._frames[-1].final

    def note(self, undo: Undo) -> None:
        """Remember how a change is undone.

        Raises:
            UsageError: outside of any transaction.
        """
        frame = self._frame
        if not frame.final:
            frame.undo.append(undo)

    def first(self, key: Hashable) -> bool:
        """Whether the innermost transaction touches something for the first time, and so must note its old state."""
        frame = self._frame
        if frame.final or key in frame.touched:
            return False
        frame.touched.add(key)
        return True

    def forget(self, key: Hashable) -> None:
        """The next touch counts as the first again."""
        self._frame.touched.discard(key)

    @property
    def _frame(self) -> _Frame:
        if not self._frames:
            raise UsageError("something is changed outside of any transaction", "use transaction()")
        return self._frames[-1]
