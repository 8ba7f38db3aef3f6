"""Cases of hostile pools: each is known by the pool it was made of, its kind, and a seed."""

from __future__ import annotations

import random
import resource
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exercise import Exercise
from forge import Forger, Source

from . import bombs, damage, labels, loops, sizes
from .damage import NothingToForgeError

Kind = Callable[[Forger, random.Random], None]

#: Bytes by which the process may grow while one pool is read.
MEMORY = 512 << 20
#: Address space that may be asked for on top, whether it is used or not.
ADDRESSES = 4 << 30

#: Small pools with different things in them, all of which ship.
POOLS = ("rewind", "names", "ganging", "dedup", "encrypted", "block-cloning", "algorithms", "version28", "dedup-legacy",
         "checkpoint", "removal", "classes", "damaged", "draid", "raidz-expansion")  # fmt: skip

KINDS: dict[str, Kind] = {**damage.KINDS, **loops.KINDS, **sizes.KINDS, **bombs.KINDS, **labels.KINDS}


def seed_of(pool: str, kind: str, case: int) -> int:
    return zlib.crc32(f"{pool}/{kind}/{case}".encode())


def run(source: Source, kind: str, seed: int) -> Exercise:
    """Forge one pool and read it; whatever goes wrong says how to repeat it."""
    rng = random.Random(seed)
    forger = Forger(source, overlay=rng.random() < 0.2)
    try:
        KINDS[kind](forger, rng)
        work = Exercise(forger.devices, rng, forger.touched, source.keys)
        with memory_bound():
            work.run()
        return work
    except NothingToForgeError:
        raise
    except BaseException as error:
        error.add_note(f"hostile {kind} on {source.images[0]}: repeat with UBERBLOCK_HOSTILE_SEED={seed}")
        raise
    finally:
        forger.close()


@contextmanager
def memory_bound() -> Iterator[None]:
    """Fail if the process grows by more than ``MEMORY`` meanwhile, at any time."""
    before = _status("VmRSS") if _reset_peak() else _peak()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # An allocation that is never touched does not show, but is not to be made either.
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + ADDRESSES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    grown = _peak() - before
    assert grown < MEMORY, f"grew by {grown >> 20} MiB"


def _reset_peak() -> bool:
    """Let the kernel forget how large the process has been; False where that cannot be done."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(name: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0]) << 10


def _peak() -> int:
    return _status("VmHWM")
