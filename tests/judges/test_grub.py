"""GRUB's own reader of ZFS, an implementation apart from OpenZFS's, on pools with the features it knows."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from conftest import program_or_skip
from uberblock.pool import create_pool

pytestmark = pytest.mark.judge

LAYOUTS = {"disk": "a", "mirror": "mirror a b", "raidz1": "raidz1 a b c", "raidz2": "raidz2 a b c d"}
#: What it can read of a dataset.
PROPERTIES = {
    "lz4": {"compression": "lz4"},
    "gzip": {"compression": "gzip-6", "checksum": "sha256", "recordsize": "1M"},
    "lzjb": {"compression": "lzjb", "recordsize": "4K"},
    "zle": {"compression": "zle", "checksum": "fletcher2"},
    "off": {"compression": "off", "copies": "2"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_grub_reads_what_we_write(tmp_path: Path, layout: str) -> None:
    program = program_or_skip("grub-fstest", "GRUB")
    rng = random.Random(layout)
    text = b" ".join(rng.choices([b"boot", b"kernel", b"initrd"], k=60_000))
    contents = {
        "empty": b"", "short": b"x", "text": text, "random": rng.randbytes(700_001), "zeros": bytes(200_000) + b"end",
        "a/b/c/deep": text[:5000], "many/17": b"17",
    }  # fmt: skip
    words = [word if len(word) > 1 else str(tmp_path / word) for word in LAYOUTS[layout].split()]
    with create_pool("g", words, size=96 << 20, properties={"compatibility": "grub2"}) as pool:
        for name, properties in PROPERTIES.items():
            vfs = pool.create_filesystem(f"g/{name}", properties)
            vfs.makedirs("/a/b/c")
            vfs.mkdir("/many")
            for number in range(300):
                vfs.write_bytes(f"/many/{number}", str(number).encode())
            for path, data in contents.items():
                vfs.write_bytes(path, data)
    images = sorted(str(path) for path in tmp_path.iterdir())
    for name in PROPERTIES:
        for path, data in contents.items():
            out = tmp_path / "out"
            command = [program, "-c", str(len(images)), *images, "cp", f"(loop0)/{name}/@/{path}", str(out)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0 and "error" not in done.stderr, (name, path, done.stderr)
            assert out.read_bytes() == data, (name, path)
