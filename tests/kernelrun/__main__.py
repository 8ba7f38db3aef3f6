"""Pools made by this package, judged by the kernel's own OpenZFS in a virtual machine. Outside of CI.

    python -m tests.kernelrun --vm COMMAND [--judge COMMAND] [--only NAME,...] [--work DIR]

Every kind and class of vdev, and every property that says how blocks are written, in pools made by ``zpool create`` and
``mkfs``. For each pool:

1. made here, filled from folders and by a random workload, exported, judged (zdb; OpenZFS's engine);
2. the kernel imports it, reads everything, scrubs, changes it in all its datasets, exports it;
3. what the kernel read is what was put in, the scrub repaired nothing, and what it left is what we read;
4. judged again; opened for writing here, read and changed, exported, judged again;
5. with ``--again`` the kernel reads it once more.

``--vm COMMAND`` starts the machine:

    COMMAND --in DIR --out DIR [--as-files] --mem MIB --timeout S SCRIPT IMAGE...

runs SCRIPT (bash) in a guest with OpenZFS's kernel module and tools, and Python 3. DIR is /in there, what SCRIPT leaves
in /out comes back; images are block devices /dev/ub/NAME, with ``--as-files`` also files /disk/NAME.

``--judge COMMAND``, with ``{dir}`` and ``{pool}`` in it, judges a pool by other means, for example imports a copy with
OpenZFS's engine for writing and scrubs it. It prints lines with FAIL, or ends with another status than 0.

Exit status 1: something is wrong; pools that failed are kept.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from kernelrun.cases import Case, cases  # noqa: E402 (the path has to be there first)
from kernelrun.making import Made, go_on, judged, make, readable  # noqa: E402

IMAGES_MAX = 20  # block devices of one machine
SCRIPT = """\
set -e
cd /in
python3 guest.py plan.json {search} /out {more}
"""


def main(argv: list[str] | None = None) -> int:
    """Run it; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernelrun", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vm", required=True, metavar="COMMAND", help="starts the virtual machine")
    parser.add_argument("--judge", default="", metavar="COMMAND", help="one more judge")
    parser.add_argument("--zdb", default=shutil.which("zdb", path="/usr/sbin:/sbin:/usr/bin"), metavar="PROGRAM")
    parser.add_argument("--only", default="", metavar="NAME,...", help="of the cases; --list shows them")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="the kernel reads the pools once more at the end")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where pools are made, and kept")
    parser.add_argument("--mem", type=int, default=6144, metavar="MIB", help="of the machine")
    parser.add_argument("--timeout", type=int, default=3000, metavar="S", help="of one machine's run")
    args = parser.parse_args(argv)
    wanted = [case for case in cases() if not args.only or case.name in args.only.split(",")]
    if args.list:
        print("\n".join(f"{case.name:20} {case.words}" for case in wanted))
        return 0
    work = args.work or Path(tempfile.mkdtemp(prefix="kernelrun."))
    print(f"seed {args.seed}, {len(wanted)} pools in {work}", flush=True)
    wrong = 0
    for how in ("create", "mkfs"):
        todo = [case for case in wanted if case.how == how]
        while todo:
            batch = [todo.pop(0)]
            while todo and sum(case.images for case in [*batch, todo[0]]) <= IMAGES_MAX:
                batch.append(todo.pop(0))
            wrong += run_batch(args, work, batch)
    print(f"{len(wanted)} pools, {wrong} with problems", flush=True)
    if not wrong and args.work is None:
        shutil.rmtree(work)
    return 1 if wrong else 0


def run_batch(args: argparse.Namespace, work: Path, batch: list[Case]) -> int:
    """Pools that go to one machine together; gives how many have something wrong."""
    problems: dict[str, list[str]] = {case.name: [] for case in batch}
    made: list[Made] = []
    for case in batch:
        began = time.monotonic()
        made.append(make(case, work, args.seed))
        problems[case.name] += judged(made[-1], args.zdb, args.judge, "made")
        print(f"{case.name}: made and judged in {time.monotonic() - began:.0f} s", flush=True)
    found = start(args, work, made, reading=False)
    for one in made:
        said = problems[one.case.name]
        result = found.get(one.case.name)
        if result is None:
            said.append("the machine said nothing of it")
            continue
        said += readable(one, result)
        said += judged(one, args.zdb, args.judge, "after the kernel")
        try:
            go_on(one, result, args.seed)
        except Exception as error:
            said.append(f"going on: {type(error).__name__}: {error}")
        said += judged(one, args.zdb, args.judge, "after we went on")
    if args.again:
        for name, result in start(args, work, made, reading=True).items():
            problems[name] += [f"read again: {line}" for line in result["problems"]]
    for one in made:
        said = problems[one.case.name]
        print(f"{one.case.name}: {'ok' if not said else f'{len(said)} PROBLEMS'}", flush=True)
        for line in said[:20]:
            print(f"    {line}", flush=True)
        if not said and args.work is None:
            shutil.rmtree(one.folder)
    return sum(bool(said) for said in problems.values())


def start(args: argparse.Namespace, work: Path, made: list[Made], *, reading: bool) -> dict[str, dict[str, object]]:
    """Run the guest's part on some pools; gives what it says of each."""
    began = time.monotonic()
    inside, out = work / "in", work / "out"
    for folder in (inside, out):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in ("guest.py", "tree.py"):
        shutil.copy(HERE / name, inside / name)
    (inside / "plan.json").write_text(json.dumps([{"pool": one.case.name, "kinds": one.kinds} for one in made]))
    files = made[0].case.how == "create"
    script = work / "script"
    script.write_text(SCRIPT.format(search="/disk" if files else "/dev/ub", more="read" if reading else ""))
    words = [*shlex.split(args.vm), "--in", str(inside), "--out", str(out), "--mem", str(args.mem)]
    words += ["--timeout", str(args.timeout), *(["--as-files"] if files else []), str(script)]
    done = subprocess.run([*words, *(str(image) for one in made for image in one.images)], check=False)
    print(f"the machine ended with status {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    return {path.stem: json.loads(path.read_text()) for path in out.glob("*.json")}


if __name__ == "__main__":
    sys.exit(main())
