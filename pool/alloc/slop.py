"""What a pool keeps back so that space can always be freed.

Source: OpenZFS, spa_misc.c (``spa_get_slop_space``).
"""

from __future__ import annotations

SLOP_SHIFT = 5  # 1/32 of the pool is kept back,
SLOP_MIN = 128 << 20  # but at least this much, unless that is more than half of the pool,
SLOP_MAX = 128 << 30  # and at most this much


def slop_space(size: int, embedded_log: int = 0) -> int:
    """Bytes a pool keeps back so that it can always free space.

    Args:
        size: deflated size of the normal class, without vdevs that take no allocations.
        embedded_log: deflated size of the metaslabs set aside for the intent log.
    """
    slop = min(size >> SLOP_SHIFT, SLOP_MAX)
    slop -= min(embedded_log, slop >> 1)
    return max(slop, min(size >> 1, SLOP_MIN))
