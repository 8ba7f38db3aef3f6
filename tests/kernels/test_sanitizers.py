"""The C sources under the address and undefined-behaviour sanitizers, and on other processors; no warnings.

The kernels are compiled afresh, each with its own flags, and linked to a small program that checks itself
(``c/raidz_check.c``).
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from .ccompile import machine_is_x86, run, sanitizing_compiler, tool

HERE = Path(__file__).resolve().parent
KERNELS = HERE.parent.parent / "kernels"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS}"]
SANITIZE = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
X86_FLAGS = {
    "ssse3": ["-mssse3"],
    "avx2": ["-mavx2"],
    "avx512": AVX512,
    "gfni_avx2": ["-mgfni", "-mavx2"],
    "gfni_avx512": ["-mgfni", *AVX512],
}
PORTABLE = ["choice.c", "raidz_matrix.c", "raidz_stripe.c", "raidz_dispatch.c", "raidz_scalar.c"]


def build(cc: str, folder: Path, isa_flags: dict[str, list[str]], flags: list[str]) -> Path:
    """Compile the kernels and their check; each instruction set gets its flags for its own file only."""
    have = [f"-DUB_HAVE_{name.upper()}=1" for name in isa_flags]
    jobs = [(KERNELS / name, have) for name in PORTABLE]
    jobs += [(KERNELS / f"raidz_{name}.c", extra) for name, extra in isa_flags.items()]
    jobs.append((HERE / "c" / "raidz_check.c", []))
    objects = []
    for source, extra in jobs:
        target = folder / f"{source.stem}.o"
        clock = "-DUB_RAIDZ_TEST_CLOCK=raidz_check_clock"
        run([cc, *STRICT, *flags, clock, *extra, "-c", str(source), "-o", str(target)])
        objects.append(str(target))
    program = folder / "raidz_check"
    run([cc, *flags, *objects, "-o", str(program)])
    return program


@pytest.mark.slow
def test_raidz_under_sanitizers(tmp_path: Path) -> None:
    cc = sanitizing_compiler(tmp_path)
    if machine_is_x86():
        flags = X86_FLAGS
    else:
        flags = {"neon": []} if platform.machine() in ("aarch64", "arm64") else {}
    output = run([str(build(cc, tmp_path, flags, SANITIZE))])
    assert "scalar ok" in output


def test_raidz_on_aarch64(tmp_path: Path) -> None:
    """NEON, compiled by a cross compiler and run by an emulator."""
    cc, emulator = tool("aarch64-linux-gnu-gcc"), tool("qemu-aarch64")
    program = build(cc, tmp_path, {"neon": []}, ["-O2", "-static"])
    assert "neon ok" in run([emulator, str(program)])


def test_raidz_with_clang(tmp_path: Path) -> None:
    if not machine_is_x86():
        pytest.skip("the flags of this test are those of x86-64")
    program = build(tool("clang"), tmp_path, X86_FLAGS, ["-O2"])
    assert "scalar ok" in run([str(program)])


def test_raidz_on_an_old_processor(tmp_path: Path) -> None:
    """A build with everything runs where nothing after 2008 exists, and leaves out what it cannot run."""
    if not machine_is_x86():
        pytest.skip("the flags of this test are those of x86-64")
    emulator = tool("qemu-x86_64")
    program = build(tool("cc"), tmp_path, X86_FLAGS, ["-O1", "-static"])
    assert run([emulator, "-cpu", "Nehalem", str(program)]).split("\n") == ["ssse3 ok", "scalar ok", ""]
