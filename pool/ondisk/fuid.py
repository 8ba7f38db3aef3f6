"""FUIDs: 64-bit user and group ids, and the table of the domains they refer to.

The high 32 bits are an index into the file system's domain table (0: a plain POSIX id), the low 32 the id within
that domain. The table is one packed nvlist in an object of type 35 whose bonus holds its length.

Source: OpenZFS, zfs_fuid.c.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import LimitError
from . import nvlist

MAX_DOMAINS = 1 << 16
MAX_TABLE_BYTES = 16 << 20

TABLE = "fuid_nvlist"
INDEX = "fuid_idx"
OFFSET = "fuid_offset"  # always 0
DOMAIN = "fuid_domain"


class Fuid(NamedTuple):
    """A user or group: index of its domain (0: POSIX) and the id there."""

    domain: int
    rid: int

    @classmethod
    def of(cls, value: int) -> Fuid:
        """Split a stored id."""
        return cls(value >> 32, value & 0xFFFFFFFF)


def decode_table(buffer: Any) -> dict[int, str]:
    """Domains by index, from the packed bytes of the table.

    Raises:
        CorruptError, LimitError: the bytes are not such a table.
    """
    rows = nvlist.decode(buffer, limit=MAX_TABLE_BYTES).nvlists(TABLE)
    if len(rows) > MAX_DOMAINS:
        raise LimitError("a FUID table with too many domains", count=len(rows))
    return {row.u64(INDEX): row.string(DOMAIN) for row in rows}


def encode_table(domains: dict[int, str]) -> bytes:
    """The packed table."""
    rows = [nvlist.NVList({INDEX: n, OFFSET: 0, DOMAIN: domain}) for n, domain in sorted(domains.items())]
    table = nvlist.NVList()
    table.add(TABLE, rows, nvlist.NvType.NVLIST_ARRAY)
    return nvlist.encode(table)
