"""Questions to a process that has a pool open."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.errors import CorruptError, NotFoundError, PoolError, UsageError
from uberblock.pool.serve.control import ControlServer, _short, ask, control_folder


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    deep = tmp_path / ("long" * 20) / ("names" * 20)  # longer than the system takes the name of a socket
    deep.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    return deep


class FakePool:
    """A pool as far as a server knows it."""

    guid = 77


def fail(pool: Any) -> Any:
    raise UsageError("not now", "later")


def serve(**answers: Any) -> ControlServer:
    return ControlServer(FakePool(), answers)  # type: ignore[arg-type]


def test_questions_and_answers() -> None:
    with serve(guid=lambda pool: pool.guid, fail=fail) as server:
        assert server.path.stat().st_mode & 0o777 and server.path.parent.stat().st_mode & 0o077 == 0
        assert [ask(77, "guid") for _ in range(3)] == [77] * 3
        with pytest.raises(PoolError, match="not now"):
            ask(77, "fail")
        with pytest.raises(PoolError, match="no such question; there are: guid, fail"):
            ask(77, "something")
    assert not server.path.exists()
    with pytest.raises(NotFoundError):
        ask(77, "guid")


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{}\n", b'{"ask": 1}\n', b"\xff\n", b"x" * 10_000])
def test_nonsense_is_answered(line: bytes) -> None:
    with serve() as server, socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        with _short(server.path) as place:
            peer.connect(place)
        peer.sendall(line)
        peer.shutdown(socket.SHUT_WR)
        try:
            assert peer.makefile("rb").readline().startswith(b'{"error": "no such question')
        except ConnectionResetError:
            assert len(line) == 10_000  # the rest of the line was never read
        with pytest.raises(PoolError, match="no such question"):
            ask(77, "x")


def test_a_process_that_was_killed(runtime: Path) -> None:
    """Its socket is there and nobody answers: it is cleared away, and the next one is asked."""
    stale = control_folder() / "77-1.sock"
    with socket.socket(socket.AF_UNIX) as dead, _short(stale) as place:
        dead.bind(place)
    with pytest.raises(NotFoundError):
        ask(77, "guid")
    assert not stale.exists()


def test_an_answer_that_makes_no_sense() -> None:
    path = control_folder() / f"77-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as liar:
        with _short(path) as place:
            liar.bind(place)
        liar.listen()
        def lie() -> None:
            peer, _ = liar.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"[1]\n")

        thread = threading.Thread(target=lie)
        thread.start()
        with pytest.raises(CorruptError):
            ask(77, "guid")
        thread.join()


def test_folders_that_others_can_enter(runtime: Path) -> None:
    (runtime / "uberblock").mkdir(mode=0o755)
    (runtime / "uberblock").chmod(0o755)
    with pytest.raises(UsageError, match="only you can enter"):
        serve()
