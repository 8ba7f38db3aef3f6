"""The harnesses around the kernels: what was once mishandled, and a few seconds of search from a fixed seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import cannot_run
from fuzz import harness

RUNS = 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("harness")


@pytest.mark.slow
@pytest.mark.parametrize("name", harness.HARNESSES)
def test_kernel(folder: Path, name: str) -> None:
    try:
        printed = harness.run(name, folder, seed=1, runs=RUNS)
    except harness.NoCompilerError as error:
        cannot_run(str(error))
    assert str(RUNS) in printed
