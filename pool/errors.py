"""The one tree of errors.

Every message says what happened, where (pool, vdev, offset, dataset, object, path) and what can be done. Each class
also derives from the built-in exception a Python programmer would expect, so that either can be caught, and carries
the exit status a command ends with. ``errno`` is the number that the same failure has in a file system of the host.
"""

from __future__ import annotations

import errno as numbers
from typing import ClassVar

__all__ = [
    "AuthenticationError",
    "BadLabelError",
    "ChecksumError",
    "CorruptError",
    "DeviceBusyError",
    "DeviceError",
    "ExistsError",
    "FileError",
    "FileLimitError",
    "FileUsageError",
    "IsADirectoryInPoolError",
    "KeyUnavailableError",
    "LimitError",
    "MissingDeviceError",
    "NoAttributeError",
    "NoSpaceError",
    "NotADirectoryInPoolError",
    "NotEmptyError",
    "NotFoundError",
    "PoolError",
    "QuotaError",
    "ReadOnlyError",
    "UnsupportedError",
    "UnsupportedFeatureError",
    "UsageError",
]


class PoolError(Exception):
    """Anything this package refuses or fails to do.

    Args:
        what: one sentence, without a full stop at its end, that names what failed and where.
        advice: what the reader can do about it, or an empty string.
        where: further facts by name (``vdev``, ``offset``, ``dataset``, ``object``, ``path`` ...).
    """

    exit_status = 1
    code: ClassVar[int | None] = None  # what ``errno`` is, unless said otherwise
    errno: int | None
    strerror: str | None

    def __init__(self, what: str, advice: str = "", **where: object) -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice
        self.where = where
        self.errno = self.code  # OSError would take the sentence for it
        self.strerror = what

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in self.where.items() if value is not None)
        text = f"{self.what} ({place})" if place else self.what
        return printable(f"{text}; {self.advice}" if self.advice else text)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.advice, self.where))


def printable(text: str) -> str:
    """Text for a message, one line and nothing that moves a cursor, whatever names from a disk are in it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _rebuild(cls: type[PoolError], what: str, advice: str, where: dict[str, object]) -> PoolError:
    return cls(what, advice, **where)


def _rebuild_file(
    cls: type[FileError], what: str, number: int, advice: str, where: dict[str, object]
) -> PoolError:
    return cls(what, number, advice, **where)


class UsageError(PoolError, ValueError):
    """A request that makes no sense as it was put."""

    exit_status = 2
    code = numbers.EINVAL


class NotFoundError(PoolError, FileNotFoundError):
    """No such pool, dataset, snapshot, object, file or attribute."""

    code = numbers.ENOENT


class NoAttributeError(NotFoundError):
    """A file has no such extended attribute."""

    code = numbers.ENODATA


class ExistsError(PoolError, FileExistsError):
    """A name is taken, or names more than one thing."""

    code = numbers.EEXIST


class NotADirectoryInPoolError(PoolError, NotADirectoryError):
    """A path goes through something that is not a directory."""

    code = numbers.ENOTDIR


class IsADirectoryInPoolError(PoolError, IsADirectoryError):
    """A directory where a file is wanted."""

    code = numbers.EISDIR


class ReadOnlyError(PoolError, PermissionError):
    """A write to something that was opened read-only."""

    code = numbers.EROFS


class DeviceError(PoolError, OSError):
    """The operating system failed a request to a device; ``errno`` says how, or is None."""


class DeviceBusyError(DeviceError):
    """The device is open for writing elsewhere."""


class MissingDeviceError(PoolError, OSError):
    """More devices are missing or damaged than the pool's redundancy allows."""

    code = numbers.EIO


class NoSpaceError(PoolError, OSError):
    """The pool, a quota or a reservation leaves no room for what is to be written."""

    code = numbers.ENOSPC


class QuotaError(NoSpaceError):
    """A quota leaves no room for what is to be written."""

    code = numbers.EDQUOT


class NotEmptyError(PoolError, OSError):
    """Something that must be empty to be removed is not."""

    code = numbers.ENOTEMPTY


class FileError(PoolError, OSError):
    """A request that cannot be done with this file or path; ``errno`` says why."""

    def __init__(self, what: str, number: int, advice: str = "", **where: object) -> None:
        super().__init__(what, advice, **where)
        self.errno = number

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_file, (type(self), self.what, self.errno, self.advice, self.where))


class FileLimitError(FileError):
    """A name, path, length or number of links beyond what a file system can have."""


class FileUsageError(FileError, UsageError):
    """A request that makes no sense for what a path names: moving a directory into itself ..."""


class CorruptError(PoolError, ValueError):
    """Bytes on disk break a rule of the format."""

    code = numbers.EIO


class BadLabelError(CorruptError):
    """A label does not hold what a label must hold."""


class ChecksumError(CorruptError):
    """No copy and no reconstruction of a block matches its checksum."""


class LimitError(CorruptError):
    """A count, size or depth read from disk is beyond what the format allows."""


class UnsupportedError(PoolError, NotImplementedError):
    """Something of OpenZFS that this package knows of and does not do (yet)."""

    code = numbers.ENOTSUP


class UnsupportedFeatureError(UnsupportedError):
    """The pool uses feature flags or a version that this package does not know.

    ``features`` holds their names.
    """

    def __init__(self, what: str, advice: str = "", features: tuple[str, ...] = (), **where: object) -> None:
        super().__init__(what, advice, **where)
        self.features = features

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.advice, {"features": self.features, **self.where}))


class KeyUnavailableError(PoolError, PermissionError):
    """An encrypted dataset whose key was not given."""

    code = numbers.EACCES


class AuthenticationError(PoolError, PermissionError):
    """A wrong key, or encrypted data that does not carry its proper authentication code."""

    code = numbers.EACCES


