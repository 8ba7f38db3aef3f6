"""``uberblock zdb`` against zdb: labels, uberblocks, configuration, datasets, objects, sums over all blocks.

Lines are compared with runs of spaces as one. Datasets may come in any order.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest
from golden import params
from uberblock.pool.cli.main import main

pytestmark = pytest.mark.judge

KINDS = params(
    ["checkpoint", "classes", "draid", "encrypted", "mirror", "raidz-expansion", "removal", "stripes", "version28"]
)
FIGURES = r"bp (count|logical|physical|allocated|deduped|cloned)|ganged count|leak|Dittoed|non-pointer"
CHECKPOINTED = "Checkpointed uberblock found:"
#: What zdb tells of its own progress, and of intent logs.
LEFT_OUT = ("loading concrete vdev", "verifying vdev", "ZIL header:", "TX_")

Lines = list[str]
Run = Callable[..., tuple[Lines, Lines]]


@pytest.fixture
def both(judge, capsys) -> Run:
    """``both("-u", "tank", folder=...)``: what zdb prints and what we print."""

    def run(*words: str, folder: object = None) -> tuple[Lines, Lines]:
        place = [] if folder is None else ["-p", str(folder)]
        command = [judge("zdb"), *(["-e"] if place else []), *place, *words]
        theirs = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
        assert main(["zdb", *place, *words]) == 0
        return lines(theirs), lines(capsys.readouterr().out)

    return run


def lines(text: str) -> Lines:
    """Lines that hold something, runs of spaces as one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def some(found: Lines, pattern: str) -> Lines:
    """Those of a form, sorted."""
    return sorted(line for line in found if re.search(pattern, line))


@pytest.mark.parametrize("kind", KINDS)
def test_labels(pools, both: Run, kind: str) -> None:
    for image in pools(kind).images:
        theirs, ours = both("-l", str(image))
        # Of a cache device zdb goes on with what the L2ARC has on it.
        theirs = theirs[: theirs.index("L2ARC device header") - 1] if "L2ARC device header" in theirs else theirs
        assert ours == theirs and len(ours) > 7


@pytest.mark.parametrize("kind", KINDS)
def test_uberblocks_of_a_device(pools, both: Run, kind: str) -> None:
    image = pools(kind).images[0]
    theirs, ours = both("-l", "-u", str(image))
    assert ours == theirs and sum("Uberblock[" in line for line in ours) > 3


@pytest.mark.parametrize("kind", KINDS)
def test_uberblock_and_configuration(pools, both: Run, kind: str) -> None:
    golden = pools(kind)
    for words in (["-u"], ["-uuu"], ["-C"]):
        theirs, ours = both(*words, golden.manifest["pool"], folder=golden.dir)
        if "-C" in words and CHECKPOINTED in theirs:  # zdb mentions it whatever is asked for
            theirs = theirs[: theirs.index(CHECKPOINTED)]
        assert ours == theirs and len(ours) > 5


@pytest.mark.parametrize("option", ["-dd"])
@pytest.mark.parametrize("kind", KINDS)
def test_datasets_and_objects(pools, both: Run, kind: str, option: str) -> None:
    """All lines but those of logs (-i shows these); datasets in any order."""
    golden = pools(kind)
    theirs, ours = both(option, golden.manifest["pool"], folder=golden.dir)
    theirs = [line for line in theirs if not line.startswith(LEFT_OUT)]
    if CHECKPOINTED in theirs:
        theirs = theirs[: theirs.index(CHECKPOINTED)]
    assert sorted(ours) == sorted(theirs)
    assert len(ours) > (300 if option == "-dd" else 8)


@pytest.mark.parametrize("kind", ["encrypted", "removal"])
def test_datasets(pools, both: Run, kind: str) -> None:
    test_datasets_and_objects(pools, both, kind, "-d")


@pytest.mark.parametrize("kind", ["mirror", "encrypted"])
def test_one_object(pools, both: Run, kind: str) -> None:
    """Head, facts and entries of objects of the MOS; statistics of fat ZAPs and names of fields are zdb's own."""
    golden = pools(kind)
    theirs, ours = both("-dddd", golden.manifest["pool"], "1", "32", "33", "34", folder=golden.dir)
    pattern = r"^(Dataset |Object |\d+ \d |\d+ bonus|dnode |microzap:|[\w$:.]+ = \d+$)"
    # Fields of a directory zdb names in its own way, and shortens.
    own = some(ours, r"^(obj|\w*(obj|time|bytes)|quota|reserved|flags|clones|used_\w+) = \d+$")
    mine, other = set(some(ours, pattern)), set(some(theirs, pattern))
    assert mine - set(own) <= other and len(mine - set(own)) > 30


@pytest.mark.parametrize("kind", KINDS)
def test_sums_over_all_blocks(pools, both: Run, kind: str) -> None:
    golden = pools(kind)
    theirs, ours = both("-b", golden.manifest["pool"], folder=golden.dir)
    assert some(ours, FIGURES) == some(theirs, FIGURES)
    assert len(some(ours, FIGURES)) > 5
