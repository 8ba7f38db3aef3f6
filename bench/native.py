"""C parts of the benchmarks: compiled on first use by the machine's compiler, kept in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fPIC", "-shared", "-Wall", "-Wextra")


def cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "uberblock" / "bench"


def find_compiler() -> str | None:
    """The C compiler, if there is one."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


@functools.cache
def load(name: str) -> ctypes.CDLL:
    """The library made of ``bench/c/NAME.c``. RuntimeError: there is no C compiler, or it failed."""
    compiler = find_compiler()
    if compiler is None:
        raise RuntimeError("the benchmarks need a C compiler (cc); none was found")
    source = HERE / "c" / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + " ".join((compiler, *FLAGS)).encode()).hexdigest()[:16]
    target = cache() / f"{name}-{digest}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / target.name
            done = subprocess.run([compiler, *FLAGS, str(source), "-o", str(made)], capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{compiler} cannot compile {source}:\n{done.stderr}")
            made.replace(target)
    return ctypes.CDLL(str(target))
