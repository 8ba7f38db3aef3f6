"""The checksums with the compiler's checks for memory and undefined behaviour, and on another processor."""

from __future__ import annotations

from pathlib import Path

from . import ccompile

PORTABLE: dict[str, list[str]] = {
    f"{name}.c": []
    for name in (
        "choice", "checksum_dispatch", "fletcher_scalar", "sha2", "sha2_many", "sha2_scalar", "skein", "edonr",
        "salted_many", "blake3", "blake3_scalar",
    )
}
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq"]
AVX2 = ["-mavx2"]
SHANI = ["-msha", "-msse4.1", "-mssse3"]
X86: dict[str, list[str]] = {
    "fletcher_avx2.c": AVX2,
    "fletcher_avx512.c": AVX512,
    "edonr_avx512.c": AVX512,
    "sha512_avx2.c": AVX2,
    "sha256_shani.c": SHANI,
    "sha256_many_shani.c": SHANI,
    "sha256_many_avx2.c": AVX2,
    "sha512_many_avx2.c": AVX2,
    "sha256_many_avx512.c": AVX512,
    "sha512_many_avx512.c": AVX512,
    "blake3_avx2.c": AVX2,
    "salted_many_avx2.c": AVX2,
    "salted_many_avx512.c": AVX512,
    "blake3_avx512.c": AVX512,
}
X86_DEFINES = ["-DUB_HAVE_AVX2=1", "-DUB_HAVE_AVX512=1", "-DUB_HAVE_SHANI=1"]


def test_checksums_stay_inside(tmp_path: Path) -> None:
    cc = ccompile.sanitizing_compiler(tmp_path)
    sources, defines = (PORTABLE | X86, X86_DEFINES) if ccompile.machine_is_x86() else (PORTABLE, [])
    program = ccompile.build(cc, tmp_path, "checksum_check", sources, [*ccompile.SANITIZE, "-O1"], defines)
    assert "all equal" in ccompile.run([program])


def test_checksums_on_aarch64(tmp_path: Path) -> None:
    """NEON, compiled by a cross compiler and run by an emulator."""
    cc, emulator = ccompile.tool("aarch64-linux-gnu-gcc"), ccompile.tool("qemu-aarch64")
    sources = PORTABLE | {"fletcher_neon.c": [], "blake3_neon.c": []}
    defines = ["-DUB_HAVE_NEON=1"]
    program = ccompile.build(cc, tmp_path, "checksum_check", sources, ["-O2", "-static"], defines)
    assert "all equal" in ccompile.run([emulator, program])
