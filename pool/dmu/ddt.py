"""Dedup tables, open for reading: all entries, whatever generation the tables are of.

One table for each checksum in use, made of up to three ZAPs (blocks referred to once, several times, and an obsolete
kind), and in newer pools of two logs whose records are newer than the ZAPs.

Source: OpenZFS, ddt.c, ddt_log.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptError, LimitError, UnsupportedError
from ..ondisk import ddt as ondisk_ddt
from ..ondisk.ddt import CLASS_NONE, CLASSES, ENTRY, FLAG_FLAT, KEY_WORDS, EntryArray, LogHeader
from .zap import Zap

if TYPE_CHECKING:
    from .objset import Objset

STATISTICS = "DDT-statistics"
#: Bytes of logs held in memory; OpenZFS flushes them long before.
MAX_LOG = 1 << 32

_LEGACY = re.compile(rb"DDT-([a-z0-9]+)-zap-(ditto|duplicate|unique)")
_FOLDER = re.compile(rb"DDT-([a-z0-9]+)")
_INNER = re.compile(rb"DDT-(?:log-)?([a-z0-9]+)-(?:zap-)?(ditto|duplicate|unique|0|1)")


class DedupTable:
    """The table of one checksum.

    Attributes:
        checksum: its name.
        flat: one place for each block, rather than one for each number of copies.
        objects: class -> object number of the ZAP; logs: object numbers.
    """

    def __init__(self, mos: Objset, checksum: str, *, flat: bool) -> None:
        self._mos = mos
        self.checksum = checksum
        self.flat = flat
        self.objects: dict[str, int] = {}
        self.logs: list[int] = []

    def __repr__(self) -> str:
        return f"<DedupTable {self.checksum} {self.objects}>"

    def batches(self) -> Iterator[EntryArray]:
        """All entries (dtype ``ondisk.ddt.ENTRY``): those of the logs first, then what they leave standing.

        Raises:
            CorruptError: a table or a log makes no sense.
        """
        newest = self._logged()
        logged = _sortable(newest)
        if len(newest):
            yield newest[(newest["cls"] != CLASS_NONE) & (newest["refcount"] != 0)]
        for name, number in self.objects.items():
            zap = Zap(self._mos.dnode(number))
            if not zap.word_keys:
                raise CorruptError("a dedup table is not a table of checksums", object=number)
            for raw in zap.raw_batches():
                batch = ondisk_ddt.decode_entries(raw.names, raw.values, CLASSES.index(name), flat=self.flat)
                if len(logged):
                    batch = batch[~np.isin(_sortable(batch), logged)]
                yield batch

    def log_headers(self) -> list[LogHeader]:
        """Headers of the logs."""
        dnodes = [self._mos.dnode(number) for number in self.logs]
        return [ondisk_ddt.decode_log_header(dnode.bonus, dnode.order) for dnode in dnodes]

    @property
    def logged(self) -> int:
        """How many entries the logs have. Raises: as ``batches``."""
        return len(self._logged())

    def _logged(self) -> EntryArray:
        """The last record of each key in the logs."""
        parts = []
        # What is in the log being flushed is older than what is in the other.
        for header, number in sorted(zip(self.log_headers(), self.logs), key=lambda item: not item[0].flushing):
            dnode = self._mos.dnode(number)
            if header.length > min(dnode.size, MAX_LOG):
                raise LimitError("a dedup log is longer than its object", object=number, length=header.length)
            blocks = range(-(-header.length // dnode.datablksz))
            found = [ondisk_ddt.decode_log_block(data, order) for data, order in dnode.blocks(blocks)]
            if found:
                records = np.concatenate(found)
                parts.append(records[_above(records, header.checkpoint)])
        records = np.concatenate(parts) if parts else np.zeros(0, dtype=ENTRY)
        _, last = np.unique(_sortable(records)[::-1], return_index=True)
        return records[len(records) - 1 - last]


def _sortable(entries: EntryArray) -> np.ndarray:
    """The keys of entries as byte strings, which numpy can compare."""
    return np.ascontiguousarray(entries["key"]).view("V40").reshape(-1)


def _above(records: EntryArray, checkpoint: tuple[int, ...] | None) -> np.ndarray:
    """Which records are not flushed yet: those whose key is larger, compared word by word."""
    if checkpoint is None:
        return np.ones(len(records), dtype=bool)
    keys = np.ascontiguousarray(records["key"]).view("<u8").reshape(len(records), KEY_WORDS)
    limit = np.array(checkpoint, dtype=np.uint64)
    first = (keys != limit).argmax(axis=1)
    result: np.ndarray = keys[np.arange(len(records)), first] > limit[first]
    return result


def tables(mos: Objset, directory: Zap) -> list[DedupTable]:
    """All dedup tables of a pool.

    Args:
        mos: the MOS.
        directory: its object directory.

    Raises:
        CorruptError: an entry of the directory makes no sense. UnsupportedError: a table of a newer version.
    """
    found: dict[str, DedupTable] = {}
    for entry in directory.items():
        legacy, folder = _LEGACY.fullmatch(entry.name), _FOLDER.fullmatch(entry.name)
        if legacy is not None:
            checksum, cls = legacy[1].decode(), legacy[2].decode()
            found.setdefault(checksum, DedupTable(mos, checksum, flat=False)).objects[cls] = entry.value
        elif folder is not None and entry.name != STATISTICS.encode():
            checksum = folder[1].decode()
            found[checksum] = _open_folder(mos, checksum, Zap(mos.dnode(entry.value)))
    return list(found.values())


def _open_folder(mos: Objset, checksum: str, folder: Zap) -> DedupTable:
    # A folder without them is not one of version 1 either.
    version, flags = folder.get_int("version", 0), folder.get_int("flags", 0)
    if version != ondisk_ddt.VERSION:
        raise UnsupportedError("a dedup table is of an unknown version", checksum=checksum, version=version)
    table = DedupTable(mos, checksum, flat=bool(flags & FLAG_FLAT))
    for entry in folder.items():
        match = _INNER.fullmatch(entry.name)
        if match is None or match[1].decode() != checksum:
            continue
        if match[2].isdigit():
            table.logs.append(entry.value)
        else:
            table.objects[match[2].decode()] = entry.value
    return table
