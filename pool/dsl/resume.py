"""Where an interrupted receive stands, and the token that asks the sender to go on from there.

The token is text: version, a checksum, a length, and a compressed nvlist in hexadecimal digits.

Source: OpenZFS, dsl_dataset.c (``get_receive_resume_token``), libzfs_sendrecv.c.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..dmu.zap import ZapEntry
from ..ondisk.dsl import (
    DATASET_REDACTED,
    RESUME_BYTES,
    RESUME_COMPRESS,
    RESUME_EMBED,
    RESUME_FROMGUID,
    RESUME_LARGEBLOCK,
    RESUME_OBJECT,
    RESUME_OFFSET,
    RESUME_RAW,
    RESUME_REDACT_BOOKMARK,
    RESUME_TOGUID,
    RESUME_TONAME,
)
from ..ondisk.nvlist import encode
from ..ondisk.nvpair import NVList, NvType
from .mosobj import byte_string, one_number, text_of

TOKEN_VERSION = 1
TOKEN_GZIP_LEVEL = 6


@dataclass(frozen=True, slots=True)
class ResumeState:
    """An interrupted receive: from and to which snapshot, how far it came, and what the stream may contain."""

    toguid: int
    toname: str = ""
    fromguid: int | None = None
    object: int = 0
    offset: int = 0
    bytes: int = 0
    large_blocks: bool = False
    embedded: bool = False
    compressed: bool = False
    raw: bool = False
    redact_snapshots: tuple[int, ...] | None = None
    redact_bookmark_snapshots: tuple[int, ...] | None = None

    @property
    def token(self) -> str:
        """The text for ``zfs send -t``."""
        packed = encode(self._pairs(), "native", "<")
        compressed = zlib.compress(packed, TOKEN_GZIP_LEVEL)
        whole_words = len(compressed) // 4 * 4
        # First word of fletcher4: the plain sum.
        checksum = int(np.frombuffer(compressed[:whole_words], dtype="<u4").sum(dtype=np.uint64))
        return f"{TOKEN_VERSION}-{checksum:x}-{len(packed):x}-{compressed.hex()}"

    def _pairs(self) -> NVList:
        pairs = NVList()
        if self.fromguid is not None:
            pairs.add("fromguid", self.fromguid)
        for name in ("object", "offset", "bytes", "toguid"):
            pairs.add(name, getattr(self, name))
        pairs.add("toname", self.toname)
        marks = (
            ("largeblockok", self.large_blocks),
            ("embedok", self.embedded),
            ("compressok", self.compressed),
            ("rawok", self.raw),
        )
        for name, there in marks:
            if there:
                pairs.add(name, True, NvType.BOOLEAN)
        if self.redact_snapshots is not None:
            pairs.add("redact_snaps", list(self.redact_snapshots), NvType.UINT64_ARRAY)
        if self.redact_bookmark_snapshots is not None:
            pairs.add("book_redact_snaps", list(self.redact_bookmark_snapshots), NvType.UINT64_ARRAY)
        return pairs


def resume_state(fields: Mapping[str, ZapEntry]) -> ResumeState | None:
    """The state kept in a dataset's further entries; None where no receive was interrupted.

    Raises:
        CorruptError: an entry holds something of another kind.
    """

    def number(name: str) -> int | None:
        entry = fields.get(name)
        return None if entry is None else one_number(entry, name)

    def guids(name: str) -> tuple[int, ...] | None:
        entry = fields.get(name)
        return None if entry is None else entry.values

    toguid = number(RESUME_TOGUID)
    if toguid is None:
        return None
    toname = fields.get(RESUME_TONAME)
    return ResumeState(
        toguid=toguid,
        toname="" if toname is None else text_of(byte_string(toname, RESUME_TONAME).partition(b"\0")[0]),
        fromguid=number(RESUME_FROMGUID),
        object=number(RESUME_OBJECT) or 0,
        offset=number(RESUME_OFFSET) or 0,
        bytes=number(RESUME_BYTES) or 0,
        large_blocks=RESUME_LARGEBLOCK in fields,
        embedded=RESUME_EMBED in fields,
        compressed=RESUME_COMPRESS in fields,
        raw=RESUME_RAW in fields,
        redact_snapshots=guids(DATASET_REDACTED),
        redact_bookmark_snapshots=guids(RESUME_REDACT_BOOKMARK),
    )
