"""Callers who ask at the same time are served together: one flush for all of them.

Of those who ask one goes ahead and takes along what the others want; whoever comes meanwhile waits for the next round,
which one of them leads. So there is one round at a time, and the busier it is, the more callers share one.

Those who were served go on at the same moment, and the first to ask again would lead a round for itself alone, while
all others wait for the one after. So where a round takes long, its leader waits a little for as many as were there a
moment ago.

Source: OpenZFS, zil.c (``zil_commit``; ``zfs_commit_timeout_pct`` has the same purpose).
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from .stats import ZilStats

#: So much of the time that the last round's disk took its leader waits for others, but not if it is less, or for more:
#: seconds. A disk that answers in less than half a millisecond is faster than callers come back.
SHARE, LEAST, MOST = 0.5, 250e-6, 5e-3


class _Caller:
    """Somebody who waits.

    Attributes:
        number: the object asked for; None: everything.
        turn: held until there is something to know: the caller was served, or is to serve the others. None: it serves
            the others from the start.
    """

    __slots__ = ("done", "error", "number", "turn")

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.turn: Lock | None = None
        self.done = False
        self.error: BaseException | None = None

    def wait(self) -> None:
        """Until somebody lets it go."""
        if self.turn is not None:
            self.turn.acquire()

    def go(self) -> None:
        """Let it go."""
        if self.turn is not None and self.turn.locked():
            self.turn.release()


class Callers:
    """Those who want something to be durable.

    Args:
        serve: makes objects durable, all if None is among them; gives the seconds it waited for devices, 0 if there is
            nothing to be learned from this time.
        stats: counters of callers and rounds.
    """

    def __init__(self, serve: Callable[[set[int] | None], float], stats: ZilStats) -> None:
        self._serve = serve
        self._stats = stats
        self._guard = Lock()  # of all below
        self._busy = False
        self._waiting: list[_Caller] = []
        self._expected = 1  # callers of the next round
        self._pause = 0.0  # seconds to wait for them
        self._gathering: Lock | None = None  # held by a leader who waits

    def __len__(self) -> int:
        """How many wait for the next round."""
        return len(self._waiting)

    def ask(self, number: int | None) -> None:
        """Have an object (None: everything) made durable. Raises: what ``serve`` does."""
        caller = _Caller(number)
        with self._guard:
            self._waiting.append(caller)
            waits, self._busy = self._busy, True
            if waits:
                caller.turn = Lock()
                caller.turn.acquire()
                if self._gathering is not None and len(self._waiting) >= self._expected:
                    self._gathering.release()
                    self._gathering = None
        if waits:
            try:
                caller.wait()
            except BaseException:
                self._leave(caller)
                raise
        if not caller.done:
            self._lead(caller)
        if caller.error is not None:
            raise caller.error

    def _leave(self, caller: _Caller) -> None:
        """Somebody does not wait any longer; if it was to serve the others, the next one does."""
        with self._guard:
            if caller not in self._waiting:
                return
            self._waiting.remove(caller)
            if caller.turn is not None and not caller.turn.locked():
                self._busy = bool(self._waiting)
                for one in self._waiting[:1]:
                    one.go()

    def _lead(self, own: _Caller) -> None:
        """Serve all who wait by now, and let one of those who come meanwhile serve the next."""
        error: BaseException | None = None
        batch: list[_Caller] = []
        took = 0.0
        try:
            if self._pause >= LEAST:
                self._gather()
            with self._guard:
                batch, self._waiting = self._waiting, []
            numbers = {one.number for one in batch}
            took = self._serve(None if None in numbers else numbers)  # type: ignore[arg-type]
        except BaseException as caught:
            error = caught
        finally:
            with self._guard:
                if error is not None and not isinstance(error, Exception):
                    # A ^C is meant for this thread: the others are served by one of them.
                    self._waiting = [one for one in (*batch, *self._waiting) if one is not own]
                    batch = [own]
                self._stats.callers += len(batch)
                self._stats.commits += 1
                self._busy = bool(self._waiting)
                self._expected = len(batch) + len(self._waiting)
                if took:
                    self._pause = min(took * SHARE, MOST)
                for one in batch:
                    one.done, one.error = True, error
                for one in (*self._waiting[:1], *batch):
                    one.go()

    def _gather(self) -> None:
        """Wait until as many are there as are expected, or long enough."""
        with self._guard:
            if len(self._waiting) >= self._expected:
                return
            full = self._gathering = Lock()
            full.acquire()
        try:
            full.acquire(timeout=self._pause)
        finally:
            with self._guard:
                self._gathering = None
