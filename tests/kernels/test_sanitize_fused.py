"""Parity and checksum in one walk, with the compiler's checks for memory and undefined behaviour."""

from __future__ import annotations

from pathlib import Path

from . import ccompile
from .test_sanitize_checksum import PORTABLE, X86, X86_DEFINES

RAIDZ: dict[str, list[str]] = {f"raidz_{name}.c": [] for name in ("matrix", "stripe", "dispatch", "scalar")}
RAIDZ_X86 = {"raidz_ssse3.c": ["-mssse3"], "raidz_avx2.c": ["-mavx2"]}


def test_fused_passes_stay_inside(tmp_path: Path) -> None:
    cc = ccompile.sanitizing_compiler(tmp_path)
    sources, defines = PORTABLE | RAIDZ | {"fused.c": []}, list[str]()
    if ccompile.machine_is_x86():
        avx2 = {name: flags for name, flags in X86.items() if "avx512" not in name}
        sources, defines = sources | avx2 | RAIDZ_X86, [d for d in X86_DEFINES if "AVX512" not in d]
        defines.append("-DUB_HAVE_SSSE3=1")
    program = ccompile.build(cc, tmp_path, "fused_check", sources, [*ccompile.SANITIZE, "-O0"], defines)
    assert "all equal" in ccompile.run([program])
