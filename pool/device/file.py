"""Files and block devices as devices.

A reader holds a shared lock on what it opened and a writer an exclusive one (``flock``), so that a second
writer, or a writer beside readers, is refused; a block device is opened for writing exclusively as well,
which the kernel refuses while it is mounted or in use. A file system without locks can be read from all the
same (``locked`` is False then).

When written bytes are durable is the cache mode's matter (``cachemode.py``); those past the page cache are in
``direct.py``.

Sources of the numbers of ioctls: Linux, falloc.h (FS_IOC_UNRESVSP64) and fs.h (BLKDISCARD, BLKSSZGET, BLKPBSZGET).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path

from numpy.typing import ArrayLike
from uberblock.kernels import blockwrite

from ..errors import DeviceBusyError, DeviceError, UnsupportedError
from .base import Batch, Buffer, Device, Statuses, as_bytes, check_length, check_writable, device_error
from .cachemode import CACHE_MODES, SYNCHRONOUS, CacheMode

FS_IOC_UNRESVSP64 = 0x4030582B
BLKDISCARD = 0x1277
BLKSSZGET = 0x1268
BLKPBSZGET = 0x127B

_SPACE_RESV = struct.Struct("@hhqqiI4i")  # type, whence, start, length, sysid, pid, padding
assert _SPACE_RESV.size == 48

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_DISCARD = (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS, errno.EINVAL)


class FileDevice(Device):
    """A regular file or a block device.

    Args:
        path: what to open; symbolic links are followed.
        readonly: never write. Such a descriptor cannot even be asked to.
        cache: ``writeback``, ``writethrough`` or ``unsafe``; ``open_device`` knows all.

    Raises:
        DeviceBusyError: it is open elsewhere in a way that excludes this use.
        DeviceError: it cannot be opened, or is neither a file nor a block device; ``errno`` tells.
    """

    def __init__(
        self, path: str | os.PathLike[str], readonly: bool = True, cache: CacheMode = "writeback"
    ) -> None:
        if cache not in CACHE_MODES:
            raise ValueError(f"no cache mode {cache!r}")
        self.path = Path(path)
        self.name = str(self.path)
        self.readonly = readonly
        self.locked = False
        self.cache = cache
        self.block = False  # a block device
        self._discarded = False  # since the last flush
        self._fd = -1
        flags = self._open_flags()
        try:
            if not readonly and stat.S_ISBLK(self.path.stat().st_mode):
                flags |= os.O_EXCL
            self._fd = os.open(self.path, flags)
            self.block = self._check_kind()
            self._lock()
            os.set_blocking(self._fd, True)
            self.size = os.lseek(self._fd, 0, os.SEEK_END)
        except (OSError, ValueError) as error:
            self.close()
            if isinstance(error, DeviceError):
                raise
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
            if code == errno.EBUSY:
                raise self._busy() from error
            raise device_error(code, "cannot open the device", device=self.name) from error

    def _open_flags(self) -> int:
        # Without O_NONBLOCK, opening a named pipe would wait for its other end.
        access = os.O_RDONLY if self.readonly else os.O_RDWR
        return access | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | self._sync_flag()

    def _sync_flag(self) -> int:
        return os.O_DSYNC if self.cache in SYNCHRONOUS else 0

    def _check_kind(self) -> bool:
        mode = os.fstat(self._fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise DeviceError("neither a file nor a block device", device=self.name)
        return stat.S_ISBLK(mode)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if self.readonly else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            self.locked = True
        except BlockingIOError as error:
            raise self._busy() from error
        except OSError as error:
            if not self.readonly or error.errno not in _NO_LOCKS:
                raise

    def _busy(self) -> DeviceBusyError:
        error = DeviceBusyError(
            "the device is in use", "close what has it open, or open the pool read-only", device=self.name
        )
        error.errno = errno.EBUSY
        return error

    def readv(self, offsets: ArrayLike, lengths: ArrayLike, out: Buffer, dest: ArrayLike) -> Statuses:
        batch = Batch(self, offsets, lengths, out, dest, writable=True)
        fd = self._descriptor()
        for index, offset, length, position in batch.rows:
            try:
                done = 0
                while done < length:
                    got = os.preadv(fd, [batch.view[position + done : position + length]], offset + done)
                    if got == 0:
                        batch.status[index] = errno.EIO
                        break
                    done += got
            except OSError as error:
                batch.status[index] = error.errno or errno.EIO
        return batch.status

    def writev(self, offsets: ArrayLike, lengths: ArrayLike, data: Buffer, source: ArrayLike) -> Statuses:
        check_writable(self)
        batch = Batch(self, offsets, lengths, data, source, writable=False)
        fd = self._descriptor()
        for index, offset, length, position in batch.rows:
            try:
                done = 0
                while done < length:
                    put = os.pwritev(fd, [batch.view[position + done : position + length]], offset + done)
                    if put == 0:
                        batch.status[index] = errno.EIO
                        break
                    done += put
            except OSError as error:
                batch.status[index] = error.errno or errno.EIO
        return batch.status

    def flush(self) -> None:
        fd = self._descriptor()
        if self.readonly or self.cache == "unsafe":
            return
        if self.cache in SYNCHRONOUS and not self._discarded:
            return
        try:
            os.fdatasync(fd)
            self._discarded = False
        except OSError as error:
            raise device_error(error.errno or errno.EIO, "cannot flush", device=self.name) from error

    def discard(self, offset: int, length: int) -> None:
        check_writable(self)
        fd = self._descriptor()
        if check_length(self, offset, length) == 0:
            return
        self._discarded = True
        try:
            if self.block:
                fcntl.ioctl(fd, BLKDISCARD, struct.pack("@QQ", offset, length))
            else:
                # l_whence 0: l_start counts from the beginning of the file.
                fcntl.ioctl(fd, FS_IOC_UNRESVSP64, _SPACE_RESV.pack(0, 0, offset, length, 0, 0, 0, 0, 0, 0))
        except OSError as error:
            if error.errno in _NO_DISCARD:
                raise UnsupportedError("this device cannot discard", device=self.name) from error
            code = error.errno or errno.EIO
            raise device_error(code, "cannot discard", device=self.name, offset=offset) from error

    def occupy(self, offset: int, length: int) -> None:
        """Fill a hole of the file with zeros: each later flush is spared a change of the file's map, which takes the
        file system longer than the data."""
        if self.block or self.readonly or self.cache != "writeback":
            return
        fd = self._descriptor()
        try:
            found = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                return  # nobody can tell
            found = self.size
        if found >= offset + length <= self.size:
            with suppress(OSError):
                os.pwrite(fd, bytes(length), offset)

    def write_durable(self, offset: int, data: Buffer) -> bool:
        view = data if isinstance(data, bytes | bytearray) else as_bytes(data)
        if self.cache != "writeback" or self.readonly or offset + len(view) > self.size:
            return False
        code = blockwrite.write_durable(self._descriptor(), view, offset)
        if code > 0:
            raise device_error(code, "cannot flush", device=self.name)
        return code == 0

    def fileno(self) -> int | None:
        return self._descriptor()

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _descriptor(self) -> int:
        if self._fd < 0:
            raise device_error(errno.EBADF, "the device is closed", device=self.name)
        return self._fd


def create_file(path: str | os.PathLike[str], size: int) -> None:
    """Make a new file of ``size`` bytes that takes no space yet. It must not exist.

    Raises:
        DeviceError: it cannot be made; ``errno`` tells (EEXIST: something of that name is there).
    """
    name = os.fspath(path)
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(fd, size)
        except OSError:
            Path(name).unlink()
            raise
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:
        code = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
        raise device_error(code, "cannot create the file", device=str(name), size=size) from error


def sector_sizes(device: Device) -> tuple[int, int]:
    """Bytes of a logical and of a physical sector; (512, 512) of anything that is no block device.

    Raises:
        DeviceError: the kernel does not tell.
    """
    if not isinstance(device, FileDevice) or not device.block:
        return 512, 512
    word = struct.Struct("@I")
    try:
        found = [word.unpack(fcntl.ioctl(device._descriptor(), code, bytes(4)))[0] for code in (BLKSSZGET, BLKPBSZGET)]
    except OSError as error:
        raise device_error(error.errno or errno.EIO, "cannot ask for sector sizes", device=device.name) from error
    return int(found[0]), int(found[1])
