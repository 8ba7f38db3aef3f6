"""The cache of metadata blocks."""

from __future__ import annotations

import threading

import numpy as np
from uberblock.pool.ondisk import blkptr
from uberblock.pool.zio.cache import BlockCache
from uberblock.pool.zio.crypt import BlockKeys


def pointer(**fields):
    bp = np.zeros(1, dtype=blkptr.BLKPTR)
    bp["dva"][0, 0] = 8, 16
    bp["birth"] = 5
    for name, value in fields.items():
        bp[name] = value
    return bp[0]


def test_least_recently_used_goes_first():
    cache = BlockCache(100)
    for k in range(3):
        cache.put((k,), bytes(30))
    assert cache.get((0,)) is not None
    cache.put((3,), bytes(30))
    assert [cache.get((k,)) is not None for k in range(4)] == [True, False, True, True]
    assert cache.size == 90 and (cache.hits, cache.misses) == (4, 1)
    cache.put((0,), bytes(10))
    assert cache.size == 70
    cache.put((9,), bytes(101))
    assert cache.get((9,)) is None
    cache.clear()
    assert cache.size == 0 and cache.get((0,)) is None


def test_keys_tell_blocks_apart():
    key = BlockCache.key
    plain = key(pointer(), False, None)
    assert plain == key(pointer(fill=7, pad=(1, 0)), False, None), "what does not change the bytes"
    for other in (pointer(birth=6), pointer(phys_birth=6), pointer(prop=1), pointer(cksum=(0, 0, 0, 1))):
        assert key(other, False, None) != plain
    assert key(pointer(prop=1 << 39), False, None) is None
    assert key(np.zeros(1, dtype=blkptr.BLKPTR)[0], False, None) is None
    crypt = pointer(prop=1 << 61)
    mine, yours = (BlockKeys(8, bytes(32), bytes(64)) for _ in range(2))
    assert len({key(crypt, True, None), key(crypt, False, mine), key(crypt, False, yours)}) == 3
    assert key(pointer(), True, None) == key(pointer(), False, mine) == plain


def test_threads():
    cache = BlockCache(1000)

    def work(seed):
        for k in range(500):
            cache.put(((seed * k) % 37,), bytes(k % 90))
            cache.get((k % 37,))

    threads = [threading.Thread(target=work, args=(n + 1,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 <= cache.size <= 1000
