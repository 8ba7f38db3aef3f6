"""OpenZFS's checksums, called inside its user-space library (libzpool) where that is installed.

What is called are the functions that its pipeline calls: fletcher over a plain buffer, the others over an abd, its
descriptor of a buffer. Each has several implementations; the library is told which one to use.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import turns

#: Checksum -> its functions for data of this and of the other byte order.
FLETCHER = {
    "fletcher2": ("fletcher_2_native", "fletcher_2_byteswap"),
    "fletcher4": ("fletcher_4_native", "fletcher_4_byteswap"),
}
HASHES = {
    "sha256": "abd_checksum_sha256",
    "sha512": "abd_checksum_sha512_native",
    "skein": "abd_checksum_skein_native",
    "edonr": "abd_checksum_edonr_native",
    "blake3": "abd_checksum_blake3_native",
}
FLETCHER4_BEST = (b"avx512bw", b"avx512f", b"aarch64_neon", b"avx2", b"superscalar4", b"scalar")
SHOWN = 2  # implementations of each, the best by the library's own order


class Choice(ctypes.Structure):
    """zfs_impl_t of sys/zfs_impl.h: how an algorithm is asked for its implementations."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("getcnt", ctypes.CFUNCTYPE(ctypes.c_uint32)),
        ("getid", ctypes.CFUNCTYPE(ctypes.c_uint32)),
        ("getname", ctypes.CFUNCTYPE(ctypes.c_char_p)),
        ("set_fastest", ctypes.CFUNCTYPE(None, ctypes.c_uint32)),
        ("setid", ctypes.CFUNCTYPE(None, ctypes.c_uint32)),
        ("setname", ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p)),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """libzpool of OpenZFS 2.2 or later, ready; None where there is none."""
    for name in ("libzpool.so.6", "libzpool.so.5", "libzpool.so"):
        try:
            found = ctypes.CDLL(name)
            found.abd_init()
            found.fletcher_4_init()
            found.abd_get_from_buf.restype = ctypes.c_void_p
            found.zfs_impl_get_ops.restype = ctypes.POINTER(Choice)
        except (OSError, AttributeError):
            continue
        return found
    return None


def address(name: str) -> int:
    value = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value
    assert value is not None
    return value


def select_fletcher4(name: bytes) -> int:
    """0 where the library has this implementation, and uses it from now on."""
    found = library()
    assert found is not None
    return int(found.fletcher_4_impl_set(name))


def implementations(name: str) -> list[tuple[str, Callable[[], object]]]:
    """Name and call that selects it, of the best implementations; one without a name where there is no choice."""
    found = library()
    if found is None:
        return []
    if name == "fletcher4":
        names = [each for each in FLETCHER4_BEST if select_fletcher4(each) == 0][:SHOWN]
        return [(each.decode(), functools.partial(select_fletcher4, each)) for each in names]
    if name not in ("sha256", "sha512", "blake3"):
        return [("", turns.nothing)]
    choice = found.zfs_impl_get_ops(name.encode()).contents
    listed = []
    for number in reversed(range(choice.getcnt())):
        choice.setid(number)
        listed.append((choice.getname().decode(), functools.partial(choice.setid, number)))
    return listed[:SHOWN]


def handles(starts: NDArray[np.uintp], size: int) -> NDArray[np.uintp]:
    """OpenZFS's descriptors of blocks; those of the last call are given back."""
    found = library()
    assert found is not None
    for each in made:
        found.abd_free(ctypes.c_void_p(each))
    made[:] = [found.abd_get_from_buf(ctypes.c_void_p(int(at)), ctypes.c_size_t(size)) for at in starts]
    return np.array(made, np.uintp)


made: list[int] = []


@dataclass(frozen=True)
class Blocks:
    """Blocks one after the other, ``count`` of ``size`` bytes, as arguments of OpenZFS's functions."""

    arena: NDArray[np.uint8]
    size: int
    count: int

    @property
    def starts(self) -> NDArray[np.uintp]:
        first = self.arena.ctypes.data
        return np.arange(first, first + self.count * self.size, self.size, dtype=np.uintp)

    def contenders(self, name: str, byteswap: bool, salt: bytes) -> list[turns.Contender]:
        found = library()
        if found is None or (byteswap and name not in FLETCHER):
            return []
        result = (ctypes.c_uint64 * 4)()
        keep: list[object] = [self.arena, result]
        if name in FLETCHER:
            data, function = self.starts, FLETCHER[name][byteswap]
        else:
            data, function = handles(self.starts, self.size), HASHES[name]
        contenders = []
        for kind, use in implementations(name):
            use()  # what is prepared for a salt remembers the implementation
            prepared = template(name, kind, salt)
            items = turns.rows(self.count, data, self.size, prepared, ctypes.addressof(result))
            run = turns.function(address(function), items, keep)
            contenders.append(turns.Contender(f"OpenZFS {kind}".strip(), run, False, use))
        return contenders


@functools.cache
def template(name: str, kind: str, salt: bytes) -> int:
    """What OpenZFS prepares once a pool for a salted checksum, by the implementation in use, ``kind``; 0 for the
    others."""
    make = getattr(library(), f"abd_checksum_{name}_tmpl_init", None)
    if make is None:
        return 0
    make.restype = ctypes.c_void_p
    return int(make(ctypes.create_string_buffer(salt, len(salt))))
