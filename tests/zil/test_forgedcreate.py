"""Records of new files that we never write: with ACLs, attributes, owners of other domains, in all layouts."""

from __future__ import annotations

import struct

import pytest
from logforge import Forge, ace, create_body, xvattr
from uberblock.pool.ondisk.acl import Ace, AceFlags
from uberblock.pool.ondisk.zilrecord import TxType
from uberblock.pool.ondisk.zplconst import PFlags
from uberblock.pool.poolwrite import WritablePool

NEW = 900
OWNER, EVERYONE, GROUP_BIT = 0x1000, 0x4000, 0x40
BIG = 0xF0000000  # an id like any other where there are no FUIDs
SID = b"S-1-5-21-1-2-3\0"
OTHER_SID = b"S-1-5-21-7-8-9\0"


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge()


def acl_part(
    aces: list[bytes], *, domains: int = 0, fuids: tuple[int, ...] = (), flags: int = 0, order: str = "<"
) -> tuple[bytes, bytes]:
    """The five counts of a record with an ACL, and its entries with their FUIDs."""
    body = b"".join(aces)
    counts = struct.pack(order + "5Q", len(aces), domains, len(fuids), len(body), flags)
    return counts, body + bytes(-len(body) % 8) + struct.pack(f"{order}{len(fuids)}Q", *fuids)


def check_made(pool: WritablePool, path: str, mode: int, uid: int = 0, gid: int = 0) -> None:
    znode = pool.fs().znode(path)
    assert (znode.object, znode.mode, znode.uid, znode.gid) == (NEW, mode, uid, gid)
    assert (znode.crtime, znode.gen) == (10**18 + 5 * 10**8, 77)


@pytest.mark.parametrize("slim", [True, False])
@pytest.mark.parametrize("order", "<>")
def test_layouts_and_byte_orders(forge: Forge, order: str, slim: bool) -> None:
    root = forge.number()
    counts, entries = acl_part([ace(0, 3, OWNER, 0, order), ace(BIG, 1, 0, 1, order)], order=order)
    extended = xvattr(0x4, 0x4, order=order)
    records = [
        (TxType.CREATE_ACL_ATTR, create_body(root, NEW, 0o100600, counts + extended + entries + b"f\0", order=order)),
        (TxType.WRITE, struct.pack(order + "4Q128x", NEW, 2, 3, 0) + b"abc"),
    ]
    with forge.replayed(records, order=order, slim=slim) as pool:
        znode = pool.fs().znode("/f")
        assert znode.acl().aces == (Ace(0, OWNER, 3), Ace(1, 0, 1, BIG))
        assert znode.flags & PFlags.SYSTEM
        assert pool.fs().read_bytes("/f") == b"\0\0abc"
        assert len(pool.fs().read_bytes("/first")) == 3500, "what comes before is made as well"


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("extended", [False, True])
def test_with_an_acl(forge: Forge, folder: bool, extended: bool) -> None:
    kind = {
        (False, False): TxType.CREATE_ACL, (False, True): TxType.CREATE_ACL_ATTR,
        (True, False): TxType.MKDIR_ACL, (True, True): TxType.MKDIR_ACL_ATTR,
    }[folder, extended]  # fmt: skip
    mode = 0o040750 if folder else 0o100750
    counts, entries = acl_part(
        [ace(7, 0x20, 0, 1), ace(8, 1, GROUP_BIT, 0), ace(0, 0x1F01FF, OWNER, 0), ace(0, 0x120080, EVERYONE, 0)],
        flags=2,
    )
    block = xvattr(0x1 | 0x8 | 0x10, 0x8, crtime=123) if extended else b""
    body = create_body(forge.number(), NEW, mode, counts + block + entries + b"name\0", uid=5, gid=6)
    with forge.replayed([(kind, body)]) as pool:
        znode = pool.fs().znode("/name")
        assert (znode.object, znode.mode, znode.uid, znode.gid, znode.gen) == (NEW, mode, 5, 6, 77)
        assert znode.acl().aces == (
            Ace(1, 0, 0x20, 7), Ace(0, AceFlags.IDENTIFIER_GROUP, 1, 8), Ace(0, OWNER, 0x1F01FF),
            Ace(0, EVERYONE, 0x120080),
        )  # fmt: skip
        assert znode.flags & PFlags.ACL_PROTECTED
        assert bool(znode.flags & PFlags.READONLY) is extended and not znode.flags & PFlags.NOUNLINK
        assert znode.crtime == (123 * 10**9 if extended else 10**18 + 5 * 10**8)


