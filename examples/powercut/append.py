"""A log that grows: records of many sizes, each with its length and a checksum, durable one by one or in bundles.

    uberblock lab powercut examples/powercut/append.py --layout mirrored-log
"""

import struct
import zlib


def run(fs, acknowledge, acknowledged):
    first = len(records(fs))
    with fs.open("/log", "ab") as file:
        for number in range(first, first + 60):
            body = b"%d:" % number + bytes([number & 255]) * (number * 37 % 3000)
            file.write(struct.pack("<II", len(body), zlib.crc32(body)) + body)
            if number % 3 == 2:
                file.fsync()
                acknowledge(number)


def records(fs):
    """Whole records, up to the first that is not."""
    data, at, found = fs.read_bytes("/log") if fs.exists("/log") else b"", 0, []
    while at + 8 <= len(data):
        length, checksum = struct.unpack_from("<II", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            break
        found.append(int(body.split(b":", 1)[0]))
        at += 8 + length
    return found


def check(fs, acknowledged):
    found = records(fs)
    assert found == list(range(len(found))), "records are out of order"
    promised = max(acknowledged, default=-1)
    assert len(found) > promised, f"{len(found)} records, but number {promised} was promised"
