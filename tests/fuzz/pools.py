"""Long runs of forged pools: the cases of ``tests/hostile``, seed after seed, each pool in a process of its own.

A case that fails is told with its seed and does not end the run; one that takes the process down does not either.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from conftest import pool_kinds, unpack
from forge import Source
from hostile import cases

#: Cases of one kind that a process does before the next kind has its turn.
TURN = 10
#: A process is replaced after so many seconds.
LIFE = 120
STUCK = 300  # seconds after which a case that cannot even be interrupted is given up


class Tally:
    """What came of a run."""

    def __init__(self) -> None:
        self.cases = 0
        self.errors = 0
        self.seconds = 0.0
        self.slowest: list[tuple[float, str]] = []
        self.failures: dict[str, list[str]] = {}

    def add(self, result: dict[str, Any]) -> None:
        name = f"{result['pool']} {result['kind']} {result['seed']}"
        self.cases += 1
        self.seconds += result["seconds"]
        self.errors += result["errors"]
        self.slowest = sorted([*self.slowest, (result["seconds"], f"{name} {result['steps']}")])[-8:]
        if result["failure"]:
            self.fail(result["place"], name, result["failure"])

    def fail(self, place: str, name: str, text: str) -> None:
        if place not in self.failures:
            print(f"\n=== {name}\n{text}", flush=True)
        self.failures.setdefault(place, []).append(name)

    def report(self) -> None:
        each = self.seconds / max(1, self.cases)
        print(f"{self.cases} cases, {each:.2f} s each, {self.errors} errors, {len(self.failures)} kinds of failure")
        for seconds, name in reversed(self.slowest):
            print(f"  {seconds:6.2f} s  {name}")
        for place, names in self.failures.items():
            print(f"  FAILED {len(names)}x at {place}: {', '.join(names[:5])}")


def _one(source: Source, pool: str, kind: str, seed: int) -> dict[str, Any] | None:
    started = time.perf_counter()
    failure = place = steps = ""
    errors = 0
    try:
        work = cases.run(source, kind, seed)
        errors = len(work.errors)
        steps = " ".join(f"{n}:{s:.2f}" for n, s in sorted(work.seconds.items(), key=lambda item: -item[1])[:3])
    except cases.NothingToForgeError:
        return None
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/pool/" in f.filename]
        last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} {Path(last.filename).name}:{last.lineno} {last.name}"
        failure = "".join(traceback.format_exception(error, limit=-14))
    seconds = time.perf_counter() - started
    return {"pool": pool, "kind": kind, "seed": seed, "seconds": seconds, "errors": errors, "steps": steps,
            "failure": failure, "place": place}  # fmt: skip


def _child(out: TextIO, base: Path, pool: str, kinds: list[str], seeds: random.Random, until: float) -> None:
    golden = unpack(pool, base)
    source = Source(golden.images, golden.manifest.get("keys"))
    kinds = list(kinds)
    barren: dict[str, int] = {}  # cases of each kind that could not be made, while none could
    while kinds and time.monotonic() < until:
        for kind in list(kinds):
            for _ in range(TURN):
                seed = seeds.randrange(1 << 32)
                print(json.dumps({"begin": f"{pool} {kind} {seed}"}), file=out, flush=True)
                faulthandler.dump_traceback_later(STUCK, exit=True)
                result = _one(source, pool, kind, seed)
                faulthandler.cancel_dump_traceback_later()
                if result is None:
                    barren[kind] = barren.get(kind, 0) + 1
                    if barren[kind] == TURN:
                        kinds.remove(kind)
                        break
                    continue
                barren[kind] = -(1 << 30)
                print(json.dumps(result), file=out, flush=True)
                if time.monotonic() >= until:
                    return


def _process(tally: Tally, base: Path, pool: str, kinds: list[str], seeds: random.Random, until: float) -> None:
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                _child(out, base, pool, kinds, seeds, min(until, time.monotonic() + LIFE))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    begun = ""
    with os.fdopen(reader) as stream:
        for line in stream:
            result = json.loads(line)
            if "begin" in result:
                begun = result["begin"]
            else:
                tally.add(result)
    _, status = os.waitpid(child, 0)
    if status:
        tally.fail(f"process status {status}", begun, "the process ended")


def main(argv: list[str]) -> int:
    """``python -m tests.fuzz pools``; gives the exit status: 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz pools", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on (default 60)")
    parser.add_argument("--pool", action="append", help="a pool of the collection (repeatable; default: several)")
    parser.add_argument("--kind", action="append", choices=sorted(cases.KINDS), help="what is forged (repeatable)")
    parser.add_argument("--seed", type=int, help="of the run; default: another one each time")
    parser.add_argument("--only", type=int, help="do one case, by its seed")
    args = parser.parse_args(argv)
    pools = args.pool or [kind for kind in cases.POOLS if kind in pool_kinds()]
    kinds = args.kind or list(cases.KINDS)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        if args.only is not None:
            golden = unpack(pools[0], Path(folder))
            result = _one(Source(golden.images, golden.manifest.get("keys")), pools[0], kinds[0], args.only)
            if result is not None:
                tally.add(result)
            tally.report()
            return 1 if tally.failures else 0
        seeds = random.Random(args.seed)
        until = time.monotonic() + args.seconds
        while time.monotonic() < until:
            for pool in pools:
                _process(tally, Path(folder), pool, kinds, random.Random(seeds.randrange(1 << 62)), until)
    tally.report()
    return 1 if tally.failures else 0
