"""Many small files at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from uberblock.pool.errors import ChecksumError, CorruptError, PoolError
from uberblock.pool.zio.reader import Zio
from uberblock.pool.zpl.batch import SMALL_BYTES, read_small
from uberblock.pool.zpl.file import ObjectFile, ZplFile


def whole(file: ObjectFile, pieces: list[tuple[int, memoryview]]) -> bytes:
    data = bytearray(file.size)
    for at, piece in pieces:
        data[at : at + len(piece)] = piece
    assert len(data) == file.size
    return bytes(data)


@pytest.fixture
def files(opened: Callable[[str], Any]) -> list[ZplFile]:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    return [ZplFile(z) for z in fs.znodes() if z.type == "file" and z.size <= SMALL_BYTES]


def test_the_same_as_one_by_one(files: list[ZplFile]) -> None:
    assert any(f.size > f.dnode.datablksz for f in files)
    assert any(f.dnode.nlevels > 1 for f in files)
    for file, pieces in zip(files, read_small(files)):
        assert not isinstance(pieces, PoolError)
        assert whole(file, pieces) == file.readall()
    assert read_small([]) == []


def test_encrypted(opened: Callable[[str], Any]) -> None:
    fs = opened("encrypted").fs("tank-encrypted/enc").filesystem
    files = [ZplFile(z) for z in fs.znodes() if z.type == "file" and z.size <= SMALL_BYTES]
    for file, pieces in zip(files, read_small(files)):
        assert not isinstance(pieces, PoolError)
        assert whole(file, pieces) == file.readall()


def test_one_that_cannot_be_read_does_not_spoil_the_others(
    files: list[ZplFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [f for f in files if f.size and f.dnode.nlevels == 1][:5]
    real = Zio.read

    def read(self: Zio, bps: Any, keys: Any = None, **options: Any) -> Any:
        blocks = real(self, bps, keys, **options)
        blocks.status[2] = 2
        return blocks

    monkeypatch.setattr(Zio, "read", read)
    found = read_small(some)
    assert [isinstance(pieces, ChecksumError) for pieces in found].count(True) == 1


def test_pointers_that_belong_elsewhere(files: list[ZplFile], monkeypatch: pytest.MonkeyPatch) -> None:
    some = [f for f in files if f.size and f.dnode.nlevels == 1 and list(f.data_ranges())][:3]
    bad = some[1].dnode
    wrong = np.array(bad.blkptr)
    wrong["prop"] |= np.uint64(3 << 56)  # a level
    monkeypatch.setattr(bad, "blkptr", wrong)
    found = read_small(some)
    assert isinstance(found[1], CorruptError)
    assert isinstance(found[0], list)
    assert isinstance(found[2], list)
