"""Batched output and input with the compiler's checks for memory and undefined behaviour."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import ccompile

NAMES = (
    "blockwrite", "blockio", "choice", "checksum_dispatch", "fletcher_scalar", "sha2", "sha2_many", "sha2_scalar",
    "skein", "edonr", "salted_many", "blake3", "blake3_scalar", "raidz_matrix", "raidz_stripe", "raidz_dispatch",
    "raidz_scalar", "decompress_dispatch", "lzjb", "zle", "lz4",
)
SOURCES: dict[str, list[str]] = {f"{name}.c": [] for name in NAMES}


@pytest.mark.slow
def test_output_stays_inside(tmp_path: Path) -> None:
    cc = ccompile.sanitizing_compiler(tmp_path)
    program = ccompile.build(cc, tmp_path, "blockwrite_check", SOURCES, [*ccompile.SANITIZE, "-O1"], [])
    for seed in ("1", "2"):
        assert "1500 rounds" in ccompile.run([program, "1500", seed])
