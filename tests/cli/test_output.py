"""What commands print."""

from __future__ import annotations

import io
import json
import sys

import pytest
from uberblock.pool.cli import main as command
from uberblock.pool.cli.output import print_json


def strict_output(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Standard output as most locales have it: text that is no UTF-8 is refused."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors="strict"))
    return raw


def test_json_with_odd_bytes_in_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is not UTF-8 ended every command with -j in a UnicodeEncodeError."""
    raw = strict_output(monkeypatch)
    print_json("zfs list", {"name": "tank/\udcff\u00e9"})
    sys.stdout.flush()
    assert json.loads(raw.getvalue())["name"] == "tank/\udcff\u00e9"


def test_text_with_odd_bytes_in_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a table."""
    raw = strict_output(monkeypatch)
    monkeypatch.setattr(command, "dispatch", lambda words: print("tank/\udcff") or 0)
    assert command.main(["zfs", "list"]) == 0
    assert raw.getvalue() == b"tank/\xff\n"
