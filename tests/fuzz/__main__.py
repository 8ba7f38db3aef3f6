"""Long runs with hostile input, outside of CI.

    python -m tests.fuzz                         what there is to be fuzzed
    python -m tests.fuzz zaps --seconds 600      one decoder (with atheris where it is installed)
    python -m tests.fuzz decoders --seconds 60   all of them, 60 seconds each
    python -m tests.fuzz kernel-blockio          a kernel, compiled with sanitizers (libFuzzer where clang has it)
    python -m tests.fuzz kernels --seconds 60    all of them
    python -m tests.fuzz pools --seconds 600     whole forged pools (see --help after pools)
    python -m tests.fuzz zaps FILE...            inputs that were found before
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS))

from fuzz import harness, search  # noqa: E402 (the path has to be there first)

KERNEL = "kernel-"


def _names() -> list[str]:
    from fuzz.targets import TARGETS

    return sorted(TARGETS)


def _each(names: list[str], words: list[str]) -> int:
    """Every target in a process of its own."""
    status = 0
    for name in names:
        print(f"--- {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, *words]
        status |= subprocess.run(command, cwd=TESTS.parent, check=False).returncode
    return 1 if status else 0


def _kernel(name: str, seconds: float, seed: int, keep: Path) -> int:
    keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            printed = harness.run(name, Path(folder), seed=seed, seconds=seconds)
        except AssertionError as failure:
            print(failure)
            for path in Path(folder).glob("*-*"):
                if path.is_file() and path.name.partition("-")[0] in ("crash", "timeout", "oom", "leak"):
                    (keep / f"{name}-{path.name}").write_bytes(path.read_bytes())
                    print(f"the input is in {keep / f'{name}-{path.name}'}")
            return 1
    print("\n".join(line for line in printed.splitlines() if line.startswith(("stat::", "Done")) or "runs" in line))
    return 0


def main(argv: list[str]) -> int:
    """Runs what is asked for; gives the exit status."""
    if argv[:1] == ["pools"]:
        from fuzz import pools

        return pools.main(argv[1:])
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?")
    parser.add_argument("files", nargs="*", type=Path, help="feed it with these, and nothing else")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="no atheris")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder for inputs that make it fail")
    args = parser.parse_args(argv)
    if args.target is None:
        print("decoders:", *_names())
        print("kernels:", *(KERNEL + name for name in harness.HARNESSES))
        print("pools")
        return 0
    words = [f"--seconds={args.seconds}", f"--seed={args.seed}", f"--keep={args.keep}", *(["--plain"] * args.plain)]
    if args.target == "decoders":
        return _each(_names(), words)
    if args.target == "kernels":
        return _each([KERNEL + name for name in harness.HARNESSES], words)
    if args.target.removeprefix(KERNEL) in harness.HARNESSES:
        return _kernel(args.target.removeprefix(KERNEL), args.seconds, args.seed, args.keep)
    if args.files:
        search.replay(args.target, args.files)
        return 0
    return search.one(args.target, args.seconds, args.seed, args.keep, plain=args.plain)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
