"""Records of changes that we never write ourselves: ACLs, masks of other platforms, exchanges, whiteouts, clones."""

from __future__ import annotations

import struct

import pytest
from logforge import Forge, ace, create_body, xvattr
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk.acl import Ace
from uberblock.pool.ondisk.zilrecord import TxType
from uberblock.pool.ondisk.zplconst import PFlags

NEW = 900
UNSET = (1 << 64) - 1  # FreeBSD
UNSET_ID = (1 << 32) - 1
DATA = bytes(range(256)) * 512  # 128 KiB


class WithFiles(Forge):
    """With two files that are on disk: /one (128 KiB) and /folder/two (3 bytes), which have an owner and a mode."""

    def prepare(self) -> None:
        self.fs.write_bytes("/one", DATA)
        self.fs.mkdir("/folder")
        self.fs.write_bytes("/folder/two", b"two")
        self.fs.chown("/folder/two", 11, 12)
        self.fs.chmod("/folder/two", 0o644)


@pytest.fixture(scope="module")
def forge() -> WithFiles:
    return WithFiles()


def setattr_body(
    number: int, mask: int, mode: int, uid: int, gid: int, size: int, atime: int = 0, mtime: int = 0
) -> bytes:
    return struct.pack("<10Q", number, mask, mode, uid, gid, size, atime, 0, mtime, 0)


@pytest.mark.parametrize(
    "mask, fields, expected",
    [
        (0x41, (0o100600, 0, 0, 0), (0o600, 11, 12, 3)),  # Linux: chmod
        (0x46, (0, 21, 22, 0), (0o644, 21, 22, 3)),  # chown
        (0x8, (0, 0, 0, 2), (0o644, 11, 12, 2)),  # truncate
        (0x2068, (0, 0, 0, 1), (0o644, 11, 12, 1)),  # ftruncate
        (0x2, (0o600, UNSET_ID, UNSET_ID, UNSET), (0o600, 11, 12, 3)),  # FreeBSD: chmod
        (0x4, (0xFFFF, 21, UNSET_ID, UNSET), (0o644, 21, 12, 3)),  # chown
        (0x8, (0xFFFF, UNSET_ID, 22, UNSET), (0o644, 11, 22, 3)),  # chgrp
        (0xC, (0xFFFF, 21, 22, UNSET), (0o644, 21, 22, 3)),
        (0x80, (0xFFFF, UNSET_ID, UNSET_ID, 2), (0o644, 11, 12, 2)),  # truncate
        (0x8A, (0o600, UNSET_ID, 22, 1), (0o600, 11, 22, 1)),
    ],
)
def test_masks(forge: WithFiles, mask: int, fields: tuple[int, ...], expected: tuple[int, ...]) -> None:
    body = setattr_body(forge.number("/folder/two"), mask, *fields)
    with forge.replayed([(TxType.SETATTR, body)]) as pool:
        znode = pool.fs().znode("/folder/two")
        assert (znode.mode & 0o7777, znode.uid, znode.gid, znode.size) == expected


@pytest.mark.parametrize("mask", [0x70, 0x300])
def test_times_of_both_platforms(forge: WithFiles, mask: int) -> None:
    fields = (0, 0, 0, 0) if mask == 0x70 else (0xFFFF, UNSET_ID, UNSET_ID, UNSET)
    body = setattr_body(forge.number("/folder/two"), mask, *fields, atime=1000, mtime=2000)
    with forge.replayed([(TxType.SETATTR, body)]) as pool:
        znode = pool.fs().znode("/folder/two")
        assert (znode.atime, znode.mtime) == (1000 * 10**9, 2000 * 10**9)
        assert (znode.mode & 0o7777, znode.uid, znode.gid, znode.size) == (0o644, 11, 12, 3)


