"""States of vdevs and the reasons for them, with OpenZFS's names and texts.

Source: OpenZFS, fs/zfs.h (vdev_state, vdev_aux), and what its status reports print.
"""

from __future__ import annotations

from enum import IntEnum


class VdevState(IntEnum):
    """How well a vdev is; the greater the better."""

    UNKNOWN = 0
    CLOSED = 1
    OFFLINE = 2
    REMOVED = 3
    CANT_OPEN = 4
    FAULTED = 5
    DEGRADED = 6
    HEALTHY = 7


class VdevAux(IntEnum):
    """Why a vdev is not healthy."""

    NONE = 0
    OPEN_FAILED = 1
    CORRUPT_DATA = 2
    NO_REPLICAS = 3
    BAD_GUID_SUM = 4
    TOO_SMALL = 5
    BAD_LABEL = 6
    VERSION_NEWER = 7
    VERSION_OLDER = 8
    UNSUP_FEAT = 9
    SPARED = 10
    ERR_EXCEEDED = 11
    IO_FAILURE = 12
    BAD_LOG = 13
    EXTERNAL = 14
    SPLIT_POOL = 15
    BAD_ASHIFT = 16
    EXTERNAL_PERSIST = 17
    ACTIVE = 18
    CHILDREN_OFFLINE = 19
    ASHIFT_TOO_BIG = 20


_STATE_TEXTS = {
    VdevState.UNKNOWN: "UNKNOWN",
    VdevState.CLOSED: "OFFLINE",
    VdevState.OFFLINE: "OFFLINE",
    VdevState.REMOVED: "REMOVED",
    VdevState.CANT_OPEN: "UNAVAIL",
    VdevState.FAULTED: "FAULTED",
    VdevState.DEGRADED: "DEGRADED",
    VdevState.HEALTHY: "ONLINE",
}

_AUX_TEXTS = {
    VdevAux.NONE: "",
    VdevAux.OPEN_FAILED: "cannot open",
    VdevAux.NO_REPLICAS: "insufficient replicas",
    VdevAux.BAD_GUID_SUM: "missing device",
    VdevAux.BAD_LABEL: "invalid label",
    VdevAux.VERSION_NEWER: "newer version",
    VdevAux.VERSION_OLDER: "newer version",
    VdevAux.UNSUP_FEAT: "unsupported feature(s)",
    VdevAux.SPARED: "currently in use",
    VdevAux.ERR_EXCEEDED: "too many errors",
    VdevAux.IO_FAILURE: "experienced I/O failures",
    VdevAux.BAD_LOG: "bad intent log",
    VdevAux.EXTERNAL: "external device fault",
    VdevAux.SPLIT_POOL: "split into new pool",
    VdevAux.BAD_ASHIFT: "unsupported minimum blocksize",
    VdevAux.EXTERNAL_PERSIST: "external device fault",
    VdevAux.ACTIVE: "currently in use",
    VdevAux.CHILDREN_OFFLINE: "all children offline",
    VdevAux.ASHIFT_TOO_BIG: "unsupported minimum blocksize",
}


def state_text(state: VdevState, aux: VdevAux = VdevAux.NONE) -> str:
    """The word in the STATE column of a status report."""
    if state is VdevState.CANT_OPEN:
        if aux in (VdevAux.CORRUPT_DATA, VdevAux.BAD_LOG):
            return "FAULTED"
        if aux is VdevAux.SPLIT_POOL:
            return "SPLIT"
    return _STATE_TEXTS[state]


def aux_text(aux: VdevAux) -> str:
    """What a status report says after a vdev's counters; empty for a vdev without a complaint."""
    return _AUX_TEXTS.get(aux, "corrupted data")
