"""Block pointers in zdb's words."""

from __future__ import annotations

import numpy as np
from uberblock.pool.cli.blkptrtext import blkptr_text
from uberblock.pool.ondisk.blkptr import BLKPTR


def test_an_array_of_one_is_a_pointer_too() -> None:
    """``zdb -u`` ended in a TypeError on every pool: an uberblock's root pointer is an array of one."""
    one = np.zeros(1, dtype=BLKPTR)
    assert blkptr_text(one) == blkptr_text(one[0])
