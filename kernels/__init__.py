"""The kernels: code that moves bytes.

Parity, checksums, decompressors and batched block I/O. Every function takes buffers and batches, releases the
interpreter lock, and knows nothing of pools.

Many kernels exist several times, for different instructions. Which one runs is chosen once for the process:
the first of a measured order that this machine can run, unless a variable of the environment or a call of
``raidz.select`` or ``checksum.select`` names another. ``info`` tells; ``python -m uberblock.kernels`` prints it.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class FamilyInfo(TypedDict):
    """The implementations of one thing, and which of them runs."""

    used: str  #: name of the one in use
    why: Literal["order", "environment", "call"]  #: first of the order; named by the variable; asked for by a call
    variable: str  #: of the environment
    order: tuple[str, ...]  #: all there are, best first
    built: tuple[str, ...]  #: of these, in this build
    runnable: tuple[str, ...]  #: of these, can run on this machine
    needs: dict[str, tuple[str, ...]]  #: name -> what it wants of the processor


def info() -> dict[str, FamilyInfo]:
    """Every family of kernels that has a choice -> what there is and what runs, now and in every module."""
    from . import checksum, raidz

    return raidz.describe() | checksum.describe()


def table() -> str:
    """``info`` as text: one line for each family."""
    reasons = {"order": "best that runs here", "environment": "by {}", "call": "by a call"}
    rows = [("family", "in use", "why", "all, best first ((-) not in this build, (!) not on this processor)")]
    for name, family in info().items():
        marks = {n: "" if n in family["runnable"] else "(!)" for n in family["built"]}
        every = " ".join(n + marks.get(n, "(-)") for n in family["order"])
        rows.append((name, family["used"], reasons[family["why"]].format(family["variable"]), every))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[3]]) for row in rows]
    return "\n".join(lines)
