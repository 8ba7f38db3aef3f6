"""What goes into the pools: folders made on this machine, and volumes; all of it follows from a seed."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from pathlib import Path

MTIME = 1_600_000_000 * 10**9
ODD_NAMES = (
    b" leading", b"trailing ", b"new\nline", b"tab\tand\\back", b"\x01\x02\x7f", b"\xff\xfe not utf-8", b"-rf",
    b"*?[a]", "gro\u00df \u00fcber \u4e16\u754c \U0001f600".encode(), "e\u0301 and \u00e9".encode(), b"x" * 255, b"...",
    b"~", b"a:b@c#d%",
)  # fmt: skip
PLAIN_NAMES = ("plain", "with space", "x" * 255, "CamelCase", "gro\u00df", "\u4e16\u754c", "...")
DEPTH = 40
BIG_FOLDER = 6000


def acl(*named: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as the extended attribute holds it. Args: tag, permissions, id of named entries.

    Source: Linux, posix_acl_xattr.h: version 2; user 1, named user 2, group 4, named group 8, mask 16, other 32.
    """
    entries = sorted([(1, 6, 0xFFFFFFFF), (4, 4, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF), (32, 4, 0xFFFFFFFF), *named])
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


class Folder:
    """A folder that is being filled. What this machine does not allow (devices without root ...) is left out."""

    def __init__(self, top: Path, seed: str) -> None:
        self.top = os.fsencode(top)
        self.rng = random.Random(seed)
        os.makedirs(self.top)
        self.made: list[bytes] = []

    def path(self, name: bytes | str) -> bytes:
        return self.top + b"/" + (name if isinstance(name, bytes) else name.encode())

    def file(self, name: bytes | str, data: bytes = b"", at: int = 0, size: int | None = None) -> bytes:
        path = self.path(name)
        with open(path, "wb") as stream:
            stream.seek(at)
            stream.write(data)
            if size is not None:
                stream.truncate(size)
        self.made.append(path)
        return path

    def folder(self, name: bytes | str) -> bytes:
        path = self.path(name)
        os.makedirs(path, exist_ok=True)
        self.made.append(path)
        return path

    def attribute(self, path: bytes, name: str, value: bytes) -> None:
        with contextlib.suppress(OSError):  # not every file system of ours has them
            os.setxattr(path, name, value)

    def finish(self) -> None:
        """Times and modes, from the inside out."""
        for place, path in enumerate(sorted(self.made, key=lambda path: -path.count(b"/"))):
            if not os.path.islink(path):
                mode = (0o644, 0o755, 0o600, 0o4711, 0o1770)[place % 5]
                os.chmod(path, mode | 0o700 if os.path.isdir(path) else mode)
            with contextlib.suppress(PermissionError):
                os.chown(path, place % 7 * 1000, place % 5 * 100, follow_symlinks=False)
            os.utime(path, ns=(MTIME, MTIME + place * 1_000_000_007), follow_symlinks=False)


def _contents(rng: random.Random) -> dict[str, bytes]:
    text = " ".join(rng.choices(["block", "pointer", "uberblock", "txg", "metaslab"], k=90_000)).encode()
    return {
        "empty": b"", "tiny": b"t", "small": text[:100], "page": rng.randbytes(4096), "odd": rng.randbytes(130_000),
        "text": text, "random": rng.randbytes(700_001), "zeros": bytes(300_000),
        "mixed": text[:140_000] + bytes(140_000),
    }  # fmt: skip


def sample(top: Path, seed: str, *, names: tuple[bytes | str, ...] = ODD_NAMES) -> None:
    """A few files of each kind, with attributes and links."""
    folder = Folder(top, seed)
    for name, data in _contents(folder.rng).items():
        folder.file(name, data)
    folder.file("sparse", b"at the end", at=3_000_000)
    folder.file("holes", folder.rng.randbytes(5000), at=900_000, size=2_000_000)
    for name in names:
        folder.file(name, folder.rng.randbytes(folder.rng.randrange(300)))
    for name in ("dir", "dir/inner", "other", "other/inner", "third"):
        folder.folder(name)
        for number in range(8):
            folder.file(f"{name}/{number}", folder.rng.randbytes(number * 100))
    attributed = folder.file("attributed", b"has attributes")
    folder.attribute(attributed, "user.small", b"v")
    folder.attribute(attributed, "user.empty", b"")
    folder.attribute(attributed, "user.large", folder.rng.randbytes(2500))
    folder.attribute(attributed, "trusted.root", b"only root sees it")
    folder.attribute(folder.path("dir"), "user.of a folder", b"\0\1\2")
    listed = folder.file("listed", b"has an ACL")
    folder.attribute(listed, "system.posix_acl_access", acl((2, 7, 1234), (8, 5, 77)))
    folder.attribute(folder.path("other"), "system.posix_acl_default", acl((2, 5, 99)))
    for name, target in (("short", "text"), ("dangling", "no/such"), ("long", "t" * 900)):
        os.symlink(target, folder.path(name))
        folder.made.append(folder.path(name))
    for name in ("again", "dir/again", "third/again"):
        os.link(folder.path("odd"), folder.path(name))
    with contextlib.suppress(PermissionError):
        for name, mode, device in (("null", 0o020666, (1, 3)), ("disk", 0o060600, (8, 17))):
            os.mknod(folder.path(name), mode, os.makedev(*device))
            folder.made.append(folder.path(name))
    os.mkfifo(folder.path("pipe"))
    os.mknod(folder.path("socket"), 0o140600)
    folder.made += [folder.path("pipe"), folder.path("socket")]
    folder.finish()


def full(top: Path, seed: str) -> None:
    """Many names in one folder, deep trees, long paths, many links, beside the sample."""
    sample(top / "sample", seed)
    folder = Folder(top / "more", seed)
    folder.folder("many")
    for number in range(BIG_FOLDER):
        folder.file(f"many/{number:x}-{'n' * (number % 60)}", b"x" * (number % 200))
    folder.folder("/".join(f"level{number}" for number in range(DEPTH)))
    folder.file("/".join(f"level{number}" for number in range(DEPTH)) + "/bottom", b"bottom")
    folder.file("linked", b"many names")
    for number in range(300):
        os.link(folder.path("linked"), folder.path(f"link{number}"))
    folder.file("big", folder.rng.randbytes(9_000_000))
    folder.finish()


def plain(top: Path, seed: str) -> None:
    """Names that datasets can have which take UTF-8 only."""
    sample(top, seed, names=PLAIN_NAMES)


FILLINGS = {"sample": sample, "plain": plain, "full": full}


def volume_data(size: int, seed: str) -> bytes:
    """Content of a volume: random, repeated, and nothing, in turns."""
    rng = random.Random(seed)
    data = bytearray(size)
    at = 0
    while at < size:
        length = min(size - at, rng.choice((512, 5000, 70_000, 400_000)))
        kind = rng.randrange(3)
        if kind == 0:
            data[at : at + length] = rng.randbytes(length)
        elif kind == 1:
            data[at : at + length] = (rng.randbytes(64) * (length // 64 + 1))[:length]
        at += length
    return bytes(data)
