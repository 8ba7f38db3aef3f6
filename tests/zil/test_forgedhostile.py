"""Records that lie: an error of ours and an untouched file system, or a log that ends before them. Never a hang."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

import pytest
from logforge import ENV, Forge, Forged, ace, create_body, xvattr
from uberblock.pool import import_pool
from uberblock.pool.errors import PoolError
from uberblock.pool.ondisk.zilrecord import TxType
from uberblock.pool.poolcreate import open_pool

NEW, GONE = 900, 5000
HUGE = (1 << 64) - 1
T = TxType


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def seen(forge: Forge, records: Sequence[Forged], **how: str) -> tuple[set[str], str]:
    """Names in the root after an import, and the error there was; what could not be replayed is then given up."""
    disks = forge.forged(records, **how)  # type: ignore[arg-type]
    problem = ""
    try:
        with open_pool(None, disks, env=ENV, txg_seconds=0, force=True) as pool:
            cuts = [note for note in pool.spa.notes if "ends early" in note]
            return set(pool.fs().listdir("/")), "; ".join(cuts)
    except PoolError as error:
        problem = str(error)
    for disk in disks:
        disk.reopen()
    with open_pool(None, disks, env=ENV, txg_seconds=0, force=True, discard_logs=True) as pool:
        return set(pool.fs().listdir("/")), problem


def good(forge: Forge, number: int, name: bytes) -> Forged:
    return T.CREATE, create_body(forge.number(), number, 0o100600, name + b"\0")


def acl_lie(aces: int, domains: int, fuids: int, size: int) -> bytes:
    return struct.pack("<5Q", aces, domains, fuids, size, 0)


ROOT = 34


def lies(root: int, first: int = 0) -> dict[str, Forged]:
    """Records that cannot be made, each with what is wrong."""
    one = ace(7, 1, 0, 0)
    return {
        "no name": (T.CREATE, create_body(root, NEW, 0o100600, b"xxxxxxxx" * 2)),
        "cut off": (T.CREATE, struct.pack("<3Q", root, NEW, 0o100600)),
        "no directory": (T.CREATE, create_body(GONE, NEW, 0o100600, b"n\0")),
        "domain": (T.CREATE, create_body(root, NEW, 0o100600, b"S-1-5\0n\0", uid=3 << 32 | 1)),
        "aces": (T.CREATE_ACL, create_body(root, NEW, 0o100600, acl_lie(HUGE, 0, 0, 16) + one + bytes(4) + b"n\0")),
        "ace bytes": (T.CREATE_ACL, create_body(root, NEW, 0o100600, acl_lie(1, 0, 0, HUGE) + one + b"n\0")),
        "fuids": (T.CREATE_ACL, create_body(root, NEW, 0o100600, acl_lie(1, 0, HUGE, 12) + one + bytes(4) + b"n\0")),
        "domains": (T.CREATE_ACL, create_body(root, NEW, 0o100600, acl_lie(1, HUGE, 0, 12) + one + bytes(4) + b"n\0")),
        "fuid without domain": (
            T.CREATE_ACL,
            create_body(
                root,
                NEW,
                0o100600,
                acl_lie(1, 0, 1, 12) + ace(1 << 31, 1, 0, 0) + bytes(4) + struct.pack("<Q", 1 << 32 | 5) + b"n\0",
            ),
        ),
        "more ids than fuids": (
            T.CREATE_ACL,
            create_body(
                root,
                NEW,
                0o100600,
                acl_lie(2, 0, 1, 24) + ace(1 << 31, 1, 0, 0) * 2 + struct.pack("<Q", 5) + b"n\0",
            ),
        ),
        "mask words": (
            T.CREATE_ATTR,
            create_body(root, NEW, 0o100600, struct.pack("<I", 1 << 31) + bytes(64) + b"n\0"),
        ),
        "no mask words": (T.CREATE_ATTR, create_body(root, NEW, 0o100600, bytes(72) + b"n\0")),
        "attributes cut off": (T.MKDIR_ATTR, create_body(root, NEW, 0o040700, xvattr(2, 2)[:40])),
        "write": (T.WRITE, struct.pack("<4Q128x", root, 0, HUGE, 0) + b"abc"),
        "write to a directory": (T.WRITE, struct.pack("<4Q128x", root, 0, 3, 0) + b"abc"),
        "acl": (T.ACL, struct.pack("<6Q", root, 1 << 40, 0, 0, 12, 0) + one),
        "old acl": (T.ACL_V0, struct.pack("<2Q", root, 1 << 62) + one),
        "attribute": (T.SETSAXATTR, struct.pack("<2Q", root, HUGE) + b"user.a\0x"),
        "clone": (T.CLONE_RANGE, struct.pack("<5Q", root, 0, 4096, 4096, HUGE)),
        "clone of nothing": (T.CLONE_RANGE, struct.pack("<5Q", root, 0, 4096, 4096, 0)),
        "exchange": (T.RENAME_EXCHANGE, struct.pack("<2Q", root, root) + b"first\0nobody\0"),
        "one name": (T.RENAME_EXCHANGE, struct.pack("<2Q", root, root) + b"firstxxx"),
        "whiteout": (T.RENAME_WHITEOUT, struct.pack("<10Q", root, root, 1, 0o020000, *[0] * 6) + b"first\0b\0"),
        "taken number": (T.CREATE, create_body(root, 1, 0o100600, b"n\0")),
        "write beyond all offsets": (T.WRITE, struct.pack("<4Q128x", first, HUGE - 2, 3, 0) + b"abc"),
        "size beyond all offsets": (T.WRITE2, struct.pack("<4Q128x", first, HUGE, HUGE, 0)),
        "clone beyond all offsets": (T.CLONE_RANGE, struct.pack("<5Q128x", first, HUGE - 4095, 4096, 4096, 1)),
        "clone of huge blocks": (T.CLONE_RANGE, struct.pack("<5Q128x", first, 0, 4096, 1 << 62, 1)),
        "clone of noise": (T.CLONE_RANGE, struct.pack("<5Q", first, 0, 4096, 4096, 1) + b"\x5a" * 128),
        "truncate beyond all offsets": (T.TRUNCATE, struct.pack("<3Q", first, HUGE, HUGE)),
        "set size": (T.SETATTR, struct.pack("<10Q", first, 0x48, 0, 0, 0, HUGE, *[0] * 4)),
        "huge mode": (T.CREATE, create_body(root, NEW, HUGE, b"n\0")),
        "another kind": (T.MKDIR, create_body(root, NEW, 0o100600, b"n\0")),
        "link without a target": (T.CREATE, create_body(root, NEW, 0o120777, b"n\0")),
        "mode set": (T.SETATTR, struct.pack("<10Q", root, 0x41, HUGE, *[0] * 7)),
        "whiteout of another kind": (
            T.RENAME_WHITEOUT,
            struct.pack("<10Q", root, root, NEW, 0o100600, *[0] * 6) + b"first\0b\0",
        ),
        "unknown": (25, bytes(64)),
        "commit": (0, bytes(8)),
    }


@pytest.mark.parametrize("what", sorted(lies(ROOT)))
def test_lies(forge: Forge, what: str) -> None:
    """What comes before one is made, and what comes behind it is not; of itself there is nothing at all."""
    records = [
        good(forge, 901, b"before"),
        lies(forge.number(), forge.number("/first"))[what],
        good(forge, 902, b"behind"),
    ]
    names, problem = seen(forge, records)
    assert problem, "somebody is told"
    assert names in ({"first", "before"}, {"first"})


@pytest.mark.parametrize(
    "record",
    [
        (T.WRITE, struct.pack("<4Q128x", GONE, 0, 3, 0) + b"abc"),
        (T.TRUNCATE, struct.pack("<3Q", GONE, 0, 0)),
        (T.SETATTR, struct.pack("<10Q", GONE, 0x41, 0o600, *[0] * 7)),
        (T.ACL_V0, struct.pack("<2Q", GONE, 1) + ace(0, 1, 0x1000, 0)),
        (T.ACL, struct.pack("<6Q", GONE, 1, 0, 0, 12, 0) + ace(0, 1, 0x1000, 0)),
        (T.WRITE2, struct.pack("<4Q128x", GONE, 0, 3, 0)),
        (T.SETSAXATTR, struct.pack("<2Q", GONE, 1) + b"user.a\0x"),
        (T.CLONE_RANGE, struct.pack("<5Q128x", GONE, 0, 4096, 4096, 1)),
    ],
    ids=lambda record: TxType(record[0]).name,
)
def test_changes_of_what_is_gone_are_left_out(forge: Forge, record: Forged) -> None:
    names, problem = seen(forge, [good(forge, 901, b"before"), record, good(forge, 902, b"behind")])
    assert (names, problem) == ({"first", "before", "behind"}, "")


@pytest.mark.parametrize("seed", range(25))
def test_noise(forge: Forge, seed: int) -> None:
    """Words of sound records, changed at random: the pool opens, with or without what they say."""
    rng = random.Random(seed)
    kind, body = rng.choice(list(lies(forge.number(), forge.number("/first")).values()))
    noisy = bytearray(body.ljust(8, b"\0"))
    for _ in range(3):
        at = rng.randrange(0, len(noisy) - 7, 8)
        noisy[at : at + 8] = rng.choice([rng.randbytes(8), bytes(8), b"\xff" * 8, struct.pack("<Q", rng.randrange(64))])
    names, problem = seen(forge, [(kind, bytes(noisy)), good(forge, 902, b"behind")])

    assert problem or "behind" in names


def test_what_is_left_can_be_read(forge: Forge) -> None:
    disks = forge.forged([(25, bytes(64))])
    with import_pool(None, disks) as pool:
        assert set(pool.fs("lab").listdir("/")) == {"first"}
