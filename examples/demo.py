"""The main job on a real pool: a raidz2 of six disks that OpenZFS wrote, two of them damaged.

Unpacks the pool, then does with the command ``uberblock`` what somebody would do who has these disk images and needs
the files in them: list, verify, extract, compare with what OpenZFS said was in the pool. Then once more with the two
damaged disks gone for good.
"""

from __future__ import annotations

import json
import lzma
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "data" / "pools" / "damaged"
WORK = ROOT / "demo"
POOL = "tank-damaged"
UBERBLOCK = Path(sys.executable).with_name("uberblock")


def say(text: str) -> None:
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def run(*words: str, expect: int = 0, lines: int | None = None) -> None:
    """Run ``uberblock``; show its first ``lines`` lines; end the demonstration if it ends otherwise than expected."""
    print(f"$ uberblock {shlex.join(words)}", flush=True)
    done = subprocess.run(
        [UBERBLOCK, *words], stdout=subprocess.PIPE if lines else None, text=True, check=False, cwd=WORK
    )
    if lines:
        output = done.stdout.splitlines()
        print("\n".join(output[:lines]))
        if len(output) > lines:
            print(f"... {len(output) - lines} more lines")
    if done.returncode != expect:
        sys.exit(f"demo: that ended with status {done.returncode}, not {expect}")


def unpack() -> Path:
    """The pool's disks and its manifest, below ``demo/``."""
    shutil.rmtree(WORK, ignore_errors=True)
    disks = WORK / "disks"
    disks.mkdir(parents=True)
    with tarfile.open(SOURCE / "pool.tar.xz") as archive:
        archive.extractall(disks, filter="data")
    with lzma.open(SOURCE / "manifest.json.xz", "rt") as packed:
        manifest = json.load(packed)
    (WORK / "manifest.json").write_text(json.dumps(manifest))
    for damage in manifest["damage"]:
        count, size = len(damage["ranges"]), sum(length for _, length in damage["ranges"])
        print(f"disk {damage['disk']}: {size} bytes overwritten in {count} places")
    return disks


def main() -> None:
    say("Six disks of a raidz2 pool written by OpenZFS; garbage was written over parts of two of them")
    disks = unpack()
    say("What pools are here?")
    run("zpool", "import", "-d", "disks")
    say("What is in this one?")
    run("zfs", "list", "-d", "disks", "-r", "-t", "all", "-o", "name,used,refer,compressratio", POOL, lines=12)
    say("Is every copy of every block whole? (Status 1: damage was found. Nothing is written to the disks.)")
    run("verify", "-d", "disks", POOL, expect=1, lines=24)
    say("Everything is still readable through the parity: get the files out")
    run("cp", "-r", "-d", "disks", f"{POOL}/home:/", "out")
    say("Compare every file of every dataset and snapshot with what OpenZFS read from this pool")
    run("manifest", "-d", "disks", "--check", "manifest.json", POOL)
    say("Now both damaged disks are gone altogether: the same comparison")
    for damaged in ("d1.img", "d2.img"):
        (disks / damaged).unlink()
    run("zpool", "status", "-d", "disks", POOL)
    run("manifest", "-d", "disks", "--check", "manifest.json", POOL)
    say(f"Done. The files are in {(WORK / 'out').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
