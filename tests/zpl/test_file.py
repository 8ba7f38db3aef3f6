"""Files as binary streams."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from uberblock.pool.errors import LimitError, UsageError
from uberblock.pool.zpl.file import ObjectFile, ZplFile


@pytest.fixture
def home(opened: Callable[[str], Any]) -> Any:
    return opened("classes").fs("tank-classes/home@one")


def test_reading(home: Any, opened: Callable[[str], Any]) -> None:
    facts = opened("classes").manifest["datasets"]["tank-classes/home@one"]["tree"]["text/t300001.txt"]
    with home.open("/text/t300001.txt") as file:
        whole = file.read()
        assert (len(whole), hashlib.sha256(whole).hexdigest()) == (facts["size"], facts["sha256"])
        assert file.read() == b""
        file.seek(131000)
        assert file.tell() == 131000
        assert file.read(200) == whole[131000:131200]
        file.seek(-10, os.SEEK_END)
        file.seek(2, os.SEEK_CUR)
        assert file.read(100) == whole[-8:]
        buffer = bytearray(50)
        assert file.readinto(buffer) == 0
        assert file.pread(buffer, 7) == 50
        assert buffer == whole[7:57]
        buffered = io.BufferedReader(file)
        buffered.seek(0)
        assert list(buffered) == whole.splitlines(keepends=True)


def test_what_cannot_be_done(home: Any) -> None:
    file = home.open("/text/t0.txt")
    assert file.readable()
    assert file.seekable()
    assert not file.writable()
    with pytest.raises(io.UnsupportedOperation):
        file.write(b"x")
    with pytest.raises(OSError, match="before the beginning"):
        file.seek(-1)
    with pytest.raises(ValueError, match="whence"):
        file.seek(0, 17)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
    with pytest.raises(UsageError):
        ZplFile(home.znode("/links"))


def test_holes(home: Any, opened: Callable[[str], Any]) -> None:
    facts = opened("classes").manifest["datasets"]["tank-classes/home@one"]["tree"]["sparse/terabyte"]
    file = home.open("/sparse/terabyte")
    runs = facts["large"]["nonzero_runs"]
    ranges = list(file.data_ranges())
    assert len(ranges) == len(runs)
    for (start, length), (offset, size, digest) in zip(ranges, runs):
        assert start <= offset
        assert offset + size <= start + length
        assert file.seek(start, os.SEEK_DATA) == start
        assert file.seek(start, os.SEEK_HOLE) == start + length
        file.seek(offset)
        assert hashlib.sha256(file.read(size)).hexdigest() == digest
    hole = sum(ranges[0])
    assert file.seek(hole, os.SEEK_HOLE) == hole
    assert file.seek(hole, os.SEEK_DATA) == ranges[1][0]
    file.seek(hole)
    assert file.read(1000) == bytes(1000)
    for offset in (file.size, file.size + 1, -1):
        with pytest.raises(OSError, match="beyond") as caught:
            file.seek(offset, os.SEEK_DATA)
        assert caught.value.errno == errno.ENXIO


def test_a_file_of_holes_alone(home: Any, opened: Callable[[str], Any]) -> None:
    tree = opened("classes").manifest["datasets"]["tank-classes/home@one"]["tree"]
    found = 0
    for path, facts in tree.items():
        if path.startswith("sparse/") and facts["type"] == "file" and facts["size"]:
            file = home.open("/" + path)
            if not list(file.data_ranges()):
                found += 1
                with pytest.raises(OSError, match="no data"):
                    file.seek(0, os.SEEK_DATA)
    assert found >= 0


class Comb:
    """Data in every other block, exabytes of it."""

    def next_data(self, offset: int) -> int:
        return offset + offset % 2

    def next_hole(self, offset: int) -> int:
        return offset + 1


def test_more_ranges_than_memory_holds() -> None:
    """A forged file of 2^60 ranges of data was to be listed whole before its first byte was copied."""
    file = ObjectFile(Comb(), 1 << 60)  # type: ignore[arg-type]
    assert list(islice(file.data_ranges(), 3)) == [(0, 1), (2, 1), (4, 1)]


def test_more_than_memory(home: Any) -> None:
    file = home.open("/sparse/terabyte")
    file.size = 1 << 60
    with pytest.raises(LimitError):
        file.read()
