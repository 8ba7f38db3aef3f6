"""A ^C while a command changes a pool: it ends as commands do, and the pool is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from uberblock.pool import create_pool
from uberblock.pool.lab.checker import examine

#: What runs in the background is started with ^C ignored, the tests themselves among it.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from uberblock.pool.cli.main import main
sys.exit(main())
"""


@pytest.mark.parametrize("mib", [8, 40])
def test_copying_is_interrupted(tmp_path: Path, mib: int) -> None:
    """After so many MiB of a copy have reached the disk; nothing of it leaks."""
    images, source = [str(tmp_path / "a.img"), str(tmp_path / "b.img")], tmp_path / "source"
    source.mkdir()
    for number in range(12):
        (source / f"noise{number}").write_bytes(os.urandom(16 << 20))
    with create_pool("tank", ["mirror", *images], size=512 << 20):
        pass
    before = Path(images[0]).stat().st_blocks
    words = ["cp", "-q", "-r", "-d", str(tmp_path), f"{source}/", "tank:/"]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *words], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while Path(images[0]).stat().st_blocks < before + (mib << 11) and time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.strip() == "uberblock: interrupted"
    assert not examine(images).problems
