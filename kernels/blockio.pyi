"""Batched block input: read the columns of many blocks, rebuild what is missing, verify, decompress."""

from collections.abc import Sequence
from typing import Any

MODE_DATA: int
MODE_RAW: int
MODE_SCRUB: int
FLAG_SWAP: int
FLAG_CRYPT: int
FLAG_DELIVER: int
JOB_OK: int
JOB_UNREADABLE: int
JOB_CHECKSUM: int
JOB_DECOMPRESS: int
JOB_BAD: int
JOB_UNSUPPORTED: int
JOB_MISSING: int
FAULT_NONE: int
FAULT_READ: int
FAULT_PARITY: int
FAULT_PADDING: int

COLUMN_FIELDS: list[Any]
GROUP_FIELDS: list[Any]
JOB_FIELDS: list[Any]

def read(
    columns: Any,
    groups: Any,
    jobs: Any,
    devices: Sequence[Any],
    out: Any,
    status: Any,
    faults: Any,
    *,
    salt: bytes = b"",
) -> None:
    """Run every job. The lock of the interpreter is released; parts of a batch may run in several threads at once.

    Args:
        columns: records of ``COLUMN_FIELDS``: leaf (index into ``devices``, -1: nothing to read), parity (0, 1, 2;
            -1 data), offset on the device, place in the block, payload length, stored length.
        groups: records of ``GROUP_FIELDS``: first column, number of columns, of these parity, height in bytes.
        jobs: records of ``JOB_FIELDS``: first group and number of groups, physical and logical size, checksum id,
            compression id, ``MODE_*``, ``FLAG_*``, checksum words, byte offset of the result in ``out``.
        devices: for each leaf (descriptor, size), or the device's bytes, or None where nothing can be read.
        out: receives lsize (``MODE_DATA``) or psize bytes for each job; undefined for jobs that fail.
        status: uint8 for each job, ``JOB_*``.
        faults: uint8 for each column, ``FAULT_*``; only columns of these jobs are set.
        salt: the pool's 32 bytes, for salted checksums.

    Raises:
        ValueError: buffers whose sizes do not fit together. Nonsense inside the records is a job's status.
        MemoryError: no memory for scratch buffers.
    """

def implementation() -> dict[str, str]:
    """Family -> name of the kernel that runs here: always what ``raidz`` and ``checksum`` have chosen."""
