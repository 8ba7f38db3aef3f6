"""Small C programs for tests: kernels compiled afresh, strictly, each file with the flags of its own."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import cannot_run

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "kernels"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS}"]
SANITIZE = ["-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def tool(name: str) -> str:
    """Path of a program; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(command: list[str], seconds: int = 300) -> str:
    """Output of a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def sanitizing_compiler(folder: Path) -> str:
    """The C compiler, where its sanitizers work."""
    cc = tool("cc")
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    target = str(folder / "probe")
    for command in ([cc, *SANITIZE, str(probe), "-o", target], [target]):
        if subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0:
            cannot_run("the compiler here has no working sanitizers")
    return cc


def machine_is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


def build(
    cc: str, folder: Path, check: str, sources: dict[str, list[str]], flags: list[str], defines: list[str]
) -> str:
    """Compile ``c/CHECK.c`` and kernels (file -> flags of its own) into one program; gives its path."""
    objects = []
    jobs = {HERE / "c" / f"{check}.c": list[str]()} | {KERNELS / name: own for name, own in sources.items()}
    for source, own in jobs.items():
        target = folder / f"{source.stem}.o"
        run([cc, *STRICT, *flags, *defines, *own, "-c", str(source), "-o", str(target)])
        objects.append(str(target))
    program = str(folder / check)
    run([cc, *flags, *objects, "-o", program])
    return program
