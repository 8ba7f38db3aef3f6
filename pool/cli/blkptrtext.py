"""A block pointer in zdb's words."""

from __future__ import annotations

from ..ondisk import blkptr, dmutypes
from ..ondisk.blkptr import BpArray

CHECKSUMS = {
    0: "inherit", 1: "on", 2: "off", 3: "label", 4: "gang_header", 5: "zilog", 6: "fletcher2", 7: "fletcher4",
    8: "sha256", 9: "zilog2", 10: "noparity", 11: "sha512", 12: "skein", 13: "edonr", 14: "blake3",
}  # fmt: skip
COMPRESSIONS = {
    0: "inherit", 1: "on", 2: "uncompressed", 3: "lzjb", 4: "empty", **{4 + n: f"gzip-{n}" for n in range(1, 10)},
    14: "zle", 15: "lz4", 16: "zstd",
}  # fmt: skip
_COPIES = ("zero", "single", "double", "triple")


def type_text(number: int) -> str:
    """The type's name, or a mark for a number without meaning."""
    return dmutypes.type_info(number).text if dmutypes.type_is_valid(number) else f"UNKNOWN {number}"


def object_type_text(number: int) -> str:
    """The type's name as lists of objects have it: shorter for those that are not numbered one by one."""
    if dmutypes.type_is_valid(number) and number & dmutypes.NEW_TYPE:
        return dmutypes.type_info(number).swap.text
    return type_text(number)


def blkptr_text(bp: BpArray) -> str:
    """One line for one block pointer (or an array of one), in the form zdb prints."""
    bp = bp.reshape(())[()]
    head = f"[L{int(blkptr.level(bp))} {type_text(int(blkptr.object_type(bp)))}]"
    birth = int(bp["birth"])
    lsize, psize = int(blkptr.lsize(bp)), int(blkptr.psize(bp))
    compression = COMPRESSIONS.get(int(blkptr.compression(bp)), f"compression-{int(blkptr.compression(bp))}")
    if bool(blkptr.is_embedded(bp)):
        etype = int(blkptr.checksum(bp))
        if etype == blkptr.ETYPE_REDACTED:
            return f"REDACTED {head} size={lsize:x}L birth={birth}L"
        return f"EMBEDDED {head} et={etype} {compression} size={lsize:x}L/{psize:x}P birth={birth}L"
    if bool(blkptr.is_hole(bp)):
        return f"HOLE {head} size={lsize:x}L birth={birth}L"
    asizes, vdevs, offsets = blkptr.dva_asize(bp), blkptr.dva_vdev(bp), blkptr.dva_offset(bp)
    dvas = [
        f"DVA[{i}]=<{int(vdevs[i])}:{int(offsets[i]):x}:{int(asizes[i]):x}>" for i in range(3) if int(asizes[i]) != 0
    ]
    words = [
        *dvas,
        head,
        CHECKSUMS.get(int(blkptr.checksum(bp)), f"checksum-{int(blkptr.checksum(bp))}"),
        compression,
        _crypt_text(bp),
        "LE" if bool(blkptr.is_little(bp)) else "BE",
        "gang" if bool(blkptr.is_gang(bp)) else "contiguous",
        "dedup" if bool(blkptr.is_dedup(bp)) else "unique",
        _COPIES[len(dvas)],
        f"size={lsize:x}L/{psize:x}P",
        f"birth={birth}L/{int(blkptr.physical_birth(bp))}P",
        f"fill={_fill(bp)}",
        "cksum=" + ":".join(f"{int(word):016x}" for word in bp["cksum"]),
    ]
    return " ".join(words)


def _is_encrypted_type(bp: BpArray) -> bool:
    return int(blkptr.level(bp)) == 0 and bool(dmutypes.ENCRYPTED[int(blkptr.object_type(bp))])


def _crypt_text(bp: BpArray) -> str:
    if not bool(blkptr.is_crypt(bp)):
        return "unencrypted"
    if int(blkptr.level(bp)) > 0:
        return "indirect-MAC"
    return "encrypted" if _is_encrypted_type(bp) else "authenticated"


def _fill(bp: BpArray) -> int:
    fill = int(bp["fill"])
    # Encrypted level-0 blocks keep a part of their IV in the upper half.
    return fill & 0xFFFFFFFF if bool(blkptr.is_crypt(bp)) and _is_encrypted_type(bp) else fill
