"""How a block is written: checksum, compression, copies and class, from what it is and the dataset's settings.

Metadata (blocks of pointers, and of the types that are marked so) is always compressed, always has a strong or
fletcher-4 checksum, and one copy more than data; data follows the properties.

Source: OpenZFS, dmu.c (``dmu_write_policy``), dmu_objset.c, spa_misc.c (``spa_preferred_class``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..alloc.classes import AllocClass
from ..ondisk import dmutypes
from ..ondisk.dmutypes import ObjectType
from ..ondisk.objset import SIZE_V3
from ..zio.checksum import Checksum
from ..zio.compress import Compression
from ..zio.writer import WritePolicy

COPIES_MAX = 3
#: Checksums that metadata may have; under any other one it has fletcher-4.
_FOR_METADATA = frozenset(
    {Checksum.FLETCHER4, Checksum.SHA256, Checksum.SHA512, Checksum.SKEIN, Checksum.EDONR, Checksum.BLAKE3}
)
#: Types that ``redundant_metadata=some`` does not count as critical, besides data.
_NOT_CRITICAL = frozenset({ObjectType.DIRECTORY_CONTENTS, ObjectType.SA})
_NEVER_EMBEDDED = frozenset({ObjectType.DNODE, ObjectType.OBJSET})


@dataclass(frozen=True, slots=True)
class WriteSettings:
    """What a dataset's properties, and the pool's features, say about its blocks.

    Attributes:
        checksum, compress: ids of algorithms, never ``inherit`` or ``on``; complevel: of gzip and zstd, 0: its own.
        copies: 1 to 3. redundant_metadata: ``all``, ``most``, ``some`` or ``none``.
        special_small: data blocks up to this size go to special vdevs. has_special, has_dedup: there are such vdevs.
        compress_metadata: LZ4, or LZJB on pools that do not know it; OFF in late passes.
        embed, hole_birth: the features are enabled. ditto: the pool knows more than one copy.
        mos: this is the pool's own object set: three copies of everything.
    """

    checksum: int = Checksum.FLETCHER4
    compress: int = Compression.LZ4
    complevel: int = 0
    copies: int = 1
    redundant_metadata: str = "all"
    special_small: int = 0
    has_special: bool = False
    has_dedup: bool = False
    compress_metadata: int = Compression.LZ4
    embed: bool = True
    hole_birth: bool = True
    ditto: bool = True
    mos: bool = False
    objset_size: int = SIZE_V3


@lru_cache(maxsize=4096)
def policy_for(
    settings: WriteSettings, kind: int, level: int, checksum: int = 0, compress: int = 0, size: int = 0
) -> WritePolicy:
    """The policy of one kind of block.

    Args:
        settings: of the object set.
        kind: object type (of a spill block: the bonus type). level: in the tree.
        checksum, compress: of the dnode; 0: the object set's.
        size: logical bytes, which matter for small blocks on special vdevs.
    """
    meta = level > 0 or bool(dmutypes.METADATA[kind]) or kind == ObjectType.SA
    if meta:
        check = settings.checksum if settings.checksum in _FOR_METADATA else Checksum.FLETCHER4
        press, complevel = settings.compress_metadata, 0
    else:
        check = checksum or settings.checksum
        press, complevel = compress or settings.compress, 0 if compress else settings.complevel
    if settings.mos:
        check = Checksum.FLETCHER4
    return WritePolicy(
        type=kind,
        level=level,
        checksum=check,
        compress=press,
        complevel=complevel,
        copies=_copies(settings, kind, level, meta),
        cls=_class(settings, kind, meta, size),
        embed=settings.embed and level == 0 and kind not in _NEVER_EMBEDDED,
        hole_birth=settings.hole_birth,
    )


def _copies(settings: WriteSettings, kind: int, level: int, meta: bool) -> int:
    if not settings.ditto:
        return 1
    if settings.mos:
        return COPIES_MAX
    rule = settings.redundant_metadata
    listed = bool(dmutypes.METADATA[kind])
    critical = listed and not (kind == ObjectType.DNODE and level == 0) and kind not in _NOT_CRITICAL
    more = {
        "all": meta,
        "most": level >= 2 or listed or (meta and level == 0),
        "some": critical,
    }.get(rule, False)
    return min(settings.copies + more, COPIES_MAX)


def _class(settings: WriteSettings, kind: int, meta: bool, size: int) -> AllocClass:
    if kind in (ObjectType.DDT_ZAP,) and settings.has_dedup:
        return AllocClass.DEDUP
    if settings.has_special and (meta or 0 < size <= settings.special_small):
        return AllocClass.SPECIAL
    return AllocClass.NORMAL
