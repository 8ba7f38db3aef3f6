"""Values of a configuration, good and hostile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from uberblock.pool.errors import CorruptError, LimitError
from uberblock.pool.vdev import config as conf

WHERE = {"type": "disk", "id": 3}


def test_integers() -> None:
    assert conf.integer({"x": 5}, "x", 0, 9) == 5
    assert conf.integer({"x": np.uint64(5)}, "x", 0, 9) == 5
    assert conf.integer({}, "x", 0, 9, default=7) == 7
    for value in (-1, 10, 1 << 70):
        with pytest.raises(LimitError, match="disk-3"):
            conf.integer({**WHERE, "x": value}, "x", 0, 9)
    bad: list[Any] = [None, "5", 5.0, True, b"5", [5], {}]
    for value in bad:
        with pytest.raises(CorruptError, match="disk-3"):
            conf.integer({**WHERE, "x": value}, "x", 0, 9)


def test_flags() -> None:
    assert conf.flag({"x": 1}, "x") and conf.flag({"x": True}, "x") and conf.flag({"x": "yes"}, "x")
    assert not conf.flag({"x": 0}, "x") and not conf.flag({}, "x")


def test_texts() -> None:
    assert conf.text({"x": "y"}, "x") == "y" and conf.text({}, "x", "z") == "z"
    with pytest.raises(CorruptError):
        conf.text({"x": b"y"}, "x")
    with pytest.raises(LimitError):
        conf.text({"x": "y" * 100000}, "x")


def test_arrays() -> None:
    assert conf.integers({"x": [1, 2]}, "x", 2) == [1, 2]
    assert conf.integers({"x": np.array([1, 2], np.uint64)}, "x", 2) == [1, 2]
    assert conf.integers({}, "x", 2) == []
    with pytest.raises(LimitError):
        conf.integers({"x": (1, 2, 3)}, "x", 2)
    bad: list[Any] = ["12", 5, [1, "2"], [-1], [1 << 64], [1.5]]
    for value in bad:
        with pytest.raises(CorruptError):
            conf.integers({"x": value}, "x", 9)


def test_children() -> None:
    good = [{"id": 0}, {"id": 1}]
    assert conf.children({"children": good}, 2) == good
    with pytest.raises(LimitError):
        conf.children({"children": good}, 1)
    bad: list[Any] = ["ab", 5, [{"id": 1}, {"id": 0}], [{}], [5]]
    for value in bad:
        with pytest.raises(CorruptError):
            conf.children({"children": value}, 9)


def test_names_for_messages() -> None:
    assert conf.describe({"type": "disk", "id": 1, "path": "/dev/x"}) == "/dev/x"
    assert conf.describe({"type": "disk", "id": 1}) == "disk-1"
    assert conf.describe({"type": 5, "path": 7}) == "5-?"
    assert len(conf.describe({"type": "x" * 10000})) < 100
