"""Words of status reports."""

from __future__ import annotations

import pytest
from uberblock.pool.vdev.state import VdevAux, VdevState, aux_text, state_text


@pytest.mark.parametrize(
    ("state", "aux", "word", "reason"),
    [
        (VdevState.HEALTHY, VdevAux.NONE, "ONLINE", ""),
        (VdevState.DEGRADED, VdevAux.NONE, "DEGRADED", ""),
        (VdevState.CLOSED, VdevAux.NONE, "OFFLINE", ""),
        (VdevState.CANT_OPEN, VdevAux.OPEN_FAILED, "UNAVAIL", "cannot open"),
        (VdevState.CANT_OPEN, VdevAux.CORRUPT_DATA, "FAULTED", "corrupted data"),
        (VdevState.CANT_OPEN, VdevAux.BAD_LOG, "FAULTED", "bad intent log"),
        (VdevState.CANT_OPEN, VdevAux.SPLIT_POOL, "SPLIT", "split into new pool"),
        (VdevState.CANT_OPEN, VdevAux.NO_REPLICAS, "UNAVAIL", "insufficient replicas"),
        (VdevState.CANT_OPEN, VdevAux.TOO_SMALL, "UNAVAIL", "corrupted data"),
        (VdevState.FAULTED, VdevAux.EXTERNAL, "FAULTED", "external device fault"),
    ],
)
def test_texts(state: VdevState, aux: VdevAux, word: str, reason: str) -> None:
    assert state_text(state, aux) == word
    assert aux_text(aux) == reason


def test_every_value_has_a_text() -> None:
    for aux in VdevAux:
        assert bool(aux_text(aux)) is (aux is not VdevAux.NONE)
        for state in VdevState:
            assert state_text(state, aux)
