"""NFSv4 access control lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uberblock.pool.ondisk.acl import Ace
from uberblock.pool.zpl import acl
from uberblock.pool.zpl.acl import Acl

READ, WRITE, EXECUTE = 1, 2, 0x20


def bits(aces: tuple[Ace, ...], who: int) -> int:
    """Permission bits that the last entry for owner, group or everyone allows."""
    mask = next(ace.mask for ace in reversed(aces) if ace.flags & who and ace.type == 0)
    return (4 if mask & READ else 0) | (2 if mask & WRITE else 0) | (1 if mask & EXECUTE else 0)


def test_trivial_ones_say_what_the_mode_says(opened: Callable[[str], Any]) -> None:
    pool = opened("names")
    seen = 0
    for znode in pool.fs("tank-names/nfs4").filesystem.znodes():
        found = znode.acl()
        if not found.trivial:
            continue
        seen += 1
        mode = znode.mode
        assert (bits(found.aces, 0x1000), bits(found.aces, 0x2000), bits(found.aces, 0x4000)) == (
            mode >> 6 & 7, mode >> 3 & 7, mode & 7,
        )  # fmt: skip
        assert len(found.text()) == len(found.aces) >= 3
    assert seen > 30


class FakeZnode:
    """A znode with an ACL of old."""

    object = 7
    flags = 0

    def __init__(self, raw: bytes) -> None:
        self.raw = raw

    def attribute(self, name: str) -> tuple[bytes, str] | None:
        return (self.raw, "<") if name == "ZPL_ZNODE_ACL" else None


def test_entries_within_a_znode() -> None:
    from uberblock.pool.ondisk import acl as ondisk
    from uberblock.pool.ondisk.znode import ZnodeAcl, encode_acl

    entries = [Ace(0, 0x1000, 7), Ace(1, 0, 3, 1000)]
    old = encode_acl(ZnodeAcl(0, 2, 0, 0, ondisk.encode_old_aces(entries, "<").ljust(72, b"\0")), "<")
    assert acl.read(FakeZnode(old)) == Acl(tuple(entries), False)  # type: ignore[arg-type]
    raw = ondisk.encode_aces(entries, "<")
    new = encode_acl(ZnodeAcl(0, len(raw), 1, 2, raw.ljust(72, b"\0")), "<")
    assert acl.read(FakeZnode(new)) == Acl(tuple(entries), False)  # type: ignore[arg-type]
