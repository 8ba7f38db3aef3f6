"""How many threads share large reads and writes."""

from __future__ import annotations

import os

MOST = 4


def workers(asked: int) -> int:
    """As many as were asked for, or for 0 one for each processor that this process may use, four at most."""
    return asked or min(MOST, len(os.sched_getaffinity(0)))
