"""What file systems and volumes tell the intent log of: every change that a caller may ask to be durable at once.

Who changes something says so in the same transaction. How it becomes a record is told by a function of
``ondisk/zilencode.py`` and its arguments, so that nothing is encoded that nobody asks for.

Source: OpenZFS, zfs_log.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..errors import UsageError

if TYPE_CHECKING:
    from ..dmu.mutable import MutableDnode

Encoder = Callable[..., bytearray]


class OpLog(Protocol):
    """An intent log that is being written, as those see it who change the dataset."""

    def note(self, encode: Encoder, *args: object) -> None:
        """A change of names: it is durable with any later request."""

    def note_file(self, number: int, encode: Encoder, *args: object) -> None:
        """A change of one object alone: it is durable when that object is asked for."""

    def note_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """Bytes of an object were written; its content has ``size`` bytes since."""

    def note_lone_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """The same and nothing else, in a transaction of its own that is over with it."""

    def note_xattr(self, number: int, name: bytes, value: bytes | None) -> None:
        """A packed extended attribute was set, by its stored name, or removed (None)."""

    def gap(self) -> None:
        """Something changes that no record tells of: only a txg makes it durable."""

    def ignore(self) -> None:
        """Something changes that nobody expects to be durable at once."""

    def demand(self) -> None:
        """What this transaction does is to be durable when it is over."""

    def settle(self) -> None:
        """The outermost transaction is over, its lock let go: if it was to be durable, it becomes so now."""

    def commit(self, number: int | None = None) -> None:
        """Make durable what was noted: all of it, or names and one object. Raises: PoolError."""


class NoLog:
    """Takes note of nothing: records are being replayed, or nobody can ask."""

    def note(self, encode: Encoder, *args: object) -> None:
        """See ``OpLog``."""

    def note_file(self, number: int, encode: Encoder, *args: object) -> None:
        """See ``OpLog``."""

    def note_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """See ``OpLog``."""

    def note_lone_write(self, dn: MutableDnode, offset: int, length: int, size: int) -> None:
        """See ``OpLog``."""

    def note_xattr(self, number: int, name: bytes, value: bytes | None) -> None:
        """See ``OpLog``."""

    def gap(self) -> None:
        """See ``OpLog``."""

    def ignore(self) -> None:
        """See ``OpLog``."""

    def demand(self) -> None:
        """See ``OpLog``."""

    def settle(self) -> None:
        """See ``OpLog``."""

    def commit(self, number: int | None = None) -> None:
        """Never called for. Raises: UsageError."""
        raise UsageError("this file system keeps no intent log")
