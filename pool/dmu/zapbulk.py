"""Many new names in a ZAP at once.

In a micro ZAP the block grows to its final size in one step and all names are hashed in one call. In a fat one names
come in the order of their hashes, so that each leaf is changed once, and its header is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from uberblock.kernels import zaphash

from ..ondisk.zap import MICRO_ENTRY_SIZE, MICRO_NAME_MAX
from .microzap import HASH_MASK, MicroEntries
from .mutablezap import MICRO_LIMIT, encode_value
from .textprep import normalize
from .zapleaf import chunks_for

if TYPE_CHECKING:
    from .mutablezap import MutableZap
    from .zapleaf import LeafBlock


def add_many(zap: MutableZap, entries: Mapping[bytes, int]) -> None:
    """Add entries that are one 64-bit integer each, inside a transaction that does not outlive a failure of this.

    Args:
        zap: whose keys are names. entries: name -> value.

    Raises:
        as ``MutableZap.add``.
    """
    zap._fresh()
    micro = zap._entries
    if micro is not None and len(entries) > 1 and _add_micro(zap, micro, entries):
        return
    if micro is None and len(entries) > 1 and not zap._fat.flags:
        _add_fat(zap, entries)
        return
    for name, value in entries.items():
        zap.add(name, value)


def _add_micro(zap: MutableZap, micro: MicroEntries, entries: Mapping[bytes, int]) -> bool:
    """Returns: False: they may not fit, or there is something wrong with one; nothing was changed."""
    size = -(-MICRO_ENTRY_SIZE * (1 + len(micro) + len(entries)) // 512) * 512
    if size > MICRO_LIMIT:
        return False
    for name in entries:
        if not 0 < len(name) <= MICRO_NAME_MAX or b"\0" in name or name in micro:
            return False
    hashes = _hashes(micro.salt, micro.normflags, entries, HASH_MASK)
    if not micro.leaves_can_hold(hashes):
        return False
    zap._begin()
    if size > zap.dnode.datablksz:
        zap.dnode.set_block_size(size)
        micro.grow(size)
    block = zap.dnode.dirty_block(0)
    for (name, value), hashed in zip(entries.items(), hashes):
        micro.add(name, value, hashed, block)
    zap._end()
    return True


def _add_fat(zap: MutableZap, entries: Mapping[bytes, int]) -> None:
    header = zap._fat
    hashes = _hashes(header.salt, header.normflags, entries, header.hash_mask)
    last: LeafBlock | None = None
    zap._begin()
    for hashed, name, value in sorted(zip(hashes, entries, entries.values())):
        stored, data = zap._stored_name(name), encode_value(value, 8)
        blkid, leaf = zap._leaf_at(hashed)
        chain = leaf.chain(hashed)
        if leaf.match(chain, hashed, stored) is not None:
            raise zap._exists(name)
        if leaf.nfree < 1 + chunks_for(len(stored)) + chunks_for(len(data)):
            zap._insert(hashed, stored, 8, data)
            last = None
            continue
        if leaf is not last:
            last = zap._change(blkid, leaf)
        leaf.add(hashed, stored, 8, data, None, chain)
    zap._count(len(entries))
    zap._end()


def _hashes(salt: int, normflags: int, entries: Mapping[bytes, int], mask: int) -> list[int]:
    found = np.zeros(len(entries), dtype=np.uint64)
    zaphash.hash_names(salt, [normalize(name, normflags) for name in entries] if normflags else entries, found)
    hashes: list[int] = (found & np.uint64(mask)).tolist()
    return hashes
