"""From a dataset's properties to how its blocks are written.

Source: OpenZFS, dmu_objset.c (the ``*_changed_cb`` functions), zio_compress.c, zio_checksum.c.
"""

from __future__ import annotations

from ..dmu.writepolicy import WriteSettings
from ..errors import UnsupportedError
from ..zio.checksum import Checksum
from ..zio.compress import Compression
from . import props
from .dataset import DslDataset

ON = 1
OFF = 2
#: A number that names compression holds the level of zstd above these bits. Source: zio_compress.h.
LEVEL_SHIFT = 7
REDUNDANT = ("all", "most", "some", "none")


def settings_of(dataset: DslDataset, pool: WriteSettings) -> WriteSettings:
    """How a dataset's blocks are written.

    Args:
        dataset: a head.
        pool: settings of the MOS, for what the pool's features say.

    Raises:
        UnsupportedError: properties that ask for what is not written here.
    """
    if _number(dataset, "dedup", OFF) != OFF:
        raise UnsupportedError("blocks are not deduplicated when written", "set dedup=off", dataset=dataset.name)
    if dataset.encrypted:
        raise UnsupportedError("encrypted datasets are not written", "open the pool read-only", dataset=dataset.name)
    press, level = compression(_number(dataset, "compression", ON), pool.compress_metadata)
    rule = _number(dataset, "redundant_metadata", 0)
    return WriteSettings(
        checksum=checksum(_number(dataset, "checksum", ON)),
        compress=press,
        complevel=level,
        copies=_number(dataset, "copies", 1),
        redundant_metadata=REDUNDANT[rule] if 0 <= rule < len(REDUNDANT) else REDUNDANT[0],
        special_small=_number(dataset, "special_small_blocks", 0),
        has_special=pool.has_special,
        has_dedup=pool.has_dedup,
        compress_metadata=pool.compress_metadata,
        embed=pool.embed,
        hole_birth=pool.hole_birth,
        ditto=pool.ditto,
    )


def checksum(number: int) -> int:
    """The algorithm that a value of ``checksum`` stands for."""
    return Checksum.FLETCHER4 if number == ON else number


def compression(number: int, on: int) -> tuple[int, int]:
    """Algorithm and level that a value of ``compression`` stands for (level 0: the algorithm's own).

    Args:
        on: what ``on`` means in this pool.
    """
    level, press = number >> LEVEL_SHIFT, number & ((1 << LEVEL_SHIFT) - 1)
    if press == ON:
        return on, 0
    if Compression.GZIP_1 <= press <= Compression.GZIP_9:
        return press, press - Compression.GZIP_1 + 1
    return press, level


def _number(dataset: DslDataset, name: str, default: int) -> int:
    value = props.get(dataset, name).raw
    return value if isinstance(value, int) else default
