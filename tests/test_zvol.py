"""Volumes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import UsageError
from uberblock.pool.zvol import Zvol


@pytest.mark.parametrize("kind", ["classes", "encrypted"])
def test_content(pools: Callable[[str], Any], kind: str) -> None:
    golden = pools(kind)
    seen = 0
    with import_pool(search=[golden.dir], keys=golden.manifest["keys"]) as pool:
        for name, dataset in golden.manifest["datasets"].items():
            if "volume_sha256" not in dataset:
                continue
            volume = Zvol(pool.dataset(name).dsl.objset())
            properties = dataset["properties"]
            assert volume.size == int(properties["volsize"])
            if "volblocksize" in properties:
                assert volume.volblocksize == int(properties["volblocksize"])
            with volume.open() as content:
                assert hashlib.sha256(content.read()).hexdigest() == dataset["volume_sha256"]
                content.seek(-1, os.SEEK_END)
                assert len(content.read(10)) == 1
            seen += 1
    assert seen


def test_a_file_system_is_no_volume(pools: Callable[[str], Any]) -> None:
    with import_pool(search=[pools("names").dir]) as pool, pytest.raises(UsageError):
        Zvol(pool.dataset("tank-names").dsl.objset())
