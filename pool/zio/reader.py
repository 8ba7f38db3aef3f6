"""Reading blocks: from arrays of block pointers to verified, decrypted, decompressed bytes.

A batch is read from the first address of every block; what fails is read again, as further batches, from other
children of mirrors, from other copies, and last by trying which column of a raidz stripe lies. The kernel reads,
rebuilds, verifies and expands; only what it does not know (gzip, Zstandard, decryption) is finished here.

Source: OpenZFS, zio.c, vdev_mirror.c, vdev_raidz.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio

from ..errors import AuthenticationError, CorruptError, LimitError, UnsupportedError
from ..ondisk import blkptr, dmutypes
from ..vdev.layout import COLUMN, GROUP, Layout
from ..vdev.tree import VdevTree
from . import checksum, compress, copies, gang, places, reconstruct, single
from . import scrub as scrubbing
from .cache import BlockCache
from .request import I64Array, Request, decode
from .runner import Runner
from .status import RETRY, Status, StatusArray, error_for

if TYPE_CHECKING:
    from .crypt import BlockKeys

Errors = Literal["raise", "collect"]

#: Stored bytes held at a time for blocks that are finished here rather than in the kernel.
STAGING_MAX = 32 << 20
#: One batch gives at most this many logical bytes.
BATCH_MAX = 4 << 30
#: What a read of a metadata block may take of the cache.
CACHED_MAX = 1 << 20


@dataclass(slots=True)
class Blocks:
    """Bytes of a batch of blocks, one after the other."""

    data: NDArray[np.uint8]
    start: I64Array  # n + 1: block i is data[start[i]:start[i + 1]]
    status: StatusArray

    def __len__(self) -> int:
        return len(self.status)

    def block(self, i: int) -> memoryview:
        """The bytes of one block; of one that failed, nothing one may use."""
        return self.data.data[int(self.start[i]) : int(self.start[i + 1])]


class Zio:
    """Blocks of one pool.

    Args:
        tree: the vdevs, with their devices.
        cache_bytes: memory for metadata blocks that ``read_one`` has read.
        threads: how many threads share a large batch.
    """

    def __init__(self, tree: VdevTree, *, cache_bytes: int = 64 << 20, threads: int = 1) -> None:
        self.tree = tree
        self.salt = b""
        self.cache = BlockCache(cache_bytes)
        self.runner = Runner(tree, threads)

    def close(self) -> None:
        """Let go of threads and memory. The devices stay open."""
        self.runner.close()
        self.cache.clear()

    def read_one(
        self, bp: blkptr.BpArray, keys: BlockKeys | None = None, *, raw: bool = False, what: str = ""
    ) -> bytes:
        """One block's bytes, verified; metadata comes from the cache when it was read before.

        Args:
            bp: one block pointer, not a hole.
            keys: of the dataset, if it is encrypted.
            raw: no decryption: bytes of encrypted data are given as stored.
            what: what is being read, for the message of an error.

        Raises:
            ChecksumError, DeviceError, MissingDeviceError, CorruptError, AuthenticationError, KeyUnavailableError ...
        """
        bps = np.ascontiguousarray(bp).reshape(1)
        key = self.cache.key(bps[0], raw, keys)
        cached = self.cache.get(key)
        if cached is not None:
            return cached
        data = single.read_plain(self, bps[0])
        if data is None:
            blocks = self.read(bps, keys, raw=raw, errors="collect")
            if blocks.status[0]:
                raise error_for(int(blocks.status[0]), bps[0], what)
            data = blocks.data.tobytes()
        kind = int(blkptr.object_type(bps[0]))
        if (dmutypes.METADATA[kind] or int(blkptr.level(bps[0]))) and len(data) <= CACHED_MAX:
            self.cache.put(key, data)
        return data

    def read(
        self,
        bps: blkptr.BpArray,
        keys: BlockKeys | None = None,
        *,
        raw: bool = False,
        stored: bool = False,
        errors: Errors = "raise",
    ) -> Blocks:
        """Read a batch into new memory.

        Args:
            bps: array of block pointers, not holes.
            keys: of the dataset, if it is encrypted.
            raw: no decryption; encrypted data blocks then give their psize stored bytes.
            stored: neither decryption nor decompression: every block gives its psize stored bytes.
            errors: ``raise`` the error of the first block that failed, or ``collect`` them in ``Blocks.status``.
        """
        flat = np.ascontiguousarray(bps).reshape(-1)
        request = decode(flat, raw=raw, stored=stored, keys=keys, salt=self.salt)
        request.size[request.status != Status.OK] = 0
        total = int(request.size.sum())
        if total > BATCH_MAX:
            raise LimitError("too many bytes asked for in one batch", bytes=total, limit=BATCH_MAX)
        start = np.zeros(len(request) + 1, dtype=np.int64)
        np.cumsum(request.size, out=start[1:])
        out = np.empty(total, dtype=np.uint8)
        self._fill(request, out, start[:-1])
        _raise_first(request, errors)
        return Blocks(out, start, request.status)

    def readinto(
        self,
        bps: blkptr.BpArray,
        out: Any,
        dest: I64Array,
        keys: BlockKeys | None = None,
        errors: Errors = "raise",
        *,
        raw: bool = False,
    ) -> StatusArray:
        """Read a batch into the caller's buffer.

        Args:
            bps: array of block pointers, not holes.
            out: writable buffer, with room for lsize bytes at each ``dest[i]``.
            dest: byte offset in ``out`` for each block.
            keys, errors, raw: as for ``read``.

        Raises:
            ValueError: a block's room lies outside the buffer.
        """
        request = decode(np.ascontiguousarray(bps).reshape(-1), raw=raw, keys=keys, salt=self.salt)
        view = np.frombuffer(out, dtype=np.uint8)
        where = np.asarray(dest, dtype=np.int64)
        good = request.status == Status.OK
        if where.shape != good.shape or np.any(good & ((where < 0) | (where > len(view) - request.size))):
            raise ValueError(f"a block does not fit where it is to go in a buffer of {len(view)} bytes")
        self._fill(request, view, where)
        _raise_first(request, errors)
        return request.status

    def find(self, bp: blkptr.BpArray, size: int, good: Callable[[memoryview], bool]) -> memoryview | None:
        """Stored bytes of a block that carries its checksum in itself (a log block): the first copy that is good.

        Args:
            bp: one block pointer; only its addresses and births count.
            size: how many bytes to read, a multiple of 512.
            good: tells whether bytes are what they should be; may be asked about many candidates.

        Returns:
            the bytes, or None if there is no such copy.
        """
        return copies.find(self, np.ascontiguousarray(bp).reshape(1)[0], size, good)

    def scrub(self, bps: blkptr.BpArray) -> scrubbing.ScrubResult:
        """Read every copy of every block on every leaf, and verify data, parity and padding. Needs no keys.

        Args:
            bps: array of block pointers.
        """
        return scrubbing.scrub(self, bps)

    def scrub_sealed(
        self, bp: blkptr.BpArray, size: int, good: Callable[[memoryview], bool]
    ) -> scrubbing.ScrubResult:
        """Scrub one block that carries its checksum in itself (a log block): the result is of one block.

        Args:
            bp: one block pointer; only its addresses and births count.
            size: how many bytes, a multiple of 512.
            good: tells whether bytes are what they should be; may be asked about many candidates.
        """
        return scrubbing.scrub_sealed(self, np.ascontiguousarray(bp).reshape(1)[0], size, good)

    # ---- one batch ------------------------------------------------------------------------------------------------

    def _fill(self, request: Request, out: NDArray[np.uint8], dest: I64Array) -> None:
        good = request.status == Status.OK
        for i in np.flatnonzero(good & request.hole).tolist():
            out[dest[i] : dest[i] + request.size[i]] = 0
        embedded = np.flatnonzero(good & request.embedded)
        if len(embedded):
            self._embedded(request, embedded, out, dest)
        stored = good & ~request.embedded & ~request.hole
        for i in np.flatnonzero(stored & request.gang).tolist():
            data, status = gang.read_stored(self, request, i)
            request.status[i] = status or self._finish(request, i, data, out, int(dest[i]))
        plain = stored & ~request.gang
        kernel = request.in_kernel
        direct = np.flatnonzero(plain & kernel)
        if len(direct):
            self._try_everything(request, direct, out, dest, staged=False)
        for part in _rounds(np.flatnonzero(plain & ~kernel), request.psize):
            self._try_everything(request, part, out, dest, staged=True)

    def _try_everything(
        self, request: Request, index: I64Array, out: NDArray[np.uint8], dest: I64Array, *, staged: bool
    ) -> None:
        """Read blocks from one place after the other until they are right; sets their status."""
        spots = places.resolve(self.tree, request, index)
        request.status[index] = spots.verdict
        for attempt in spots.attempts():
            retry = RETRY[request.status[index]]
            if not retry.any():
                return
            pending = np.flatnonzero(retry & attempt.possible)
            if not len(pending):
                continue
            for layout, rows in attempt.layouts(pending):
                blocks = index[rows]
                status = self._attempt(request, blocks, layout, out, dest, staged=staged)
                better = _better(status, request.status[blocks])
                request.status[blocks[better]] = status[better]
        self._search(request, index, spots, out, dest, staged=staged)

    def _search(
        self,
        request: Request,
        index: I64Array,
        spots: places.Spots,
        out: NDArray[np.uint8],
        dest: I64Array,
        *,
        staged: bool,
    ) -> None:
        """For what is still wrong, try which columns lie; what one block teaches about leaves helps all others."""
        learnt: set[frozenset[int]] = set()
        pending = np.flatnonzero(RETRY[request.status[index]])
        while len(pending):
            row, pending = int(pending[0]), pending[1:]
            i = int(index[row])
            found = reconstruct.search(self, request, i, spots, row)
            if found is None:
                continue
            request.status[i] = self._finish(request, i, found.data, out, int(dest[i]))
            if found.leaves in learnt or not len(pending):
                continue
            learnt.add(found.leaves)
            for attempt in spots.attempts():
                retry = pending[RETRY[request.status[index[pending]]] & attempt.possible[pending]]
                for layout, rows in attempt.layouts(retry):
                    suspect = places.distrust(layout, found.leaves)
                    status = self._attempt(request, index[rows], layout, out, dest, staged=staged)
                    request.status[index[rows[status == Status.OK]]] = Status.OK
                    places.count_distrusted(self.runner, layout, suspect, status)
            pending = pending[RETRY[request.status[index[pending]]]]

    def _attempt(
        self,
        request: Request,
        index: I64Array,
        layout: Layout,
        out: NDArray[np.uint8],
        dest: I64Array,
        *,
        staged: bool,
    ) -> StatusArray:
        """Read blocks from one place each; their status."""
        jobs = places.jobs_for(request, index)
        if not staged:
            jobs["mode"] = np.where(request.verbatim[index], blockio.MODE_RAW, blockio.MODE_DATA)
            jobs["dest"] = dest[index]
            status, _ = self.runner.run(layout, jobs, out, self.salt)
        else:
            sizes = request.psize[index]
            start = np.cumsum(sizes) - sizes
            staging = np.empty(int(sizes.sum()), dtype=np.uint8)
            jobs["mode"] = blockio.MODE_RAW
            jobs["dest"] = start
            status, _ = self.runner.run(layout, jobs, staging, self.salt)

            def finish(row: int) -> None:
                i, at = int(index[row]), int(start[row])
                stored = staging.data[at : at + int(sizes[row])]
                status[row] = self._finish(request, i, stored, out, int(dest[i]))

            rows = np.flatnonzero(status == Status.OK).tolist()
            executor = self.runner.executor if len(rows) > 1 else None
            list(map(finish, rows) if executor is None else executor.map(finish, rows))
        places.count_checksum_errors(self.runner, layout, status)
        return status

    def _finish(
        self,
        request: Request,
        i: int,
        stored: bytes | memoryview,
        out: NDArray[np.uint8],
        dest: int,
    ) -> Status:
        """From stored, verified bytes to logical ones in ``out``: what the kernel leaves to be done."""
        size = int(request.size[i])
        bp = request.bps[i]
        keys = request.keys if request.crypt[i] and not request.raw else None
        try:
            if keys is not None and request.level[i] == 0:
                stored = keys.open_stored(bp, bytes(stored))
            if request.verbatim[i]:
                logical: bytes | memoryview = stored
            else:
                logical = compress.decompress(int(request.compress[i]), stored, size)
            if keys is not None:
                keys.check_logical(bp, bytes(logical), ">" if request.swap[i] else "<")
        except AuthenticationError:
            return Status.AUTHENTICATION
        except UnsupportedError:
            return Status.UNSUPPORTED
        except CorruptError:
            return Status.DECOMPRESS
        out[dest : dest + size] = np.frombuffer(logical, dtype=np.uint8)
        return Status.OK

    def verified(self, request: Request, i: int, stored: bytes | memoryview) -> bool:
        """True when stored bytes have the checksum block i must have, whichever kind it is."""
        return checksum.matches(
            int(request.checksum[i]),
            stored,
            cast(list[int], request.bps[i]["cksum"].tolist()),
            self.salt,
            byteswap=bool(request.swap[i]),
            crypt=bool(request.short[i]),
        )

    def _embedded(self, request: Request, index: I64Array, out: NDArray[np.uint8], dest: I64Array) -> None:
        """Blocks that lie in their pointers: the kernel expands them from memory."""
        payload = places.embedded_payloads(request.bps[index], request.swap[index])
        kernel = np.flatnonzero(compress.IN_KERNEL[request.compress[index]])
        blocks = index[kernel]
        if len(blocks):
            jobs = places.jobs_for(request, blocks)
            jobs["checksum"] = checksum.Checksum.OFF
            jobs["mode"] = np.where(request.verbatim[blocks], blockio.MODE_RAW, blockio.MODE_DATA)
            jobs["dest"] = dest[blocks]
            columns = np.zeros(len(blocks), dtype=COLUMN)
            columns["parity"] = -1
            columns["offset"] = kernel * payload.shape[1]
            columns["length"] = columns["stored"] = request.psize[blocks]
            groups = np.zeros(len(blocks), dtype=GROUP)
            groups["first"] = np.arange(len(blocks))
            groups["ncols"] = 1
            groups["height"] = columns["length"]
            layout = Layout(columns, groups, np.arange(len(blocks) + 1, dtype=np.uint32))
            request.status[blocks] = self.runner.run_memory(payload, layout, jobs, out)
        for row in np.flatnonzero(~compress.IN_KERNEL[request.compress[index]]).tolist():
            i = int(index[row])
            stored = payload[row, : request.psize[i]].tobytes()
            request.status[i] = self._finish(request, i, stored, out, int(dest[i]))


def _rounds(index: I64Array, sizes: I64Array) -> Iterator[I64Array]:
    """Cut a batch so that each part's stored bytes fit the memory of one round."""
    if len(index):
        number = (np.cumsum(sizes[index]) - 1) // STAGING_MAX
        yield from np.split(index, np.flatnonzero(np.diff(number)) + 1)


def _better(new: StatusArray, old: StatusArray) -> NDArray[np.bool_]:
    """Where the new status says more than the old: a wrong checksum says more than a missing device."""
    rank = np.zeros(256, dtype=np.uint8)
    rank[[Status.MISSING, Status.UNREADABLE, Status.CHECKSUM]] = (3, 2, 1)
    result: NDArray[np.bool_] = rank[new] <= rank[old]
    return result


def _raise_first(request: Request, errors: Errors) -> None:
    if errors == "raise" and request.status.any():
        first = int(np.flatnonzero(request.status)[0])
        raise error_for(int(request.status[first]), request.bps[first])
