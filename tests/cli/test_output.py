"""What commands print."""

from __future__ import annotations

import contextlib
import io
import json
import sys

import pytest
from uberblock.pool.cli import main as command
from uberblock.pool.cli.output import print_json, print_table


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


def test_control_characters_stay_out_of_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """A name or value from a pool must not reach the terminal as an escape sequence; scripts get it as it is."""
    print_table(["NAME", "VALUE"], [["tank", "a\x1b[2Jb\n"]])
    assert capsys.readouterr().out.splitlines()[1] == "tank  a\\x1b[2Jb\\x0a"
    print_table(["NAME", "VALUE"], [["tank", "a\x1bb"]], scripted=True)
    assert capsys.readouterr().out == "tank\ta\x1bb\n"


def test_tables() -> None:
    """Widths that are at least so much, short rows, no blanks at the ends of lines."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        print_table(["NAME", "N", "LAST"], [["a", "1", "x"], ["b", "22", ""]], right=(1,), least={1: 4})
    assert out.getvalue() == "NAME     N  LAST\na        1  x\nb       22\n"
