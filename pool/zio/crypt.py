"""Encrypted blocks: decryption of data, and authentication of everything that stays in clear.

Data is compressed, encrypted, then checksummed. Each block has its own key, derived from the dataset's master
key and eight bytes of salt in its pointer, where its initialisation vector and its authentication code are too.
Of a dnode block only bonus buffers are encrypted; of types that must be readable without a key nothing is, and
a keyed hash of the stored bytes takes the code's place. Indirect blocks hash the codes of the pointers they
hold; the objset block carries two keyed hashes, over what travels in a raw stream and over what does not.

Source: OpenZFS, zio_crypt.c (whose header comment describes the scheme).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..errors import AuthenticationError, CorruptError, UnsupportedError
from ..ondisk import blkptr, dmutypes

MAC_SIZE = 16
OBJSET_MAC_SIZE = 32
MASTER_KEY_MAX = 32
#: Derived keys that are kept; with dedup every block has its own.
DERIVED_MAX = 512

DNODE_SIZE = 512
DNODE_CORE = 64
DNODE_NBLKPTR_MAX = 3
SPILL_FLAG = 4

CHAIN_SIZE = 184
CHAIN_AAD = 144
CHAIN_MAC = 168
RECORD_HEADER = 32
RECORD_WRITE, RECORD_CLONE_RANGE = 9, 24
WRITE_FIXED, WRITE_BP = 192, 64

_DNODE, _OBJSET = int(dmutypes.ObjectType.DNODE), int(dmutypes.ObjectType.OBJSET)
_SUITES: dict[int, tuple[type[AESCCM] | type[AESGCM], int]] = {
    3: (AESCCM, 16),
    4: (AESCCM, 24),
    5: (AESCCM, 32),
    6: (AESGCM, 16),
    7: (AESGCM, 24),
    8: (AESGCM, 32),
}
_PSIZE = np.uint64(0xFFFF << 16)
_COMPRESS = np.uint64(0x7F << 32)
_CHECKSUM = np.uint64(0xFF << 40)
_DEDUP, _ORDER = np.uint64(1 << 62), np.uint64(1 << 63)
_serials = count(1)


@dataclass(slots=True)
class _Pieces:
    """What of a block is cipher text (ranges), and what is authenticated with it."""

    text: list[slice]
    aad: bytearray

    def gather(self, data: bytes | bytearray) -> bytes:
        return b"".join(data[piece] for piece in self.text)

    def scatter(self, data: bytearray, plain: bytes) -> None:
        at = 0
        for piece in self.text:
            length = piece.stop - piece.start
            data[piece] = plain[at : at + length]
            at += length


class BlockKeys:
    """Keys of one dataset, unwrapped: opens its blocks.

    Args:
        suite: 3..5 AES-CCM, 6..8 AES-GCM, with 128, 192, 256 bits.
        master: master key, of the suite's length or longer.
        hmac_key: 64 bytes.
        version: of the scheme; 0 is the one of early releases, 1 the present one.

    Raises:
        UnsupportedError: unknown suite or version. AuthenticationError: a key that is too short.
    """

    def __init__(self, suite: int, master: bytes, hmac_key: bytes, version: int = 1) -> None:
        if suite not in _SUITES or version not in (0, 1):
            raise UnsupportedError("a dataset is encrypted in an unknown way", suite=suite, version=version)
        self.suite = suite
        self.version = version
        #: Tells these keys from any others of this process, for caches.
        self.serial = next(_serials)
        self._kind, length = _SUITES[suite]
        if len(master) < length:
            raise AuthenticationError("a master key is too short for its suite", suite=suite, length=len(master))
        self._master, self._hmac = master[:length], hmac_key
        self._cipher = lru_cache(maxsize=DERIVED_MAX)(self._derive)

    def open_stored(self, bp: Any, data: bytes) -> bytes:
        """The stored bytes of a level-0 block, decrypted as far as they were encrypted, and authenticated.

        Args:
            bp: the block's pointer, with the crypt bit set.
            data: the psize bytes it leads to.

        Raises:
            AuthenticationError: wrong key, or not what was written.
        """
        kind = int(blkptr.object_type(bp))
        if kind == _OBJSET:
            return data
        if not dmutypes.ENCRYPTED[kind]:
            if not hmac.compare_digest(self._mac(data)[:MAC_SIZE], mac_of(bp)):
                raise _forged("a block does not match its authentication code", bp)
            return data
        salt, iv = parameters_of(bp)
        if kind != _DNODE:
            return self._decrypt(salt, iv, data, mac_of(bp), None, bp)
        pieces = dnode_pieces(data, order_of(bp), self.version)
        plain = self._decrypt(salt, iv, pieces.gather(data), mac_of(bp), bytes(pieces.aad), bp)
        result = bytearray(data)
        pieces.scatter(result, plain)
        return bytes(result)

    def check_logical(self, bp: Any, data: bytes, order: str) -> None:
        """Check what is authenticated in its decompressed form: indirect blocks and objset blocks; others pass.

        Args:
            bp: the block's pointer, with the crypt bit set.
            data: its logical bytes.
            order: byte order of these bytes.

        Raises:
            AuthenticationError: not what was written.
        """
        if int(blkptr.level(bp)):
            if len(data) % blkptr.BLKPTR_SIZE:
                raise CorruptError("an indirect block is not made of block pointers", length=len(data))
            children = blkptr.from_bytes(data, order)
            found = hashlib.sha512(pointer_digest(children, self.version)).digest()
            if not hmac.compare_digest(found[:MAC_SIZE], mac_of(bp)):
                raise _forged("an indirect block does not match its authentication code", bp)
        elif int(blkptr.object_type(bp)) == _OBJSET:
            portable, local = self.objset_macs(data, order)
            if not hmac.compare_digest(portable + local, data[720:784]):
                raise _forged("an objset block does not match its authentication codes", bp)

    def objset_macs(self, data: bytes, order: str) -> tuple[bytes, bytes]:
        """The portable and the local authentication code an objset block ought to carry.

        Raises:
            CorruptError: too short for an objset block.
        """
        if len(data) < 1024:
            raise CorruptError("an objset block is too short", length=len(data))
        kind, flags = struct.unpack_from(order + "2Q", data, 704)
        meta = self._dnode_digest(data[:512], order)
        # The type is in big-endian order here, whoever wrote it.
        portable = self._mac(struct.pack(">Q", kind) + bytes(8) + meta)
        accounting = [data[at : at + 512] for at in (1024, 1536, 2048) if len(data) >= at + 512]
        used = [dnode for dnode in accounting if dnode[0]]
        if not flags & 1 or not used:
            return portable[:OBJSET_MAC_SIZE], bytes(OBJSET_MAC_SIZE)
        digests = b"".join(self._dnode_digest(dnode, order) for dnode in used)
        local = self._mac(struct.pack("<Q", flags) + digests)
        return portable[:OBJSET_MAC_SIZE], local[:OBJSET_MAC_SIZE]

    def open_log(self, bp: Any, data: bytes, order: str) -> bytes:
        """An intent log block (whose embedded checksum was verified) with its records decrypted.

        Args:
            bp: the pointer to the log block; holds salt and initialisation vector.
            data: the block.
            order: its byte order.

        Raises:
            AuthenticationError: wrong key, or not what was written. CorruptError: records that do not fit.
        """
        pieces = log_pieces(data, order)
        salt, iv = parameters_of(bp)
        code = data[CHAIN_MAC : CHAIN_MAC + MAC_SIZE]
        plain = self._decrypt(salt, iv, pieces.gather(data), code, bytes(pieces.aad), bp)
        result = bytearray(data)
        pieces.scatter(result, plain)
        return bytes(result)

    # ---- primitives -----------------------------------------------------------------------------------------------

    def _derive(self, salt: bytes) -> AESCCM | AESGCM:
        key = HKDF(SHA512(), len(self._master), salt=None, info=salt).derive(self._master)
        return self._kind(key)

    def _decrypt(self, salt: bytes, iv: bytes, text: bytes, code: bytes, aad: bytes | None, bp: Any) -> bytes:
        try:
            return self._cipher(salt).decrypt(iv, text + code, aad)
        except InvalidTag:
            raise _forged("an encrypted block does not match its authentication code", bp) from None
        except (ValueError, OverflowError) as error:
            # AES-CCM with this length of vector ends one byte short of 16 MiB.
            raise UnsupportedError("a block is too long for its cipher", length=len(text)) from error

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._hmac, data, "sha512")

    def _dnode_digest(self, dnode: bytes, order: str) -> bytes:
        return dnode_digest(memoryview(dnode), order, self.version)


def _forged(text: str, bp: Any) -> AuthenticationError:
    offset = int(blkptr.dva_offset(bp)[0])
    return AuthenticationError(text, "wrong key, or changed on disk", vdev=int(blkptr.dva_vdev(bp)[0]), offset=offset)


# ---- what a pointer holds --------------------------------------------------------------------------


def order_of(bp: Any) -> str:
    """Byte order the block was written in."""
    return "<" if bool(blkptr.is_little(bp)) else ">"


def mac_of(bp: Any) -> bytes:
    """The authentication code in a pointer: 16 bytes."""
    words = bp["cksum"].tolist()
    return struct.pack(order_of(bp) + "2Q", words[2], words[3])


def parameters_of(bp: Any) -> tuple[bytes, bytes]:
    """Salt (8 bytes) and initialisation vector (12 bytes) in the pointer of an encrypted block."""
    order = order_of(bp)
    salt, start = bp["dva"][2].tolist()
    return struct.pack(order + "Q", salt), struct.pack(order + "QI", start, int(bp["fill"]) >> 32)


def pointer_digest(bps: blkptr.BpArray, version: int) -> bytes:
    """What is authenticated of block pointers: some properties, their own codes; 32 bytes each (version 0: 24)."""
    prop = bps["prop"].copy()
    if version == 0:
        prop &= ~(_PSIZE | _CHECKSUM | _DEDUP)
    else:
        prop &= ~(_CHECKSUM | _DEDUP)
        prop[blkptr.level(bps) != 0] &= ~(_ORDER | _COMPRESS | _PSIZE)
        prop[blkptr.is_hole(bps)] = 0
    codes = bps["cksum"][:, 2:].copy()
    foreign = ~blkptr.is_little(bps)
    codes[foreign] = codes[foreign].byteswap()
    codes[blkptr.object_type(bps) == _OBJSET] = 0
    words = np.zeros((len(bps), 3 if version == 0 else 4), dtype="<u8")
    words[:, 0] = prop
    words[:, 1:3] = codes
    return words.tobytes()


# ---- dnode blocks ----------------------------------------------------------------------------------


def dnode_digest(dnode: memoryview, order: str, version: int) -> bytes:
    """What is authenticated of a dnode besides its bonus: its head without accounting, and its pointers.

    Args:
        dnode: its slots, all of them.
        order: their byte order.
        version: of the scheme.

    Raises:
        CorruptError: more pointers than fit.
    """
    start, end, spill = bonus_range(dnode)
    head = bytearray(dnode[:DNODE_CORE])
    head[7] &= SPILL_FLAG
    if order == ">":
        sizes = struct.unpack_from(">2H", head, 8)
        struct.pack_into("<2H", head, 8, *sizes)
        struct.pack_into("<Q", head, 16, *struct.unpack_from(">Q", head, 16))
    head[24:32] = bytes(8)
    pointers = bytes(dnode[DNODE_CORE:start]) + (bytes(dnode[end : end + blkptr.BLKPTR_SIZE]) if spill else b"")
    return bytes(head) + pointer_digest(blkptr.from_bytes(pointers, order), version)


def bonus_range(dnode: memoryview) -> tuple[int, int, bool]:
    """Start and end of a dnode's bonus area within its slots, and whether a spill pointer follows it.

    Raises:
        CorruptError: more pointers than fit.
    """
    nblkptr, spill = dnode[3], bool(dnode[7] & SPILL_FLAG)
    start = DNODE_CORE + nblkptr * blkptr.BLKPTR_SIZE
    end = len(dnode) - (blkptr.BLKPTR_SIZE if spill else 0)
    if nblkptr > DNODE_NBLKPTR_MAX or start > end:
        raise CorruptError("a dnode has more block pointers than fit", nblkptr=nblkptr, spill=spill)
    return start, end, spill


def dnode_pieces(data: bytes, order: str, version: int) -> _Pieces:
    """Cipher text and authenticated clear text of a dnode block.

    Raises:
        CorruptError: dnodes that do not fit the block.
    """
    view = memoryview(data)
    pieces = _Pieces([], bytearray())
    at = 0
    while at < len(data):
        size = (view[at + 12] + 1) * DNODE_SIZE if at + DNODE_SIZE <= len(data) else DNODE_SIZE
        if at + size > len(data):
            raise CorruptError("a dnode reaches beyond its block", slot=at // DNODE_SIZE, size=size)
        dnode = view[at : at + size]
        start, end, _ = bonus_range(dnode)
        pieces.aad += dnode_digest(dnode, order, version)
        if dnode[0] and dmutypes.ENCRYPTED[dnode[4]] and (dnode[10] or dnode[11]):
            pieces.text.append(slice(at + start, at + end))
        else:
            pieces.aad += dnode[start:end]
        at += size
    return pieces


# ---- log blocks ------------------------------------------------------------------------------------


def _records(data: bytes, order: str) -> Iterator[tuple[int, int, int]]:
    """(offset, length, type) of the records of a log block."""
    if len(data) < CHAIN_SIZE:
        raise CorruptError("a log block is too short", length=len(data))
    (used,) = struct.unpack_from(order + "Q", data, 136)
    if not CHAIN_SIZE <= used <= len(data):
        raise CorruptError("a log block uses more bytes than it has", used=used, length=len(data))
    at = CHAIN_SIZE
    while at < used:
        if used - at < RECORD_HEADER:
            raise CorruptError("a log record ends in the middle of its head", offset=at)
        kind, length = struct.unpack_from(order + "2Q", data, at)
        least = WRITE_FIXED if kind == RECORD_WRITE else WRITE_BP if kind == RECORD_CLONE_RANGE else RECORD_HEADER
        if not least <= length <= used - at or length % 8:
            raise CorruptError("a log record does not fit its block", offset=at, length=length)
        yield at, length, kind
        at += length


def log_pieces(data: bytes, order: str) -> _Pieces:
    """Cipher text and authenticated clear text of an intent log block.

    Raises:
        CorruptError: records that do not fit the block.
    """
    pieces = _Pieces([], bytearray(data[:CHAIN_AAD]))
    for at, length, kind in _records(data, order):
        pieces.aad += data[at : at + RECORD_HEADER]
        if kind == RECORD_WRITE:
            pieces.text.append(slice(at + RECORD_HEADER, at + WRITE_BP))
            pieces.aad += data[at + WRITE_BP : at + WRITE_FIXED]
            if length > WRITE_FIXED:
                pieces.text.append(slice(at + WRITE_FIXED, at + length))
        elif kind == RECORD_CLONE_RANGE:
            pieces.text.append(slice(at + RECORD_HEADER, at + WRITE_BP))
            pieces.aad += data[at + WRITE_BP : at + length]
        else:
            pieces.text.append(slice(at + RECORD_HEADER, at + length))
    return pieces
