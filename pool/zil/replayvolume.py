"""Replaying the log of a volume: writes, and ranges that were discarded.

Source: OpenZFS, zvol.c (``zvol_replay_write``, ``zvol_replay_truncate``, ``zvol_replay_clone_range``).
"""

from __future__ import annotations

from ..dmu.mutable import MutableDnode
from ..errors import CorruptError, KeyUnavailableError, UnsupportedError
from ..ondisk.zilrecord import CloneRange, Record, Sealed, Truncate, TxType, Write
from ..zpl.filewrite import zero_range
from ..zvolwrite import MutableZvol
from .content import cloned, written


class VolumeReplay:
    """Applies records to a volume.

    Args:
        volume: open for writing.
    """

    def __init__(self, volume: MutableZvol) -> None:
        self.volume = volume

    def note(self, record: Record) -> None:
        """See ``recovery.Target``: nothing is to be kept in mind."""

    def finish(self) -> None:
        """Nothing is left to be done."""

    def apply(self, record: Record) -> None:
        """Make the change of one record, in a transaction.

        Raises:
            KeyUnavailableError: it is encrypted. UnsupportedError: no record of a volume.
            CorruptError: it reaches beyond the volume's end.
        """
        content = self.volume.content
        if isinstance(record, Sealed):
            raise KeyUnavailableError("a record of an encrypted intent log", "load the dataset's key")
        if isinstance(record, Write) and record.type == TxType.WRITE:
            self._write(content, *written(self.volume.objset, record))
        elif isinstance(record, Truncate):
            end = min(record.offset + record.size, self.volume.size) if record.size else self.volume.size
            if record.offset < end:
                zero_range(content, record.offset, end, self.volume.size)
        elif isinstance(record, CloneRange):
            for offset, body in cloned(self.volume.objset, record):
                self._write(content, offset, body)
        else:
            raise UnsupportedError(f"{record.name_of_type} is no record of a volume's log")

    def _write(self, content: MutableDnode, offset: int, body: bytes) -> None:
        if offset + len(body) > self.volume.size:
            raise CorruptError("an intent log record writes beyond the volume's end", offset=offset, bytes=len(body))
        content.write(offset, body)
