"""Crash states as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from uberblock.pool.lab.crash import States, parse
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.save import read_image, save, write_images
from uberblock.pool.lab.simdisk import SimDisk


def test_a_state_as_sparse_files(tmp_path: Path) -> None:
    journal = Journal()
    one, two = SimDisk((1 << 30) + 100, "one.img", journal), SimDisk(8192, "two", journal)
    one.write(1 << 29, b"x" * 5000)
    one.write((1 << 30) + 90, b"end")
    two.write(0, b"lost")
    states = States(journal)
    state = parse("@3 lose 2")
    paths = save(states, state, tmp_path / "state")
    assert [path.name for path in paths] == ["one.img", "two.img"]
    assert (tmp_path / "state" / "STATE").read_text() == "@3 lose 2\n"
    assert paths[0].stat().st_size == one.size and paths[0].stat().st_blocks < 100
    with paths[0].open("rb") as file:
        file.seek(1 << 29)
        assert file.read(5001) == b"x" * 5000 + b"\0"
        file.seek((1 << 30) + 90)
        assert file.read() == b"end" + bytes(7)
    assert paths[1].read_bytes() == bytes(8192)


def test_images_round_trip(tmp_path: Path) -> None:
    content = Pages(50000)
    content.write(49990, b"0123456789")
    content.write(5, b"five")
    (path,) = write_images([content], ["d0"], tmp_path)
    assert read_image(path) == content
    with pytest.raises(ValueError, match="one name"):
        write_images([content, content], ["a.img", "a"], tmp_path)
