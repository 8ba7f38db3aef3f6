"""What ``lab kill`` runs if it is given nothing else: a log that grows, and files that replace each other.

Every acknowledgement is a number; all that belongs to it is durable by then. A run goes on where the pool is.
"""

from __future__ import annotations

import zlib
from typing import Any

RECORD = 64
FILES = 7


def setup(fs: Any) -> None:
    """An empty log, and a folder."""
    fs.write_bytes("/log", b"")
    fs.mkdir("/files")


def run(fs: Any, acknowledge: Any) -> None:
    """Until it is killed: each number goes into the log and into a file of its own."""
    first = fs.znode("/log").size // RECORD
    with fs.open("/log", "ab") as log:
        log.truncate(first * RECORD)
        for number in range(first, first + 3000):
            name = f"/files/{number % FILES}"
            fs.write_bytes("/files/new", content(number))
            fs.rename("/files/new", name)
            if number % 5 == 4:
                with fs.transaction():
                    log.write(record(number))
                    fs.setxattr(name, "user.number", b"%d" % number)
            else:
                log.write(record(number))
            if number % 3:
                log.fsync()
                fs.fsync(name)
                acknowledge(number)


def check(fs: Any, acknowledged: Any) -> None:
    """The log holds all numbers up to the last promise, whole; each file is that of its last number, or the next."""
    data = fs.read_bytes("/log")
    whole = len(data) // RECORD
    for number in range(whole):
        assert data[number * RECORD : (number + 1) * RECORD] == record(number), f"record {number} is damaged"
    promised = max(acknowledged, default=-1)
    assert whole > promised, f"{whole} records, but number {promised} was promised"
    for slot in range(FILES):
        due = [number for number in range(promised + 1) if number % FILES == slot]
        if due:
            found = fs.read_bytes(f"/files/{slot}")
            number = int(found.split(b"\n", 1)[0])
            assert number % FILES == slot and found == content(number), f"/files/{slot} is damaged"
            assert number >= due[-1], f"/files/{slot} is {number}, but {due[-1]} was promised"


def record(number: int) -> bytes:
    """Of the log."""
    body = b"%d " % number
    return (body + b"%08x" % zlib.crc32(body)).ljust(RECORD - 1, b".") + b"\n"


def content(number: int) -> bytes:
    """Of the file of a number: of very different sizes."""
    return b"%d\n" % number + bytes([number & 255]) * (number * 7919 % 50000)
