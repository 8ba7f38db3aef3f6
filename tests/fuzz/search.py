"""Feeding one target for a while: with atheris (libFuzzer for Python) where it is installed, else by plain mutation."""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

KEPT = 2000  # inputs that are mutated further
SLOW = 2.0  # seconds one input may take


def with_atheris(name: str, seconds: int, seed: int, keep: Path) -> None:
    """Search with atheris; does not come back: the process ends with status 0, or another one if something failed."""
    import atheris

    with atheris.instrument_imports(include=["uberblock"]):
        from fuzz.targets import TARGETS
    target = TARGETS[name]
    keep.mkdir(parents=True, exist_ok=True)
    corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, data in enumerate(target.seeds()):
        (corpus / f"seed{number}").write_bytes(data)
    options = [
        f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={target.longest}", "-timeout=25",
        f"-artifact_prefix={keep}/{name}-", "-rss_limit_mb=2048", "-print_final_stats=1",
    ]  # fmt: skip

    def feed(data: bytes) -> None:
        target.run(data)

    atheris.Setup(["fuzz", str(corpus), *options], feed)
    atheris.Fuzz()


class Failure(Exception):
    """An input that a target does not bear."""

    def __init__(self, name: str, data: bytes, cause: BaseException) -> None:
        super().__init__(f"{name} on {data.hex()}: {type(cause).__name__}: {cause}")
        self.data = data


def by_mutation(
    target: Any, *, seed: int, seconds: float = 0.0, runs: int = 0, told: Callable[[str], None] | None = None
) -> int:
    """Search by mutating what the target understands; gives how many inputs were tried.

    Raises:
        Failure: something else than an error of the package came out, or it took too long.
    """
    rng = random.Random(f"{target.name}/{seed}")
    seeds = target.seeds()
    for data in seeds:
        _feed(target, data)
    kept = list(seeds)
    until = time.monotonic() + seconds
    done = understood = 0
    while done < runs or (not runs and time.monotonic() < until):
        # What is left over after many mutations is mostly what little can be said about.
        data = mutate(rng, seeds if rng.random() < 0.5 else kept, target.longest)
        done += 1
        if _feed(target, data):
            understood += 1
            if len(kept) < KEPT:
                kept.append(data)
            else:
                kept[rng.randrange(len(kept))] = data
    if told is not None:
        told(f"{target.name}: {done} inputs, {understood} of them understood")
    return done


def _feed(target: Any, data: bytes) -> bool:
    started = time.perf_counter()
    try:
        result: bool = target.run(data)
    except Exception as error:  # whatever it is, the input is what matters
        raise Failure(target.name, data, error) from error
    if time.perf_counter() - started > SLOW:
        raise Failure(target.name, data, TimeoutError(f"more than {SLOW} seconds"))
    return result


def mutate(rng: random.Random, kept: list[bytes], longest: int) -> bytes:
    """Another input: a kept one spoiled, cut, lengthened, or joined with another."""
    from hostile.damage import spoil

    if rng.random() < 0.05:
        return rng.randbytes(rng.randrange(64))
    data = bytearray(rng.choice(kept) or b"\0")
    kind = rng.randrange(6)
    if kind == 0:
        del data[rng.randrange(len(data) + 1) :]
    elif kind == 1:
        data += rng.choice(kept)[rng.randrange(64) :]
    elif kind == 2:
        at = rng.randrange(len(data) + 1)
        data[at:at] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8)))
    else:
        spoil(rng)(data)
    if data and rng.random() < 0.2:
        data[0] = rng.randrange(256)
    return bytes(data[:longest])


def one(name: str, seconds: float, seed: int, keep: Path, *, plain: bool = False) -> int:
    """Search one target; gives the exit status."""
    if not plain:
        try:
            import atheris  # noqa: F401
        except ImportError:
            print(f"{name}: atheris is not installed; plain random mutation instead", file=sys.stderr)
        else:
            with_atheris(name, max(1, int(seconds)), seed, keep)
    from fuzz.targets import TARGETS

    try:
        by_mutation(TARGETS[name], seconds=seconds, seed=seed, told=print)
    except Failure as failure:
        traceback.print_exception(failure)
        keep.mkdir(parents=True, exist_ok=True)
        place = keep / f"{name}-{hashlib.sha256(failure.data).hexdigest()[:12]}"
        place.write_bytes(failure.data)
        print(f"the input is in {place}")
        return 1
    return 0


def replay(name: str, paths: Iterable[Path]) -> None:
    """Feed a target with what is in files."""
    from fuzz.targets import TARGETS

    for path in paths:
        print(path, "understood" if TARGETS[name].run(path.read_bytes()) else "refused")
