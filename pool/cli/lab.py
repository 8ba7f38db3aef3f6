"""``uberblock lab``: what power cuts do to pools, shown on simulated disks."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ..errors import UsageError

#: name -> (module below this package, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "crash": ("labcrash", "crash states of recorded runs, each imported, verified and held against a model"),
    "bounded": ("labbounded", "every workload of one, two or three operations, and all crash states of each"),
    "powercut": ("labpowercut", "a workload of yours, with the power cut at every moment"),
    "kill": ("labkill", "a real process on a real pool, killed at random moments"),
    "churn": ("labchurn", "a pool on image files, changed at random for a long time and judged every so often"),
    "lies": ("lablies", "cache modes and disks that ignore flushes: what was acknowledged and is gone"),
    "writehole": ("labhole", "RAID-5, RAID-6, mirrors and raidz after a crash and the loss of a disk"),
}

EXAMPLES = """\
examples:
  uberblock lab crash --layout mirror --seed 1 --states 10000
  uberblock lab powercut examples/powercut/replace.py
  uberblock lab kill --rounds 100
  uberblock lab churn --seed 7 --steps 100000
  uberblock lab lies --layout mirror --svg lies.svg
  uberblock lab writehole --states 500
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``lab`` with the words after it."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        rows = "\n".join(f"  {word:<{width}}  {text}" for word, (_, text) in COMMANDS.items())
        print(
            "usage: uberblock lab COMMAND [OPTION]...\n\nThe laboratory: pools on disks that exist in memory only, and "
            "what is left of them when the power fails.\nAll of it follows from seeds: what was seen once can be seen "
            f"again.\n\ncommands:\n{rows}\n\n'uberblock lab COMMAND --help' tells more.\n\n{EXAMPLES}",
            end="",
        )
        return 0 if argv else 2
    if argv[0] not in COMMANDS:
        raise UsageError(f"lab: there is nothing called {argv[0]!r}", "'uberblock lab --help' tells more")
    module = importlib.import_module(f".{COMMANDS[argv[0]][0]}", __package__)
    return int(module.run(argv[1:]))
