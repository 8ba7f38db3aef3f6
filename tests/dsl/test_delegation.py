from __future__ import annotations

import pytest
from uberblock.pool.dsl.delegation import Grant, grants, grants_of
from uberblock.pool.errors import CorruptError

from .conftest import FakeMos, Opener


def test_grants(mos: FakeMos) -> None:
    perms = mos.zap(50, {"mount": 0, "create": 0})
    sets = mos.zap(51, {"@staff": 0})
    mos.zap(60, {"ul$1000": perms, "Gd$100": sets, "e-$": perms, "c-$": perms, "s-$@staff": perms})
    mos.zap(61, {"ed$": perms})
    mos.directory(2, children={"a": 3}, deleg_zapobj=60)
    mos.directory(3, parent_obj=2, deleg_zapobj=61)
    dsl = mos.open()
    everyone, *above = grants(dsl.directory_of("tank/a"))
    assert everyone == Grant("tank/a", "everyone", "descendent", "", ("create", "mount"), False)
    assert above == grants_of(dsl.root)
    assert Grant("tank", "user", "local", "1000", ("create", "mount"), False) in above
    assert Grant("tank", "group", "descendent", "100", ("@staff",), True) in above
    assert Grant("tank", "set", "none", "@staff", ("create", "mount"), False) in above


@pytest.mark.parametrize("key", ["x-$1", "u", "", "uz$1", "ul1000"])
def test_unknown_forms(mos: FakeMos, key: str) -> None:
    mos.zap(60, {key: mos.zap(50, {})})
    mos.directory(2, deleg_zapobj=60)
    with pytest.raises(CorruptError):
        grants(mos.open().root)


def test_nothing_is_delegated_in_most_pools(open_kind: Opener) -> None:
    dsl = open_kind("names").dsl
    assert [grant for directory in dsl.dirs() for grant in grants_of(directory)] == []
