"""Names, as bytes and as text, and how they are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.errors import NotADirectoryInPoolError, NotFoundError
from uberblock.pool.zpl import directory


def test_names_that_are_no_utf8(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names/ci").filesystem
    found = {entry.name: entry for entry in fs.lookup("/names").entries()}
    odd = found["latin1-\udce9\udcff"]
    assert odd.raw == b"latin1-\xe9\xff"
    assert fs.lookup("/names/latin1-\udce9\udcff").object == odd.object
    assert odd.type == 8


def test_case_insensitive(opened: Callable[[str], Any]) -> None:
    pool = opened("names")
    fs = pool.fs("tank-names/ci").filesystem
    assert fs.lookup("/NAMES/upper").object == fs.lookup("/names/UPPER").object
    assert fs.lookup("/names/gRÜßE").object == fs.lookup("/names/Grüße").object
    with pytest.raises(NotFoundError):
        pool.fs("tank-names").filesystem.lookup("/NAMES")


def test_mixed_is_found_exactly(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names/mixed").filesystem
    assert fs.lookup("/names/upper").object != fs.lookup("/names/UPPER").object
    with pytest.raises(NotFoundError):
        fs.lookup("/names/uPPer")


@pytest.mark.parametrize("form", ["formC", "formD", "formKC", "formKD"])
def test_normalized(opened: Callable[[str], Any], form: str) -> None:
    fs = opened("names").fs(f"tank-names/{form}").filesystem
    assert fs.lookup("/names/e\u0301 composed").object == fs.lookup("/names/\u00e9 composed").object
    assert fs.lookup("/names/\u00e9 combining").object == fs.lookup("/names/e\u0301 combining").object
    with pytest.raises(NotFoundError):
        fs.lookup("/names/Upper")


def test_not_normalized(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names/ci").filesystem
    with pytest.raises(NotFoundError):
        fs.lookup("/names/e\u0301 composed")


def test_long_names(opened: Callable[[str], Any]) -> None:
    fs = opened("names").fs("tank-names/long").filesystem
    names = [entry.raw for entry in fs.root.entries()]
    assert max(map(len, names)) > 255
    for name in names:
        assert directory.find(fs.root, name) is not None


def test_every_name_is_found(opened: Callable[[str], Any]) -> None:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    many = fs.lookup("/many")
    entries = many.entries()
    assert len(entries) == many.size - 2
    assert all(directory.find(many, entry.raw) == entry.object for entry in entries)
    assert directory.find(many, b"") is None
    assert directory.find(many, b"x" * 5000) is None


def test_what_is_no_directory(opened: Callable[[str], Any]) -> None:
    fs = opened("classes").fs("tank-classes/home@one").filesystem
    with pytest.raises(NotADirectoryInPoolError):
        fs.lookup("/links/target").entries()
    with pytest.raises(NotADirectoryInPoolError):
        directory.find(fs.lookup("/links/target"), b"x")


def test_printable() -> None:
    assert directory.printable("plain é") == "plain é"
    assert directory.printable("a\nb\udce9") == "a\\nb\\udce9"
