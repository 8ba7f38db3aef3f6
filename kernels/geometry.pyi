"""Where the columns of blocks lie on the children of raidz and draid vdevs, for arrays of blocks.

Offsets, sizes and permutations are as OpenZFS's; bytes throughout. ``columns`` and ``groups`` are arrays of the dtypes
COLUMN (32 bytes) and GROUP (16 bytes) of ``pool/vdev/layout.py``; ``blocks`` has one uint32 more than there are blocks.
Raises ValueError for blocks off a boundary, of absurd sizes, and for buffers of the wrong shape.
"""

from typing import Any

NO_REFLOW: int

class Raidz:
    """One raidz vdev.

    Args:
        leaves: int32 for each child: what to put into COLUMN.leaf.
        nparity, ashift: of the vdev.
        base: device offset of the children's byte 0.
        moved: the same for rows that a running expansion has moved.
        reflow: how far a running expansion has come, in sectors of the vdev's address space.
    """

    leaves: bytes
    def __init__(
        self, leaves: Any, nparity: int, ashift: int, base: int, *, moved: int = 0, reflow: int = ...
    ) -> None: ...
    def count(self, offsets: Any, psizes: Any, logical: Any | None = None) -> tuple[int, int]:
        """How many columns and groups ``fill`` needs room for; ``logical``: uint32, width at birth."""

    def fill(
        self, offsets: Any, psizes: Any, columns: Any, groups: Any, blocks: Any, logical: Any | None = None
    ) -> None: ...

class Draid:
    """One draid vdev; ``permutations``: rows of one byte for each child."""

    leaves: bytes
    permutations: bytes
    def __init__(
        self,
        leaves: Any,
        permutations: Any,
        ndata: int,
        nparity: int,
        nspares: int,
        ngroups: int,
        ashift: int,
        base: int,
    ) -> None: ...
    def count(self, offsets: Any, psizes: Any) -> tuple[int, int]: ...
    def fill(self, offsets: Any, psizes: Any, columns: Any, groups: Any, blocks: Any) -> None: ...

def draid_permutations(children: int, seed: int, nperms: int) -> tuple[bytes, int]:
    """The permutation rows that follow from a seed (``nperms`` rows of ``children`` bytes), and their checksum."""
