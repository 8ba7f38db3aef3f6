"""Every dataset property OpenZFS knows: what it is called, what it may hold, whom it applies to, how it is shown.

The table's order is that of ``zfs get all``. Columns: the name; the kind of value; the default; who may set it and
whether children inherit it; the types of dataset it applies to; how the number is shown; the column's heading in
``zfs list``; the values it may take. Where an index value has several names, the first is the one that is shown.

Source: OpenZFS, zfs_prop.c, zfs.h and zfsprops(7), release 2.3, with the later properties marked by their release.

Invariants: names are unique; a default of an index property is one of its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, Flag, auto

UINT64_MAX = (1 << 64) - 1
VERIFY = 256  # added to a checksum id: dedup compares the bytes too


class Kind(Enum):
    """What a property's value is."""

    NUMBER = auto()
    STRING = auto()
    INDEX = auto()  # a number with a name


class Attr(Enum):
    """Who sets a property, and whether children have it from their parents."""

    READONLY = auto()
    DEFAULT = auto()  # settable, not inherited
    INHERIT = auto()  # settable, inherited
    ONETIME = auto()  # set at creation; an inherited default is taken from the parent then
    ONETIME_DEFAULT = auto()  # set at creation


class Types(Flag):
    """Types of dataset."""

    FILESYSTEM = auto()
    VOLUME = auto()
    SNAPSHOT = auto()
    BOOKMARK = auto()


NO_TYPES = Types(0)


class Form(Enum):
    """How a number is shown to people; exact output shows the digits of all but ratios and limits."""

    COUNT = auto()  # 1.50K
    BYTES = auto()  # 1.50K, 0B
    QUOTA = auto()  # bytes; 0 is "none"
    LIMIT = auto()  # count; all ones is "none", in exact output too
    RATIO = auto()  # hundredths: 1.50x
    IDENT = auto()  # always all digits
    DATE = auto()  # Sat Jan  3  9:05 2026
    DATE_SECONDS = auto()  # the same with seconds; 0: not there
    NANOSECONDS = auto()  # all digits; 0: not there


@dataclass(frozen=True, slots=True)
class Property:
    """One row of the table."""

    name: str
    kind: Kind
    default: int | str | None
    attr: Attr
    types: Types
    form: Form = Form.COUNT
    column: str = ""  # heading in ``zfs list``
    hint: str = ""  # the values, as a usage message puts them
    index: tuple[tuple[str, int], ...] = ()
    visible: bool = True  # listed by ``zfs get all``
    since: tuple[int, int] = (0, 6)  # OpenZFS release; later ones are listed only where they are set
    also: Types = NO_TYPES  # further types it applies to from 2.4 on

    @property
    def inheritable(self) -> bool:
        """Children take the value from their parents."""
        return self.attr in (Attr.INHERIT, Attr.ONETIME)

    @property
    def settable(self) -> bool:
        """Can be changed after creation."""
        return self.attr in (Attr.DEFAULT, Attr.INHERIT)

    @property
    def set_once(self) -> bool:
        """Can be given at creation only."""
        return self.attr in (Attr.ONETIME, Attr.ONETIME_DEFAULT)

    def text_of(self, value: int) -> str | None:
        """The name of an index value; None where it has none."""
        return next((name for name, number in self.index if number == value), None)

    def value_of(self, text: str) -> int | None:
        """The number behind a name of an index value; None for an unknown name."""
        return next((number for name, number in self.index if name == text), None)


ON_OFF = (("off", 0), ("on", 1))
CHECKSUMS = (
    ("on", 1),
    ("off", 2),
    ("fletcher2", 6),
    ("fletcher4", 7),
    ("sha256", 8),
    ("noparity", 10),
    ("sha512", 11),
    ("skein", 12),
    ("edonr", 13),
    ("blake3", 14),
)
DEDUP = (
    ("on", 1),
    ("off", 2),
    ("verify", 1 | VERIFY),
    ("sha256", 8),
    ("sha256,verify", 8 | VERIFY),
    ("sha512", 11),
    ("sha512,verify", 11 | VERIFY),
    ("skein", 12),
    ("skein,verify", 12 | VERIFY),
    ("edonr,verify", 13 | VERIFY),
    ("blake3", 14),
    ("blake3,verify", 14 | VERIFY),
)

ZSTD = 16
ZSTD_LEVEL_SHIFT = 7
ZSTD_FAST_FIRST = 103  # the number that stands for zstd-fast-1
ZSTD_FAST = (*range(1, 11), 20, 30, 40, 50, 60, 70, 80, 90, 100, 500, 1000)


