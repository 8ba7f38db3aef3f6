"""The encoders with the compiler's checks for memory and undefined behaviour."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import ccompile

SOURCES: dict[str, list[str]] = {
    name: [] for name in ("compress.c", "lz4_encode.c", "decompress_dispatch.c", "lzjb.c", "zle.c", "lz4.c")
}


@pytest.mark.parametrize("optimize", ["-O1", "-O3"])
def test_encoders_stay_inside(tmp_path: Path, optimize: str) -> None:
    cc = ccompile.sanitizing_compiler(tmp_path)
    program = ccompile.build(cc, tmp_path, "compress_check", SOURCES, [*ccompile.SANITIZE, optimize], [])
    for seed in ("1", "2"):
        assert "4000 rounds" in ccompile.run([program, "4000", seed])


def test_encoders_on_aarch64(tmp_path: Path) -> None:
    cc, emulator = ccompile.tool("aarch64-linux-gnu-gcc"), ccompile.tool("qemu-aarch64")
    program = ccompile.build(cc, tmp_path, "compress_check", SOURCES, ["-O3", "-static"], [])
    assert "1000 rounds" in ccompile.run([emulator, program, "1000", "1"])