@pytest.mark.parametrize("mask, mode", [(0x80000041, 0o600), (0x10002, 0o600), (0x10000, 0o644)])
def test_flags_of_both_platforms(forge: WithFiles, mask: int, mode: int) -> None:
    """FreeBSD: chflags, which comes with a block of attributes as on Linux, and perhaps a chmod."""
    fields = (0o600, UNSET_ID, UNSET_ID, UNSET)
    body = setattr_body(forge.number("/folder/two"), mask, *fields) + xvattr(0x8 | 0x100, 0x8)
    with forge.replayed([(TxType.SETATTR, body)]) as pool:
        znode = pool.fs().znode("/folder/two")
        assert (znode.mode & 0o7777, znode.uid, znode.gid, znode.size) == (mode, 11, 12, 3)
        assert znode.flags & PFlags.READONLY and not znode.flags & PFlags.NODUMP


def test_acls(forge: WithFiles) -> None:
    number = forge.number("/folder/two")
    entries = ace(0, 1, 0x1000, 0) + ace(0, 2, 0x4000, 1)
    old = struct.pack("<2Q", number, 2) + entries
    new = struct.pack("<6Q", number, 2, 0, 0, 24, 4) + ace(0xF0000000, 1, 0, 0) + ace(0, 3, 0x1000, 0)
    with forge.replayed([(TxType.ACL_V0, old)]) as pool:
        znode = pool.fs().znode("/folder/two")
        assert znode.acl().aces == (Ace(0, 0x1000, 1), Ace(1, 0x4000, 2))
        assert znode.mode & 0o7777 == 0o400
    with forge.replayed([(TxType.ACL_V0, old), (TxType.ACL, new)]) as pool:
        znode = pool.fs().znode("/folder/two")
        assert znode.acl().aces == (Ace(0, 0, 1, 0xF0000000), Ace(0, 0x1000, 3))
        assert znode.mode & 0o7777 == 0o600 and znode.flags & PFlags.ACL_DEFAULTED


def test_names_are_exchanged(forge: WithFiles) -> None:
    root, folder = forge.number(), forge.number("/folder")
    one, two = forge.number("/one"), forge.number("/folder/two")
    body = struct.pack("<2Q", root, folder) + b"one\0two\0"
    with forge.replayed([(TxType.RENAME_EXCHANGE, body)]) as pool:
        assert (pool.fs().znode("/one").object, pool.fs().znode("/folder/two").object) == (two, one)
        assert pool.fs().read_bytes("/one") == b"two"


def test_a_whiteout_takes_the_place(forge: WithFiles) -> None:
    root, folder = forge.number(), forge.number("/folder")
    fields = (root, folder, NEW, 0o020000, 31, 32, 78, 1234, 5, 0)
    with forge.replayed([(TxType.RENAME_WHITEOUT, struct.pack("<10Q", *fields) + b"one\0two\0")]) as pool:
        fs = pool.fs()
        assert fs.read_bytes("/folder/two") == DATA
        white = fs.znode("/one")
        assert (white.object, white.mode, white.uid, white.gid) == (NEW, 0o020000, 31, 32)
        assert (white.gen, white.crtime, white.rdev) == (78, 1234 * 10**9 + 5, (0, 0))


def test_packed_attributes(forge: WithFiles) -> None:
    number = forge.number("/folder/two")
    put = struct.pack("<2Q", number, 5) + b"user.a\0value"
    other = struct.pack("<2Q", number, 3) + b"user.b\0new"
    gone = struct.pack("<2Q", number, 0) + b"user.a\0"
    with forge.replayed([(TxType.SETSAXATTR, put), (TxType.SETSAXATTR, other)]) as pool:
        assert pool.fs().znode("/folder/two").xattrs() == {"user.a": b"value", "user.b": b"new"}
    with forge.replayed([(TxType.SETSAXATTR, put), (TxType.SETSAXATTR, other), (TxType.SETSAXATTR, gone)]) as pool:
        assert pool.fs().znode("/folder/two").xattrs() == {"user.b": b"new"}


