"""Intent logs written here, replayed by the kernel's own OpenZFS in a virtual machine. Outside of CI.

    python -m tests.kernelrun.logs --vm COMMAND [--layouts NAME,...] [--seeds 1,2] [--work DIR]

For each layout and seed a pool is made on files and changed at random, with requests to make things durable in between;
then it is let go of as in a crash. The kernel imports it, mounts every file system, which replays its log, and opens
every volume. What it finds has to be what the last requests promised: every name, attribute and byte. Then it scrubs.
COMMAND: as for ``tests.kernelrun``. Exit status 1: something is wrong; those pools are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from uberblock.pool.lab.layouts import LAYOUTS
from uberblock.pool.lab.model import Content
from uberblock.pool.lab.steps import Workload
from uberblock.pool.poolcreate import create_pool

POOL = "lab"
BEFORE, AFTER = 60, 120  # steps before the logs begin, and while they are written
SCRIPT = """\
set -e
zpool import -f -d /disk -N lab
zvol-links
sleep 1
python3 /in/loglook.py /out/found.json
zpool scrub -w lab
zpool status -v lab > /out/status
zpool export lab
"""


class Asking(Workload):
    """Steps in a pool whose datasets stay as they are once the logs have begun."""

    begun = False

    def _dataset(self) -> None:
        if not self.begun:
            super()._dataset()

    def ask(self) -> None:
        """Make everything durable by way of the logs."""
        for name in self.models:
            self.pool.fs(name).syncfs()
        for name in self.volumes:
            self.pool.volume(name).fsync()  # type: ignore[attr-defined]


def make(layout: str, seed: int, folder: Path) -> dict[str, Any]:
    """A crashed pool in a folder; gives what has to be found, by dataset and path."""
    words, number = [], 0
    for word in LAYOUTS[layout].split():
        words.append(str(folder / f"d{number}.img") if word == "." else word)
        number += word == "."
    pool = create_pool(POOL, words, size=96 << 20, ashift=12, txg_seconds=0)
    chance = random.Random(seed)
    work = Asking(pool, chance, lambda line: None)
    for _ in range(BEFORE):
        work.step()
    pool.sync()
    work.ask()
    work.begun = True
    promised = expected(work.content())
    for _ in range(AFTER):
        work.step()
        if chance.random() < 0.3:
            work.ask()
            promised = expected(work.content())
    pool.abandon()
    return promised


def expected(content: Content) -> dict[str, Any]:
    """A model's content as the guest describes what it finds."""
    result = {}
    for dataset, tree in content.items():
        for path, facts in tree.items():
            kind = facts["type"]
            found = {"type": kind}
            if "data" in facts:
                found |= {"size": len(facts["data"]), "sha256": hashlib.sha256(facts["data"]).hexdigest()}
            if kind == "symlink":
                found["target"] = facts["target"]
            if kind in ("file", "dir"):
                found |= {"mode": facts["mode"], "xattrs": {k: v.hex() for k, v in facts["xattrs"].items()}}
            if kind == "file":
                found["nlink"] = facts["nlink"]
            result[f"{dataset}:{path}"] = found
    return result


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What is not as it has to be, in words."""
    names = [name for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    return [f"{name} is {found.get(name)}, not {wanted.get(name)}" for name in names]


def check(vm: str, layout: str, seed: int, folder: Path, place: Path) -> list[str]:
    """One pool; gives what is wrong."""
    wanted = make(layout, seed, folder)
    inside, out, script = place / "in", place / "out", place / "script"
    for one in (inside, out):
        shutil.rmtree(one, ignore_errors=True)
        one.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "loglook.py", inside)
    script.write_text(SCRIPT)
    words = [*shlex.split(vm), "--as-files", "--in", str(inside), "--out", str(out), str(script)]
    done = subprocess.run([*words, *map(str, sorted(folder.glob("*.img")))], check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        return [f"the machine ended with status {done.returncode}"]
    said = (out / "status").read_text()
    lines = differences(wanted, json.loads((out / "found.json").read_text()))
    clean = "repaired 0B" in said and "with 0 errors" in said and "No known data errors" in said
    return lines if clean else [*lines, f"the scrub was not clean:\n{said}"]


def main() -> int:
    """Run it; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernelrun.logs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vm", required=True, metavar="COMMAND", help="starts the virtual machine")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), metavar="NAME,...")
    parser.add_argument("--seeds", default="1", metavar="N,...")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where pools are made, and kept")
    args = parser.parse_args()
    work, wrong = args.work or Path(tempfile.mkdtemp(prefix="kernellogs.")), 0
    for layout in args.layouts.split(","):
        for seed in map(int, args.seeds.split(",")):
            folder = work / f"{layout}-{seed}"
            folder.mkdir(parents=True)
            lines = check(args.vm, layout, seed, folder, work / "machine")
            print(f"{layout}, seed {seed}: {'ok' if not lines else f'{len(lines)} PROBLEMS'}", flush=True)
            print("\n".join(f"    {line}" for line in lines[:20]), end="\n" if lines else "", flush=True)
            wrong += bool(lines)
            if not lines and args.work is None:
                shutil.rmtree(folder)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
