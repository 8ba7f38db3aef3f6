"""``zdb -i``: what waits in an intent log, block by block and record by record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from ..dmu.objset import Objset
from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.zilrecord import Record, TxType
from ..zil.chain import LogBlock, header_of, read_blocks
from .blkptrtext import blkptr_text

#: Fields every record has; they are shown in front.
COMMON = {"type", "length", "txg", "seq", "case_insensitive"}
SHOWN_BYTES = 32


def log_lines(objset: Objset) -> Iterator[str]:
    """The header of an object set's log, its blocks and its records; nothing for a dataset without a log."""
    header = header_of(objset)
    if bool(blkptr.is_hole(header.log)):
        return
    yield (
        f"\n    ZIL header: claim_txg {header.claim_txg}, claim_blk_seq {header.claim_blk_seq}, "
        f"claim_lr_seq {header.claim_lr_seq} replay_seq {header.replay_seq}, flags {int(header.flags):#x}"
    )
    counts: dict[str, int] = {}
    try:
        for block in read_blocks(objset.zio, header, objset.keys):
            yield from _block_lines(block, counts)
    except PoolError as error:
        yield f"\t(the rest cannot be shown: {error})"
    if counts:
        yield "\n\tTotals: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _block_lines(block: LogBlock, counts: dict[str, int]) -> Iterator[str]:
    state = "valid" if block.valid else "end of the log: allocated, not written"
    yield f"\n\tBlock seqno {block.seq}, {state}, {blkptr_text(block.bp)}"
    for record in block.records:
        name = type_name(record)
        counts[name] = counts.get(name, 0) + 1
        yield f"\t\t{name:<14} len {record.length:>6}, txg {record.txg}, seq {record.seq}"
        details = _details(record)
        yield f"\t\t\t{details or '(encrypted)'}"
    if block.damage:
        yield f"\t\t(damaged: {block.damage})"


def type_name(record: Record) -> str:
    """OpenZFS's name of the record's type."""
    try:
        name = f"TX_{TxType(record.type).name}"
    except ValueError:
        name = f"TX_{record.type}"
    return f"CI-{name}" if record.case_insensitive else name


def _details(record: Record) -> str:
    return ", ".join(
        f"{field.name} {_text(getattr(record, field.name))}"
        for field in fields(record)
        if field.name not in COMMON and getattr(record, field.name) is not None
    )


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray | np.void):
        flat = np.atleast_1d(np.asarray(value))
        return f"{len(flat)} pointers" if len(flat) != 1 else f"[{blkptr_text(flat[0])}]"
    if isinstance(value, bytes):
        shown = value[:SHOWN_BYTES]
        text = shown.decode() if shown.isascii() and shown.decode().isprintable() else shown.hex()
        return f"{text!r}{f'... ({len(value)} bytes)' if len(value) > SHOWN_BYTES else ''}"
    return str(value)
