"""What a pool may be called.

Source: OpenZFS, zfs_namecheck.c (``pool_namecheck``), libzfs_pool.c (``zpool_name_valid``), the words too.
"""

from __future__ import annotations

import string

from ..errors import UsageError

MAX_DATASET_NAME = 256  # with the NUL at its end
ORIGIN = "$ORIGIN"
#: A pool holds a snapshot NAME/$ORIGIN@$ORIGIN, which must fit too.
MAX_NAME = MAX_DATASET_NAME - 2 - 2 * len(ORIGIN) - 1

_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-_.: ")
_WORDS = ("mirror", "raidz", "draid")  # of which no pool can have the name, not even an old one
_BEGINNINGS = ("mirror", "raidz", "draid", "spare")  # of names that new pools cannot have


class PoolNameError(UsageError):
    """No pool can be called so."""

    exit_status = 1


def check_pool_name(name: str, *, new: bool = True) -> None:
    """Refuse what cannot be the name of a pool.

    Args:
        new: for a pool that is created, or imported under this name; pools that are there may have names that have
            been reserved since.

    Raises:
        PoolNameError: the message says why.
    """
    reason = _reason(name, new)
    if reason:
        advice = "to make a dataset, use zfs create" if "/" in name else ""
        raise PoolNameError(f"{reason}: {name!r}", advice)


def _reason(name: str, new: bool) -> str:
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        return "name is too long"
    for character in name:
        if character not in _CHARACTERS:
            return f"invalid character {character!r} in pool name"
    if not name[:1].isalpha():
        return "name must begin with a letter"
    if name in _WORDS or (new and (name.startswith(_BEGINNINGS) or name == "log")):
        return "name is reserved"
    return ""
