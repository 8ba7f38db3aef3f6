"""The process that ``lab kill`` kills: works on a pool, and tells its parent what it has been promised.

    python -m uberblock.pool.lab.killed WORKLOAD TXG_SECONDS CACHE DEVICE...

The first line of its input is JSON: what earlier runs had acknowledged. Its output is JSON, a line for each: ``ready``
when the pool is open and the work begins, then ``[value]`` for each acknowledgement, written in one call.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..poolcreate import open_pool
from .userwork import UserWorkload

READY = "ready"


def main(argv: list[str]) -> int:
    """Work until the end of the workload, or of the process."""
    path, seconds, cache, *places = argv
    workload, before = UserWorkload(Path(path)), json.loads(sys.stdin.readline())

    def say(value: Any) -> None:
        try:
            line = json.dumps(value)
        except TypeError as error:
            raise UsageError(f"acknowledge({value!r}): {error}", "give it numbers, text or lists of them") from None
        os.write(1, f"{line}\n".encode())

    with open_pool(None, places, txg_seconds=float(seconds), force=True, cache=cache) as pool:
        say(READY)
        workload.call(
            "run", fs=pool.fs(), pool=pool, acknowledged=before, acknowledge=lambda value: say([value])
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