def _zstd(number: int) -> int:
    return ZSTD | number << ZSTD_LEVEL_SHIFT


COMPRESSION = (
    ("on", 1),
    ("off", 2),
    ("lzjb", 3),
    ("gzip", 10),
    *((f"gzip-{level}", 4 + level) for level in range(1, 10)),
    ("zle", 14),
    ("lz4", 15),
    ("zstd", ZSTD),
    ("zstd-fast", _zstd(ZSTD_FAST_FIRST)),
    *((f"zstd-{level}", _zstd(level)) for level in range(1, 20)),
    *((f"zstd-fast-{level}", _zstd(ZSTD_FAST_FIRST + place)) for place, level in enumerate(ZSTD_FAST)),
)
CACHE = (("none", 0), ("metadata", 1), ("all", 2))
ENCRYPTION = (
    ("on", 1),
    ("off", 2),
    ("aes-128-ccm", 3),
    ("aes-192-ccm", 4),
    ("aes-256-ccm", 5),
    ("aes-128-gcm", 6),
    ("aes-192-gcm", 7),
    ("aes-256-gcm", 8),
)
ENCRYPTION_OFF = 2
KEYFORMATS = (("none", 0), ("raw", 1), ("hex", 2), ("passphrase", 3))
KEYSTATUS = (("none", 0), ("unavailable", 1), ("available", 2))
NORMALIZATION = (("none", 0), ("formD", 0x10), ("formKC", 0x60), ("formC", 0x50), ("formKD", 0x20))
ACLTYPE = (("off", 0), ("posix", 1), ("nfsv4", 2), ("disabled", 0), ("noacl", 0), ("posixacl", 1))
ACLMODE = (("discard", 0), ("groupmask", 2), ("passthrough", 3), ("restricted", 4))
ACLINHERIT = (
    ("discard", 0),
    ("noallow", 1),
    ("restricted", 4),
    ("passthrough", 3),
    ("secure", 4),
    ("passthrough-x", 5),
)
DNODESIZE = (
    ("legacy", 0),
    ("auto", 1),
    ("1k", 1024),
    ("2k", 2048),
    ("4k", 4096),
    ("8k", 8192),
    ("16k", 16384),
)
VOLMODE = (("default", 0), ("full", 1), ("geom", 1), ("dev", 2), ("none", 3))

_FS, _VOL, _SNAP, _MARK = Types.FILESYSTEM, Types.VOLUME, Types.SNAPSHOT, Types.BOOKMARK
_HEADS = _FS | _VOL
_DATASETS = _HEADS | _SNAP
_ALL = _DATASETS | _MARK
_FS_SNAP = _FS | _SNAP
_RO, _DEFAULT, _INHERIT = Attr.READONLY, Attr.DEFAULT, Attr.INHERIT
_ONCE, _ONCE_DEFAULT = Attr.ONETIME, Attr.ONETIME_DEFAULT
_24, _25 = (2, 4), (2, 5)


def _number(
    name: str,
    column: str,
    attr: Attr,
    types: Types,
    form: Form = Form.COUNT,
    default: int = 0,
    hint: str = "<size>",
    since: tuple[int, int] = (0, 6),
    also: Types = NO_TYPES,
) -> Property:
    return Property(name, Kind.NUMBER, default, attr, types, form, column, hint, since=since, also=also)


def _text(
    name: str, column: str, attr: Attr, types: Types, default: str | None = None, hint: str = ""
) -> Property:
    return Property(name, Kind.STRING, default, attr, types, column=column, hint=hint)


def _index(
    name: str,
    column: str,
    attr: Attr,
    types: Types,
    default: int,
    values: tuple[tuple[str, int], ...] = ON_OFF,
    hint: str = "on | off",
) -> Property:
    return Property(name, Kind.INDEX, default, attr, types, column=column, hint=hint, index=values)


def _hidden(name: str, kind: Kind, attr: Attr, types: Types, form: Form = Form.COUNT) -> Property:
    default = None if kind is Kind.STRING else 0
    return Property(name, kind, default, attr, types, form, name.upper(), visible=False)


_NUM, _STR = Kind.NUMBER, Kind.STRING

