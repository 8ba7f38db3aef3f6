"""Which file a damaged block belongs to: from (objset, object) to dataset and path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PoolError
from ..zpl.filesystem import Filesystem

if TYPE_CHECKING:
    from .spa import Spa

MAX_DEPTH = 4096


class PathFinder:
    """Names objects the way ``zpool status -v`` does."""

    def __init__(self, spa: Spa) -> None:
        self._spa = spa
        self._filesystems: dict[int, Filesystem | None] = {}
        self._paths: dict[tuple[int, int], str] = {}

    def path(self, objset: int, number: int) -> str:
        """``tank/home:/docs/a.txt``; where that cannot be told, numbers in angle brackets.

        The MOS's objects are ``<metadata>:<0x1f>``, unnamed ones ``tank/home:<0x1f>``.
        """
        key = (objset, number)
        if key not in self._paths:
            self._paths[key] = self._find(objset, number)
        return self._paths[key]

    def _find(self, objset: int, number: int) -> str:
        if objset == 0:
            return f"<metadata>:<{number:#x}>"
        try:
            name = self._spa.dsl.dataset_by_object(objset).name
        except PoolError:
            return f"<{objset:#x}>:<{number:#x}>"
        unnamed = f"{name}:<{number:#x}>"
        filesystem = self._filesystem(objset)
        if filesystem is None or number == 0:
            return unnamed
        try:
            return f"{name}:{filesystem.path_of(number)}"
        except PoolError:
            # An object outside the directory tree, or one whose parents are damaged: its number is all there is.
            return unnamed

    def _filesystem(self, objset: int) -> Filesystem | None:
        if objset not in self._filesystems:
            try:
                self._filesystems[objset] = Filesystem(self._spa.dsl.dataset_by_object(objset).objset())
            except PoolError:
                # A volume, a locked or a damaged dataset has no paths to tell.
                self._filesystems[objset] = None
        return self._filesystems[objset]
