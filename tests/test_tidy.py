"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
POOL = ROOT / "pool"
SOURCES = sorted(p for folder in ("pool", "kernels", "tests", "bench") for p in (ROOT / folder).rglob("*.py"))

#: Floor of each part of pool/; a part imports only from floors at or below its own.
FLOORS = {
    "errors": 0,
    "env": 1,
    "ondisk": 1,
    "device": 1,
    "vdev": 2,
    "alloc": 2,
    "zio": 3,
    "dmu": 4,
    "dsl": 5,
    "zpl": 6,
    "zvol": 6,
    "zvolwrite": 6,
    "zil": 6,
    "spa": 7,
    "pool": 8,
    "vfs": 8,
    "vfswrite": 8,
    "poolset": 8,
    "poolwrite": 8,
    "poolcreate": 8,
    "replayed": 8,
    "manifest": 8,
    "extract": 8,
    "ingest": 8,
    "mkfs": 8,
    "": 8,  # pool/__init__.py, the public face
    "cli": 9,
    "serve": 9,
    "lab": 9,
}
BANNED_NAMES = {"utils", "util", "common", "misc", "helpers"}
MAX_LINES = 800
MAX_FUNCTION_LINES = 90


def part_of(path: Path) -> str:
    """The part of pool/ a file belongs to: its folder, or its own name at the top."""
    relative = path.relative_to(POOL)
    if len(relative.parts) > 1:
        return relative.parts[0]
    return "" if relative.stem == "__init__" else relative.stem


def imported_parts(path: Path) -> set[str]:
    """Parts of pool/ that a module imports by relative or absolute imports, type-checking ones left out."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    package = ["uberblock", "pool", *path.relative_to(POOL).parts[:-1]]
    parts: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        names: list[str] = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [".".join([*module, alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            words = name.split(".")
            if words[:2] == ["uberblock", "pool"]:
                third = words[2] if len(words) > 2 else ""
                parts.add(third if third in FLOORS else "")
    return parts


@pytest.mark.parametrize("path", sorted(POOL.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_never_run_up(path: Path) -> None:
    mine = part_of(path)
    assert mine in FLOORS, f"{mine!r} has no floor: give it one in tests/test_tidy.py"
    for other in imported_parts(path):
        assert FLOORS[other] <= FLOORS[mine], f"{path.relative_to(ROOT)} imports {other or 'pool'}, which lies above"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    assert path.stem not in BANNED_NAMES
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < MAX_FUNCTION_LINES, f"{node.name} is too long"


def tracked_text_files() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    if not any(names):
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    binary = {".xz", ".png", ".zst", ".so", ".pyc"}
    return [ROOT / n for n in names if n and Path(n).suffix not in binary and (ROOT / n).is_file()]


def test_no_path_of_any_machine() -> None:
    pattern = re.compile(r"/(?:home|root|work|Users)/[a-z]")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in tracked_text_files()
        for line in path.read_text(errors="replace").splitlines()
        if pattern.search(line) and "re.compile" not in line
    ]
    assert not found


def test_every_kernel_has_types() -> None:
    for module in (ROOT / "kernels").glob("*.pyx"):
        assert module.with_suffix(".pyi").exists(), f"{module.name} has no .pyi"
        assert (ROOT / "tests" / "kernels" / f"test_{module.stem}.py").exists(), f"{module.name} has no tests"


def test_layouts_assert_their_size() -> None:
    for module in (POOL / "ondisk").glob("*.py"):
        text = module.read_text()
        if "np.dtype(" in text:
            assert ".itemsize ==" in text, f"{module.name} declares a dtype without asserting its size"


def test_the_shipped_pools_stay_small() -> None:
    assert sum(p.stat().st_size for p in (ROOT / "tests" / "data").rglob("*") if p.is_file()) < 13 << 20
