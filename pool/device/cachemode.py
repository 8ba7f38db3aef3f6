"""Cache modes: what stands between a write and stable storage, by the names that QEMU gave them.

==============  ===============  ======================  ==========================================================
mode            host page cache  a write returns         a flush
==============  ===============  ======================  ==========================================================
``writeback``   used             when it is in memory    ``fdatasync``: waits for all of it, and the disk's cache
``none``        passed by        when the disk has it    ``fdatasync``: empties the disk's own cache
``writethrough``  used           when it is durable      nothing is left to do
``directsync``  passed by        when it is durable      nothing is left to do
``unsafe``      used             when it is in memory    is ignored: a power cut may cost the whole pool
==============  ===============  ======================  ==========================================================

All but ``unsafe`` keep the contract of ``base.py``. Passed by means ``O_DIRECT``, durable when it returns ``O_DSYNC``.

Source: QEMU, qemu-options.hx (``-drive cache=``).
"""

from __future__ import annotations

from typing import Literal, get_args

from ..errors import UsageError

CacheMode = Literal["writeback", "none", "writethrough", "directsync", "unsafe"]
CACHE_MODES: tuple[CacheMode, ...] = get_args(CacheMode)

#: Modes in which the host's page cache is passed by.
DIRECT: tuple[CacheMode, ...] = ("none", "directsync")
#: Modes in which a write is durable when it returns.
SYNCHRONOUS: tuple[CacheMode, ...] = ("writethrough", "directsync")


def cache_mode(word: str) -> CacheMode:
    """The mode of this name.

    Raises:
        UsageError: there is none.
    """
    for mode in CACHE_MODES:
        if mode == word:
            return mode
    raise UsageError(f"there is no cache mode {word!r}", f"take one of {', '.join(CACHE_MODES)}")
