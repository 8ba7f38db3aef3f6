"""Reading a vdev's nvlist: every value is checked before it is used.

Source: OpenZFS, vdev.c (``vdev_alloc``) for the names; a value outside its bounds is damage or malice,
never clamped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CorruptError, LimitError

MAX_DEPTH = 12  # root, mirror, raidz, spare, replacing, leaf is 6
MAX_VDEVS = 1 << 16
MAX_CHILDREN = 255  # of anything but the root
MAX_ASIZE = 1 << 62
MIN_ASHIFT = 9
MAX_ASHIFT = 16
MAX_STRING = 65536

#: A vdev's nvlist.
VdevConfig = Mapping[str, Any]

_REQUIRED = -1


def integer(config: VdevConfig, name: str, low: int, high: int, default: int = _REQUIRED) -> int:
    """An integer within bounds.

    Args:
        low, high: smallest and largest value that makes sense.
        default: what an absent value means; without it the value must be there.

    Raises:
        CorruptError: absent or not an integer. LimitError: outside its bounds.
    """
    value = config.get(name)
    if value is None and default != _REQUIRED:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise CorruptError(f"a vdev's configuration has no usable {name!r}", vdev=describe(config))
    if not low <= value <= high:
        raise LimitError(f"a vdev's {name!r} is {value}, not within {low} to {high}", vdev=describe(config))
    return int(value)


def flag(config: VdevConfig, name: str) -> bool:
    """A value that is set or not: an integer, or a pair without a value."""
    value = config.get(name, 0)
    return bool(value) if isinstance(value, (bool, int, np.integer)) else value is not None


def text(config: VdevConfig, name: str, default: str = "") -> str:
    """A string, or ``default`` if it is absent.

    Raises:
        CorruptError: not a string. LimitError: absurdly long.
    """
    value = config.get(name, default)
    if not isinstance(value, str):
        raise CorruptError(f"a vdev's {name!r} is no string", vdev=describe(config))
    if len(value) > MAX_STRING:
        raise LimitError(f"a vdev's {name!r} has {len(value)} characters")
    return value


def integers(config: VdevConfig, name: str, most: int) -> list[int]:
    """An array of unsigned 64-bit integers, empty if absent.

    Raises:
        CorruptError: not such an array. LimitError: more than ``most`` entries.
    """
    value = config.get(name, ())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise CorruptError(f"a vdev's {name!r} is no array", vdev=describe(config))
    if len(value) > most:
        raise LimitError(f"a vdev's {name!r} has {len(value)} entries", most=most, vdev=describe(config))
    if not all(isinstance(entry, int) and 0 <= entry < 1 << 64 for entry in value):
        raise CorruptError(f"a vdev's {name!r} holds what is no number", vdev=describe(config))
    return list(value)


def children(config: VdevConfig, most: int) -> list[VdevConfig]:
    """The nvlists of a vdev's children, in order; each says its place in ``id``.

    Raises:
        CorruptError: no array of nvlists, or a child out of place. LimitError: more than ``most``.
    """
    value = config.get("children", ())
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise CorruptError("a vdev's children are no array", vdev=describe(config))
    if len(value) > most:
        raise LimitError(f"a vdev has {len(value)} children, more than {most}", vdev=describe(config))
    for place, child in enumerate(value):
        if not isinstance(child, Mapping):
            raise CorruptError("a vdev's child is no nvlist", vdev=describe(config), child=place)
        if integer(child, "id", 0, (1 << 64) - 1) != place:
            raise CorruptError(
                "a vdev's child is out of place", vdev=describe(config), child=place, id=child["id"]
            )
    return list(value)


def describe(config: VdevConfig) -> str:
    """What messages call a vdev of which only the nvlist is known."""
    kind, number = config.get("type"), config.get("id")
    path = config.get("path")
    if isinstance(path, str):
        return path[:200]
    return f"{str(kind)[:20]}-{number if isinstance(number, int) else '?'}"
