"""Sets of segments with the compiler's checks for memory and undefined behaviour, and with memory that runs out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import ccompile

SOURCES: dict[str, list[str]] = {
    "rangetree.c": ["-include", "stdlib.h", "-Dmalloc=check_malloc", "-Drealloc=check_realloc"]
}
DECLARED = """
#include <stddef.h>
void *check_malloc(size_t size);
void *check_realloc(void *old, size_t size);
"""


def program(cc: str, folder: Path, flags: list[str]) -> str:
    declared = folder / "declared.h"
    declared.write_text(DECLARED)
    sources = {name: [*own, "-include", str(declared)] for name, own in SOURCES.items()}
    return ccompile.build(cc, folder, "rangetree_check", sources, flags, ["-DUB_RANGETREE_LEAF=8"])


@pytest.mark.parametrize("optimize", ["-O1", "-O3"])
def test_sets_stay_whole(tmp_path: Path, optimize: str) -> None:
    cc = ccompile.sanitizing_compiler(tmp_path)
    check = program(cc, tmp_path, [*ccompile.SANITIZE, optimize])
    for seed in ("1", "2"):
        printed = ccompile.run([check, "6000", seed])
        found = re.fullmatch(r"6000 rounds, (\d+) without memory, \d+ broken\n", printed)
        assert found and int(found[1]) > 10


def test_sets_on_aarch64(tmp_path: Path) -> None:
    cc, emulator = ccompile.tool("aarch64-linux-gnu-gcc"), ccompile.tool("qemu-aarch64")
    assert "3000 rounds" in ccompile.run([emulator, program(cc, tmp_path, ["-O3", "-static"]), "3000", "1"])