@pytest.mark.parametrize("folder", [False, True])
def test_with_attributes(forge: Forge, folder: bool) -> None:
    kind, mode = (TxType.MKDIR_ATTR, 0o040700) if folder else (TxType.CREATE_ATTR, 0o100600)
    block = xvattr(0x2 | 0x4 | 0x40000, 0x2, scan=(4711).to_bytes(8, "little"))
    with forge.replayed([(kind, create_body(forge.number(), NEW, mode, block + b"n\0", uid=9))]) as pool:
        check_made(pool, "/n", mode, 9)
        znode = pool.fs().znode("/n")
        assert znode.flags & PFlags.ARCHIVE and not znode.flags & PFlags.SYSTEM
        assert znode.projid == 4711


def test_a_stamp_of_a_virus_scanner(forge: Forge) -> None:
    stamp = bytes(range(1, 33))
    body = create_body(forge.number(), NEW, 0o100600, xvattr(0x1000 | 0x400, 0x400, scan=stamp) + b"n\0")
    with forge.replayed([(TxType.CREATE_ATTR, body)]) as pool:
        znode = pool.fs().znode("/n")
        assert znode.flags & PFlags.AV_QUARANTINED and znode.flags & PFlags.BONUS_SCANSTAMP


def owners(pool: WritablePool, path: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """Domain and relative id of owner and group."""
    znode = pool.fs().znode(path)
    table = {0: "", **pool.fs().filesystem.domains}
    return (table[znode.owner[0]], znode.uid), (table[znode.group[0]], znode.gid)


@pytest.mark.parametrize("extended", [False, True])
def test_owners_of_two_domains(forge: Forge, extended: bool) -> None:
    kind, block = (TxType.CREATE_ATTR, xvattr(0x2, 0x2)) if extended else (TxType.CREATE, b"")
    tail = block + SID + OTHER_SID + b"n\0"
    for uid, gid, expected in (
        (1 << 32 | 500, 2 << 32 | 501, ((SID, 500), (OTHER_SID, 501))),
        (2 << 32 | 500, 1 << 32 | 501, ((OTHER_SID, 500), (SID, 501))),
    ):
        body = create_body(forge.number(), NEW, 0o100600, tail, uid=uid, gid=gid)
        with forge.replayed([(kind, body)]) as pool:
            assert owners(pool, "/n") == tuple((sid[:-1].decode(), rid) for sid, rid in expected)


def test_an_index_is_the_place_in_the_record(forge: Forge) -> None:
    """Entries of the ACL are numbered before the owner: who owns the file may have the second of two domains."""
    counts, entries = acl_part(
        [ace(0x80000001, 1, 0, 0), ace(44, 2, 0, 0), ace(0x80000002, 4, GROUP_BIT, 1)],
        domains=2, fuids=(1 << 32 | 1001, 2 << 32 | 1002),
    )  # fmt: skip
    tail = counts + entries + SID + OTHER_SID + b"n\0"
    body = create_body(forge.number(), NEW, 0o100600, tail, uid=2 << 32 | 77, gid=6)
    with forge.replayed([(TxType.CREATE_ACL, body)]) as pool:
        assert owners(pool, "/n") == ((OTHER_SID[:-1].decode(), 77), ("", 6))
        table = {name: index for index, name in pool.fs().filesystem.domains.items()}
        first, second = (table[sid[:-1].decode()] << 32 for sid in (SID, OTHER_SID))
        assert [one.who for one in pool.fs().znode("/n").acl().aces] == [first | 1001, 44, second | 1002]
