"""Headers of tar archives in the PAX format, with sparse files as GNU tar keeps them (1.0).

An entry is a header block of 512 bytes and content padded to that. What does not fit the header (long names, large
numbers, nanoseconds, extended attributes) is in a block of records before it, each ``LENGTH KEY=VALUE``.

Source: POSIX.1-2017, pax; GNU tar's manual, "Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, LINK, SYMLINK, CHAR, BLOCK_DEVICE, FOLDER, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_EXTENDED = b"x"

NAME_MAX = 100
SIZE_MAX = 8 << 30  # exclusive, likewise the next
ID_MAX = 1 << 21
TIME_MAX = 1 << 33


@dataclass(slots=True)
class Member:
    """An entry to be. Names are bytes; ``size`` is that of the content that follows."""

    name: bytes
    kind: bytes = FILE
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    further: dict[bytes, bytes] = field(default_factory=dict)


def padding(size: int) -> bytes:
    """What fills content of this size up to a whole block."""
    return bytes(-size % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """One record of a PAX header: its length, which counts its own digits, key and value."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def seconds(ns: int) -> bytes:
    """A time in decimal, exact."""
    sign, ns = (b"-", -ns) if ns < 0 else (b"", ns)
    whole, part = divmod(ns, 10**9)
    return sign + b"%d" % whole + (b".%09d" % part if part else b"")


def header(member: Member) -> bytes:
    """The blocks that come before an entry's content."""
    records = dict(member.further)
    if len(member.name) > NAME_MAX:
        records[b"path"] = member.name
    if len(member.link) > NAME_MAX:
        records[b"linkpath"] = member.link
    if member.size >= SIZE_MAX:
        records[b"size"] = b"%d" % member.size
    for key, value in ((b"uid", member.uid), (b"gid", member.gid)):
        if value >= ID_MAX:
            records[key] = b"%d" % value
    if member.mtime_ns % 10**9 or not 0 <= member.mtime_ns < TIME_MAX * 10**9:
        records[b"mtime"] = seconds(member.mtime_ns)
    for key, value in zip((b"SCHILY.devmajor", b"SCHILY.devminor"), member.device):
        if value >= ID_MAX:
            records[key] = b"%d" % value
    for attribute, content in member.xattrs.items():
        # A key ends at the first equals sign; GNU tar writes those of a name, and its escape, as hex.
        key = attribute.encode("utf-8", "surrogateescape").replace(b"%", b"%25").replace(b"=", b"%3D")
        records[b"SCHILY.xattr." + key] = content
    extended = b""
    if records:
        body = b"".join(record(key, value) for key, value in records.items())
        name = b"PaxHeaders/" + member.name.rstrip(b"/").rpartition(b"/")[2][:80]
        extended = _block(Member(name, _EXTENDED, 0o644, size=len(body))) + body + padding(len(body))
    return extended + _block(member)


def _number(value: int, width: int) -> bytes:
    """An octal field; what does not fit stands in a PAX record."""
    limit = 8 ** (width - 1)
    return b"%0*o\0" % (width - 1, value if 0 <= value < limit else 0)


def _block(member: Member) -> bytes:
    fields = (
        member.name[:NAME_MAX].ljust(100, b"\0"),
        _number(member.mode, 8),
        _number(member.uid, 8),
        _number(member.gid, 8),
        _number(member.size, 12),
        _number(member.mtime_ns // 10**9, 12),
        b" " * 8,
        member.kind,
        member.link[:NAME_MAX].ljust(100, b"\0"),
        b"ustar\x0000",
        bytes(64),  # names of owner and group
        _number(member.device[0], 8),
        _number(member.device[1], 8),
        bytes(167),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def sparse(member: Member, ranges: Sequence[tuple[int, int]], size: int) -> bytes:
    """Turn an entry into a sparse one; gives the map that is to come before its data.

    Args:
        member: gets new name, size and records.
        ranges: (offset, length) of the data, in order; lengths are whole blocks unless they end with the file.
        size: of the file.
    """
    rows = list(ranges)
    if not rows or sum(rows[-1]) < size:
        rows.append((size, 0))
    text = b"%d\n" % len(rows) + b"".join(b"%d\n%d\n" % row for row in rows)
    text += padding(len(text))
    folder, _, last = member.name.rpartition(b"/")
    member.further |= {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": member.name,
        b"GNU.sparse.realsize": b"%d" % size,
    }
    member.name = (folder + b"/" if folder else b"") + b"GNUSparseFile.0/" + last
    member.size = len(text) + sum(length for _, length in rows)
    return text
