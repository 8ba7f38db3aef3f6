"""The access control list that says what a file's mode says, and no more.

Three entries for owner, group and everyone; before them, where a class lacks what the next one has, entries that deny
it, since the first entry that names a right decides.

Source: OpenZFS, zfs_acl.c (``zfs_acl_chmod``, ``acl_trivial_access_masks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from ..ondisk.acl import Ace, AceFlags, AceMask, AceType, encode_aces

_OWNER = AceFlags.OWNER
_GROUP = AceFlags.GROUP | AceFlags.IDENTIFIER_GROUP
_EVERYONE = AceFlags.EVERYONE

#: What everybody may do, and what the owner may besides.
_ALWAYS = AceMask.READ_ACL | AceMask.READ_ATTRIBUTES | AceMask.READ_NAMED_ATTRS | AceMask.SYNCHRONIZE
_OWNER_ALWAYS = (
    _ALWAYS | AceMask.WRITE_ACL | AceMask.WRITE_OWNER | AceMask.WRITE_ATTRIBUTES | AceMask.WRITE_NAMED_ATTRS
)
_READ = AceMask.READ_DATA
_WRITE = AceMask.WRITE_DATA | AceMask.APPEND_DATA
_EXECUTE = AceMask.EXECUTE


def _mask(bits: int) -> AceMask:
    """The rights that three permission bits give."""
    mask = AceMask(0)
    if bits & 4:
        mask |= _READ
    if bits & 2:
        mask |= _WRITE
    if bits & 1:
        mask |= _EXECUTE
    return mask


def trivial_aces(mode: int) -> list[Ace]:
    """The entries that permission bits stand for."""
    user, group, other = mode >> 6 & 7, mode >> 3 & 7, mode & 7
    aces = []
    allow_user = user & ~group & other
    deny_user = ~user & (group | other) & 7
    deny_group = ~group & other & 7
    if allow_user:
        aces.append(Ace(AceType.ALLOW, _OWNER, _mask(allow_user)))
    if deny_user:
        aces.append(Ace(AceType.DENY, _OWNER, _mask(deny_user)))
    if deny_group:
        aces.append(Ace(AceType.DENY, _GROUP, _mask(deny_group)))
    aces.append(Ace(AceType.ALLOW, _OWNER, _OWNER_ALWAYS | _mask(user)))
    aces.append(Ace(AceType.ALLOW, _GROUP, _ALWAYS | _mask(group)))
    aces.append(Ace(AceType.ALLOW, _EVERYONE, _ALWAYS | _mask(other)))
    return aces


@lru_cache(maxsize=4096)
def trivial_acl(mode: int) -> tuple[int, bytes]:
    """Number and bytes of these entries, as the attributes ZPL_DACL_COUNT and ZPL_DACL_ACES hold them."""
    aces = trivial_aces(mode)
    return len(aces), encode_aces(aces, "<")


def mode_of(mode: int, aces: Sequence[Ace], uid: int, gid: int) -> int:
    """The mode that goes with a list: for each class, the first entry about a right decides.

    Args:
        mode: its type and special bits stay. uid, gid: of the file; an entry that names its owner counts for the owner.
    """
    seen = allowed = 0
    for ace in aces:
        if ace.flags & AceFlags.INHERIT_ONLY or ace.type not in (AceType.ALLOW, AceType.DENY):
            continue
        group = ace.flags & AceFlags.IDENTIFIER_GROUP
        if ace.flags & AceFlags.OWNER or (ace.who == uid and not group):
            shifts = [6]
        elif ace.flags & AceFlags.GROUP or (ace.who == gid and group):
            shifts = [3]
        elif ace.flags & AceFlags.EVERYONE:
            shifts = [6, 3, 0]
        else:
            continue
        for right, bit in ((AceMask.READ_DATA, 4), (AceMask.WRITE_DATA, 2), (AceMask.EXECUTE, 1)):
            for shift in shifts if ace.mask & right else ():
                if not seen & bit << shift and ace.type == AceType.ALLOW:
                    allowed |= bit << shift
                seen |= bit << shift
    return mode & ~0o777 | allowed
