"""Pool checkpoints: the uberblock of a moment that is kept whole.

Source: OpenZFS, spa_checkpoint.c.
"""

from __future__ import annotations

import struct

from ..errors import CorruptError, NotFoundError
from ..ondisk import uberblock
from ..ondisk.uberblock import Uberblock
from .mos import CHECKPOINT, Directory

WORDS = uberblock.UBERBLOCK_SIZE // 8


def has_checkpoint(directory: Directory) -> bool:
    """A checkpoint exists."""
    return CHECKPOINT in directory


def checkpoint_uberblock(directory: Directory) -> Uberblock:
    """The uberblock that the checkpoint keeps.

    Raises:
        NotFoundError: there is no checkpoint.
        CorruptError: it is damaged.
    """
    words = directory.words(CHECKPOINT)
    if not words:
        raise NotFoundError("the pool has no checkpoint")
    if len(words) > 1024:
        raise CorruptError("the checkpoint's uberblock is too long", words=len(words))
    found = uberblock.decode(struct.pack(f"<{len(words)}Q", *words).ljust(uberblock.UBERBLOCK_SIZE, b"\0"))
    if not found.checkpoint_txg:
        raise CorruptError("the checkpoint's uberblock does not say its txg")
    return found
