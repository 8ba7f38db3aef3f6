"""Volumes: a block device's content in an object set.

Object 1 is the data, its block size the volume's; object 2 is a ZAP with the size.

Source: OpenZFS, zvol.c.
"""

from __future__ import annotations

from .dmu.objset import Objset
from .dmu.zap import Zap
from .errors import CorruptError, UsageError
from .ondisk.dmutypes import ObjectType
from .ondisk.zplconst import ZVOL_OBJECT, ZVOL_PROP_OBJECT
from .zpl.file import ObjectFile

OS_TYPE_ZVOL = 3
MAX_VOLUME = 1 << 63


class Zvol:
    """A volume or a snapshot of one.

    Args:
        objset: its object set.

    Raises:
        UsageError: the object set holds something else; CorruptError: no data object, or no proper size.
    """

    def __init__(self, objset: Objset) -> None:
        if objset.phys.type != OS_TYPE_ZVOL:
            raise UsageError(f"{objset.name} is not a volume", type=objset.phys.type)
        self.objset = objset
        self.name = objset.name
        self.dnode = objset.dnode(ZVOL_OBJECT)
        if self.dnode.type != ObjectType.ZVOL:
            raise CorruptError(f"the volume {self.name} has no data", type=self.dnode.type)
        entry = Zap(objset.dnode(ZVOL_PROP_OBJECT)).find(b"size")
        if entry is None or len(entry.values) != 1 or entry.values[0] >= MAX_VOLUME:
            raise CorruptError(f"the volume {self.name} does not tell its size")
        #: Bytes.
        self.size: int = entry.values[0]

    def __repr__(self) -> str:
        return f"<Zvol {self.name} {self.size} bytes>"

    @property
    def volblocksize(self) -> int:
        """Bytes of a block."""
        return self.dnode.datablksz

    def open(self) -> ObjectFile:
        """The content as a read-only binary file."""
        return ObjectFile(self.dnode, self.size, self.name)
