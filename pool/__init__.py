"""OpenZFS pools: find them, open them, read everything in them.

>>> import uberblock.pool as zfs
>>> for found in zfs.find_pools(["images/"]):                         # doctest: +SKIP
...     print(found.name, found.state_name)
>>> with zfs.import_pool("tank", search=["images/"]) as pool:         # doctest: +SKIP
...     print(pool.status())
...     print(pool.open("tank/home:/notes.txt").read())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import PoolError

if TYPE_CHECKING:
    from .pool import Dataset, Pool, Snapshot, Volume, find_pools, import_pool
    from .poolcreate import create_pool
    from .poolwrite import WritablePool
    from .spa.config import Candidate

__all__ = [
    "Candidate",
    "Dataset",
    "Pool",
    "PoolError",
    "Snapshot",
    "Volume",
    "WritablePool",
    "create_pool",
    "find_pools",
    "import_pool",
]

_HOMES = {"Candidate": ".spa.config", "WritablePool": ".poolwrite", "create_pool": ".poolcreate"}


def __getattr__(name: str) -> Any:
    """Names come from their modules when first used, so that a command that needs little starts fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, ".pool"), __name__), name)


def __dir__() -> list[str]:
    return __all__
