"""Delegated permissions (``zfs allow``) as stored: who may do what, here, below, or on what they create.

Each directory may have a ZAP: ``<who><scope>$<id>`` -> a ZAP whose keys are permissions. An upper-case ``who`` means
that the entry lists names of permission sets.

Source: OpenZFS, dsl_deleg.c, zfs_deleg.c; zfs-allow(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import CorruptError
from .dir import DslDir
from .mosobj import entries, numbers

Who = Literal["user", "group", "everyone", "create", "set"]
Scope = Literal["local", "descendent", "none"]

WHO: dict[str, Who] = {"u": "user", "g": "group", "e": "everyone", "c": "create", "s": "set"}
SCOPE: dict[str, Scope] = {"l": "local", "d": "descendent", "-": "none"}
SEPARATOR = "$"


@dataclass(frozen=True, slots=True)
class Grant:
    """One entry: these permissions to these people, on ``dataset`` itself or on what lies below it."""

    dataset: str
    who: Who
    scope: Scope  # none: of permissions at creation, and of sets
    subject: str  # decimal uid or gid, name of the set with its at sign, or empty
    permissions: tuple[str, ...]
    names_sets: bool  # the permissions are names of sets


def grants_of(directory: DslDir) -> list[Grant]:
    """What is delegated on one directory itself.

    Raises:
        CorruptError: an entry's name has none of the known forms.
    """
    mos = directory.pool.mos
    found: list[Grant] = []
    for key, number in sorted(
        numbers(mos, directory.phys.deleg_zapobj, f"delegation on {directory.name}").items()
    ):
        who, scope = WHO.get(key[:1].lower()), SCOPE.get(key[1:2])
        if who is None or scope is None or key[2:3] != SEPARATOR:
            raise CorruptError(f"delegation entry {key!r} on {directory.name} has no known form")
        permissions = tuple(sorted(name for name, _ in entries(mos, number, f"permissions {key!r}")))
        found.append(Grant(directory.name, who, scope, key[3:], permissions, key[0].isupper()))
    return found


def grants(directory: DslDir) -> list[Grant]:
    """What is delegated on a directory and on all above it, nearest first: what ``zfs allow`` prints."""
    found: list[Grant] = []
    step: DslDir | None = directory
    while step is not None:
        found += grants_of(step)
        step = step.parent
    return found
