"""The machine under the figures, described; and one of its cores, taken."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

FEATURES = ("ssse3", "avx2", "avx512bw", "gfni", "sha_ni", "vaes", "asimd", "sha2")


def pin(cpu: int | None = None) -> int:
    """Stay on one core from now on: ``cpu``, or the last one this process may use. Returns its number."""
    allowed = sorted(os.sched_getaffinity(0))
    chosen = allowed[-1] if cpu is None else cpu
    os.sched_setaffinity(0, {chosen})
    return chosen


def proc(field: str) -> str:
    """A field of the first processor in /proc/cpuinfo, or ''."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    found = re.search(rf"^{re.escape(field)}\s*:\s*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def caches() -> str:
    """Sizes of the caches of core 0."""
    sizes = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (folder.joinpath(name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            sizes.append(f"L{level} {size.replace('K', ' KiB')}")
    return ", ".join(sizes) or "unknown"


def describe() -> dict[str, str]:
    """What a reader must know to judge the figures."""
    flags = proc("flags").split() or proc("Features").split()
    model = " ".join(f"{name} {proc(field)}" for name, field in (("family", "cpu family"), ("model", "model")))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "processor": f"{proc('model name') or platform.processor() or platform.machine()} ({model})",
        "instruction sets": " ".join(name for name in FEATURES if name in flags) or "unknown",
        "cores": str(os.cpu_count()),
        "caches": caches(),
        "virtual": "yes" if "hypervisor" in flags else "not known to be",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {platform.python_compiler()}",
        "load at the start": load,
    }
