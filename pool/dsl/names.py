"""Names of datasets and snapshots: what may be in them.

Source: OpenZFS, zfs_namecheck.c.
"""

from __future__ import annotations

import re

from ..errors import UsageError

NAME_MAX = 255
DEPTH_MAX = 50
_COMPONENT = re.compile(r"[A-Za-z0-9_\-.: ]+")


def check_dataset(name: str) -> str:
    """The name of a file system or volume.

    Raises:
        UsageError: no dataset can have this name; the message says why.
    """
    if len(name) > NAME_MAX:
        raise UsageError(f"a dataset's name has at most {NAME_MAX} characters", name=name[:80])
    parts = name.split("/")
    if len(parts) > DEPTH_MAX:
        raise UsageError(f"datasets nest at most {DEPTH_MAX} deep", name=name[:80])
    for part in parts:
        if not part:
            raise UsageError("a part of a dataset's name is empty", name=name)
        if not _COMPONENT.fullmatch(part):
            raise UsageError("a dataset's name has letters, digits, and any of _ - . : and blanks", name=name)
        if part in (".", ".."):
            raise UsageError("a part of a dataset's name cannot be . or ..", name=name)
        if part != part.strip(" ") and part.endswith(" "):
            raise UsageError("a dataset's name does not end with a blank", name=name)
    return name
