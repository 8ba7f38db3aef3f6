"""raidz parity: generation and reconstruction.

The code of OpenZFS's raidz1 to raidz3: GF(2^8) over 0x11d, ``P = sum D_j``, ``Q = sum 2^(n-1-j) D_j``,
``R = sum 4^(n-1-j) D_j`` for data columns ``D_0 .. D_(n-1)``, 1 to 252 of them. Columns are buffers of bytes
of any alignment. All functions release the interpreter lock and may be called from any number of threads.

What is made may be stored past the caches where that is faster, as it is unless the bytes are read soon; with
``keep=True`` it stays in the caches, for callers who go on to compare, verify or decompress it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray
from typing_extensions import Buffer

from . import FamilyInfo

Bytes: TypeAlias = Buffer | NDArray[Any]  # numpy calls its arrays buffers from Python 3.12 on only

def generate(data: Sequence[Bytes], parity: Sequence[Bytes], *, keep: bool = False) -> None:
    """Fill 1 to 3 parity columns (P, Q, R) from the data columns.

    The parity columns have one length, the height, which is not 0. A data column may be shorter (zero
    padded), or empty. ValueError: wrong numbers or lengths, a parity column read-only or overlapping another
    column.
    """

def reconstruct(
    columns: Sequence[Bytes | None], nparity: int, missing: Iterable[int], *, keep: bool = False
) -> None:
    """Rebuild the columns numbered in ``missing`` in place from the others.

    ``columns`` are the ``nparity`` parity columns, then the data columns; 1 to ``nparity`` of them, of either
    kind, may be missing. All have their true lengths; the contents of missing ones do not matter. A missing
    one that is None is not rebuilt: it is not to be had, and not wanted. ValueError: as in ``generate``, and
    for too many missing ones, one named twice, or one that does not exist.
    """

def generate_many(data: Bytes, parity: Bytes, *, keep: bool = False) -> None:
    """``generate`` for many stripes: arrays of bytes, stripes x columns x height, C-contiguous."""

def reconstruct_many(columns: Bytes, nparity: int, missing: Iterable[int], *, keep: bool = False) -> None:
    """``reconstruct`` for many stripes that lack the same columns: one array, stripes x columns x height."""

def implementations() -> tuple[str, ...]:
    """Names of the kernels this machine can run, best first."""

def known_implementations() -> tuple[str, ...]:
    """Names of all kernels there are, in this build or not."""

def implementation() -> str:
    """Name of the kernel in use."""

def select(name: str | None = None) -> str:
    """Use one kernel from now on, in all threads; None: the one named by UBERBLOCK_RAIDZ, or the best.

    Returns its name. ValueError: no such kernel; NotImplementedError: not in this build; RuntimeError: not
    runnable on this machine.
    """

def describe() -> dict[str, FamilyInfo]:
    """What ``uberblock.kernels.info`` says of this family."""
