"""Questions to a process that has a pool open: how busy it is, how its txgs and its intent log go.

A pool that is open for writing belongs to one process. That process answers on a Unix socket in a folder only its
user can enter; the name of the socket is the pool's guid and the process's number. A question is one line of JSON,
``{"ask": "iostat"}``, and so is the answer: ``{"answer": ...}`` or ``{"error": "..."}``. Nothing can be changed this
way.

>>> with ControlServer(pool):                                            # doctest: +SKIP
...     ingest(pool)
>>> ask(pool.guid, "iostat")                                             # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import CorruptError, DeviceError, NotFoundError, PoolError, UsageError

if TYPE_CHECKING:
    from ..pool import Pool

#: A question may be so long, an answer so much longer.
QUESTION_MAX, ANSWER_MAX = 1 << 12, 64 << 20
#: Seconds that either side waits for the other.
PATIENCE = 10.0
_POLL = 0.2

Answers = Mapping[str, Callable[["Pool"], Any]]


def _iostat(pool: Pool) -> Any:
    return {"seconds": pool.tree.io.seconds, "vdevs": [one.to_json() for one in pool.iostat()]}


def _txgs(pool: Pool) -> Any:
    from ..poolwrite import WritablePool

    if not isinstance(pool, WritablePool):
        raise UsageError("the pool is open for reading only, and has no txgs")
    return {"txgs": [one.to_json() for one in pool.txg_history()], "zil": pool.zil_stats.facts()}


#: What can be asked of any pool.
ANSWERS: Answers = {"iostat": _iostat, "txgs": _txgs}


def control_folder() -> Path:
    """Where the sockets of this user's processes are: below XDG_RUNTIME_DIR, else below the folder for temporary files.

    Raises:
        UsageError: it belongs to somebody else, or others can enter it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "uberblock" if base else Path(tempfile.gettempdir()) / f"uberblock-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=bool(base), exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        advice = "set XDG_RUNTIME_DIR to a folder of yours"
        raise UsageError(f"no folder for control sockets: {error}", advice) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UsageError(f"{folder} is not a folder that only you can enter", "remove it, or set XDG_RUNTIME_DIR")
    return folder


class ControlServer:
    """Answers questions about an open pool while it is used in a ``with`` statement.

    Args:
        pool: open for as long as this is.
        answers: question -> what answers it, in a thread of the server.

    Raises:
        UsageError: there is no safe folder for the socket.
        DeviceError: the socket cannot be made.
    """

    def __init__(self, pool: Pool, answers: Answers = ANSWERS) -> None:
        self.pool = pool
        self.path = control_folder() / f"{pool.guid}-{os.getpid()}.sock"
        self._answers = answers
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.path.unlink(missing_ok=True)  # of a process of this number that is gone
            with _short(self.path) as place:
                self._socket.bind(place)
            self._socket.listen(8)
        except OSError as error:
            self._socket.close()
            raise DeviceError(f"no control socket can be made: {error}", path=str(self.path)) from error
        self._socket.settimeout(_POLL)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="control")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Answer nobody any more."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                peer, _ = self._socket.accept()
            except TimeoutError:
                continue
            with peer:
                # One after another: an answer takes milliseconds, and whoever is silent is left after a while.
                peer.settimeout(PATIENCE)
                try:
                    self._talk(peer)
                except OSError:
                    pass  # the other side went away or said nothing; the next one is served

    def _talk(self, peer: socket.socket) -> None:
        with peer.makefile("rb") as lines:
            line = lines.readline(QUESTION_MAX)
        peer.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            question = json.loads(line)
            name = question["ask"]
            answer = self._answers[name]
        except (ValueError, TypeError, KeyError):
            return {"error": f"no such question; there are: {', '.join(self._answers)}"}
        try:
            return {"answer": answer(self.pool)}
        except PoolError as error:
            return {"error": str(error)}


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name of a socket for the system, which takes no more than 107 bytes: through its folder, opened."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def ask(guid: int, question: str) -> Any:
    """Ask the process of this user that has a pool open.

    Raises:
        NotFoundError: no process that answers has it open.
        CorruptError: the answer makes no sense. PoolError: the other side says what is wrong.
    """
    for path in sorted(control_folder().glob(f"{guid}-*.sock")):
        answer = _ask_at(path, question)
        if answer is not None:
            break
    else:
        raise NotFoundError("no process that answers has this pool open", pool=guid)
    try:
        found = json.loads(answer)
        if "error" in found:
            raise PoolError(str(found["error"]))
        return found["answer"]
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptError("the process that has the pool open gave an answer that makes no sense") from error


def _ask_at(path: Path, question: str) -> bytes | None:
    """One line of answer; None: nobody is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(PATIENCE)
        try:
            with _short(path) as place:
                peer.connect(place)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its process was killed
            return None
        except FileNotFoundError:
            return None
        try:
            peer.sendall(json.dumps({"ask": question}).encode() + b"\n")
            with peer.makefile("rb") as lines:
                return lines.readline(ANSWER_MAX)
        except OSError as error:
            raise DeviceError(f"the process that has the pool open does not answer: {error}", path=str(path)) from error