#: All properties, in the order of ``zfs get all``.
PROPERTIES: tuple[Property, ...] = (
    _text("type", "TYPE", _RO, _ALL, hint="filesystem | volume | snapshot | bookmark"),
    _number("creation", "CREATION", _RO, _ALL, Form.DATE, hint="<date>"),
    _number("used", "USED", _RO, _DATASETS, Form.BYTES),
    _number("available", "AVAIL", _RO, _HEADS, Form.BYTES),
    _number("referenced", "REFER", _RO, _ALL, Form.BYTES),
    _number("compressratio", "RATIO", _RO, _ALL, Form.RATIO, hint="<1.00x or higher if compressed>"),
    _index("mounted", "MOUNTED", _RO, _FS, 0, (("no", 0), ("yes", 1)), "yes | no"),
    _text("origin", "ORIGIN", _RO, _HEADS, hint="<snapshot>"),
    _number("quota", "QUOTA", _DEFAULT, _FS, Form.QUOTA, hint="<size> | none"),
    _number("reservation", "RESERV", _DEFAULT, _HEADS, Form.QUOTA, hint="<size> | none"),
    _number("volsize", "VOLSIZE", _DEFAULT, _VOL | _SNAP),
    _number("volblocksize", "VOLBLOCK", _ONCE, _VOL, default=16384, hint="512 to 16M, power of 2"),
    _number("recordsize", "RECSIZE", _INHERIT, _FS, default=131072, hint="512 to 16M, power of 2"),
    _text("mountpoint", "MOUNTPOINT", _INHERIT, _FS, "/", "<path> | legacy | none"),
    _text("sharenfs", "SHARENFS", _INHERIT, _FS, "off", "on | off | NFS share options"),
    _index("checksum", "CHECKSUM", _INHERIT, _HEADS, 1, CHECKSUMS, " | ".join(name for name, _ in CHECKSUMS)),
    _index(
        "compression",
        "COMPRESS",
        _INHERIT,
        _HEADS,
        1,
        COMPRESSION,
        "on | off | lzjb | gzip | gzip-[1-9] | zle | lz4 | zstd | zstd-[1-19] | zstd-fast | zstd-fast-[1-10,20...1000]",
    ),
    _index("atime", "ATIME", _INHERIT, _FS, 1),
    _index("devices", "DEVICES", _INHERIT, _FS_SNAP, 1),
    _index("exec", "EXEC", _INHERIT, _FS_SNAP, 1),
    _index("setuid", "SETUID", _INHERIT, _FS_SNAP, 1),
    _index("readonly", "RDONLY", _INHERIT, _HEADS, 0),
    _index("zoned", "ZONED", _INHERIT, _FS, 0),
    _index(
        "snapdir",
        "SNAPDIR",
        _INHERIT,
        _FS,
        0,
        (("hidden", 0), ("visible", 1), ("disabled", 2)),
        "disabled | hidden | visible",
    ),
    _index("aclmode", "ACLMODE", _INHERIT, _FS, 0, ACLMODE, "discard | groupmask | passthrough | restricted"),
    _index(
        "aclinherit",
        "ACLINHERIT",
        _INHERIT,
        _FS,
        4,
        ACLINHERIT,
        "discard | noallow | restricted | passthrough | passthrough-x",
    ),
    _number("createtxg", "CREATETXG", _RO, _ALL, Form.IDENT, hint="<uint64>"),
    _hidden("name", _STR, _RO, _ALL),
    _index(
        "canmount", "CANMOUNT", _DEFAULT, _FS, 1, (("off", 0), ("on", 1), ("noauto", 2)), "on | off | noauto"
    ),
    _hidden("iscsioptions", _STR, _INHERIT, _VOL),
    _index(
        "xattr",
        "XATTR",
        _INHERIT,
        _FS_SNAP,
        2,
        (("off", 0), ("on", 2), ("sa", 2), ("dir", 1)),
        "on | off | dir | sa",
    ),
    _hidden("numclones", _NUM, _RO, _SNAP),
    _index("copies", "COPIES", _INHERIT, _HEADS, 1, (("1", 1), ("2", 2), ("3", 3)), "1 | 2 | 3"),
    _index(
        "version",
        "VERSION",
        _DEFAULT,
        _FS_SNAP,
        0,
        (("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5), ("current", 5)),
        "1 | 2 | 3 | 4 | 5 | current",
    ),
    _index("utf8only", "UTF8ONLY", _ONCE, _FS_SNAP, 0),
    _index(
        "normalization",
        "NORMALIZATION",
        _ONCE,
        _FS_SNAP,
        0,
        NORMALIZATION,
        "none | formC | formD | formKC | formKD",
    ),
    _index(
        "casesensitivity",
        "CASE",
        _ONCE,
        _FS_SNAP,
        0,
        (("sensitive", 0), ("insensitive", 1), ("mixed", 2)),
        "sensitive | insensitive | mixed",
    ),
    _index("vscan", "VSCAN", _INHERIT, _FS, 0),
    _index("nbmand", "NBMAND", _INHERIT, _FS_SNAP, 0),
    _text("sharesmb", "SHARESMB", _INHERIT, _FS, "off", "on | off | SMB share options"),
    _number("refquota", "REFQUOTA", _DEFAULT, _FS, Form.QUOTA, hint="<size> | none"),
    _number("refreservation", "REFRESERV", _DEFAULT, _HEADS, Form.QUOTA, hint="<size> | none"),
    _number("guid", "GUID", _RO, _ALL, Form.IDENT, hint="<uint64>"),
    _index("primarycache", "PRIMARYCACHE", _INHERIT, _DATASETS, 2, CACHE, "all | none | metadata"),
    _index("secondarycache", "SECONDARYCACHE", _INHERIT, _DATASETS, 2, CACHE, "all | none | metadata"),
    _number("usedbysnapshots", "USEDSNAP", _RO, _HEADS, Form.BYTES),
    _number("usedbydataset", "USEDDS", _RO, _HEADS, Form.BYTES),
    _number("usedbychildren", "USEDCHILD", _RO, _HEADS, Form.BYTES),
    _number("usedbyrefreservation", "USEDREFRESERV", _RO, _HEADS, Form.BYTES),
    _hidden("useraccounting", _NUM, _RO, _DATASETS),
    _hidden("stmf_sbd_lu", _STR, _INHERIT, _VOL),
    _index("defer_destroy", "DEFER_DESTROY", _RO, _SNAP, 0, hint="yes | no"),
    _number("userrefs", "USERREFS", _RO, _SNAP, hint="<count>"),
    _index(
        "logbias", "LOGBIAS", _INHERIT, _HEADS, 0, (("latency", 0), ("throughput", 1)), "latency | throughput"
    ),
    _hidden("unique", _NUM, _RO, _DATASETS),
    _number("objsetid", "OBJSETID", _RO, _DATASETS, Form.IDENT, hint="<uint64>"),
    _index("dedup", "DEDUP", _INHERIT, _HEADS, 2, DEDUP, " | ".join(name for name, _ in DEDUP)),
    _text("mlslabel", "MLSLABEL", _INHERIT, _DATASETS, "none", "<sensitivity label>"),
    _index(
        "sync",
        "SYNC",
        _INHERIT,
        _HEADS,
        0,
        (("standard", 0), ("always", 1), ("disabled", 2)),
        "standard | always | disabled",
    ),
    _index("dnodesize", "DNSIZE", _INHERIT, _FS, 0, DNODESIZE, "legacy | auto | 1k | 2k | 4k | 8k | 16k"),
    _number(
        "refcompressratio", "REFRATIO", _RO, _DATASETS, Form.RATIO, hint="<1.00x or higher if compressed>"
    ),
    _number("written", "WRITTEN", _RO, _DATASETS),
    _text("clones", "CLONES", _RO, _SNAP, hint="<dataset>[,...]"),
    _number("logicalused", "LUSED", _RO, _HEADS),
    _number("logicalreferenced", "LREFER", _RO, _ALL),
    _hidden("inconsistent", _NUM, _RO, _DATASETS),
    _index("volmode", "VOLMODE", _INHERIT, _HEADS, 0, VOLMODE, "default | full | geom | dev | none"),
    _number("filesystem_limit", "FSLIMIT", _DEFAULT, _FS, Form.LIMIT, UINT64_MAX, "<count> | none"),
    _number("snapshot_limit", "SSLIMIT", _DEFAULT, _HEADS, Form.LIMIT, UINT64_MAX, "<count> | none"),
    _number("filesystem_count", "FSCOUNT", _RO, _FS, Form.LIMIT, UINT64_MAX, "<count>"),
    _number("snapshot_count", "SSCOUNT", _RO, _HEADS, Form.LIMIT, UINT64_MAX, "<count>"),
    _index("snapdev", "SNAPDEV", _INHERIT, _HEADS, 0, (("hidden", 0), ("visible", 1)), "hidden | visible"),
    _index("acltype", "ACLTYPE", _INHERIT, _FS_SNAP, 0, ACLTYPE, "off | nfsv4 | posix"),
    _text("context", "CONTEXT", _DEFAULT, _DATASETS, "none", "<selinux context>"),
    _text("fscontext", "FSCONTEXT", _DEFAULT, _DATASETS, "none", "<selinux fscontext>"),
    _text("defcontext", "DEFCONTEXT", _DEFAULT, _DATASETS, "none", "<selinux defcontext>"),
    _text("rootcontext", "ROOTCONTEXT", _DEFAULT, _DATASETS, "none", "<selinux rootcontext>"),
    _index("relatime", "RELATIME", _INHERIT, _FS, 1),
    _index(
        "redundant_metadata",
        "REDUND_MD",
        _INHERIT,
        _HEADS,
        0,
        (("all", 0), ("most", 1), ("some", 2), ("none", 3)),
        "all | most | some | none",
    ),
    _index("overlay", "OVERLAY", _INHERIT, _FS, 1),
    _hidden("prevsnap", _STR, _RO, _HEADS),
    _text("receive_resume_token", "RESUMETOK", _RO, _HEADS, hint="<string token>"),
    _index(
        "encryption",
        "ENCRYPTION",
        _ONCE,
        _DATASETS,
        ENCRYPTION_OFF,
        ENCRYPTION,
        " | ".join(name for name, _ in ENCRYPTION),
    ),
    _text(
        "keylocation",
        "KEYLOCATION",
        _DEFAULT,
        _HEADS,
        "none",
        "prompt | <file URI> | <https URL> | <http URL>",
    ),
    _index("keyformat", "KEYFORMAT", _ONCE_DEFAULT, _HEADS, 0, KEYFORMATS, "none | raw | hex | passphrase"),
    _hidden("pbkdf2salt", _NUM, _ONCE_DEFAULT, _HEADS),
    _number("pbkdf2iters", "PBKDF2ITERS", _ONCE_DEFAULT, _HEADS, Form.IDENT, hint="<iters>"),
    _text("encryptionroot", "ENCROOT", _RO, _DATASETS, hint="<filesystem | volume>"),
    _hidden("keyguid", _NUM, _RO, _DATASETS, Form.IDENT),
    _index("keystatus", "KEYSTATUS", _RO, _DATASETS, 0, KEYSTATUS, "none | unavailable | available"),
    _hidden("remaptxg", _NUM, _RO, _DATASETS),
    _number("special_small_blocks", "SPECIAL_SMALL_BLOCKS", _INHERIT, _FS, hint="0 to 16M", also=_VOL),
    _hidden("ivsetguid", _NUM, _RO, _ALL, Form.IDENT),
    _hidden("redacted", _NUM, _RO, _DATASETS),
    _text("redact_snaps", "RSNAPS", _RO, _ALL, hint="<snapshot>[,...]"),
    _number("snapshots_changed", "SNAPSHOTS_CHANGED", _RO, _HEADS, Form.DATE_SECONDS, hint="<date>"),
    _index("prefetch", "PREFETCH", _INHERIT, _DATASETS, 2, CACHE, "none | metadata | all"),
    _index("volthreading", "VOLTHREAD", _DEFAULT, _VOL, 1),
    _index(
        "direct",
        "DIRECT",
        _INHERIT,
        _FS,
        1,
        (("disabled", 0), ("standard", 1), ("always", 2)),
        "disabled | standard | always",
    ),
    _index("longname", "LONGNAME", _INHERIT, _FS, 0),
    *(
        _number(
            f"default{who}{what}quota",
            f"DEFAULT{who.upper()}{what.upper()}QUOTA",
            _DEFAULT,
            _FS_SNAP,
            hint="<size> | none",
            since=_24,
        )
        for what in ("", "obj")
        for who in ("user", "group", "project")
    ),
    _number(
        "snapshots_changed_nsecs",
        "SNAPSHOTS_CHANGED_NSECS",
        _RO,
        _HEADS,
        Form.NANOSECONDS,
        hint="<nsec>",
        since=_25,
    ),
    _number("zoned_uid", "ZONED_UID", _INHERIT, _FS, hint="<uid> | none", since=_25),
)

BY_NAME: Mapping[str, Property] = {prop.name: prop for prop in PROPERTIES}
assert len(BY_NAME) == len(PROPERTIES)
assert all(
    prop.text_of(int(prop.default or 0)) for prop in PROPERTIES if prop.index and prop.name != "version"
)

#: Short names under which a property may be asked for: its column's heading.
ALIASES: Mapping[str, str] = {prop.column.lower(): prop.name for prop in PROPERTIES}

#: The newest release whose properties are listed everywhere; later ones only where they are set.
LISTED_RELEASE = (2, 3)


def find(name: str) -> Property | None:
    """The property of that name, or of that short name; None for user properties and unknown ones."""
    return BY_NAME.get(ALIASES.get(name, name))


def is_user_property(name: str) -> bool:
    """True for names that people may give to properties of their own: those with a colon."""
    return ":" in name and "$" not in name


def for_types(types: Types) -> Iterator[Property]:
    """The visible properties that apply to a type of dataset, in listing order."""
    return (prop for prop in PROPERTIES if prop.visible and prop.types & types)
