"""Harnesses in C around the kernels, compiled with the checks for memory and undefined behaviour.

With clang's libFuzzer they search by themselves; with any other compiler they run on inputs made by chance.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "kernels"
HARNESSES = tuple(sorted(path.stem.removeprefix("fuzz_") for path in (HERE / "c").glob("fuzz_*.c")
                         if path.stem != "fuzz_main"))  # fmt: skip
#: Files for one processor each; the portable ones do for finding what is not looked at.
SPECIAL = re.compile(r"_(?:ssse3|avx2|avx512|gfni_avx2|gfni_avx512|neon|shani)$")
CHECKS = ["-g", "-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
SANITIZE = "address,undefined"
#: Small leaves: short inputs fill many.
SMALL = ["-DUB_RANGETREE_LEAF=8"]


class NoCompilerError(Exception):
    """There is no compiler here whose sanitizers work."""


def portable() -> list[Path]:
    """The kernels that run everywhere."""
    return [path for path in sorted(KERNELS.glob("*.c")) if not SPECIAL.search(path.stem)]


def compiler() -> tuple[str, bool]:
    """A compiler with sanitizers, and whether it has libFuzzer."""
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.c"
        probe.write_text("int LLVMFuzzerTestOneInput(const char *data, unsigned long size) { return !data && size; }\n")
        program = f"{folder}/a"
        if _works(["clang", f"-fsanitize=fuzzer,{SANITIZE}", str(probe), "-o", program], [program, "-runs=2"]):
            return "clang", True
        probe.write_text("int main(void) { return 0; }\n")
        for cc in ("cc", "gcc", "clang"):
            if _works([cc, f"-fsanitize={SANITIZE}", str(probe), "-o", f"{folder}/b"], [f"{folder}/b"]):
                return cc, False
    raise NoCompilerError("no compiler here has working sanitizers")


def _works(*commands: list[str]) -> bool:
    for command in commands:
        if shutil.which(command[0]) is None:
            return False
        if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode:
            return False
    return True


def build(name: str, folder: Path) -> tuple[Path, bool]:
    """Compile a harness; gives the program, and whether it is one of libFuzzer's. Kernels are compiled once a folder.

    Raises:
        NoCompilerError: it cannot be done here.
    """
    cc, fuzzer = compiler()
    own = [HERE / "c" / f"fuzz_{name}.c", *([] if fuzzer else [HERE / "c" / "fuzz_main.c"])]
    sanitize = f"-fsanitize={'fuzzer-no-link,' if fuzzer else ''}{SANITIZE}"
    objects = []
    for source in [*portable(), *own]:
        target = folder / f"{source.stem}.o"
        objects.append(str(target))
        if source in own or not target.exists():
            includes = [f"-I{KERNELS}", f"-I{HERE / 'c'}"]
            _run([cc, "-std=c11", *includes, *SMALL, *CHECKS, sanitize, "-c", str(source), "-o", str(target)])
    program = folder / f"fuzz_{name}"
    link = f"-fsanitize={'fuzzer,' if fuzzer else ''}{SANITIZE}"
    _run([cc, link, *objects, "-o", str(program), "-lpthread"])
    return program, fuzzer


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")


def corpus_of(name: str) -> list[Path]:
    """Inputs that were once mishandled."""
    return sorted((HERE / "corpus" / name).glob("*"))


def run(name: str, folder: Path, *, seed: int, seconds: float | None = None, runs: int | None = None) -> str:
    """Build a harness, run it on what was once mishandled, and then for a time, or so many times.

    Returns:
        what it printed; inputs that make it fail are left in the folder.

    Raises:
        AssertionError: it failed.
    """
    program, fuzzer = build(name, folder)
    printed = ""
    commands = [[str(program), *map(str, corpus_of(name))]] if corpus_of(name) else []
    if fuzzer:
        found = folder / f"corpus_{name}"
        found.mkdir(exist_ok=True)
        limit = f"-runs={runs}" if runs else f"-max_total_time={int(seconds or 60)}"
        commands.append([str(program), limit, f"-seed={seed}", "-max_len=4096", "-timeout=25", "-rss_limit_mb=2048",
                         f"-artifact_prefix={folder}/", "-print_final_stats=1", str(found)])  # fmt: skip
    else:
        commands.append([str(program), str(runs or int((seconds or 60) * 2000)), str(seed)])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=(seconds or 60) + 300,
                              check=False)  # fmt: skip
        printed += done.stdout + done.stderr
        assert done.returncode == 0, f"{' '.join(command)}\n{printed[-6000:]}"
    return printed
