"""The main jobs: getting files out of a damaged raidz2 pool that OpenZFS wrote, and making such a pool.

Unpacks the pool, then does with the command ``uberblock`` what somebody would do who has these disk images and needs
the files in them: list, verify, extract, compare with what OpenZFS said was in the pool. Then once more with the two
damaged disks gone for good.

Then it makes a raidz2 pool of its own, puts a tree into it, lets zdb judge it where there is one, damages two of its
disks, reads the tree back and compares.
"""

from __future__ import annotations

import filecmp
import json
import lzma
import os
import random
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
OWN = "demo"
DISKS = [f"own/d{number}.img" for number in range(6)]
#: What every label of a disk takes, at its beginning and at its end.
LABELS = 4 << 20
UBERBLOCK = Path(sys.executable).with_name("uberblock")


def say(text: str) -> None:
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def run(*words: str, expect: int = 0, lines: int | None = None) -> None:
    """Run ``uberblock``; show its first ``lines`` lines; end the demonstration if it ends otherwise than expected."""
    print(f"$ uberblock {shlex.join(words)}", flush=True)
    done = subprocess.run(
        [UBERBLOCK, *words], stdout=subprocess.PIPE if lines else None, text=True, check=False, cwd=WORK,
        env={**os.environ, "XDG_STATE_HOME": str(WORK / "state")},
    )  # fmt: skip
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


def damage(path: Path, seed: int) -> None:
    """Write garbage over a tenth of a disk's data, in many places. Its labels stay."""
    chance = random.Random(seed)
    size = path.stat().st_size
    with path.open("r+b") as disk:
        for _ in range(size // 10 >> 16):
            disk.seek(chance.randrange(LABELS, size - LABELS))
            disk.write(chance.randbytes(1 << 16))


def same(one: Path, other: Path) -> bool:
    """Two trees have the same files with the same content."""
    left = sorted(path.relative_to(one) for path in one.rglob("*"))
    if left != sorted(path.relative_to(other) for path in other.rglob("*")):
        return False
    files = [str(name) for name in left if (one / name).is_file()]
    return len(filecmp.cmpfiles(one, other, files, shallow=False)[0]) == len(files)


def judge() -> None:
    """Let OpenZFS's zdb walk every block of our pool."""
    zdb = shutil.which("zdb", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if zdb is None:
        print("(zdb is not here, so it cannot judge)")
        return
    print(f"$ zdb -e -p own -bcc {OWN}", flush=True)
    done = subprocess.run(
        [zdb, "-e", "-p", "own", "-bcc", OWN], capture_output=True, text=True, check=False, cwd=WORK
    )
    verdict = [line.strip() for line in done.stdout.splitlines() if "leak" in line.lower() and "..." not in line]
    print("\n".join(verdict) or done.stderr)
    if done.returncode or not any("No leaks" in line for line in verdict):
        sys.exit("demo: zdb does not like the pool")


def own_pool() -> None:
    """Make a raidz2 pool, fill it, damage it, get everything back."""
    say("Now a pool of our own: a raidz2 of six files")
    (WORK / "own").mkdir()
    run("zpool", "create", "--size", "256M", "-O", "compression=zstd", OWN, "raidz2", *DISKS)
    run("zfs", "create", "-o", "recordsize=1M", f"{OWN}/src")
    say("Put this package's source into it")
    run("cp", "-r", str(ROOT / "pool"), str(ROOT / "kernels"), f"{OWN}/src:/")
    run("zfs", "list", "-r", "-o", "name,used,refer,compressratio", OWN)
    run("zpool", "history", OWN)
    judge()
    say("Garbage over a tenth of two of its disks")
    for number, name in enumerate(DISKS[1:3]):
        damage(WORK / name, number)
    run("verify", "-d", "own", OWN, expect=1, lines=6)
    run("cp", "-r", f"{OWN}/src:/", "back")
    for part in ("pool", "kernels"):
        if not same(ROOT / part, WORK / "back" / part):
            sys.exit(f"demo: {part} came back changed")
    print("every file came back as it was")


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
    own_pool()
    say(f"Done. The files are in {(WORK / 'out').relative_to(ROOT)}")


if __name__ == "__main__":
    main()
