"""Redundancy of the top-level vdevs of a pool: it is as good as the weakest, so all should be alike.

Log vdevs, holes and removed vdevs do not count. A raidz, a draid and a mirror are alike if they survive the loss of as
many devices.

Source: OpenZFS, zpool_vdev.c (``get_replication``, ``check_replication``), the words too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..vdev.tree import VdevTree
from .vdevspec import SpecError, VdevSpec

FUZZ = 16 << 20  # sizes of devices in one group may differ by so much

_PARITY_TYPES = ("raidz", "draid")
_IGNORED = ("hole", "indirect", "missing")


@dataclass(frozen=True, slots=True)
class Level:
    """Redundancy of one top-level vdev."""

    type: str
    children: int
    parity: int


@dataclass(frozen=True, slots=True)
class Member:
    """A device of a new vdev: disk or file, and its bytes."""

    kind: str
    size: int


def levels_of(tree: VdevTree) -> list[Level]:
    """The levels of a pool's vdevs."""
    return [
        Level(top.type, max(1, len(top.children)), top.nparity)
        for top in tree.tops
        if not top.is_log and top.type not in _IGNORED
    ]


def check_replication(
    new: Sequence[tuple[VdevSpec, Sequence[Member]]], current: Sequence[Level] = ()
) -> None:
    """Refuse vdevs that do not go together, or not with those the pool has.

    A pool that is mixed already may stay so.

    Raises:
        SpecError: they differ; ``-f`` overrides it.
    """
    if _mixed(current):
        return
    lines: list[str] = []
    levels = []
    for spec, members in new:
        if spec.cls == "log":
            continue
        if spec.kind == "leaf":
            levels.append(Level(members[0].kind, 1, 0))
            continue
        levels.append(Level(spec.kind, len(members), spec.nparity))
        lines += _uneven(spec.kind, members)
    for last, this in itertools.pairwise(levels):
        said = _difference(last, this)
        if said:
            lines.append(f"mismatched replication level: {said}")
    if not lines and current and levels:
        said = _from_pool(current[-1], levels[-1])
        if said:
            lines.append(f"mismatched replication level: {said}")
    if lines:
        raise SpecError.of(lines, overridable=True)


def _mixed(levels: Sequence[Level]) -> bool:
    return any(_difference(a, b) for a, b in itertools.pairwise(levels))


def _uneven(kind: str, members: Sequence[Member]) -> list[str]:
    """What is wrong within one group; only the first thing."""
    for last, this in itertools.pairwise(members):
        if last.kind != this.kind:
            return [f"mismatched replication level: {kind} contains both files and devices"]
        if abs(last.size - this.size) > FUZZ:
            return [f"{kind} contains devices of different sizes"]
    return []


def _with_mirror(a: Level, b: Level) -> tuple[Level, Level] | None:
    """A raidz or draid and a mirror, in this order, if that is what they are."""
    for one, other in ((a, b), (b, a)):
        if one.type in _PARITY_TYPES and other.type == "mirror":
            return one, other
    return None


def _difference(last: Level, this: Level) -> str:
    pair = _with_mirror(last, this)
    if pair:
        raidz, mirror = pair
        if raidz.parity == mirror.children - 1:
            return ""
        return (
            f"{raidz.type} and {mirror.type} vdevs with different redundancy, "
            f"{raidz.parity} vs. {mirror.children - 1} ({mirror.children}-way) are present"
        )
    if last.type in _PARITY_TYPES and this.type in _PARITY_TYPES:
        # A raidz beside a draid may be of any width, and so may two of the same kind that differ only in that.
        if last.parity != this.parity:
            return (
                f"{last.type} and {this.type} vdevs with different redundancy, "
                f"{last.parity} vs. {this.parity} are present"
            )
        return ""
    if last.type != this.type:
        return f"both {last.type} and {this.type} vdevs are present"
    if last.children != this.children:
        return f"both {last.children}-way and {this.children}-way {this.type} vdevs are present"
    return ""


def _from_pool(pool: Level, new: Level) -> str:
    pair = _with_mirror(pool, new)
    if pair:
        raidz, mirror = pair
        if raidz.parity == mirror.children - 1:
            return ""
        return (
            f"pool and new vdev with different redundancy, {raidz.type} and {mirror.type} vdevs, "
            f"{raidz.parity} vs. {mirror.children - 1} ({mirror.children}-way)"
        )
    if pool.type in _PARITY_TYPES and new.type in _PARITY_TYPES:
        if pool.parity != new.parity:
            return (
                f"pool and new vdev with different redundancy, {pool.type} and {new.type} vdevs, "
                f"{pool.parity} vs. {new.parity}"
            )
        return ""
    if pool.type != new.type:
        return f"pool uses {pool.type} and new vdev is {new.type}"
    if pool.children != new.children:
        return f"pool uses {pool.children}-way {pool.type} and new vdev uses {new.children}-way {new.type}"
    return ""