def test_clones_are_copied(forge: WithFiles) -> None:
    """A whole block, a hole, and a block of which only the beginning is the file's."""
    raw = block_of(forge)
    body = create_body(forge.number(), NEW, 0o100600, b"clone\0")
    clone = struct.pack("<5Q", NEW, 0, 2 * len(DATA) + 1000, len(DATA), 3) + raw + bytes(128) + raw
    with forge.replayed([(TxType.CREATE, body), (TxType.CLONE_RANGE, clone)]) as pool:
        assert pool.fs().read_bytes("/clone") == DATA + bytes(len(DATA)) + DATA[:1000]
        assert pool.fs().read_bytes("/one") == DATA


def block_of(forge: Forge) -> bytes:
    """The pointer to the only block of /one."""
    (bp,) = forge.fs.znode("/one").dnode.bps(0, 1)
    assert int(blkptr.lsize(bp)) == len(DATA)
    return bytes(bp.tobytes())


@pytest.mark.parametrize("first", [False, True])
def test_a_clone_outlives_its_source(forge: WithFiles, first: bool) -> None:
    """Clones are logged out of order: the source may be removed before or behind them in the log."""
    remove = (TxType.REMOVE, struct.pack("<Q", forge.number()) + b"one\0")
    clone = (TxType.CLONE_RANGE, struct.pack("<5Q", NEW, 0, len(DATA), len(DATA), 1) + block_of(forge))
    records = [(TxType.CREATE, create_body(forge.number(), NEW, 0o100600, b"clone\0"))]
    records += [remove, clone] if first else [clone, remove]
    with forge.replayed(records) as pool:
        assert pool.fs().read_bytes("/clone") == DATA
        assert not pool.fs().exists("/one")


SID, OTHER_SID = b"S-1-5-21-1-2-3\0", b"S-1-5-21-7-8-9\0"


def test_owners_of_other_domains(forge: WithFiles) -> None:
    """Of SETATTR the group was numbered first; of ACL the entries have the domains."""
    number = forge.number("/folder/two")
    owner = setattr_body(number, 0x46, 0, 2 << 32 | 5, 1 << 32 | 6, 0) + SID + OTHER_SID
    fuids = struct.pack("<2Q", 1 << 32 | 8, 2 << 32 | 9)
    entries = ace(1 << 31, 1, 0, 0) + ace(1 << 31 | 1, 2, 0x40, 1)
    acl = struct.pack("<6Q", number, 2, 2, 2, 24, 0) + entries + fuids + OTHER_SID + SID
    with forge.replayed([(TxType.SETATTR, owner), (TxType.ACL, acl)]) as pool:
        domains = pool.fs().filesystem.domains
        znode = pool.fs().znode("/folder/two")
        first, second = (sid[:-1].decode() for sid in (SID, OTHER_SID))
        assert [(domains[one[0]], one[1]) for one in (znode.owner, znode.group)] == [(second, 5), (first, 6)]
        named = [one.who or 0 for one in znode.acl().aces]
        assert [(domains[who >> 32], who & 0xFFFFFFFF) for who in named] == [(second, 8), (first, 9)]


@pytest.mark.parametrize("kind", [TxType.CREATE, TxType.REMOVE, TxType.RENAME])
def test_names_without_case(kind: TxType) -> None:
    """Records that ask for names to be found whatever their case, where both ways are possible."""
    forge = WithFiles(casesensitivity="mixed")
    root = forge.number()
    body = {
        TxType.CREATE: create_body(root, NEW, 0o100600, b"NEW\0"),
        TxType.REMOVE: struct.pack("<Q", root) + b"ONE\0",
        TxType.RENAME: struct.pack("<2Q", root, root) + b"ONE\0uno\0",
    }[kind]
    names = {
        TxType.CREATE: {"first", "one", "folder", "NEW"}, TxType.REMOVE: {"first", "folder"},
        TxType.RENAME: {"first", "uno", "folder"},
    }[kind]  # fmt: skip
    with forge.replayed([(kind | 1 << 63, body)]) as pool:
        assert set(pool.fs().listdir("/")) == names
