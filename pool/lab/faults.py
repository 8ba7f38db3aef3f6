"""Disks that fail on purpose: one wrapper around any device, and a list of what is wrong with it.

Each fault is one small object whose ``str`` is a line of a report. Some act once or a number of times, some for ever;
some wait for the n-th call of their kind. Everything is decided by counts and by the faults' own fields, so a run with
the same faults fails in the same way. ``Switchboard`` counts the calls of all devices of a pool together and lets the
n-th one fail, for n = 1, 2, 3 ... until an operation gets through.

Faults are of three sorts. The disk says so: read errors, failing flushes, a full or vanished disk. The disk lies and
later reads see it: lost, torn, misdirected writes, bit rot, a stale disk. And the disk lies about durability: ignored
flushes, which only a power cut brings to light.

A misdirected write has two halves, either of which can be switched off: the place that was meant keeps its old bytes,
and another place is overwritten.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..device.base import Batch, Buffer, Device, Statuses, as_bytes, check_length, check_writable, device_error
from .pages import Pages
from .simdisk import SimDisk

FOREVER = 1 << 62
Call = Literal["read", "write", "flush", "discard"]


@dataclass(slots=True)
class Fault:
    """Something that is wrong with a disk.

    Attributes:
        offset, length: requests that meet this range are hit; all, if the length is 0.
        after: so many of them go well first.
        times: how many are hit.
        hits: how many have been.
    """

    offset: int = 0
    length: int = 0
    after: int = 0
    times: int = FOREVER
    hits: int = field(default=0, init=False)
    seen: int = field(default=0, init=False)

    def strikes(self, offset: int, length: int) -> bool:
        """Whether this request is hit; counts it."""
        if self.length and not (offset < self.offset + self.length and self.offset < offset + length):
            return False
        self.seen += 1
        if self.seen <= self.after or self.hits >= self.times:
            return False
        self.hits += 1
        return True

    def __str__(self) -> str:
        where = f" {self.offset:#x}+{self.length:#x}" if self.length else ""
        when = f" after {self.after}" if self.after else ""
        often = f" times {self.times}" if self.times != FOREVER else ""
        return f"{type(self).__name__}{where}{when}{often}{self._more()}"

    def _more(self) -> str:
        return ""


@dataclass(slots=True)
class ReadError(Fault):
    """Reads fail: sticky, or passing with ``times``. Cured where the range is overwritten, as a disk remaps sectors."""

    code: int = errno.EIO
    remaps: bool = True


@dataclass(slots=True)
class WriteError(Fault):
    """Writes fail, and store nothing."""

    code: int = errno.EIO


@dataclass(slots=True)
class LostWrite(Fault):
    """Writes are answered and not stored."""


@dataclass(slots=True)
class TornWrite(Fault):
    """Of a write only the first ``keep`` bytes are stored, without a word."""

    keep: int = 512

    def _more(self) -> str:
        return f" keep {self.keep}"


@dataclass(slots=True)
class BitRot(Fault):
    """One bit of what is stored at ``offset`` is flipped, from the first read of it until it is overwritten."""

    bit: int = 0

    def _more(self) -> str:
        return f" {self.offset:#x} bit {self.bit}"


@dataclass(slots=True)
class MisdirectedWrite(Fault):
    """Writes go ``shift`` bytes beside where they should."""

    shift: int = 4096
    loses: bool = True  # the place that was meant keeps its old bytes
    lands: bool = True  # the other place is overwritten

    def _more(self) -> str:
        return f" shift {self.shift}{'' if self.loses else ' keeping'}{'' if self.lands else ' vanishing'}"


@dataclass(slots=True)
class MisdirectedRead(Fault):
    """Reads deliver what lies ``shift`` bytes beside."""

    shift: int = 4096

    def _more(self) -> str:
        return f" shift {self.shift}"


@dataclass(slots=True)
class IgnoredFlush(Fault):
    """Flushes are answered and not passed on."""


@dataclass(slots=True)
class FailingFlush(Fault):
    """Flushes fail; what was written since the last good one may or may not be there."""

    code: int = errno.EIO


@dataclass(slots=True)
class Full(Fault):
    """Writes fail for want of space: a sparse file on a full file system."""

    code: int = errno.ENOSPC


@dataclass(slots=True)
class Vanished(Fault):
    """Every call fails: the disk was pulled. With ``times`` it comes back."""

    code: int = errno.ENXIO


@dataclass(slots=True)
class Slow(Fault):
    """Every call takes ``seconds`` more, by the clock that ``FaultyDevice`` was given."""

    seconds: float = 0.01

    def _more(self) -> str:
        return f" {self.seconds} s"


class Switchboard:
    """Lets the n-th call to any of a pool's devices fail.

    Args:
        fail: number of the call that fails, from 1; 0: none.
        onward: all calls from there on fail, not only that one.
        code: error number it fails with.
        calls: which calls count.

    Attributes:
        count: calls so far. A first run with ``fail`` 0 tells how many there are.
        failed: what was failed.
    """

    def __init__(
        self,
        fail: int = 0,
        *,
        onward: bool = False,
        code: int = errno.EIO,
        calls: Iterable[Call] = ("read", "write", "flush", "discard"),
    ) -> None:
        self.fail, self.onward, self.code, self.calls = fail, onward, code, frozenset(calls)
        self.count = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def strikes(self, device: str, call: Call) -> int:
        """The error number this call fails with; 0: none."""
        if call not in self.calls:
            return 0
        with self._lock:
            self.count += 1
            if not self.fail or not (self.count == self.fail or (self.onward and self.count > self.fail)):
                return 0
            self.failed.append(f"call {self.count}: {call} of {device}")
            return self.code


class FaultyDevice(Device):
    """``base`` with faults. Closing it closes ``base`` too.

    Args:
        base: what lies below; it sees only what the faults let through.
        faults: what is wrong; may be changed at any time.
        switchboard: counts the calls of several devices together.
        sleep: what a slow disk calls with seconds.
    """

    def __init__(
        self,
        base: Device,
        faults: Iterable[Fault] = (),
        *,
        switchboard: Switchboard | None = None,
        sleep: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.base = base
        self.name, self.size, self.readonly = base.name, base.size, base.readonly
        self.faults = list(faults)
        self._switchboard = switchboard
        self._sleep = sleep
        self._cured: dict[int, list[tuple[int, int]]] = {}  # by fault: ranges written since
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"FaultyDevice({self.base!r}, {', '.join(map(str, self.faults))})"

    # --- calls --------------------------------------------------------------------------------------------------------

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        code = self._call("read")
        if code:
            return _all_fail(batch, code)
        status = self.base.readv(offsets, lengths, out, dest)
        for index, offset, length, position in batch.rows:
            with self._lock:
                status[index] = self._read(int(status[index]), offset, batch.view[position : position + length])
        return status

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        check_writable(self)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        code = self._call("write")
        if code:
            return _all_fail(batch, code)
        if not any(isinstance(fault, _WRITE_FAULTS) for fault in self.faults):
            return self.base.writev(offsets, lengths, data, source)
        if not batch.rows:
            self.base.writev([], [], b"", [])  # so that a closed device says so
        for index, offset, length, position in batch.rows:
            with self._lock:
                batch.status[index] = self._write(offset, batch.view[position : position + length])
        return batch.status

    def flush(self) -> None:
        code = self._call("flush")
        for fault in self.faults:
            if isinstance(fault, FailingFlush) and not code and fault.strikes(0, 0):
                code = fault.code
        if code:
            raise device_error(code, "cannot flush", device=self.name)
        liars = [fault for fault in self.faults if isinstance(fault, IgnoredFlush)]
        if sum(fault.strikes(0, 0) for fault in liars):  # all of them count, and one is enough
            if isinstance(self.base, SimDisk):
                self.base.lose_flush()
            return
        self.base.flush()

    def write_durable(self, offset: int, data: Buffer) -> bool:
        view = as_bytes(data)
        if self.readonly or int(self.writev([offset], [len(view)], view, [0])[0]):
            return False
        self.flush()
        return True

    def discard(self, offset: int, length: int) -> None:
        check_writable(self)
        check_length(self, offset, length)
        code = self._call("discard")
        if code:
            raise device_error(code, "cannot discard", device=self.name, offset=offset, length=length)
        self.base.discard(offset, length)

    def close(self) -> None:
        self.base.close()

    # --- what is wrong ------------------------------------------------------------------------------------------------

    def _call(self, call: Call) -> int:
        code = 0
        for fault in self.faults:
            if isinstance(fault, Slow) and fault.strikes(0, 0):
                self._sleep(fault.seconds)
            elif isinstance(fault, Vanished) and not code and fault.strikes(0, 0):
                code = fault.code
        if not code and self._switchboard is not None:
            code = self._switchboard.strikes(self.name, call)
        return code

    def _read(self, code: int, offset: int, target: memoryview) -> int:
        length = len(target)
        for number, fault in enumerate(self.faults):
            if isinstance(fault, ReadError):
                if not self._is_cured(number, fault, offset, length) and fault.strikes(offset, length):
                    return fault.code
            elif isinstance(fault, MisdirectedRead) and fault.strikes(offset, length):
                at = offset + fault.shift
                if 0 <= at <= self.size - length:
                    code = int(self.base.readv([at], [length], target, [0])[0])
            elif isinstance(fault, BitRot):
                inside = offset <= fault.offset < offset + length
                if inside and not self._is_cured(number, fault, fault.offset, 1) and fault.strikes(fault.offset, 1):
                    target[fault.offset - offset] ^= 1 << fault.bit
        return code

    def _write(self, offset: int, data: memoryview) -> int:
        length, stored = len(data), True
        for number, fault in enumerate(self.faults):
            if isinstance(fault, (WriteError, Full)) and fault.strikes(offset, length):
                return fault.code
            if isinstance(fault, LostWrite) and fault.strikes(offset, length):
                stored = False
            elif isinstance(fault, TornWrite) and fault.strikes(offset, length):
                data = data[: fault.keep]
            elif isinstance(fault, MisdirectedWrite) and fault.strikes(offset, length):
                stored &= not fault.loses
                at = offset + fault.shift
                if fault.lands and 0 <= at <= self.size - len(data):
                    self.base.writev([at], [len(data)], data, [0])
            elif isinstance(fault, (ReadError, BitRot)) and stored:
                self._cured.setdefault(number, []).append((offset, offset + length))
        if not stored or not len(data):
            return 0
        return int(self.base.writev([offset], [len(data)], data, [0])[0])

    def _is_cured(self, number: int, fault: Fault, offset: int, length: int) -> bool:
        """Whether all that is asked for, as far as the fault concerns it, has been written since."""
        if isinstance(fault, ReadError) and not fault.remaps:
            return False
        start, end = offset, offset + length
        if fault.length:
            start, end = max(start, fault.offset), min(end, fault.offset + fault.length)
        for first, last in sorted(self._cured.get(number, ())):
            if first <= start < last:
                start = last
        return start >= end


_WRITE_FAULTS = (ReadError, WriteError, LostWrite, TornWrite, BitRot, MisdirectedWrite, Full)


def _all_fail(batch: Batch, code: int) -> Statuses:
    batch.status[batch.status == 0] = np.int32(code)
    return batch.status


class StaleDisk(SimDisk):
    """A disk that missed everything since a moment in the past: it holds what it held then, and takes writes again."""

    def __init__(self, now: SimDisk, then: Pages) -> None:
        super().__init__(then.fork(), now.name)
