"""A real process on a real pool, killed at random moments, again and again.

SIGKILL takes the process away between any two instructions; what it had handed to the kernel stays. So this shows what
a process that dies leaves behind: whether everything acknowledged is there, and whether recovery that is itself killed
begins again. Power cuts take more away: those are shown on simulated disks (``crash.py``, ``userwork.py``).
"""

from __future__ import annotations

import json
import random
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import PoolError
from ..poolcreate import create_pool, open_pool
from . import killwork
from .checker import examine
from .killed import READY
from .userwork import UserWorkload

POOL = "lab"
#: How often a process is killed before its pool is open: while logs are replayed.
EARLY = 0.2
#: Seconds after which a process that says nothing is given up.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class KillOptions:
    """How it is done.

    Attributes:
        rounds: processes. seed: of the moments.
        seconds: that a process works at most. txg_seconds: between txgs. cache: see ``cachemode``.
        whole: after each round, verify every block and account for all space.
    """

    rounds: int = 20
    seed: int = 1
    seconds: float = 1.0
    txg_seconds: float = 0.2
    cache: str = "writeback"
    whole: bool = False


@dataclass(slots=True)
class KillReport:
    """What became of it.

    Attributes:
        rounds: processes that ran. early: killed before their pool was open. ended: not killed, the work was done.
        acknowledged: promises. replayed: records of logs that were replayed. wrong: what was found, by round.
    """

    rounds: int = 0
    early: int = 0
    ended: int = 0
    acknowledged: int = 0
    replayed: int = 0
    wrong: list[str] = field(default_factory=list)


def prepare(words: Sequence[str], size: int, workload: UserWorkload) -> list[str]:
    """Make a pool on files, with what the workload's setup puts into it.

    Args:
        words: of ``zpool create``. size: of the files that are not there yet.

    Returns:
        the files of the pool.
    """
    with create_pool(POOL, list(words), size=size) as pool:
        workload.call("setup", fs=pool.fs(), pool=pool)
        return [leaf.path for leaf in pool.spa.tree.leaves if leaf.device is not None]


def default_workload() -> UserWorkload:
    """The one that needs no file."""
    return UserWorkload(Path(killwork.__file__))


def kill_rounds(
    workload: UserWorkload, places: Sequence[str], options: KillOptions, progress: Callable[[int], None] | None = None
) -> KillReport:
    """Run, kill, import, check, and again.

    Args:
        places: files of the pool, made by ``prepare``.
        progress: told of each round.
    """
    chance, report = random.Random(options.seed), KillReport()
    acknowledged: list[Any] = []
    for number in range(options.rounds):
        _round(workload, places, options, chance, acknowledged, report)
        report.rounds += 1
        report.acknowledged = len(acknowledged)
        found = _look(workload, places, options, chance, acknowledged, report)
        report.wrong += [f"round {number}: {line}" for line in found]
        if progress is not None:
            progress(1)
    return report


def _round(
    workload: UserWorkload,
    places: Sequence[str],
    options: KillOptions,
    chance: random.Random,
    acknowledged: list[Any],
    report: KillReport,
) -> None:
    """One process, from its beginning to its end."""
    words = [sys.executable, "-m", killed_name(), str(workload.path), str(options.txg_seconds), options.cache, *places]
    early, moment = chance.random() < EARLY, chance.random()
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    try:
        process.stdin.write(json.dumps(acknowledged).encode() + b"\n")
        process.stdin.close()
        said = bytearray()
        # Python takes some tenths of a second to start: most of that is before the pool is touched.
        until = time.monotonic() + (0.2 + 0.4 * moment if early else PATIENCE)
        if _listen(process, said, until, lambda: said.startswith(f'"{READY}"\n'.encode())) and not early:
            _listen(process, said, time.monotonic() + moment * options.seconds, lambda: False)
        ended = process.poll()
        process.send_signal(signal.SIGKILL)
        said += process.stdout.read()
        complaint = process.stderr.read().decode(errors="replace").strip()
    finally:
        process.kill()
        process.wait()
    lines = bytes(said).split(b"\n")[:-1]  # what comes after the last newline was not said
    report.early += not lines
    acknowledged += [json.loads(line)[0] for line in lines[1:]]
    if ended is not None:
        report.ended += 1
        if ended:
            last = complaint.splitlines()[-1] if complaint else f"status {ended}"
            report.wrong.append(f"round {report.rounds}: the process failed: {last}")


def killed_name() -> str:
    """The module that the process runs."""
    return f"{__package__}.killed"


def _listen(process: subprocess.Popen[bytes], said: bytearray, until: float, enough: Callable[[], bool]) -> bool:
    """Take what a process says, until it is enough; False: the time is over before, or the process ends."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not enough():
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                return False
            piece = process.stdout.read1(1 << 16)  # type: ignore[attr-defined]
            if not piece:
                return False
            said += piece
    return True


def _look(
    workload: UserWorkload,
    places: Sequence[str],
    options: KillOptions,
    chance: random.Random,
    acknowledged: Sequence[Any],
    report: KillReport,
) -> list[str]:
    """Import what is left, and check it."""
    # A process that dies between the two sides of a mirror leaves a log block on one of them. Nobody was told of it.
    halved = re.compile(r"damaged: .*:<intent log>")
    lines = [line for line in examine(list(places)).problems if not halved.fullmatch(line)] if options.whole else []
    try:
        pool = open_pool(None, list(places), txg_seconds=0, force=True)
    except PoolError as error:
        return [*lines, f"cannot be opened: {error}"]
    try:
        for note in pool.spa.notes:
            words = note.split()
            if words[0] == "replayed":
                report.replayed += int(words[1])
        complaint = workload.complaint(pool, acknowledged)
    finally:
        # Half of the time this one dies as well, and the next one recovers from that.
        if chance.random() < 0.5:
            pool.close()
        else:
            pool.abandon()
    return [*lines, complaint] if complaint else lines
