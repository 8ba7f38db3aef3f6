"""Batched block output: the checksums and parity of many blocks, and their columns onto many devices."""

from collections.abc import Sequence
from typing import Any

def write(
    columns: Any,
    groups: Any,
    jobs: Any,
    devices: Sequence[Any],
    sources: Sequence[Any],
    status: Any,
    errors: Any,
    *,
    salt: bytes = b"",
) -> None:
    """Run every job. The lock of the interpreter is released; parts of a batch may run in several threads at once.

    Args:
        columns: records of ``blockio.COLUMN_FIELDS``; leaf -1: not to be written (parity counts it all the same).
        groups: records of ``blockio.GROUP_FIELDS``.
        jobs: records of ``blockio.JOB_FIELDS``, writable: first group and number of groups (all copies and all sides of
            mirrors), psize, checksum id, ``blockio.FLAG_SWAP`` and ``FLAG_CRYPT``; ``reserved`` is the source that
            holds the block, ``dest`` its byte offset there. ``words`` receives the checksum. The rest means nothing.
        devices: for each leaf (descriptor, size), or a writable buffer, or None where nothing can be written (such
            columns fail with EIO).
        sources: buffers with the blocks' stored bytes.
        status: uint8 for each job: ``blockio.JOB_OK``; ``JOB_BAD``, ``JOB_UNSUPPORTED``: not written.
        errors: int32 for each column: errno of the write or 0. Zeros are the caller's to put there; only failures of
            columns of these jobs are set.
        salt: the pool's 32 bytes, for salted checksums.

    Raises:
        ValueError: buffers whose sizes do not fit together. Nonsense inside the records is a job's status.
        BufferError: a device's buffer that cannot be written to.
        MemoryError: no memory for scratch buffers; any part may have been written.
    """

def write_durable(fd: int, data: Any, offset: int) -> int:
    """Write bytes to a file and make its data durable, without the interpreter's lock in between.

    Threads that wait for that lock would be let in after each of the two steps.

    Args:
        fd: descriptor. data: contiguous bytes. offset: in the file, bytes.

    Returns:
        0; minus the errno of the write that failed; the errno of the flush that failed: nothing that was written since
        the last good one may be relied on then.
    """

def are_zero(sources: Sequence[Any], offsets: Any, lengths: Any, out: Any) -> None:
    """Which of n ranges hold nothing but zeros.

    Args:
        sources: n buffers, or one that holds all ranges.
        offsets, lengths: n uint64, bytes.
        out: n uint8, 1 for zeros.

    Raises:
        ValueError: not n of each, or a range that leaves its buffer.
    """

def implementation() -> dict[str, str]:
    """Family -> name of the kernel that runs here: always what ``raidz`` and ``checksum`` have chosen."""
