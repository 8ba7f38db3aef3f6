"""The cache file: which pools were open, and where their devices are, so that they open again without a search.

A packed nvlist, pool's name -> the configuration that its MOS has, in the host's native encoding (as OpenZFS writes it;
XDR is read too). It holds nothing that a scan would not find; it is only as right as the last clean update.

Updates read, change and write under a lock, and replace the file in one step: a reader sees the old or the new one,
whole. A file without pools is removed.

Since this package runs without root, its own file lies in the user's state folder and not in /etc/zfs.

Source: OpenZFS, spa_config.c (``spa_config_write``, ``spa_write_cachefile``).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ..device.base import device_error
from ..env import state_folder
from ..errors import CorruptError, DeviceError, UsageError
from ..ondisk import nvlist
from ..ondisk.nvlist import NVList

NAME = "zpool.cache"
NONE = "none"  # the value of the property ``cachefile`` that means: no file
MAX_SIZE = nvlist.MAX_BYTES


def default_path() -> Path:
    """Where the cache file lies if nothing else is said."""
    return state_folder() / NAME


def path_for(value: str = "") -> Path | None:
    """The file that a ``cachefile`` property means; None: no file. Empty: the default one.

    Raises:
        UsageError: a path that is not absolute, or a folder.
    """
    if value == NONE:
        return None
    if not value:
        return default_path()
    if not value.startswith("/"):
        raise UsageError(f"cachefile {value!r} must be empty, an absolute path, or 'none'")
    if Path(value).is_dir() or value.endswith(("/", "/.", "/..")):
        raise UsageError(f"{value!r} is not a valid file")
    return Path(value)


def read(path: Path | None = None) -> dict[str, NVList]:
    """The pools in a cache file, by name; none if there is no such file.

    Raises:
        CorruptError: it is no cache file. DeviceError: it cannot be read.
    """
    path = path or default_path()
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SIZE + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise device_error(error.errno or errno.EIO, "cannot read the cache file", path=str(path)) from error
    if not data:
        return {}  # OpenZFS empties a file before it writes it anew
    if len(data) > MAX_SIZE:
        raise CorruptError("the cache file is absurdly large", "remove it; pools are found by a search too", path=path)
    try:
        listed = nvlist.decode(data)
    except CorruptError as error:
        error.where["path"] = str(path)
        error.advice = "remove it; pools are found by a search too"
        raise
    return {name: config for name, config in listed.items() if isinstance(config, NVList)}


def places(config: NVList) -> list[str]:
    """Where the devices of a pool were, as one entry of the file tells; what to search when the pool is opened by it.

    Raises:
        CorruptError: the entry has no tree of vdevs.
    """
    found, todo = [], [config.nvlist("vdev_tree")]
    while todo:
        vdev = todo.pop(0)
        todo += [one for name in ("children", "spares", "l2cache") for one in vdev.nvlists(name)]
        path = vdev.string("path", "")
        if path.startswith("/"):  # a distributed spare's is none
            found.append(path)
    return found


def put(config: NVList, path: Path | None = None) -> None:
    """Remember a pool that was opened, created or changed; it replaces what the file had of it under any name.

    Args:
        config: ``poolconfig.mos_config`` of the pool.

    Raises:
        CorruptError: the file is there and is no cache file. DeviceError: it cannot be written.
    """
    name, guid = config.string("name"), config.u64("pool_guid")
    _change(path or default_path(), name, guid, config)


def drop(guid: int, path: Path | None = None) -> None:
    """Forget a pool: it was exported or destroyed.

    Raises: as ``put``.
    """
    _change(path or default_path(), "", guid, None)


def _change(path: Path, name: str, guid: int, config: NVList | None) -> None:
    if config is None and not path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            pools = {
                known: entry for known, entry in read(path).items() if known != name and entry.get("pool_guid") != guid
            }
            if config is not None:
                pools[name] = config
            _write(path, pools)
    except DeviceError:
        raise
    except OSError as error:
        code = error.errno if isinstance(error.errno, int) else errno.EIO
        raise device_error(code, "cannot write the cache file", path=str(path)) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time changes the file. The lock is a file of its own, since the other is replaced."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, pools: dict[str, NVList]) -> None:
    if not pools:
        path.unlink(missing_ok=True)
    else:
        data = nvlist.encode(NVList(pools), "native", "<" if sys.byteorder == "little" else ">")
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with fresh.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # until then a crash could bring the old file back
    finally:
        os.close(folder)
