"""The world as the engine sees it: time, randomness, devices, and the host's name.

Nothing else in the package asks the operating system for any of these while it writes a pool, so a pool made with
``Env.fixed(seed)`` on the same devices has the same bytes every time: for tests, crash laboratories, and images that
can be built again.

Source: OpenZFS, spl-generic.c (where a host id comes from).
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import struct
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from pathlib import Path

from .device.base import Device
from .device.file import create_file as create_path
from .device.open import open_device as open_path

HOSTID_FILE = "/etc/hostid"  # four bytes, in the byte order of the machine
HOSTID_MODULE = "/sys/module/spl/parameters/spl_hostid"  # text; 0: not set there
HOSTID_MASK = 0xFFFFFFFF
FIXED_TIME = 1_600_000_000

#: Opens what a path names: (path, readonly).
Opener = Callable[[str, bool], Device]


@dataclass(frozen=True)
class Env:
    """Clock, randomness, devices, host.

    Attributes:
        clock: seconds since 1970, with fractions.
        random_bytes: so many bytes that nobody can foretell (or, in tests, that anybody can).
        open_device: opens a path, for reading only or exclusively for writing; raises ``DeviceError``.
        create_file: makes a new file of so many bytes.
        hostname, hostid: written into labels; a host id of 0 is none, and is left out.
        uid: of the user, written into the pool's history.
    """

    clock: Callable[[], float] = time.time
    random_bytes: Callable[[int], bytes] = secrets.token_bytes
    open_device: Opener = field(default=open_path)
    create_file: Callable[[str, int], None] = field(default=create_path)
    hostname: str = ""
    hostid: int = 0
    uid: int = 0

    @classmethod
    def host(cls) -> Env:
        """The real world."""
        return cls(hostname=socket.gethostname(), hostid=read_hostid(), uid=os.getuid())

    @classmethod
    def fixed(
        cls, seed: int = 1, *, now: float = FIXED_TIME, hostname: str = "localhost", hostid: int = 0
    ) -> Env:
        """A world in which the clock stands still and chance follows from ``seed``. Devices are real ones."""
        return cls(
            clock=lambda: now, random_bytes=random.Random(seed).randbytes, hostname=hostname, hostid=hostid
        )

    def now(self) -> int:
        """Whole seconds since 1970: what labels, uberblocks and history carry."""
        return int(self.clock())

    def guid(self, taken: Container[int] = ()) -> int:
        """A random 64-bit number that is neither 0 nor ``taken``."""
        while True:
            guid = int.from_bytes(self.random_bytes(8), "little")
            if guid and guid not in taken:
                return guid


def read_hostid(module: str = HOSTID_MODULE, file: str = HOSTID_FILE) -> int:
    """The host's id where OpenZFS's kernel module finds it; 0 where none is set."""
    try:
        number = int(Path(module).read_text().strip() or "0", 0) & HOSTID_MASK
    except (OSError, ValueError):
        number = 0
    if number:
        return number
    try:
        raw = Path(file).read_bytes()
    except OSError:
        return 0
    return int(struct.unpack("=I", raw[:4])[0]) if len(raw) >= 4 else 0


def state_folder() -> Path:
    """Where this user's state is kept: ``$XDG_STATE_HOME/uberblock``, or ``~/.local/state/uberblock``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # The XDG rules: a path that is not absolute is to be ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "uberblock"
