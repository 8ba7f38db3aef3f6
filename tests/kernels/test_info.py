"""Which kernels run: told truly, the same in every module, and chosen by the environment or by a call."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from uberblock import kernels
from uberblock.kernels import blockio, checksum, raidz

FAMILIES = ["raidz", *checksum.FAMILIES]


def select(family: str, name: str | None) -> None:
    if family == "raidz":
        raidz.select(name)
    else:
        checksum.select(family, name)


def python(*words: str, **environment: str) -> str:
    env = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, *words], env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def test_families_and_their_lists() -> None:
    told = kernels.info()
    assert list(told) == FAMILIES
    for name, family in told.items():
        assert family["variable"] == f"UBERBLOCK_{name.upper()}"
        assert set(family["runnable"]) <= set(family["built"]) <= set(family["order"]) == set(family["needs"])
        assert family["order"][-1] == family["runnable"][-1]
        assert family["needs"][family["order"][-1]] == ()
        assert family["used"] in family["runnable"]
    assert told["raidz"]["order"] == raidz.known_implementations()
    assert {n: told[n]["runnable"] for n in checksum.FAMILIES} == checksum.implementations()


@pytest.mark.parametrize("family", FAMILIES)
def test_one_choice_in_every_module(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    last = kernels.info()[family]["order"][-1]
    try:
        for name in kernels.info()[family]["runnable"]:
            select(family, name)
            told = kernels.info()[family]
            assert (told["used"], told["why"]) == (name, "call")
            assert blockio.implementation()[family] == name
        monkeypatch.setenv(f"UBERBLOCK_{family.upper()}", last)
        select(family, None)
        told = kernels.info()[family]
        assert (told["used"], told["why"]) == (last, "environment")
        assert blockio.implementation() == {n: f["used"] for n, f in kernels.info().items()}
    finally:
        monkeypatch.undo()
        select(family, None)


def test_module_prints_a_table() -> None:
    lines = python("-m", "uberblock.kernels", UBERBLOCK_SHA256="scalar", UBERBLOCK_RAIDZ="").splitlines()
    assert [line.split()[0] for line in lines] == ["family", *FAMILIES]
    row = lines[1 + FAMILIES.index("sha256")]
    assert row.split()[1] == "scalar"
    assert "by UBERBLOCK_SHA256" in row
    foreign = "neon(-)" if "avx2" in raidz.implementations() else "avx2(-)"
    assert foreign in lines[1]


def test_blockio_alone_makes_the_same_choice() -> None:
    """Imported first, the module that only uses the kernels still follows those that own the choice."""
    code = (
        "from uberblock.kernels import blockio as b; before = b.implementation(); "
        "from uberblock.kernels import raidz, checksum; raidz.select('scalar'); checksum.select('sha256', 'scalar'); "
        "print(before['fletcher'], b.implementation()['raidz'], b.implementation()['sha256'])"
    )
    assert python("-c", code, UBERBLOCK_FLETCHER="scalar").split() == ["scalar", "scalar", "scalar"]
