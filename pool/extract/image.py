"""A volume's content into a file or onto a device."""

from __future__ import annotations

import os
import stat
import sys
from typing import Protocol

from ..zpl.file import ObjectFile
from .content import Copier, Progress, Told, no_progress


class HasContent(Protocol):
    """A volume."""

    def open(self) -> ObjectFile:
        """Its content."""


def copy_volume(
    volume: HasContent, target: str | os.PathLike[str], *, progress: Progress | None = None, keep_going: bool = False
) -> Told:
    """Copy a volume: to a file with its holes kept, to a device with zeros in their place, or to standard output.

    Args:
        volume: what to copy.
        target: a path, or ``-``. A file is made anew; a device must be there.
        progress: called with the bytes done since the last call.
        keep_going: what cannot be read becomes zeros; see what is returned.

    Returns:
        A sentence for everything that was lost.

    Raises:
        OSError: the target cannot be written; ChecksumError ...: the volume cannot be read.
    """
    lost: list[str] = []
    copier = Copier(keep_going, lost.append, progress or no_progress)
    content = volume.open()
    if os.fspath(target) == "-":
        for _at, piece in copier.pieces(content, 0, content.size, content.name):
            sys.stdout.buffer.write(piece)
        return Told(lost, [])
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, content.size)
        for start, length in copier.ranges(content, content.name, sparse=regular):
            for at, piece in copier.pieces(content, start, length, content.name):
                pwrite_all(descriptor, piece, at)
    finally:
        os.close(descriptor)
    return Told(lost, [])


def pwrite_all(descriptor: int, piece: memoryview, at: int) -> None:
    """Write all of it, however often that takes."""
    while piece:
        done = os.pwrite(descriptor, piece, at)
        piece, at = piece[done:], at + done
